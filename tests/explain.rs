//! `weft explain`: what it tells, and that it tells the truth.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::process::{Command, Output};

use proptest::prelude::*;
use serde_json::Value;
use weft::config::scalar::Codepoint;
use weft::config::{self, Fabric};
use weft::control::compile::compile;
use weft::explain::{Ask, Explanation, Purpose, SOURCE_PORT, Step, explain};
use weft_pipelines::policy::{Action, Decision, Question, linear};
use weft_pipelines::{Epoch, Vni};

/// Two hosts with Weft and one that is known as a peer; groups of endpoints and of addresses.
fn document(policy: &str) -> String {
    format!(
        r#"
fabric: {{ name: lab }}
hosts:
  - name: hv-a
    vtep: 198.51.100.1
    uplinks: [{{ name: up0, device: net_null0, address: [198.51.100.1/24] }}]
  - name: hv-b
    vtep: 203.0.113.2
    uplinks: [{{ name: wan, device: net_null0, address: [203.0.113.2/24], gateway: 203.0.113.1 }}]
  - {{ name: foreign, vtep: 198.51.100.3 }}
tenants:
  - name: blue
    segments:
      - {{ name: front, vni: 1001, subnet: [10.1.0.0/24, "fd00:1::/64"], gateway: [10.1.0.1] }}
      - {{ name: back, vni: 1002, subnet: [10.2.0.0/24] }}
    groups: [{{ name: web, id: 1 }}, {{ name: db, id: 2 }}, {{ name: office, cidr: [10.9.0.0/16] }}]
    endpoints:
      - {{ name: web1, host: hv-a, attach: {{ device: net_null1 }}, segment: front, mac: "02:00:00:00:01:01", ip: [10.1.0.11, "fd00:1::11"], groups: [web] }}
      - {{ name: web2, host: hv-a, attach: {{ device: net_null2 }}, segment: front, mac: "02:00:00:00:01:02", ip: [10.1.0.12], groups: [web] }}
      - {{ name: db1, host: hv-b, attach: {{ device: net_null1 }}, segment: front, mac: "02:00:00:00:01:03", ip: [10.1.0.13, "fd00:1::13"], groups: [db] }}
      - {{ name: old1, host: foreign, attach: {{ device: net_null1 }}, segment: front, mac: "02:00:00:00:01:04", ip: [10.1.0.14] }}
      - {{ name: far1, host: hv-b, attach: {{ device: net_null2 }}, segment: back, mac: "02:00:00:00:01:05", ip: [10.2.0.11], groups: [db] }}
    policy: {policy}
  - name: red
    segments: [{{ name: front, vni: 2001, subnet: [10.1.0.0/24] }}]
    endpoints:
      - {{ name: web1, host: hv-a, attach: {{ device: net_null3 }}, segment: front, mac: "02:00:00:00:01:01", ip: [10.1.0.11] }}
"#
    )
    .replace("vtep: 198.51.100.1\n    uplinks: [{ name: up0, device: net_null0, address: [198.51.100.1/24] }]", UPLINK_A)
}

/// hv-b is behind a router.
const UPLINK_A: &str = "vtep: 198.51.100.1
    uplinks: [{ name: up0, device: net_null0, address: [198.51.100.1/24], gateway: 198.51.100.254 }]";

const POLICY: &str = r#"
      default: deny
      rules:
        - { name: no-telnet, from: any, to: any, deny: [tcp/23], mode: audit }
        - { name: web-to-db, from: web, to: db, allow: [tcp/5432, tcp/23] }
        - { name: web-to-web, from: web, to: web, allow: [udp/53, icmp/8, icmpv6/128] }
        - { name: office-in, from: office, to: web, allow: [tcp/443] }
        - { name: old, from: any, to: any, allow: [sctp/3868, icmp/5/1] }
        - { name: out, from: web, to: office, allow: [tcp/25] }
"#;

fn fabric() -> Fabric {
    config::parse("lab", &document(POLICY)).unwrap()
}

fn ask(question: &str) -> Ask {
    let words: Vec<&str> = question.split(' ').collect();
    let [from, to, service, ipv6 @ ..] = words.as_slice() else { panic!("{question}") };
    Ask {
        from: from.parse().unwrap(),
        to: to.parse().unwrap(),
        purpose: service.parse().unwrap(),
        source: SOURCE_PORT,
        ipv6: !ipv6.is_empty(),
        dscp: Codepoint::default(),
    }
}

fn explained(question: &str) -> Explanation {
    explain(&fabric(), &ask(question)).unwrap()
}

fn refused(question: &str) -> String {
    explain(&fabric(), &ask(question)).unwrap_err().to_string()
}

/// The hosts and stages of a way.
fn stages(steps: &[Step]) -> Vec<String> {
    steps.iter().map(|step| format!("{} {}", step.host, step.stage)).collect()
}

