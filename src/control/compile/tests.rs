//! One host's part of a document, number by number.

use weft_pipelines::qos::{Charge, Class, Classes, Credit, Dscp, Settings, Share};
use weft_pipelines::{Tick, Vni};

use super::*;
use crate::config;

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

const RULES: &str = "    policy: { default: deny, mode: audit, rules: [
      { name: a, from: web, to: any, allow: [tcp/80, tcp/8000-8099] },
      { name: b, from: any, to: web, deny: [icmp/3/4, icmpv6/135, icmp], mode: enforce, log: true },
      { name: c, from: out, to: any, allow: [udp, sctp/1, any] } ] }
    endpoints:";

fn with_rules(edit: impl Fn(String) -> String) -> Fabric {
    let document = DOCUMENT.replacen("    endpoints:", RULES, 1).replace(
        "groups: [{ name: web, id: 10 }]",
        "groups: [{ name: web, id: 10 }, { name: out, cidr: [192.0.2.0/24] }]",
    );
    config::parse("test", &edit(document)).unwrap()
}

#[test]
fn rules_become_those_of_the_packet_logic() {
    use weft_pipelines::policy::{Action, GroupId, Network, Service, Side};
    let fabric = with_rules(|document| document);
    let compiled = compile(&fabric, HostIndex(0), &MACS, 2, Epoch(1), None).unwrap();
    let rules = &compiled.policies[0].rules;
    assert_eq!((rules.default, rules.default_audit, rules.default_slot), (Action::Deny, true, 0));
    assert_eq!(compiled.snapshot.slots, 5);
    let slots: Vec<u32> = rules.rules.iter().map(|rule| rule.slot).collect();
    assert_eq!((slots, compiled.policies[1].rules.default_slot), (vec![1, 2, 3], 4));
    let [a, b, c] = &rules.rules[..] else { panic!("three rules") };
    let (web, out) = (GroupId(0), GroupId(1));
    assert_eq!(
        (a.from, a.to, a.action, a.audit, a.log),
        (Side::Group(web), Side::Any, Action::Allow, true, false)
    );
    assert_eq!(*a.services, [Service::Tcp(80..=80), Service::Tcp(8000..=8099)]);
    assert_eq!((b.action, b.audit, b.log, c.from), (Action::Deny, false, true, Side::Group(out)));
    let messages =
        [Service::Icmp(0x0304..=0x0304), Service::Icmpv6(0x8700..=0x87ff), Service::Icmp(0..=u16::MAX)];
    assert_eq!(*b.services, messages);
    assert_eq!(*c.services, [Service::Udp(0..=u16::MAX), Service::Sctp(1..=1), Service::Any]);
    let network = Network { address: "192.0.2.0".parse().unwrap(), prefix: 24, group: out };
    assert_eq!(rules.networks, [network]);
    // Every address that web1 may use, and the others' too, wherever they are.
    let of_web: Vec<String> =
        rules.members.iter().filter(|m| m.groups == [web]).map(|m| m.address.to_string()).collect();
    assert_eq!(of_web, ["10.1.0.1", "2001:db8::1", "fe80::ff:fe00:101"]);
    assert_eq!(rules.members.len(), 11);
}

