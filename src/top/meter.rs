//! From counters to rates: what a row counted between two looks, over the time between its own two ticks.
//!
//! Each worker writes its rows when it comes to them, so each worker's row is a series of its own; a thing's rate is the
//! sum over the workers. The reader's clock has no part in it: whether the reader looked late, slept or was stopped,
//! the rate is the mean over what it missed.

use crate::shm::Table;
use crate::shm::field::Merge;

/// Nanoseconds between two ticks from which a rate is taken: rows are written some ten times a second, and shorter
/// times make noise large.
const SHORTEST: u64 = 50_000_000;
/// Nanoseconds after which a row that is not written any more has no rate.
const STALE: u64 = 3_000_000_000;
/// The one field that is added up and goes down as well.
const LEVEL: &str = "waiting";

/// The rows of one section, of all workers, with their rates.
#[derive(Clone, Debug, Default)]
pub struct Meter {
    workers: Vec<Vec<Row>>,
    /// The section's fields: all workers' tables have the same.
    shape: Option<Table>,
}

#[derive(Clone, Debug, Default)]
struct Row {
    /// The tick of `base`.
    from: u64,
    /// What the rates count from.
    base: Vec<u64>,
    /// The last words seen; the first is their tick.
    last: Vec<u64>,
    /// A second's worth of each word.
    rates: Vec<f64>,
}

impl Meter {
    /// Takes up what `worker` has written, at the switch's own time `now`.
    pub fn look(&mut self, worker: usize, table: Table, now: u64) {
        if self.workers.len() <= worker {
            self.workers.resize_with(worker + 1, Vec::new);
        }
        let rows = &mut self.workers[worker];
        rows.resize_with(table.len(), Row::default);
        let grows = growing(&table);
        for (index, row) in rows.iter_mut().enumerate() {
            row.look(table.row(index).unwrap_or_default(), &grows, now);
        }
        self.shape = Some(table);
    }

    /// Forgets what was counted in row `row`: it is of something else from now on.
    pub fn forget(&mut self, row: usize) {
        for row in self.workers.iter_mut().filter_map(|rows| rows.get_mut(row)) {
            *row = Row::default();
        }
    }

    /// How many workers' rows there are.
    pub const fn workers(&self) -> usize {
        self.workers.len()
    }

    /// What field `name` of row `row` counts, of all workers.
    pub fn total(&self, row: usize, name: &str) -> u64 {
        self.place(name, 0).map_or(0, |place| self.words(row, place).fold(0, u64::saturating_add))
    }

    /// The largest of all workers'.
    pub fn largest(&self, row: usize, name: &str) -> u64 {
        self.place(name, 0).map_or(0, |place| self.words(row, place).max().unwrap_or_default())
    }

    /// What field `name` of row `row` counts in a second, of all workers.
    pub fn rate(&self, row: usize, name: &str) -> f64 {
        self.rate_at(row, name, 0)
    }

    /// The same of value `index` of a field that has several.
    pub fn total_at(&self, row: usize, name: &str, index: usize) -> u64 {
        self.place(name, index).map_or(0, |place| self.words(row, place).fold(0, u64::saturating_add))
    }

    /// The same of value `index` of a field that has several.
    pub fn rate_at(&self, row: usize, name: &str, index: usize) -> f64 {
        let Some(place) = self.place(name, index) else { return 0.0 };
        self.rows(row).filter_map(|row| row.rates.get(place)).sum()
    }

    /// What one worker counts in a second, and has counted.
    pub fn of_worker(&self, worker: usize, row: usize, name: &str) -> (f64, u64) {
        let row = self.workers.get(worker).and_then(|rows| rows.get(row));
        let (Some(place), Some(row)) = (self.place(name, 0), row) else { return (0.0, 0) };
        let rate = row.rates.get(place).copied().unwrap_or_default();
        (rate, row.last.get(place).copied().unwrap_or_default())
    }

    fn place(&self, name: &str, index: usize) -> Option<usize> {
        let place = self.shape.as_ref()?.place(name)?;
        (index < place.len()).then_some(place.start + index)
    }

    fn rows(&self, row: usize) -> impl Iterator<Item = &Row> {
        self.workers.iter().filter_map(move |rows| rows.get(row))
    }

    fn words(&self, row: usize, place: usize) -> impl Iterator<Item = u64> {
        self.rows(row).filter_map(move |row| row.last.get(place).copied())
    }
}

