//! What ports, sessions and rules take of memory: what a switch has with many of them less what another has with few.

use serde_json::json;

use super::fabric::Fabric;
use super::idle::stream;
use super::switch::{Footprint, Switch};
use super::{Effort, Part};
use crate::bench::figures::grouped;
use crate::bench::flows;
use crate::bench::ground::{Ground, on_load_core};
use crate::load::{Driver, Flows, Role};
use crate::{Error, Result};

/// What a switch has of something, and its memory.
#[derive(Clone, Copy, Debug)]
struct Run {
    count: usize,
    footprint: Footprint,
}

pub fn measure(ground: &Ground, effort: Effort) -> Result<Part> {
    let memory = (effort.memory, ground.pages);
    let few = Fabric::of_sockets(memory, 2);
    let mut compared = Vec::new();
    let ports = [2, effort.ports[effort.ports.len() - 1]];
    let ports =
        ports.map(|count| Ok(Run { count, footprint: idle(ground, &Fabric::of_sockets(memory, count))? }));
    let [two, many]: [Result<Run>; 2] = ports;
    compared.push(("a vhost-user port without a guest", two?, many?));

    let [small, large] = effort.sessions.map(|sessions| opened(ground, &Fabric { sessions, ..few.clone() }));
    let ([small_empty, small_full], [large_empty, large_full]) = (small?, large?);
    compared.push(("a session that there is room for, none of them open", small_empty, large_empty));
    compared.push(("a session that there is room for, all of them open", small_full, large_full));

    let rules = effort.rules.iter().map(|rules| {
        // Groups with members on all hosts; the same ones whatever the rules.
        let fabric = Fabric { rules: *rules, remote: 998, ..few.clone() };
        Ok(Run { count: *rules as usize, footprint: idle(ground, &fabric)? })
    });
    let rules: Vec<Run> = rules.collect::<Result<_>>()?;
    compared.extend(rules.windows(2).map(|pair| ("a rule", pair[0], pair[1])));

    let row = |(what, few, many): &(&str, Run, Run)| {
        vec![
            (*what).into(),
            format!("{} and {}", grouped(few.count as u32), grouped(many.count as u32)),
            mebibytes(few.footprint.resident),
            mebibytes(many.footprint.resident),
            format!("{:.0}", each(few, many)),
        ]
    };
    let raw = compared.iter().map(|(what, few, many)| {
        json!({ "what": what, "counts": [few.count, many.count], "footprints": [few.footprint, many.footprint], "bytes": each(few, many) })
    });
    Ok(Part {
        question: "What do they take of memory?",
        head: &["what", "of which there are", "MiB with few", "MiB with many", "bytes each"],
        rows: compared.iter().map(row).collect(),
        notes: vec![
            "All that is resident, packet memory and hugepages included: the difference of two switches that differ in nothing else."
                .into(),
            "Room for sessions is for each worker and for either family, IPv4 and IPv6. The switch takes pages for it as sessions are \
             opened, and some ahead of them: all that is looked up by hash, and so many sessions more. Here one worker has it, \
             and all sessions are of IPv4."
                .into(),
            "A rule is between two of 1,000 groups, and about a port. It is in the document's text, in what was read and compiled of \
             it, in the counters of the worker and in the statistics that others read. The allocator may keep what the \
             start has given back."
                .into(),
        ],
        raw: raw.collect(),
    })
}

/// The memory of a switch of which nobody wants anything.
fn idle(ground: &Ground, fabric: &Fabric) -> Result<Footprint> {
    let switch = Switch::start(ground, fabric)?;
    let footprint = switch.footprint()?;
    switch.stop()?;
    Ok(footprint)
}

/// The memory of a switch before there are sessions, and with as many as it has room for.
fn opened(ground: &Ground, fabric: &Fabric) -> Result<[Run; 2]> {
    let switch = Switch::start(ground, fabric)?;
    let empty = switch.footprint()?;
    let ports = (0..2).map(|port| switch.guest(port, ground.port(Role::Client)));
    let mut driver = Driver::new(ports.collect::<Result<_>>()?);
    let count = fabric.sessions;
    let there = stream([0, 1], Flows::InTurn { first: 0, count }, flows::GENTLY);
    on_load_core(|| flows::open(&mut driver, &[there], count.into()))
        .map_err(|error| Error::failed(error.to_string(), switch.host().process().tail()))?;
    let full = switch.footprint()?;
    switch.stop()?;
    let run = |footprint| Run { count: count as usize, footprint };
    Ok([run(empty), run(full)])
}

fn each(few: &Run, many: &Run) -> f64 {
    let bytes = many.footprint.resident as f64 - few.footprint.resident as f64;
    bytes / (many.count as f64 - few.count as f64).max(1.0)
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / (1 << 20) as f64)
}
