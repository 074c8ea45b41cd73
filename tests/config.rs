//! The fabric's document: what is accepted, and what is said of the rest.

use std::fmt::Write;
use std::path::Path;

use proptest::prelude::*;
use serde_json::Value;
use weft::config::checked::{
    Attach, Class, Dscp, GroupIndex, HostIndex, Hugepages, Mode, Peer, Poll, PortRange, SegmentIndex,
    Service, SessionLimits, Sessions, Tracking, Verdict, VhostMode,
};
use weft::config::scalar::Codepoint;
use weft::config::{self, Fabric, Location};
use weft_pipelines::flow::State;
use weft_pipelines::qos::Charge;

const GOOD: &str = include_str!("config/good.yaml");
const DESIGN: &str = include_str!("config/design.yaml");
const LAB: &str = include_str!("../examples/lab.yaml");
const MINIMAL: &str = include_str!("../examples/minimal.yaml");

#[test]
fn good_documents_are_accepted_without_a_word() {
    for (name, text) in [("good", GOOD), ("design", DESIGN), ("lab", LAB), ("minimal", MINIMAL)] {
        let fabric = accepted(text);
        assert!(fabric.warnings.list.is_empty(), "{name}: {}", fabric.warnings);
        let crlf = accepted(&text.replace('\n', "\r\n"));
        assert_eq!(crlf, fabric, "{name} with the line ends of another system");
    }
}

#[test]
fn what_is_said_arrives_and_what_is_not_has_its_default() {
    let fabric = accepted(DESIGN);
    assert_eq!((fabric.name.to_string(), fabric.vxlan_port), ("lab".to_owned(), 4789));
    let a = &fabric.hosts[fabric.host("hv-a").unwrap().0];
    assert_eq!((a.workers.cores.as_slice(), a.workers.poll), ([1].as_slice(), Poll::Adaptive));
    assert_eq!((a.memory.size, a.memory.hugepages), (512 << 20, Hugepages::Auto));
    assert_eq!(a.uplinks[0].addresses, ["198.51.100.1/24".parse().unwrap()]);
    let b = &fabric.hosts[1];
    assert_eq!((b.uplinks.len(), b.workers.cores.len(), b.memory), (0, 0, a.memory));
    assert_eq!(fabric.host("hv-c"), None);

    let blue = &fabric.tenants[0];
    let qos = blue.qos.as_ref().unwrap();
    assert_eq!((qos.rate, qos.ceil, qos.burst), (Some(1_000_000_000), Some(2_000_000_000), Some(256 << 10)));
    assert_eq!((qos.weight, qos.pps), (2, None));
    let [web1, db1] = blue.endpoints.as_slice() else { panic!("two endpoints") };
    let socket = Attach::VhostUser { path: "web1.sock".into(), mode: VhostMode::Server, queues: 1 };
    assert_eq!((web1.host, &web1.attach, web1.segment), (HostIndex(0), &socket, SegmentIndex(0)));
    assert_eq!((db1.host, db1.groups.as_slice()), (HostIndex(1), [GroupIndex(1)].as_slice()));
    assert_eq!(web1.at.0, Location { line: 20, column: 9 });

    let [first, second, third] = blue.policy.rules.as_slice() else { panic!("three rules") };
    assert_eq!((first.from, first.to), (Peer::Group(GroupIndex(0)), Peer::Group(GroupIndex(1))));
    assert_eq!((first.verdict, first.log, first.mode), (Verdict::Allow, false, Mode::Enforce));
    let ports = |first, last| Service::Tcp(PortRange::new(first, last).unwrap());
    assert_eq!(
        (second.services.as_slice(), second.log),
        ([ports(443, 443), ports(8000, 8099)].as_slice(), true)
    );
    assert_eq!((third.from, third.verdict), (Peer::Any, Verdict::Deny));

    let minimal = accepted(MINIMAL);
    let (host, demo) = (&minimal.hosts[0], &minimal.tenants[0]);
    assert_eq!((host.memory.size, host.memory.hugepages), (512 << 20, Hugepages::Off));
    assert_eq!((demo.policy.default, demo.policy.rules.len(), &demo.qos), (Verdict::Allow, 0, &None));
}

/// `good.yaml` with all that can be said of sessions.
fn with_sessions() -> String {
    let fabric = "fabric: { name: lab, sessions: { tcp: liberal, pick-up: false, timeouts: { tcp-opening: 5s, \
                  tcp-established: 2h, tcp-closing: 90s, tcp-time-wait: 1.5m, tcp-closed: 1s, udp: 10s, \
                  udp-replied: 1d, icmp: 7s, other: 8s, other-replied: 30d } } }";
    GOOD.replace("fabric: { name: lab }", fabric)
        .replace("    memory: { size", "    sessions: 1M\n    memory: { size")
        .replace("    segments:\n", "    sessions: { max: 2048, opening: 512, rate: 50k/s }\n    segments:\n")
        .replace("        groups: [db]\n", "        groups: [db]\n        sessions: { max: 4096 }\n")
}

