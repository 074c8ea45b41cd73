//! The table beside a plain one: a hash map of sessions and a queue of embryonic ones for each port.

use std::collections::{HashMap, VecDeque};

use proptest::prelude::*;

use super::super::*;
use super::{Key4, Key6, Numbered};
use crate::flow::session::Flags;
use core::time::Duration;

const KEYS: u32 = 40;
const PORTS: u16 = 3;

#[derive(Clone, Debug)]
enum Step {
    Open {
        key: u32,
        port: u16,
        state: State,
    },
    /// A packet that counts.
    Touch {
        key: u32,
    },
    Change {
        key: u32,
        state: State,
    },
    Close {
        key: u32,
    },
    Wait {
        nanos: u64,
    },
    Age {
        budget: usize,
    },
    Visit {
        count: usize,
        drop: u32,
    },
    Limit {
        limits: Vec<(u32, u32)>,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0..KEYS;
    let state = || prop::sample::select(State::ALL.to_vec());
    let few = || prop_oneof![0u32..6, Just(u32::MAX)];
    prop_oneof![
        8 => (key.clone(), 0..PORTS + 1, state()).prop_map(|(key, port, state)| Step::Open { key, port, state }),
        3 => key.clone().prop_map(|key| Step::Touch { key }),
        3 => (key.clone(), state()).prop_map(|(key, state)| Step::Change { key, state }),
        1 => key.prop_map(|key| Step::Close { key }),
        2 => prop_oneof![0..SPAN, 0..30_000_000_000u64, 0..4 * HORIZON].prop_map(|nanos| Step::Wait { nanos }),
        3 => (0usize..20).prop_map(|budget| Step::Age { budget }),
        1 => (0usize..20, 0..KEYS).prop_map(|(count, drop)| Step::Visit { count, drop }),
        1 => prop::collection::vec((few(), few()), 0..=PORTS as usize).prop_map(|limits| Step::Limit { limits }),
    ]
}

/// Some shorter than the wheel, some longer.
fn timeouts() -> Timeouts {
    let mut timeouts = Timeouts::default();
    for (index, state) in State::ALL.into_iter().enumerate() {
        timeouts.set(state, Duration::from_millis(200 << index));
    }
    timeouts
}

#[derive(Clone, Copy, Debug)]
struct Plain {
    port: u16,
    state: State,
    last: Tick,
    /// When its state was changed.
    changed: Tick,
}

/// The plain table.
struct Model<K> {
    sessions: HashMap<K, Plain>,
    waiting: Vec<VecDeque<K>>,
    limits: Vec<(u32, u32)>,
    capacity: usize,
}

impl<K: Numbered + std::hash::Hash> Model<K> {
    fn remove(&mut self, key: &K) -> Option<Plain> {
        self.waiting.iter_mut().for_each(|queue| queue.retain(|other| other != key));
        self.sessions.remove(key)
    }

    fn count(&self, port: u16) -> u32 {
        self.sessions.values().filter(|session| session.port == port).count() as u32
    }

    /// Whether the port itself may have no more.
    fn is_over(&self, port: u16, embryonic: bool) -> bool {
        let (sessions, share) = self.limits.get(port as usize).copied().unwrap_or((0, 0));
        let waiting = self.waiting.get(port as usize).map_or(0, VecDeque::len) as u32;
        self.count(port) >= sessions || embryonic && waiting >= share
    }

