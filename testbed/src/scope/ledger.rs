//! The list of all that this process has made and must undo, for the one case that `Drop` does not see: a signal.
//!
//! Resources are made and undone under the ledger's lock, so a signal finds them either listed or absent.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{LazyLock, Mutex, MutexGuard, Once, PoisonError};
use std::{fs, thread};

use rustix::process::{Pid, Signal, kill_process_group};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

use super::namespace;
use crate::Result;

/// Something to undo.
#[derive(Clone, Debug)]
pub(super) enum Resource {
    /// A child, leader of its own process group.
    Group(Pid),
    /// A named network namespace.
    Namespace(String),
    /// A directory and all within.
    Directory(PathBuf),
    /// A setting of the kernel's: its file, and what was in it.
    Setting(PathBuf, String),
}

impl Resource {
    /// Undoes it. Safe to repeat.
    fn undo(&self) {
        match self {
            // Gone already is as good as killed now.
            Self::Group(leader) => {
                let _ = kill_process_group(*leader, Signal::KILL);
            }
            Self::Namespace(name) => namespace::remove(name),
            Self::Directory(path) => drop(fs::remove_dir_all(path)),
            Self::Setting(path, before) => drop(fs::write(path, before)),
        }
    }
}

/// An entry in the ledger; dropping it undoes the resource.
#[derive(Debug)]
pub(super) struct Held(u64);

impl Held {
    /// Makes a resource and lists it, in one step as a signal sees it.
    pub(super) fn acquire<T>(make: impl FnOnce() -> Result<(T, Resource)>) -> Result<(T, Self)> {
        WATCH_SIGNALS.call_once(watch_signals);
        let mut ledger = lock();
        let (value, resource) = make()?;
        let id = ledger.next;
        ledger.next += 1;
        ledger.held.insert(id, resource);
        Ok((value, Self(id)))
    }

    /// Undoes the resource now, with `after` run before a signal can come between: reaping a killed child.
    pub(super) fn release(&mut self, after: impl FnOnce()) {
        let mut ledger = lock();
        if let Some(resource) = ledger.held.remove(&self.0) {
            resource.undo();
            after();
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.release(|| ());
    }
}

#[derive(Debug, Default)]
struct Ledger {
    next: u64,
    held: BTreeMap<u64, Resource>,
}

static LEDGER: LazyLock<Mutex<Ledger>> = LazyLock::new(Mutex::default);
static WATCH_SIGNALS: Once = Once::new();

fn lock() -> MutexGuard<'static, Ledger> {
    LEDGER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// On a signal that ends the lab: undo all, newest first, then end as the signal would have ended it.
fn watch_signals() {
    let Ok(mut signals) = Signals::new([SIGINT, SIGTERM, SIGHUP]) else { return };
    let watch = move || {
        if let Some(signal) = signals.forever().next() {
            // Held to the end: nothing new is made while the rest is undone.
            let ledger = lock();
            ledger.held.values().rev().for_each(Resource::undo);
            drop(emulate_default_handler(signal));
        }
    };
    drop(thread::Builder::new().name("lab-signals".into()).spawn(watch));
}
