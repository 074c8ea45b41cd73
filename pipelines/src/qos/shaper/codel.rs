//! CoDel (RFC 8289): a queue in which packets wait too long for too long has them marked, or dropped, ever faster until
//! they do not.

use super::level::FRAME;
use crate::ids::Tick;
use crate::qos::Share;

/// What a queue is held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// The wait that is all right to stand, in nanoseconds.
    pub(super) target: u32,
    /// For how long it may be exceeded, in nanoseconds: a round trip.
    interval: u32,
}

impl Target {
    /// RFC 8289, sections 4.4 and 4.3.
    const TARGET: u64 = 5_000_000;
    const INTERVAL: u64 = 100_000_000;

    /// Of what has this share. A frame that takes longer than the target to leave makes no standing queue:
    /// there the target is that time, and the interval grows with it.
    pub(super) fn of(share: &Share) -> Self {
        let takes = |units: u64, rate: u64| (units * 1_000_000_000).checked_div(rate).unwrap_or(0);
        let frame = takes(u64::from(FRAME) * 8, share.ceil).max(takes(1, share.pps));
        let target = frame.clamp(Self::TARGET, 2_000_000_000);
        Self { target: target as u32, interval: (target - Self::TARGET + Self::INTERVAL) as u32 }
    }
}

/// What CoDel knows of a queue: nothing, as long as none waits too long.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Codel {
    /// Since when packets wait too long, and the interval: then it is too much. 0: they do not.
    too_much: u64,
    /// When the next packet is to be marked or dropped.
    next: u64,
    /// How many have been since they wait too long.
    count: u32,
    /// How many had been when `dropping` began.
    before: u32,
    /// Whether packets are being marked or dropped.
    dropping: bool,
}

impl Codel {
    /// Whether the packet that leaves now, after `waited` nanoseconds and with `behind` bytes waiting behind it, is to
    /// be marked or dropped; `cost` is its own.
    pub(super) fn is_due(&mut self, target: Target, waited: u64, behind: u32, cost: u32, now: Tick) -> bool {
        // One packet's worth is no standing queue (RFC 8289, section 4.2).
        if waited < u64::from(target.target) || behind <= FRAME.max(cost) {
            (self.too_much, self.dropping) = (0, false);
            return false;
        }
        let interval = u64::from(target.interval);
        if self.too_much == 0 {
            self.too_much = now.0.saturating_add(interval).max(1);
            self.dropping = false;
            return false;
        }
        if self.dropping {
            let due = now.0 >= self.next;
            if due {
                self.count = self.count.saturating_add(1);
                self.next = self.after(self.next, interval);
            }
            return due;
        }
        if now.0 < self.too_much {
            return false;
        }
        // What sufficed a short time ago may suffice again (section 5.5).
        let since = self.count.saturating_sub(self.before);
        let lately = now.0.saturating_sub(self.next) < 16 * interval;
        self.count = if lately && since > 1 { since } else { 1 };
        (self.dropping, self.before) = (true, self.count);
        self.next = self.after(now.0, interval);
        true
    }

    /// Whether it knows nothing that matters to the next packet.
    pub(super) const fn is_quiet(&self) -> bool {
        self.too_much == 0
    }

    /// The control law: the interval over the square root of the count.
    fn after(&self, at: u64, interval: u64) -> u64 {
        at.saturating_add((interval * interval / u64::from(self.count.max(1))).isqrt())
    }
}
