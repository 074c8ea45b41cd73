//! `weft show stages`: what each stage costs the workers of running switches.

use std::collections::BTreeMap;

use serde_json::Value;
use testbed::host::binary;
use testbed::{Host, Result, Spawn, WorkDir};

use crate::capture::{fabric, place};
use crate::fabric::{Fabric, SOON, v4};
use crate::trace::Trace;

/// What was counted of a stage.
#[derive(Debug, PartialEq, Eq)]
struct Stage {
    bursts: u64,
    packets: u64,
    cycles: u64,
}

/// What a host's switch counts for a second while guests ping from host to host.
fn counted(fabric: &Fabric, dir: &WorkDir, host: usize, more: &[&str]) -> Result<String> {
    let show = Spawn::new(binary()?)
        .named("show-stages")
        .args(["show", "stages"])
        .args(more)
        .args(place(fabric, host))
        .start_apart_in(dir)?;
    while show.exited().is_none() {
        assert_eq!(fabric.guests.ping("blue/a", v4(13), 1, SOON)?.lost, 0);
        assert_eq!(fabric.guests.ping("blue/a", v4(12), 1, SOON)?.lost, 0);
    }
    assert_eq!(show.wait(SOON)?.code(), 0, "{}", show.tail());
    Ok(show.out())
}

/// The rows of the one worker, by stage, in their order as well.
fn rows(json: &str) -> (Vec<String>, BTreeMap<String, Stage>) {
    let rows: Vec<Value> = serde_json::from_str(json).expect("JSON");
    let number = |row: &Value, key: &str| row[key].as_u64().expect("a number");
    let row = |row: &Value| {
        assert_eq!(number(row, "worker"), 0, "{row}");
        let stage = Stage {
            bursts: number(row, "bursts"),
            packets: number(row, "packets"),
            cycles: number(row, "cycles"),
        };
        (row["stage"].as_str().expect("a name").to_owned(), stage)
    };
    (rows.iter().map(|of| row(of).0).collect(), rows.iter().map(row).collect())
}

pub fn costs() -> Result<()> {
    let (fabric, dir) = fabric()?;
    let (order, stages) = rows(&counted(&fabric, &dir, 0, &["--json"])?);
    let wanted = [
        "receive",
        "decap",
        "parse",
        "carry_marks",
        "spoof_check",
        "forward",
        "lookup_flow",
        "check_policy",
        "meter",
        "encap",
        "deliver",
        "send",
        "rest",
    ];
    assert_eq!(order, wanted);
    for (name, stage) in &stages {
        assert!(stage.cycles > 0, "{name}: {stage:?}");
        if name != "rest" {
            assert!(stage.packets >= stage.bursts && stage.bursts > 0, "{name}: {stage:?}");
        }
    }
    // What one stage has gone over the next one of that way has too.
    let packets = |name: &str| stages[name].packets;
    assert_eq!(packets("receive"), packets("parse"));
    assert_eq!(packets("parse"), packets("check_policy"));
    assert_eq!(packets("decap") + packets("spoof_check"), packets("parse"));
    assert_eq!(packets("meter"), packets("spoof_check"));
    let table = counted(&fabric, &dir, 1, &["--seconds", "1"])?;
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    let heads = ["WORKER", "STAGE", "BURSTS", "PACKETS", "PACKETS/BURST", "CYCLES/PACKET", "SHARE"];
    assert_eq!(lines.first().map(Vec::as_slice), Some(&heads[..]), "{table}");
    assert!(lines[1..].iter().map(|line| line[1]).eq(wanted), "{table}");
    let cost =
        |name: &str| lines.iter().find(|line| line[1] == name).and_then(|line| line[5].parse::<f64>().ok());
    assert!(cost("parse").is_some_and(|cycles| cycles > 0.0) && cost("rest").is_none(), "{table}");
    wrong(&fabric.hosts[0], &["--seconds", "0"], "0 is not in 1..=60")?;
    wrong(&fabric.hosts[0], &["parse"], "unexpected argument 'parse' found")?;
    let traces =
        (0..4).map(|n| Trace::begin(&fabric, &dir, 0, &["--filter", "tcp", "--count", &(n + 1).to_string()]));
    let traces: Vec<Trace> = traces.collect::<Result<_>>()?;
    wrong(
        &fabric.hosts[0],
        &[],
        "4 captures, traces and profiles run already, which is as many as may at once",
    )?;
    traces.iter().for_each(Trace::interrupt);
    traces.iter().try_for_each(|trace| trace.ended().map(drop))?;
    // Whoever counted is gone too.
    let (order, _) = rows(&counted(&fabric, &dir, 0, &["--json"])?);
    assert_eq!(order, wanted);
    fabric.settle().map(drop)
}

/// Asserts that a switch, or the command before it, says so.
fn wrong(host: &Host, more: &[&str], said: &str) -> Result<()> {
    let output = host.command(&[&["show", "stages"], more].concat())?;
    assert!(output.status != 0 && output.stdout.contains(said), "{more:?}: {output:?}");
    Ok(())
}
