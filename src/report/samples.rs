//! Reports for tests: one that reads like a real one, and random ones.

use std::collections::BTreeMap;

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

use super::*;

fn counted(pairs: &[(&str, u64)]) -> BTreeMap<String, u64> {
    pairs.iter().map(|(name, n)| (name.to_string(), *n)).collect()
}

/// Two guests of one tenant on `hv-a`, one behind `hv-b`; every packet accounted for.
pub(crate) fn report() -> Report {
    let totals = Totals {
        rx: 2105,
        tx: 2060,
        drops: 46,
        replicated: 1,
        originated: 3,
        consumed: 1,
        held: 2,
        conserved: false,
    };
    Report {
        fabric: "lab".into(),
        host: "hv-a".into(),
        version: "0.1.0".into(),
        uptime_ns: 93_000_000_000,
        ports: ports(),
        tenants: tenants(),
        qos: qos(),
        endpoints: endpoints(),
        tunnels: tunnels(),
        drops: drops(),
        workers: workers(),
        totals: totals.settled(),
    }
}

/// The document in force.
pub(crate) fn document() -> Document {
    Document { host: "hv-a".into(), epoch: 3, text: "fabric: { name: lab }\n".into() }
}

/// A rule more, one less, one that says otherwise, and what cannot be done.
pub(crate) fn plan() -> Plan {
    let detail = |key: &str, old: Option<&str>, new: Option<&str>| Detail {
        key: key.into(),
        old: old.map(Into::into),
        new: new.map(Into::into),
    };
    let change = |kind, what: &str, name: &str, details: Vec<Detail>| Change {
        kind,
        what: what.into(),
        name: name.into(),
        details,
    };
    let session = |to: &str, old: &str, new: &str| SessionChange {
        tenant: "blue".into(),
        protocol: "tcp".into(),
        from: "10.1.0.11:40000".into(),
        to: to.into(),
        state: "established".into(),
        old: old.into(),
        new: new.into(),
    };
    Plan {
        host: "hv-a".into(),
        epoch: 3,
        changes: vec![
            change(
                ChangeKind::Changed,
                "endpoint",
                "blue/web1",
                vec![
                    detail("ip", Some("10.1.0.11"), Some("10.1.0.11, 10.1.0.13")),
                    detail("groups", Some("web"), None),
                ],
            ),
            change(
                ChangeKind::Added,
                "rule",
                "blue/ssh",
                vec![
                    detail("", None, Some("any -> web allow tcp/22 (log)")),
                    detail("place", None, Some("1")),
                ],
            ),
            change(
                ChangeKind::Changed,
                "rule",
                "blue/web-to-db",
                vec![detail("", Some("web -> db allow tcp/5432"), Some("web -> db allow tcp/5433"))],
            ),
            change(
                ChangeKind::Removed,
                "rule",
                "blue/telnet",
                vec![detail("", Some("any -> any deny tcp/23"), None)],
            ),
        ],
        restart: vec![detail(
            "host hv-a: memory",
            Some("512 MiB, hugepages auto"),
            Some("1024 MiB, hugepages off"),
        )],
        sessions: SessionChanges {
            examined: 1200,
            denied: 2,
            other_rule: 1,
            ended: 0,
            examples: vec![
                session("10.1.0.12:5432", "rule web-to-db", "denied by the default"),
                session("10.1.0.12:5434", "rule any", "allowed by rule ssh"),
            ],
        },
    }
}

/// The plan, carried out.
pub(crate) fn applied() -> Applied {
    let times = Times { read_ns: 812_000_000, compile_ns: 4_100_000, open_ns: 0, publish_ns: 900_000 };
    Applied { host: "hv-a".into(), epoch: 4, changes: plan().changes, times }
}

/// Which sessions are asked for.
pub(crate) fn filter() -> SessionFilter {
    SessionFilter { tenant: "blue".into(), protocol: "tcp".into(), limit: 7, ..SessionFilter::default() }
}

/// A session.
pub(crate) fn sessions() -> Sessions {
    let session = SessionReport {
        tenant: "blue".into(),
        vni: 1001,
        protocol: "tcp".into(),
        from: "10.1.0.11".into(),
        from_port: 40_000,
        to: "10.1.0.12".into(),
        to_port: 5_432,
        state: "established".into(),
        endpoint: "blue/web1".into(),
        worker: 1,
        rule: "web-to-db".into(),
        would_rule: "telnet".into(),
        would_deny: true,
        packets: 12,
        bytes: 1_234,
        reply_packets: 10,
        reply_bytes: 99_000,
        age_ns: 61_000_000_000,
        idle_ns: 5_000_000,
    };
    Sessions { total: 1200, matched: 1, sessions: vec![session] }
}

