//! One host's part of a document, number by number.

use weft_pipelines::{Tick, Vni};

use super::*;
use crate::config;

mod policy;
mod qos;
mod service;

const DOCUMENT: &str = r#"
fabric: { name: lab, vxlan: { port: 4790 } }
hosts:
  - name: here
    vtep: 198.51.100.1
    workers: { cores: [0, 1] }
    uplinks:
      - { name: up0, device: net_null0, address: [198.51.100.1/24], mtu: 1600, gateway: 198.51.100.254,
          neighbors: [{ ip: 198.51.100.254, mac: "02:00:00:00:09:fe" }] }
      - { name: up1, device: net_null1, address: [203.0.113.1/24], mtu: 9000 }
  - { name: beside, vtep: 198.51.100.2 }
  - { name: far1, vtep: 198.18.0.1 }
  - { name: far2, vtep: 198.18.0.2 }
  - { name: other, vtep: 203.0.113.7 }
tenants:
  - name: blue
    segments:
      - { name: front, vni: 1001, subnet: [10.1.0.0/24, "2001:db8::/64"] }
      - { name: back, vni: 1002, subnet: [10.2.0.0/24] }
    groups: [{ name: web, id: 10 }]
    endpoints:
      - { name: web1, host: here, attach: { vhost-user: w1 }, segment: front, mac: "02:00:00:00:01:01", ip: [10.1.0.1, "2001:db8::1"], groups: [web] }
      - { name: db1, host: other, attach: { vhost-user: d1 }, segment: back, mac: "02:00:00:00:01:02", ip: [10.2.0.2] }
      - { name: web2, host: far2, attach: { vhost-user: w2 }, segment: front, mac: "02:00:00:00:01:03", ip: [10.1.0.3] }
      - { name: web3, host: beside, attach: { vhost-user: w3 }, segment: front, mac: "02:00:00:00:01:04", ip: [10.1.0.4] }
      - { name: web4, host: far2, attach: { vhost-user: w4 }, segment: front, mac: "02:00:00:00:01:05", ip: [10.1.0.5] }
  - name: red
    segments: [{ name: front, vni: 2001, subnet: [10.1.0.0/24] }]
    endpoints:
      - { name: web1, host: here, attach: { device: "net_null2" }, segment: front, mac: "02:00:00:00:01:01", ip: [10.1.0.1] }
"#;

const MACS: [Mac; 2] = [Mac([2, 0, 0, 0, 9, 1]), Mac([2, 0, 0, 0, 9, 2])];
const FRONT: SegmentId = SegmentId(0);
const BACK: SegmentId = SegmentId(1);
const RED: SegmentId = SegmentId(2);
const BESIDE: TunnelId = TunnelId(0);
const FAR1: TunnelId = TunnelId(1);
const FAR2: TunnelId = TunnelId(2);
const OTHER: TunnelId = TunnelId(3);

fn fabric() -> Fabric {
    config::parse("test", DOCUMENT).unwrap()
}

fn compiled() -> Compiled {
    compile(&fabric(), HostIndex(0), &MACS, 2, Epoch(7), None).unwrap()
}

/// What the next document is compiled to.
fn next(fabric: &Fabric, (before, compiled): (&Fabric, &Compiled)) -> Compiled {
    let previous = Some(Previous { fabric: before, compiled });
    compile(fabric, HostIndex(0), &MACS, 2, Epoch(8), previous).unwrap()
}

fn names(labels: &[Option<String>]) -> Vec<&str> {
    labels.iter().map(|name| name.as_deref().unwrap_or("-")).collect()
}

fn ip(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}

