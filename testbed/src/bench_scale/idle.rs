//! What idle ports cost: the rounds of a worker, and a busy pair of ports beside them.

use std::time::Duration;

use serde::Serialize;
use serde_json::json;
use weft::dpdk::MAX_SOCKETS;

use super::fabric::{Fabric, socket, traffic};
use super::switch::{self, Switch};
use super::{Effort, Part};
use crate::bench::figures::{grouped, middle};
use crate::bench::flows;
use crate::bench::ground::{Ground, on_load_core};
use crate::load::{Driver, Flows, Pace, Pages, Plan, PortOptions, Role, Size, Stream};
use crate::{Error, Host, Result};

/// One run with so many ports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
struct Figure {
    ports: usize,
    /// Whether idle ports have guests.
    guests: bool,
    /// Cycles of a round in which nobody sends.
    round: f64,
    /// The same in nanoseconds.
    round_ns: f64,
    /// Packets a second of one guest that sends to another, all others idle.
    pps: f64,
    /// Cycles of each of these packets.
    cycles: f64,
}

pub fn measure(ground: &Ground, effort: Effort) -> Result<Part> {
    let cases: Vec<(usize, bool)> = [false, true]
        .iter()
        .flat_map(|guests| effort.ports.iter().map(move |ports| (*ports, *guests)))
        .collect();
    let mut runs: Vec<Vec<Figure>> = vec![Vec::new(); cases.len()];
    for _ in 0..effort.rounds {
        for ((ports, guests), runs) in cases.iter().zip(&mut runs) {
            runs.push(run(ground, (*ports, *guests), effort)?);
        }
    }
    let medians: Vec<Figure> = runs.iter().map(|runs| median(runs)).collect();
    let mut rows: Vec<Vec<String>> = Vec::new();
    for guests in [false, true] {
        let of: Vec<Figure> = medians.iter().filter(|figure| figure.guests == guests).copied().collect();
        rows.extend(of.iter().map(|figure| row(figure, "")));
        if let [.., one, other] = of[..] {
            rows.push(row(&beyond(&one, &other, WANTED), ", extrapolated"));
        }
    }
    let refused = refusal(ground, (effort.memory, ground.pages))?;
    Ok(Part {
        question: "What do idle ports cost?",
        head: &["vhost-user ports of one worker", "idle ports have", "cycles/round, all idle", "ns/round", "Mpps of one busy pair", "cycles/packet of it"],
        rows,
        notes: vec![
            "A round looks at every port that had packets lately, and at some sixteen of the others. The busy pair is one guest that floods another with packets of 64 bytes of \
             1,000 flows, under stateful policy; the load has the other core."
                .into(),
            format!(
                "A host has {MAX_SOCKETS} vhost-user ports at most, whatever its workers, so {} could not be measured: asked for \
                 them, the switch says \"{refused}\". The figures are on the line through the two largest that were.",
                grouped(WANTED as u32)
            ),
            "Nobody: the socket is there and no guest. A guest: it is connected, with rings of 64 descriptors on ordinary pages, and sends nothing."
                .into(),
        ],
        raw: json!({ "limit": MAX_SOCKETS, "refusal": refused, "runs": runs, "medians": medians }),
    })
}

fn row(figure: &Figure, remark: &str) -> Vec<String> {
    vec![
        format!("{}{remark}", grouped(figure.ports as u32)),
        if figure.guests { "a guest" } else { "nobody" }.into(),
        positive(figure.round, 0),
        positive(figure.round_ns, 0),
        positive(figure.pps / 1e6, 2),
        positive(figure.cycles, 0),
    ]
}

/// A line through figures of a disturbed run may lead anywhere.
fn positive(figure: f64, digits: usize) -> String {
    if figure.is_finite() && figure > 0.0 { format!("{figure:.digits$}") } else { "-".into() }
}

fn median(runs: &[Figure]) -> Figure {
    let of = |what: fn(&Figure) -> f64| middle(runs.iter().map(what).collect());
    Figure {
        round: of(|figure| figure.round),
        round_ns: of(|figure| figure.round_ns),
        pps: of(|figure| figure.pps),
        cycles: of(|figure| figure.cycles),
        ..runs[0]
    }
}

