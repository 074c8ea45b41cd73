//! What each port has of a table: how many sessions, and which of them nobody has answered yet, oldest first.

use super::links::{Chains, Node, QUEUE};
use crate::flow::settings::Limits;
use crate::ids::PortId;

/// What a port has of a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Book {
    /// Its sessions.
    pub sessions: u32,
    /// Of these, those that nobody has answered yet.
    pub embryonic: u32,
}

/// The books of all ports.
#[derive(Debug)]
pub(super) struct Books {
    rows: Vec<(Book, Limits)>,
    queues: Chains<QUEUE>,
}

impl Books {
    pub fn new() -> Self {
        Self { rows: Vec::new(), queues: Chains::new(0) }
    }

    /// Sets the ports' limits. A port that is not named any more may open nothing.
    pub fn set(&mut self, limits: &[Limits]) {
        const NOTHING: Limits = Limits { sessions: 0, embryonic: 0, rate: 0, burst: 0 };
        let count = limits.len().max(self.rows.len());
        self.rows.resize(count, (Book::default(), NOTHING));
        self.queues.grow(count);
        for (index, row) in self.rows.iter_mut().enumerate() {
            row.1 = limits.get(index).copied().unwrap_or(NOTHING);
        }
    }

    /// What `port` has.
    pub fn book(&self, port: PortId) -> Book {
        self.rows.get(port.index()).map(|(book, _)| *book).unwrap_or_default()
    }

    /// Whether `port` may have any session, and any embryonic one if it is to be that.
    pub fn may_open(&self, port: PortId, embryonic: bool) -> bool {
        let limits = self.rows.get(port.index()).map(|(_, limits)| limits);
        limits.is_some_and(|limits| limits.sessions > 0 && (limits.embryonic > 0 || !embryonic))
    }

    /// Whether `port` is at its limits, so that one of its sessions has to make way for one more.
    pub fn is_full(&self, port: PortId, embryonic: bool) -> bool {
        self.rows.get(port.index()).is_none_or(|(book, limits)| {
            book.sessions >= limits.sessions || embryonic && book.embryonic >= limits.embryonic
        })
    }

    /// The session of `port` that has waited longest for an answer.
    pub fn oldest(&self, port: PortId) -> Option<u32> {
        self.queues.first(port.index())
    }

    /// The session of the same port that has waited longest after `index`.
    pub fn after(nodes: &[Node], index: u32) -> Option<u32> {
        Chains::<QUEUE>::after(nodes, index)
    }

    /// Enters a session of `port`.
    pub fn enter(&mut self, port: PortId) {
        if let Some((book, _)) = self.rows.get_mut(port.index()) {
            book.sessions += 1;
        }
    }

    /// Strikes out `index`, a session of `port`.
    pub fn strike(&mut self, nodes: &mut [Node], port: PortId, index: u32) {
        self.leave(nodes, port, index);
        if let Some((book, _)) = self.rows.get_mut(port.index()) {
            book.sessions -= 1;
        }
    }

    /// Puts `index` at the end of those of `port` that wait for an answer, if it does not wait.
    pub fn wait(&mut self, nodes: &mut [Node], port: PortId, index: u32) {
        let Some((book, _)) = self.rows.get_mut(port.index()) else { return };
        if !Chains::<QUEUE>::holds(nodes, index) {
            book.embryonic += 1;
            self.queues.push(nodes, port.index(), index);
        }
    }

    /// Takes `index` from those that wait, if it does.
    pub fn leave(&mut self, nodes: &mut [Node], port: PortId, index: u32) {
        let Some((book, _)) = self.rows.get_mut(port.index()) else { return };
        if Chains::<QUEUE>::holds(nodes, index) {
            book.embryonic -= 1;
            self.queues.remove(nodes, index);
        }
    }

    /// Whether `index` waits for an answer.
    pub fn waits(nodes: &[Node], index: u32) -> bool {
        Chains::<QUEUE>::holds(nodes, index)
    }
}
