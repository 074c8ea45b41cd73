//! Two documents, and what is told of their difference.

use super::*;
use crate::config;

const DOCUMENT: &str = r#"
fabric: { name: lab }
hosts:
  - name: hv-a
    vtep: 198.51.100.1
    uplinks: [{ name: up0, device: net_ring0, address: [198.51.100.1/24] }]
  - { name: hv-b, vtep: 198.51.100.2 }
tenants:
  - name: blue
    segments: [{ name: front, vni: 1001, subnet: [10.1.0.0/24] }]
    groups: [{ name: web, id: 10 }, { name: db, id: 11 }]
    endpoints:
      - { name: web1, host: hv-a, attach: { vhost-user: w1 }, segment: front, mac: "02:00:00:00:01:01", ip: [10.1.0.1], groups: [web] }
      - { name: db1, host: hv-b, attach: { vhost-user: d1 }, segment: front, mac: "02:00:00:00:01:02", ip: [10.1.0.2], groups: [db] }
    policy:
      default: deny
      rules:
        - { name: one, from: web, to: db, allow: [tcp/5432] }
        - { name: two, from: any, to: web, allow: [tcp/80, udp/5000-5999, icmp/3/4], log: true }
        - { name: three, from: db, to: any, deny: [icmpv6], mode: audit }
        - { name: four, from: any, to: any, deny: [any] }
"#;

/// The differences that an edit makes, a line each: `~ rule blue/one: was => is`.
fn told(edits: &[(&str, &str)]) -> Vec<String> {
    let document = edits.iter().fold(DOCUMENT.to_owned(), |document, (out, into)| {
        assert!(document.contains(out), "{out}");
        document.replacen(out, into, 1)
    });
    let (old, new) = (config::parse("old", DOCUMENT).unwrap(), config::parse("new", &document).unwrap());
    let line = |change: Change| {
        let sign = match change.kind {
            ChangeKind::Added => '+',
            ChangeKind::Removed => '-',
            ChangeKind::Changed => '~',
        };
        format!("{sign} {} {}: {}", change.what, change.name, words::list(change.details.iter().map(detail)))
    };
    changes(&old, &new).into_iter().map(line).collect()
}

fn detail(detail: &Detail) -> String {
    let Detail { key, old, new } = detail;
    let value = |value: &Option<String>| value.clone().unwrap_or("-".to_owned());
    format!("{key}[{} => {}]", value(old), value(new))
}

#[test]
fn nothing_differs_where_nothing_is_said_otherwise() {
    assert!(told(&[]).is_empty());
    assert!(told(&[("rules:\n", "rules: # the first that matches decides\n")]).is_empty());
    // Groups in another order are the same groups.
    let groups = "{ name: web, id: 10 }, { name: db, id: 11 }";
    assert!(told(&[(groups, "{ name: db, id: 11 }, { name: web, id: 10 }")]).is_empty());
}

#[test]
fn rules_are_told_as_they_read() {
    assert_eq!(
        told(&[("allow: [tcp/5432]", "allow: [tcp/5432, tcp/5433-5434], mode: audit")]),
        ["~ rule blue/one: [web -> db allow tcp/5432 => web -> db allow tcp/5432, tcp/5433-5434 (audit)]"]
    );
    assert_eq!(
        told(&[(
            "        - { name: two, from: any, to: web, allow: [tcp/80, udp/5000-5999, icmp/3/4], log: true }\n",
            ""
        )]),
        ["- rule blue/two: [any -> web allow tcp/80, udp/5000-5999, icmp/3/4 (log) => -]"]
    );
    let added = "        - { name: new, from: db, to: db, allow: [sctp, icmp/8] }\n        - { name: three,";
    assert_eq!(
        told(&[("        - { name: three,", added)]),
        ["+ rule blue/new: [- => db -> db allow sctp, icmp/8], place[- => 3]"]
    );
    assert_eq!(
        told(&[("name: four,", "name: last,")]),
        [
            "+ rule blue/last: [- => any -> any deny any], place[- => 4]",
            "- rule blue/four: [any -> any deny any => -]"
        ]
    );
}

