//! What a worker does that has no work: it polls on, or it dozes, ever longer up to a bound.

use std::time::Duration;

/// Rounds without work before the first doze: some tens of microseconds.
const PATIENCE: u32 = 256;
/// The first doze.
const SHORTEST: Duration = Duration::from_micros(20);
/// The longest: what the first packet after a silence may wait.
pub const LONGEST: Duration = Duration::from_micros(500);

/// How a worker waits for packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Poll {
    /// It never sleeps.
    Busy,
    /// It sleeps when nothing comes.
    Adaptive,
}

/// Counts the rounds without work.
#[derive(Debug)]
pub struct Pace {
    poll: Poll,
    empty: u32,
    doze: Duration,
}

impl Pace {
    /// The pace of a worker that polls like `poll`.
    pub const fn new(poll: Poll) -> Self {
        Self { poll, empty: 0, doze: SHORTEST }
    }

    /// There was work.
    pub fn busy(&mut self) {
        self.empty = 0;
        self.doze = SHORTEST;
    }

    /// There was none: how long to sleep now, if at all.
    pub fn idle(&mut self) -> Option<Duration> {
        if self.poll == Poll::Busy {
            return None;
        }
        self.empty = self.empty.saturating_add(1);
        if self.empty < PATIENCE {
            return None;
        }
        let doze = self.doze;
        self.doze = (doze * 2).min(LONGEST);
        Some(doze)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dozes_longer_and_longer_until_there_is_work() {
        let mut pace = Pace::new(Poll::Adaptive);
        assert!((1..PATIENCE).all(|_| pace.idle().is_none()));
        let dozes: Vec<_> = (0..8).filter_map(|_| pace.idle()).collect();
        assert_eq!((dozes[0], dozes[1], dozes[7]), (SHORTEST, SHORTEST * 2, LONGEST));
        pace.busy();
        assert_eq!(pace.idle(), None);
    }

    #[test]
    fn a_busy_worker_never_sleeps() {
        let mut pace = Pace::new(Poll::Busy);
        assert!((0..10_000).all(|_| pace.idle().is_none()));
    }
}