#[test]
fn sessions_are_set_for_the_fabric_a_host_a_tenant_and_an_endpoint() {
    let fabric = accepted(&with_sessions());
    assert_eq!((fabric.sessions.tcp, fabric.sessions.pick_up), (Tracking::Liberal, false));
    let seconds = |state| fabric.sessions.timeouts.of(state).as_secs();
    let all: Vec<u64> = State::ALL.into_iter().map(seconds).collect();
    assert_eq!(all, [8, 2_592_000, 10, 86_400, 7, 7, 5, 5, 7_200, 90, 90, 90, 1]);
    assert_eq!((fabric.hosts[0].sessions, fabric.hosts[1].sessions), (1_000_000, 262_144));
    let [web1, db1] = &fabric.tenants[0].endpoints[..] else { panic!("two endpoints") };
    let limits = SessionLimits { max: Some(2_048), opening: Some(512), rate: Some(50_000) };
    assert_eq!((fabric.tenants[0].sessions, web1.sessions), (limits, limits));
    // What the endpoint does not say itself is as its tenant has it.
    assert_eq!(db1.sessions, SessionLimits { max: Some(4_096), ..limits });
    let plain = accepted(GOOD);
    assert_eq!(plain.sessions, Sessions::default());
    assert_eq!(plain.tenants[0].endpoints[0].sessions, SessionLimits::default());
}

/// `good.yaml` with all that can be said of traffic.
fn with_qos() -> String {
    let classes = "[{ name: voice, dscp: [ef, cs5, 44], strict: true, mark: ef }, { name: video, dscp: [af41, 35-38], \
                   weight: 4, mark: 34 }, { name: bulk, dscp: [cs1, 9-10], weight: 2 }]";
    let web1 =
        "{ rate: 10Mbit, pps: 100kpps, weight: 3, classes: [{ name: one }, { name: two, dscp: [0-62] }] }";
    GOOD.replace(
        "fabric: { name: lab }",
        "fabric: { name: lab, vxlan: { dscp: uniform }, qos: { overhead: 0, overlay: false } }",
    )
    .replace("mtu: 1600\n", "mtu: 1600\n        rate: 9.5Gbit\n")
    .replace("weight: 2 }", &format!("weight: 2, classes: {classes} }}"))
    .replace("        groups: [web]\n", &format!("        groups: [web]\n        qos: {web1}\n"))
}

#[test]
fn traffic_is_bounded_of_a_tenant_an_endpoint_and_an_uplink() {
    let fabric = accepted(&with_qos());
    assert_eq!((fabric.vxlan_dscp, fabric.charge), (Dscp::Uniform, Charge { overhead: 0, overlay: false }));
    assert_eq!(fabric.hosts[0].uplinks[0].rate, Some(9_500_000_000));
    let blue = &fabric.tenants[0];
    let [web1, db1] = &blue.endpoints[..] else { panic!("two endpoints") };
    let qos = web1.qos.as_ref().unwrap();
    assert_eq!((qos.rate, qos.ceil, qos.most()), (Some(10_000_000), None, Some(10_000_000)));
    assert_eq!((qos.pps, qos.weight, &db1.qos), (Some(100_000), 3, &None));

    let shown = |classes: &[Class]| -> Vec<String> {
        let one = |class: &Class| {
            let Class { name, dscp, rest, strict, weight, mark } = class;
            let packets = if *rest { format!("rest {}", dscp.iter().count()) } else { dscp.to_string() };
            format!("{name}: {packets}; {strict} {weight} {mark}")
        };
        classes.iter().map(one).collect()
    };
    // One is put behind those that are said, for what they leave.
    assert_eq!(
        shown(&blue.qos.as_ref().unwrap().classes),
        [
            "voice: cs5, va, ef; true 1 ef",
            "video: 34-38; false 4 af41",
            "bulk: 8-10; false 2 be",
            "rest: rest 53; false 1 be",
        ]
    );
    assert_eq!(shown(&qos.classes), ["one: rest 1; false 1 be", "two: 0-62; false 1 be"]);

    let plain = accepted(GOOD);
    assert_eq!((plain.vxlan_dscp, plain.charge), (Dscp::Pipe, Charge { overhead: 24, overlay: true }));
    assert_eq!(
        (plain.hosts[0].uplinks[0].rate, plain.tenants[0].qos.as_ref().unwrap().classes.len()),
        (None, 0)
    );
}

