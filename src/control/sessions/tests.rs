//! Sessions with their names, and under another document.

use weft_pipelines::counters::Traffic;
use weft_pipelines::flow::State;
use weft_pipelines::{Epoch, PortId, Vni};

use super::*;
use crate::config;
use crate::control::compile::{self, Previous};

const DOCUMENT: &str = r#"
fabric: { name: lab }
hosts: [{ name: here, vtep: 198.51.100.1 }]
tenants:
  - name: blue
    segments: [{ name: front, vni: 1001, subnet: [10.1.0.0/24] }]
    groups: [{ name: web, id: 10 }, { name: db, id: 11 }]
    endpoints:
      - { name: web1, host: here, attach: { vhost-user: w1 }, segment: front, mac: "02:00:00:00:01:01", ip: [10.1.0.1], groups: [web] }
      - { name: db1, host: here, attach: { vhost-user: d1 }, segment: front, mac: "02:00:00:00:01:02", ip: [10.1.0.2], groups: [db] }
    policy:
      default: deny
      rules:
        - { name: to-db, from: web, to: db, allow: [tcp/5432, icmp] }
        - { name: audited, from: any, to: any, deny: [tcp/80], mode: audit }
        - { name: rest, from: web, to: any, allow: [tcp] }
  - name: red
    segments: [{ name: front, vni: 2001, subnet: [10.1.0.0/24] }]
"#;

fn compiled(fabric: &Fabric, previous: Option<(&Fabric, &Compiled)>) -> Compiled {
    let previous = previous.map(|(fabric, compiled)| Previous { fabric, compiled });
    let host = fabric.host("here").unwrap();
    compile::compile(fabric, host, &[], 1, Epoch(1), previous).unwrap()
}

/// A connection of web1 to db1, with the counter of the rule that lets it pass.
fn record(service: u16, rule: u32) -> SessionRecord {
    let traffic = |packets| Traffic { packets, bytes: packets * 100 };
    SessionRecord {
        vni: Vni::new(1001).unwrap(),
        protocol: 6,
        from: ("10.1.0.1".parse().unwrap(), 40_000),
        to: "10.1.0.2".parse().unwrap(),
        service,
        port: PortId(0),
        state: State::TcpEstablished,
        rule,
        would_rule: rule,
        would_deny: false,
        traffic: [traffic(3), traffic(2)],
        opened: Tick(1_000),
        last: Tick(8_000),
        now: Tick(9_000),
    }
}

#[test]
fn a_session_is_told_with_its_names_if_it_is_meant() {
    let fabric = config::parse("test", DOCUMENT).unwrap();
    let compiled = compiled(&fabric, None);
    let slots: Vec<u32> = compiled.policies[0].rules.rules.iter().map(|rule| rule.slot).collect();
    let mut view = View::new(&fabric, &compiled);
    let audited = SessionRecord { would_rule: slots[1], would_deny: true, ..record(80, slots[2]) };
    let session = view.report(&audited, 3, &SessionFilter::default()).unwrap();
    let expected = SessionReport {
        tenant: "blue".into(),
        vni: 1001,
        protocol: "tcp".into(),
        from: "10.1.0.1".into(),
        from_port: 40_000,
        to: "10.1.0.2".into(),
        to_port: 80,
        state: "established".into(),
        endpoint: "blue/web1".into(),
        worker: 3,
        rule: "rest".into(),
        would_rule: "audited".into(),
        would_deny: true,
        packets: 3,
        bytes: 300,
        reply_packets: 2,
        reply_bytes: 200,
        age_ns: 8_000,
        idle_ns: 1_000,
    };
    assert_eq!(session, expected);
    let mut rule = |slot| view.report(&record(1, slot), 0, &SessionFilter::default()).unwrap().rule;
    let default = compiled.policies[0].rules.default_slot;
    assert_eq!(
        (rule(default), rule(slots[0]), rule(99)),
        ("default".into(), "to-db".into(), "(removed)".into())
    );

    let whole = SessionFilter {
        tenant: "blue".into(),
        endpoint: "blue/web1".into(),
        address: "10.1.0.2".into(),
        protocol: "tcp".into(),
        state: "established".into(),
        rule: "rest".into(),
        limit: 0,
    };
    let mut means = |filter: SessionFilter| view.report(&audited, 0, &filter).is_some();
    assert!(means(whole.clone()));
    for other in [
        SessionFilter { tenant: "red".into(), ..whole.clone() },
        SessionFilter { endpoint: "blue/db1".into(), ..whole.clone() },
        SessionFilter { address: "10.1.0.3".into(), ..whole.clone() },
        SessionFilter { address: "nonsense".into(), ..whole.clone() },
        SessionFilter { protocol: "udp".into(), ..whole.clone() },
        SessionFilter { state: "closing".into(), ..whole.clone() },
        SessionFilter { rule: "to-db".into(), ..whole.clone() },
    ] {
        assert!(!means(other.clone()), "{other:?}");
    }
}

