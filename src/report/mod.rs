//! What a running switch, or a replay, says of itself.
//!
//! Plain data: the switch fills a [`Report`], the API carries it, `weft show` prints it, and tests compare
//! it. All counters run since the start of the switch; rates are for the reader of two reports to work out.

mod change;
mod flow;
mod ledger;
mod qos;
#[cfg(test)]
pub(crate) mod samples;
mod service;
mod session;
pub mod text;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use change::{Applied, Change, ChangeKind, Detail, Document, Plan, SessionChange, SessionChanges, Times};
pub use flow::{FlowDns, FlowEnd, FlowReport};
pub use qos::{ClassReport, MeterReport, QosLimits, QosReport, QueueReport};
pub use service::{ConnectionsReport, DnsReport, LatencyReport, ServiceReport, TimesReport};
pub use session::{RuleReport, SessionFilter, SessionReport, Sessions};

/// What ports that are no more are called together.
pub const REMOVED: &str = "(removed)";

/// All that a switch says of itself at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The fabric's name, from the document.
    pub fabric: String,
    /// The host's name in the document.
    pub host: String,
    /// The version of the running switch.
    pub version: String,
    /// How long it has run, in nanoseconds (in a replay, of virtual time).
    pub uptime_ns: u64,
    /// The ports of this host, guests' and uplinks.
    pub ports: Vec<PortReport>,
    /// The tenants of the fabric.
    pub tenants: Vec<TenantReport>,
    /// What is assured and bounded of traffic: of each tenant with endpoints on this host, and then of these.
    #[serde(default)]
    pub qos: Vec<QosReport>,
    /// The endpoints of the fabric, those of other hosts included.
    pub endpoints: Vec<EndpointReport>,
    /// The tunnels to the other hosts.
    pub tunnels: Vec<TunnelReport>,
    /// The reasons for which packets were dropped.
    pub drops: Vec<DropReport>,
    /// The worker threads.
    pub workers: Vec<WorkerReport>,
    /// The sums over all ports.
    pub totals: Totals,
}

/// A port of this host.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PortReport {
    /// `tenant/endpoint` of a guest's port (`blue/web1`), the document's name of an uplink (`up0`).
    pub name: String,
    /// Whose port it is.
    pub kind: PortKind,
    /// What it is attached to: a device string, or `vhost-user` and the socket's path.
    pub attach: String,
    /// The worker that owns it.
    pub worker: u32,
    /// The guest's address, or the uplink's own, as `02:00:00:00:01:01`.
    pub mac: String,
    /// The largest IP packet it carries, in bytes.
    pub mtu: u32,
    /// Whether its link is up: of a vhost-user port, whether a guest is connected.
    pub link_up: bool,
    /// Packets received from it.
    pub rx: u64,
    /// Bytes of those packets.
    pub rx_bytes: u64,
    /// Packets sent to it.
    pub tx: u64,
    /// Bytes of those packets.
    pub tx_bytes: u64,
    /// Packets dropped on this port's account, by reason.
    pub drops: BTreeMap<String, u64>,
}

/// Whose port a port is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PortKind {
    /// A guest's.
    #[default]
    Guest,
    /// The underlay's.
    Uplink,
}

/// A tenant, as this host sees it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TenantReport {
    /// The tenant's name.
    pub name: String,
    /// How many of its endpoints are on this host.
    pub endpoints_here: u64,
    /// Packets received from its guests.
    pub rx: u64,
    /// Bytes of those packets.
    pub rx_bytes: u64,
    /// Packets sent to its guests.
    pub tx: u64,
    /// Bytes of those packets.
    pub tx_bytes: u64,
    /// Packets of its guests that left by a tunnel.
    pub to_fabric: u64,
    /// Packets for its guests that came by a tunnel.
    pub from_fabric: u64,
    /// Its packets that were dropped, by reason.
    pub drops: BTreeMap<String, u64>,
}

/// An endpoint of the fabric.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EndpointReport {
    /// Its tenant's name.
    pub tenant: String,
    /// Its own name, unique in its tenant.
    pub name: String,
    /// The host that it is on.
    pub host: String,
    /// Whether that is this host.
    pub local: bool,
    /// The segment that it is on.
    pub segment: String,
    /// The segment's VXLAN network identifier, 24 bits.
    pub vni: u32,
    /// Its MAC address.
    pub mac: String,
    /// Its IP addresses.
    pub ips: Vec<String>,
    /// The groups that it is in.
    pub groups: Vec<String>,
    /// How its port stands.
    pub state: EndpointState,
}

/// How an endpoint's port stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EndpointState {
    /// Its guest is there.
    Connected,
    /// Its port is open and no guest has come.
    #[default]
    Waiting,
    /// It is another host's.
    Remote,
}

/// The tunnel to another host.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TunnelReport {
    /// The other host's name.
    pub peer: String,
    /// The other host's VTEP address.
    pub vtep: String,
    /// The uplink that leads there.
    pub uplink: String,
    /// The address that is resolved to send there: the VTEP itself, or a router.
    pub next_hop: String,
    /// Whether the next hop's MAC address is known.
    pub neighbor: NeighborState,
    /// The next hop's MAC address, where it is known.
    pub mac: Option<String>,
    /// Packets sent through the tunnel.
    pub tx: u64,
    /// Bytes of those packets, outer headers included.
    pub tx_bytes: u64,
    /// Packets received through it.
    pub rx: u64,
    /// Bytes of those packets, outer headers included.
    pub rx_bytes: u64,
    /// Packets that wait for the next hop's MAC address now.
    pub held: u64,
}

