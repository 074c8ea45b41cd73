//! `weft replay --against`: recorded traffic under two documents.

use std::fs;
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;
use weft::replay::{Options, Replay};

use crate::lab::*;

/// What blue's policy is in place of its own, which allows all.
fn under(policy: &str) -> String {
    FABRIC.replacen("policy: { default: allow }", policy, 1)
}

const STRICT: &str = r#"groups: [{ name: near, cidr: [10.1.0.12/32] }]
    policy:
      default: deny
      rules:
        - { name: to-near, from: any, to: near, allow: [udp/9] }"#;

struct Lab(TempDir);

impl Lab {
    /// A folder with two documents and what web1 sent to two others.
    fn new(old: &str, new: &str) -> Self {
        let lab = Self(tempfile::tempdir().unwrap());
        lab.write("old.yaml", old.as_bytes());
        lab.write("new.yaml", new.as_bytes());
        let sent = [udp(WEB1, DB1, b"far"), udp(WEB1, WEB2, b"near"), udp(WEB1, DB1, b"again")];
        lab.write("web1.pcap", &pcap(&paced(sent)));
        lab.write("web2.pcap", &pcap(&paced([udp(WEB2, WEB1, b"back"), udp(WEB2, DB1, b"far")])));
        lab
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.0.path().join(name), bytes).unwrap();
    }

    fn replay(&self, arguments: &str) -> Output {
        let mut weft = Command::new(env!("CARGO_BIN_EXE_weft"));
        weft.current_dir(self.0.path());
        weft.args("replay old.yaml --host hv-a --out out --against new.yaml".split(' '));
        weft.args(arguments.split_whitespace()).output().unwrap()
    }

    /// What differs, as JSON.
    fn differs(&self, arguments: &str) -> Value {
        let output = self.replay(&format!("{arguments} --json"));
        assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
        let lines: Vec<Value> = output
            .stdout
            .split(|byte| *byte == b'\n')
            .filter_map(|line| serde_json::from_slice(line).ok())
            .collect();
        let [ledger, against] = lines.as_slice() else { panic!("two lines: {lines:?}") };
        assert_eq!(ledger["conserved"], true);
        against["against"].clone()
    }
}

fn line(text: &str, what: &str) -> usize {
    text.lines().position(|line| line.contains(what)).unwrap() + 1
}

#[test]
fn connections_that_would_be_decided_otherwise_are_told_with_both_rules() {
    let new = under(STRICT);
    let lab = Lab::new(FABRIC, &new);
    let output = lab.replay("--in blue/web1=web1.pcap");
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).unwrap();
    let (old, new) = (line(FABRIC, "default: allow"), line(&new, "default: deny"));
    let expected = format!(
        "\nagainst new.yaml: 1 of 2 connections would be decided otherwise\n  \
         blue/web1 to blue/db1, udp/9 from port 40000: allowed by the default (line {old}), now denied by the default \
         (line {new})\n\
         1 with the same verdict by another rule\n"
    );
    assert!(text.ends_with(&expected), "{text}");
    assert!(text.starts_with("PORT "), "{text}");
    // What is written is what the first document does.
    let sent = fs::read(lab.0.path().join("out/up0.pcap")).unwrap();
    assert_eq!(packets(&sent).len(), 2);
}

#[test]
fn what_was_denied_may_be_allowed() {
    let lab = Lab::new(&under(STRICT), FABRIC);
    let against = lab.differs("--in blue/web1=web1.pcap");
    let [difference] = against["differ"].as_array().unwrap().as_slice() else { panic!("{against}") };
    assert_eq!((&difference["from"], &difference["to"]), (&json!("blue/web1"), &json!("blue/db1")));
    assert_eq!((&difference["service"], &difference["source_port"]), (&json!("udp/9"), &json!(40000)));
    let action = |which: &str| difference[which]["action"].clone();
    assert_eq!((action("old"), action("new")), (json!("deny"), json!("allow")));
    assert_eq!((&against["connections"], &against["other_rule"]), (&json!(2), &json!(1)));
}

#[test]
fn the_same_document_decides_the_same() {
    let lab = Lab::new(&under(STRICT), &under(STRICT));
    let against = lab.differs("--in blue/web1=web1.pcap --in blue/web2=web2.pcap");
    let expected = json!({ "connections": 4, "differ": [], "other_rule": 0, "left_out": [] });
    assert_eq!(against, expected);
}

