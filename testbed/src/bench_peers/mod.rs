//! Weft beside its peers: the same guests, the same load, the same work, on one core each, in one run.
//!
//! The driver of [`crate::load`] plays all guests on one core; whichever switch is measured has the other. Systems take turns,
//! in another order each round, and the table has the medians of the rounds.

mod cell;
mod grid;
mod linux;
mod ovs;
mod plots;
mod results;
mod rules;
mod scene;
mod systems;
mod table;
mod testpmd;
mod weft;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use grid::{Effort, Setup};
use results::{Key, Results};
use systems::{ALL, System};

use crate::bench::ground::{self, Ground};
use crate::{Error, Result};

/// What is to be measured, and where the results go.
#[derive(Clone, Debug)]
pub struct Options {
    /// A short look at each kind of row, once: to see that all works, not for figures.
    pub quick: bool,
    /// How often each cell is measured, if not as often as usual.
    pub rounds: Option<u32>,
    /// Where the table, the raw figures and the plots are written.
    pub out: PathBuf,
    /// Whether hugepages are reserved for the time of the run, for all systems and guests alike.
    pub hugepages: bool,
    /// Only systems whose names contain one of these; all if empty.
    pub systems: Vec<String>,
    /// Only setups whose names contain one of these; all if empty.
    pub work: Vec<String>,
}

/// Measures, prints the table, and writes all of it. Whether every system that is here did all that it was to do.
pub fn run(options: &Options) -> Result<bool> {
    let begun = Instant::now();
    let (effort, mut setups) =
        if options.quick { (Effort::QUICK, grid::quick()) } else { (Effort::FULL, grid::full()) };
    let wanted = |names: &[String], name: &str| {
        let name = name.to_lowercase();
        names.is_empty() || names.iter().any(|part| name.contains(&part.to_lowercase()))
    };
    setups.retain(|setup| wanted(&options.work, &setup.name()));
    let effort = Effort { rounds: options.rounds.unwrap_or(effort.rounds), ..effort };
    let ground = Ground::prepare(options.hugepages)?;
    let mut results = Results::begin(&ground, effort, setups.clone())?;
    let mut systems = Vec::new();
    for system in ALL.into_iter().filter(|system| wanted(&options.systems, system.name())) {
        match system.version() {
            Ok(version) => {
                results.takes_part(system, version);
                systems.push(system);
            }
            Err(why) => {
                eprintln!("bench-peers: {} is left out: it {why}", system.name());
                results.is_absent(system, why);
            }
        }
    }
    for round in 0..effort.rounds {
        // What one more round takes if it takes what the others did.
        if begun.elapsed() + begun.elapsed() / round.max(1) > BUDGET {
            eprintln!(
                "bench-peers: another round would take too long: {round} of {} are done",
                effort.rounds
            );
            break;
        }
        results.rounds = round + 1;
        for (number, setup) in setups.iter().enumerate() {
            let mut turn: Vec<System> = systems.iter().copied().filter(|system| system.does(setup)).collect();
            if turn.is_empty() {
                continue;
            }
            let first = (round as usize + number) % turn.len();
            turn.rotate_left(first);
            for system in turn {
                let place = format!("round {} of {}: {}, {}", round + 1, effort.rounds, setup, system.name());
                eprintln!("{:7.1} s  {place}", begun.elapsed().as_secs_f32());
                let measured =
                    ground::on_load_core(|| measure(&ground, system, setup, number, effort, &mut results));
                if let Err(error) = measured {
                    eprintln!("bench-peers: {place}: {error}");
                    results.failed(system, setup, error.to_string());
                }
            }
        }
    }
    results.end(begun.elapsed());
    let text = table::markdown(&results);
    println!("{text}");
    results.write(&options.out, &text)?;
    plots::draw(&results, &options.out)?;
    eprintln!("written to {}", options.out.display());
    Ok(results.complete())
}

/// The longest that a run may take.
const BUDGET: Duration = Duration::from_secs(20 * 60);

/// Starts a system, and puts all loads of a setup on it.
fn measure(
    ground: &Ground,
    system: System,
    setup: &Setup,
    number: usize,
    effort: Effort,
    results: &mut Results,
) -> Result<()> {
    let mut bench = system.start(ground, setup)?;
    let mut open = None;
    let loads = setup.loads.iter().enumerate().filter(|(_, load)| system.bears(**load));
    for (load_number, load) in loads {
        if open != Some(load.flows()) {
            cell::open(&mut bench, setup, *load)?;
            open = Some(load.flows());
        }
        let figure = cell::measure(&mut bench, setup, *load, effort).map_err(|error| {
            Error::failed(
                format!("{}, {} flows of {}", load.name(), load.flows().unwrap_or(0), load.size()),
                error.to_string(),
            )
        })?;
        results.add(Key { setup: number, load: load_number, system }, figure);
    }
    Ok(())
}
