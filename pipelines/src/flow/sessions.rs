//! All that one worker keeps of its flows: the tables of both families, fragments, and how often ports open sessions.

use arrayvec::ArrayVec;

use super::fragments::Fragments;
use super::hash::Secret;
use super::key::{Key, Key4, Key6};
use super::rate::Rate;
use super::settings::{Limits, Settings};
use super::side::Side;
use super::table::{Memory, Slot, Table};
use crate::ids::{PortId, Tick};

/// Datagrams in fragments that a worker follows at once.
const DATAGRAMS: usize = 1024;

/// A worker's sessions.
#[derive(Debug)]
pub struct Sessions {
    /// Of IPv4.
    pub v4: Table<Key4>,
    /// Of IPv6.
    pub v6: Table<Key6>,
    /// Datagrams that come in fragments.
    pub fragments: Fragments<Followed>,
    /// Those that are to be told of again.
    pub again: Again,
    /// By port: how often it opens sessions, and how often sessions are opened to it.
    rates: Vec<[Rate; 2]>,
}

/// Sessions that go on and are to be told of again: several at a time, for what it takes to tell of one is far from the
/// processor by then, its code and all.
#[derive(Debug, Default)]
pub struct Again {
    v4: Batch<Key4>,
    v6: Batch<Key6>,
    /// When the first came.
    since: Tick,
}

/// Places of sessions, with their keys: they may end before it is told of them.
pub type Batch<K> = ArrayVec<(Slot, K), TOGETHER>;

/// Sessions of a family that are told of at once, at most.
pub const TOGETHER: usize = 16;
/// Nanoseconds that one waits for others.
const PATIENCE: u64 = 200_000;

impl Again {
    /// Enters a session. Whether that was the last for which there is room: all are to be told of then.
    pub fn enter<K: Family>(&mut self, slot: Slot, key: K, now: Tick) -> bool {
        if self.v4.is_empty() && self.v6.is_empty() {
            self.since = now;
        }
        let batch = K::batch_mut(self);
        // Whoever is told that it is full empties it.
        let _ = batch.try_push((slot, key));
        batch.is_full()
    }

    /// Whether one has waited long enough.
    #[inline]
    pub fn is_ripe(&self, now: Tick) -> bool {
        !(self.v4.is_empty() && self.v6.is_empty()) && now.0.saturating_sub(self.since.0) >= PATIENCE
    }

    /// Takes all of a family.
    pub fn take<K: Family>(&mut self) -> Batch<K> {
        core::mem::take(K::batch_mut(self))
    }
}

/// The session that a datagram's fragments belong to: its place, and since when it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Followed {
    /// Its place.
    pub slot: Slot,
    /// When it began, which tells it from the next one at that place.
    pub start: Tick,
    /// Who sends the datagram.
    pub side: Side,
}

/// A family of addresses: which table its sessions are in.
pub trait Family: Key {
    /// The table.
    fn table(sessions: &Sessions) -> &Table<Self>;
    /// The table, to be written.
    fn table_mut(sessions: &mut Sessions) -> &mut Table<Self>;
    /// Those that are to be told of again.
    fn batch_mut(again: &mut Again) -> &mut Batch<Self>;
}

impl Family for Key4 {
    fn table(sessions: &Sessions) -> &Table<Self> {
        &sessions.v4
    }

    fn table_mut(sessions: &mut Sessions) -> &mut Table<Self> {
        &mut sessions.v4
    }

    fn batch_mut(again: &mut Again) -> &mut Batch<Self> {
        &mut again.v4
    }
}

impl Family for Key6 {
    fn table(sessions: &Sessions) -> &Table<Self> {
        &sessions.v6
    }

    fn table_mut(sessions: &mut Sessions) -> &mut Table<Self> {
        &mut sessions.v6
    }

    fn batch_mut(again: &mut Again) -> &mut Batch<Self> {
        &mut again.v6
    }
}

impl Sessions {
    /// Room for as many as `settings` say; `secret` keys the hashes.
    pub fn new(settings: &Settings, secret: &Secret) -> Self {
        Self::within(Memory::new(settings.capacity), Memory::new(settings.capacity), secret)
    }

    /// In this memory.
    pub fn within(v4: Memory<Key4>, v6: Memory<Key6>, secret: &Secret) -> Self {
        Self {
            v4: Table::within(v4, secret),
            v6: Table::within(v6, secret),
            fragments: Fragments::new(DATAGRAMS, secret.word()),
            again: Again::default(),
            rates: Vec::new(),
        }
    }

    /// Takes up what ports may take from now on, by [`PortId`].
    pub fn limit(&mut self, limits: &[Limits]) {
        self.v4.set_ports(limits);
        self.v6.set_ports(limits);
        self.rates.resize(limits.len().max(self.rates.len()), [Rate::default(); 2]);
        for (rates, limits) in self.rates.iter_mut().zip(limits) {
            *rates = rates.map(|rate| rate.with(limits.rate, limits.burst));
        }
    }

    /// Whether a session may be opened now that counts for `port`; `out` says that the port's guest opens it.
    pub fn may_open(&mut self, port: PortId, out: bool, now: Tick) -> bool {
        self.rates.get_mut(port.index()).is_none_or(|rates| rates[usize::from(out)].take(now))
    }

    /// Whether no session may be opened now that counts for `port`: see [`may_open`](Self::may_open), which takes one.
    #[inline]
    pub fn is_used_up(&self, port: PortId, out: bool, now: Tick) -> bool {
        self.rates.get(port.index()).is_some_and(|rates| rates[usize::from(out)].is_used_up(now))
    }

    /// How many sessions were opened so far.
    #[inline]
    pub fn opened(&self) -> u64 {
        self.v4.stats().opened + self.v6.stats().opened
    }
}
