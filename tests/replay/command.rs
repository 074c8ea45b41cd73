//! The command, as it is run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;
use weft::replay::Options;
use weft::report::FlowReport;

use crate::lab::*;

struct Lab(TempDir);

impl Lab {
    fn new() -> Self {
        let lab = Self(tempfile::tempdir().unwrap());
        lab.write("fabric.yaml", FABRIC.as_bytes());
        lab.write("web1.pcap", &pcap(&paced([udp(WEB1, DB1, b"far"), udp(WEB1, WEB2, b"near")])));
        lab
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap();
    }

    fn replay(&self, arguments: &str) -> Output {
        let mut weft = Command::new(env!("CARGO_BIN_EXE_weft"));
        weft.current_dir(self.0.path()).args(["replay", "fabric.yaml"]).args(arguments.split_whitespace());
        weft.output().unwrap()
    }

    /// A replay that is refused: what it says.
    fn refused(&self, arguments: &str) -> String {
        let output = self.replay(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments}: {}", stderr(&output));
        assert_eq!(output.stdout, b"");
        assert!(!self.path("out").exists());
        stderr(&output)
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn files(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    let mut files: Vec<_> = entries
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
        .collect();
    files.sort();
    files
}

#[test]
fn every_port_gets_a_file_and_the_ledger_is_json() {
    let lab = Lab::new();
    let output = lab.replay("--host hv-a --in blue/web1=web1.pcap --out out --json");
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
    let ledger: Value = serde_json::from_slice(&output.stdout).unwrap();
    let expected = json!({
        "host": "hv-a",
        "ports": {
            "blue/web1": { "rx": 2, "tx": 0, "drops": {} },
            "blue/web2": { "rx": 0, "tx": 1, "drops": {} },
            "red/web1": { "rx": 0, "tx": 0, "drops": {} },
            "up0": { "rx": 0, "tx": 1, "drops": {} },
        },
        "totals": {
            "rx": 2, "tx": 2, "drops": 0, "replicated": 0, "originated": 0, "consumed": 0, "held": 0,
        },
        "conserved": true,
    });
    assert_eq!(ledger, expected);
    let written = files(&lab.path("out"));
    let names: Vec<_> = written.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["blue.web1.pcap", "blue.web2.pcap", "red.web1.pcap", "up0.pcap"]);
    let counts = written.iter().map(|(_, bytes)| packets(bytes).len());
    assert_eq!(counts.collect::<Vec<_>>(), [0, 1, 0, 1]);
}

#[test]
fn two_runs_give_the_same_bytes() {
    let lab = Lab::new();
    let run = |out: &str, mode: &str| {
        let line = format!("--host hv-a --in blue/web1=web1.pcap --out {out} --json --neighbors {mode}");
        let output = lab.replay(&line);
        assert!(output.status.success());
        (output.stdout, files(&lab.path(out)))
    };
    for mode in ["assume", "arp"] {
        assert_eq!(run("one", mode), run("two", mode));
    }
}

#[test]
fn flows_are_lines_of_json_as_of_a_running_switch() {
    let lab = Lab::new();
    let line = "--host hv-a --in blue/web1=web1.pcap --out out --flows flows.jsonl";
    let output = lab.replay(line);
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
    let text = fs::read_to_string(lab.path("flows.jsonl")).unwrap();
    let flows: Vec<FlowReport> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told = |flow: &FlowReport| (flow.event.clone(), flow.end.clone(), flow.to.endpoint.clone());
    let told: Vec<_> = flows.iter().map(told).collect();
    let record = |event: &str, end: &str, to: &str| (event.to_owned(), end.to_owned(), Some(to.to_owned()));
    let expected = [
        record("start", "open", "blue/db1"),
        record("start", "open", "blue/web2"),
        record("end", "stopped", "blue/db1"),
        record("end", "stopped", "blue/web2"),
    ];
    assert_eq!(told, expected);
    let far = &flows[0];
    assert_eq!((far.started_unix_ns, far.written_unix_ns), (START, START));
    assert_eq!((far.tenant.as_str(), far.segment.as_str(), far.vni), ("blue", "front", 1001));
    assert_eq!((far.from.endpoint.as_deref(), far.rule.as_str()), (Some("blue/web1"), "default"));
    assert_eq!((flows[2].from.packets, flows[2].to.packets), (1, 0));
    // The same again, and the same in memory.
    lab.replay(line);
    assert_eq!(fs::read_to_string(lab.path("flows.jsonl")).unwrap(), text);
    let recording = input("blue/web1", fs::read(lab.path("web1.pcap")).unwrap());
    let options = Options { flows: true, ..Options::default() };
    assert_eq!(replayed("hv-a", &[recording], &options).0.flows, flows);
    // Places that can't be written to.
    let output = lab.replay("--host hv-a --in blue/web1=web1.pcap --out out --flows out/up0.pcap");
    assert_eq!(output.status.code(), Some(1));
    let said = "weft: the output of port up0: --flows names its file; give records another one\n";
    assert_eq!(stderr(&output), said);
    let output = lab.replay("--host hv-a --in blue/web1=web1.pcap --out out --flows none/flows.jsonl");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).starts_with("weft: none/flows.jsonl: "), "{}", stderr(&output));
}

