//! How the control thread speaks to a worker: letters taken between two bursts, and what comes back.

use std::net::IpAddr;
use std::sync::Arc;

use crossbeam::queue::ArrayQueue;
use weft_pipelines::counters::{RuleCounters, Sizes, Traffic};
use weft_pipelines::flow::State;
use weft_pipelines::overlay::neighbor;
use weft_pipelines::{Counters, Mac, PortId, Snapshot, Tick, Vni, Witness};

use super::port::{Receive, Transmit};
use crate::shm::WorkerStats;

/// Letters that wait at most; the control thread sends one and waits for what comes back.
const CAPACITY: usize = 8;

/// To a worker.
pub enum Mail<F> {
    /// Make room for what the next configuration has, and take the ports that it gives you, to be used with it.
    Prepare(Box<Preparation<F>>),
    /// Work by this configuration from now on. The one before comes back to be freed.
    Publish(Arc<Snapshot>),
    /// Write down how you stand.
    Report(Box<Standing>),
    /// Write down what rules have decided.
    Rules(Box<RulePage>),
    /// Write down sessions.
    Sessions(Box<SessionPage>),
    /// Show packets to this witness from now on. Its number is the letter's alone.
    Watch(u64, Box<dyn Witness<F>>),
    /// Show nothing any more to the witness of this number.
    Unwatch(u64),
    /// Receive no more from ports; only finish what other workers hand over.
    Finish,
    /// Drop, by name, what still waits, and end.
    End,
}

/// From a worker.
pub enum Reply<F> {
    /// It is ready for the next configuration. What is left of the letter comes back to be freed.
    Prepared(Box<Preparation<F>>),
    /// The configuration that it worked by before, and what it has no more use for.
    Retired(Arc<Snapshot>, Vec<Retired<F>>),
    /// The witness of this number sees packets from now on.
    Watching(u64),
    /// The witness of this number, which sees nothing any more: it was sent away, or as many looked as may.
    Unwatched(u64, Option<Box<dyn Witness<F>>>),
    /// How it stands.
    Standing(Box<Standing>),
    /// What rules have decided.
    Rules(Box<RulePage>),
    /// Sessions.
    Sessions(Box<SessionPage>),
}

/// What a worker does before another configuration is published, so that it can count what concerns things that only
/// others know yet.
pub struct Preparation<F> {
    /// How many there will be of what is counted.
    pub sizes: Sizes,
    /// Its new ports.
    pub ports: Vec<NewPort<F>>,
    /// Other memory to let others read from, if what it has does not hold so many. What it had comes back in its place.
    pub stats: Option<WorkerStats>,
}

/// A port for a worker.
pub struct NewPort<F> {
    /// Its number in the next configuration.
    pub port: PortId,
    /// What to poll.
    pub inputs: Vec<Box<dyn Receive<F>>>,
    /// Where to send.
    pub output: Box<dyn Transmit<F>>,
}

/// A queue of a port that is no more. To drop it may close the device, which waits for it.
pub enum Retired<F> {
    /// A receive queue.
    Input(Box<dyn Receive<F>>),
    /// The send queue.
    Output(Box<dyn Transmit<F>>),
}

/// A part of what rules have decided. Made by the control thread, filled by the worker.
#[derive(Clone, Debug, Default)]
pub struct RulePage {
    /// The number of the question that it answers, which the worker leaves as it is.
    pub asked: u64,
    /// The slot of the first.
    pub from: usize,
    /// By slot from there. The worker writes as many as there are.
    pub counters: Vec<RuleCounters>,
}

/// Some sessions. Made by the control thread with the capacity of a page, filled by the worker, and sent again until
/// there are no more.
#[derive(Debug, Default)]
pub struct SessionPage {
    /// The number of the question that it answers, which the worker leaves as it is.
    pub asked: u64,
    /// Where to go on; the worker moves it.
    pub cursor: SessionCursor,
    /// What was found: no more than the list had room for.
    pub records: Vec<SessionRecord>,
}

/// How far a walk over a worker's sessions has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SessionCursor {
    /// At this place of the IPv4 sessions.
    V4(u32),
    /// At this place of the IPv6 sessions.
    V6(u32),
    /// At the end.
    #[default]
    End,
}

impl SessionCursor {
    /// Before all sessions.
    pub const START: Self = Self::V4(0);
}

/// A session, as it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionRecord {
    /// The segment.
    pub vni: Vni,
    /// The protocol (IANA number).
    pub protocol: u8,
    /// Who opened it, with the port that it was opened from; of an ICMP query its identifier, of others 0.
    pub from: (IpAddr, u16),
    /// Who it was opened to.
    pub to: IpAddr,
    /// What a rule's service is compared with: the port that it was opened to, or the ICMP type (high byte) and code;
    /// of other protocols 0.
    pub service: u16,
    /// Whose it counts as.
    pub port: PortId,
    /// Its state.
    pub state: State,
    /// The counter of the rule that lets it pass.
    pub rule: u32,
    /// The counter of the rule that would decide if those under audit counted.
    pub would_rule: u32,
    /// Whether it would be denied if rules under audit counted.
    pub would_deny: bool,
    /// What each side sent: first who opened it.
    pub traffic: [Traffic; 2],
    /// When it was opened.
    pub opened: Tick,
    /// When its last packet came.
    pub last: Tick,
    /// When this was written.
    pub now: Tick,
}

/// Both directions between the control thread and one worker.
pub struct Mailbox<F> {
    letters: ArrayQueue<Mail<F>>,
    replies: ArrayQueue<Reply<F>>,
}

impl<F> Default for Mailbox<F> {
    fn default() -> Self {
        Self { letters: ArrayQueue::new(CAPACITY), replies: ArrayQueue::new(CAPACITY) }
    }
}

impl<F> Mailbox<F> {
    /// Sends a letter; gives it back when too many wait.
    ///
    /// # Errors
    ///
    /// With the letter, when the worker does not take its letters.
    pub fn send(&self, mail: Mail<F>) -> Result<(), Mail<F>> {
        self.letters.push(mail)
    }

    /// What came back, if anything.
    pub fn reply(&self) -> Option<Reply<F>> {
        self.replies.pop()
    }

    /// The next letter, on the worker's side.
    pub(super) fn take(&self) -> Option<Mail<F>> {
        if self.letters.is_empty() { None } else { self.letters.pop() }
    }

    /// Sends something back, on the worker's side. As many replies fit as letters, and each is to one.
    pub(super) fn answer(&self, reply: Reply<F>) {
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
    /// Packets that wait for their turn to leave.
    pub waiting: u64,
    /// How many times it slept.
    pub sleeps: u64,
    /// Decisions of policy that were not told for there were too many.
    pub log_lost: u64,
    /// The configuration it works by.
    pub epoch: u64,
    /// Records of flows that it wrote.
    pub records: u64,
    /// Records that it did not write, of what policy denied: there were too many.
    pub records_withheld: u64,
}

impl Standing {
    /// Room for a worker of `snapshot`.
    pub fn new(snapshot: &Snapshot) -> Self {
        let unknown = Neighbor { state: neighbor::State::Unresolved, mac: None, held: 0 };
        Self {
            asked: 0,
            counters: Counters::new(Sizes { rules: 0, pairs: 0, ..snapshot.sizes() }),
            work: Work::default(),
            neighbors: vec![unknown; snapshot.hops.len()],
        }
    }
}
