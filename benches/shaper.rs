//! What does it cost to bound a packet that may go at once, and one that waits for its turn, among few and among many?
#![allow(missing_docs)]

mod cycles;

use core::num::NonZeroU64;

use criterion::measurement::Measurement;
use criterion::{Criterion, Throughput};
use weft_pipelines::qos::{Class, Classes, Colour, Settings, Shaper, Share};
use weft_pipelines::{BURST, Tick};

/// Bits a second that leave in all.
const RATE: u64 = 100_000_000_000;
/// Bytes that packets cost, at the mean.
const COST: u64 = 1000;
/// Nanoseconds that a burst takes at that rate.
const STEP: u64 = BURST as u64 * COST * 8 * 1_000_000_000 / RATE;
/// Leaves, chosen uniformly, of a hundredth as many groups.
const COUNTS: [(usize, &str); 3] = [(1, "1 leaf"), (100, "100 leaves"), (10_000, "10k leaves")];

fn main() {
    cycles::run(bench, bench);
}

fn bench<M: Measurement>(criterion: &mut Criterion<M>, unit: &str) {
    let mut group = criterion.benchmark_group(format!("pass{unit}"));
    group.throughput(Throughput::Elements(BURST as u64));
    group.bench_function("the numbers alone", |bencher| {
        let mut bed = Bed::new(1, 0, Share::default());
        bencher.iter(|| (0..BURST).map(|_| bed.some() + bed.cost() as usize).sum::<usize>());
    });
    for (count, name) in COUNTS {
        group.bench_function(name, |bencher| {
            let mut bed = Bed::new(count, 0, bound(4 * RATE));
            assert_eq!(bed.pass(), BURST);
            bencher.iter(|| bed.pass());
            assert_eq!(bed.pass(), BURST);
        });
    }
    group.finish();
    through(criterion, &format!("enqueue and dequeue, held by the root{unit}"), |_| (RATE, Share::default()));
    through(criterion, &format!("enqueue and dequeue, held by each ceiling{unit}"), |count| {
        (0, bound(RATE / count as u64))
    });
}

fn bound(rate: u64) -> Share {
    Share { rate: rate / 2, ceil: rate, burst: (rate / 8_000 / 8).max(4 * COST), ..Share::default() }
}

/// Each leaf always has packets; for whatever leaves another comes.
fn through<M: Measurement>(criterion: &mut Criterion<M>, name: &str, bounds: fn(usize) -> (u64, Share)) {
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Elements(BURST as u64));
    for (count, name) in COUNTS {
        let mut bed = None;
        group.bench_function(name, |bencher| {
            let bed = bed.get_or_insert_with(|| {
                let (root, share) = bounds(count);
                let mut bed = Bed::new(count, root, share);
                bed.fill();
                // Until they are out of step, as they are in the field.
                let _ = (0..200_000).map(|_| bed.through()).sum::<usize>();
                let left = (0..100_000).map(|_| bed.through()).sum::<usize>();
                assert!(left.abs_diff(100_000 * BURST) < 2_000 * BURST, "{left}");
                bed
            });
            bencher.iter(|| bed.through());
        });
    }
    group.finish();
}

struct Bed {
    shaper: Shaper<NonZeroU64>,
    leaves: usize,
    now: Tick,
    state: u64,
}

impl Bed {
    /// `leaves` leaves, each of which, as its group, is promised and bound by `share`.
    fn new(leaves: usize, root: u64, share: Share) -> Self {
        let settings = Settings { backlog: 1 << 17, queue: 1 << 16, ..Settings::default() };
        let (mut shaper, now) = (Shaper::new(&settings), Tick(1_000_000_000));
        shaper.root(root, (root / 16_000).max(3_076), now);
        // As much as its leaves together, and a little more: each of them is bound by its own.
        let times = 100.min(leaves as u64);
        let ceil = (share.ceil + share.ceil / 10) * times;
        let all = Share { rate: share.rate * times, ceil, burst: share.burst * times, ..share };
        for group in 0..leaves.div_ceil(100) {
            shaper.group(group, &all, None, now);
        }
        let classes = Classes { strict: 1, ..Classes::default() };
        for leaf in 0..leaves {
            shaper.leaf(leaf, leaf / 100, &share, &classes, now);
        }
        Self { shaper, leaves, now, state: 1 }
    }

    /// A burst of packets that need not wait. How many might pass.
    fn pass(&mut self) -> usize {
        self.now.0 += STEP;
        let mut passed = 0;
        for _ in 0..BURST {
            let (leaf, cost) = (self.some(), self.cost());
            passed += usize::from(self.shaper.pass(leaf, cost, self.now));
        }
        passed
    }

    fn fill(&mut self) {
        // Two of many, so that none waits so long that CoDel sees to it.
        let each = if self.leaves < 1000 { 8 } else { 2 };
        for n in 0..self.leaves * each {
            self.enqueue(n / each, Class(n as u8 % 4));
        }
    }

    /// What may leave in the time of a burst leaves, and as much comes. How much that was.
    fn through(&mut self) -> usize {
        self.now.0 += STEP;
        let mut left = 0;
        while let Some(packet) = self.shaper.dequeue(self.now, |_| true) {
            // The strict class would have it all if it always had a packet.
            self.enqueue(packet.leaf, Class(1 + (packet.item.get() % 3) as u8));
            left += 1;
        }
        left
    }

    fn enqueue(&mut self, leaf: usize, class: Class) {
        let (cost, item) = (self.cost(), NonZeroU64::MIN.saturating_add(u64::from(class.0)));
        let done = self.shaper.enqueue(leaf, class, Colour::Green, cost, item, self.now);
        assert!(done.is_ok(), "there is room");
    }

    fn some(&mut self) -> usize {
        ((self.random() * self.leaves as u64) >> 32) as usize
    }

    fn cost(&mut self) -> u32 {
        (COST / 2 + ((self.random() * COST) >> 32)) as u32
    }

    /// 32 random bits: a linear congruential generator's high ones (Knuth's MMIX).
    fn random(&mut self) -> u64 {
        self.state =
            self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.state >> 32
    }
}
