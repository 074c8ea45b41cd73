//! The table of sessions: one worker's, of one family.
//!
//! A lookup touches two places: the bucket of the key's hash, a cache line with tags and indices, and the
//! session. Over a burst, by its [`Lookup`]: [`hash`](Lookup::hash) all, which asks for the buckets; take the
//! [`candidate`](Lookup::candidate) of each, which asks for the session's lines; then see whether it
//! [`is`](Table::is) the one, and [`find`](Table::find) the few that are not.
//!
//! Everything is bounded. A table has room for its capacity and a port for its limits; when there is no more, a
//! session of the same port that nobody has answered makes way, the oldest first, or the new one is
//! [refused](Refused). No port ever loses a session to another.
//!
//! Nothing allocates once the table is made but [`set_ports`](Table::set_ports).

mod books;
mod buckets;
mod links;
mod memory;
#[cfg(test)]
mod tests;
mod wheel;

pub use books::Book;
pub use memory::{MOST, Memory};
pub use wheel::{HORIZON, SPAN};

use books::Books;
use buckets::{Buckets, Lines};
use links::{Link, WHEEL};
use wheel::Wheel;

use super::hash::{Hash, Secret};
use super::key::Key;
use super::notes::{self, Notes};
use super::session::{Opening, Session};
use super::settings::Limits;
use super::state::{State, Timeouts};
use crate::ids::{PortId, Tick};

/// Sessions by key.
#[derive(Debug)]
pub struct Table<K> {
    secret: Secret,
    buckets: Buckets,
    /// Those that were ever used. The others' memory is not touched.
    sessions: Vec<Session<K>>,
    /// The links of each of these.
    nodes: Vec<links::Node>,
    /// What is noted of each of these.
    notes: Vec<Notes>,
    /// The first of those that are used no more, chained by their links of the wheel.
    free: Option<u32>,
    live: u32,
    capacity: u32,
    wheel: Wheel,
    books: Books,
    stats: Stats,
}

/// The place of a session. It stays the same as long as the session lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot(u32);

impl Slot {
    /// Its number, less than the table's capacity.
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// Whether a session here that had its last packet then, and has one now, is to be told of again.
    #[inline(always)]
    pub fn is_due(self, last: Tick, now: Tick) -> bool {
        notes::is_due(self.0, last, now)
    }
}

/// Where sessions of a table are, for a burst of packets that are looked up: see [the module](self).
#[derive(Clone, Copy, Debug)]
pub struct Lookup<'a, K> {
    secret: &'a Secret,
    lines: Lines<'a>,
    sessions: &'a [Session<K>],
}

impl<K: Key> Lookup<'_, K> {
    /// The hash of `key`, and asks for the bucket where it is most likely.
    #[inline(always)]
    pub fn hash(&self, key: &K) -> Hash {
        let hash = self.secret.hash(key);
        self.lines.prefetch(hash);
        hash
    }

    /// The session that is most likely that of `hash`, whose lines it asks for, but those that only TCP's packets
    /// touch. Of none it is certain that there is
    /// no session with this hash; one that there is may be another's: see [`Table::is`].
    #[inline(always)]
    pub fn candidate(&self, hash: Hash) -> Option<Slot> {
        let index = self.lines.candidate(hash)?;
        let session = self.sessions.get(index as usize)?;
        weft_intrinsics::prefetch(session);
        // With the long key its counters are on the second line.
        if size_of::<K>() > 16 {
            weft_intrinsics::prefetch(&session.traffic[1]);
        }
        Some(Slot(index))
    }
}

/// Why a session was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The table has no place for it, and no session of the port could make way.
    TableFull,
    /// The port has as many as it may, and none that could make way.
    Quota,
}

/// What happened to sessions since the table was made. Those opened are live, evicted, expired or closed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Opened.
    pub opened: u64,
    /// Ended to make way for another of the same port.
    pub evicted: u64,
    /// Ended by time.
    pub expired: u64,
    /// Ended by the caller.
    pub closed: u64,
    /// Not opened: [`Refused::TableFull`].
    pub refused_full: u64,
    /// Not opened: [`Refused::Quota`].
    pub refused_quota: u64,
    /// Entries of buckets that were moved to make place.
    pub moved: u64,
}