#[test]
fn the_fewest_rules_that_stand_elsewhere_are_told() {
    let three = "        - { name: three, from: db, to: any, deny: [icmpv6], mode: audit }\n";
    let one = "        - { name: one,";
    assert_eq!(told(&[(three, ""), (one, &format!("{three}{one}"))]), ["~ rule blue/three: place[3 => 1]"]);
    // It was moved and changed.
    let changed = three.replace("icmpv6", "icmp");
    assert_eq!(
        told(&[(three, ""), (one, &format!("{changed}{one}"))]),
        ["~ rule blue/three: [db -> any deny icmpv6 (audit) => db -> any deny icmp (audit)], place[3 => 1]"]
    );
}

#[test]
fn tenants_and_what_they_have_are_told() {
    assert_eq!(
        told(&[
            (
                "name: lab }",
                "name: lab, sessions: { tcp: liberal, timeouts: { tcp-established: 2h, udp: 90s } } }"
            ),
            (
                "vtep: 198.51.100.2 }",
                "vtep: 198.51.100.3, sessions: 2k }\n  - { name: hv-c, vtep: 198.51.100.4 }"
            ),
            ("default: deny", "default: allow"),
            ("subnet: [10.1.0.0/24]", "subnet: [10.1.0.0/24, 10.9.0.0/24], gateway: [10.9.0.1]"),
            ("{ name: db, id: 11 }", "{ name: db }, { name: office, cidr: [192.0.2.0/24] }"),
            ("    segments:", "    sessions: { max: 2048 }\n    segments:"),
            ("host: hv-a, attach: { vhost-user: w1 }", "host: hv-c, attach: { device: net_tap0 }"),
            (
                "mac: \"02:00:00:00:01:02\", ip: [10.1.0.2], groups: [db] }",
                "mac: \"02:00:00:00:01:02\", ip: [10.1.0.2], groups: [db, web], sessions: { rate: 5/s } }"
            ),
        ]),
        [
            "~ fabric lab: sessions.tcp[strict => liberal], sessions.timeouts.tcp-established[124m => 2h], \
             sessions.timeouts.udp[30s => 90s]",
            "~ host hv-b: vtep[198.51.100.2 => 198.51.100.3], sessions[262144 => 2000]",
            "+ host hv-c: [- => vtep 198.51.100.4]",
            "~ tenant blue: sessions[- => max 2048]",
            "~ segment blue/front: subnet[10.1.0.0/24 => 10.1.0.0/24, 10.9.0.0/24], gateway[- => 10.9.0.1]",
            "~ group blue/db: id[11 => -]",
            "+ group blue/office: cidr[- => 192.0.2.0/24]",
            "~ endpoint blue/web1: host[hv-a => hv-c], attach[vhost-user w1 => net_tap0]",
            "~ endpoint blue/db1: groups[db => db, web], sessions[- => max 2048, rate 5/s]",
            "~ policy blue: default[deny => allow]",
        ]
    );
    assert_eq!(
        told(&[("  - name: blue", "  - name: green")]),
        [
            "+ tenant green: [- => 1 segments, 2 groups, 2 endpoints, 4 rules]",
            "- tenant blue: [1 segments, 2 groups, 2 endpoints, 4 rules => -]",
        ]
    );
}