/// The line of the rule called `name`.
fn line(name: &str) -> u32 {
    let text = document(POLICY);
    text.lines().position(|line| line.contains(&format!("name: {name},"))).unwrap() as u32 + 1
}

#[test]
fn a_connection_between_hosts_is_followed_all_the_way_and_back() {
    let told = explained("blue/web1 blue/db1 tcp/5432");
    let expected = ["parse", "spoof_check", "forward", "lookup_flow", "check_policy", "encap", "resolve"];
    let behind = ["decap", "parse", "forward", "lookup_flow", "check_policy", "deliver"];
    let way = |first: &str, second: &str| {
        let first = expected.iter().map(|stage| format!("{first} {stage}"));
        first.chain(behind.iter().map(|stage| format!("{second} {stage}"))).collect::<Vec<_>>()
    };
    assert_eq!(stages(&told.there), way("hv-a", "hv-b"));
    assert_eq!(stages(&told.back), way("hv-b", "hv-a"));
    assert!(told.passes);
    assert_eq!(told.verdict, "passes: blue/web1 reaches blue/db1 by tcp/5432, and the answer comes back");
    let says = |step: &Step| step.says.clone();
    let line = line("web-to-db");
    for step in told.there.iter().filter(|step| step.stage == "check_policy") {
        assert_eq!(says(step), format!("allowed by rule web-to-db (line {line}); a session is opened"));
    }
    for step in told.back.iter().filter(|step| step.stage == "check_policy") {
        let expected = format!("passes by its session, which was allowed by rule web-to-db (line {line})");
        assert_eq!(says(step), expected);
    }
    assert_eq!(says(&told.there[2]), "02:00:00:00:01:03 is on host hv-b: into the tunnel to it");
    assert_eq!(says(&told.there[7]), "wan: from the VTEP of hv-a; VNI 1001 is segment front of tenant blue");
    assert_eq!(says(&told.there[12]), "sent to blue/db1");
}

#[test]
fn a_packet_s_traffic_class_is_told_where_it_waits() {
    let classes = "qos: { classes: [{ name: voice, dscp: [ef], strict: true, mark: ef }, { name: rest }] }";
    let own = "groups: [db], qos: { classes: [{ name: bulk, dscp: [8-46] }, { name: more }] } }";
    let text = document(POLICY)
        .replace("  - name: blue\n", &format!("  - name: blue\n    {classes}\n"))
        .replace("\"fd00:1::13\"], groups: [db] }", &format!("\"fd00:1::13\"], {own}"));
    let fabric = config::parse("lab", &text).unwrap();
    for (question, dscp, mark, there, back) in [
        ("blue/web1 blue/db1 tcp/5432", "ef", ", DSCP ef", "voice", "bulk"),
        ("blue/web1 blue/db1 tcp/5432 6", "ef", ", DSCP ef", "voice", "bulk"),
        ("blue/web1 blue/db1 tcp/5432", "be", "", "rest", "more"),
    ] {
        let asked = Ask { dscp: dscp.parse().unwrap(), ..ask(question) };
        let told = explain(&fabric, &asked).unwrap();
        let says =
            |steps: &[Step], stage| steps.iter().find(|step| step.stage == stage).unwrap().says.clone();
        let ending = format!("{mark}; in traffic class {there} of blue/web1");
        assert!(says(&told.there, "encap").ends_with(&ending), "{}", says(&told.there, "encap"));
        assert_eq!(says(&told.there, "deliver"), format!("sent to blue/db1, in its traffic class {back}"));
        assert_eq!(says(&told.back, "deliver"), format!("sent to blue/web1, in its traffic class {there}"));
        // That of the sender, who gives bulk no mark.
        let ending = format!("; in traffic class {back} of blue/db1");
        let encap = says(&told.back, "encap");
        assert!(encap.ends_with(&ending) && !encap.contains("DSCP"), "{encap}");
    }
}

#[test]
fn a_refusal_names_the_rule_or_the_default_with_its_line() {
    let told = explained("blue/db1 blue/web1 tcp/5432");
    let default = document(POLICY).lines().position(|line| line.contains("default: deny")).unwrap() + 1;
    assert!(!told.passes && told.back.is_empty());
    assert_eq!(told.verdict, format!("does not pass: on hv-b denied by the default (line {default})"));
    assert_eq!(told.there.last().unwrap().dropped.as_deref(), Some("policy_denied"));
}

#[test]
fn what_is_only_audited_is_told_beside_what_decides() {
    let told = explained("blue/web1 blue/db1 tcp/23");
    assert!(told.passes);
    let expected = format!(
        "passes: blue/web1 reaches blue/db1 by tcp/23, and the answer comes back; were all enforced that is under \
         audit, rule no-telnet (line {}) would deny it",
        line("no-telnet")
    );
    assert_eq!(told.verdict, expected);
}

