//! Packets of a running switch on their way through its stages, with what each decided, in the words of
//! [`explain`](crate::explain).
//!
//! A [`Tap`](tap::Tap) is the worker's end: it follows packets that a [`Filter`](crate::capture::filter::Filter) means, and
//! writes what happens to them into a bounded ring. Control reads its other end, a [`Tray`](tap::Tray), puts what belongs
//! to a packet together, and sends it to the client in [`Chunk`]s.

mod gather;
mod summary;
pub mod tap;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::watch;

use crate::capture::InForce;
use crate::explain::Step;
use gather::Gather;
use tap::{Tray, Wanted};

/// Packets that may be asked for at most.
pub const MAX_COUNT: u64 = 1000;
/// A packet that waits, or of which a copy does, is told of after this time as far as it has come.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is to be traced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spec {
    /// The names of the ports that packets come in by, or of tenants; none for all ports.
    pub ports: Vec<String>,
    /// Which packets.
    pub filter: String,
    /// How many, at most.
    pub count: u64,
    /// For how long, in nanoseconds.
    pub duration_ns: u64,
}

/// A part of what was traced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chunk {
    /// The number by which the trace can be ended; in the first part.
    pub id: Option<u64>,
    /// Packets.
    pub packets: Vec<Traced>,
    /// The end, in the last part.
    pub end: Option<End>,
}

/// A packet, with all that happened to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Traced {
    /// When it came in, in nanoseconds since 1970.
    pub unix_ns: u64,
    /// The name of the port that it came in by.
    pub port: String,
    /// What it is, in a line.
    pub packet: String,
    /// Its length as it came in, in bytes.
    pub len: u32,
    /// What the stages made of it.
    pub steps: Vec<Step>,
}

/// How a trace ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct End {
    /// Why, if nobody asked for it.
    pub why: String,
    /// Packets that were not followed, and steps that were not told, for there was no room.
    pub lost: u64,
}

/// A trace that goes on: control's end.
pub struct Trace {
    /// The number by which it is ended.
    pub id: u64,
    /// By worker.
    trays: Vec<Tray>,
    wanted: Arc<Wanted>,
    gather: Gather,
    in_force: watch::Receiver<InForce>,
    /// Packets that may still be told of.
    left: u64,
}

impl std::fmt::Debug for Trace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trace").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Trace {
    /// A trace whose number is not known yet, before the workers look. Their clock was at 0 so many nanoseconds after 1970
    /// began.
    pub fn new(
        start_unix_ns: u64,
        trays: Vec<Tray>,
        wanted: Arc<Wanted>,
        in_force: watch::Receiver<InForce>,
    ) -> Self {
        // The workers count that down.
        let left = wanted.left.load(Ordering::Relaxed);
        Self { id: 0, trays, wanted, gather: Gather::new(start_unix_ns), in_force, left }
    }

    /// Whether all was told that may be.
    pub const fn is_full(&self) -> bool {
        self.left == 0
    }

    /// Whether the workers have let it go.
    pub fn is_ended(&self) -> bool {
        self.trays.iter().all(Tray::is_abandoned)
    }

    /// Whether none of the ports that are wanted is there any more.
    pub fn ports_are_gone(&self) -> bool {
        self.in_force.borrow().has_none_of(self.wanted.ports.as_deref())
    }

    /// Packets of which all is known now, in the order of time.
    pub fn packets(&mut self) -> Vec<Traced> {
        self.look(false)
    }

    /// The rest, when no more comes.
    pub fn rest(&mut self) -> Vec<Traced> {
        self.look(true)
    }

    fn look(&mut self, all: bool) -> Vec<Traced> {
        for tray in &mut self.trays {
            while let Some(event) = tray.take() {
                self.gather.add(event);
            }
        }
        let mut packets =
            self.gather.packets(&self.in_force.borrow(), if all { Duration::ZERO } else { PATIENCE });
        packets.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
        self.left -= packets.len() as u64;
        packets
    }

    /// What found no room.
    pub fn lost(&self) -> u64 {
        self.trays.iter().map(Tray::lost).sum()
    }
}
