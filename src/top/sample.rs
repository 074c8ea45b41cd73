//! What is known of a switch at one look.

use super::flows::Flows;
use super::history::History;
use crate::flows::names::Names;
use crate::report::ServiceReport;

/// A switch at one look.
#[derive(Debug)]
pub struct Sample {
    /// How it stands.
    pub status: Status,
    /// It as a whole.
    pub head: Head,
    /// Its tenants.
    pub tenants: Vec<Tenant>,
    /// Its ports.
    pub ports: Vec<Port>,
    /// Why packets were dropped; only reasons for which some were.
    pub drops: Vec<Dropped>,
    /// Its workers.
    pub workers: Vec<Worker>,
    /// Rules and defaults.
    pub rules: Vec<Rule>,
    /// Pairs of groups between which there were connections.
    pub services: Vec<Service>,
    /// Pairs of groups of which the one asked the other by DNS.
    pub queries: Vec<Service>,
    /// Its flows.
    pub flows: Flows,
    /// The names that flows are shown with.
    pub names: Names,
    /// The last minute of packets received, and of drops, a second.
    pub packets: History,
    /// Drops.
    pub dropped: History,
}

impl Sample {
    /// Nothing happens any more: what was counted stays, rates end.
    pub fn rest(&mut self) {
        self.head.traffic.rest();
        self.ports.iter_mut().for_each(|port| port.traffic.rest());
        for tenant in &mut self.tenants {
            tenant.traffic.rest();
            (tenant.to_fabric, tenant.from_fabric) = (0.0, 0.0);
        }
        self.drops.iter_mut().for_each(|drop| drop.rate = 0.0);
        for worker in &mut self.workers {
            *worker = Worker { id: worker.id, ..Worker::default() };
        }
        for rule in &mut self.rules {
            (rule.hits, rule.denied, rule.would_deny) = (0.0, 0.0, 0.0);
        }
        self.services.iter_mut().chain(&mut self.queries).for_each(|service| service.rate = 0.0);
    }
}

/// How a switch stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Status {
    /// It runs.
    #[default]
    Running,
    /// It goes on in another file, which is opened next.
    Superseded,
    /// It has not shown life for so many seconds.
    Silent(u64),
    /// It has ended.
    Ended,
    /// Its file can't be read, for this reason.
    Unreadable(String),
}

/// A switch as a whole.
#[derive(Clone, Debug, Default)]
pub struct Head {
    /// The host's name.
    pub host: String,
    /// The switch's version.
    pub version: String,
    /// The number of the configuration in force.
    pub epoch: u64,
    /// Nanoseconds since it started, by its own clock.
    pub now: u64,
    /// When it started, in nanoseconds of UNIX time.
    pub started: u64,
    /// All ports.
    pub traffic: Traffic,
    /// Records of flows that were overwritten before they were read.
    pub lost: u64,
}

/// What went through a port, or all of a tenant's, a second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Traffic {
    /// Packets received from it.
    pub rx_packets: f64,
    /// Bits of these.
    pub rx_bits: f64,
    /// Packets sent to it.
    pub tx_packets: f64,
    /// Bits of these.
    pub tx_bits: f64,
    /// Packets dropped.
    pub drops: f64,
    /// The part of the time in which it was not received from, of the port with the largest.
    pub held_back: f64,
    /// Packets that waited for a shaper.
    pub waited: f64,
    /// Packets marked: congestion experienced.
    pub marked: f64,
    /// Packets dropped since the switch started.
    pub dropped: u64,
}

impl Traffic {
    fn rest(&mut self) {
        *self = Self { dropped: self.dropped, ..Self::default() };
    }

    /// Adds what another port did.
    pub fn add(&mut self, other: &Self) {
        self.rx_packets += other.rx_packets;
        self.rx_bits += other.rx_bits;
        self.tx_packets += other.tx_packets;
        self.tx_bits += other.tx_bits;
        self.drops += other.drops;
        self.held_back = self.held_back.max(other.held_back);
        self.waited += other.waited;
        self.marked += other.marked;
        self.dropped += other.dropped;
    }
}

/// A tenant.
#[derive(Clone, Debug, Default)]
pub struct Tenant {
    /// Its name.
    pub name: String,
    /// How many ports of this host are its.
    pub ports: u64,
    /// What they did; drops are those of the tenant, wherever.
    pub traffic: Traffic,
    /// Bits a second into the fabric.
    pub to_fabric: f64,
    /// Bits a second from the fabric.
    pub from_fabric: f64,
}

/// A port.
#[derive(Clone, Debug, Default)]
pub struct Port {
    /// Its name: `tenant/endpoint`, or an uplink's.
    pub name: String,
    /// What it did.
    pub traffic: Traffic,
}

/// A drop reason.
#[derive(Clone, Debug, Default)]
pub struct Dropped {
    /// Its name.
    pub reason: String,
    /// What it means.
    pub help: String,
    /// Packets a second.
    pub rate: f64,
    /// Packets since the switch started.
    pub total: u64,
    /// The ports that have them, with their numbers, the most first.
    pub ports: String,
}

/// A worker.
#[derive(Clone, Debug, Default)]
pub struct Worker {
    /// Its number.
    pub id: u64,
    /// Packets a second received from ports.
    pub packets: f64,
    /// Cycles that a packet costs.
    pub cost: Option<f64>,
    /// The part of the time in which it has packets to work on.
    pub load: f64,
    /// Rounds a second.
    pub polls: f64,
    /// The part of these that finds nothing.
    pub empty: Option<f64>,
    /// Packets a second handed over to other workers.
    pub handed_over: f64,
    /// Packets a second taken from others.
    pub received_over: f64,
    /// How many times a second it sleeps.
    pub sleeps: f64,
    /// Packets that wait for their turn to leave.
    pub waiting: u64,
}

/// A rule, or a tenant's default.
#[derive(Clone, Debug, Default)]
pub struct Rule {
    /// Whose it is.
    pub tenant: String,
    /// Its name.
    pub name: String,
    /// Decisions a second.
    pub hits: f64,
    /// Packets a second dropped because of it.
    pub denied: f64,
    /// Packets a second that would be, were it not only counted.
    pub would_deny: f64,
    /// Decisions since the switch started.
    pub hit: u64,
    /// Packets dropped since.
    pub denied_total: u64,
    /// Nanoseconds since it last decided something.
    pub last_hit: Option<u64>,
}

/// How a pair of groups does.
#[derive(Clone, Debug, Default)]
pub struct Service {
    /// Since the switch started.
    pub report: ServiceReport,
    /// Attempts to connect a second of which something came; or queries.
    pub rate: f64,
}
