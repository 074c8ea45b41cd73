//! Rules and policies.

use super::*;

const RULES: &str = "    policy: { default: deny, mode: audit, rules: [
      { name: a, from: web, to: any, allow: [tcp/80, tcp/8000-8099] },
      { name: b, from: any, to: web, deny: [icmp/3/4, icmpv6/135, icmp], mode: enforce, log: true },
      { name: c, from: out, to: any, allow: [udp, sctp/1, any] } ] }
    endpoints:";

pub(super) fn with_rules(edit: impl Fn(String) -> String) -> Fabric {
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
