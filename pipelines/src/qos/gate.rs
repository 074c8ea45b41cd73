//! Bits and packets bounded together.

use super::lease::Credit;
use crate::ids::Tick;

/// A bound of bits and one of packets: open where both are.
#[derive(Clone, Debug, Default)]
pub struct Gate {
    /// Of bits.
    pub bits: Credit,
    /// Of packets.
    pub packets: Credit,
}

impl Gate {
    /// Whether it bounds anything.
    #[inline]
    pub const fn is_bound(&self) -> bool {
        self.bits.is_bound() || self.packets.is_bound()
    }

    /// Brings it up to `now`. Returns whether a packet may pass.
    #[inline]
    pub fn refill(&mut self, now: Tick) -> bool {
        let (bits, packets) = (self.bits.refill(now), self.packets.refill(now));
        bits && packets
    }

    /// Whether a packet may pass, as of the last [`refill`](Self::refill).
    #[inline]
    pub const fn is_open(&self) -> bool {
        self.bits.is_open() && self.packets.is_open()
    }

    /// Charges packets that pass, of so many bytes in all.
    #[inline]
    pub fn take(&mut self, packets: u64, bytes: u64) {
        self.bits.take(bytes * 8);
        self.packets.take(packets);
    }

    /// When to look again, as of the last [`refill`](Self::refill).
    pub fn opens(&self) -> Tick {
        let of = |credit: &Credit| if credit.is_open() { Tick(0) } else { credit.opens() };
        of(&self.bits).max(of(&self.packets))
    }
}
