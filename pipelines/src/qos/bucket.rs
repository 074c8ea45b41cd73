//! A token bucket without rounding: tokens are kept in billionths, of which each nanosecond brings exactly `rate`.

use crate::ids::Tick;

/// Billionths in a unit.
const BILLION: i64 = 1_000_000_000;

/// Bounds a rate of units: of bits, or of packets.
///
/// It is open while it has no debt, and what passes then is charged whole, so that a packet's size need not be known
/// before: over any time there passes no more than the burst, what the rate brings in that time, and one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Units a second; 0: any number.
    rate: u64,
    /// Billionths of units that it has; less than none is debt, which none has that bounds nothing.
    tokens: i64,
    /// When it was filled last.
    at: Tick,
    /// Units that it holds.
    burst: u32,
    /// Whether there is a rate: apart, so that who holds a bucket or something else takes half a cache line.
    is_bound: bool,
}

impl Default for Bucket {
    /// No bound.
    fn default() -> Self {
        Self::new(0, 0, Tick(0))
    }
}

impl Bucket {
    /// The largest burst, in units: of bits, half a gigabyte.
    pub const MAX_BURST: u64 = 4_000_000_000;

    /// A full bucket of `burst` units, which `rate` units a second fill; no bound at all if the rate is 0.
    pub fn new(rate: u64, burst: u64, now: Tick) -> Self {
        let burst = burst.min(Self::MAX_BURST) as u32;
        let bucket = Self { rate, tokens: 0, at: now, burst, is_bound: rate != 0 };
        Self { tokens: bucket.most(), ..bucket }
    }

    /// The same history under another bound.
    #[must_use]
    pub fn with(mut self, rate: u64, burst: u64, now: Tick) -> Self {
        self.refill(now);
        let new = Self::new(rate, burst, now);
        // What has no bound has no history.
        if self.is_bound && new.is_bound { Self { tokens: self.tokens.min(new.tokens), ..new } } else { new }
    }

    /// Whether it bounds anything.
    #[inline]
    pub const fn is_bound(&self) -> bool {
        self.is_bound
    }

    /// Billionths of units that it holds.
    #[inline]
    const fn most(&self) -> i64 {
        self.burst as i64 * BILLION
    }

    /// Adds what the time since the last call brings; a clock that goes back brings nothing.
    #[inline]
    pub fn refill(&mut self, now: Tick) {
        if now <= self.at {
            return;
        }
        let elapsed = now.0 - self.at.0;
        self.at = now;
        // Neither a day's pause nor a terabit a second overflows: what is too much is as good as a full bucket.
        let brought = i64::try_from(elapsed.saturating_mul(self.rate)).unwrap_or(i64::MAX);
        self.tokens = self.tokens.saturating_add(brought).min(self.most());
    }

    /// Whether something may pass.
    #[inline]
    pub const fn is_open(&self) -> bool {
        self.tokens >= 0
    }

    /// How many units it has.
    #[inline]
    pub const fn units(&self) -> u64 {
        match self.tokens {
            _ if !self.is_bound => u64::MAX,
            ..0 => 0,
            tokens => tokens as u64 / BILLION as u64,
        }
    }

    /// What passes until it closes, in billionths of units: it is open while this, less what has passed, is not negative.
    #[inline]
    pub(super) const fn left(&self) -> i64 {
        if self.is_bound { self.tokens } else { i64::MAX }
    }

    /// What it owes, in billionths of units.
    pub(super) const fn debt(&self) -> u64 {
        if self.is_open() { 0 } else { self.tokens.unsigned_abs() }
    }

    /// Charges `units` that pass.
    #[inline]
    pub fn take(&mut self, units: u64) {
        if self.is_bound {
            // No debt is so large that this could overflow.
            self.tokens = (self.tokens - units as i64 * BILLION).max(i64::MIN / 2);
        }
    }

    /// When it will be open.
    pub fn opens(&self) -> Tick {
        if self.is_open() {
            return self.at;
        }
        Tick(self.at.0.saturating_add(self.tokens.unsigned_abs().div_ceil(self.rate)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_kept_to_the_bit() {
        for rate in [64_000, 999_999_937, 100_000_000_000] {
            let mut bucket = Bucket::new(rate, 12_000, Tick(0));
            bucket.take(12_000);
            // In steps that divide nothing.
            for step in 1..=1_000_003u64 {
                bucket.refill(Tick(step * 7));
                while bucket.units() >= 8 {
                    bucket.take(8);
                }
            }
            let passed = (rate as u128 * 7_000_021 - bucket.tokens as u128) / 1_000_000_000;
            let due = rate as u128 * 7_000_021 / 1_000_000_000;
            assert!(due - passed <= 8, "{rate}: {passed} of {due}");
        }
    }

    #[test]
    fn opens_when_it_says_and_not_before() {
        let mut bucket = Bucket::new(64_000, 12_000, Tick(5));
        bucket.take(12_000 + 9_000 * 8);
        assert!(!bucket.is_open());
        let opens = bucket.opens();
        assert_eq!(opens, Tick(5 + 1_125_000_000));
        bucket.refill(Tick(opens.0 - 1));
        assert!(!bucket.is_open());
        bucket.refill(opens);
        assert!(bucket.is_open());
    }

    #[test]
    fn no_pause_brings_more_than_the_burst_and_no_jump_back_anything() {
        let mut bucket = Bucket::new(1_000_000_000_000, 1_000, Tick(1 << 40));
        bucket.take(5_000);
        bucket.refill(Tick(0));
        assert_eq!((bucket.is_open(), bucket.units()), (false, 0));
        bucket.refill(Tick(u64::MAX));
        assert_eq!(bucket.units(), 1_000);
        bucket.refill(Tick(1 << 40));
        bucket.take(1_001);
        assert_eq!(bucket.opens(), Tick(u64::MAX));
    }

    #[test]
    fn a_rate_of_none_is_no_bound() {
        let mut bucket = Bucket::default();
        (0..1_000).for_each(|_| bucket.take(u64::from(u32::MAX)));
        bucket.refill(Tick(7));
        assert_eq!((bucket.is_open(), bucket.opens(), bucket.units()), (true, Tick(7), u64::MAX));
    }

    #[test]
    fn another_bound_keeps_debt_and_gives_no_burst() {
        let mut bucket = Bucket::new(1_000, 1_000, Tick(0));
        bucket.take(3_000);
        let mut other = bucket.with(1_000_000, 10_000, Tick(0));
        assert_eq!(other.opens(), Tick(2_000_000));
        other.refill(Tick(1_000_000_000));
        assert_eq!(other.with(5, 7, Tick(1_000_000_000)).units(), 7);
        assert_eq!(Bucket::default().with(5, 7, Tick(0)).units(), 7);
    }
}