#[test]
fn families_and_services_of_all_kinds_pass_with_their_answers() {
    for (question, answered) in [
        ("blue/web1 blue/db1 tcp/5432 --ipv6", true),
        ("blue/web1 blue/web2 udp/53", true),
        ("blue/web1 blue/web2 icmp", true),
        ("blue/web1 10.1.0.12 icmp", true),
        ("fd00:1::11 blue/db1 sctp/3868", true),
        ("blue/db1 blue/web1 icmp/5/1", false),
    ] {
        let told = explained(question);
        assert!(told.passes, "{question}: {}", told.verdict);
        assert_eq!(!told.back.is_empty(), answered, "{question}");
        let ends = if answered { "and the answer comes back" } else { "which nobody answers" };
        assert!(told.verdict.ends_with(ends), "{}", told.verdict);
    }
    let told = explained("fd00:1::11 blue/db1 tcp/5432");
    assert_eq!((told.from.endpoint.as_deref(), told.passes), (Some("blue/web1"), true));
}

#[test]
fn addresses_outside_come_from_the_fabric_and_are_sent_into_it() {
    let told = explained("10.9.0.7 blue/web1 tcp/443");
    assert!(told.passes, "{}", told.verdict);
    assert_eq!(told.notes[0], "10.9.0.7 is no endpoint's: what it sends is taken to come from host hv-b");
    assert_eq!(stages(&told.there)[0], "hv-a decap");
    assert!(!explained("10.9.0.7 blue/web1 tcp/80").passes);
    assert!(!explained("10.8.0.7 blue/web1 tcp/443").passes);

    let told = explained("blue/web1 10.9.0.7 tcp/25");
    assert!(told.passes, "{}", told.verdict);
    let flooded = told.there.iter().find(|step| step.stage == "forward").unwrap();
    assert!(flooded.says.ends_with("flooded to blue/web2, host hv-b, host foreign"), "{}", flooded.says);
    assert!(told.notes[0].contains("a made-up MAC"), "{:?}", told.notes);
    assert!(!explained("blue/web1 10.9.0.7 tcp/26").passes);
}

#[test]
fn hosts_without_uplinks_are_only_spoken_to() {
    let told = explained("blue/web1 blue/old1 sctp/3868");
    assert!(told.passes, "{}", told.verdict);
    assert!(told.notes[0].starts_with("host foreign has no uplink in the document"), "{:?}", told.notes);
    assert_eq!(stages(&told.there).last().unwrap(), "hv-a resolve");
    assert!(explained("blue/old1 blue/web1 sctp/3868").passes);
}

#[test]
fn there_is_no_way_between_tenants_or_segments() {
    let told = explained("blue/web1 red/web1 tcp/80");
    assert_eq!(told.verdict, "does not pass: tenants blue and red are separate worlds, with no way across");
    let told = explained("blue/web1 blue/far1 tcp/5432");
    assert!(!told.passes && told.there.is_empty());
    assert!(told.verdict.contains("segments front and back, and Weft does not route"), "{}", told.verdict);
}

#[test]
fn questions_without_sense_are_refused_with_what_would_be_right() {
    for (question, said) in [
        ("blue/web9 blue/db1 tcp/1", "tenant blue has no endpoint `web9`; did you mean `web1`?"),
        (
            "blue:web blue/db1 tcp/1",
            "blue:web is a group; name one of its endpoints, as tenant/endpoint, or an address",
        ),
        ("web1 blue/db1 tcp/1", "`web1` is no end of a connection; did you mean `blue/web1`?"),
        (
            "10.9.0.1 10.1.0.11 tcp/1",
            "10.9.0.1 and 10.1.0.11 are addresses, which several tenants may have; write one of them as tenant/endpoint",
        ),
        ("blue/web1 blue/web2 tcp/1 --ipv6", "blue/web2 has no IPv6 address"),
        (
            "blue/web1 blue/db1 icmp --ipv6",
            "icmp/8 is of IPv4 and --ipv6 of IPv6; a connection is of one of them",
        ),
        ("blue/web1 fd00::9 icmp", "icmp/8 is of IPv4 and fd00::9 of IPv6; a connection is of one of them"),
        (
            "blue/web1 blue/db1 icmp/3",
            "icmp/3 is an error: it passes by the session of the packet that it is about, whatever the rules",
        ),
        (
            "blue/web1 blue/db1 icmpv6/135",
            "icmpv6/135 keeps the link itself going: it is held to the endpoint that sends it, and not to policy",
        ),
    ] {
        assert_eq!(refused(question), said, "{question}");
    }
}