/// With so many ports, if cycles grow on as between these two.
fn beyond(one: &Figure, other: &Figure, ports: usize) -> Figure {
    let along = |a: f64, b: f64| {
        b + (b - a) * (ports as f64 - other.ports as f64) / (other.ports as f64 - one.ports as f64).max(1.0)
    };
    // What grows evenly is the time that a packet takes, not how many there are in a time.
    let time = along(1.0 / one.pps, 1.0 / other.pps);
    Figure {
        ports,
        guests: other.guests,
        round: along(one.round, other.round),
        round_ns: along(one.round_ns, other.round_ns),
        pps: 1.0 / time,
        cycles: along(one.cycles, other.cycles),
    }
}

fn run(ground: &Ground, (ports, guests): (usize, bool), effort: Effort) -> Result<Figure> {
    let (memory, measure) = ((effort.memory, ground.pages), effort.measure);
    let switch = Switch::start(ground, &Fabric::of_sockets(memory, ports))?;
    let small = PortOptions { role: Role::Client, queue: 64, pages: Pages::Small };
    let idle = (2..if guests { ports } else { 2 })
        .map(|port| switch.guest(port, small))
        .collect::<Result<Vec<_>>>()?;
    let connect = || -> Result<Driver> {
        let busy = (0..2).map(|port| switch.guest(port, ground.port(Role::Client)));
        Ok(Driver::new(busy.collect::<Result<_>>()?))
    };
    let connected = if guests { Some(connect()?) } else { None };
    let quiet = switch.watch(measure)?;
    let mut driver = match connected {
        Some(driver) => driver,
        None => connect()?,
    };
    let there = stream([0, 1], Flows::InTurn { first: 0, count: FLOWS }, flows::GENTLY);
    let (before, report, after) = on_load_core(|| {
        flows::open(&mut driver, &[there, answered(there)], FLOWS.into())?;
        let before = switch.fresh()?;
        let flood = Stream { flows: Flows::AtRandom(FLOWS), pace: Pace::Flood, ..there };
        let report = driver.run(&[flood], Plan { warm: WARM, measure })?;
        Ok((before, report, switch.fresh()?))
    })?;
    switch.stop()?;
    drop(idle);
    let (before, after) = (before.workers[0], after.workers[0]);
    let packets = after.packets.saturating_sub(before.packets).max(1);
    Ok(Figure {
        ports,
        guests,
        round: quiet.round,
        round_ns: quiet.round_ns,
        pps: report.streams[0].counted.received as f64 / report.elapsed.as_secs_f64(),
        cycles: after.busy_cycles.saturating_sub(before.busy_cycles) as f64 / packets as f64,
    })
}

/// Packets of 64 bytes from one of the first two endpoints to the other.
pub fn stream(ports: [usize; 2], flows: Flows, pace: Pace) -> Stream {
    Stream { ports, traffic: traffic(ports[0], ports[1]), size: Size::Fixed(64), flows, pace, growth: 0 }
}

/// What answers them.
fn answered(there: Stream) -> Stream {
    let [from, to] = there.ports;
    Stream { ports: [to, from], traffic: there.traffic.answered(), ..there }
}

/// What the switch says when it is to have as many ports as would be wanted.
fn refusal(ground: &Ground, memory: (u32, Pages)) -> Result<String> {
    let fabric = switch::write(ground, &Fabric::of_sockets(memory, WANTED), "many.yaml")?;
    let options = switch::options(fabric);
    let host = Host::start(&ground.dir, options)?;
    match host.wait_ready(REFUSING) {
        Ok(()) => Err(Error::failed(
            format!("the switch has {WANTED} ports, and {} was its last", socket(WANTED - 1)),
            "",
        )),
        Err(_) => {
            let log = host.process().log();
            let said = log.lines().find_map(|line| Some(line.split_once("ERROR ")?.1.to_owned()));
            said.ok_or_else(|| Error::failed("the switch does not say why it does not start", log))
        }
    }
}

/// The ports that a host should have.
const WANTED: usize = 1_000;
const FLOWS: u32 = 1_000;
/// How many packets are received before they count.
const WARM: u64 = 100_000;
const REFUSING: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_what_was_measured_time_grows_on() {
        let figure = |ports, round, pps| Figure {
            ports,
            round,
            round_ns: round / 2.0,
            pps,
            cycles: 0.0,
            guests: true,
        };
        let far = beyond(&figure(100, 1_000.0, 2e6), &figure(200, 3_000.0, 1e6), 400);
        assert_eq!((far.ports, far.round, far.round_ns), (400, 7_000.0, 3_500.0));
        // 0.5 us, then 1 us, then 2 us.
        assert!((far.pps - 0.5e6).abs() < 1.0, "{far:?}");
    }
}