#[test]
fn uplinks_come_first_and_each_worker_in_turn() {
    let Compiled { snapshot, labels, .. } = compiled();
    assert_eq!(
        (snapshot.epoch, snapshot.vtep, snapshot.vxlan_port),
        (Epoch(7), Some(ip("198.51.100.1")), 4790)
    );
    let names: Vec<_> = labels.ports.iter().map(|port| (port.name.as_str(), port.attach.as_str())).collect();
    assert_eq!(
        names,
        [
            ("up0", "net_null0"),
            ("up1", "net_null1"),
            ("blue/web1", "vhost-user w1"),
            ("red/web1", "net_null2")
        ]
    );
    assert_eq!(snapshot.ports.iter().map(|port| port.worker.0).collect::<Vec<_>>(), [0, 1, 0, 1]);
    assert_eq!((owner(PortId(5), 1), owner(PortId(5), 0)), (WorkerId(0), WorkerId(0)));
    assert_eq!(snapshot.uplink(PortId(1)).unwrap().mac, MACS[1]);
    assert_eq!(*snapshot.uplink(PortId(0)).unwrap().addresses, [ip("198.51.100.1")]);
    assert_eq!(
        (snapshot.tenant(PortId(2)), snapshot.tenant(PortId(3))),
        (Some(TenantId(0)), Some(TenantId(1)))
    );
}

#[test]
fn peers_on_a_link_are_reached_themselves_and_others_by_the_gateway() {
    let Compiled { snapshot, labels, .. } = compiled();
    assert_eq!(names(&labels.tunnels), ["beside", "far1", "far2", "other"]);
    let hop = |tunnel: TunnelId| snapshot.hop(snapshot.tunnel(tunnel).hop);
    assert_eq!((hop(BESIDE).ip, hop(BESIDE).uplink), (ip("198.51.100.2"), PortId(0)));
    assert_eq!((hop(FAR1).ip, hop(FAR1).uplink), (ip("198.51.100.254"), PortId(0)));
    assert_eq!((hop(OTHER).ip, hop(OTHER).uplink), (ip("203.0.113.7"), PortId(1)));
    // The two behind the gateway share its hop, and only that has a MAC in the document.
    assert_eq!(snapshot.tunnel(FAR1).hop, snapshot.tunnel(FAR2).hop);
    assert_eq!(snapshot.hops.len(), 3);
    let fixed: Vec<_> = snapshot.hops.iter().map(|hop| hop.fixed).collect();
    assert_eq!(fixed, [None, Some(Mac([2, 0, 0, 0, 9, 0xfe])), None]);
    // Each is asked for from our address on its link, whatever the VTEP's is.
    assert_eq!((hop(BESIDE).source, hop(OTHER).source), (ip("198.51.100.1"), ip("203.0.113.1")));
    // An uplink's MTU holds the inner frame and 36 bytes more.
    assert_eq!((snapshot.tunnel(FAR2).max_inner, snapshot.tunnel(OTHER).max_inner), (1564, 8964));
}

#[test]
fn the_longest_prefix_that_holds_a_vtep_leads_to_it() {
    let document =
        DOCUMENT.replace("203.0.113.1/24", "198.51.100.129/25").replace("203.0.113.7", "198.51.100.200");
    let fabric = config::parse("test", &document).unwrap();
    let Compiled { snapshot, .. } = compile(&fabric, HostIndex(0), &MACS, 1, Epoch(1), None).unwrap();
    assert_eq!(snapshot.hop(snapshot.tunnel(OTHER).hop).uplink, PortId(1));
    assert_eq!(snapshot.hop(snapshot.tunnel(BESIDE).hop).uplink, PortId(0));
}

#[test]
fn vteps_and_next_hops_are_found_by_address() {
    let Compiled { snapshot, .. } = compiled();
    let peer = |text| snapshot.peers.find(Snapshot::address_key(ip(text)));
    assert_eq!((peer("198.18.0.2"), peer("203.0.113.7")), (Some(FAR2), Some(OTHER)));
    // Neither ourselves nor a gateway is a peer.
    assert_eq!((peer("198.51.100.1"), peer("198.51.100.254")), (None, None));
    let neighbor = |text| snapshot.neighbors.find(Snapshot::address_key(ip(text)));
    assert_eq!(neighbor("198.51.100.254"), Some(snapshot.tunnel(FAR1).hop));
    assert_eq!((neighbor("198.18.0.2"), neighbor("198.51.100.1")), (None, None));
}