/// What is known of a next hop's MAC address (RFC 4861, 7.3.2, told for ARP too).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NeighborState {
    /// Written in the document.
    Static,
    /// Confirmed of late.
    Reachable,
    /// Known, and not confirmed for a while.
    Stale,
    /// Asked for, and not answered yet.
    Incomplete,
    /// Never asked for.
    #[default]
    Unresolved,
}

/// A reason for which packets are dropped.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DropReport {
    /// The reason's name.
    pub reason: String,
    /// Packets dropped for it.
    pub packets: u64,
    /// What it means, in a sentence.
    pub help: String,
    /// Those packets by port.
    pub by_port: BTreeMap<String, u64>,
}

/// A worker thread.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WorkerReport {
    /// Its number, from 0.
    pub id: u32,
    /// The core that it is pinned to, if any.
    pub core: Option<u32>,
    /// How it waits for packets.
    pub poll: PollMode,
    /// The ports that it owns.
    pub ports: Vec<String>,
    /// Packets it received from its ports.
    pub packets: u64,
    /// Rounds over its ports.
    pub polls: u64,
    /// Rounds that found no packet.
    pub empty_polls: u64,
    /// TSC cycles spent in rounds that found packets.
    pub busy_cycles: u64,
    /// [`busy_cycles`](Self::busy_cycles) by [`packets`](Self::packets); 0 before the first packet.
    pub busy_cycles_per_packet: f64,
    /// Packets handed to other workers.
    pub handed_over: u64,
    /// Packets taken from other workers.
    pub received_over: u64,
    /// How many times it slept (adaptive polling only).
    pub sleeps: u64,
    /// The epoch of the snapshot that it works by.
    pub epoch: u64,
}

impl WorkerReport {
    /// The cycles a packet took, from the counters; 0 before the first packet.
    pub fn cycles_per_packet(&self) -> f64 {
        if self.packets == 0 { 0.0 } else { self.busy_cycles as f64 / self.packets as f64 }
    }
}

/// What a stage of the packet's way cost a worker while that was counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageReport {
    /// The worker.
    pub worker: u32,
    /// The stage; `receive` and `send` are the ports', `deliver` is what is between the stages and the ports, `rest` all else:
    /// timers, counters, records, rounds without a packet.
    pub stage: String,
    /// Bursts that it went over.
    pub bursts: u64,
    /// Packets in these bursts.
    pub packets: u64,
    /// TSC cycles.
    pub cycles: u64,
}

/// How a worker waits for packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PollMode {
    /// It never sleeps.
    Busy,
    /// It sleeps when nothing comes.
    #[default]
    Adaptive,
}

/// The sums over all ports, and whether every packet is accounted for.
///
/// A packet that came in or was made has gone out, was dropped, was taken in, or is still here:
///
/// ```text
/// rx + replicated + originated = tx + drops + consumed + held
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Packets received from ports.
    pub rx: u64,
    /// Packets sent to ports.
    pub tx: u64,
    /// Packets dropped, for any reason.
    pub drops: u64,
    /// Copies made to flood a packet, its original not counted.
    pub replicated: u64,
    /// Packets that the switch made itself, such as ARP requests.
    pub originated: u64,
    /// Packets that were for the switch itself, such as ARP replies.
    pub consumed: u64,
    /// Packets in a neighbour's queue or a hand-over ring at this moment.
    pub held: u64,
    /// Whether the equation holds; [`Totals::settled`] sets it.
    pub conserved: bool,
}

impl Totals {
    /// Whether the equation holds for these counters.
    pub fn balances(&self) -> bool {
        let sum = |terms: &[u64]| terms.iter().map(|&term| u128::from(term)).sum::<u128>();
        sum(&[self.rx, self.replicated, self.originated])
            == sum(&[self.tx, self.drops, self.consumed, self.held])
    }

    /// The same counters, with [`conserved`](Self::conserved) set to what they say.
    pub fn settled(self) -> Self {
        Self { conserved: self.balances(), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_balance_when_every_packet_is_somewhere() {
        let totals = Totals { rx: 10, replicated: 2, originated: 1, ..Totals::default() };
        let settled = Totals { tx: 7, drops: 3, consumed: 1, held: 2, ..totals }.settled();
        assert!(settled.conserved);
        assert!(!Totals { held: 1, ..settled }.settled().conserved);
    }

    #[test]
    fn totals_at_the_end_of_their_range_do_not_overflow() {
        let totals = Totals { rx: u64::MAX, originated: 1, tx: u64::MAX, drops: 1, ..Totals::default() };
        assert!(totals.balances());
    }

    #[test]
    fn a_worker_without_packets_has_no_cost() {
        assert_eq!(WorkerReport { busy_cycles: 9, ..Default::default() }.cycles_per_packet(), 0.0);
        let worker = WorkerReport { busy_cycles: 9, packets: 2, ..Default::default() };
        assert_eq!(worker.cycles_per_packet(), 4.5);
    }

    #[test]
    fn json_reads_what_it_writes() {
        let report = samples::report();
        let text = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
    }
}
