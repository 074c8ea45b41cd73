//! What of a flow's totals was not told yet.

use std::collections::HashMap;

use weft_pipelines::Tick;

use crate::shm::record::{Kind, Record};

/// The longest that a document lets a session be idle: of one that was not heard of for longer, the end was missed.
const LONGEST: u64 = 30 * 86_400 * 1_000_000_000;

/// What was told of each flow so far.
///
/// There is room for so many flows. One that finds no place is told of in one piece, when it ends; nothing is told twice.
#[derive(Debug)]
pub struct Deltas {
    flows: HashMap<u64, Totals>,
    capacity: usize,
    /// How many records are to come before old ones are looked for again.
    rest: usize,
}

/// What a flow's record has counted.
#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    last: Tick,
    written: Tick,
    packets: [u64; 2],
    bytes: [u64; 2],
}

/// What is to be told of a flow: the initiator's, then the responder's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delta {
    /// After this moment, or at it the flow's first packet.
    pub from: Tick,
    /// The last packet.
    pub to: Tick,
    /// Packets.
    pub packets: [u64; 2],
    /// Bytes of whole frames.
    pub bytes: [u64; 2],
}

impl Delta {
    /// That of a packet that opened no flow.
    pub const fn of_denied(record: &Record) -> Self {
        Self {
            from: record.started,
            to: record.last,
            packets: [record.initiator_packets, record.responder_packets],
            bytes: [record.initiator_bytes, record.responder_bytes],
        }
    }

    /// Whether there was no packet.
    pub const fn is_nothing(&self) -> bool {
        self.packets[0] == 0 && self.packets[1] == 0
    }
}

impl Totals {
    const fn of(record: &Record) -> Self {
        Self {
            last: record.last,
            written: record.written,
            packets: [record.initiator_packets, record.responder_packets],
            bytes: [record.initiator_bytes, record.responder_bytes],
        }
    }
}

impl Deltas {
    /// With room for `capacity` flows.
    pub fn new(capacity: usize) -> Self {
        Self { flows: HashMap::new(), capacity, rest: 0 }
    }

    /// How many flows have a place.
    pub fn len(&self) -> usize {
        self.flows.len()
    }

    /// Whether none has.
    pub fn is_empty(&self) -> bool {
        self.flows.is_empty()
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.flows.clear();
    }

    /// What `record` tells that was not told. None if it has to wait for the flow's end; or where the flow is of the
    /// past, and nothing is known of it: then it counts from here.
    pub fn take(&mut self, record: &Record, is_past: bool) -> Option<Delta> {
        let (told, now) = (self.flows.get(&record.flow).copied(), Totals::of(record));
        if record.kind == Kind::End {
            self.flows.remove(&record.flow);
        } else if told.is_some() || self.has_room(record) {
            self.flows.insert(record.flow, now);
        } else {
            return None;
        }
        let told = match told {
            Some(told) => told,
            None if is_past => return None,
            None => Totals { last: record.started, ..Totals::default() },
        };
        let less = |now: [u64; 2], told: [u64; 2]| [0, 1].map(|end| now[end].saturating_sub(told[end]));
        Some(Delta {
            from: told.last,
            to: record.last,
            packets: less(now.packets, told.packets),
            bytes: less(now.bytes, told.bytes),
        })
    }

    /// Takes it that what `record` says was told.
    pub fn passed(&mut self, record: &Record) {
        self.take(record, false);
    }

