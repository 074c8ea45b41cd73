//! A bound that several workers share: each leases credit in chunks and spends it by itself, so that no packet costs
//! anything shared.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::bucket::Bucket;
use crate::ids::Tick;

/// How often a lease is tried against other workers at once, before the worker goes on without.
const TRIES: usize = 8;

/// What the workers lease from: a bucket whose content is a time, until when all is given away.
///
/// A lease is a span of that time, so that it is exactly what the rate brings in it. The workers together never have
/// more than the rate and the burst allow; what they have and do not use is a lease each at most.
#[derive(Debug)]
pub struct Pool {
    /// Units a second; not 0.
    rate: u64,
    /// Nanoseconds that a lease is.
    span: u64,
    /// Nanoseconds that may be saved up.
    most: u64,
    /// Until when all is given away, in nanoseconds.
    given: AtomicU64,
}

impl Pool {
    /// A full pool: `rate` units a second, `burst` units at once after silence, about `lease` units at a time.
    pub fn new(rate: u64, burst: u64, lease: u64) -> Self {
        let rate = rate.max(1);
        let span = |units: u64| {
            let nanoseconds = u128::from(units.clamp(1, Bucket::MAX_BURST)) * 1_000_000_000;
            u64::try_from(nanoseconds.div_ceil(u128::from(rate))).unwrap_or(u64::MAX)
        };
        let lease = span(lease);
        Self { rate, span: lease, most: span(burst).max(lease), given: AtomicU64::new(0) }
    }

    /// The same history under another bound.
    #[must_use]
    pub fn with(&self, rate: u64, burst: u64, lease: u64) -> Self {
        let given = AtomicU64::new(self.given.load(Ordering::Relaxed));
        Self { given, ..Self::new(rate, burst, lease) }
    }

    /// Units of a lease, rounded up.
    pub fn lease(&self) -> u64 {
        (self.amount() as u64).div_ceil(1_000_000_000)
    }

    /// Billionths of units of a lease.
    fn amount(&self) -> i64 {
        i64::try_from(u128::from(self.span) * u128::from(self.rate)).unwrap_or(i64::MAX)
    }

    /// Takes a lease, if there is one to be had now; else says when.
    fn take(&self, now: Tick) -> Result<(), Tick> {
        for _ in 0..TRIES {
            let given = self.given.load(Ordering::Relaxed);
            let until = given.max(now.0.saturating_sub(self.most)).saturating_add(self.span);
            if until > now.0 {
                return Err(Tick(until));
            }
            // Nothing else is read or written by this order: the credit is all there is.
            if self.given.compare_exchange(given, until, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                return Ok(());
            }
        }
        Err(Tick(now.0.saturating_add(1)))
    }
}

/// A worker's credit: all of a bucket, or what it leases.
#[derive(Clone, Debug)]
pub enum Credit {
    /// It is this worker's alone.
    Own(Bucket),
    /// It is leased.
    Leased {
        /// Where from.
        pool: Arc<Pool>,
        /// Billionths of units that it has; less than none is debt.
        tokens: i64,
        /// Before then there is nothing to be had.
        next: Tick,
    },
}

impl Default for Credit {
    /// No bound.
    fn default() -> Self {
        Self::Own(Bucket::default())
    }
}

impl Credit {
    /// Of `pool`.
    pub const fn leased(pool: Arc<Pool>) -> Self {
        Self::Leased { pool, tokens: 0, next: Tick(0) }
    }

    /// Whether it bounds anything.
    #[inline]
    pub const fn is_bound(&self) -> bool {
        match self {
            Self::Own(bucket) => bucket.is_bound(),
            Self::Leased { .. } => true,
        }
    }

    /// Brings it up to `now`; a lease that is needed is taken if it can be had. Returns whether something may pass.
    #[inline(always)]
    pub fn refill(&mut self, now: Tick) -> bool {
        match self {
            Self::Own(bucket) => {
                bucket.refill(now);
                bucket.is_open()
            }
            Self::Leased { pool, tokens, next } => {
                if *tokens <= 0 && *next <= now {
                    lease(pool, tokens, next, now);
                }
                *tokens > 0
            }
        }
    }

    /// Whether something may pass, as of the last [`refill`](Self::refill).
    #[inline]
    pub const fn is_open(&self) -> bool {
        match self {
            Self::Own(bucket) => bucket.is_open(),
            Self::Leased { tokens, .. } => *tokens > 0,
        }
    }