/// A rule and a default.
pub(crate) fn rules() -> Vec<RuleReport> {
    let rule = RuleReport {
        tenant: "blue".into(),
        name: "web-to-db".into(),
        place: Some(1),
        rule: "web -> db allow tcp/5432".into(),
        hits: 17,
        denied: 0,
        would_deny: 3,
        last_hit_ns: Some(2_000_000_000),
    };
    let default = RuleReport { name: "default".into(), place: None, last_hit_ns: None, ..rule.clone() };
    vec![rule, default]
}

fn ports() -> Vec<PortReport> {
    vec![
        PortReport {
            name: "up0".into(),
            kind: PortKind::Uplink,
            attach: "0000:3b:00.0".into(),
            worker: 0,
            mac: "02:00:00:00:00:0a".into(),
            mtu: 1600,
            link_up: true,
            rx: 905,
            rx_bytes: 1_305_500,
            tx: 1160,
            tx_bytes: 174_000,
            drops: counted(&[("unknown_vni", 4)]),
        },
        PortReport {
            name: "blue/web1".into(),
            kind: PortKind::Guest,
            attach: "vhost-user web1.sock".into(),
            worker: 0,
            mac: "02:00:00:00:01:01".into(),
            mtu: 1550,
            link_up: true,
            rx: 1200,
            rx_bytes: 118_000,
            tx: 900,
            tx_bytes: 1_260_000,
            drops: counted(&[("spoofed_ip", 30), ("spoofed_mac", 12), ("malformed", 0)]),
        },
        PortReport {
            name: "blue/web2".into(),
            kind: PortKind::Guest,
            attach: "vhost-user web2.sock".into(),
            worker: 1,
            mac: "02:00:00:00:01:03".into(),
            mtu: 1550,
            link_up: false,
            ..Default::default()
        },
    ]
}

fn tenants() -> Vec<TenantReport> {
    vec![
        TenantReport {
            name: "blue".into(),
            endpoints_here: 2,
            rx: 1200,
            rx_bytes: 118_000,
            tx: 900,
            tx_bytes: 1_260_000,
            to_fabric: 1155,
            from_fabric: 900,
            drops: counted(&[("spoofed_ip", 30), ("spoofed_mac", 12)]),
        },
        TenantReport { name: "green".into(), ..Default::default() },
    ]
}

/// A tenant with two endpoints, of which one is bounded and was held back.
fn qos() -> Vec<QosReport> {
    let limits = |rate, ceil, burst, weight| QosLimits {
        rate_bits_per_s: Some(rate),
        ceil_bits_per_s: Some(ceil),
        burst_bytes: Some(burst),
        weight,
        ..QosLimits::default()
    };
    let class = |name: &str, strict, weight| ClassReport { name: name.into(), strict, weight };
    let sent = MeterReport {
        passed_packets: 1200,
        passed_bytes: 146_800,
        beyond_rate_packets: 75,
        held_back_ns: 12_345_678,
        cycles: 246_285,
        worker_busy_cycles: 410_475,
    };
    let to_guest = QueueReport {
        passed_packets: 900,
        passed_bytes: 1_281_600,
        waited_packets: 150,
        waited_ns: 37_500_000,
        longest_wait_ns: 4_812_000,
        marked_packets: 7,
        dropped_packets: 2,
    };
    let to_fabric = QueueReport { passed_packets: 1155, passed_bytes: 201_510, ..QueueReport::default() };
    vec![
        QosReport {
            name: "blue".into(),
            limits: limits(1_000_000_000, 2_000_000_000, 256 << 10, 2),
            classes: Vec::new(),
            sent,
            to_guest,
            to_fabric,
        },
        QosReport {
            name: "blue/web1".into(),
            limits: QosLimits {
                packets_per_s: Some(100_000),
                burst_packets: Some(500),
                ..limits(500_000_000, 500_000_000, 312_500, 1)
            },
            classes: vec![class("voice", true, 1), class("video", false, 4), class("rest", false, 1)],
            sent,
            to_guest,
            to_fabric,
        },
        QosReport {
            name: "blue/web2".into(),
            limits: QosLimits { weight: 1, ..QosLimits::default() },
            classes: vec![class("all", false, 1)],
            ..QosReport::default()
        },
    ]
}

