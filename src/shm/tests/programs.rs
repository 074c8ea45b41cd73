//! Programs in other languages read the same as the library.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use weft_pipelines::{Counters, PortId, Reason, Tick};

use super::{SIZES, made};
use crate::shm::record::{Kind, Ruling, State, mapped};
use crate::shm::{FILE, Label, Next, Reader, Record, What};
use crate::worker::Work;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A file with counters of two workers and more records than one ring has slots.
fn written() -> (tempfile::TempDir, PathBuf) {
    let (dir, mut file, mut workers, _) = made(2, 8);
    let port = |id, name: &str| Label::new(What::Port, id, name);
    let labels = [port(0, "up0"), port(1, "blue/web1"), Label::new(What::Rule, 3, "web-to-db").of(1)];
    file.labels(labels.clone()).unwrap();
    // Once more: the other buffer counts then.
    file.labels(labels).unwrap();
    for (number, worker) in (0..).zip(&mut workers) {
        let mut counters = Counters::new(SIZES);
        for _ in 0..=number {
            counters.port(PortId(1)).rx.add(60);
        }
        counters.port(PortId(0)).tx.add(110);
        counters.port(PortId(1)).drops.add(Reason::PolicyDenied, 3);
        worker.publish_all([&counters, &Counters::default()], &Work::default(), Tick(9));
        for flow in 0..3 + 8 * number {
            worker.record(&record(flow));
        }
    }
    let path = dir.path().join(FILE);
    (dir, path)
}

fn record(flow: u64) -> Record {
    let v6 = flow % 2 == 1;
    let address = |last: u8| match v6 {
        true => format!("2001:db8::{last}").parse().unwrap(),
        false => mapped([10, 1, 0, last].into()),
    };
    Record {
        flow,
        kind: if flow == 2 { Kind::End } else { Kind::Update },
        family: if v6 { 6 } else { 4 },
        protocol: 6,
        initiator: address(11),
        responder: address(12),
        initiator_l4: 40_000 + flow as u16,
        responder_l4: 5432,
        rule: if v6 { 4 } else { 3 },
        ruling: if v6 { Ruling::Denied } else { Ruling::Allowed },
        state: State::TcpEstablished,
        initiator_packets: 1 << 40,
        initiator_bytes: 60 * flow,
        responder_packets: 7,
        responder_bytes: u64::MAX,
        ..Record::default()
    }
}

/// What the examples print, by the library.
fn printed(path: &Path) -> String {
    let (reader, mut text) = (Reader::open(path).unwrap(), String::new());
    let (labels, ports) = (reader.labels().unwrap(), reader.counters("ports").unwrap().unwrap());
    for row in 0..ports.len() {
        let name = labels.name(What::Port, row as u32).map_or(row.to_string(), str::to_owned);
        let of = |field| ports.value(row, field).unwrap();
        let [rx, rx_bytes, tx, tx_bytes, drops] =
            ["rx_packets", "rx_bytes", "tx_packets", "tx_bytes", "drops"].map(of);
        writeln!(
            text,
            "port {name} rx {rx} packets {rx_bytes} bytes, tx {tx} packets {tx_bytes} bytes, {drops} dropped"
        )
        .unwrap();
    }
    let mut records = reader.records();
    for worker in 0..reader.workers() {
        loop {
            match records.next_of(worker) {
                Next::Record(found) => writeln!(text, "{}", line(&found.record, &labels)).unwrap(),
                Next::Lost(_) => {}
                Next::Nothing => break,
            }
        }
        let cursor = records.cursors()[worker];
        writeln!(text, "worker {worker}: {} records read, {} lost", cursor.read(), cursor.lost()).unwrap();
    }
    text
}

fn line(record: &Record, labels: &crate::shm::Labels) -> String {
    let Record { flow, kind, protocol, initiator_l4, responder_l4, rule, ruling, state, .. } = *record;
    let [from, to] = [(record.initiator_ip(), initiator_l4), (record.responder_ip(), responder_l4)]
        .map(|(ip, port)| std::net::SocketAddr::new(ip, port));
    let rule = labels.name(What::Rule, rule).map_or(rule.to_string(), str::to_owned);
    let Record { initiator_packets, initiator_bytes, responder_packets, responder_bytes, .. } = record;
    format!(
        "flow {flow} {} protocol {protocol} {from} -> {to} {} by {rule}, {}, {initiator_packets}+{responder_packets} \
        packets {initiator_bytes}+{responder_bytes} bytes",
        kind.name(),
        ruling.name(),
        state.name(),
    )
}

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{command:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

#[test]
fn c_reads_the_same() {
    let (dir, path) = written();
    let program = dir.path().join("flows");
    let warnings = ["-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", "-pedantic"];
    let source = [format!("{ROOT}/examples/stats/flows.c"), format!("-I{ROOT}/src/shm")];
    output(Command::new("cc").args(warnings).args(source).arg("-o").arg(&program));
    let said = output(Command::new(&program).arg(&path));
    assert_eq!(said, printed(&path));
    assert!(
        said.contains("flow 2 end protocol 6 10.1.0.11:40002 -> 10.1.0.12:5432 allowed by web-to-db"),
        "{said}"
    );
    assert!(said.contains("worker 0: 3 records read, 0 lost\n"), "{said}");
    assert!(said.contains("port blue/web1 rx 3 packets 180 bytes"), "{said}");
    std::fs::write(&path, [0; 5000]).unwrap();
    let refused = Command::new(&program).arg(&path).output().unwrap();
    assert_eq!(
        (refused.status.code(), refused.stderr),
        (Some(1), b"flows: not a statistics file of Weft\n".to_vec())
    );
}

#[test]
fn python_reads_the_same() {
    let (_dir, path) = written();
    let program = format!("{ROOT}/examples/stats/flows.py");
    assert_eq!(output(Command::new("python3").arg(&program).arg(&path)), printed(&path));
    let tables = output(Command::new("python3").args([&program, "--tables"]).arg(&path));
    assert!(
        tables.contains("records: 2 x 8 rows of 256 bytes\n") && tables.contains(" 148 kind 1 x 1\n"),
        "{tables}"
    );
    std::fs::write(&path, [0; 5000]).unwrap();
    let refused = Command::new("python3").arg(&program).arg(&path).output().unwrap();
    assert_eq!(refused.stderr, b"flows.py: not a statistics file of Weft\n");
}