impl Row {
    fn look(&mut self, words: &[u64], grows: &[bool], now: u64) {
        let tick = words.first().copied().unwrap_or_default();
        // In a file that was made anew a row is all zeros until its worker has come to it: what was before still holds.
        if tick == 0 {
            return self.fade(now);
        }
        let mut pairs = self.last.iter().zip(words).zip(grows);
        let anew = self.last.len() != words.len()
            || tick < self.from
            || pairs.any(|((last, word), grows)| *grows && word < last);
        if anew {
            self.from = tick;
            self.base = words.to_vec();
            self.rates = vec![0.0; words.len()];
        } else if tick - self.from >= SHORTEST {
            let seconds = (tick - self.from) as f64 / 1e9;
            let rate = |(now, before): (&u64, &u64)| now.saturating_sub(*before) as f64 / seconds;
            self.rates = words.iter().zip(&self.base).map(rate).collect();
            self.from = tick;
            self.base.copy_from_slice(words);
        }
        self.last.clear();
        self.last.extend_from_slice(words);
        self.fade(now);
    }

    /// What is not written any more happens no more.
    fn fade(&mut self, now: u64) {
        if now.saturating_sub(self.from) > STALE {
            self.rates.fill(0.0);
        }
    }
}

/// Which words of a row only ever grow.
fn growing(table: &Table) -> Vec<bool> {
    let mut grows = vec![false; table.row(0).map_or(0, <[u64]>::len)];
    for field in table.fields().iter().filter(|field| field.merge == Merge::Sum && field.name != LEVEL) {
        if let Some(words) = table.place(&field.name).and_then(|place| grows.get_mut(place)) {
            words.fill(true);
        }
    }
    grows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::top::tests::Switch;

    const S: u64 = 1_000_000_000;

    fn looked(switch: &mut Switch, meter: &mut Meter, at: u64, rx: u64) -> f64 {
        switch.port(0).rx.packets = rx;
        switch.publish(at);
        let table = switch.reader().counters_of("ports", 0).unwrap().unwrap();
        meter.look(0, table, at);
        meter.rate(0, "rx_packets")
    }

    #[test]
    fn a_rate_is_of_the_rows_own_time() {
        let (mut switch, mut meter) = (Switch::new(), Meter::default());
        assert_eq!(looked(&mut switch, &mut meter, S, 1_000), 0.0);
        assert_eq!(looked(&mut switch, &mut meter, 3 * S, 2_000), 500.0);
        // Looked at again before it was written again.
        assert_eq!(looked(&mut switch, &mut meter, 3 * S, 2_000), 500.0);
        // So soon after that it waits for more.
        assert_eq!(looked(&mut switch, &mut meter, 3 * S + 10, 2_100), 500.0);
        assert_eq!(looked(&mut switch, &mut meter, 4 * S, 2_200), 200.0);
        // After a pause: the mean over it.
        assert_eq!(looked(&mut switch, &mut meter, 104 * S, 3_200), 10.0);
        assert_eq!(meter.total(0, "rx_packets"), 3_200);
    }

    #[test]
    fn what_counts_anew_has_no_rate_at_first() {
        let (mut switch, mut meter) = (Switch::new(), Meter::default());
        looked(&mut switch, &mut meter, S, u64::MAX - 5);
        // Restarted, or wrapped: what was in between nobody knows.
        assert_eq!(looked(&mut switch, &mut meter, 2 * S, 7), 0.0);
        assert_eq!(looked(&mut switch, &mut meter, 3 * S, 9), 2.0);
        // Ticks that go back are another run's.
        assert_eq!(looked(&mut switch, &mut meter, S, 20), 0.0);
        assert_eq!(looked(&mut switch, &mut meter, 2 * S, 25), 5.0);
        meter.forget(0);
        assert_eq!(meter.rate(0, "rx_packets"), 0.0);
        assert_eq!(looked(&mut switch, &mut meter, 3 * S, 1_000), 0.0);
    }

    #[test]
    fn a_row_that_is_written_no_more_comes_to_rest() {
        let (mut switch, mut meter) = (Switch::new(), Meter::default());
        looked(&mut switch, &mut meter, S, 0);
        assert_eq!(looked(&mut switch, &mut meter, 2 * S, 10), 10.0);
        let table = switch.reader().counters_of("ports", 0).unwrap().unwrap();
        meter.look(0, table.clone(), 4 * S);
        assert_eq!(meter.rate(0, "rx_packets"), 10.0);
        meter.look(0, table, 6 * S);
        assert_eq!((meter.rate(0, "rx_packets"), meter.total(0, "rx_packets")), (0.0, 10));
    }
}
