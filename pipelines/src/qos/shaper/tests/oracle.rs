//! The shaper beside a plain reading of what it promises, which looks at every leaf for each packet.

use std::collections::VecDeque;

use super::*;
use crate::qos::{Bucket, Credit, Gate};

/// Nanoseconds of a slot of the wheel: as long may a bound be noticed late.
const GRANULE: u64 = 4096;

#[test]
fn whatever_comes_what_leaves_is_what_may() {
    let rounds = (0..400)
        .map(|seed| Trial::new(seed).run())
        .fold([0; 4], |sum: [u64; 4], counts| std::array::from_fn(|n| sum[n] + counts[n]));
    // It is worth something only if each of them happens.
    let [left, passed, held, dropped] = rounds;
    assert!(left.min(passed).min(held) > 2_000 && dropped > 200, "{rounds:?}");
}

/// A bound, plainly: filled only when it is charged, so that it can be asked about the past.
#[derive(Clone)]
struct Plain {
    gate: Gate,
    assured: Bucket,
}

impl Plain {
    fn new(share: &Share, now: u64) -> Self {
        let bucket = |rate, burst| Bucket::new(rate, burst, Tick(now));
        let bits = Credit::Own(bucket(share.ceil, share.burst * 8));
        let packets = Credit::Own(bucket(share.pps, share.packet_burst));
        Self { gate: Gate { bits, packets }, assured: bucket(share.rate, share.burst * 8) }
    }

    fn change(&mut self, share: &Share, now: u64) {
        let with = |credit: &mut Credit, rate, burst| {
            if let Credit::Own(bucket) = credit {
                *bucket = bucket.with(rate, burst, Tick(now));
            }
        };
        with(&mut self.gate.bits, share.ceil, share.burst * 8);
        with(&mut self.gate.packets, share.pps, share.packet_burst);
        self.assured = self.assured.with(share.rate, share.burst * 8, Tick(now));
    }

    fn is_open(&self, at: u64) -> bool {
        self.gate.clone().refill(Tick(at))
    }

    fn is_assured(&self, at: u64) -> bool {
        let mut assured = self.assured;
        assured.refill(Tick(at));
        assured.is_bound() && assured.is_open()
    }

    fn take(&mut self, cost: u32, now: u64) {
        let assured = self.is_assured(now);
        self.assured.refill(Tick(now));
        self.gate.refill(Tick(now));
        if assured {
            self.assured.take(u64::from(cost) * 8);
        }
        self.gate.take(1, u64::from(cost));
    }
}

struct Leaf {
    bound: Plain,
    group: usize,
    strict: usize,
    stalled: bool,
    /// Numbers, costs and times of what waits.
    queues: [VecDeque<(u64, u32, u64)>; Class::MAX],
}

impl Leaf {
    fn waiting(&self) -> usize {
        self.queues.iter().map(VecDeque::len).sum()
    }

    fn wants(&self) -> bool {
        self.waiting() > 0 && !self.stalled
    }
}

/// A tree, and what is done to it.
struct Trial {
    seed: u64,
    whim: Whim,
    now: u64,
    settings: Settings,
    shaper: Shaper<u64>,
    root: Bucket,
    groups: Vec<Plain>,
    leaves: Vec<Leaf>,
    /// The next packet.
    number: u64,
    /// How many left, passed, could not leave, were dropped.
    counts: [u64; 4],
}

impl Trial {
    fn new(seed: u64) -> Self {
        let mut whim = Whim(seed);
        let now = whim.below(2) * (SECOND + whim.below(SECOND));
        let (backlog, queue) = (40 + whim.below(200) as u32, 4 + whim.below(60) as u32);
        let settings = Settings { backlog, queue, ..Settings::default() };
        let shaper = Shaper::new(&settings);
        let (root, groups, leaves) = (Bucket::default(), Vec::new(), Vec::new());
        let mut trial =
            Self { seed, whim, now, settings, shaper, root, groups, leaves, number: 0, counts: [0; 4] };
        for group in 0..1 + trial.whim.below(4) as usize {
            let share = trial.share();
            trial.groups.push(Plain::new(&share, now));
            trial.shaper.group(group, &share, None, Tick(now));
        }
        for leaf in 0..1 + trial.whim.below(12) as usize {
            let bound = Plain::new(&Share::default(), now);
            let queues = Default::default();
            trial.leaves.push(Leaf { bound, group: 0, strict: 0, stalled: false, queues });
            trial.set_leaf(leaf);
        }
        trial.set_root();
        trial
    }

