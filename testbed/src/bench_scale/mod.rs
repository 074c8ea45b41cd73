//! How Weft scales: with workers, ports, sessions, rules and endpoints. Each part starts real switches, asks one question and
//! fills one table.

mod fabric;
mod idle;
mod memory;
mod recording;
mod start;
mod switch;
mod table;
mod workers;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::bench::ground::{self, Ground, LOAD_CORE, MEMORY_MIB, QUEUE, SWITCH_CORE};
use crate::bench::machine::{self, Facts};
use crate::{Error, Result};

/// What is to be measured, and where the results go.
#[derive(Clone, Debug)]
pub struct Options {
    /// Small numbers, once: to see that all works, not for figures.
    pub quick: bool,
    /// How often what varies is measured, if not as often as usual.
    pub rounds: Option<u32>,
    /// Where the table and the raw figures are written.
    pub out: PathBuf,
    /// Whether hugepages are reserved for the time of the run.
    pub hugepages: bool,
    /// Only parts whose names contain one of these; all if empty.
    pub parts: Vec<String>,
}

/// How often, for how long, and up to how many of each is measured.
#[derive(Clone, Copy, Debug)]
struct Effort {
    rounds: u32,
    measure: Duration,
    /// Packet memory of a switch, in MiB.
    memory: u32,
    /// Ports of which all but two are idle.
    ports: &'static [usize],
    /// Room for sessions, all of which are opened.
    sessions: [u32; 2],
    /// Rules.
    rules: &'static [u32],
    /// Endpoints of the fabric that is started, and how many of them are the host's own.
    endpoints: (usize, usize),
}

impl Effort {
    const FULL: Self = Self {
        rounds: 3,
        measure: Duration::from_millis(1_000),
        memory: MEMORY_MIB,
        ports: &[2, 32, 128, 500],
        sessions: [10_000, 1_000_000],
        rules: &[10, 10_000, 100_000],
        // As many as a host can have.
        endpoints: (1_000, weft::dpdk::MAX_SOCKETS),
    };
    const QUICK: Self = Self {
        rounds: 1,
        measure: Duration::from_millis(100),
        memory: 128,
        ports: &[2, 32],
        sessions: [10_000, 50_000],
        rules: &[10, 2_000],
        endpoints: (40, 20),
    };
}

/// A part's name, and what measures it.
type Measure = fn(&Ground, Effort) -> Result<Part>;
const PARTS: [(&str, Measure); 4] = [
    ("workers", workers::measure),
    ("ports", idle::measure),
    ("memory", memory::measure),
    ("start", start::measure),
];

/// What came of a part.
#[derive(Debug)]
struct Part {
    /// What it asks.
    question: &'static str,
    head: &'static [&'static str],
    rows: Vec<Vec<String>>,
    /// What has to be known to read the table.
    notes: Vec<String>,
    /// All figures.
    raw: Value,
}

/// Measures, prints the tables, and writes all of it. Whether every part could be measured.
pub fn run(options: &Options) -> Result<bool> {
    let begun = Instant::now();
    let effort = if options.quick { Effort::QUICK } else { Effort::FULL };
    let effort = Effort { rounds: options.rounds.unwrap_or(effort.rounds).max(1), ..effort };
    let wanted =
        |name: &str| options.parts.is_empty() || options.parts.iter().any(|part| name.contains(part));
    let chosen: Vec<_> = PARTS.into_iter().filter(|(name, _)| wanted(name)).collect();
    if chosen.is_empty() {
        let names = PARTS.map(|(name, _)| name).join(", ");
        return Err(Error::failed(format!("no part is called that; they are: {names}"), ""));
    }
    let ground = Ground::prepare(options.hugepages)?;
    let mut facts = facts(&ground, effort)?;
    let (mut parts, mut failures) = (Vec::new(), Vec::new());
    for (name, measure) in chosen {
        eprintln!("{:7.1} s  {name}", begun.elapsed().as_secs_f32());
        match measure(&ground, effort) {
            Ok(part) => parts.push((name, part)),
            Err(error) => {
                eprintln!("bench-scale: {name}: {error}");
                failures.push(format!("{name}: {error}"));
            }
        }
    }
    facts.push(("the run took", format!("{:.1} minutes", begun.elapsed().as_secs_f64() / 60.0)));
    let text = table::markdown(&facts, &parts, &failures);
    let raw: serde_json::Map<String, Value> =
        parts.into_iter().map(|(name, part)| (name.to_owned(), part.raw)).collect();
    let raw = json!({ "machine": machine::object(&facts), "failures": failures, "parts": raw });
    println!("{text}");
    machine::write(&options.out, "scale", &text, &raw)?;
    eprintln!("written to {}", options.out.display());
    Ok(failures.is_empty())
}

fn facts(ground: &Ground, effort: Effort) -> Result<Facts> {
    let roles = format!(
        "one worker has core {SWITCH_CORE} and a load, where there is one, core {LOAD_CORE}; two workers have both"
    );
    let mut facts = machine::facts(ground, &roles);
    let version = std::process::Command::new(crate::host::binary()?).arg("--version").output();
    let version = version.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let together = ground::together()?;
    let few = if together > CROWDED {
        ": fewer than two cores are free, and two workers look worse than they are"
    } else {
        ""
    };
    facts.extend([
        ("Weft", version.unwrap_or_default()),
        ("packet memory", format!("{} MiB a switch; {QUEUE} descriptors a queue", effort.memory)),
        (
            "two cores at once",
            format!("take {together:.2} times as long for the same work as one alone{few}"),
        ),
        ("measured", format!("{} rounds, {} ms each; medians", effort.rounds, effort.measure.as_millis())),
    ]);
    Ok(facts)
}

/// Beyond this, something else runs on the two cores.
const CROWDED: f64 = 1.2;
