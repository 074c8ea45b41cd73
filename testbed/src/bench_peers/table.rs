//! The one table, and what has to be known to read it.

use std::fmt::Write;

use super::cell::Bound;
use super::grid::{Load, Setup, Work};
use super::results::{Key, Median, Results};
use super::systems::System;
use crate::bench::figures::{grouped, line};
use crate::bench::machine;
use crate::load::Size;

impl std::fmt::Display for Setup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name())?;
        if self.rules > 0 {
            write!(f, ", {} rules", grouped(self.rules))?;
        }
        Ok(())
    }
}

impl Setup {
    /// What is done, but for the rules.
    pub fn name(&self) -> String {
        let tcp = if self.is_tcp() { ", TCP" } else { "" };
        let metered = if self.meters { ", metered" } else { "" };
        format!("{}{tcp}{metered}", self.work.name())
    }
}

/// The results as Markdown.
pub fn markdown(results: &Results) -> String {
    let mut text = String::from("# Weft beside its peers\n\n");
    let present: Vec<System> =
        results.systems.iter().filter(|(_, state)| state.is_ok()).map(|(system, _)| *system).collect();
    machine::list(&mut text, &results.machine);
    for (system, state) in &results.systems {
        match state {
            Ok(version) => line(&mut text, format_args!("- {}: {version}", system.name())),
            Err(why) => line(&mut text, format_args!("- {}: left out, for it {why}", system.name())),
        }
    }
    let (runs, aside) = results.set_aside();
    line(&mut text, format_args!("- runs: {runs}, of which {aside} were slow and set aside"));
    text.push('\n');
    let mut head = String::from("| work | rules | load | flows | frame |");
    let mut rule = String::from("|---|---:|---|---:|---:|");
    for system in &present {
        let _ = write!(head, " {} |", system.name());
        rule += "---:|";
    }
    head += " Weft : testpmd | OVS : Weft, cycles |";
    rule += "---:|---:|";
    line(&mut text, format_args!("{head}\n{rule}"));
    for (setup, load, number, load_number) in results.rows() {
        let median = |system| results.median(Key { setup: number, load: load_number, system });
        let mut row = format!(
            "| {} | {} | {} | {} | {} |",
            setup.name(),
            if setup.rules == 0 { "-".into() } else { grouped(setup.rules) },
            load.name(),
            load.flows().map_or("-".into(), grouped),
            load.size(),
        );
        for system in &present {
            let _ = write!(row, " {} |", median(*system).map_or("-".into(), |median| cell(load, &median)));
        }
        let ratio = |of: Option<f64>, by: Option<f64>| match (of, by) {
            (Some(of), Some(by)) if by > 0.0 => format!("{:.2}", of / by),
            _ => "-".into(),
        };
        let weft = median(System::Weft).filter(|_| load.is_flood()).map(|median| median.pps);
        let ports = limit(results, load.size()).filter(|_| load.flows().is_some());
        let cycles = |system| median(system).map(|median| median.cycles);
        let _ =
            write!(row, " {} | {} |", ratio(weft, ports), ratio(cycles(System::Ovs), cycles(System::Weft)));
        line(&mut text, format_args!("{row}"));
    }
    text += LEGEND;
    if !results.failures.is_empty() {
        text += "\nWhat went wrong:\n\n";
        results.failures.iter().for_each(|failure| line(&mut text, format_args!("- {failure}")));
    }
    text
}

/// What the ports alone do with frames of this length, in packets a second: testpmd's figure beside L2. It looks at no flow, so
/// it is the limit of every row.
fn limit(results: &Results, size: Size) -> Option<f64> {
    let plain = Load::Flood { flows: 1_000, size };
    let (_, _, setup, load) =
        results.rows().find(|(setup, load, _, _)| setup.work == Work::L2 && *load == plain)?;
    results.median(Key { setup, load, system: System::Testpmd }).map(|median| median.pps)
}

fn cell(load: Load, median: &Median) -> String {
    let [half, most] = median.latency.map(|nanoseconds| nanoseconds as f64 / 1e3);
    let lost = if median.lost >= 0.05 { format!(", {:.1} % lost", median.lost) } else { String::new() };
    if load.is_flood() {
        let bound = if median.bound == Bound::Load { "*" } else { "" };
        format!("{:.2} Mpps{bound}, {:.0} c{lost}", median.pps / 1e6, median.cycles)
    } else {
        // Who is not let send is not lost, and does not come out either.
        let through = match load {
            Load::Neighbour { rate, .. } => format!("{:.1} %, ", (median.pps / rate * 100.0).min(100.0)),
            _ => String::new(),
        };
        format!("{through}{half:.1} / {most:.1} us, {:.0} c{lost}", median.cycles)
    }
}

const LEGEND: &str = "
- Mpps: millions of packets a second that came out at the other guest. `*`: the load could do no more, the switch could.
- c: cycles of the time-stamp counter that the switch spent on a packet by its own account, idle polls left out. At rates below
  saturation bursts are short, and packets cost more.
- us: how long a packet took from guest to guest: half of them less, and 99 of 100 less.
- lost: of 100 packets that the switch took. It takes what a guest gives it whether or not the other guest's queue has room.
- new flows: each packet is the first of its flow; those that come out were decided and entered.
- %: of what a guest was to send, what came out. alone, beside a flood: the figures of a guest that sends steadily; its neighbour, on the same core, sends first packets of flows
  as fast as it can.
- testpmd does nothing with packets and looks at no flow: it is what the ports can do. Weft : testpmd is by packets a second, with
  frames of that length.
- Weft counts everything and exports all flows in every row. OVS exports none (its IPFIX samples), and meters where it says so.
";