    fn run(mut self) -> [u64; 4] {
        for _ in 0..1500 {
            match self.whim.below(100) {
                0..20 => self.now += self.whim.below(10_000),
                20..22 => self.now += self.whim.below(20 * MS),
                22..45 => self.enqueue(),
                45..60 => self.pass(),
                60..90 => drop(self.dequeue()),
                90..94 => self.stall(),
                94 => self.set_leaf_of_some(),
                95 => self.set_group(),
                96 => self.set_root(),
                97 => self.wait(),
                98 if self.whim.below(20) == 0 => self.drain(),
                _ => while self.dequeue() {},
            }
            self.check_counts();
        }
        (0..self.leaves.len()).for_each(|leaf| self.drain_leaf(leaf));
        assert_eq!((self.shaper.waiting(), self.shaper.due()), (0, Tick(u64::MAX)), "seed {}", self.seed);
        self.counts
    }

    fn share(&mut self) -> Share {
        const RATES: [u64; 7] = [0, 0, 64_000, 1_000_000, 50_000_000, 1_000_000_000, 40_000_000_000];
        let of = |whim: &mut Whim| RATES[whim.below(7) as usize];
        let (rate, ceil) = (of(&mut self.whim), of(&mut self.whim));
        Share {
            rate,
            ceil,
            burst: self.whim.below(20_000),
            pps: [0, 0, 0, 1000, 1_000_000][self.whim.below(5) as usize],
            packet_burst: self.whim.below(20),
            weight: self.whim.below(5) as u16,
        }
    }

    fn set_leaf_of_some(&mut self) {
        let leaf = self.some();
        self.set_leaf(leaf);
    }

    fn set_leaf(&mut self, leaf: usize) {
        let (share, group) = (self.share(), self.whim.below(self.groups.len() as u64) as usize);
        let strict = self.whim.below(5) as u8;
        let classes = Classes { strict, weights: [0, 1, 5, 9], ..Classes::default() };
        self.shaper.leaf(leaf, group, &share, &classes, Tick(self.now));
        let it = &mut self.leaves[leaf];
        it.bound.change(&share, self.now);
        (it.group, it.strict) = (group, usize::from(strict));
    }

    fn set_group(&mut self) {
        let (share, group) = (self.share(), self.whim.below(self.groups.len() as u64) as usize);
        self.shaper.group(group, &share, None, Tick(self.now));
        self.groups[group].change(&share, self.now);
    }

    fn set_root(&mut self) {
        let rate = [0, 1_000_000, 100_000_000, 10_000_000_000][self.whim.below(4) as usize];
        let burst = (rate / 16_000).max(2 * 1538);
        self.shaper.root(rate, burst, Tick(self.now));
        self.root = self.root.with(rate, burst * 8, Tick(self.now));
    }

    fn some(&mut self) -> usize {
        self.whim.below(self.leaves.len() as u64) as usize
    }

    fn enqueue(&mut self) {
        for _ in 0..1 + self.whim.below(4) {
            let (leaf, class) = (self.some(), self.whim.below(4) as usize);
            let cost = if self.whim.below(50) == 0 { 60_000 } else { self.whim.between((60, 1538)) };
            let colour = if self.whim.below(4) == 0 { Colour::Yellow } else { Colour::Green };
            let expected = self.refusal(leaf, class, colour);
            let result =
                self.shaper.enqueue(leaf, Class(class as u8), colour, cost, self.number, Tick(self.now));
            let refused = result.err().map(|refused| {
                assert_eq!(refused.item, self.number);
                refused.why
            });
            assert_eq!(refused, expected, "seed {}", self.seed);
            if expected.is_none() {
                self.leaves[leaf].queues[class].push_back((self.number, cost, self.now));
            }
            self.number += 1;
        }
    }

    fn refusal(&self, leaf: usize, class: usize, colour: Colour) -> Option<Refusal> {
        let waiting = |group: Option<usize>| -> usize {
            self.leaves
                .iter()
                .filter(|it| group.is_none_or(|group| it.group == group))
                .map(Leaf::waiting)
                .sum()
        };
        let (it, used, room) = (&self.leaves[leaf], waiting(None), self.settings.backlog as usize);
        let (free, queue, len) = (room - used, self.settings.queue as usize, it.queues[class].len());
        let full = len >= queue || it.waiting() >= free || waiting(Some(it.group)) >= 4 * free;
        let early = colour == Colour::Yellow && (len > queue / 2 || used > room / 2);
        if full { Some(Refusal::Full) } else { early.then_some(Refusal::Early) }
    }

    fn root_is_open(&self) -> bool {
        let mut root = self.root;
        root.refill(Tick(self.now));
        root.is_open()
    }

    /// When what is open now had to be noticed.
    fn noticed(&self) -> u64 {
        self.now - self.now % GRANULE
    }

    /// Whether a packet of `leaf` may leave, by all but the root.
    fn may(&self, leaf: &Leaf, at: u64) -> bool {
        leaf.wants() && leaf.bound.is_open(at) && self.groups[leaf.group].is_open(at)
    }

    fn charge(&mut self, leaf: usize, cost: u32) {
        self.leaves[leaf].bound.take(cost, self.now);
        self.groups[self.leaves[leaf].group].take(cost, self.now);
        self.root.refill(Tick(self.now));
        self.root.take(u64::from(cost) * 8);
    }

