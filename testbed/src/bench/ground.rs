//! What all runs stand on alike: cores, pages, directories; and a look at whether the ground shakes.

use std::fs::{self, File, TryLockError};
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::thread::{CpuSet, sched_setaffinity};

use super::figures::middle;
use crate::error::Doing;
use crate::load::{Pages, PortOptions, Role};
use crate::scope::Setting;
use crate::{Error, Result, WorkDir};

/// The core of the load, and the one of the switch's packets.
pub const LOAD_CORE: u32 = 0;
/// The core of whichever switch is measured.
pub const SWITCH_CORE: u32 = 1;

/// Descriptors of each queue of a guest's device, whoever serves it.
pub const QUEUE: u16 = 1024;
/// What each switch gets for packet buffers, in MiB.
pub const MEMORY_MIB: u32 = 512;
/// Hugepages of 2 MiB for one switch and the guests.
const HUGEPAGES: u64 = 512;

/// Where systems are started.
#[derive(Debug)]
pub struct Ground {
    /// For sockets, logs and databases.
    pub dir: Arc<WorkDir>,
    /// What the memory of switches and guests is made of.
    pub pages: Pages,
    _reserved: Option<Setting>,
    _alone: Option<File>,
}

impl Ground {
    /// Takes the load's core, and hugepages if there can be any and they are wanted.
    ///
    /// # Errors
    ///
    /// On a machine with a single core, and beside another run.
    pub fn prepare(hugepages: bool) -> Result<Self> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        if cores < 2 {
            return Err(Error::failed("it takes two cores: one for the load, one for the switch", ""));
        }
        let alone = alone()?;
        let reserved = hugepages.then(|| reserve(HUGEPAGES)).flatten();
        let pages = if reserved.is_some() { Pages::Huge } else { Pages::Small };
        Ok(Self { dir: Arc::new(WorkDir::new()?), pages, _reserved: reserved, _alone: alone })
    }

    /// A guest's device.
    pub fn port(&self, role: Role) -> PortOptions {
        PortOptions { role, queue: QUEUE, pages: self.pages }
    }
}

/// Does something on a thread that has the load's core.
pub fn on_load_core<T: Send>(act: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let pinned = || {
        pin(LOAD_CORE)?;
        act()
    };
    thread::scope(|scope| match scope.spawn(pinned).join() {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

/// Keeps the calling thread, and those that it starts, on one core.
fn pin(core: u32) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(core as usize);
    sched_setaffinity(None, &set).doing(|| format!("keeping to core {core}"))
}

/// How many times as long the fixed piece of work takes on two cores at once as on one alone: 1 where both are free.
pub fn together() -> Result<f64> {
    let on = |core: u32| {
        move || {
            pin(core)?;
            Ok((0..CANARIES).map(|_| canary().as_secs_f64()).collect())
        }
    };
    let all = |cores: &[u32]| -> Result<f64> {
        thread::scope(|scope| {
            let threads: Vec<_> = cores.iter().map(|core| scope.spawn(on(*core))).collect();
            let joined = threads.into_iter().map(|thread| match thread.join() {
                Ok(times) => times,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            let times: Result<Vec<Vec<f64>>> = joined.collect();
            Ok(times?.into_iter().map(middle).fold(0.0, f64::max))
        })
    };
    let alone = all(&[SWITCH_CORE])?;
    Ok(all(&[LOAD_CORE, SWITCH_CORE])? / alone)
}

/// How often it is tried.
const CANARIES: u32 = 9;

/// Holds a lock for as long as the run: two of them would measure each other, and each give back the other's hugepages. It is on a
/// file that every machine has one of; where there is none, nothing is locked.
fn alone() -> Result<Option<File>> {
    let Ok(file) = File::open(TOTAL) else { return Ok(None) };
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => {
            Err(Error::failed("another such bench runs on this machine; wait for its end", ""))
        }
        _ => Ok(Some(file)),
    }
}

/// Sees to it that so many hugepages are free. None where that cannot be: it takes root, and memory in whole pieces.
fn reserve(pages: u64) -> Option<Setting> {
    let missing = pages.saturating_sub(read(FREE)?);
    let setting = Setting::change(TOTAL, &(read(TOTAL)? + missing).to_string()).ok()?;
    (read(FREE)? >= pages).then_some(setting)
}

const TOTAL: &str = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages";
const FREE: &str = "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages";

fn read(path: &str) -> Option<u64> {
    fs::read_to_string(Path::new(path)).ok()?.trim().parse().ok()
}

/// A fixed piece of work for the processor alone, some ten milliseconds of it: how long it took. The host beneath a virtual
/// machine can slow it without any other sign.
pub fn canary() -> Duration {
    let start = Instant::now();
    let mut state = black_box(1_u64);
    for _ in 0..4_000_000 {
        state = (state ^ (state >> 29)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
    black_box(state);
    start.elapsed()
}
