//! CoDel as RFC 8289 has it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::super::level::FRAME;
use super::*;

const TARGET: u64 = 5 * MS;
const INTERVAL: u64 = 100 * MS;

/// When packets are due that leave each millisecond from `start` on and have all waited so long.
fn due(codel: &mut Codel, waited: u64, behind: u32, ms: std::ops::Range<u64>) -> Vec<u64> {
    let target = Target::of(&Share::default());
    ms.filter(|now| codel.is_due(target, waited, behind, 1000, Tick(now * MS))).collect()
}

#[test]
fn the_control_law_is_the_rfcs() {
    let mut codel = Codel::default();
    let times = due(&mut codel, 6 * MS, 100_000, 1000..2000);
    // An interval after the first that waited too long; then the interval over the square root of the count.
    let mut expected = vec![1100.0];
    while expected.len() < times.len() + 1 {
        expected.push(expected[expected.len() - 1] + 100.0 / (expected.len() as f64).sqrt());
    }
    assert!(times.len() > 20, "{times:?}");
    for (time, expected) in times.iter().zip(&expected) {
        assert!((*time as f64 - expected).abs() <= 1.001, "{times:?} {expected:?}");
    }
    assert!(expected[times.len()] >= 1998.9, "{expected:?}");
    // One that waited less ends it. What sufficed before is begun with soon after, and from one later.
    assert!(!codel.is_due(Target::of(&Share::default()), TARGET - 1, 100_000, 1000, Tick(2000 * MS)));
    assert!(codel.is_quiet());
    let mut brief = codel;
    let again = due(&mut codel, 6 * MS, 100_000, 2001..2200);
    assert!(again[0] == 2101 && again[1] - again[0] < 30, "{again:?}");
    // Of which only what it needed itself is begun with after it.
    assert_eq!(due(&mut brief, 6 * MS, 100_000, 2001..2102), [2101]);
    due(&mut brief, 0, 100_000, 2102..2103);
    assert_eq!(due(&mut brief, 6 * MS, 100_000, 2103..2350), [2203, 2303]);
    let mut codel = Codel::default();
    due(&mut codel, 6 * MS, 100_000, 1000..2000);
    due(&mut codel, 0, 100_000, 2000..2001);
    let later = due(&mut codel, 6 * MS, 100_000, 9000..9250);
    assert_eq!(later, [9100, 9200]);
}

#[test]
fn none_below_the_target_and_none_of_a_single_packet() {
    assert_eq!(due(&mut Codel::default(), TARGET - 1, 1 << 20, 0..5000), []);
    assert_eq!(due(&mut Codel::default(), SECOND, FRAME, 0..5000), []);
    // Shorter than the interval.
    let mut codel = Codel::default();
    for n in 0..50 {
        assert_eq!(due(&mut codel, SECOND, 1 << 20, n * 100..n * 100 + 99), []);
        assert_eq!(due(&mut codel, 0, 1 << 20, n * 100 + 99..n * 100 + 100), []);
    }
}

#[test]
fn a_slow_leaf_may_hold_a_frame() {
    let of = |ceil, pps| Target::of(&Share { ceil, pps, ..Share::default() }).target;
    assert_eq!(of(0, 0), 5_000_000);
    assert_eq!(of(10_000_000_000, 1_000_000), 5_000_000);
    assert_eq!(of(64_000, 0), 192_250_000);
    assert_eq!(of(0, 10), 100_000_000);
    assert_eq!(of(1, 0), 2_000_000_000);
}

#[test]
fn what_is_dropped_is_charged_nowhere_and_the_next_follows() {
    let mut shaper = Shaper::new(&Settings { backlog: 4000, queue: 1000, ..Settings::default() });
    let bound = Share { pps: 1000, packet_burst: 1, ..Share::default() };
    shaper.leaf(0, 0, &bound, &Classes::default(), Tick(SECOND));
    for n in 0..1000 {
        shaper.enqueue(0, Class(0), Colour::Green, 1000, n, Tick(SECOND)).expect("there is room");
    }
    let (mut seen, mut fates, mut now) = (Vec::new(), [0; 3], SECOND);
    // Only each third one can be marked.
    while shaper.waiting() > 0 {
        while let Some(left) = shaper.dequeue(Tick(now), |n| *n % 3 == 0) {
            fates[left.fate as usize] += 1;
            assert!(left.fate == Fate::Sent || (left.item % 3 == 0) == (left.fate == Fate::Marked));
            assert_eq!(left.waited, now - SECOND);
            seen.push(left.item);
        }
        now += MS / 10;
    }
    assert_eq!(seen, (0..1000).collect::<Vec<_>>());
    let [sent, marked, dropped] = fates;
    assert!(dropped > 5 && marked > 5, "{fates:?}");
    // A packet each millisecond, though some were dropped between.
    let passed = sent + marked;
    assert!(((now - SECOND) / MS).abs_diff(passed) <= 2, "{fates:?} {now}");
}

