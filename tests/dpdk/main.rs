//! DPDK's wrappers against DPDK itself, without hugepages, NIC or privilege.
//!
//! DPDK's environment starts once in a process, so the scenarios run one by one in this one. Those that
//! need a peer start this binary again in a role, see `peer`.

// Tests, though without the attribute that clippy knows them by.
#![allow(clippy::unwrap_used)]

mod buffers;
mod frames;
mod lifecycle;
mod memif;
mod peer;
mod ports;
mod vhost;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use tempfile::TempDir;
use weft::dpdk::{Eal, EalOptions, Hugepages, Mempool};

/// What a scenario is given.
pub struct Lab {
    /// The environment of this process.
    pub eal: Eal,
    /// A directory for sockets.
    pub dir: TempDir,
}

impl Lab {
    fn new(name: &str) -> Self {
        let options = EalOptions { name: name.into(), hugepages: Hugepages::Off, ..EalOptions::default() };
        let dir = tempfile::tempdir().unwrap();
        Self { eal: Eal::init(&options).unwrap(), dir }
    }

    /// A pool for one scenario.
    pub fn pool(&self) -> Mempool {
        Mempool::new(&self.eal, "lab", 8191, 2048, None).unwrap()
    }

    /// Where a scenario's socket goes.
    pub fn socket(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }
}

/// Panics where something is not as it should be.
type Scenario = fn(&Lab);

const SCENARIOS: &[(&str, Scenario)] = &[
    ("lifecycle::starts_once", lifecycle::starts_once),
    ("lifecycle::affinity_is_left_alone", lifecycle::affinity_is_left_alone),
    ("buffers::conserved", buffers::conserved),
    ("buffers::grow_shrink_copy", buffers::grow_shrink_copy),
    ("buffers::cross_threads", buffers::cross_threads),
    ("buffers::outlive_their_pool", buffers::outlive_their_pool),
    ("ports::null", ports::null),
    ("ports::ring", ports::ring),
    ("ports::refusals", ports::refusals),
    ("ports::come_and_go_beside_others", ports::come_and_go_beside_others),
    ("vhost::exchange_in_one_process", vhost::exchange_in_one_process),
    ("vhost::drivers_of_many_minds", vhost::drivers_of_many_minds),
    ("vhost::several_queues", vhost::several_queues),
    ("vhost::long_packets_in_segments", vhost::long_packets_in_segments),
    ("vhost::guest_killed_and_back", vhost::guest_killed_and_back),
    ("vhost::client_mode", vhost::client_mode),
    ("vhost::sockets", vhost::sockets),
    ("memif::between_processes", memif::between_processes),
    ("lifecycle::unprivileged", lifecycle::unprivileged),
];

fn main() -> ExitCode {
    if let Some(role) = peer::role() {
        peer::play(role);
        return ExitCode::SUCCESS;
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--list") {
        SCENARIOS.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    let wanted: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let name = format!("weft-test-{}", std::process::id());
    let lab = Lab::new(&name);
    let mut failed = 0;
    for (name, scenario) in SCENARIOS {
        if !wanted.is_empty() && !wanted.iter().any(|part| name.contains(part.as_str())) {
            continue;
        }
        let started = std::time::Instant::now();
        let passed = catch_unwind(AssertUnwindSafe(|| scenario(&lab))).is_ok();
        let result = if passed { "ok" } else { "FAILED" };
        println!("test {name} ... {result} ({} ms)", started.elapsed().as_millis());
        failed += u32::from(!passed);
    }
    let left: Vec<_> = lab.dir.path().read_dir().unwrap().flatten().map(|entry| entry.path()).collect();
    drop(lab);
    let runtime = peer::runtime_directory(&name);
    if !left.is_empty() || runtime.exists() {
        println!("left behind: {left:?}, {} {}", runtime.display(), runtime.exists());
        failed += 1;
    }
    ExitCode::from(u8::from(failed > 0))
}