impl<K: Key> Table<K> {
    /// A table for `capacity` sessions, at least 1 and at most [`MOST`]. No port may open any before
    /// [`set_ports`](Self::set_ports).
    pub fn new(capacity: u32, secret: &Secret) -> Self {
        Self::within(Memory::new(capacity), secret)
    }

    /// A table in this memory.
    pub fn within(memory: Memory<K>, secret: &Secret) -> Self {
        let Memory { words, sessions, nodes, notes, capacity } = memory;
        Self {
            secret: secret.clone(),
            buckets: Buckets::new(words, memory::buckets(capacity)),
            sessions,
            nodes,
            notes,
            free: None,
            live: 0,
            capacity,
            wheel: Wheel::new(),
            books: Books::new(),
            stats: Stats::default(),
        }
    }

    /// The hash of `key`.
    #[inline]
    pub fn hash(&self, key: &K) -> Hash {
        self.secret.hash(key)
    }

    /// The table as a burst looks it up.
    #[inline]
    pub fn lookup(&self) -> Lookup<'_, K> {
        Lookup { secret: &self.secret, lines: self.buckets.lines(), sessions: &self.sessions }
    }

    /// Whether the session at `slot` lives and has `key`.
    #[inline]
    pub fn is(&self, slot: Slot, key: &K) -> bool {
        // That of one that does not live is no packet's.
        self.session(slot).key == *key
    }

    /// The session with `key`. Reads up to two buckets and the sessions with the same tag, which are hardly ever more
    /// than one and never more than 16.
    pub fn find(&self, hash: Hash, key: &K) -> Option<Slot> {
        self.buckets.candidates(hash).map(Slot).find(|slot| self.is(*slot, key))
    }

    /// The session at `slot`.
    #[inline]
    pub fn session(&self, slot: Slot) -> &Session<K> {
        &self.sessions[slot.index()]
    }

    /// The session at `slot`, to be changed.
    #[inline]
    pub fn session_mut(&mut self, slot: Slot) -> &mut Session<K> {
        &mut self.sessions[slot.index()]
    }

    /// Asks for all lines of what is known of a session that is to be told of.
    pub fn prefetch_all(&self, slot: Slot) {
        if let (Some(session), Some(notes)) = (self.sessions.get(slot.index()), self.notes.get(slot.index()))
        {
            weft_intrinsics::prefetch(session);
            weft_intrinsics::prefetch(&session.tcp);
            weft_intrinsics::prefetch(notes);
            weft_intrinsics::prefetch(&notes.serial);
        }
    }

    /// The session at `slot`, with what is noted of it.
    #[inline]
    pub fn noted_mut(&mut self, slot: Slot) -> (&mut Session<K>, &mut Notes) {
        (&mut self.sessions[slot.index()], &mut self.notes[slot.index()])
    }

    /// Asks for the lines that only TCP's packets touch: the session's second, and the first of its notes.
    #[inline]
    pub fn prefetch_tcp(&self, slot: Slot) {
        if let (Some(session), Some(notes)) = (self.sessions.get(slot.index()), self.notes.get(slot.index()))
        {
            weft_intrinsics::prefetch(&session.tcp);
            weft_intrinsics::prefetch(notes);
        }
    }

    /// Whether the session at `slot`, which has a packet now, is to be told of again.
    #[inline(always)]
    pub fn is_due(&self, slot: Slot, now: Tick) -> bool {
        slot.is_due(self.session(slot).last, now)
    }

    /// Whether the session at `slot` should have ended: its time is over, only [`age`](Self::age) has not come by.
    #[inline]
    pub fn is_expired(&self, slot: Slot, now: Tick, timeouts: &Timeouts) -> bool {
        self.session(slot).deadline(timeouts) <= now
    }

    /// Opens a session with `key`, which has none, and its `hash`.
    ///
    /// If the port has as many sessions as it may (embryonic ones, if this is one), or the table is full, the port's
    /// own oldest embryonic session makes way; if it has none, the new one is refused. After the limits were lowered
    /// two make way each time, if there are two. If no entry of the hash's buckets can be moved, an embryonic session of the port in
    /// these has to make way. `evicted` is told of each before it is gone.
    pub fn open(
        &mut self,
        hash: Hash,
        key: &K,
        opening: &Opening,
        now: Tick,
        timeouts: &Timeouts,
        mut evicted: impl FnMut(&Session<K>, &mut Notes),
    ) -> Result<Slot, Refused> {
        debug_assert!(self.find(hash, key).is_none() && *key != K::default(), "{key:?}");
        let room = self.make_room(opening, &mut evicted);
        let placed = room.and_then(|()| self.make_place(hash, opening.port, &mut evicted));
        match placed {
            Ok(index) => self.enter(index, *key, opening, now, timeouts),
            Err(Refused::Quota) => self.stats.refused_quota += 1,
            Err(Refused::TableFull) => self.stats.refused_full += 1,
        }
        placed.map(Slot)
    }

    /// Follows a change of the session's state, that was `before`: it is embryonic no more, or its time is shorter.
    pub fn changed(&mut self, slot: Slot, before: State, timeouts: &Timeouts) {
        let session = &self.sessions[slot.index()];
        if !session.is_live() {
            return;
        }
        if session.state.is_embryonic() {
            self.books.wait(&mut self.nodes, session.port, slot.0);
        } else {
            self.books.leave(&mut self.nodes, session.port, slot.0);
        }
        // A longer time is found out when the shorter is over.
        if timeouts.of(session.state) < timeouts.of(before) {
            self.wheel.remove(&mut self.nodes, slot.0);
            self.wheel.push(&mut self.nodes, slot.0, session.deadline(timeouts));
        }
    }

    /// Ends the session at `slot`, if it lives.
    pub fn close(&mut self, slot: Slot) {
        if self.session(slot).is_live() {
            self.stats.closed += 1;
            self.remove(slot.0);
        }
    }

    /// Ends the sessions whose time is over, each told to `ended` before it is gone. Looks at no more than `budget`
    /// sessions and goes on where it stopped. Returns whether it has looked at all that were due.
    pub fn age(
        &mut self,
        now: Tick,
        timeouts: &Timeouts,
        budget: usize,
        mut ended: impl FnMut(&Session<K>, &mut Notes),
    ) -> bool {
        for _ in 0..budget {
            let Some(index) = self.wheel.due(now) else { return true };
            if let Some(after) = Wheel::after(&self.nodes, index) {
                weft_intrinsics::prefetch(&self.sessions[after as usize]);
                weft_intrinsics::prefetch(&self.nodes[after as usize]);
            }
            let session = &self.sessions[index as usize];
            let deadline = session.deadline(timeouts);
            if deadline <= now {
                self.stats.expired += 1;
                ended(session, &mut self.notes[index as usize]);
                self.remove(index);
            } else {
                self.wheel.remove(&mut self.nodes, index);
                self.wheel.push(&mut self.nodes, index, deadline);
            }
        }
        self.wheel.due(now).is_none()
    }

    /// Walks over the sessions: looks at the next `count` places from `cursor`, which is 0 to start with, and ends
    /// those that `keep` does not want. Returns whether it has come to the end; the cursor is 0 then.
    ///
    /// A session that lives during the whole walk is met exactly once. `keep` does not change the state.
    pub fn visit(
        &mut self,
        cursor: &mut u32,
        count: usize,
        mut keep: impl FnMut(Slot, &mut Session<K>, &mut Notes) -> bool,
    ) -> bool {
        for _ in 0..count {
            let at = *cursor as usize;
            let (Some(session), Some(notes)) = (self.sessions.get_mut(at), self.notes.get_mut(at)) else {
                break;
            };
            let slot = Slot(*cursor);
            *cursor += 1;
            if session.is_live() && !keep(slot, session, notes) {
                self.close(slot);
            }
        }
        let end = *cursor as usize >= self.sessions.len();
        if end {
            *cursor = 0;
        }
        end
    }

    /// Sets what each port may have, by [`PortId`]. Takes no session away: a port that has more has to wait. Allocates
    /// when there are more ports than ever before.
    pub fn set_ports(&mut self, limits: &[Limits]) {
        self.books.set(limits);
    }

    /// What `port` has.
    pub fn book(&self, port: PortId) -> Book {
        self.books.book(port)
    }

    /// How many sessions there are.
    pub fn len(&self) -> usize {
        self.live as usize
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// How many places were ever used: those from the front of its [`Memory`].
    #[inline]
    pub fn places(&self) -> u32 {
        self.sessions.len() as u32
    }

    /// How many there can be.
    pub fn capacity(&self) -> usize {
        self.capacity as usize
    }

    /// What happened so far.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Keeps the port within its limits, and the table within its capacity, with one session more.
    fn make_room(
        &mut self,
        opening: &Opening,
        evicted: &mut impl FnMut(&Session<K>, &mut Notes),
    ) -> Result<(), Refused> {
        let Opening { port, state, .. } = *opening;
        if !self.books.may_open(port, state.is_embryonic()) {
            return Err(Refused::Quota);
        }
        // Two make way where limits were lowered, so that the port comes closer to them with each it opens.
        for made in 0..2 {
            let quota = self.books.is_full(port, state.is_embryonic());
            if !quota && self.live < self.capacity {
                break;
            }
            match self.books.oldest(port) {
                Some(oldest) => self.evict(oldest, evicted),
                None if made > 0 => break,
                None if quota => return Err(Refused::Quota),
                None => return Err(Refused::TableFull),
            }
        }
        Ok(())
    }

    /// Finds a free session and makes an entry for it in the buckets.
    fn make_place(
        &mut self,
        hash: Hash,
        port: PortId,
        evicted: &mut impl FnMut(&Session<K>, &mut Notes),
    ) -> Result<u32, Refused> {
        if let Ok(moved) = self.buckets.insert(hash, self.unused()) {
            self.stats.moved += u64::from(moved);
            return Ok(self.unused());
        }
        let sessions = &self.sessions;
        let own = |index: &u32| sessions[*index as usize].port == port && Books::waits(&self.nodes, *index);
        let oldest =
            self.buckets.neighbours(hash).filter(own).min_by_key(|index| sessions[*index as usize].last);
        self.evict(oldest.ok_or(Refused::TableFull)?, evicted);
        match self.buckets.insert(hash, self.unused()) {
            Ok(_) => Ok(self.unused()),
            Err(_) => Err(Refused::TableFull),
        }
    }

    /// A session that is used no more, or was never.
    fn unused(&self) -> u32 {
        self.free.unwrap_or(self.sessions.len() as u32)
    }

    /// Starts the session at `index`, the [unused](Self::unused) one.
    fn enter(&mut self, index: u32, key: K, opening: &Opening, now: Tick, timeouts: &Timeouts) {
        let session = Session::new(key, opening, now);
        self.stats.opened += 1;
        let notes = Notes::new(self.stats.opened, now);
        match self.sessions.get_mut(index as usize) {
            Some(place) => {
                let next = self.nodes[index as usize][WHEEL].next;
                self.free = Some(next).filter(|next| *next != Link::ALONE.next);
                *place = session;
                self.notes[index as usize] = notes;
            }
            // Within what was reserved: nothing allocates.
            None => {
                self.sessions.push(session);
                self.nodes.push([Link::ALONE; 2]);
                self.notes.push(notes);
            }
        }
        if self.live == 0 {
            self.wheel.start(now);
        }
        self.live += 1;
        self.books.enter(opening.port);
        if opening.state.is_embryonic() {
            self.books.wait(&mut self.nodes, opening.port, index);
        }
        self.wheel.push(&mut self.nodes, index, session.deadline(timeouts));
    }

    fn evict(&mut self, index: u32, evicted: &mut impl FnMut(&Session<K>, &mut Notes)) {
        self.stats.evicted += 1;
        self.prefetch_after(index);
        evicted(&self.sessions[index as usize], &mut self.notes[index as usize]);
        self.remove(index);
    }

    /// Asks for what it takes to end those that have waited longest after `index`: who opens many sessions at its limit ends
    /// one with each. The next one's own lines were asked for with `index`'s.
    fn prefetch_after(&self, index: u32) {
        let Some(next) = Books::after(&self.nodes, index) else { return };
        self.buckets.prefetch(self.secret.hash(&self.sessions[next as usize].key));
        if let Some(second) = Books::after(&self.nodes, next) {
            weft_intrinsics::prefetch(&self.nodes[second as usize]);
            self.prefetch_all(Slot(second));
        }
    }

    fn remove(&mut self, index: u32) {
        let session = &mut self.sessions[index as usize];
        self.buckets.remove(self.secret.hash(&session.key), index);
        session.key = K::default();
        self.books.strike(&mut self.nodes, session.port, index);
        self.wheel.remove(&mut self.nodes, index);
        self.nodes[index as usize][WHEEL].next = self.free.unwrap_or(Link::ALONE.next);
        self.free = Some(index);
        self.live -= 1;
    }
}