#[test]
fn a_policy_that_did_not_change_is_shared_and_rules_keep_their_counters() {
    let before = with_rules(|document| document);
    let first = compile(&before, HostIndex(0), &MACS, 2, Epoch(1), None).unwrap();
    let slots = |compiled: &Compiled| -> Vec<u32> {
        compiled.policies[0].rules.rules.iter().map(|rule| rule.slot).collect()
    };
    let again = next(&with_rules(|d| d.replace("name: lab", "name: other")), (&before, &first));
    for (a, b) in first.policies.iter().zip(&again.policies) {
        assert!(Arc::ptr_eq(&a.rules, &b.rules) && Arc::ptr_eq(&a.policy, &b.policy));
    }
    type Edit = (fn(String) -> String, &'static [u32]);
    let edits: &[Edit] = &[
        (|d| d.replace("tcp/80,", "tcp/81,"), &[1, 2, 3]),
        (|d| d.replace("name: b,", "name: b2,"), &[1, 5, 3]),
        (
            |d| {
                d.replace(
                    "      { name: a,",
                    "      { name: new, from: any, to: any, deny: [tcp] },\n      { name: a,",
                )
            },
            &[5, 1, 2, 3],
        ),
        (
            |d| {
                d.replace("name: a,", "name: x,")
                    .replace("name: c,", "name: a,")
                    .replace("name: x,", "name: c,")
            },
            &[3, 2, 1],
        ),
        (|d| d.replace("default: deny", "default: allow"), &[1, 2, 3]),
        (|d| d.replace("groups: [{ name: web", "groups: [{ name: first, id: 3 }, { name: web"), &[1, 2, 3]),
        (|d| d.replace("ip: [10.2.0.2]", "ip: [10.2.0.3]"), &[1, 2, 3]),
    ];
    for (edit, expected) in edits {
        let fabric = with_rules(edit);
        let second = next(&fabric, (&before, &first));
        assert_eq!(slots(&second), *expected);
        assert!(!Arc::ptr_eq(&first.policies[0].rules, &second.policies[0].rules));
        assert!(Arc::ptr_eq(&first.policies[1].rules, &second.policies[1].rules));
        // It is what it would be without a document before, but for the counters.
        let fresh = compile(&fabric, HostIndex(0), &MACS, 2, Epoch(1), None).unwrap();
        let mut rules = (*fresh.policies[0].rules).clone();
        rules.rules.iter_mut().zip(*expected).for_each(|(rule, slot)| rule.slot = *slot);
        assert_eq!(*second.policies[0].policy, weft_pipelines::policy::Policy::compile(&rules));
        assert_eq!(*second.policies[0].rules, rules);
        assert!(Arc::ptr_eq(&second.policies[0].policy, &second.snapshot.policies[0]));
    }
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

/// The document with so much said of traffic: of blue and its `web1`, of red and its `web1`.
fn with_qos(blue: &str, web1: &str, red: &str, red_web1: &str) -> Fabric {
    let qos = |said: &str| if said.is_empty() { String::new() } else { format!(", qos: {{ {said} }}") };
    let tenant =
        |said: &str| if said.is_empty() { String::new() } else { format!("    qos: {{ {said} }}\n") };
    let document = DOCUMENT
        .replace("  - name: blue\n", &format!("  - name: blue\n{}", tenant(blue)))
        .replace("  - name: red\n", &format!("  - name: red\n{}", tenant(red)))
        .replace("groups: [web] }", &format!("groups: [web]{} }}", qos(web1)))
        .replace("ip: [10.1.0.1] }", &format!("ip: [10.1.0.1]{} }}", qos(red_web1)));
    config::parse("test", &document).unwrap()
}

fn compile_with(fabric: &Fabric) -> Compiled {
    compile(fabric, HostIndex(0), &MACS, 2, Epoch(1), None).unwrap()
}

#[test]
fn what_is_not_said_of_traffic_follows_from_what_is() {
    let Compiled { snapshot, .. } = compile_with(&with_qos(
        "ceil: 2Gbit, weight: 3",
        "rate: 500Mbit, pps: 100kpps",
        "rate: 1Gbit, ceil: 4Gbit, burst: 1MiB, pps: 1kpps",
        "rate: 64kbit",
    ));
    let web1 = Share {
        rate: 500_000_000,
        ceil: 500_000_000,
        burst: 312_500,
        pps: 100_000,
        packet_burst: 500,
        weight: 1,
    };
    assert_eq!(snapshot.guest(PortId(2)).unwrap().share, web1);
    // A tenant is promised what its endpoints here are; those elsewhere are others' affair.
    let blue =
        Share { rate: 500_000_000, ceil: 2_000_000_000, burst: 1_250_000, weight: 3, ..Share::default() };
    assert_eq!(snapshot.share(TenantId(0)).share, blue);
    let red = Share {
        rate: 1_000_000_000,
        ceil: 4_000_000_000,
        burst: 1 << 20,
        pps: 1_000,
        packet_burst: 64,
        weight: 1,
    };
    assert_eq!(snapshot.share(TenantId(1)).share, red);
    let slow = Share { rate: 64_000, ceil: 64_000, burst: 64 << 10, ..Share::default() };
    assert_eq!(snapshot.guest(PortId(3)).unwrap().share, slow);

    // Promised to its endpoints, and not bounded; promised no more than it may have; neither.
    let shares = |blue: &str, web1: &str| {
        let Compiled { snapshot, .. } = compile_with(&with_qos(blue, web1, "", ""));
        let Share { rate, ceil, burst, .. } = snapshot.share(TenantId(0)).share;
        (rate, ceil, burst)
    };
    assert_eq!(shares("", "rate: 1Gbit"), (1_000_000_000, 0, 625_000));
    assert_eq!(shares("ceil: 10Mbit", "rate: 1Gbit"), (10_000_000, 10_000_000, 64 << 10));
    assert_eq!(shares("weight: 7", "ceil: 1Gbit"), (0, 0, 0));
    assert_eq!(shares("rate: 1Tbit", ""), (1_000_000_000_000, 1_000_000_000_000, 500_000_000));
    let Compiled { snapshot, .. } = compiled();
    assert_eq!(snapshot.guest(PortId(2)).unwrap().share, Share::default());
    assert_eq!(snapshot.share(TenantId(1)).share, Share::default());
}

#[test]
fn classes_are_an_endpoint_s_own_or_its_tenant_s() {
    let blue =
        "classes: [{ name: voice, dscp: [ef], strict: true, mark: ef }, { name: rest, weight: 5, mark: 9 }]";
    let Compiled { snapshot, .. } =
        compile_with(&with_qos(blue, "rate: 1Gbit", "", "classes: [{ name: all }]"));
    let classes = &snapshot.guest(PortId(2)).unwrap().classes;
    let class = |dscp: u8| classes.of(dscp << 2 | 3).0;
    assert_eq!((class(46), class(0), class(63)), (0, 1, 1));
    assert_eq!((classes.strict, &classes.weights[..2], &classes.outer[..2]), (1, &[1, 5][..], &[46, 9][..]));
    assert_eq!(**snapshot.guest(PortId(3)).as_ref().map(|guest| &guest.classes).unwrap(), Classes::default());
    let own = "classes: [{ name: bulk, dscp: [8-15] }]";
    let Compiled { snapshot, .. } = compile_with(&with_qos(blue, own, "", ""));
    let classes = &snapshot.guest(PortId(2)).unwrap().classes;
    let bulk = (0..64).filter(|dscp| classes.of(dscp << 2) == Class(0)).collect::<Vec<u8>>();
    assert_eq!((bulk, classes.strict), ((8..16).collect(), 0));
}

#[test]
fn the_host_s_part_of_traffic_is_compiled() {
    let document = DOCUMENT
        .replace("port: 4790 }", "port: 4790, dscp: uniform }, qos: { overhead: 20, overlay: false }")
        .replace("mtu: 1600,", "mtu: 1600, rate: 9.5Gbit,");
    let fabric = config::parse("test", &document).unwrap();
    let Compiled { snapshot, .. } = compile_with(&fabric);
    let Settings { charge, dscp, backlog, queue } = snapshot.qos;
    assert_eq!((charge, dscp), (Charge { overhead: 20, overlay: false }, Dscp::Uniform));
    assert_eq!((backlog, queue), (crate::control::buffers::backlog(&fabric, HostIndex(0)), backlog / 8));
    assert_eq!([0, 1].map(|port| snapshot.uplink(PortId(port)).unwrap().rate), [9_500_000_000, 0]);
}

/// Tenant blue with a second endpoint here, which is the other worker's.
fn on_two_workers(blue: &str) -> Fabric {
    let mut fabric = with_qos(blue, "", "", "");
    let mut endpoint = fabric.tenants[0].endpoints[0].clone();
    endpoint.name = "web0".parse().unwrap();
    fabric.tenants[0].endpoints.insert(1, endpoint);
    fabric
}

#[test]
fn workers_take_a_tenant_s_share_in_common_and_its_history_stays() {
    let pools = |compiled: &Compiled| {
        let share = compiled.snapshot.share(TenantId(0));
        share.sent.clone().zip(share.received.clone())
    };
    // One worker has it all, and what is not bounded needs no pool.
    assert!(pools(&compile_with(&with_qos("rate: 1Gbit", "", "", ""))).is_none());
    assert!(pools(&compile_with(&on_two_workers("weight: 3"))).is_none());

    let before = on_two_workers("rate: 1Gbit, ceil: 2Gbit");
    let first = compile_with(&before);
    let (sent, received) = pools(&first).unwrap();
    assert!(!Arc::ptr_eq(&sent, &received) && sent.packets.is_none());
    // Another document that says the same of it leaves it as it is; a host more is none of its business.
    let mut same = on_two_workers("rate: 1Gbit, ceil: 2Gbit");
    same.tenants[1].qos = Some(checked::Qos { weight: 9, ..checked::Qos::default() });
    let second = next(&same, (&before, &first));
    let (sent_then, received_then) = pools(&second).unwrap();
    assert!(Arc::ptr_eq(&sent, &sent_then) && Arc::ptr_eq(&received, &received_then));
    assert_eq!(second.snapshot.share(TenantId(1)).share.weight, 9);

    // What workers had taken is not there again under another bound.
    let mut credit = Credit::leased(sent.ceil.clone().unwrap());
    let now = Tick(1_000_000_000_000);
    while credit.refill(now) {
        credit.take(credit.units());
    }
    let third = next(&on_two_workers("rate: 1Gbit, ceil: 2001Mbit"), (&before, &first));
    let (sent_third, received_third) = pools(&third).unwrap();
    assert!(!Arc::ptr_eq(&sent, &sent_third));
    assert!(!Credit::leased(sent_third.ceil.clone().unwrap()).refill(now));
    assert!(Credit::leased(received_third.ceil.clone().unwrap()).refill(now));
    // One worker's again, and gone.
    assert!(pools(&next(&with_qos("rate: 1Gbit", "", "", ""), (&before, &first))).is_none());
    let mut gone = on_two_workers("rate: 1Gbit");
    gone.tenants.remove(0);
    let gone = next(&gone, (&before, &first));
    assert_eq!((gone.snapshot.shares.len(), gone.snapshot.share(TenantId(0)).share), (2, Share::default()));
}

#[test]
fn classes_that_did_not_change_are_shared() {
    let own = "classes: [{ name: bulk, dscp: [8-15] }]";
    let before = with_qos("", own, "", "");
    let first = compile_with(&before);
    let of = |compiled: &Compiled| compiled.snapshot.guest(PortId(2)).unwrap().classes.clone();
    let same = next(&with_qos("", &format!("rate: 1Gbit, {own}"), "", ""), (&before, &first));
    assert!(Arc::ptr_eq(&of(&first), &of(&same)));
    let other = next(&with_qos("", &own.replace("15", "14"), "", ""), (&before, &first));
    assert_ne!(of(&first), of(&other));
}

/// What rows are called, by row: tenant, client, server.
fn services(compiled: &Compiled) -> Vec<String> {
    let label = |label: &Option<ServiceLabel>| match label {
        Some(ServiceLabel { tenant, client, server }) => format!("{} {client} {server}", tenant.0),
        None => "gone".into(),
    };
    compiled.labels.services.iter().map(label).collect()
}

#[test]
fn pairs_of_groups_that_can_be_have_rows_and_keep_them() {
    let before = with_rules(|document| document);
    let first = compile(&before, HostIndex(0), &MACS, 2, Epoch(1), None).unwrap();
    let mut rows = services(&first);
    assert_eq!(rows.len(), first.snapshot.sizes().pairs);
    // web is here and out is a network; red's only endpoint has no group.
    let row = |compiled: &Compiled, tenant: usize, ips: [&str; 2]| {
        let (vni, policy) = (Vni::new([1001, 2001][tenant]).unwrap(), &compiled.snapshot.policies[tenant]);
        let classes = ips.map(|ip| policy.class(vni, ip.parse().unwrap()));
        compiled.snapshot.service.find(TenantId(tenant as u16), classes).index()
    };
    for (tenant, ips, name) in [
        (0, ["10.1.0.1", "10.1.0.3"], "0 web -"),
        (0, ["2001:db8::1", "10.1.0.1"], "0 web web"),
        (0, ["192.0.2.7", "10.1.0.1"], "0 out web"),
        (0, ["8.8.8.8", "10.1.0.1"], "0 - web"),
        (1, ["10.1.0.1", "8.8.8.8"], "1 - -"),
        // Neither is here: that there is none of its own says nothing.
        (0, ["192.0.2.7", "8.8.8.8"], "0 * *"),
    ] {
        assert_eq!(rows[row(&first, tenant, ips)], name);
    }
    rows.sort();
    assert_eq!(
        rows,
        ["0 * *", "0 - web", "0 out web", "0 web -", "0 web out", "0 web web", "1 * *", "1 - -"]
    );
    // A group comes before those that there are, and one goes.
    let other =
        |document: String| document.replace("{ name: out, cidr", "{ name: far, id: 9 }, { name: world, cidr");
    let after = with_rules(|document| other(document).replace("from: out", "from: world"));
    let second = next(&after, (&before, &first));
    let (old, new) = (services(&first), services(&second));
    for (row, name) in old.iter().enumerate() {
        assert_eq!(&new[row], if name.contains("out") { "gone" } else { name });
    }
    let mut more = new[old.len()..].to_vec();
    more.sort();
    assert_eq!(more, ["0 web world", "0 world web"]);
}

#[test]
fn pairs_have_rows_up_to_a_bound_and_those_of_rules_first() {
    let mut before = with_rules(|document| document);
    let tenant = &mut before.tenants[0];
    let group = tenant.groups[0].clone();
    for n in 0..60 {
        tenant.groups.push(checked::Group {
            name: format!("g{n}").parse().unwrap(),
            id: None,
            ..group.clone()
        });
        let mut endpoint = tenant.endpoints[0].clone();
        endpoint.name = format!("e{n}").parse().unwrap();
        endpoint.attach = Attach::Device(format!("net_null{}", 10 + n));
        endpoint.mac = Mac([2, 0, 0, 0, 2, n]);
        endpoint.ips = vec![format!("10.1.0.{}", 100 + n).parse().unwrap()];
        endpoint.groups = vec![checked::GroupIndex(tenant.groups.len() - 1)];
        tenant.endpoints.push(endpoint);
    }
    let (last, web) = (tenant.groups.len() - 1, 0);
    let pair = |client, server| checked::Rule {
        name: "named".parse().unwrap(),
        from: checked::Peer::Group(checked::GroupIndex(client)),
        to: checked::Peer::Group(checked::GroupIndex(server)),
        ..tenant.policy.rules[0].clone()
    };
    tenant.policy.rules = vec![pair(last, web)];
    let first = compile(&before, HostIndex(0), &MACS, 2, Epoch(1), None).unwrap();
    let rows = services(&first);
    // One more for each tenant, and both tenants have had their turns.
    assert_eq!(rows.len(), MOST_PAIRS + 2);
    assert!(rows.contains(&"0 g59 web".to_owned()) && rows.contains(&"1 - -".to_owned()));
    // All are given: what comes later is one of the others.
    let mut after = before.clone();
    after.tenants[0].groups[last].name = "late".parse().unwrap();
    let second = next(&after, (&before, &first));
    assert_eq!(services(&second).len(), rows.len());
    assert!(!services(&second).iter().any(|name| name.contains("late") || name.contains("g59")));
    let class = second.snapshot.policies[0].class(Vni::new(1001).unwrap(), "10.1.0.159".parse().unwrap());
    assert_eq!(services(&second)[second.snapshot.service.find(TenantId(0), [class, class]).index()], "0 * *");
}