#[test]
fn segments_are_numbered_through_all_tenants_and_served_where_they_have_a_port() {
    let Compiled { snapshot, .. } = compiled();
    let segment = |id| snapshot.segment(id);
    assert_eq!(snapshot.segments.len(), 3);
    assert_eq!((segment(BACK).vni, segment(BACK).tenant), (Vni::new(1002).unwrap(), TenantId(0)));
    assert_eq!((segment(RED).vni, segment(RED).tenant), (Vni::new(2001).unwrap(), TenantId(1)));
    assert_eq!((&*segment(FRONT).ports, &*segment(BACK).ports), (&[PortId(2)][..], &[][..]));
    // A host is flooded once, however many endpoints it has; one without any not at all.
    assert_eq!((&*segment(FRONT).tunnels, &*segment(BACK).tunnels), (&[BESIDE, FAR2][..], &[OTHER][..]));
    assert_eq!(&*segment(RED).tunnels, &[]);
    let served = |vni| snapshot.vnis.find(vni);
    assert_eq!((served(1001), served(1002), served(2001)), (Some(FRONT), None, Some(RED)));
}

#[test]
fn places_are_of_a_segment() {
    let Compiled { snapshot, .. } = compiled();
    let place = |segment, last| snapshot.endpoints.find(segment, Mac([2, 0, 0, 0, 1, last]));
    // Tenants may use the same MAC.
    assert_eq!(
        (place(FRONT, 1), place(RED, 1)),
        (Some(Place::Here(PortId(2))), Some(Place::Here(PortId(3))))
    );
    assert_eq!((place(BACK, 2), place(FRONT, 2)), (Some(Place::There(OTHER)), None));
    assert_eq!((place(FRONT, 3), place(FRONT, 5)), (Some(Place::There(FAR2)), Some(Place::There(FAR2))));
}

#[test]
fn without_an_uplink_the_others_are_out_of_reach() {
    let fabric = fabric();
    let Compiled { snapshot, labels, .. } =
        compile(&fabric, fabric.host("beside").unwrap(), &[], 1, Epoch(1), None).unwrap();
    assert!(snapshot.tunnels.is_empty() && snapshot.hops.is_empty() && labels.tunnels.is_empty());
    assert_eq!(snapshot.endpoints.find(FRONT, Mac([2, 0, 0, 0, 1, 4])), Some(Place::Here(PortId(0))));
    assert_eq!(snapshot.endpoints.find(FRONT, Mac([2, 0, 0, 0, 1, 1])), Some(Place::Unreachable));
    assert_eq!(&*snapshot.segment(FRONT).tunnels, &[]);
    assert_eq!(labels.ports[0].mtu, 1500);
}

#[test]
fn a_guest_may_use_its_addresses_and_the_link_local_one_of_its_mac() {
    let Compiled { snapshot, .. } = compiled();
    let guest = snapshot.guest(PortId(2)).unwrap();
    assert_eq!((guest.segment, guest.mac), (FRONT, Mac([2, 0, 0, 0, 1, 1])));
    assert_eq!(*guest.ipv4, [ip("10.1.0.1")]);
    let ipv6: Vec<String> = guest.ipv6.iter().map(ToString::to_string).collect();
    assert_eq!(ipv6, ["2001:db8::1", "fe80::ff:fe00:101"]);
    // The universal bit is turned (RFC 4291, appendix A).
    assert_eq!(link_local(Mac([0x00, 0x11, 0x22, 0x33, 0x44, 0x55])).to_string(), "fe80::211:22ff:fe33:4455");
}

