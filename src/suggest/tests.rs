use proptest::prelude::*;
use weft_pipelines::policy::linear;

use super::*;
use crate::config;

/// Each endpoint has a group of its own, and larger ones; but for lone, which has none.
const HEAD: &str = r#"
fabric: { name: lab }
hosts: [{ name: hv-a, vtep: 198.51.100.1 }]
tenants:
  - name: blue
    segments: [{ name: front, vni: 1001, subnet: [10.1.0.0/24, "fd00:1::/64"] }]
    groups:
      - { name: all }
      - { name: one }
      - { name: two }
      - { name: three }
      - { name: world, cidr: [0.0.0.0/0, "::/0"] }
      - { name: office, cidr: [10.9.0.0/16] }
    endpoints:
      - { name: a, host: hv-a, attach: { device: d0 }, segment: front, mac: "02:00:00:00:00:01", ip: [10.1.0.1, "fd00:1::1"], groups: [all, one] }
      - { name: b, host: hv-a, attach: { device: d1 }, segment: front, mac: "02:00:00:00:00:02", ip: [10.1.0.2, "fd00:1::2"], groups: [two, all] }
      - { name: c, host: hv-a, attach: { device: d2 }, segment: front, mac: "02:00:00:00:00:03", ip: [10.1.0.3], groups: [three, all] }
"#;

fn fabric(policy: &str) -> Fabric {
    config::parse("lab", &format!("{HEAD}{policy}")).unwrap()
}

fn flow(from: &str, to: &str, service: &str) -> Flow {
    let (from, to) = (from.parse().unwrap(), to.parse().unwrap());
    let purpose = service.parse().unwrap();
    Flow { tenant: "blue".into(), vni: Some(1001), from, to, purpose, packets: 2, reply_packets: 1 }
}

fn suggested<'a>(fabric: &'a Fabric, flows: &[Flow]) -> Suggestion<'a> {
    let (mut suggestions, strangers) = suggest(fabric, flows);
    assert!(strangers.is_empty());
    assert_eq!(suggestions.len(), 1);
    suggestions.remove(0)
}

#[test]
fn flows_between_two_groups_make_one_rule_with_ranges_of_what_is_adjacent() {
    let fabric = fabric("");
    let (a, b, office) = ("10.1.0.1", "10.1.0.2", "10.9.1.1");
    let mut flows: Vec<Flow> =
        ["tcp/82", "tcp/80", "tcp/81", "tcp/84", "udp/85", "icmp/8", "icmp/9", "tcp/80"]
            .into_iter()
            .map(|service| flow(a, b, service))
            .collect();
    flows.push(flow(office, b, "tcp/65535"));
    let suggestion = suggested(&fabric, &flows);
    let rules: Vec<_> = suggestion
        .rules
        .iter()
        .map(|rule| (rule.name.as_str(), rule.services.join(" "), rule.seen.flows, rule.seen.packets))
        .collect();
    let expected = [
        ("one-to-two", "icmp/8/0 icmp/9/0 tcp/80-82 tcp/84 udp/85".to_owned(), 8, 24),
        ("office-to-two", "tcp/65535".to_owned(), 1, 3),
    ];
    assert_eq!(rules, expected);
}

#[test]
fn what_rules_decide_already_is_not_suggested_again() {
    let fabric = fabric(
        r#"    policy:
      mode: audit
      default: deny
      rules:
        - { name: one-to-two, from: one, to: two, allow: [tcp/80] }
        - { name: no-ssh, from: any, to: any, deny: [tcp/22] }
"#,
    );
    let (a, b) = ("10.1.0.1", "10.1.0.2");
    let flows = [flow(a, b, "tcp/80"), flow(a, b, "tcp/22"), flow(a, b, "tcp/81"), flow(b, a, "tcp/80")];
    let suggestion = suggested(&fabric, &flows);
    assert_eq!(suggestion.allowed, 1);
    let names: Vec<_> = suggestion.rules.iter().map(|rule| rule.name.as_str()).collect();
    assert_eq!(names, ["one-to-two-2", "two-to-one"]);
    let left: Vec<_> = suggestion.left.iter().map(|(what, _)| what.as_str()).collect();
    assert_eq!(left, ["blue/a to blue/b, tcp/22: denied by rule no-ssh (line 23)"]);
}

#[test]
fn what_no_rule_can_say_is_told() {
    let mut fabric = fabric("");
    fabric.tenants[0].groups.retain(|group| group.name != "world");
    let flows = [
        flow("10.1.0.1", "10.1.0.2", "proto/47"),
        flow("10.1.0.1", "10.8.0.1", "tcp/80"),
        flow("fd00:9::1", "fd00:1::1", "tcp/80"),
        flow("fd00:9::1", "fd00:1::1", "tcp/80"),
    ];
    let mut zero = flow("10.1.0.1", "10.1.0.2", "tcp/1");
    zero.purpose.port = 0;
    let suggestion = suggested(&fabric, &[&flows[..], &[zero]].concat());
    assert_eq!(suggestion.rules, []);
    let left: Vec<_> = suggestion.left.iter().map(|(what, seen)| (what.as_str(), seen.flows)).collect();
    let expected = [
        ("blue/a to 10.8.0.1, tcp/80: 10.8.0.1 is in no group", 1),
        ("blue/a to blue/b, proto/47: no rule can name proto/47; only `any` means it too", 1),
        ("blue/a to blue/b, tcp/0: no rule can name port 0 alone", 1),
        ("fd00:9::1 to blue/a, tcp/80: fd00:9::1 is in no group", 2),
    ];
    assert_eq!(left, expected);
}