#[test]
fn each_dscp_is_in_one_class() {
    let names = "[{ name: rest, dscp: [1] }, { name: others, dscp: [2] }, { name: default, dscp: [3] }]";
    let four = "[{ name: a, dscp: [1], strict: true }, { name: b, strict: true }, { name: c, dscp: [3] }, \
                { name: d, dscp: [4-63] }]";
    for (classes, last) in [("[{ name: all }]", "all"), (names, "remaining"), (four, "d")] {
        let text = GOOD.replace("weight: 2 }", &format!("weight: 2, classes: {classes} }}"));
        let fabric = accepted(&text);
        let classes = &fabric.tenants[0].qos.as_ref().unwrap().classes;
        for codepoint in (0..64).map(Codepoint) {
            assert_eq!(
                classes.iter().filter(|class| class.dscp.contains(codepoint)).count(),
                1,
                "{codepoint}"
            );
        }
        assert_eq!((classes.last().unwrap().name.to_string(), classes.len() <= 4), (last.to_owned(), true));
    }
}

#[test]
fn a_hundred_thousand_rules_are_read_and_counted() {
    let mut text = GOOD.to_owned();
    for i in 0..100_000 {
        let (port, name) = (i % 60_000 + 1, if i == 99_999 { "r0".to_owned() } else { format!("r{i}") });
        writeln!(text, "        - {{ name: {name}, from: web, to: db, allow: [tcp/{port}] }}").unwrap();
    }
    let found = config::parse("f", &text).unwrap_err();
    assert_eq!(found.list.len(), 1, "{found}");
    assert!(found.list[0].message.contains("rule blue/r0: duplicate name"), "{found}");
    let fabric = accepted(&text.replacen("name: r0,", "name: first,", 1));
    assert_eq!(fabric.tenants[0].policy.rules.len(), 100_002);
}

#[test]
fn faults_are_told_completely() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config/faults.txt");
    let written = std::fs::read_to_string(&path).unwrap();
    let (head, cases) = written.split_once("\n## ").unwrap();
    let mut now = head.to_owned();
    for case in cases.split("\n## ") {
        let (title, body) = case.split_once('\n').unwrap();
        let change: String =
            body.lines().filter(|l| l.starts_with(['-', '+'])).fold(String::new(), |s, l| s + l + "\n");
        let found = match config::parse("fabric.yaml", &changed(title, &change)) {
            Ok(fabric) => fabric.warnings,
            Err(found) => found,
        };
        assert!(!found.list.is_empty(), "{title}: nothing was found");
        write!(now, "\n## {title}\n{change}{found}").unwrap();
    }
    if std::env::var_os("WEFT_BLESS").is_some() {
        std::fs::write(&path, &now).unwrap();
    }
    for (old, new) in written.split("\n## ").zip(now.split("\n## ")) {
        assert_eq!(old, new);
    }
    assert_eq!(written.len(), now.len());
}

/// `good.yaml` with text taken out (`-`) and other text put in its place (`+`); without `-`, the text put in.
fn changed(title: &str, change: &str) -> String {
    let mut document = GOOD.to_owned();
    let (mut out, mut into): (Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new());
    let mut apply = |out: &mut Vec<&str>, into: &mut Vec<&str>| {
        let from = out.join("\n");
        if from.is_empty() {
            document = into.join("\n");
        } else {
            assert!(document.contains(&from), "{title}: good.yaml has no {from}");
            document = document.replacen(&from, &into.join("\n"), 1);
        }
        out.clear();
        into.clear();
    };
    for line in change.lines() {
        let text = line.get(2..).unwrap_or_default();
        if line.starts_with('+') {
            into.push(text);
        } else {
            if !into.is_empty() {
                apply(&mut out, &mut into);
            }
            out.push(text);
        }
    }
    apply(&mut out, &mut into);
    document
}

#[test]
fn files_that_are_no_documents() {
    let folder = tempfile::tempdir().unwrap();
    let said = |path: &Path| {
        config::load(path).unwrap_err().to_string().replace(&*path.display().to_string(), "FILE")
    };
    assert_eq!(
        said(&folder.path().join("none")),
        "FILE: error: cannot be opened: No such file or directory (os error 2)\n"
    );
    assert_eq!(said(folder.path()), "FILE: error: is a directory; the document is one file\n");
    let latin = folder.path().join("latin");
    std::fs::write(&latin, b"fabric:\n  name: caf\xe9\n").unwrap();
    assert_eq!(said(&latin), "FILE:2:12: error: not UTF-8 text; save the document as UTF-8\n");
    let good = folder.path().join("good");
    std::fs::write(&good, format!("\u{feff}{GOOD}")).unwrap();
    assert!(config::load(&good).is_ok(), "a byte order mark is let pass");
}