#[test]
fn what_is_said_of_traffic_is_told() {
    assert_eq!(
        told(&[
            ("name: lab }", "name: lab, vxlan: { dscp: uniform }, qos: { overhead: 0, overlay: false } }"),
            ("address: [198.51.100.1/24] }", "address: [198.51.100.1/24], rate: 9.5Gbit }"),
            (
                "    segments:",
                "    qos: { rate: 1Gbit, ceil: 2Gbit, burst: 256KiB, pps: 1.5Mpps, weight: 2, classes: [{ name: voice, dscp: \
                 [ef, cs5], strict: true, mark: ef }, { name: rest, weight: 4 }] }\n    segments:"
            ),
            (
                "mac: \"02:00:00:00:01:02\", ip: [10.1.0.2], groups: [db] }",
                "mac: \"02:00:00:00:01:02\", ip: [10.1.0.2], groups: [db], qos: { ceil: 10Mbit } }"
            ),
        ]),
        [
            "~ fabric lab: vxlan.dscp[pipe => uniform], qos.overhead[24 bytes => 0 bytes], \
             qos.overlay[true => false]",
            "~ host hv-a: uplink up0[net_ring0, 198.51.100.1/24, mtu 1600 => net_ring0, 198.51.100.1/24, mtu 1600, \
             rate 9.5Gbit]",
            "~ tenant blue: qos[- => rate 1Gbit, ceil 2Gbit, burst 256KiB, pps 1.5Mpps, weight 2], \
             qos.classes[- => voice (cs5, ef; strict, mark ef), rest (all other; weight 4)]",
            "~ endpoint blue/db1: qos[- => ceil 10Mbit, weight 1]",
        ]
    );
}

#[test]
fn what_a_running_switch_cannot_take_up_is_told_with_its_keys() {
    let restart = |out: &str, into: &str| {
        let document = DOCUMENT.replacen(out, into, 1);
        assert_ne!(document, DOCUMENT);
        let (old, new) = (config::parse("old", DOCUMENT).unwrap(), config::parse("new", &document).unwrap());
        super::restart(&old, &new, "hv-a").iter().map(detail).collect::<Vec<_>>()
    };
    let uplink = "net_ring0, 198.51.100.1/24, mtu 1600";
    for (out, into, expected) in [
        ("name: lab }", "name: lab, vxlan: { port: 4790 } }", "fabric: vxlan.port[4789 => 4790]".to_owned()),
        (
            "    uplinks:",
            "    workers: { cores: [1, 2] }\n    uplinks:",
            "host hv-a: workers[one, adaptive => cores 1, 2, adaptive]".into(),
        ),
        (
            "    uplinks:",
            "    memory: { size: 1GiB, hugepages: off }\n    uplinks:",
            "host hv-a: memory[512 MiB, hugepages auto => 1024 MiB, hugepages off]".into(),
        ),
        ("    uplinks:", "    sessions: 1M\n    uplinks:", "host hv-a: sessions[262144 => 1000000]".into()),
        (
            "/24] }]",
            "/24], gateway: 198.51.100.9, neighbors: [{ ip: 198.51.100.2, mac: \"02:00:00:00:09:02\" }] }]",
            format!(
                "host hv-a: uplink up0[{uplink} => {uplink}, gateway 198.51.100.9, neighbors 198.51.100.2 at 02:00:00:00:09:02]"
            ),
        ),
    ] {
        assert_eq!(restart(out, into), [expected]);
    }
    // What is assured and bounded is in force at once, an uplink's rate included.
    for (out, into) in [
        ("name: lab }", "name: lab, vxlan: { dscp: uniform }, qos: { overhead: 0, overlay: false } }"),
        ("address: [198.51.100.1/24] }", "address: [198.51.100.1/24], rate: 9.5Gbit }"),
        ("    segments:", "    qos: { rate: 1Gbit, classes: [{ name: all }] }\n    segments:"),
        ("ip: [10.1.0.1],", "ip: [10.1.0.1], qos: { rate: 1Gbit },"),
    ] {
        assert_eq!(restart(out, into), [""; 0]);
    }
    assert_eq!(
        restart("address: [198.51.100.1/24] }", "address: [198.51.100.1/24], rate: 9.5Gbit, mtu: 1700 }"),
        [format!(
            "host hv-a: uplink up0[{uplink}, rate 9.5Gbit => net_ring0, 198.51.100.1/24, mtu 1700, rate 9.5Gbit]"
        )]
    );
    // Of another host everything may change.
    assert!(
        restart("vtep: 198.51.100.2 }", "vtep: 198.51.100.3, sessions: 2k, memory: { size: 1GiB } }")
            .is_empty()
    );
}
