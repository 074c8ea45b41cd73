//! Two workers against one: the same packets, by devices that play recordings, so that no guest needs a core.

use std::path::PathBuf;

use serde_json::json;

use super::fabric::{Attach, Fabric, traffic};
use super::recording;
use super::switch::{Rates, Switch};
use super::{Effort, Part};
use crate::Result;
use crate::bench::figures::{grouped, middle};
use crate::bench::ground::{Ground, LOAD_CORE, SWITCH_CORE};

/// Who sends to whom. Port *n* is worker *n* mod *workers*'.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pairs {
    /// Two pairs, of which each is one worker's where there are two.
    Within,
    /// One pair, of which each port is another worker's where there are two.
    Across,
}

impl Pairs {
    fn ports(self) -> &'static [[usize; 2]] {
        match self {
            Self::Within => &[[0, 2], [1, 3]],
            Self::Across => &[[0, 1]],
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Within => "two pairs of ports, each within a worker",
            Self::Across => "one pair of ports, across the workers",
        }
    }
}

/// What is measured, and the number of workers.
const CASES: [(Pairs, usize); 4] =
    [(Pairs::Within, 1), (Pairs::Within, 2), (Pairs::Across, 1), (Pairs::Across, 2)];

pub fn measure(ground: &Ground, effort: Effort) -> Result<Part> {
    let mut runs: [Vec<Rates>; CASES.len()] = Default::default();
    for _ in 0..effort.rounds {
        for ((pairs, workers), runs) in CASES.into_iter().zip(&mut runs) {
            runs.push(run(ground, pairs, workers, effort)?);
        }
    }
    let of = |runs: &[Rates], what: fn(&Rates) -> f64| middle(runs.iter().map(what).collect());
    let mut rows = Vec::new();
    let mut alone = 0.0;
    for ((pairs, workers), runs) in CASES.into_iter().zip(&runs) {
        let sent = of(runs, |rates| rates.sent);
        let dropped = of(runs, |rates| rates.dropped);
        let ratio = if workers == 1 { "-".into() } else { format!("{:.2}", sent / alone) };
        alone = if workers == 1 { sent } else { alone };
        rows.push(vec![
            pairs.name().into(),
            workers.to_string(),
            format!("{:.2}", sent / 1e6),
            format!("{:.0}", of(runs, |rates| rates.cycles)),
            format!("{:.1}", dropped * 100.0 / (sent + dropped).max(1.0)),
            ratio,
        ]);
    }
    let raw = CASES
        .iter()
        .zip(&runs)
        .map(|((pairs, workers), runs)| json!({ "pairs": pairs.name(), "workers": workers, "runs": runs }));
    Ok(Part {
        question: "What do two workers do that one does?",
        head: &["work", "workers", "Mpps", "cycles/packet", "% dropped", "two : one"],
        rows,
        notes: vec![
            format!(
                "Stateful policy, UDP, 64 bytes without the FCS, {} flows a pair, both directions. Ports are DPDK's `net_pcap` \
                 with `infinite_rx`: they copy packets of a recording into new buffers, and take whatever they are sent.",
                grouped(FLOWS)
            ),
            "Cycles are of the time-stamp counter, of rounds that found packets, of all workers, for each packet that left. What the \
             devices cost is in them: these are not the figures of vhost-user ports."
                .into(),
            "On a machine of two cores two workers share them with the control thread, DPDK's threads, this program, which sleeps, \
             and the system; one worker shares its core with the system alone."
                .into(),
            "Across: each packet is looked at by the worker of either port, and handed over between them. What the other \
             worker does not take in time is dropped (`hand_over_full`): nobody tells a recording to wait."
                .into(),
        ],
        raw: raw.collect(),
    })
}

fn run(ground: &Ground, pairs: Pairs, workers: usize, effort: Effort) -> Result<Rates> {
    let mut local = Vec::new();
    local.resize(pairs.ports().len() * 2, PathBuf::new());
    for &[one, other] in pairs.ports() {
        let there = traffic(one, other);
        for (port, traffic) in [(one, there), (other, there.answered())] {
            local[port] = ground.dir.join(format!("{port}.pcap"));
            recording::write(&local[port], traffic, FLOWS)?;
        }
    }
    let cores = if workers == 1 { vec![SWITCH_CORE] } else { vec![LOAD_CORE, SWITCH_CORE] };
    let local = local.into_iter().map(Attach::Recording).collect();
    let fabric = Fabric { cores, local, ..Fabric::of_sockets((effort.memory, ground.pages), 0) };
    let switch = Switch::start(ground, &fabric)?;
    switch.wait_for_packets(WARM)?;
    let rates = switch.watch(effort.measure)?;
    switch.stop()?;
    Ok(rates)
}

/// Flows of each pair.
const FLOWS: u32 = 1_000;
/// How many packets a switch has seen before it is measured.
const WARM: u64 = 100_000;