    fn open(&mut self, key: K, session: Plain) -> (Result<(), Refused>, Vec<K>) {
        let Plain { port, state, .. } = session;
        let mut evicted = Vec::new();
        let (sessions, share) = self.limits.get(port as usize).copied().unwrap_or((0, 0));
        if sessions == 0 || share == 0 && state.is_embryonic() {
            return (Err(Refused::Quota), evicted);
        }
        while evicted.len() < 2 {
            let over = self.is_over(port, state.is_embryonic());
            if !over && self.sessions.len() < self.capacity {
                break;
            }
            match self.waiting.get(port as usize).and_then(|queue| queue.front().copied()) {
                Some(oldest) => {
                    self.remove(&oldest);
                    evicted.push(oldest);
                }
                None if evicted.len() == 1 => break,
                None => return (Err(if over { Refused::Quota } else { Refused::TableFull }), evicted),
            }
        }
        self.sessions.insert(key, session);
        if state.is_embryonic() {
            self.waiting[port as usize].push_back(key);
        }
        (Ok(()), evicted)
    }
}

/// Both tables, and the clock.
struct Pair<K> {
    table: Table<K>,
    model: Model<K>,
    now: Tick,
    timeouts: Timeouts,
    cursor: u32,
}

impl<K: Numbered + std::hash::Hash> Pair<K> {
    fn new(capacity: u32, start: u64) -> Self {
        let limits = vec![(u32::MAX, u32::MAX); PORTS as usize];
        let waiting = vec![VecDeque::new(); PORTS as usize];
        let model = Model { sessions: HashMap::new(), waiting, limits, capacity: capacity as usize };
        let mut table = Table::new(capacity, &Secret::from_seed(start));
        table.set_ports(&[Limits::default(); PORTS as usize]);
        Self { table, model, now: Tick(start), timeouts: timeouts(), cursor: 0 }
    }

    fn find(&self, key: &K) -> Option<Slot> {
        self.table.find(self.table.hash(key), key)
    }

    fn deadline(&self, session: &Plain) -> Tick {
        session.last + self.timeouts.of(session.state)
    }

    fn take(&mut self, step: Step) {
        let Self { now, ref timeouts, .. } = *self;
        match step {
            Step::Open { key, port, state } => self.open(K::numbered(key), port, state),
            Step::Touch { key } => {
                let key = K::numbered(key);
                if let Some(slot) = self.find(&key) {
                    self.table.session_mut(slot).last = now;
                    self.model.sessions.get_mut(&key).unwrap().last = now;
                }
            }
            Step::Change { key, state } => {
                let key = K::numbered(key);
                let Some(slot) = self.find(&key) else { return };
                let before = core::mem::replace(&mut self.table.session_mut(slot).state, state);
                self.table.changed(slot, before, timeouts);
                self.table.changed(slot, before, timeouts);
                let session = self.model.sessions.get_mut(&key).unwrap();
                session.state = state;
                session.changed = now;
                let queue = &mut self.model.waiting[session.port as usize];
                if !state.is_embryonic() {
                    queue.retain(|other| *other != key);
                } else if !queue.contains(&key) {
                    queue.push_back(key);
                }
            }
            Step::Close { key } => {
                let key = K::numbered(key);
                let slot = self.find(&key);
                assert_eq!(slot.is_some(), self.model.remove(&key).is_some());
                if let Some(slot) = slot {
                    self.table.close(slot);
                    self.table.close(slot);
                }
            }
            Step::Wait { nanos } => self.now.0 += nanos,
            Step::Age { budget } => self.age(budget),
            Step::Visit { count, drop } => {
                let drop = K::numbered(drop);
                let mut met = Vec::new();
                let end = self.table.visit(&mut self.cursor, count, |_, session, _| {
                    met.push(*session.key());
                    *session.key() != drop
                });
                assert!(met.len() <= count && (!end || self.cursor == 0));
                if met.contains(&drop) {
                    assert!(self.model.remove(&drop).is_some());
                }
            }
            Step::Limit { limits } => {
                let limit =
                    |&(sessions, embryonic): &(u32, u32)| Limits { sessions, embryonic, ..Limits::default() };
                self.table.set_ports(&limits.iter().map(limit).collect::<Vec<_>>());
                self.model.limits = limits;
            }
        }
    }