#[test]
fn labels_say_what_people_are_shown() {
    let Labels { fabric, host, ports, tenants, endpoints, .. } = compiled().labels;
    assert_eq!((fabric.as_str(), host.as_str()), ("lab", "here"));
    assert_eq!(names(&tenants), ["blue", "red"]);
    // A guest's MTU fits the narrowest uplink with 50 bytes of headers.
    assert_eq!(ports.iter().map(|port| port.mtu).collect::<Vec<_>>(), [1600, 9000, 1550, 1550]);
    let ports: Vec<_> = endpoints.iter().map(|endpoint| endpoint.port).collect();
    assert_eq!(ports, [Some(PortId(2)), None, None, None, None, Some(PortId(3))]);
    let (web1, web2) = (&endpoints[0].report, &endpoints[2].report);
    assert_eq!((web1.local, web1.state, web1.vni), (true, EndpointState::Waiting, 1001));
    assert_eq!(
        (&web1.groups[..], &web1.ips[..]),
        (&["web".into()][..], &["10.1.0.1".into(), "2001:db8::1".into()][..])
    );
    assert_eq!((web2.local, web2.state, web2.host.as_str()), (false, EndpointState::Remote, "far2"));
}

#[test]
fn what_has_no_number_is_refused() {
    let with = |tenants: usize, segments: usize| {
        let mut fabric = fabric();
        let mut tenant = fabric.tenants[1].clone();
        tenant.endpoints.clear();
        tenant.segments = vec![tenant.segments[0].clone(); segments];
        let named = |n: usize| Tenant { name: format!("t{n}").parse().unwrap(), ..tenant.clone() };
        fabric.tenants = (0..tenants).map(named).collect();
        compile(&fabric, HostIndex(0), &MACS, 1, Epoch(1), None)
            .map(|compiled| compiled.snapshot.segments.len())
    };
    assert_eq!(with(1, 65_534), Ok(65_534));
    let error = with(1, 65_535).unwrap_err();
    assert_eq!(error, TooMany { what: "segments", count: 65_535, max: 65_534 });
    assert_eq!(error.to_string(), "the document has 65535 segments; a host can work with 65534 at most");
    assert_eq!(with(65_535, 0), Err(TooMany { what: "tenants", count: 65_535, max: 65_534 }));
}

