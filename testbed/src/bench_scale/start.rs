//! How long a large fabric takes: to start a switch, to check its document, and to put a change of one rule in force.

use std::process::Command;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::{Value, json};

use super::fabric::{Attach, Fabric};
use super::switch::{self, Footprint, Switch};
use super::{Effort, Part};
use crate::bench::figures::{grouped, middle};
use crate::bench::ground::Ground;
use crate::error::Doing;
use crate::{Error, Result};

/// One run; times are in milliseconds.
#[derive(Clone, Debug, Serialize)]
struct Run {
    ready: f64,
    check: f64,
    /// All of `weft apply`, as who calls it waits for it.
    apply: f64,
    /// What it says of this itself.
    told: Told,
    /// Once it is ready, and after the change.
    footprints: [Footprint; 2],
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Told {
    read: f64,
    compile: f64,
    publish: f64,
}

pub fn measure(ground: &Ground, effort: Effort) -> Result<Part> {
    let (endpoints, local) = effort.endpoints;
    let rules = effort.rules[effort.rules.len() - 1];
    let memory = (effort.memory, ground.pages);
    let fabric = Fabric {
        local: vec![Attach::Socket; local],
        remote: endpoints - local,
        rules,
        ..Fabric::of_sockets(memory, 0)
    };
    let runs = (0..effort.rounds).map(|_| run(ground, &fabric)).collect::<Result<Vec<_>>>()?;
    let of = |what: fn(&Run) -> f64| middle(runs.iter().map(what).collect());
    let time = |what: &str, of: f64| vec![what.to_owned(), format!("{of:.0} ms")];
    let memory = |what: &str, of: f64| vec![what.to_owned(), format!("{:.0} MiB", of / f64::from(1 << 20))];
    let rows = vec![
        time("`weft run`, from exec to ready", of(|run| run.ready)),
        time("`weft check`", of(|run| run.check)),
        time("`weft apply` with one rule changed", of(|run| run.apply)),
        time("of this: the document read", of(|run| run.told.read)),
        time("compiled", of(|run| run.told.compile)),
        time("taken up by the worker", of(|run| run.told.publish)),
        memory("resident, once it is ready", of(|run| run.footprints[0].resident as f64)),
        memory("at most, until then", of(|run| run.footprints[0].most() as f64)),
        memory("resident, after the change", of(|run| run.footprints[1].resident as f64)),
        memory("at most, until then", of(|run| run.footprints[1].most() as f64)),
    ];
    Ok(Part {
        question: "How long does a large fabric take?",
        head: &["what", "median"],
        rows,
        notes: vec![
            format!(
                "{} endpoints, of which {} are the host's own, with vhost-user sockets; {} rules between {} groups; a document of \
                 {:.1} MiB.",
                grouped(endpoints as u32),
                grouped(local as u32),
                grouped(rules),
                grouped(fabric.groups() as u32),
                fabric.text().len() as f64 / f64::from(1 << 20)
            ),
            "Times to ready and of `weft apply` are to some 10 ms. `weft apply` reads the document before it asks the switch, which \
             reads it again. Memory is with packet buffers and hugepages."
                .into(),
        ],
        raw: json!({ "endpoints": endpoints, "local": local, "rules": rules, "runs": runs }),
    })
}

fn run(ground: &Ground, fabric: &Fabric) -> Result<Run> {
    let switch = Switch::start(ground, fabric)?;
    let ready = milliseconds(switch.started_in);
    let before = switch.footprint()?;
    let other = switch::write(ground, &Fabric { changed: true, ..fabric.clone() }, "changed.yaml")?;
    let begun = Instant::now();
    let command = ["apply", &other.display().to_string(), "--json"];
    let answer = switch.host().command(&command)?.success("weft apply")?;
    let apply = milliseconds(begun.elapsed());
    let after = switch.footprint()?;
    let told = told(&answer)?;
    let document = switch.document.clone();
    switch.stop()?;
    // Alone: beside a worker that polls it may have to share a core.
    let begun = Instant::now();
    let output = Command::new(crate::host::binary()?).arg("check").arg(&document).output();
    let output = output.doing(|| "running weft check".into())?;
    let check = milliseconds(begun.elapsed());
    if !output.status.success() {
        return Err(Error::failed(
            "weft check refuses the document",
            String::from_utf8_lossy(&output.stderr),
        ));
    }
    Ok(Run { ready, check, apply, told, footprints: [before, after] })
}

/// What `weft apply --json` says.
fn told(answer: &str) -> Result<Told> {
    let value: Option<Value> = serde_json::from_str(answer).ok();
    let changes = value.as_ref().and_then(|value| Some(value["changes"].as_array()?.len()));
    let time = |name: &str| Some(value.as_ref()?["times"][name].as_u64()? as f64 / 1e6);
    match (changes, time("read_ns"), time("compile_ns"), time("publish_ns")) {
        (Some(1), Some(read), Some(compile), Some(publish)) => Ok(Told { read, compile, publish }),
        _ => Err(Error::failed("weft apply does not tell of one change and its times", answer)),
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_apply_says_is_read() {
        let answer = r#"{"host":"hv-a","epoch":2,"changes":[{}],
            "times":{"read_ns":2000000,"compile_ns":3000000,"open_ns":0,"publish_ns":500000}}"#;
        let Told { read, compile, publish } = told(answer).unwrap();
        assert_eq!([read, compile, publish], [2.0, 3.0, 0.5]);
        assert!(told(&answer.replace("[{}]", "[]")).is_err(), "nothing changed");
        assert!(told("no").is_err());
    }
}
