//! All that one worker keeps of its flows: the tables of both families, fragments, and how often ports open sessions.

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
    /// By port: how often it opens sessions, and how often sessions are opened to it.
    rates: Vec<[Rate; 2]>,
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
}

impl Family for Key4 {
    fn table(sessions: &Sessions) -> &Table<Self> {
        &sessions.v4
    }

    fn table_mut(sessions: &mut Sessions) -> &mut Table<Self> {
        &mut sessions.v4
    }
}

impl Family for Key6 {
    fn table(sessions: &Sessions) -> &Table<Self> {
        &sessions.v6
    }

    fn table_mut(sessions: &mut Sessions) -> &mut Table<Self> {
        &mut sessions.v6
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
