//! How the control thread speaks to a worker: letters taken between two bursts, and what comes back.

use std::sync::Arc;

use crossbeam::queue::ArrayQueue;
use weft_pipelines::counters::Sizes;
use weft_pipelines::{Counters, Mac, Snapshot};

use weft_pipelines::overlay::neighbor;

/// Letters that wait at most; the control thread sends one and waits for what comes back.
const CAPACITY: usize = 8;

/// To a worker.
#[derive(Debug)]
pub enum Mail {
    /// Work by this configuration from now on. The one before comes back to be freed.
    Publish(Arc<Snapshot>),
    /// Write down how you stand.
    Report(Box<Standing>),
    /// Receive no more from ports; only finish what other workers hand over.
    Finish,
    /// Drop, by name, what still waits, and end.
    End,
}

/// From a worker.
#[derive(Debug)]
pub enum Reply {
    /// The configuration that it worked by before.
    Retired(Arc<Snapshot>),
    /// How it stands.
    Standing(Box<Standing>),
}

/// Both directions between the control thread and one worker.
#[derive(Debug)]
pub struct Mailbox {
    letters: ArrayQueue<Mail>,
    replies: ArrayQueue<Reply>,
}

impl Default for Mailbox {
    fn default() -> Self {
        Self { letters: ArrayQueue::new(CAPACITY), replies: ArrayQueue::new(CAPACITY) }
    }
}

impl Mailbox {
    /// Sends a letter; gives it back when too many wait.
    ///
    /// # Errors
    ///
    /// With the letter, when the worker does not take its letters.
    pub fn send(&self, mail: Mail) -> Result<(), Mail> {
        self.letters.push(mail)
    }

    /// What came back, if anything.
    pub fn reply(&self) -> Option<Reply> {
        self.replies.pop()
    }

    /// The next letter, on the worker's side.
    pub(super) fn take(&self) -> Option<Mail> {
        if self.letters.is_empty() { None } else { self.letters.pop() }
    }

    /// Sends something back, on the worker's side. As many replies fit as letters, and each is to one.
    pub(super) fn answer(&self, reply: Reply) {
        if let Err(reply) = self.replies.push(reply) {
            // The control thread is gone or never looks: nobody misses it.
            drop(reply);
        }
    }
}

/// How a worker stands, between two bursts. Made by the control thread, filled by the worker.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// The number of the question that it answers, which the worker leaves as it is.
    pub asked: u64,
    /// What it counted, its ports' transmissions included, but not by rule: of these there are many.
    pub counters: Counters,
    /// The work itself.
    pub work: Work,
    /// By next hop: what it knows of it.
    pub neighbors: Vec<Neighbor>,
}

/// What a worker knows of a next hop on the underlay.
#[derive(Clone, Copy, Debug)]
pub struct Neighbor {
    /// How sure it is.
    pub state: neighbor::State,
    /// Its MAC, if known.
    pub mac: Option<Mac>,
    /// Packets that wait for it.
    pub held: u64,
}

/// What a worker's rounds came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Packets received from ports.
    pub packets: u64,
    /// Rounds over its ports.
    pub polls: u64,
    /// Rounds that found nothing.
    pub empty_polls: u64,
    /// Cycles spent in rounds that found packets.
    pub busy_cycles: u64,
    /// Packets handed to other workers.
    pub handed_over: u64,
    /// Packets taken from other workers.
    pub received_over: u64,
    /// How many times it slept.
    pub sleeps: u64,
    /// The configuration it works by.
    pub epoch: u64,
}

impl Standing {
    /// Room for a worker of `snapshot`.
    pub fn new(snapshot: &Snapshot) -> Self {
        let unknown = Neighbor { state: neighbor::State::Unresolved, mac: None, held: 0 };
        Self {
            asked: 0,
            counters: Counters::new(Sizes { rules: 0, ..snapshot.sizes() }),
            work: Work::default(),
            neighbors: vec![unknown; snapshot.hops.len()],
        }
    }
}