#[test]
fn both_directions_are_one_connection_whoever_is_seen_first() {
    let lab = Lab::new(FABRIC, &under(STRICT));
    let sent = udp(DB1, WEB1, b"answer");
    // From port 40000 to port 9, and back.
    let mut answer = sent.clone();
    answer[34..36].copy_from_slice(&9u16.to_be_bytes());
    answer[36..38].copy_from_slice(&40000u16.to_be_bytes());
    let to_fabric =
        replayed("hv-b", &[input("blue/db1", pcap(&[(START + SECOND, answer)]))], &Options::default());
    lab.write("up0.pcap", to_fabric.pcap("up0"));
    let against = lab.differs("--in blue/web1=web1.pcap --in up0=up0.pcap");
    assert_eq!((&against["connections"], against["differ"].as_array().unwrap().len()), (&json!(2), 1));
}

#[test]
fn what_no_longer_comes_to_policy_differs_if_it_passed() {
    let lab = Lab::new(FABRIC, &FABRIC.replacen("ip: [10.1.0.11]", "ip: [10.1.0.99]", 1));
    let against = lab.differs("--in blue/web1=web1.pcap");
    let differ = against["differ"].as_array().unwrap();
    assert_eq!(differ.len(), 2);
    assert!(differ.iter().all(|difference| difference["new"].is_null()), "{against}");
    let lab = Lab::new(&under(STRICT), &FABRIC.replacen("ip: [10.1.0.13]", "ip: [10.1.0.99]", 1));
    let against = lab.differs("--in blue/web1=web1.pcap");
    assert_eq!(against["differ"].as_array().unwrap().len(), 1);
}

#[test]
fn ports_that_the_new_document_lacks_are_left_out_of_both() {
    let new = under(STRICT).replacen("name: web2,", "name: other,", 1);
    let lab = Lab::new(FABRIC, &new);
    let against =
        lab.differs("--in blue/web1=web1.pcap --in blue/web2=web2.pcap --uplink-mac up0=02:00:00:00:00:0a");
    assert_eq!((&against["connections"], &against["left_out"]), (&json!(2), &json!(["blue/web2"])));
    let output = lab.replay("--in blue/web2=web2.pcap");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.ends_with("left out, for new.yaml has no such port here: blue/web2\n"), "{text}");
}

#[test]
fn a_document_without_the_host_or_with_faults_is_refused_before_anything_is_written() {
    let lab = Lab::new(FABRIC, &FABRIC.replace("hv-a", "hv-z"));
    let output = lab.replay("--in blue/web1=web1.pcap");
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said, "weft: new.yaml: there is no host hv-a; the fabric's hosts are hv-z, hv-b\n");
    lab.write("new.yaml", b"fabric: {");
    let output = lab.replay("--in blue/web1=web1.pcap");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().starts_with("new.yaml:"));
    assert!(!lab.0.path().join("out").exists());
}

/// Sessions that are over make room for new ones, however long a recording is.
#[test]
fn sessions_end_in_the_recordings_time() {
    let small = FABRIC.replace("vtep: 198.51.100.1\n", "vtep: 198.51.100.1\n    sessions: 1024\n");
    let small = small.replacen("policy: { default: allow }", STRICT, 1);
    let fabric = weft::config::parse("small", &small).unwrap();
    // Each is answered, and lasts 180 s: 720 live at a time.
    let port = |n: u64| (1024 + n as u16).to_be_bytes();
    let sent = |n: u64| {
        let mut frame = udp(WEB1, WEB2, b"x");
        frame[34..36].copy_from_slice(&port(n));
        (START + n * SECOND / 4, frame)
    };
    let answered = |n: u64| {
        let mut frame = udp(WEB2, WEB1, b"x");
        frame[34..36].copy_from_slice(&9u16.to_be_bytes());
        frame[36..38].copy_from_slice(&port(n));
        (START + n * SECOND / 4 + 1, frame)
    };
    let input = |port: &str, packet: &dyn Fn(u64) -> Stamped| {
        input(port, pcap(&(0..3_000).map(packet).collect::<Vec<_>>()))
    };
    let inputs = [input("blue/web1", &sent), input("blue/web2", &answered)];
    let outcome = Replay::new(&fabric, "hv-a", &inputs, &Options::default()).unwrap().run_in_memory();
    let totals = &outcome.report.totals;
    assert_eq!((totals.tx, totals.drops), (6_000, 0));
}