#[test]
fn everything_keeps_its_number_from_one_document_to_the_next() {
    let (before, first) = (fabric(), compiled());
    // A tenant and a host come first, an endpoint and another host go, and one endpoint is attached otherwise.
    let web = DOCUMENT.find("      - { name: web1, host: here").unwrap();
    let (head, tail) = DOCUMENT.split_at(web);
    let added = "      - { name: web0, host: here, attach: { vhost-user: w0 }, segment: front, \
                 mac: \"02:00:00:00:01:20\", ip: [10.1.0.20] }\n";
    let document = format!("{head}{added}{tail}")
        .replace("tenants:\n", "tenants:\n  - name: amber\n")
        .replace(
            "  - { name: beside, vtep",
            "  - { name: ahead, vtep: 198.51.100.9 }\n  - { name: beside, vtep",
        )
        .replace("  - { name: far1, vtep: 198.18.0.1 }\n", "")
        .replace("device: \"net_null2\"", "device: \"net_null3\"");
    let fabric = config::parse("test", &document).unwrap();
    let second = next(&fabric, (&before, &first));
    let snapshot = &second.snapshot;

    let ports: Vec<_> = second.labels.ports.iter().map(|port| port.name.as_str()).collect();
    assert_eq!(ports, ["up0", "up1", "blue/web1", "red/web1", "blue/web0", "red/web1"]);
    assert_eq!(second.ports, [0, 1, 4, 2, 5].map(PortId));
    assert!(matches!(snapshot.port(PortId(3)).kind, PortKind::Vacant));
    let workers: Vec<_> = snapshot.ports.iter().map(|port| port.worker.0).collect();
    assert_eq!(workers, [0, 1, 0, 1, 0, 1]);
    assert_eq!((snapshot.guest(PortId(3)).is_none(), snapshot.tenant(PortId(5))), (true, Some(TenantId(1))));
    assert_eq!(snapshot.guest(PortId(9)).is_none(), snapshot.uplink(PortId(9)).is_none());

    assert_eq!((names(&second.labels.tenants), snapshot.tenants), (vec!["blue", "red", "amber"], 3));
    assert_eq!(names(&second.labels.tunnels), ["beside", "-", "far2", "other", "ahead"]);
    // What is no more is led to no more, and stays for what is on its way.
    assert_eq!(snapshot.peers.find(Snapshot::address_key(ip("198.18.0.1"))), None);
    assert_eq!(snapshot.tunnel(FAR1).vtep, ip("198.18.0.1"));
    assert_eq!(snapshot.hop(snapshot.tunnel(FAR2).hop).ip, ip("198.51.100.254"));
    assert_eq!(snapshot.peers.find(Snapshot::address_key(ip("198.51.100.9"))), Some(TunnelId(4)));
    let web1 = |compiled: &Compiled| {
        let endpoints = &compiled.labels.endpoints;
        endpoints.iter().find(|e| (&*e.report.tenant, &*e.report.name) == ("red", "web1")).unwrap().port
    };
    assert_eq!((web1(&first), web1(&second)), (Some(PortId(3)), Some(PortId(5))));

    // Back to the first document: what was left behind is never used again.
    let third = next(&before, (&fabric, &second));
    assert_eq!(third.ports, [0, 1, 2, 6].map(PortId));
    assert_eq!(names(&third.labels.tenants), ["blue", "red", "-"]);
    assert_eq!(names(&third.labels.tunnels), ["beside", "-", "far2", "other", "-", "far1"]);
    assert_eq!(
        third.snapshot.sizes(),
        weft_pipelines::counters::Sizes {
            pairs: third.snapshot.service.len(),
            ports: 7,
            tenants: 3,
            tunnels: 6,
            rules: 3
        }
    );
}

#[test]
fn guests_share_their_worker_s_room_for_sessions_unless_the_document_says() {
    let limits = |port: u16, compiled: &Compiled| {
        let limits = compiled.snapshot.guest(PortId(port)).unwrap().limits;
        (limits.sessions, limits.embryonic, limits.rate, limits.burst)
    };
    let compiled = compiled();
    assert_eq!(compiled.snapshot.sessions, flow::Settings::default());
    assert_eq!(limits(2, &compiled), (1 << 18, 1 << 17, 50_000, 10_000));
    let document = DOCUMENT
        .replace(
            "name: lab,",
            "name: lab, sessions: { tcp: liberal, pick-up: false, timeouts: { udp: 5s } },",
        )
        .replace("workers: { cores: [0, 1] }", "sessions: 3000")
        .replace("groups: [web] }", "groups: [web], sessions: { opening: 9, rate: 100/s } }");
    let fabric = config::parse("test", &document).unwrap();
    let compiled = compile(&fabric, HostIndex(0), &MACS, 1, Epoch(1), None).unwrap();
    let sessions = &compiled.snapshot.sessions;
    assert_eq!((sessions.capacity, sessions.tcp, sessions.pick_up), (3_000, flow::Tracking::Liberal, false));
    assert_eq!(sessions.timeouts.of(flow::State::UdpNew).as_secs(), 5);
    assert_eq!(limits(2, &compiled), (1_500, 9, 100, 64));
    assert_eq!(limits(3, &compiled), (1_500, 750, 50_000, 10_000));
    // Never less than some, and never more than there is room for.
    let crowd = checked::SessionLimits::default();
    assert_eq!(super::limits(crowd, 4_096, 100).sessions, 1_024);
    let much = checked::SessionLimits { max: Some(9_999), opening: Some(9_000), rate: None };
    let limits = super::limits(much, 4_096, 1);
    assert_eq!((limits.sessions, limits.embryonic), (4_096, 4_096));
}
