//! The shaper in virtual time.

mod aqm;
mod oracle;
mod rates;
mod room;
mod shares;
mod turns;

use super::*;

const SECOND: u64 = 1_000_000_000;
const MS: u64 = 1_000_000;

/// SplitMix64.
struct Whim(u64);

impl Whim {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ word >> 31
    }

    /// A number below `bound`.
    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    fn between(&mut self, (least, most): (u32, u32)) -> u32 {
        least + self.below(u64::from(most - least) + 1) as u32
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Packet {
    class: Class,
    number: u64,
}

/// Leaves that always have something to send.
struct Bed {
    shaper: Shaper<Packet>,
    whim: Whim,
    now: u64,
    /// The most nanoseconds from one poll to the next.
    step: u64,
    /// By leaf: the least and the most that a packet costs; 0: it sends nothing.
    costs: Vec<(u32, u32)>,
    /// By leaf and class: bytes that have left.
    sent: Vec<[u64; Class::MAX]>,
    packets: u64,
}

impl Bed {
    /// With the time at a second.
    fn new() -> Self {
        let settings = Settings { backlog: 40_000, queue: 512, ..Settings::default() };
        let (costs, sent) = (Vec::new(), Vec::new());
        Self {
            shaper: Shaper::new(&settings),
            whim: Whim(1),
            now: SECOND,
            step: 20_000,
            costs,
            sent,
            packets: 0,
        }
    }

    fn root(mut self, rate: u64) -> Self {
        self.shaper.root(rate, (rate / 64_000).max(2 * 1538), Tick(self.now));
        self
    }

    fn group(&mut self, group: usize, share: Share) {
        self.shaper.group(group, &share, None, Tick(self.now));
    }

    /// One leaf more, which sends packets of these costs, in its first class.
    fn leaf(&mut self, group: usize, share: Share, costs: (u32, u32)) -> usize {
        let leaf = self.shaper.leaves();
        self.shaper.leaf(leaf, group, &share, &Classes::default(), Tick(self.now));
        self.costs.push(costs);
        self.sent.push([0; Class::MAX]);
        // Three, so that the leaf never runs dry between a packet that leaves and the next that comes.
        (0..3).for_each(|_| self.send(leaf, Class(0)));
        leaf
    }

    fn send(&mut self, leaf: usize, class: Class) {
        if self.costs[leaf].1 == 0 {
            return;
        }
        let cost = self.whim.between(self.costs[leaf]);
        let packet = Packet { class, number: 0 };
        self.shaper.enqueue(leaf, class, Colour::Green, cost, packet, Tick(self.now)).expect("there is room");
    }

    /// Polls at irregular steps for so many nanoseconds. Whatever leaves, another comes in its place.
    fn run(&mut self, time: u64) {
        let end = self.now + time;
        while self.now < end {
            self.now = end.min(self.now + 1 + self.whim.below(self.step));
            while let Some(left) = self.shaper.dequeue(Tick(self.now), |_| true) {
                self.sent[left.leaf][left.item.class.index()] += u64::from(left.cost);
                self.packets += 1;
                self.send(left.leaf, left.item.class);
            }
        }
    }

    /// As [`run`](Self::run), from nothing: what has been sent before counts no more.
    fn measure(&mut self, time: u64) {
        self.sent.fill([0; Class::MAX]);
        self.run(time);
    }

    /// Bits a second that a leaf has sent in so many nanoseconds.
    fn rate(&self, leaf: usize, time: u64) -> u64 {
        (u128::from(self.bytes(leaf)) * 8 * u128::from(SECOND) / u128::from(time)) as u64
    }

    fn bytes(&self, leaf: usize) -> u64 {
        self.sent[leaf].iter().sum()
    }
}

/// Marks nothing.
fn no<T>(_: &mut T) -> bool {
    false
}

fn share(rate: u64, ceil: u64, burst: u64) -> Share {
    Share { rate, ceil, burst, ..Share::default() }
}

fn weight(weight: u16) -> Share {
    Share { weight, ..Share::default() }
}

/// Within so many thousandths.
fn about(is: u64, due: u64, thousandths: u64) -> bool {
    u128::from(is.abs_diff(due)) * 1000 <= u128::from(due) * u128::from(thousandths)
}

/// Jain's index of fairness: 1 where each has the same.
fn jain(shares: impl Iterator<Item = f64> + Clone) -> f64 {
    let (n, sum) = (shares.clone().count() as f64, shares.clone().sum::<f64>());
    sum * sum / (n * shares.map(|share| share * share).sum::<f64>())
}