#[test]
fn size_is_bounded() {
    let said = |text: &str| config::parse("f", text).unwrap_err().to_string();
    assert!(said(&" ".repeat((32 << 20) + 1)).contains("at most 33554432"));
    assert!(said(&"[".repeat(100_000)).starts_with("f:1:"));
    assert!(said(&"- ".repeat(100_000)).starts_with("f:1:"));
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for i in 1..20 {
        let below = format!("*a{}, ", i - 1).repeat(10);
        writeln!(bomb, "a{i}: &a{i} [{below}]").unwrap();
    }
    assert!(said(&bomb).contains("aliases followed"));
    let chain: String =
        (1..100).fold("a0: &a0 [x]\n".to_owned(), |s, i| format!("{s}a{i}: &a{i} [*a{}]\n", i - 1));
    assert!(said(&chain).contains("nested more than"));
    let junk = format!("{GOOD}{}", (0..5000).fold(String::new(), |s, i| format!("{s}junk{i}: 1\n")));
    assert_eq!(config::parse("f", &junk).unwrap_err().list.len(), 1001);
}

#[test]
fn anchors_may_be_used() {
    let text = GOOD
        .replace("qos: { rate", "qos: &share { rate")
        .replace("        groups: [db]\n", "        groups: [db]\n        qos: *share\n");
    let fabric = accepted(&text);
    assert_eq!(fabric.tenants[0].qos, fabric.tenants[0].endpoints[1].qos);
    assert!(fabric.tenants[0].qos.is_some());
}

#[test]
fn only_what_is_said_counts_as_different() {
    let moved = format!("# a line more\n{}", GOOD.replace("[10.1.0.11]", "\n          - 10.1.0.11"));
    assert_eq!(accepted(&moved), accepted(GOOD));
    assert_ne!(accepted(&GOOD.replace("10.1.0.11]", "10.1.0.13]")), accepted(GOOD));
}

#[test]
fn the_schema_accepts_what_is_accepted_and_says_what_each_key_is() {
    let schema = config::schema();
    let validator = jsonschema::validator_for(schema).unwrap();
    for text in [GOOD, DESIGN, LAB, MINIMAL, &with_sessions(), &with_qos()] {
        // As YAML 1.2 has it: `off` is a word.
        let options = serde_saphyr::options! { strict_booleans: true };
        let document: Value = serde_saphyr::from_str_with_options(text, options).unwrap();
        let errors: Vec<String> = validator.iter_errors(&document).map(|e| e.to_string()).collect();
        assert!(errors.is_empty(), "{errors:?}");
    }
    let mut keys = 0;
    describe("", schema, &mut keys);
    assert!(keys > 60, "only {keys} keys found");
    let text = schema.to_string();
    assert!(!text.contains("null"), "no key is given null");
}

fn describe(path: &str, schema: &Value, keys: &mut usize) {
    if let Some(Value::Object(properties)) = schema.get("properties") {
        for (key, property) in properties {
            *keys += 1;
            let text = property.get("description").and_then(Value::as_str).unwrap_or_default();
            assert!(text.len() > 10, "{path}/{key} has no description");
        }
    }
    match schema {
        Value::Object(map) => {
            map.iter().for_each(|(key, value)| describe(&format!("{path}/{key}"), value, keys))
        }
        Value::Array(list) => list.iter().for_each(|value| describe(path, value, keys)),
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// A refused document has a reason, and each reason that has a place has one within the document.
    #[test]
    fn nothing_panics(
        cuts in prop::collection::vec((any::<prop::sample::Index>(), 0..12usize, "[ -~\n]{0,6}|[{}:,&*\\[\\]\"'#|>-]|: |\\PC"), 0..6),
        end in any::<prop::sample::Index>(),
        truncate: bool,
        base in prop::sample::select(vec![GOOD, DESIGN, LAB, MINIMAL]),
    ) {
        let mut text: Vec<char> = base.chars().collect();
        for (at, len, new) in cuts {
            let at = at.index(text.len() + 1);
            let to = (at + len).min(text.len());
            text.splice(at..to, new.chars());
        }
        if truncate {
            text.truncate(end.index(text.len() + 1));
        }
        let text: String = text.into_iter().collect();
        if let Err(found) = config::parse("f", &text) {
            prop_assert!(found.has_errors());
            let lines = text.lines().count() as u32 + 1;
            for finding in &found.list {
                prop_assert!(finding.at.is_none_or(|at| at.line >= 1 && at.line <= lines.max(1) && at.column >= 1));
                prop_assert!(!finding.message.contains('\n'), "{:?}", finding.message);
            }
        }
    }
}

fn accepted(text: &str) -> Fabric {
    config::parse("fabric.yaml", text).unwrap_or_else(|found| panic!("{found}"))
}