    /// How many units may pass, as of the last [`refill`](Self::refill).
    #[inline]
    pub const fn units(&self) -> u64 {
        match self {
            Self::Own(bucket) => bucket.units(),
            Self::Leased { tokens: ..=0, .. } => 0,
            Self::Leased { tokens, .. } => (*tokens as u64).div_ceil(1_000_000_000),
        }
    }

    /// What passes until it closes, as of the last [`refill`](Self::refill), in billionths of units: it is open while
    /// this, less what has passed, is not negative.
    #[inline]
    pub(super) const fn left(&self) -> i64 {
        match self {
            Self::Own(bucket) => bucket.left(),
            Self::Leased { tokens, .. } => tokens.saturating_sub(1),
        }
    }

    /// Charges `units` that pass.
    #[inline]
    pub fn take(&mut self, units: u64) {
        match self {
            Self::Own(bucket) => bucket.take(units),
            Self::Leased { tokens, .. } => *tokens = tokens.saturating_sub(units as i64 * 1_000_000_000),
        }
    }

    /// When to look again, as of the last [`refill`](Self::refill): it will be open then, or another worker was faster.
    pub fn opens(&self) -> Tick {
        match self {
            Self::Own(bucket) => bucket.opens(),
            Self::Leased { next, .. } => *next,
        }
    }
}

/// Takes what is needed to have any, if it can be had. Once in many packets: apart, lest it make the rest long.
#[cold]
fn lease(pool: &Pool, tokens: &mut i64, next: &mut Tick, now: Tick) {
    while *tokens <= 0 && *next <= now {
        match pool.take(now) {
            Ok(()) => *tokens = tokens.saturating_add(pool.amount()),
            Err(then) => *next = then,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_together_have_the_rate_and_no_more() {
        let pool = Arc::new(Pool::new(1_000_000, 10_000, 1_000));
        assert_eq!(pool.lease(), 1_000);
        let mut workers = vec![Credit::leased(pool.clone()); 4];
        let mut passed = 0;
        for now in (0..1_000_000_000).step_by(9_973) {
            for worker in &mut workers {
                while worker.refill(Tick(1_000_000_000 + now)) {
                    worker.take(100);
                    passed += 100;
                }
            }
        }
        let due = 1_000_000 + 10_000;
        assert!((due - 4 * 1_000..=due).contains(&passed), "{passed}");
    }

    #[test]
    fn workers_on_threads_of_their_own_have_no_more_either() {
        const START: u64 = 1_000_000_000;
        let pool = Arc::new(Pool::new(1_000_000, 10_000, 1_000));
        let (clock, end) = (AtomicU64::new(START), 2 * START);
        let worker = || {
            let (mut credit, mut passed) = (Credit::leased(pool.clone()), 0);
            loop {
                // Whoever looks brings the time on.
                let now = clock.fetch_add(1_009, Ordering::Relaxed);
                if now > end {
                    break passed;
                }
                while credit.refill(Tick(now)) {
                    credit.take(100);
                    passed += 100;
                }
            }
        };
        let passed: u64 = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..4).map(|_| scope.spawn(worker)).collect();
            workers.into_iter().map(|worker| worker.join().expect("no panic")).sum()
        });
        let due = 1_000_000 + 10_000;
        assert!(passed <= due, "{passed}");
        // One that has slept may have left its lease unused, and its part of the last moments.
        assert!(passed >= due - 2 * 4 * 1_000, "{passed}");
    }

    #[test]
    fn what_no_pool_has_is_to_be_had_when_it_says() {
        let pool = Arc::new(Pool::new(8_000, 8_000, 4_000));
        let mut credit = Credit::leased(pool);
        assert!(!credit.refill(Tick(0)), "a pool at the beginning of time is empty");
        assert_eq!(credit.opens(), Tick(500_000_000));
        assert!(!credit.refill(Tick(499_999_999)));
        assert!(credit.refill(Tick(500_000_000)));
        assert_eq!(credit.units(), 4_000);
        credit.take(12_000);
        // The debt is paid before anything passes.
        assert!(!credit.refill(Tick(1_499_999_999)));
        assert!(credit.refill(Tick(2_000_000_000)));
    }
}
