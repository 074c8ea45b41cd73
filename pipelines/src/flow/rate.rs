//! How often something may happen: the generic cell rate algorithm (ITU-T I.371, annex A), which needs one number.

use crate::ids::Tick;

/// Bounds how often something happens. The default does not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rate {
    /// Nanoseconds that one takes; 0: any number may happen.
    each: u64,
    /// Nanoseconds that may be used ahead.
    ahead: u64,
    /// Until when all is used up.
    used: Tick,
}

impl Rate {
    /// `rate` a second, and `burst` at once after silence; any number if `rate` is 0.
    pub fn new(rate: u32, burst: u32) -> Self {
        let each = if rate == 0 { 0 } else { (1_000_000_000 / u64::from(rate)).max(1) };
        Self { each, ahead: each * u64::from(burst.max(1) - 1), used: Tick(0) }
    }

    /// The same history under another bound.
    pub fn with(self, rate: u32, burst: u32) -> Self {
        Self { used: self.used, ..Self::new(rate, burst) }
    }

    /// Whether none may happen now.
    #[inline]
    pub const fn is_used_up(&self, now: Tick) -> bool {
        self.used.0 > now.0.saturating_add(self.ahead)
    }

    /// Whether one may happen now; if so, it does.
    pub fn take(&mut self, now: Tick) -> bool {
        let may = !self.is_used_up(now);
        if may {
            self.used = Tick(self.used.0.max(now.0).saturating_add(self.each));
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(rate: &mut Rate, now: Tick, tries: usize) -> usize {
        (0..tries).filter(|_| rate.take(now)).count()
    }

    #[test]
    fn holds_the_rate_and_the_burst() {
        let mut rate = Rate::new(1000, 10);
        assert!(!rate.is_used_up(Tick(0)));
        assert_eq!(taken(&mut rate, Tick(0), 100), 10);
        assert!(rate.is_used_up(Tick(999_999)) && !rate.is_used_up(Tick(1_000_000)));
        assert_eq!(taken(&mut rate, Tick(999_999), 1), 0);
        assert_eq!(taken(&mut rate, Tick(1_000_000), 100), 1);
        // A second of trying each 100 us: a thousand.
        let all: usize = (0..10_000).map(|n| taken(&mut rate, Tick(2_000_000 + n * 100_000), 3)).sum();
        assert!((1000..=1002).contains(&all), "{all}");
        // After a long silence no more than the burst.
        assert_eq!(taken(&mut rate, Tick(1 << 50), 100), 10);
    }

    #[test]
    fn a_rate_of_none_is_no_bound() {
        assert_eq!(taken(&mut Rate::new(0, 0), Tick(0), 1000), 1000);
        let mut one = Rate::new(5, 0);
        assert_eq!(taken(&mut one, Tick(0), 10), 1);
    }

    #[test]
    fn another_bound_keeps_the_history() {
        let mut rate = Rate::new(1, 5);
        assert_eq!(taken(&mut rate, Tick(0), 10), 5);
        let mut rate = rate.with(1, 3);
        assert_eq!(taken(&mut rate, Tick(0), 10), 0);
    }
}