#[test]
fn one_hosts_output_is_anothers_input_even_in_one_folder() {
    let lab = Lab::new();
    assert!(lab.replay("--host hv-a --in blue/web1=web1.pcap --out out").status.success());
    let sent = fs::read(lab.path("out/up0.pcap")).unwrap();
    let output = lab.replay("--host hv-b --in up0=out/up0.pcap --out out --json");
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(frames(&fs::read(lab.path("out/blue.db1.pcap")).unwrap()), [udp(WEB1, DB1, b"far")]);
    // The input was whole until the outputs were.
    assert_eq!(packets(&sent).len(), 1);
    assert_eq!(packets(&fs::read(lab.path("out/up0.pcap")).unwrap()), []);
}

#[test]
fn without_json_there_are_tables() {
    let lab = Lab::new();
    lab.write("liar.pcap", &pcap(&paced([udp(WEB2, DB1, b"")])));
    let output = lab.replay("--host hv-a --in blue/web1=web1.pcap --in blue/web1=liar.pcap --out out");
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).unwrap();
    for part in ["PORT", "blue/web1", "spoofed_mac", "every packet is accounted for"] {
        assert!(text.contains(part), "{part} in:\n{text}");
    }
}

#[test]
fn wrong_arguments_are_refused_with_what_would_be_right() {
    let lab = Lab::new();
    let said = lab.refused("--host hv-c --in up0=web1.pcap --out out");
    assert_eq!(said, "weft: there is no host hv-c; the fabric's hosts are hv-a, hv-b\n");
    let said = lab.refused("--host hv-a --in blue/web9=web1.pcap --out out");
    assert_eq!(
        said,
        "weft: host hv-a has no port blue/web9; its ports are up0, blue/web1, blue/web2, red/web1\n"
    );
    let said = lab.refused("--host hv-a --in up0=web1.pcap --out out --uplink-mac up1=02:00:00:00:00:01");
    assert_eq!(said, "weft: host hv-a has no uplink up1; its uplinks are up0\n");
    let said = lab.refused("--host hv-a --in up0=web1.pcap --out out --uplink-mac up0=ff:ff:ff:ff:ff:ff");
    assert!(said.contains("not a unicast address"), "{said}");
    let said = lab.refused("--host hv-a --in up0=web1.pcap --out out --uplink-mac up0=nonsense");
    assert!(said.contains("not a MAC address"), "{said}");
    let said = lab.refused("--host hv-a --in blue/web1=none.pcap --out out");
    assert!(said.starts_with("weft: none.pcap: cannot be opened"), "{said}");
    let said = lab.refused("--host hv-a --in blue/web1=fabric.yaml --out out");
    assert!(said.starts_with("weft: fabric.yaml: not a pcap or pcapng file"), "{said}");
    let said = lab.refused("--host hv-a --in web1.pcap --out out");
    assert!(said.contains("PORT=FILE"), "{said}");
    lab.refused("--host hv-a --out out");
    lab.write("fabric.yaml", b"fabric: {");
    lab.refused("--host hv-a --in blue/web1=web1.pcap --out out");
}

#[test]
fn a_recording_that_is_cut_off_is_said_to_be_so() {
    let lab = Lab::new();
    let whole = fs::read(lab.path("web1.pcap")).unwrap();
    lab.write("cut.pcap", &whole[..whole.len() - 3]);
    let output = lab.replay("--host hv-a --in blue/web1=cut.pcap --out out --json");
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(said.starts_with("weft: cut.pcap (blue/web1): cut off at byte"), "{said}");
    let ledger: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&ledger["totals"]["rx"], &ledger["conserved"]), (&json!(1), &json!(true)));
    assert_eq!(packets(&fs::read(lab.path("out/up0.pcap")).unwrap()).len(), 1);
}

#[test]
fn an_output_that_cannot_be_written_is_an_error() {
    let lab = Lab::new();
    lab.write("out", b"a file");
    let output = lab.replay("--host hv-a --in blue/web1=web1.pcap --out out");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).starts_with("weft: out: "), "{}", stderr(&output));
}

#[test]
fn what_was_odd_in_a_recording_is_said() {
    let lab = Lab::new();
    let mut bytes = pcap(&[(START + 1, udp(WEB1, WEB2, b"a")), (START, udp(WEB1, WEB2, b"b"))]);
    bytes[24 + 12..24 + 16].copy_from_slice(&1500u32.to_le_bytes());
    lab.write("odd.pcap", &bytes);
    let output = lab.replay("--host hv-a --in blue/web1=odd.pcap --out out");
    assert_eq!(output.status.code(), Some(0));
    let said = stderr(&output);
    assert!(said.contains("of 1 of 2 packets only the start was recorded"), "{said}");
    assert!(said.contains("1 of 2 packets have a stamp before"), "{said}");
}
