//! Waiting for events: a condition, a deadline, and a message that names what did not come.

use std::thread;
use std::time::{Duration, Instant};

use crate::{Error, Result};

/// Polls `condition` until it gives a value, for at most `deadline`.
///
/// # Errors
/// [`Error::TimedOut`] naming `what`, or the first error of the condition itself.
pub fn wait_for<T>(
    deadline: Duration,
    what: impl Into<String>,
    mut condition: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let watch = Watch::new(deadline);
    loop {
        // The condition is asked once more after the deadline, so a slow machine is not told "in vain" unasked.
        let over = watch.is_over();
        if let Some(value) = condition()? {
            return Ok(value);
        }
        if over {
            return Err(Error::TimedOut { what: what.into(), waited: deadline, detail: String::new() });
        }
        thread::sleep(INTERVAL);
    }
}

/// A deadline that has begun to run.
#[derive(Clone, Copy, Debug)]
pub struct Watch {
    begun: Instant,
    limit: Duration,
}

impl Watch {
    /// Starts now, for `limit`.
    pub fn new(limit: Duration) -> Self {
        Self { begun: Instant::now(), limit }
    }

    /// What is left of it; zero when over.
    pub fn left(&self) -> Duration {
        self.limit.saturating_sub(self.begun.elapsed())
    }

    /// Whether the limit has passed.
    pub fn is_over(&self) -> bool {
        self.left().is_zero()
    }
}

/// Short beside what a lab waits for (a boot, a connection), long beside what a poll costs.
const INTERVAL: Duration = Duration::from_millis(10);
