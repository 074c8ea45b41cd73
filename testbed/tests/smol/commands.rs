//! The program by itself, without a switch.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use testbed::{Result, Spawn, WorkDir};

use crate::fabric::SOON;

pub fn by_standard_input() -> Result<()> {
    let dir = WorkDir::new()?;
    let spec = dir.join("guests.yaml");
    let text =
        "guests: [{ name: a, socket: /nowhere/a.sock, mac: '02:00:00:00:00:01', addresses: [10.0.0.1/24] }]";
    fs::write(&spec, text).expect("a directory of our own");
    let mut guests = Command::new(BINARY)
        .arg(&spec)
        .env("RUNTIME_DIRECTORY", dir.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program");
    let commands = [
        r#"{"id": 1, "do": "links"}"#,
        r#"{"id": 2, "do": "ping", "guest": "b", "to": "10.0.0.2"}"#,
        r#"{"id": 3, "do": "dance"}"#,
        r#"{"id": 4, "do": "ping", "guest": "a", "to": "10.0.0.2", "timeout_ms": 50}"#,
        "no JSON",
        r#"{"id": 5, "do": "tcp_received", "guest": "a", "port": 80, "ended": 1}"#,
        r#"{"id": 6, "do": "inject", "guest": "a", "frame_hex": "0g"}"#,
    ];
    // Its input stays open until it has answered all.
    let mut input = guests.stdin.take().expect("a pipe");
    input.write_all((commands.join("\n") + "\n").as_bytes()).expect("the program reads");
    let mut answers = Vec::new();
    let output = guests.stdout.take().expect("a pipe");
    for line in std::io::BufRead::lines(std::io::BufReader::new(output)).take(commands.len()) {
        answers.push(serde_json::from_str::<Value>(&line.expect("text")).expect("JSON"));
    }
    drop(input);
    assert!(guests.wait().expect("its end").success(), "the end of its input ends it");
    let answer = |id: u64| {
        let found = answers.iter().find(|answer| answer["id"] == id);
        found.unwrap_or_else(|| panic!("no answer {id} among {answers:?}"))
    };
    let error = |id| answer(id)["error"].as_str().unwrap_or_default();
    assert_eq!(answer(1)["ok"], json!({"a": false}));
    assert_eq!(error(2), "no guest b");
    assert!(error(3).contains("unknown variant `dance`"), "{}", error(3));
    assert_eq!((&answer(4)["ok"]["received"], error(4)), (&json!(0), ""));
    assert_eq!(error(5), "nobody listens at TCP port 80");
    assert!(error(6).contains("no hex"), "{}", error(6));
    assert!(error(0).contains("expected"), "{}", error(0));
    Ok(())
}

pub fn refused_specifications() -> Result<()> {
    let dir = WorkDir::new()?;
    let spec = dir.join("guests.yaml");
    let one = |mac: &str, address: &str| {
        format!("{{ name: a, socket: a, mac: '{mac}', addresses: ['{address}'] }}")
    };
    let good = "02:00:00:00:00:01";
    let cases = [
        (one("02:00", "10.0.0.1/24"), "`02:00` is no MAC address"),
        (one(good, "10.0.0.1"), "`10.0.0.1` is no address with a prefix"),
        (vec![one(good, "10.0.0.1/24"); 33].join(", "), "33 guests: a process has 32 at most"),
        ("{ nam: a }".into(), "nam"),
    ];
    for (guests, expected) in cases {
        fs::write(&spec, format!("guests: [{guests}]")).expect("a directory of our own");
        let spawn = Spawn::new(BINARY).arg(&spec).env("RUNTIME_DIRECTORY", dir.path());
        let output = spawn.run(SOON)?;
        assert!(output.status == 1 && output.stdout.contains(expected), "{expected}: {}", output.stdout);
    }
    Ok(())
}

const BINARY: &str = env!("CARGO_BIN_EXE_weft-guests");
