//! The last minute of a rate, a number for each second of the switch.

use std::collections::VecDeque;

/// Seconds that are kept.
pub const LEN: usize = 60;

/// The last minute.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// The second of the last number.
    second: u64,
    numbers: VecDeque<u64>,
}

impl History {
    /// What the rate is at `now`, in nanoseconds: it holds for the seconds that nobody looked in.
    pub fn push(&mut self, now: u64, rate: f64) {
        let second = now / 1_000_000_000;
        let missed = match self.numbers.pop_back_if(|_| self.second == second) {
            Some(_) => 1,
            None if self.numbers.is_empty() => 1,
            None => second.saturating_sub(self.second).min(LEN as u64),
        };
        // A rate is a number of at most some thousands of millions.
        (0..missed).for_each(|_| self.numbers.push_back(rate.round() as u64));
        while self.numbers.len() > LEN {
            self.numbers.pop_front();
        }
        self.second = second;
    }

    /// The numbers, the oldest first.
    pub fn numbers(&self) -> impl DoubleEndedIterator<Item = u64> + ExactSizeIterator {
        self.numbers.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_a_number_for_each_second_of_the_last_minute() {
        let mut history = History::default();
        let at = |history: &mut History, ms: u64, rate| history.push(ms * 1_000_000, rate);
        let seen = |history: &History| history.numbers().collect::<Vec<_>>();
        at(&mut history, 5_000, 1.0);
        at(&mut history, 5_900, 2.4);
        at(&mut history, 6_000, 3.0);
        at(&mut history, 8_000, 4.6);
        assert_eq!(seen(&history), [2, 3, 5, 5]);
        at(&mut history, 7_000, 9.0);
        assert_eq!(seen(&history), [2, 3, 5, 5], "a clock that goes back adds nothing");
        at(&mut history, 1_000_000, 7.0);
        assert_eq!(seen(&history), [7; LEN]);
    }
}