#[test]
fn tenants_that_are_not_there_are_told() {
    let fabric = fabric("");
    let flow = Flow { tenant: "green".into(), ..flow("10.1.0.1", "10.1.0.2", "tcp/80") };
    let (suggestions, strangers) = suggest(&fabric, &[flow]);
    assert_eq!((suggestions.len(), strangers.into_iter().collect::<Vec<_>>()), (0, vec!["green".to_owned()]));
}

#[test]
fn names_are_free_and_not_too_long() {
    let mut taken = BTreeSet::from(["a-to-b".to_owned()]);
    assert_eq!(free_name(&mut taken, "a", "b"), "a-to-b-2");
    assert_eq!(free_name(&mut taken, "a", "b"), "a-to-b-3");
    let long = "x".repeat(63);
    let names: BTreeSet<String> = (0..12).map(|_| free_name(&mut taken, &long, "b")).collect();
    assert_eq!(names.len(), 12);
    assert!(names.iter().all(|name| name.len() <= 63 && name.parse::<crate::config::Name>().is_ok()));
}

/// The document with the fragment pasted where it belongs.
fn pasted(text: &str, suggestion: &Suggestion<'_>) -> String {
    let fragment = suggestion.fragment();
    // At the end: the only tenant's policy, if it has one, is what stands last.
    format!("{text}{fragment}")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// With the rules in the document, and a default of deny, just the flows that were seen pass.
    #[test]
    fn the_fragment_allows_what_was_seen_and_nothing_else(
        flows in prop::collection::vec((0..3usize, 0..3usize, 0..8usize, any::<bool>()), 1..20),
        policy in 0..4usize,
    ) {
        let policy = [
            "",
            "    policy:\n      default: deny\n",
            "    policy:\n      mode: enforce\n      default: deny\n      rules:\n        - { name: one-to-two, from: one, to: two, allow: [tcp/80] }\n",
            "    policy:\n        default: deny\n        rules:\n        - name: one-to-two\n          from: one\n          to: two\n          allow: [tcp/80]\n",
        ][policy];
        let addresses = [["10.1.0.1", "fd00:1::1"], ["10.1.0.2", "fd00:1::2"], ["10.1.0.3", "10.1.0.3"]];
        let purposes = ["tcp/79", "tcp/80", "tcp/81", "tcp/1024", "udp/80", "sctp/80", "icmp/8", "icmp/5/1"];
        let asked = |from: usize, to: usize, purpose: usize| flow(addresses[from][0], addresses[to][0], purposes[purpose]);
        let seen: Vec<Flow> = flows
            .iter()
            .filter(|(from, to, ..)| from != to)
            .map(|(from, to, purpose, v6)| {
                // IPv6 where both have it: a rule is about both families.
                let v6 = usize::from(*v6 && *from < 2 && *to < 2 && *purpose < 6);
                let flow = asked(*from, *to, *purpose);
                Flow { from: addresses[*from][v6].parse().unwrap(), to: addresses[*to][v6].parse().unwrap(), ..flow }
            })
            .collect();
        prop_assume!(!seen.is_empty());
        let text = format!("{HEAD}{policy}");
        let fabric = config::parse("lab", &text).unwrap();
        let suggestion = suggested(&fabric, &seen);
        prop_assert_eq!(suggestion.left.len(), 0);
        let text = pasted(&text, &suggestion);
        // If there was no policy and nothing to add, all passes as before.
        prop_assume!(text.contains("policy:"));
        let fabric = match config::parse("pasted", &text) {
            Ok(fabric) => fabric,
            Err(found) => return Err(TestCaseError::fail(format!("{found}\n{text}"))),
        };
        let rules = &policies(&fabric)[0].rules;
        for from in 0..3 {
            for to in (0..3).filter(|to| *to != from) {
                for purpose in 0..purposes.len() {
                    let Flow { from: source, to: target, purpose: Purpose { protocol, port }, .. } = asked(from, to, purpose);
                    let question = Question { vni: Vni::new(1001).unwrap(), from: source, to: target, protocol, port };
                    let was_seen = flows.iter().any(|(a, b, c, _)| (*a, *b, *c) == (from, to, purpose));
                    let was_allowed = policy.contains("one-to-two") && (from, to, purpose) == (0, 1, 1);
                    let passes = linear::decide(rules, &question).action == Action::Allow;
                    prop_assert_eq!(passes, was_seen || was_allowed, "{:?} in\n{}", question, text);
                }
            }
        }
    }
}
