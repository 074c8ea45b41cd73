//! What a worker writes: its records, its counters a few rows at a time, and of times the rows that have changed.
//!
//! Nothing here waits, allocates, locks, or looks at who reads.

use core::ops::AddAssign;

use weft_pipelines::service::{Histograms, Outcomes, Service, Time};
use weft_pipelines::{Counters, Tick};

use super::layout::section;
use super::record::Record;
use super::ring::Ring;
use super::rows;
use super::seqlock;
use super::writer::Part;
use crate::worker::Work;

/// One worker's part of the file.
#[derive(Debug)]
pub struct WorkerStats {
    records: Part,
    written: u64,
    counters: [Part; section::RECORDS],
    /// The sections of times, and before them that of what came of attempts.
    times: [Part; section::LATENCY + 1 - section::SERVICE],
    /// Where [`publish`](Self::publish) goes on: the section, and the row.
    at: (usize, usize),
    /// Where [`publish_times`](Self::publish_times) goes on.
    times_at: usize,
    /// What each row of these had counted when it was written: one that has no more is as it was.
    seen: Vec<u64>,
}

/// Rows of a pair of groups: what came of attempts, and each kind of time.
const OF_A_PAIR: usize = 1 + Time::ALL.len();

impl WorkerStats {
    pub(super) fn new(part: impl Fn(usize) -> Part) -> Self {
        let rows = part(section::SERVICE).capacity;
        Self {
            records: part(section::RECORDS),
            written: 0,
            counters: core::array::from_fn(&part),
            times: core::array::from_fn(|index| part(section::SERVICE + index)),
            at: (0, 0),
            times_at: 0,
            seen: vec![0; 1 + rows * OF_A_PAIR],
        }
    }

    /// Writes `record`, over the oldest one if the ring is full.
    #[inline]
    pub fn record(&mut self, record: &Record) {
        let Part { lead, row, capacity, .. } = self.records;
        if let Some(ring) = Ring::new(self.records.words(), lead, row, capacity) {
            ring.write(self.written, &record.encode());
            self.written += 1;
        }
    }

    /// How many records were written.
    pub const fn written(&self) -> u64 {
        self.written
    }

    /// Writes `values` into row `row` of `section`, in the order of its fields. A row that there is no room for is
    /// left out.
    #[inline]
    pub fn row(&mut self, section: usize, row: usize, values: &[u64]) {
        let times = || self.times.get(section.checked_sub(section::SERVICE)?);
        if let Some(part) = self.counters.get(section).or_else(times) {
            seqlock::rewrite(part.row(row), values);
        }
    }

    /// Writes some of what the worker counted in both places, `rows` rows at most, and goes on from there at the next call. Whether it
    /// has come round: all is written that was there when the round began.
    pub fn publish(&mut self, counters: [&Counters; 2], work: &Work, now: Tick, rows: usize) -> bool {
        for _ in 0..rows {
            let (section, row) = self.at;
            if !self.write_row(section, row, counters, work, now) {
                self.at = (section + 1, 0);
                if self.at.0 == section::RECORDS {
                    self.at = (0, 0);
                    return true;
                }
                continue;
            }
            self.at.1 += 1;
        }
        false
    }

    /// Looks at `looks` rows of times and of what came of attempts, writes those that have changed, `writes` at most, and goes
    /// on from there at the next call. Returns whether it has come round.
    pub fn publish_times(
        &mut self,
        (service, latency): (&Service, &Histograms),
        now: Tick,
        looks: usize,
        mut writes: usize,
    ) -> bool {
        for _ in 0..looks {
            let place = self.times_at;
            if place > service.len() * OF_A_PAIR || place >= self.seen.len() {
                self.times_at = 0;
                return true;
            }
            let (row, kind) = ((place.max(1) - 1) / OF_A_PAIR, (place.max(1) - 1) % OF_A_PAIR);
            let time = Time::ALL.get(kind.wrapping_sub(1));
            let counted = match time {
                _ if place == 0 => latency.head(0).samples,
                Some(time) => service.times().head(Service::place(row, *time)).samples,
                None => service.outcomes(row).map_or(0, Outcomes::total),
            };
            if self.seen.get(place).is_some_and(|seen| *seen != counted) {
                if writes == 0 {
                    return false;
                }
                writes -= 1;
                match time {
                    _ if place == 0 => self.row(section::LATENCY, 0, &rows::times::values(now, latency, 0)),
                    Some(time) => {
                        let values = rows::times::values(now, service.times(), Service::place(row, *time));
                        self.row(section::SERVICE_TIMES + *time as usize, row, &values);
                    }
                    None => {
                        let outcomes = service.outcomes(row).copied().unwrap_or_default();
                        self.row(section::SERVICE, row, &rows::service::values(now, &outcomes));
                    }
                }
                if let Some(seen) = self.seen.get_mut(place) {
                    *seen = counted;
                }
            }
            self.times_at += 1;
        }
        false
    }

    /// Writes all that the worker counted: at the end, when there is time.
    pub fn publish_all(&mut self, counters: [&Counters; 2], work: &Work, now: Tick) {
        self.at = (0, 0);
        while !self.publish(counters, work, now, usize::MAX) {}
    }

    /// Writes all times that have changed.
    pub fn publish_all_times(&mut self, service: &Service, latency: &Histograms, now: Tick) {
        self.times_at = 0;
        while !self.publish_times((service, latency), now, usize::MAX, usize::MAX) {}
    }

    /// Writes one row, what both count together; whether there is such a row.
    fn write_row(
        &mut self,
        section: usize,
        row: usize,
        [counters, more]: [&Counters; 2],
        work: &Work,
        now: Tick,
    ) -> bool {
        if self.counters.get(section).is_none_or(|part| row >= part.capacity) {
            return false;
        }
        let mut write = |values: &[u64]| {
            self.row(section, row, values);
            true
        };
        let port = || sum(counters.ports.get(row)?, more.ports.get(row));
        let tenant = || sum(counters.tenants.get(row)?, more.tenants.get(row));
        match section {
            section::WORKERS if row == 0 => write(&rows::worker::values(now, work, counters)),
            section::PORTS => port().is_some_and(|port| write(&rows::port::values(now, &port))),
            section::PORT_DROPS => port().is_some_and(|port| write(&rows::drops::values(now, &port.drops))),
            section::TENANTS => tenant().is_some_and(|tenant| write(&rows::tenant::values(now, &tenant))),
            section::TENANT_DROPS => {
                tenant().is_some_and(|tenant| write(&rows::drops::values(now, &tenant.drops)))
            }
            section::TUNNELS => {
                counters.tunnels.get(row).is_some_and(|tunnel| write(&rows::tunnel::values(now, tunnel)))
            }
            section::RULES => {
                counters.rules.get(row).is_some_and(|rule| write(&rows::rule::values(now, rule)))
            }
            _ => false,
        }
    }
}

/// What both count together.
fn sum<T: Clone + for<'a> AddAssign<&'a T>>(one: &T, other: Option<&T>) -> Option<T> {
    let mut sum = one.clone();
    if let Some(other) = other {
        sum += other;
    }
    Some(sum)
}
