//! How the workers stand, with the names put to it: the report.

mod qos;

use std::collections::BTreeMap;

use weft_pipelines::counters::{Drops, PortCounters, Sizes, TunnelCounters};
use weft_pipelines::overlay::neighbor;
use weft_pipelines::snapshot::{self, Tunnel};
use weft_pipelines::{Counters, Reason, Snapshot};

use super::compile::{EndpointLabel, Labels, PortLabel};
use crate::report::{
    DropReport, EndpointReport, EndpointState, NeighborState, PollMode, PortKind, PortReport, REMOVED,
    Report, TenantReport, Totals, TunnelReport, WorkerReport,
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
            qos: self.qos(&counters),
            endpoints: self.endpoints(),
            tunnels: self.tunnels(&counters),
            drops: self.drops(&counters),
            workers: self.workers(),
            totals: self.totals(&counters),
        }
    }

    fn sum(&self) -> Counters {
        let snapshot = self.snapshot;
        let mut sum = Counters::new(Sizes { pairs: 0, ..snapshot.sizes() });
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
                snapshot::PortKind::Vacant => return None,
            };
            Some(PortReport {
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
            })
        };
        rows.filter_map(report).collect()
    }

    fn tenants(&self, counters: &Counters) -> Vec<TenantReport> {
        let mut tenants: Vec<_> = counters
            .tenants
            .iter()
            .map(|counters| TenantReport {
                to_fabric: counters.to_fabric.packets,
                from_fabric: counters.from_fabric.packets,
                drops: by_name(&counters.drops),
                ..TenantReport::default()
            })
            .collect();
        // What ports counted that are no more counts on.
        let ports = self.snapshot.ports.iter().zip(&self.labels.ports).zip(&counters.ports);
        for ((port, label), counters) in ports {
            if let Some(tenant) = label.tenant.and_then(|tenant| tenants.get_mut(tenant.index())) {
                tenant.endpoints_here += u64::from(matches!(port.kind, snapshot::PortKind::Guest(_)));
                tenant.rx += counters.rx.packets;
                tenant.rx_bytes += counters.rx.bytes;
                tenant.tx += counters.tx.packets;
                tenant.tx_bytes += counters.tx.bytes;
            }
        }
        let named = self.labels.tenants.iter().zip(tenants);
        named.filter_map(|(name, tenant)| Some(TenantReport { name: name.clone()?, ..tenant })).collect()
    }

    fn endpoints(&self) -> Vec<EndpointReport> {
        let report = |label: &EndpointLabel| {
            let state = match label.port {
                None => EndpointState::Remote,
                Some(port) if self.links.get(port.index()).is_some_and(|up| *up) => EndpointState::Connected,
                Some(_) => EndpointState::Waiting,
            };
            EndpointReport { state, ..label.report.clone() }
        };
        self.labels.endpoints.iter().map(report).collect()
    }

    fn tunnels(&self, counters: &Counters) -> Vec<TunnelReport> {
        let rows = self.snapshot.tunnels.iter().zip(&self.labels.tunnels).zip(&counters.tunnels);
        let report = |((tunnel, peer), counters): ((&Tunnel, &Option<String>), &TunnelCounters)| {
            let peer = peer.as_ref()?;
            let hop = self.snapshot.hop(tunnel.hop);
            let neighbor = self.neighbor(tunnel.hop.index(), self.snapshot.port(hop.uplink).worker.index());
            Some(TunnelReport {
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
            })
        };
        rows.filter_map(report).collect()
    }

    /// What the worker that owns the hop's uplink knows of it.
    fn neighbor(&self, hop: usize, worker: usize) -> Option<&Neighbor> {
        self.workers.get(worker)?.neighbors.get(hop)
    }

    fn drops(&self, counters: &Counters) -> Vec<DropReport> {
        let mut all = Drops::default();
        counters.ports.iter().for_each(|port| all += &port.drops);
        let by_port = |reason: Reason| {
            let mut by_port = BTreeMap::new();
            let rows = self.snapshot.ports.iter().zip(&self.labels.ports).zip(&counters.ports);
            for ((port, label), counters) in rows {
                let packets = counters.drops.count(reason);
                if packets > 0 {
                    let gone = matches!(port.kind, snapshot::PortKind::Vacant);
                    let name = if gone { REMOVED } else { &label.name };
                    *by_port.entry(name.to_owned()).or_default() += packets;
                }
            }
            by_port
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
            let vacant = |port: &snapshot::Port| matches!(port.kind, snapshot::PortKind::Vacant);
            let owned = owned.filter(|(port, _)| port.worker.index() == id && !vacant(port));
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

/// Packets that wait for a neighbour, for their turn to leave, or in a ring between workers.
///
/// `None` when the workers were asked at such moments that more were taken from a ring than had been put into it.
pub fn held(workers: &[Standing]) -> Option<u64> {
    let for_neighbors =
        |worker: &Standing| worker.neighbors.iter().map(|neighbor| neighbor.held).sum::<u64>();
    let waiting: u64 = workers.iter().map(|worker| for_neighbors(worker) + worker.work.waiting).sum();
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

#[cfg(test)]
mod tests {
    use weft_pipelines::counters::{Metered, Shaped, Traffic};
    use weft_pipelines::{Epoch, Mac};

    use super::*;
    use crate::config;
    use crate::control::compile::{Compiled, Previous, compile};
    use crate::report::{ClassReport, QueueReport};
    use crate::worker::Work;

    const ANSWERED: Mac = Mac([2, 0, 0, 0, 9, 2]);
    const UPLINK: Mac = Mac([2, 0, 0, 0, 9, 1]);

    /// An uplink and blue/g2 are the first worker's, blue/g1 the second's; `there` is behind the uplink.
    const DOCUMENT: &str = r#"
fabric: { name: lab }
hosts:
  - { name: here, vtep: 198.51.100.1, workers: { cores: [2, 3] }, uplinks: [{ name: up0, device: net_null0, address: [198.51.100.1/24] }] }
  - { name: there, vtep: 198.51.100.2 }
tenants:
  - name: blue
    segments: [{ name: front, vni: 1001, subnet: [10.1.0.0/24] }]
    endpoints:
      - { name: g1, host: here, attach: { vhost-user: g1 }, segment: front, mac: "02:00:00:00:00:01", ip: [10.1.0.1] }
      - { name: g2, host: here, attach: { vhost-user: g2 }, segment: front, mac: "02:00:00:00:00:02", ip: [10.1.0.2] }
      - { name: far, host: there, attach: { vhost-user: far }, segment: front, mac: "02:00:00:00:00:04", ip: [10.1.0.4] }
  - name: red
"#;

    fn compiled() -> Compiled {
        compiled_from(DOCUMENT)
    }

    fn compiled_from(document: &str) -> Compiled {
        let fabric = config::parse("test", document).unwrap();
        compile(&fabric, fabric.host("here").unwrap(), &[UPLINK], 2, Epoch(3), None).unwrap()
    }

    /// How two workers stand after some traffic: the second's guest sent 9 packets, of which one was spoofed, 2 went
    /// to the other guest, one of them in vain, and 6 to the other host: 3 left, 2 wait for ARP, one is in the ring.
    fn standings(snapshot: &Snapshot) -> [Standing; 2] {
        let [mut first, mut second] = [Standing::new(snapshot), Standing::new(snapshot)];
        let packets = |packets| Traffic { packets, bytes: packets * 100 };
        second.counters.ports[1].rx = packets(9);
        second.counters.ports[1].drops.add(Reason::SpoofedIp, 1);
        second.counters.tenants[0].drops.add(Reason::SpoofedIp, 1);
        second.counters.tunnels[0].tx = packets(6);
        second.counters.tenants[0].to_fabric = packets(6);
        second.work = Work { packets: 9, busy_cycles: 900, handed_over: 8, epoch: 3, ..Work::default() };
        first.counters.ports[2].tx = packets(1);
        first.counters.ports[2].drops.add(Reason::PortDown, 1);
        first.counters.tenants[0].drops.add(Reason::PortDown, 1);
        // And an ARP request.
        first.counters.ports[0].tx = packets(4);
        first.counters.originated = 1;
        first.work = Work { received_over: 7, epoch: 3, ..Work::default() };
        first.neighbors[0] = Neighbor { state: neighbor::State::Reachable, mac: Some(ANSWERED), held: 2 };
        [first, second]
    }

    fn report_of(workers: &[Standing], Compiled { snapshot, labels, .. }: &Compiled) -> Report {
        let observation = Observation {
            snapshot,
            labels,
            workers,
            cores: &[Some(2), Some(3)],
            poll: Poll::Adaptive,
            links: &[true, true, false, false],
            uptime_ns: 5,
        };
        observation.report()
    }

    fn report() -> Report {
        let compiled = compiled();
        report_of(&standings(&compiled.snapshot), &compiled)
    }

    fn named(drops: &BTreeMap<String, u64>) -> Vec<(&str, u64)> {
        drops.iter().map(|(name, packets)| (name.as_str(), *packets)).collect()
    }

    #[test]
    fn every_packet_is_somewhere_across_the_workers() {
        let totals = report().totals;
        assert_eq!((totals.rx, totals.originated, totals.replicated), (9, 1, 0));
        assert_eq!((totals.tx, totals.drops, totals.consumed, totals.held), (5, 2, 0, 3));
        assert!(totals.conserved);
        let compiled = compiled();
        let mut standings = standings(&compiled.snapshot);
        standings[0].counters.ports[2].tx.packets += 1;
        assert!(!report_of(&standings, &compiled).totals.conserved);
    }

    #[test]
    fn what_waits_is_in_a_ring_or_for_a_neighbor() {
        let mut standings = standings(&compiled().snapshot);
        assert_eq!(held(&standings), Some(3));
        // Taken after the one was asked, and given after the other was: no moment that there ever was.
        standings[0].work.received_over = 9;
        assert_eq!(held(&standings), None);
        assert_eq!(held(&[]), Some(0));
    }

    #[test]
    fn ports_tell_what_they_are_and_what_went_by() {
        let ports = report().ports;
        let row =
            |port: &PortReport| (port.name.clone(), port.kind, port.worker, port.link_up, port.rx, port.tx);
        assert_eq!(
            ports.iter().map(row).collect::<Vec<_>>(),
            [
                ("up0".into(), PortKind::Uplink, 0, true, 0, 4),
                ("blue/g1".into(), PortKind::Guest, 1, true, 9, 0),
                ("blue/g2".into(), PortKind::Guest, 0, false, 0, 1),
            ]
        );
        assert_eq!(
            (ports[1].rx_bytes, ports[1].mac.as_str(), ports[1].mtu),
            (900, "02:00:00:00:00:01", 1550)
        );
        assert_eq!(named(&ports[1].drops), [("spoofed_ip", 1)]);
        assert_eq!(named(&ports[2].drops), [("port_down", 1)]);
    }

    #[test]
    fn tenants_are_the_sums_of_their_ports() {
        let tenants = report().tenants;
        let blue = &tenants[0];
        assert_eq!((blue.name.as_str(), blue.endpoints_here), ("blue", 2));
        assert_eq!((blue.rx, blue.rx_bytes, blue.tx, blue.tx_bytes), (9, 900, 1, 100));
        assert_eq!((blue.to_fabric, blue.from_fabric), (6, 0));
        assert_eq!(named(&blue.drops), [("port_down", 1), ("spoofed_ip", 1)]);
        assert_eq!((tenants[1].name.as_str(), tenants[1].endpoints_here, tenants[1].rx), ("red", 0, 0));
    }

    #[test]
    fn what_came_of_limits_is_told_of_endpoints_and_summed_for_tenants() {
        let limited = DOCUMENT
            .replace("- name: blue\n", "- name: blue\n    qos: { rate: 1Gbit, ceil: 2Gbit, classes: [{ name: all }] }\n")
            .replace(
                "ip: [10.1.0.1] }",
                "ip: [10.1.0.1], qos: { pps: 1kpps, weight: 3, classes: [{ name: voice, dscp: [ef], strict: true }, { \
                 name: rest, weight: 5 }] } }",
            );
        let mut compiled = compiled_from(&limited);
        let [mut first, mut second] = standings(&compiled.snapshot);
        let packets = |packets| Traffic { packets, bytes: packets * 124 };
        // g1 is the second worker's, and what it sends leaves by the first's uplink.
        second.counters.ports[1].metered =
            Metered { passed: packets(9), yellow: 4, held_back: 700, cycles: 450 };
        let shaped =
            Shaped { passed: packets(6), waited: 2, waiting: 900, longest: 800, marked: 1, dropped: 3 };
        first.counters.ports[1].to_fabric = shaped;
        first.counters.ports[2].to_guest = Shaped { waited: 4, longest: 900, ..shaped };
        second.counters.ports[2].to_guest = Shaped { dropped: 1, ..Shaped::default() };
        first.work.busy_cycles = 2_000;
        let standings = [first, second];
        let qos = report_of(&standings, &compiled).qos;
        let names: Vec<&str> = qos.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(names, ["blue", "blue/g1", "blue/g2"]);
        let [blue, g1, g2] = &qos[..] else { panic!("three rows") };

        assert_eq!(
            (blue.limits.rate_bits_per_s, blue.limits.ceil_bits_per_s),
            (Some(1_000_000_000), Some(2_000_000_000))
        );
        assert_eq!((g1.limits.rate_bits_per_s, g1.limits.packets_per_s), (None, Some(1_000)));
        assert_eq!((g1.limits.burst_bytes, g1.limits.burst_packets, g1.limits.weight), (None, Some(64), 3));
        let class = |name: &str, strict, weight| ClassReport { name: name.into(), strict, weight };
        assert_eq!(g1.classes, [class("voice", true, 1), class("rest", false, 5)]);
        assert_eq!(
            (g2.classes.as_slice(), blue.classes.as_slice()),
            (&[class("all", false, 1)][..], &[][..])
        );

        let sent = g1.sent;
        assert_eq!((sent.passed_packets, sent.passed_bytes, sent.beyond_rate_packets), (9, 1_116, 4));
        assert_eq!((sent.held_back_ns, sent.cycles, sent.worker_busy_cycles), (700, 450, 900));
        // A tenant's workers are all that its endpoints are of.
        assert_eq!((blue.sent.cycles, blue.sent.worker_busy_cycles), (450, 2_900));
        assert_eq!((g1.to_fabric, g1.to_guest), (blue.to_fabric, QueueReport::default()));
        assert_eq!((g1.to_fabric.passed_packets, g1.to_fabric.mean_wait_ns()), (6, Some(450)));
        assert_eq!((g2.to_guest.longest_wait_ns, g2.to_guest.dropped_packets), (900, 4));
        assert_eq!((g2.to_guest.waited_ns, g2.to_guest.marked_packets), (900, 1));
        assert_eq!(g2.to_fabric.mean_wait_ns(), None);

        // What is no more has no row, and what it counted is its tenant's.
        let fabric = config::parse("test", &limited.replace("name: g1,", "name: g3,")).unwrap();
        let before = config::parse("test", &limited).unwrap();
        let previous = Previous { fabric: &before, compiled: &compiled };
        compiled =
            compile(&fabric, fabric.host("here").unwrap(), &[UPLINK], 2, Epoch(4), Some(previous)).unwrap();
        let mut links = standings;
        links.iter_mut().for_each(|standing| standing.counters.grow(compiled.snapshot.sizes()));
        let qos = report_of(&links, &compiled).qos;
        let names: Vec<&str> = qos.iter().map(|row| row.name.as_str()).collect();
        assert_eq!((names, qos[0].sent.passed_packets), (vec!["blue", "blue/g2", "blue/g3"], 9));
    }

    #[test]
    fn where_nothing_is_bounded_the_ports_tell_what_went_by() {
        let compiled = compiled();
        let [mut first, second] = standings(&compiled.snapshot);
        // g2 was stalled once: a packet of the two that it was sent had to wait.
        first.counters.ports[2].tx = Traffic { packets: 2, bytes: 200 };
        let stalled = Traffic { packets: 1, bytes: 124 };
        first.counters.ports[2].to_guest =
            Shaped { passed: stalled, waited: 1, waiting: 70, longest: 70, ..Shaped::default() };
        let qos = report_of(&[first, second], &compiled).qos;
        let [blue, g1, g2] = &qos[..] else { panic!("three rows") };
        assert_eq!((g1.sent.passed_packets, g1.sent.passed_bytes, g2.sent.passed_packets), (9, 900, 0));
        assert_eq!((g2.to_guest.passed_packets, g2.to_guest.passed_bytes), (2, 200));
        assert_eq!((g2.to_guest.waited_packets, g2.to_guest.mean_wait_ns()), (1, Some(70)));
        assert_eq!((blue.sent.passed_packets, blue.to_guest.passed_packets), (9, 2));
        // What each sent to other hosts nobody counts, and of all of them it is known.
        assert_eq!((blue.to_fabric.passed_packets, g1.to_fabric.passed_packets), (6, 0));
    }

    #[test]
    fn drops_are_told_of_every_reason_by_port() {
        let drops = report().drops;
        assert_eq!(drops.len(), Reason::COUNT);
        let counted: Vec<_> = drops.iter().filter(|drop| drop.packets > 0).collect();
        assert_eq!(counted.len(), 2);
        assert_eq!(
            (counted[0].reason.as_str(), named(&counted[0].by_port)),
            ("spoofed_ip", vec![("blue/g1", 1)])
        );
        assert_eq!(
            (counted[1].reason.as_str(), named(&counted[1].by_port)),
            ("port_down", vec![("blue/g2", 1)])
        );
        assert_eq!(counted[1].help, Reason::PortDown.help());
    }

    #[test]
    fn a_tunnel_s_neighbor_is_what_the_worker_of_its_uplink_knows() {
        let tunnel = report().tunnels.remove(0);
        assert_eq!((tunnel.peer.as_str(), tunnel.uplink.as_str()), ("there", "up0"));
        assert_eq!((tunnel.vtep.as_str(), tunnel.next_hop.as_str()), ("198.51.100.2", "198.51.100.2"));
        // The second worker, which sends most into the tunnel, knows nothing of it.
        assert_eq!((tunnel.neighbor, tunnel.mac), (NeighborState::Reachable, Some(ANSWERED.to_string())));
        assert_eq!((tunnel.tx, tunnel.rx, tunnel.held), (6, 0, 2));
    }

    #[test]
    fn endpoints_are_connected_by_their_links() {
        let states: Vec<_> = report().endpoints.iter().map(|endpoint| endpoint.state).collect();
        assert_eq!(states, [EndpointState::Connected, EndpointState::Waiting, EndpointState::Remote]);
    }

    #[test]
    fn workers_tell_their_ports_and_what_a_packet_costs() {
        let report = report();
        assert_eq!((report.fabric.as_str(), report.host.as_str(), report.uptime_ns), ("lab", "here", 5));
        let [first, second] = &report.workers[..] else { panic!("two workers") };
        assert_eq!((first.ports.join(" "), second.ports.join(" ")), ("up0 blue/g2".into(), "blue/g1".into()));
        assert_eq!((first.core, second.core, second.poll), (Some(2), Some(3), PollMode::Adaptive));
        assert_eq!((second.busy_cycles_per_packet, first.busy_cycles_per_packet), (100.0, 0.0));
        assert_eq!((second.handed_over, first.received_over, first.epoch), (8, 7, 3));
    }
}
