//! The flows that there are, from their records: bounded, with what each carried since its record before.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::Ipv6Addr;

use crate::shm::record::{End, Record};

/// Flows that are kept at most. When there are more, those that have told nothing for the longest time go.
pub const MOST: usize = 100_000;
/// Nanoseconds for which a flow that has ended, or was denied, is shown.
const SHOWN: u64 = 5_000_000_000;
/// Nanoseconds after which a flow that tells nothing carries nothing: two times that in which an active one tells.
const IDLE: u64 = 18_000_000_000;
/// Nanoseconds that a mean is taken over at least: what lasts a millisecond has no rate that is worth its name.
const SHORTEST: u64 = 1_000_000_000;

/// The flows, in no order.
#[derive(Clone, Debug, Default)]
pub struct Flows {
    flows: Vec<Flow>,
    places: HashMap<Key, usize>,
}

/// A flow.
#[derive(Clone, Debug)]
pub struct Flow {
    /// What it told last.
    pub record: Record,
    bits: f64,
    packets: f64,
    key: Key,
}

/// What makes records those of one flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key {
    Number(u64),
    /// What policy did not let begin has no number: VNI, protocol, and ends.
    Denied(u32, u8, (Ipv6Addr, u16), (Ipv6Addr, u16)),
}

impl Key {
    fn of(record: &Record) -> Self {
        if record.end != End::Denied {
            return Self::Number(record.flow);
        }
        let initiator = (record.initiator, record.initiator_l4);
        Self::Denied(record.vni, record.protocol, initiator, (record.responder, record.responder_l4))
    }
}

impl Flows {
    /// Takes up a record.
    pub fn tell(&mut self, record: &Record) {
        let key = Key::of(record);
        match self.places.get(&key) {
            Some(place) => self.flows[*place].tell(record),
            None => {
                if self.flows.len() >= MOST {
                    self.make_room();
                }
                self.places.insert(key, self.flows.len());
                self.flows.push(Flow::new(key, record));
            }
        }
    }

    /// Lets those go that have ended some seconds before `now`.
    pub fn expire(&mut self, now: u64) {
        self.retain(|flow| !flow.is_over() || now.saturating_sub(flow.record.written.0) < SHOWN);
    }

    /// Lets a quarter go, the ones that have told nothing for the longest time.
    fn make_room(&mut self) {
        let mut written: Vec<u64> = self.flows.iter().map(|flow| flow.record.written.0).collect();
        let quarter = written.len() / 4;
        let (_, oldest, _) = written.select_nth_unstable(quarter);
        let (oldest, mut left) = (*oldest, quarter + 1);
        self.retain(|flow| {
            let goes = flow.record.written.0 <= oldest && left > 0;
            left -= usize::from(goes);
            !goes
        });
    }

    fn retain(&mut self, keep: impl FnMut(&Flow) -> bool) {
        let before = self.flows.len();
        self.flows.retain(keep);
        if self.flows.len() < before {
            self.places = self.flows.iter().enumerate().map(|(place, flow)| (flow.key, place)).collect();
        }
    }

    /// All of them.
    pub fn all(&self) -> &[Flow] {
        &self.flows
    }
}

impl Flow {
    fn new(key: Key, record: &Record) -> Self {
        let mut flow = Self { record: *record, bits: 0.0, packets: 0.0, key };
        flow.rate(0, 0, record.started.0);
        flow
    }

    fn tell(&mut self, record: &Record) {
        let before = self.record;
        // Of several workers' records one may be read after one that was written later.
        if record.written < before.written {
            return;
        }
        self.record = *record;
        self.rate(bytes(&before), packets(&before), before.written.0);
    }

    /// Takes the mean since a moment at which so much was counted.
    fn rate(&mut self, bytes_before: u64, packets_before: u64, since: u64) {
        let seconds = self.record.written.0.saturating_sub(since).max(SHORTEST) as f64 / 1e9;
        self.bits = bytes(&self.record).saturating_sub(bytes_before) as f64 * 8.0 / seconds;
        self.packets = packets(&self.record).saturating_sub(packets_before) as f64 / seconds;
    }

