//! Packets of one leaf that pass at one time, one after the other, as a burst of a guest's does: what all of them may
//! take is known from the first on, and they are charged together.

use crate::ids::Tick;

/// A run of them.
#[derive(Debug)]
pub(super) struct Run {
    /// Whose packet was the last to pass.
    leaf: usize,
    /// When.
    now: Tick,
    /// What may still pass, in billionths of bits: less than none if no more may, or there is no run.
    bits: i64,
    /// In billionths of packets.
    singles: i64,
    /// Packets that have passed and are yet to be charged.
    packets: u32,
    /// Whether there is a run.
    is_on: bool,
    /// What they cost, in bytes.
    cost: u64,
}

impl Run {
    /// There is none.
    pub(super) const fn new() -> Self {
        Self { leaf: 0, now: Tick(0), bits: -1, singles: -1, packets: 0, is_on: false, cost: 0 }
    }

    /// Whether there is one.
    #[inline]
    pub(super) const fn is_on(&self) -> bool {
        self.is_on
    }

    /// Takes a packet in, if it is one more of the run and may pass. A bucket is open while it has no debt.
    #[inline(always)]
    pub(super) fn takes(&mut self, leaf: usize, cost: u32, now: Tick) -> bool {
        if leaf != self.leaf || now != self.now || self.bits < 0 || self.singles < 0 {
            return false;
        }
        self.bits -= i64::from(cost) * 8_000_000_000;
        self.singles -= 1_000_000_000;
        self.packets += 1;
        self.cost += u64::from(cost);
        true
    }

    /// Whether this packet may begin one: the one before was of the same leaf, at the same time.
    #[inline]
    pub(super) fn follows(&mut self, leaf: usize, now: Tick) -> bool {
        let follows = leaf == self.leaf && now == self.now;
        (self.leaf, self.now) = (leaf, now);
        follows
    }

    /// Begins one, of which each of these says how much may pass: billionths of bits, and of packets.
    #[inline]
    pub(super) fn start(&mut self, left: impl Iterator<Item = [i64; 2]>) {
        let least = |[a, b]: [i64; 2], [c, d]: [i64; 2]| [a.min(c), b.min(d)];
        [self.bits, self.singles] = left.fold([i64::MAX; 2], least);
        self.is_on = true;
    }

    /// Ends it. Returns whose packets have passed, how many, and what they cost.
    #[inline]
    pub(super) const fn end(&mut self) -> (usize, u32, u64) {
        let run = (self.leaf, self.packets, self.cost);
        (self.is_on, self.bits, self.packets, self.cost) = (false, -1, 0, 0);
        run
    }
}
