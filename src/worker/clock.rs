//! The time stamp counter as the packet logic's time.

use weft_pipelines::Tick;

/// Turns a counter of cycles into nanoseconds since the clock was made.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    read: fn() -> u64,
    start: u64,
    /// Nanoseconds a cycle, as a fixed-point number with 32 binary places.
    scale: u64,
}

impl Clock {
    /// A clock from `read`, a counter of `hz` cycles a second that all threads read alike.
    pub fn new(read: fn() -> u64, hz: u64) -> Self {
        let scale = (1_000_000_000u128 << 32) / u128::from(hz.max(1));
        Self { read, start: read(), scale: scale as u64 }
    }

    /// The counter, in cycles.
    pub fn cycles(&self) -> u64 {
        (self.read)()
    }

    /// So many cycles in nanoseconds.
    pub fn nanos(&self, cycles: u64) -> u64 {
        ((u128::from(cycles) * u128::from(self.scale)) >> 32) as u64
    }

    /// The moment at which the counter read `cycles`.
    pub fn tick(&self, cycles: u64) -> Tick {
        Tick(self.nanos(cycles.saturating_sub(self.start)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cycles_become_nanoseconds() {
        let clock = Clock::new(|| 1_000, 2_500_000_000);
        assert_eq!(clock.tick(1_000), Tick(0));
        assert_eq!(clock.tick(0), Tick(0));
        // A second, and a year, to within a part in a billion.
        assert!(clock.tick(1_000 + 2_500_000_000).0.abs_diff(1_000_000_000) <= 1);
        let year = 365 * 86_400;
        assert!(clock.tick(year * 2_500_000_000).0.abs_diff(year * 1_000_000_000) < year);
    }
}