fn weft(document: &str, arguments: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("fabric.yaml"), document).unwrap();
    let mut weft = Command::new(env!("CARGO_BIN_EXE_weft"));
    weft.current_dir(folder.path()).arg("explain").args(arguments.split_whitespace()).output().unwrap()
}

#[test]
fn the_command_prints_and_its_status_tells() {
    let document = document(POLICY);
    let ask = |service: &str| format!("--from blue/web1 --to blue/db1 {service} --fabric fabric.yaml");
    let output = weft(&document, &ask("tcp/5432"));
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), b"".as_slice()));
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines = text.lines();
    assert_eq!(
        lines.next(),
        Some("blue/web1 (10.1.0.11) to blue/db1 (10.1.0.13), tcp/5432, from port 40000")
    );
    assert_eq!(
        lines.next_back(),
        Some("passes: blue/web1 reaches blue/db1 by tcp/5432, and the answer comes back")
    );
    assert!(text.contains("\nthere\n  hv-a  parse         IPv4, tcp, 54 bytes\n"), "{text}");

    let output = weft(&document, &format!("{} --json", ask("tcp/22")));
    assert_eq!(output.status.code(), Some(1));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let last = told["there"].as_array().unwrap().last().unwrap();
    assert_eq!((&told["passes"], &last["dropped"]), (&false.into(), &"policy_denied".into()));
    assert_eq!((&last["ruling"]["action"], &last["ruling"]["rule"]), (&"deny".into(), &Value::Null));

    let output = weft(&document, &ask("tcp/0"));
    assert_eq!(output.status.code(), Some(2));
    let output = weft(&document, "--from blue/web9 --to blue/db1 tcp/1 --fabric fabric.yaml");
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said, "weft: tenant blue has no endpoint `web9`; did you mean `web1`?\n");
    assert_eq!(weft("fabric: {", &ask("tcp/1")).status.code(), Some(2));
}

/// What the rules of blue say, one after the other.
fn decided(fabric: &Fabric, told: &Explanation, purpose: Purpose) -> Decision {
    let compiled = compile(fabric, config::checked::HostIndex(0), &[], 1, Epoch(1), None).unwrap();
    let question = Question {
        vni: Vni::new(1001).unwrap(),
        from: told.from.address,
        to: told.to.address,
        protocol: purpose.protocol,
        port: purpose.port,
    };
    linear::decide(&compiled.policies[0].rules, &question)
}

fn any_rule() -> impl Strategy<Value = String> {
    let group = || prop::sample::select(vec!["any", "web", "db", "office"]);
    let service = prop::sample::select(vec![
        "any",
        "tcp",
        "tcp/80",
        "tcp/80-90",
        "udp/80",
        "icmp",
        "icmp/8",
        "sctp/1-80",
    ]);
    (group(), group(), service, any::<bool>(), any::<bool>()).prop_map(|(from, to, service, allow, audit)| {
        let (what, mode) = (if allow { "allow" } else { "deny" }, if audit { "audit" } else { "enforce" });
        format!("from: {from}, to: {to}, {what}: [{service}], mode: {mode}")
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_told_is_what_the_rules_say(
        rules in prop::collection::vec(any_rule(), 0..8),
        deny: bool,
        audit: bool,
        ends in prop::sample::subsequence(vec!["blue/web1", "blue/web2", "blue/db1", "10.9.0.7", "10.8.0.7"], 2),
        turned: bool,
        service in prop::sample::select(vec!["tcp/80", "tcp/90", "udp/80", "icmp", "sctp/80", "proto/47"]),
    ) {
        prop_assume!(ends[0].starts_with("blue"));
        let (default, mode) = (if deny { "deny" } else { "allow" }, if audit { "audit" } else { "enforce" });
        let rules = rules.iter().enumerate().map(|(n, rule)| format!("{{ name: r{n}, {rule} }}"));
        let rules = rules.collect::<Vec<_>>().join(", ");
        let text = document(&format!("{{ mode: {mode}, default: {default}, rules: [{rules}] }}"));
        let fabric = config::parse("lab", &text).unwrap();
        let (from, to) = if turned { (ends[1], ends[0]) } else { (ends[0], ends[1]) };
        let ask = ask(&format!("{from} {to} {service}"));
        let told = explain(&fabric, &ask).unwrap();
        let decision = decided(&fabric, &told, ask.purpose);
        prop_assert_eq!(told.passes, decision.action == Action::Allow, "{:?}", told);
        let ruling = told.there.iter().find_map(|step| step.ruling.as_ref()).unwrap();
        let rule = decision.rule.map(|rule| format!("r{rule}"));
        prop_assert_eq!((ruling.allows(), &ruling.by.rule), (told.passes, &rule));
        prop_assert_eq!(ruling.audit.is_some(), decision.would != decision.action);
    }
}