    /// Whether there is a place; where there seems to be none, flows whose end was missed are forgotten now and then.
    fn has_room(&mut self, record: &Record) -> bool {
        if self.flows.len() >= self.capacity {
            if self.rest == 0 {
                self.flows.retain(|_, told| told.written.0.saturating_add(LONGEST) > record.written.0);
                self.rest = self.capacity;
            }
            self.rest -= self.rest.min(1);
        }
        self.flows.len() < self.capacity
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::shm::record::End;

    fn record(flow: u64, packets: [u64; 2], kind: Kind) -> Record {
        Record {
            flow,
            kind,
            end: if kind == Kind::End { End::Closed } else { End::Open },
            started: Tick(5),
            last: Tick(5 + packets[0]),
            initiator_packets: packets[0],
            responder_packets: packets[1],
            initiator_bytes: packets[0] * 100,
            responder_bytes: packets[1] * 60,
            ..Record::default()
        }
    }

    #[test]
    fn each_record_tells_what_is_new() {
        let mut deltas = Deltas::new(4);
        let first = deltas.take(&record(1, [2, 1], Kind::Start), false).unwrap();
        assert_eq!((first.from, first.to, first.packets, first.bytes), (Tick(5), Tick(7), [2, 1], [200, 60]));
        let second = deltas.take(&record(1, [5, 1], Kind::Update), false).unwrap();
        assert_eq!(
            (second.from, second.to, second.packets, second.bytes),
            (Tick(7), Tick(10), [3, 0], [300, 0])
        );
        assert!(deltas.take(&record(1, [5, 1], Kind::End), false).unwrap().is_nothing());
        assert!(deltas.is_empty());
    }

    #[test]
    fn a_flow_of_the_past_counts_from_where_it_is_met() {
        let mut deltas = Deltas::new(4);
        assert_eq!(deltas.take(&record(1, [9, 9], Kind::Update), true), None);
        assert_eq!(deltas.take(&record(1, [10, 9], Kind::End), true).unwrap().packets, [1, 0]);
        assert_eq!(deltas.take(&record(2, [9, 9], Kind::End), true), None);
        deltas.passed(&record(3, [4, 4], Kind::Start));
        assert_eq!(deltas.take(&record(3, [4, 6], Kind::Update), true).unwrap().packets, [0, 2]);
    }

    #[test]
    fn a_flow_that_finds_no_place_is_told_of_at_its_end() {
        let mut deltas = Deltas::new(1);
        assert!(deltas.take(&record(1, [1, 0], Kind::Start), false).is_some());
        assert_eq!(deltas.take(&record(2, [1, 0], Kind::Start), false), None);
        assert_eq!(deltas.take(&record(2, [7, 3], Kind::End), false).unwrap().packets, [7, 3]);
        // Those that were not heard of for longer than they can last make place.
        let mut late = record(3, [1, 0], Kind::Start);
        late.written = Tick(LONGEST + 1);
        deltas.rest = 0;
        assert!(deltas.take(&late, false).is_some());
        assert_eq!(deltas.len(), 1);
    }

    proptest! {
        #[test]
        fn deltas_add_up_to_the_totals_whatever_is_lost(
            steps in proptest::collection::vec((0_u64..8, 0_u64..100, 0_u64..100, any::<bool>()), 0..300),
            capacity in 0_usize..10,
        ) {
            let (mut deltas, mut totals) = (Deltas::new(capacity), [[0_u64; 2]; 8]);
            let (mut told_packets, mut told_bytes) = ([[0_u64; 2]; 8], [[0_u64; 2]; 8]);
            let ends = (0..8).map(|flow| (flow, 0, 0, false, Kind::End));
            let steps = steps.into_iter().map(|(flow, sent, got, is_lost)| (flow, sent, got, is_lost, Kind::Update));
            for (flow, sent, got, is_lost, kind) in steps.chain(ends) {
                let index = flow as usize;
                totals[index] = [totals[index][0] + sent, totals[index][1] + got];
                if is_lost {
                    continue;
                }
                let Some(delta) = deltas.take(&record(flow, totals[index], kind), false) else { continue };
                for end in 0..2 {
                    told_packets[index][end] += delta.packets[end];
                    told_bytes[index][end] += delta.bytes[end];
                }
                prop_assert!(deltas.len() <= capacity);
            }
            prop_assert_eq!(told_packets, totals);
            prop_assert_eq!(told_bytes, totals.map(|[sent, got]| [sent * 100, got * 60]));
        }
    }
}
