//! How well services do, by pair of groups: how long it takes to connect, to answer, there and back, and what comes of it.
//!
//! A pair is a client's group and a server's, of one tenant. Control says which pairs have a row ([`Rows`]), so how many there
//! are is bounded. A session keeps its row; what is measured of it is added to that, as one of the worker's own counters.

pub mod histogram;
pub mod rows;

pub use histogram::Histograms;
pub use rows::{Row, Rows, TenantRows};

use crate::flow::Side;

/// What is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Time {
    /// From a SYN to the acknowledgement of its answer.
    Connect,
    /// TCP's round trip between here and the client.
    ClientRtt,
    /// The same, the server.
    ServerRtt,
    /// From the client's first data to the server's first.
    Response,
    /// From a DNS query to its response.
    Dns,
}

impl Time {
    /// All of them, in order.
    pub const ALL: [Self; 5] = [Self::Connect, Self::ClientRtt, Self::ServerRtt, Self::Response, Self::Dns];

    /// The round trip to a side.
    #[inline]
    pub const fn rtt(side: Side) -> Self {
        match side {
            Side::Initiator => Self::ClientRtt,
            Side::Responder => Self::ServerRtt,
        }
    }
}

/// What came of attempts. Of connections TCP's, since only TCP tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcomes {
    /// Connections that the server accepted.
    pub accepted: u64,
    /// Connections that it refused, by a reset.
    pub refused: u64,
    /// Connections that nobody answered.
    pub timed_out: u64,
    /// SYNs that policy did not let pass.
    pub denied: u64,
    /// Connections that a reset ended.
    pub reset: u64,
    /// DNS queries.
    pub dns_queries: u64,
    /// Their responses: NOERROR (RFC 1035, section 4.1.1).
    pub dns_noerror: u64,
    /// NXDOMAIN: there is no such name.
    pub dns_nxdomain: u64,
    /// SERVFAIL: the server could not.
    pub dns_servfail: u64,
    /// REFUSED: the server would not.
    pub dns_refused: u64,
    /// Any other code.
    pub dns_other: u64,
    /// Queries that nobody answered.
    pub dns_unanswered: u64,
}

impl Outcomes {
    /// All of them together: it grows with each.
    pub const fn total(&self) -> u64 {
        let connections = self.accepted + self.refused + self.timed_out + self.denied + self.reset;
        let answers = self.dns_noerror + self.dns_nxdomain + self.dns_servfail + self.dns_refused;
        connections + answers + self.dns_other + self.dns_queries + self.dns_unanswered
    }

    /// Adds what another worker counted.
    fn merge(&mut self, other: &Self) {
        self.accepted += other.accepted;
        self.refused += other.refused;
        self.timed_out += other.timed_out;
        self.denied += other.denied;
        self.reset += other.reset;
        self.dns_queries += other.dns_queries;
        self.dns_noerror += other.dns_noerror;
        self.dns_nxdomain += other.dns_nxdomain;
        self.dns_servfail += other.dns_servfail;
        self.dns_refused += other.dns_refused;
        self.dns_other += other.dns_other;
        self.dns_unanswered += other.dns_unanswered;
    }
}

/// What one worker counts by pair of groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// By [`Row`].
    outcomes: Vec<Outcomes>,
    /// By row, and in it by [`Time`].
    times: Histograms,
}

impl Service {
    /// So many rows.
    pub fn new(rows: usize) -> Self {
        let mut service = Self::default();
        service.grow(rows);
        service
    }

    /// How many rows there are.
    pub const fn len(&self) -> usize {
        self.outcomes.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.outcomes.is_empty()
    }

    /// Makes room for so many rows; those that there are stay.
    pub fn grow(&mut self, rows: usize) {
        let rows = rows.max(self.len());
        self.outcomes.resize(rows, Outcomes::default());
        self.times.grow(rows * Time::ALL.len());
    }

    /// Counts something of `row`, if there is such a row.
    #[inline]
    pub fn count(&mut self, row: Row, what: impl FnOnce(&mut Outcomes)) {
        if let Some(outcomes) = self.outcomes.get_mut(row.index()) {
            what(outcomes);
        }
    }

    /// Adds a time in nanoseconds.
    #[inline]
    pub fn add(&mut self, row: Row, time: Time, nanos: u64) {
        self.times.add(Self::place(row.index(), time), nanos);
    }

    /// What came of the attempts of row `row`.
    pub fn outcomes(&self, row: usize) -> Option<&Outcomes> {
        self.outcomes.get(row)
    }

    /// All histograms: that of a row and a time is at its [`place`](Self::place).
    pub const fn times(&self) -> &Histograms {
        &self.times
    }

    /// The place of a histogram among all.
    #[inline]
    pub const fn place(row: usize, time: Time) -> usize {
        // That of no row is none.
        row.saturating_mul(Time::ALL.len()).saturating_add(time as usize)
    }

    /// Adds what another worker counted, as far as there is room.
    pub fn merge(&mut self, other: &Self) {
        self.outcomes.iter_mut().zip(&other.outcomes).for_each(|(mine, others)| mine.merge(others));
        self.times.merge(&other.times);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_row_has_its_own_and_no_row_none() {
        let mut service = Service::new(2);
        for (row, nanos) in [(Row(1), 5_000), (Row::NONE, 6_000), (Row(2), 7_000)] {
            service.add(row, Time::Dns, nanos);
            service.count(row, |of| of.dns_noerror += 1);
        }
        let head = |row, time| service.times().head(Service::place(row, time));
        assert_eq!((head(1, Time::Dns).samples, head(1, Time::Dns).sum), (1, 5_000));
        assert_eq!((head(0, Time::Dns).samples, head(1, Time::Response).samples), (0, 0));
        assert_eq!(service.outcomes(1).map(|of| of.dns_noerror), Some(1));
        assert_eq!((service.outcomes(0), service.outcomes(2)), (Some(&Outcomes::default()), None));
        let mut sum = service.clone();
        sum.merge(&service);
        assert_eq!(sum.outcomes(1).map(|of| of.dns_noerror), Some(2));
    }

    #[test]
    fn each_time_is_at_its_place() {
        Time::ALL.into_iter().enumerate().for_each(|(index, time)| assert_eq!(time as usize, index));
    }
}
