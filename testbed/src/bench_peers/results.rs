//! All figures of a run, and the machine that they are of.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::cell::{Bound, Figure};
use super::grid::{Effort, Load, Setup};
use super::systems::System;
use crate::Result;
use crate::bench::figures::middle;
use crate::bench::ground::{Ground, LOAD_CORE, MEMORY_MIB, QUEUE, SWITCH_CORE};
use crate::bench::machine::{self, Facts};

/// Where a figure belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// The setup's number in the grid.
    pub setup: usize,
    /// The load's number in the setup.
    pub load: usize,
    /// The system.
    pub system: System,
}

/// A run's results.
#[derive(Debug)]
pub struct Results {
    /// What was measured.
    pub setups: Vec<Setup>,
    /// The systems, with their versions, or why they are not here.
    pub systems: Vec<(System, Result<String, String>)>,
    /// What the machine is, by name.
    pub machine: Facts,
    /// What went wrong.
    pub failures: Vec<String>,
    figures: BTreeMap<Key, Vec<Figure>>,
    /// How many rounds there were.
    pub rounds: u32,
    effort: Effort,
    took: Duration,
}

/// The figures of a cell, over the rounds.
#[derive(Clone, Copy, Debug)]
pub struct Median {
    /// Packets a second.
    pub pps: f64,
    /// Bits a second.
    pub bps: f64,
    /// Cycles a packet, as the switch says.
    pub cycles: f64,
    /// Of 100 packets, how many were lost.
    pub lost: f64,
    /// Nanoseconds: half of the packets took less, 99 of 100 took less.
    pub latency: [u64; 2],
    /// What bounds.
    pub bound: Bound,
}

impl Results {
    /// None yet.
    pub fn begin(ground: &Ground, effort: Effort, setups: Vec<Setup>) -> Result<Self> {
        Ok(Self {
            setups,
            systems: Vec::new(),
            machine: machine(ground),
            failures: Vec::new(),
            figures: BTreeMap::new(),
            rounds: 0,
            effort,
            took: Duration::ZERO,
        })
    }

    /// This system is measured.
    pub fn takes_part(&mut self, system: System, version: String) {
        self.systems.push((system, Ok(version)));
    }

    /// This one is not.
    pub fn is_absent(&mut self, system: System, why: String) {
        self.systems.push((system, Err(why)));
    }

    /// A figure was taken.
    pub fn add(&mut self, key: Key, figure: Figure) {
        self.figures.entry(key).or_default().push(figure);
    }

    /// A system did not do what it was to.
    pub fn failed(&mut self, system: System, setup: &Setup, error: String) {
        self.failures.push(format!(
            "{}, {setup}: {}",
            system.name(),
            error.lines().take(2).map(str::trim).collect::<Vec<_>>().join(": ")
        ));
    }

    /// It is over.
    pub fn end(&mut self, took: Duration) {
        self.took = took;
        let (rounds, measure) = (self.rounds, self.effort.measure.as_millis());
        let measured = format!("{rounds} rounds of {measure} ms, after a warm-up counted in packets");
        self.machine.push(("measured", measured));
        self.machine.push(("the run took", format!("{:.1} minutes", took.as_secs_f64() / 60.0)));
    }

    /// Whether nothing went wrong.
    pub fn complete(&self) -> bool {
        self.failures.is_empty()
    }

    /// All cells, by rows: setup, load, number of the setup and of the load.
    pub fn rows(&self) -> impl Iterator<Item = (&Setup, Load, usize, usize)> {
        self.setups.iter().enumerate().flat_map(|(number, setup)| {
            setup.loads.iter().enumerate().map(move |(load_number, load)| (setup, *load, number, load_number))
        })
    }

    /// The median of a cell, of the runs in which the ground was firm; of all, if it never was.
    pub fn median(&self, key: Key) -> Option<Median> {
        let all = self.figures.get(&key)?;
        let limit = self.slow();
        let firm: Vec<&Figure> = all.iter().filter(|figure| figure.canary_ns <= limit).collect();
        let used = if firm.is_empty() { all.iter().collect() } else { firm };
        let of = |what: fn(&Figure) -> f64| middle(used.iter().map(|figure| what(figure)).collect());
        let load_bound = used.iter().filter(|figure| figure.bound() == Bound::Load).count();
        Some(Median {
            pps: of(|figure| figure.pps),
            bps: of(|figure| figure.bps),
            cycles: of(|figure| figure.cycles),
            lost: of(|figure| figure.lost as f64 * 100.0 / figure.sent.max(1) as f64),
            latency: [of(|figure| figure.p50_ns as f64) as u64, of(|figure| figure.p99_ns as f64) as u64],
            bound: if load_bound * 2 > used.len() { Bound::Load } else { Bound::Switch },
        })
    }

    /// How many runs there were, and how many of them were set aside because the ground shook.
    pub fn set_aside(&self) -> (usize, usize) {
        let limit = self.slow();
        let all = || self.figures.values().flatten();
        (all().count(), all().filter(|figure| figure.canary_ns > limit).count())
    }

    /// The canary's time beyond which a run is slow: a tenth more than the median.
    fn slow(&self) -> u64 {
        let times: Vec<f64> = self.figures.values().flatten().map(|figure| figure.canary_ns as f64).collect();
        if times.is_empty() { u64::MAX } else { (middle(times) * 1.1) as u64 }
    }

    /// Writes the table and the raw figures.
    pub fn write(&self, out: &Path, table: &str) -> Result<()> {
        machine::write(out, "peers", table, &self.json())
    }

    fn json(&self) -> Value {
        let machine = machine::object(&self.machine);
        let systems: serde_json::Map<String, Value> = self
            .systems
            .iter()
            .map(|(system, state)| {
                let state = match state {
                    Ok(version) => json!({ "version": version }),
                    Err(why) => json!({ "left_out": why }),
                };
                (system.name().to_owned(), state)
            })
            .collect();
        let cells: Vec<Value> = self
            .figures
            .iter()
            .map(|(key, runs)| {
                let setup = &self.setups[key.setup];
                let load = setup.loads[key.load];
                json!({
                    "work": setup.name(), "rules": setup.rules, "meters": setup.meters,
                    "load": load.name(), "flows": load.flows(), "bytes": load.size().to_string(),
                    "system": key.system.name(), "runs": runs,
                })
            })
            .collect();
        let (runs, aside) = self.set_aside();
        json!({
            "machine": machine, "systems": systems, "rounds": self.rounds, "seconds": self.took.as_secs_f64(),
            "runs": runs, "set_aside": aside, "slow_canary_ns": self.slow(), "failures": self.failures, "cells": cells,
        })
    }
}

fn machine(ground: &Ground) -> Facts {
    let roles = format!("the load has core {LOAD_CORE}, the switch's packets core {SWITCH_CORE}");
    let mut facts = machine::facts(ground, &roles);
    facts.push(("packet memory", format!("{MEMORY_MIB} MiB a switch; {QUEUE} descriptors a queue")));
    facts
}