    /// What tells it from all others.
    pub const fn identity(&self) -> impl Hash + use<> {
        self.key
    }

    /// Whether nothing more comes of it.
    pub fn is_over(&self) -> bool {
        self.record.end != End::Open
    }

    /// Bits and packets a second, both ways, at `now`.
    pub const fn rates(&self, now: u64) -> (f64, f64) {
        let is_idle = now.saturating_sub(self.record.written.0) > IDLE;
        if is_idle { (0.0, 0.0) } else { (self.bits, self.packets) }
    }

    /// Bytes and packets since it began, both ways.
    pub const fn totals(&self) -> (u64, u64) {
        (bytes(&self.record), packets(&self.record))
    }
}

const fn bytes(record: &Record) -> u64 {
    record.initiator_bytes.saturating_add(record.responder_bytes)
}

const fn packets(record: &Record) -> u64 {
    record.initiator_packets.saturating_add(record.responder_packets)
}

#[cfg(test)]
mod tests {
    use weft_pipelines::Tick;

    use super::*;

    const S: u64 = 1_000_000_000;

    fn record(flow: u64, written: u64, bytes: u64) -> Record {
        Record {
            flow,
            started: Tick(S),
            written: Tick(written),
            initiator_bytes: bytes,
            end: End::Open,
            ..Record::default()
        }
    }

    #[test]
    fn a_rate_is_the_mean_since_the_record_before() {
        let mut flows = Flows::default();
        flows.tell(&record(1, 11 * S, 10_000));
        assert_eq!(flows.all()[0].rates(11 * S).0, 8_000.0);
        flows.tell(&record(1, 21 * S, 10_500));
        assert_eq!(flows.all()[0].rates(21 * S).0, 400.0);
        // One of before comes late; a count that goes back is no rate.
        flows.tell(&record(1, 20 * S, 10_400));
        assert_eq!(flows.all()[0].rates(21 * S).0, 400.0);
        flows.tell(&record(1, 31 * S, 3));
        assert_eq!(flows.all()[0].rates(31 * S).0, 0.0);
        flows.tell(&record(1, 41 * S, 1_003));
        assert_eq!([42 * S, 80 * S].map(|now| flows.all()[0].rates(now).0), [800.0, 0.0]);
        // Of a moment the mean is taken over a second.
        flows.tell(&record(2, S + 1, 1_000));
        assert_eq!(flows.all()[1].rates(2 * S).0, 8_000.0);
    }

    #[test]
    fn what_has_ended_goes_after_some_seconds() {
        let mut flows = Flows::default();
        flows.tell(&record(1, 11 * S, 0));
        flows.tell(&record(2, 11 * S, 0));
        flows.tell(&Record { end: End::Closed, ..record(1, 12 * S, 0) });
        let denied = Record { end: End::Denied, vni: 7, ..record(0, 12 * S, 0) };
        flows.tell(&denied);
        flows.tell(&denied);
        flows.tell(&Record { vni: 8, ..denied });
        flows.expire(13 * S);
        assert_eq!(flows.all().len(), 4);
        flows.expire(17 * S);
        assert_eq!(flows.all().iter().map(|flow| flow.record.flow).collect::<Vec<_>>(), [2]);
        flows.tell(&record(2, 18 * S, 5));
        assert_eq!((flows.all().len(), flows.all()[0].totals()), (1, (5, 0)));
    }

    #[test]
    fn they_are_never_more_than_there_is_room_for() {
        let mut flows = Flows::default();
        for flow in 0..MOST as u64 + 10 {
            flows.tell(&record(flow, 10 * S + flow / 2, 0));
        }
        assert!((MOST / 2..=MOST).contains(&flows.all().len()));
        assert!(flows.all().iter().all(|flow| flow.record.flow > 20_000));
        assert!(flows.all().iter().enumerate().all(|(place, flow)| flows.places[&flow.key] == place));
    }
}