fn endpoints() -> Vec<EndpointReport> {
    let endpoint = |name: &str, last: u8, state| EndpointReport {
        tenant: "blue".into(),
        name: name.into(),
        host: "hv-a".into(),
        local: true,
        segment: "front".into(),
        vni: 1001,
        mac: format!("02:00:00:00:01:{last:02x}"),
        ips: vec![format!("10.1.0.{}", 10 + last)],
        groups: vec!["web".into()],
        state,
    };
    let mut db = endpoint("db1", 2, EndpointState::Remote);
    (db.host, db.local) = ("hv-b".into(), false);
    db.groups = vec!["db".into(), "backup".into()];
    db.ips.push("2001:db8:1::12".into());
    vec![
        endpoint("web1", 1, EndpointState::Connected),
        endpoint("web2", 3, EndpointState::Waiting),
        db,
        EndpointReport {
            tenant: "green".into(),
            name: "lone".into(),
            host: "hv-c".into(),
            state: EndpointState::Remote,
            segment: "s".into(),
            vni: 7,
            mac: "02:00:00:00:02:01".into(),
            ..Default::default()
        },
    ]
}

fn tunnels() -> Vec<TunnelReport> {
    let tunnel = |peer: &str, last: u8| TunnelReport {
        peer: peer.into(),
        vtep: format!("198.51.100.{last}"),
        uplink: "up0".into(),
        next_hop: format!("198.51.100.{last}"),
        ..Default::default()
    };
    vec![
        TunnelReport {
            neighbor: NeighborState::Reachable,
            mac: Some("02:00:00:00:00:0b".into()),
            tx: 1155,
            tx_bytes: 173_790,
            rx: 900,
            rx_bytes: 1_305_000,
            ..tunnel("hv-b", 2)
        },
        TunnelReport { neighbor: NeighborState::Incomplete, held: 2, ..tunnel("hv-c", 3) },
    ]
}

fn drops() -> Vec<DropReport> {
    let drop = |reason: &str, help: &str, by_port: &[(&str, u64)]| DropReport {
        reason: reason.into(),
        packets: by_port.iter().map(|(_, n)| n).sum(),
        help: help.into(),
        by_port: counted(by_port),
    };
    vec![
        drop("malformed", "The headers do not fit in the packet.", &[("blue/web1", 0)]),
        drop("spoofed_mac", "The guest sent from a MAC address that is not its own.", &[("blue/web1", 12)]),
        drop("spoofed_ip", "The source address is not one of the endpoint's.", &[("blue/web1", 30)]),
        drop("unknown_vni", "No segment of the fabric has the packet's VNI.", &[("up0", 4)]),
    ]
}

fn workers() -> Vec<WorkerReport> {
    let mut first = WorkerReport {
        id: 0,
        core: Some(1),
        poll: PollMode::Adaptive,
        ports: vec!["up0".into(), "blue/web1".into()],
        packets: 2105,
        polls: 90_000,
        empty_polls: 89_500,
        busy_cycles: 410_475,
        handed_over: 7,
        received_over: 0,
        sleeps: 12,
        epoch: 3,
        ..Default::default()
    };
    first.busy_cycles_per_packet = first.cycles_per_packet();
    let second = WorkerReport {
        id: 1,
        poll: PollMode::Busy,
        ports: vec!["blue/web2".into()],
        polls: 1_000_000,
        empty_polls: 1_000_000,
        received_over: 7,
        epoch: 3,
        ..Default::default()
    };
    vec![first, second]
}

prop_compose! {
    /// Any report at all.
    pub(crate) fn any_report()(
        names in (".*", ".*", ".*"),
        uptime_ns: u64,
        ports in vec(any_port(), 0..4),
        tenants in vec(any_tenant(), 0..4),
        qos in vec(any_qos(), 0..4),
        endpoints in vec(any_endpoint(), 0..4),
        tunnels in vec(any_tunnel(), 0..4),
        drops in vec(any_drop(), 0..4),
        workers in vec(any_worker(), 0..4),
        totals in any_totals(),
    ) -> Report {
        let (fabric, host, version) = names;
        Report {
            fabric, host, version, uptime_ns, ports, tenants, qos, endpoints, tunnels, drops, workers, totals,
        }
    }
}

fn any_counts() -> impl Strategy<Value = BTreeMap<String, u64>> {
    btree_map(".{0,8}", any::<u64>(), 0..4)
}

prop_compose! {
    fn any_port()(
        texts in (".{0,8}", ".{0,8}", ".{0,8}"),
        uplink: bool, worker: u32, mtu: u32, link_up: bool,
        counters: [u64; 4],
        drops in any_counts(),
    ) -> PortReport {
        let (name, attach, mac) = texts;
        let [rx, rx_bytes, tx, tx_bytes] = counters;
        let kind = if uplink { PortKind::Uplink } else { PortKind::Guest };
        PortReport { name, kind, attach, worker, mac, mtu, link_up, rx, rx_bytes, tx, tx_bytes, drops }
    }
}

