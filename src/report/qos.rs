//! What is assured and bounded of traffic, and what came of it.

use serde::{Deserialize, Serialize};

/// A tenant's or an endpoint's traffic: what it is assured and may take at most on this host, and what came of it. A
/// tenant's counters are the sums of its endpoints', of those too that are no more.
///
/// Bytes are as they are charged where something is bounded. Where nothing is, packets and bytes are those of the port; and
/// what an endpoint sent to other hosts is known only as far as it had to wait there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct QosReport {
    /// `tenant` (`blue`), or `tenant/endpoint` (`blue/web1`).
    pub name: String,
    /// What it is assured and may take at most, of what is sent by it and of what is sent to it each.
    pub limits: QosLimits,
    /// An endpoint's traffic classes, in the order in which they are served.
    pub classes: Vec<ClassReport>,
    /// What its guests were let send.
    pub sent: MeterReport,
    /// What was sent to its guests.
    pub to_guest: QueueReport,
    /// What its guests sent to other hosts, at the uplinks; of an endpoint as far as these are bounded.
    pub to_fabric: QueueReport,
}

/// Limits. What is absent is not assured, or not bounded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QosLimits {
    /// The assured rate.
    pub rate_bits_per_s: Option<u64>,
    /// The most that may be reached.
    pub ceil_bits_per_s: Option<u64>,
    /// What may pass at once after silence.
    pub burst_bytes: Option<u64>,
    /// The packets that may pass in a second.
    pub packets_per_s: Option<u64>,
    /// The packets that may pass at once after silence.
    pub burst_packets: Option<u64>,
    /// The share of what is left over, beside its siblings' weights.
    pub weight: u32,
}

/// A traffic class.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassReport {
    /// Its name.
    pub name: String,
    /// Whether its packets go before those of all classes that come after it.
    pub strict: bool,
    /// The share of what the strict ones leave, beside the others' weights.
    pub weight: u32,
}

/// What guests were let send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeterReport {
    /// Packets that passed.
    pub passed_packets: u64,
    /// Their bytes, as they are charged.
    pub passed_bytes: u64,
    /// Those of these packets that were beyond the assured rate.
    pub beyond_rate_packets: u64,
    /// How long guests were not polled since they, or their tenant, had used up what they may send, in nanoseconds.
    pub held_back_ns: u64,
    /// Cycles that workers spent on what was sent.
    pub cycles: u64,
    /// All cycles in which these workers had something to do.
    pub worker_busy_cycles: u64,
}

/// What went by queues in which packets wait for their turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueReport {
    /// Packets that passed.
    pub passed_packets: u64,
    /// Their bytes, as they are charged.
    pub passed_bytes: u64,
    /// Those of these packets that waited.
    pub waited_packets: u64,
    /// How long they waited in all, in nanoseconds.
    pub waited_ns: u64,
    /// How long one waited at most, in nanoseconds.
    pub longest_wait_ns: u64,
    /// Packets that were marked for congestion (ECN, RFC 3168).
    pub marked_packets: u64,
    /// Packets that were dropped.
    pub dropped_packets: u64,
}

impl QueueReport {
    /// How long those that waited did on average, in nanoseconds; `None` if none waited.
    pub fn mean_wait_ns(&self) -> Option<u64> {
        self.waited_ns.checked_div(self.waited_packets)
    }
}