    fn open(&mut self, key: K, port: u16, state: State) {
        if self.model.sessions.contains_key(&key) {
            return;
        }
        let opening = Opening { port: PortId(port), state, rule: 7, epoch: 3, ..Opening::default() };
        let opening = Opening { flags: Flags::LOG, ..opening };
        let mut evicted = Vec::new();
        let hash = self.table.hash(&key);
        let tell = |session: &Session<K>, _: &mut Notes| evicted.push(*session.key());
        let result = self.table.open(hash, &key, &opening, self.now, &self.timeouts, tell);
        let expected = self.model.open(key, Plain { port, state, last: self.now, changed: self.now });
        assert_eq!((result.map(|_| ()), evicted), expected);
        if let Ok(slot) = result {
            let session = self.table.session(slot);
            assert_eq!((session.key(), session.port(), session.last), (&key, PortId(port), self.now));
            assert_eq!((session.rule, session.epoch, session.flags), (7, 3, Flags::LOG));
            assert!(self.table.lookup().candidate(hash).is_some());
        }
    }

    fn age(&mut self, budget: usize) {
        let mut ended = Vec::new();
        let done = self.table.age(self.now, &self.timeouts, budget, |session, _| ended.push(*session.key()));
        assert!(ended.len() <= budget);
        for key in ended {
            let session = self.model.remove(&key).unwrap();
            assert!(self.deadline(&session) <= self.now, "early: {session:?}");
        }
        if done {
            // A change can bring a deadline that is over already.
            let late = |session: &&Plain| self.deadline(session).max(session.changed).0 + SPAN <= self.now.0;
            assert_eq!(self.model.sessions.values().find(late).map(|session| format!("{session:?}")), None);
        }
    }

    fn agree(&mut self) {
        for key in (0..KEYS).map(K::numbered) {
            let slot = self.find(&key);
            let session = slot.map(|slot| *self.table.session(slot));
            let plain = session.map(|session| (session.port().0, session.state, session.last));
            let expected = self.model.sessions.get(&key).map(|plain| (plain.port, plain.state, plain.last));
            assert_eq!(plain, expected);
            if let (Some(slot), Some(expected)) = (slot, self.model.sessions.get(&key)) {
                let expired = self.deadline(expected) <= self.now;
                assert_eq!(self.table.is_expired(slot, self.now, &self.timeouts), expired);
                assert!(self.table.is(slot, &key) && slot.index() < self.table.capacity());
            }
        }
        for port in 0..PORTS {
            let embryonic = self.model.waiting[port as usize].len() as u32;
            let book = Book { sessions: self.model.count(port), embryonic };
            assert_eq!(self.table.book(PortId(port)), book);
        }
        assert_eq!(self.table.len(), self.model.sessions.len());
        let Stats { opened, evicted, expired, closed, .. } = *self.table.stats();
        assert_eq!(opened, self.table.len() as u64 + evicted + expired + closed);
        let (mut cursor, mut met) = (0, 0);
        while !self.table.visit(&mut cursor, 3, |_, _, _| {
            met += 1;
            true
        }) {}
        assert_eq!(met, self.table.len());
    }
}

fn check<K: Numbered + std::hash::Hash>(capacity: u32, start: u64, steps: &[Step]) {
    let mut pair = Pair::<K>::new(capacity, start);
    for step in steps {
        pair.take(step.clone());
        pair.agree();
    }
    // In the end all end.
    pair.now.0 += 1 << 42;
    for _ in 0..4 {
        pair.age(KEYS as usize);
    }
    assert!(pair.table.is_empty() && pair.model.sessions.is_empty());
}

proptest! {
    // Up to 15 of 16 places: two buckets, each the other's other, where there is always a place.
    #[test]
    fn agrees_with_a_plain_table(
        capacity in 1u32..=15,
        start in prop_oneof![Just(0u64), 0u64..1 << 60],
        steps in prop::collection::vec(step(), 0..120),
    ) {
        check::<Key4>(capacity, start, &steps);
        check::<Key6>(capacity, start, &steps);
    }
}