prop_compose! {
    fn any_tenant()(name in ".{0,8}", counters: [u64; 7], drops in any_counts()) -> TenantReport {
        let [endpoints_here, rx, rx_bytes, tx, tx_bytes, to_fabric, from_fabric] = counters;
        TenantReport { name, endpoints_here, rx, rx_bytes, tx, tx_bytes, to_fabric, from_fabric, drops }
    }
}

prop_compose! {
    fn any_qos()(
        name in ".{0,8}",
        limits: [Option<u64>; 5],
        weight: u32,
        classes in vec((".{0,8}", any::<bool>(), any::<u32>()), 0..4),
        sent: [u64; 6],
        queues: [[u64; 7]; 2],
    ) -> QosReport {
        let [rate_bits_per_s, ceil_bits_per_s, burst_bytes, packets_per_s, burst_packets] = limits;
        let classes = classes.into_iter().map(|(name, strict, weight)| ClassReport { name, strict, weight });
        let [passed_packets, passed_bytes, beyond_rate_packets, held_back_ns, cycles, worker_busy_cycles] = sent;
        let [to_guest, to_fabric] = queues.map(|counters| {
            let [
                passed_packets, passed_bytes, waited_packets, waited_ns, longest_wait_ns, marked_packets,
                dropped_packets,
            ] = counters;
            QueueReport {
                passed_packets, passed_bytes, waited_packets, waited_ns, longest_wait_ns, marked_packets,
                dropped_packets,
            }
        });
        QosReport {
            name,
            limits: QosLimits {
                rate_bits_per_s, ceil_bits_per_s, burst_bytes, packets_per_s, burst_packets, weight,
            },
            classes: classes.collect(),
            sent: MeterReport {
                passed_packets, passed_bytes, beyond_rate_packets, held_back_ns, cycles, worker_busy_cycles,
            },
            to_guest,
            to_fabric,
        }
    }
}

prop_compose! {
    fn any_endpoint()(
        texts in (".{0,8}", ".{0,8}", ".{0,8}", ".{0,8}", ".{0,8}"),
        local: bool, vni: u32,
        ips in vec(".{0,8}", 0..3),
        groups in vec(".{0,8}", 0..3),
        state in prop::sample::select(vec![
            EndpointState::Connected, EndpointState::Waiting, EndpointState::Remote,
        ]),
    ) -> EndpointReport {
        let (tenant, name, host, segment, mac) = texts;
        EndpointReport { tenant, name, host, local, segment, vni, mac, ips, groups, state }
    }
}

prop_compose! {
    fn any_tunnel()(
        texts in (".{0,8}", ".{0,8}", ".{0,8}", ".{0,8}"),
        neighbor in prop::sample::select(vec![
            NeighborState::Static, NeighborState::Reachable, NeighborState::Stale,
            NeighborState::Incomplete, NeighborState::Unresolved,
        ]),
        mac in option::of(".{0,8}"),
        counters: [u64; 5],
    ) -> TunnelReport {
        let (peer, vtep, uplink, next_hop) = texts;
        let [tx, tx_bytes, rx, rx_bytes, held] = counters;
        TunnelReport { peer, vtep, uplink, next_hop, neighbor, mac, tx, tx_bytes, rx, rx_bytes, held }
    }
}

prop_compose! {
    fn any_drop()(
        reason in ".{0,8}", packets: u64, help in ".{0,8}", by_port in any_counts(),
    ) -> DropReport {
        DropReport { reason, packets, help, by_port }
    }
}

prop_compose! {
    fn any_worker()(
        id: u32,
        core in option::of(any::<u32>()),
        busy: bool,
        ports in vec(".{0,8}", 0..3),
        counters: [u64; 8],
        busy_cycles_per_packet in 0.0..1e12f64,
    ) -> WorkerReport {
        let [packets, polls, empty_polls, busy_cycles, handed_over, received_over, sleeps, epoch] = counters;
        let poll = if busy { PollMode::Busy } else { PollMode::Adaptive };
        WorkerReport {
            id, core, poll, ports, packets, polls, empty_polls, busy_cycles, busy_cycles_per_packet,
            handed_over, received_over, sleeps, epoch,
        }
    }
}

prop_compose! {
    fn any_totals()(counters: [u64; 7], conserved: bool) -> Totals {
        let [rx, tx, drops, replicated, originated, consumed, held] = counters;
        Totals { rx, tx, drops, replicated, originated, consumed, held, conserved }
    }
}
