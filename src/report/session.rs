//! Sessions and rules, as a switch tells of them.

use serde::{Deserialize, Serialize};

/// Which sessions are asked for. What is empty is no condition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionFilter {
    /// The tenant.
    pub tenant: String,
    /// The endpoint whose they count as, as `blue/web1`.
    pub endpoint: String,
    /// An address that one of the ends has.
    pub address: String,
    /// The protocol: `tcp`, or a number.
    pub protocol: String,
    /// The state.
    pub state: String,
    /// The rule that lets them pass; `default` for none.
    pub rule: String,
    /// How many to tell of at most; 0: any number.
    pub limit: u64,
}

/// The sessions that were asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sessions {
    /// How many there are of all.
    pub total: u64,
    /// How many of them were meant.
    pub matched: u64,
    /// As many of these as were asked for.
    pub sessions: Vec<SessionReport>,
}

/// A session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionReport {
    /// Its tenant.
    pub tenant: String,
    /// Its segment's VNI.
    pub vni: u32,
    /// Its protocol: `tcp`, or a number.
    pub protocol: String,
    /// Who opened it.
    pub from: String,
    /// The port that it was opened from; of an ICMP query its identifier; else 0.
    pub from_port: u32,
    /// Who it was opened to.
    pub to: String,
    /// The port that it was opened to; of ICMP the type (times 256) and code; else 0.
    pub to_port: u32,
    /// Its state.
    pub state: String,
    /// The endpoint whose it counts as.
    pub endpoint: String,
    /// The worker that has it.
    pub worker: u32,
    /// The rule that lets it pass; `default` for none.
    pub rule: String,
    /// The rule that would decide if those under audit counted.
    pub would_rule: String,
    /// Whether it would be denied if rules under audit counted.
    pub would_deny: bool,
    /// Packets of who opened it.
    pub packets: u64,
    /// Bytes of these.
    pub bytes: u64,
    /// Packets of the other.
    pub reply_packets: u64,
    /// Bytes of these.
    pub reply_bytes: u64,
    /// How long it has been there, in nanoseconds.
    pub age_ns: u64,
    /// How long ago its last packet came, in nanoseconds.
    pub idle_ns: u64,
}

/// A rule, or a tenant's default, and what it decided on this host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleReport {
    /// Its tenant.
    pub tenant: String,
    /// Its name; `default` of the default.
    pub name: String,
    /// Its place among the tenant's rules, from 1; none of the default.
    pub place: Option<u32>,
    /// What it says, as `web -> db allow tcp/5432`.
    pub rule: String,
    /// Connections, or packets that belong to none, that it decided.
    pub hits: u64,
    /// Packets dropped because of it.
    pub denied: u64,
    /// Packets that would have been dropped because of it, were it not only counted.
    pub would_deny: u64,
    /// How long ago it last decided something, in nanoseconds.
    pub last_hit_ns: Option<u64>,
}
