//! What is told of services, and of how long packets take in the switch.

use serde::{Deserialize, Serialize};

/// How services do between two groups of a tenant, as this host has seen it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceReport {
    /// The tenant.
    pub tenant: String,
    /// The group of who asks: `-` is none, `*` with `*` any pair that is not counted by itself.
    pub client: String,
    /// The group of who is asked, likewise.
    pub server: String,
    /// What came of TCP connections.
    pub connections: ConnectionsReport,
    /// From a SYN to the acknowledgement of its answer.
    pub connect: TimesReport,
    /// TCP's round trips between this host and the client.
    pub client_rtt: TimesReport,
    /// The same, the server.
    pub server_rtt: TimesReport,
    /// From the client's first data to the server's first, of TCP.
    pub response: TimesReport,
    /// What came of DNS queries over UDP.
    pub dns: DnsReport,
}

impl ServiceReport {
    /// Whether anything is known of connections.
    pub fn has_connections(&self) -> bool {
        let ConnectionsReport { ok, refused, timed_out, denied, reset } = self.connections;
        let times = [&self.connect, &self.client_rtt, &self.server_rtt, &self.response];
        [ok, refused, timed_out, denied, reset].iter().any(|count| *count > 0)
            || times.iter().any(|time| time.samples > 0)
    }

    /// Whether anything is known of DNS queries.
    pub const fn has_queries(&self) -> bool {
        self.dns.queries > 0 || self.dns.time.samples > 0
    }
}

/// What came of TCP connections.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionsReport {
    /// Accepted.
    pub ok: u64,
    /// Refused by the server.
    pub refused: u64,
    /// Answered by nobody.
    pub timed_out: u64,
    /// SYNs that policy did not let pass.
    pub denied: u64,
    /// Ended by a reset.
    pub reset: u64,
}

/// What came of DNS queries.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsReport {
    /// Queries.
    pub queries: u64,
    /// Responses: NOERROR.
    pub noerror: u64,
    /// NXDOMAIN.
    pub nxdomain: u64,
    /// SERVFAIL.
    pub servfail: u64,
    /// REFUSED.
    pub refused: u64,
    /// Any other code.
    pub other: u64,
    /// Queries that nobody answered.
    pub unanswered: u64,
    /// From a query to its response.
    pub time: TimesReport,
}

impl DnsReport {
    /// Responses that say that the server could or would not.
    pub const fn failed(&self) -> u64 {
        self.servfail + self.refused + self.other
    }
}

/// How times are spread. Quantiles are known to 3.2 % or 64 ns; none are told where there is no sample.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimesReport {
    /// How many there are.
    pub samples: u64,
    /// Their mean.
    pub mean_ns: Option<u64>,
    /// The median.
    pub p50_ns: Option<u64>,
    /// What 90 of 100 do not exceed.
    pub p90_ns: Option<u64>,
    /// What 95 of 100 do not exceed.
    pub p95_ns: Option<u64>,
    /// What 99 of 100 do not exceed.
    pub p99_ns: Option<u64>,
    /// What 999 of 1,000 do not exceed.
    pub p999_ns: Option<u64>,
    /// The longest.
    pub max_ns: Option<u64>,
}

impl TimesReport {
    /// The median, and what 95 and 99 of 100 do not exceed; `None` without a sample.
    pub fn quantiles(&self) -> Option<[u64; 3]> {
        Some([self.p50_ns?, self.p95_ns?, self.p99_ns?])
    }
}

/// How long bursts were in a worker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LatencyReport {
    /// The worker.
    pub worker: usize,
    /// From the receipt of a burst until all has been sent.
    pub time: TimesReport,
}
