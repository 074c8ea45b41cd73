//! How the workers stand, with the names put to it: the report.

use std::collections::BTreeMap;

use weft_pipelines::counters::{Drops, PortCounters, TunnelCounters};
use weft_pipelines::overlay::neighbor;
use weft_pipelines::snapshot::{self, Tunnel};
use weft_pipelines::{Counters, Reason, Snapshot};

use super::compile::{EndpointLabel, Labels, PortLabel};
use crate::report::{
    DropReport, EndpointReport, EndpointState, NeighborState, PollMode, PortKind, PortReport, Report,
    TenantReport, Totals, TunnelReport, WorkerReport,
};
use crate::worker::{Neighbor, Poll, Standing};

/// What a report is made from.
#[derive(Clone, Copy, Debug)]
pub struct Observation<'a> {
    /// The configuration.
    pub snapshot: &'a Snapshot,
    /// Its names.
    pub labels: &'a Labels,
    /// By worker.
    pub workers: &'a [Standing],
    /// By worker: the core it is pinned to.
    pub cores: &'a [Option<usize>],
    /// How workers wait.
    pub poll: Poll,
    /// By port: whether its link is up.
    pub links: &'a [bool],
    /// Nanoseconds since the start.
    pub uptime_ns: u64,
}

impl Observation<'_> {
    /// The report.
    pub fn report(&self) -> Report {
        let counters = self.sum();
        Report {
            fabric: self.labels.fabric.clone(),
            host: self.labels.host.clone(),
            version: crate::VERSION.to_owned(),
            uptime_ns: self.uptime_ns,
            ports: self.ports(&counters),
            tenants: self.tenants(&counters),
            endpoints: self.endpoints(),
            tunnels: self.tunnels(&counters),
            drops: self.drops(&counters),
            workers: self.workers(),
            totals: self.totals(&counters),
        }
    }

    fn sum(&self) -> Counters {
        let snapshot = self.snapshot;
        let mut sum = Counters::new(snapshot.ports.len(), snapshot.tenants, snapshot.tunnels.len());
        self.workers.iter().for_each(|worker| sum.merge(&worker.counters));
        sum
    }

    fn ports(&self, counters: &Counters) -> Vec<PortReport> {
        let rows = self.snapshot.ports.iter().zip(&self.labels.ports).zip(&counters.ports).zip(self.links);
        type Row<'a> = (((&'a snapshot::Port, &'a PortLabel), &'a PortCounters), &'a bool);
        let report = |(((port, label), counters), link_up): Row<'_>| {
            let (kind, mac) = match &port.kind {
                snapshot::PortKind::Guest(guest) => (PortKind::Guest, guest.mac),
                snapshot::PortKind::Uplink(uplink) => (PortKind::Uplink, uplink.mac),
            };
            PortReport {
                name: label.name.clone(),
                kind,
                attach: label.attach.clone(),
                worker: port.worker.0.into(),
                mac: mac.to_string(),
                mtu: label.mtu.into(),
                link_up: *link_up,
                rx: counters.rx.packets,
                rx_bytes: counters.rx.bytes,
                tx: counters.tx.packets,
                tx_bytes: counters.tx.bytes,
                drops: by_name(&counters.drops),
            }
        };
        rows.map(report).collect()
    }

    fn tenants(&self, counters: &Counters) -> Vec<TenantReport> {
        let named = self.labels.tenants.iter().zip(&counters.tenants);
        let mut tenants: Vec<_> = named
            .map(|(name, counters)| TenantReport {
                name: name.clone(),
                to_fabric: counters.to_fabric.packets,
                from_fabric: counters.from_fabric.packets,
                drops: by_name(&counters.drops),
                ..TenantReport::default()
            })
            .collect();
        for (port, counters) in self.snapshot.ports.iter().zip(&counters.ports) {
            if let snapshot::PortKind::Guest(guest) = &port.kind {
                let tenant = &mut tenants[guest.tenant.index()];
                tenant.endpoints_here += 1;
                tenant.rx += counters.rx.packets;
                tenant.rx_bytes += counters.rx.bytes;
                tenant.tx += counters.tx.packets;
                tenant.tx_bytes += counters.tx.bytes;
            }
        }
        tenants
    }

    fn endpoints(&self) -> Vec<EndpointReport> {
        let report = |label: &EndpointLabel| {
            let state = match label.port {
                None => EndpointState::Remote,
                Some(port) if self.links[port.index()] => EndpointState::Connected,
                Some(_) => EndpointState::Waiting,
            };
            EndpointReport { state, ..label.report.clone() }
        };
        self.labels.endpoints.iter().map(report).collect()
    }

    fn tunnels(&self, counters: &Counters) -> Vec<TunnelReport> {
        let rows = self.snapshot.tunnels.iter().zip(&self.labels.tunnels).zip(&counters.tunnels);
        let report = |((tunnel, peer), counters): ((&Tunnel, &String), &TunnelCounters)| {
            let hop = self.snapshot.hop(tunnel.hop);
            let neighbor = self.neighbor(tunnel.hop.index(), self.snapshot.port(hop.uplink).worker.index());
            TunnelReport {
                peer: peer.clone(),
                vtep: tunnel.vtep.to_string(),
                uplink: self.labels.ports[hop.uplink.index()].name.clone(),
                next_hop: hop.ip.to_string(),
                neighbor: neighbor.map_or(NeighborState::Unresolved, |neighbor| state(neighbor.state)),
                mac: neighbor.and_then(|neighbor| neighbor.mac).map(|mac| mac.to_string()),
                tx: counters.tx.packets,
                tx_bytes: counters.tx.bytes,
                rx: counters.rx.packets,
                rx_bytes: counters.rx.bytes,
                held: neighbor.map_or(0, |neighbor| neighbor.held),
            }
        };
        rows.map(report).collect()
    }

    /// What the worker that owns the hop's uplink knows of it.
    fn neighbor(&self, hop: usize, worker: usize) -> Option<&Neighbor> {
        self.workers.get(worker)?.neighbors.get(hop)
    }

    fn drops(&self, counters: &Counters) -> Vec<DropReport> {
        let mut all = Drops::default();
        counters.ports.iter().for_each(|port| all += &port.drops);
        let by_port = |reason: Reason| {
            let named = self.labels.ports.iter().zip(&counters.ports);
            let counted = named.map(|(label, port)| (label.name.clone(), port.drops.count(reason)));
            counted.filter(|(_, packets)| *packets > 0).collect()
        };
        let report = |reason: &Reason| DropReport {
            reason: reason.name().to_owned(),
            packets: all.count(*reason),
            help: reason.help().to_owned(),
            by_port: by_port(*reason),
        };
        Reason::ALL.iter().map(report).collect()
    }

    fn workers(&self) -> Vec<WorkerReport> {
        let report = |(id, worker): (usize, &Standing)| {
            let owned = self.snapshot.ports.iter().zip(&self.labels.ports);
            let owned = owned.filter(|(port, _)| port.worker.index() == id);
            let report = WorkerReport {
                id: id as u32,
                core: self.cores.get(id).copied().flatten().map(|core| core as u32),
                poll: match self.poll {
                    Poll::Busy => PollMode::Busy,
                    Poll::Adaptive => PollMode::Adaptive,
                },
                ports: owned.map(|(_, label)| label.name.clone()).collect(),
                packets: worker.work.packets,
                polls: worker.work.polls,
                empty_polls: worker.work.empty_polls,
                busy_cycles: worker.work.busy_cycles,
                busy_cycles_per_packet: 0.0,
                handed_over: worker.work.handed_over,
                received_over: worker.work.received_over,
                sleeps: worker.work.sleeps,
                epoch: worker.work.epoch,
            };
            WorkerReport { busy_cycles_per_packet: report.cycles_per_packet(), ..report }
        };
        self.workers.iter().enumerate().map(report).collect()
    }

    fn totals(&self, counters: &Counters) -> Totals {
        let sum = |count: fn(&PortCounters) -> u64| counters.ports.iter().map(count).sum();
        let totals = Totals {
            rx: sum(|port| port.rx.packets),
            tx: sum(|port| port.tx.packets),
            drops: sum(|port| port.drops.total()),
            replicated: counters.replicated,
            originated: counters.originated,
            consumed: counters.consumed,
            held: held(self.workers).unwrap_or_default(),
            conserved: false,
        };
        totals.settled()
    }
}

/// Packets that wait for a neighbour or in a ring between workers.
///
/// `None` when the workers were asked at such moments that more were taken from a ring than had been put into it.
pub fn held(workers: &[Standing]) -> Option<u64> {
    let waiting: u64 =
        workers.iter().flat_map(|worker| &worker.neighbors).map(|neighbor| neighbor.held).sum();
    let given: u64 = workers.iter().map(|worker| worker.work.handed_over).sum();
    let taken: u64 = workers.iter().map(|worker| worker.work.received_over).sum();
    Some(waiting + given.checked_sub(taken)?)
}

fn by_name(drops: &Drops) -> BTreeMap<String, u64> {
    drops.iter().map(|(reason, packets)| (reason.name().to_owned(), packets)).collect()
}

fn state(state: neighbor::State) -> NeighborState {
    match state {
        neighbor::State::Static => NeighborState::Static,
        neighbor::State::Reachable => NeighborState::Reachable,
        neighbor::State::Stale => NeighborState::Stale,
        neighbor::State::Incomplete => NeighborState::Incomplete,
        neighbor::State::Unresolved => NeighborState::Unresolved,
    }
}