#[test]
fn rules_are_told_with_what_they_decided() {
    let fabric = config::parse("test", DOCUMENT).unwrap();
    let compiled = compiled(&fabric, None);
    let mut counters = vec![RuleCounters::default(); compiled.snapshot.slots];
    let of = &compiled.policies[0].rules;
    counters[of.rules[1].slot as usize] =
        RuleCounters { hits: 5, denied: 0, would_deny: 7, last_hit: Tick(2_000) };
    counters[of.default_slot as usize].denied = 9;
    let told = rules(&fabric, &compiled, "blue", &counters, Tick(3_000));
    let rows: Vec<_> = told.iter().map(|row| (row.name.as_str(), row.place, row.rule.as_str())).collect();
    assert_eq!(
        rows,
        [
            ("to-db", Some(1), "web -> db allow tcp/5432, icmp"),
            ("audited", Some(2), "any -> any deny tcp/80 (audit)"),
            ("rest", Some(3), "web -> any allow tcp"),
            ("default", None, "any -> any deny any"),
        ]
    );
    assert_eq!((told[1].hits, told[1].would_deny, told[1].last_hit_ns), (5, 7, Some(1_000)));
    assert_eq!((told[3].denied, told[3].last_hit_ns), (9, None));
    let all = rules(&fabric, &compiled, "", &counters, Tick(0));
    assert_eq!((all.len(), all[4].tenant.as_str(), all[4].rule.as_str()), (5, "red", "any -> any allow any"));
}

/// What becomes of `records` when the document is edited; `None` if nothing has to be looked at.
fn judged(edit: (&str, &str), records: &[SessionRecord], limit: usize) -> Option<SessionChanges> {
    let old = config::parse("old", DOCUMENT).unwrap();
    assert!(DOCUMENT.contains(edit.0));
    let new = config::parse("new", &DOCUMENT.replacen(edit.0, edit.1, 1)).unwrap();
    let before = compiled(&old, None);
    let now = compiled(&new, Some((&old, &before)));
    let mut judge = Judge::new(View::new(&old, &before), View::new(&new, &now), limit);
    judge.is_needed().then(|| {
        records.iter().for_each(|record| judge.judge(record));
        judge.changes()
    })
}

#[test]
fn sessions_are_judged_by_both_policies() {
    let records = [record(5432, 1), record(80, 3), record(443, 3)];
    let counts = |edit, records: &[SessionRecord]| {
        let changes = judged(edit, records, 9).unwrap();
        (changes.examined, changes.denied, changes.other_rule, changes.ended)
    };
    // Now 5432 passes by the last rule.
    let edit = ("tcp/5432, icmp", "icmp");
    assert_eq!(counts(edit, &records), (3, 0, 1, 0));
    let other = &judged(edit, &records, 9).unwrap().examples[0];
    assert_eq!((other.old.as_str(), other.new.as_str()), ("rule to-db", "allowed by rule rest"));
    assert_eq!((other.from.as_str(), other.to.as_str()), ("10.1.0.1:40000", "10.1.0.2:5432"));
    // What was audited is enforced.
    let changes = judged((", mode: audit", ""), &records, 9).unwrap();
    assert_eq!((changes.examined, changes.denied, changes.other_rule), (3, 1, 0));
    assert_eq!(changes.examples[0].new, "denied by rule audited");
    let edit = ("- { name: rest,", "- { name: others,");
    assert_eq!(counts(edit, &records), (3, 0, 2, 0));
    assert_eq!(counts(("ip: [10.1.0.2]", "ip: [10.1.0.3]"), &records), (3, 0, 1, 0));
    // The endpoint that a session counts for goes; so does a segment.
    assert_eq!(counts(("vhost-user: w1", "vhost-user: w2"), &records), (3, 0, 0, 3));
    assert_eq!(counts(("vni: 1001", "vni: 1002"), &records), (3, 0, 0, 3));
    let ping = SessionRecord { protocol: 1, service: 0x0800, state: State::IcmpReplied, ..record(0, 1) };
    let changes = judged(("tcp/5432, icmp", "tcp/5432"), &[ping], 9).unwrap();
    let example = &changes.examples[0];
    assert_eq!((changes.denied, example.protocol.as_str(), example.to.as_str()), (1, "icmp", "10.1.0.2"));
    assert_eq!(example.new, "denied by the default");
}

#[test]
fn sessions_are_not_looked_at_in_vain_and_not_all_are_told_one_by_one() {
    assert_eq!(judged(("name: lab", "name: other"), &[], 9), None);
    assert_eq!(judged(("  - name: red", "  - name: green"), &[record(1, 1)], 9).map(|c| c.examined), Some(1));
    let records: Vec<_> = (0..50).map(|n| record(if n % 2 == 0 { 80 } else { 5432 }, 1)).collect();
    let edit = (
        "tcp/5432, icmp] }\n        - { name: audited, from: any, to: any, deny: [tcp/80], mode: audit }",
        "icmp] }\n        - { name: audited, from: any, to: any, deny: [tcp/80] }",
    );
    let changes = judged(edit, &records, 30).unwrap();
    assert_eq!((changes.denied, changes.other_rule, changes.examples.len()), (25, 25, 30));
    assert!(changes.examples[..25].iter().all(|session| session.new.starts_with("denied")));
}