/// Flows that add a packet to their window each round trip, and halve it when they hear of congestion (as Reno).
struct Flows {
    shaper: Shaper<Segment>,
    /// Round trip without waiting.
    trip: u64,
    windows: Vec<f64>,
    flying: Vec<u32>,
    /// No second reaction before then.
    deaf: Vec<u64>,
    /// What the senders hear, and when: of which flow, and whether of congestion.
    heard: BinaryHeap<Reverse<(u64, usize, bool)>>,
    ecn: bool,
}

#[derive(Clone, Copy)]
struct Segment(usize);

/// What came of it.
#[derive(Debug, Default)]
struct Outcome {
    packets: u64,
    marked: u64,
    dropped: u64,
    waited: u64,
    refused: u64,
}

impl Flows {
    const COST: u32 = 1538;

    fn new(flows: usize, ceil: u64, trip: u64, ecn: bool) -> Self {
        let mut shaper = Shaper::new(&Settings { backlog: 8192, queue: 4096, ..Settings::default() });
        shaper.leaf(0, 0, &share(0, ceil, 2 * 1538), &Classes::default(), Tick(SECOND));
        let (windows, flying, deaf) = (vec![2.0; flows], vec![0; flows], vec![0; flows]);
        Self { shaper, trip, windows, flying, deaf, heard: BinaryHeap::new(), ecn }
    }

    fn run(&mut self, from: u64, until: u64) -> Outcome {
        let mut outcome = Outcome::default();
        let mut now = from;
        while now < until {
            now += 50_000;
            while self.heard.peek().is_some_and(|Reverse((at, ..))| *at <= now) {
                let Some(Reverse((_, flow, congested))) = self.heard.pop() else { break };
                self.hear(flow, congested, now);
            }
            for flow in 0..self.windows.len() {
                while f64::from(self.flying[flow]) + 1.0 <= self.windows[flow] {
                    self.flying[flow] += 1;
                    let segment = Segment(flow);
                    let sent =
                        self.shaper.enqueue(0, Class(0), Colour::Green, Self::COST, segment, Tick(now));
                    if sent.is_err() {
                        outcome.refused += 1;
                        self.heard.push(Reverse((now + self.trip, flow, true)));
                    }
                }
            }
            let ecn = self.ecn;
            while let Some(left) = self.shaper.dequeue(Tick(now), |_| ecn) {
                outcome.packets += u64::from(left.fate != Fate::Dropped);
                outcome.marked += u64::from(left.fate == Fate::Marked);
                outcome.dropped += u64::from(left.fate == Fate::Dropped);
                outcome.waited += left.waited;
                self.heard.push(Reverse((now + self.trip, left.item.0, left.fate != Fate::Sent)));
            }
        }
        outcome
    }

    fn hear(&mut self, flow: usize, congested: bool, now: u64) {
        self.flying[flow] -= 1;
        let window = &mut self.windows[flow];
        if !congested {
            *window += 1.0 / *window;
        } else if now >= self.deaf[flow] {
            *window = (*window / 2.0).max(1.0);
            self.deaf[flow] = now + self.trip;
        }
    }
}

#[test]
fn flows_that_heed_it_settle_near_the_target() {
    for (flows, ecn) in [(1, true), (1, false), (8, true), (8, false)] {
        let rate = 20_000_000;
        let mut bed = Flows::new(flows, rate, 40 * MS, ecn);
        bed.run(SECOND, 10 * SECOND);
        let outcome = bed.run(10 * SECOND, 40 * SECOND);
        let mean = outcome.waited / (outcome.packets + outcome.dropped);
        let used = outcome.packets * u64::from(Flows::COST) * 8 / 30;
        assert!(mean < 3 * TARGET, "{flows} flows, {ecn}: waited {mean} ns, {outcome:?}");
        assert!(used > rate * 85 / 100, "{flows} flows, {ecn}: {used} bit/s, {outcome:?}");
        assert_eq!((outcome.marked > 0, outcome.dropped > 0), (ecn, !ecn), "{outcome:?}");
        assert_eq!(outcome.refused, 0);
    }
}

#[test]
fn a_standing_queue_is_brought_to_the_target() {
    let mut bed = Flows::new(4, 50_000_000, 20 * MS, true);
    // They come with far too much at once: 400 ms of it.
    bed.windows.fill(400.0);
    let before = bed.run(SECOND, SECOND + INTERVAL);
    let after = bed.run(SECOND + INTERVAL, 6 * SECOND);
    let settled = bed.run(6 * SECOND, 10 * SECOND);
    assert_eq!(before.marked, 0, "an interval is no standing queue yet");
    assert!(after.marked > 0);
    assert!(settled.waited / settled.packets < 3 * TARGET, "{settled:?}");
}