    fn pass(&mut self) {
        let (leaf, cost) = (self.some(), self.whim.between((60, 1538)));
        let (it, now) = (&self.leaves[leaf], self.now);
        let group = &self.groups[it.group];
        let open = it.bound.is_open(now) && group.is_open(now) && self.root_is_open();
        let free = open && it.waiting() == 0 && !it.stalled;
        let others = |group: Option<usize>| {
            self.leaves.iter().any(|it| it.wants() && group.is_none_or(|group| it.group == group))
        };
        let alone =
            !(group.gate.is_bound() && others(Some(it.group)) || self.root.is_bound() && others(None));
        let passed = self.shaper.pass(leaf, cost, Tick(now));
        assert!(if passed { free } else { !(free && alone) }, "seed {}: passed {passed}", self.seed);
        if passed {
            self.charge(leaf, cost);
            self.counts[1] += 1;
        }
    }

    fn dequeue(&mut self) -> bool {
        let left = self.shaper.dequeue(Tick(self.now), |number| number.is_multiple_of(2));
        match left {
            None => self.nothing_may_leave(),
            Some(ref left) => self.left(left),
        }
        left.is_some()
    }

    fn nothing_may_leave(&mut self) {
        self.counts[2] += 1;
        let at = self.noticed();
        for (n, leaf) in self.leaves.iter().enumerate() {
            assert!(!(self.may(leaf, at) && self.root_is_open()), "seed {}: leaf {n} may leave", self.seed);
        }
        assert!(self.shaper.due() > Tick(self.now), "seed {}", self.seed);
    }

    fn left(&mut self, left: &Left<u64>) {
        let (seed, now, at) = (self.seed, self.now, self.noticed());
        let it = &self.leaves[left.leaf];
        let first = |class: &usize| it.queues[*class].front().is_some_and(|first| first.0 == left.item);
        let class =
            (0..Class::MAX).find(first).unwrap_or_else(|| panic!("seed {seed}: {left:?} was not first"));
        let (_, cost, came) = it.queues[class][0];
        assert_eq!((left.cost, left.waited), (cost, now - came), "seed {seed}");
        assert!(
            (0..class.min(it.strict)).all(|before| it.queues[before].is_empty()),
            "seed {seed}: not strict"
        );
        assert!(self.may(it, now) && self.root_is_open(), "seed {seed}: {left:?} may not leave");
        let assured = |it: &Leaf| self.may(it, at) && it.bound.is_assured(at);
        if !it.bound.is_assured(now) {
            let before = |other: &&Leaf| other.group == it.group && assured(other);
            assert_eq!(self.leaves.iter().filter(before).count(), 0, "seed {seed}: before assured siblings");
        }
        if !self.groups[it.group].is_assured(now) {
            let before = |other: &&Leaf| self.may(other, at) && self.groups[other.group].is_assured(at);
            assert_eq!(self.leaves.iter().filter(before).count(), 0, "seed {seed}: before assured tenants");
        }
        assert!(left.fate != Fate::Marked || left.item.is_multiple_of(2), "seed {seed}");
        self.leaves[left.leaf].queues[class].pop_front();
        if left.fate == Fate::Dropped {
            self.counts[3] += 1;
        } else {
            self.counts[0] += 1;
            self.charge(left.leaf, cost);
        }
    }

    fn stall(&mut self) {
        let leaf = self.some();
        let it = &mut self.leaves[leaf];
        it.stalled = !it.stalled && self.whim.below(3) == 0;
        if it.stalled {
            self.shaper.stall(leaf)
        } else {
            self.shaper.resume(leaf)
        }
        assert_eq!(self.shaper.is_stalled(leaf), it.stalled);
    }

    /// Until something may leave, as the shaper has it; and nothing may before.
    fn wait(&mut self) {
        let due = self.shaper.due().0;
        if due > self.now && due - self.now < SECOND {
            self.now = due - 1;
            assert!(!self.dequeue(), "seed {}: something left before it was due", self.seed);
            self.now = due;
        }
    }

    fn drain(&mut self) {
        let leaf = self.some();
        self.drain_leaf(leaf);
    }

    fn drain_leaf(&mut self, leaf: usize) {
        let it = &mut self.leaves[leaf];
        while let Some(number) = self.shaper.drain(leaf) {
            let queue =
                it.queues.iter_mut().find(|queue| queue.front().is_some_and(|first| first.0 == number));
            queue.expect("it was first").pop_front();
        }
        assert_eq!(it.waiting(), 0, "seed {}", self.seed);
    }

    fn check_counts(&self) {
        let mut all = 0;
        for (n, leaf) in self.leaves.iter().enumerate() {
            assert_eq!(self.shaper.waiting_of(n), leaf.waiting(), "seed {}", self.seed);
            all += leaf.waiting();
        }
        assert_eq!(self.shaper.waiting(), all);
    }
}
