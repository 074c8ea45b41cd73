//! What one worker keeps from burst to burst, and the ways in: from a port, from another worker, from the clock.

use crate::batch::{Batch, Burst};
use crate::context::Context;
use crate::counters::Counters;
use crate::egress::{Egress, Exit};
use crate::flow::{Limits, Secret, Sessions};
use crate::frame::Frame;
use crate::ids::{HopId, PortId, Tick, WorkerId};
use crate::overlay::Neighbors;
use crate::overlay::neighbor::Due;
use crate::qos::{Meters, Tag};
use crate::sink::{Handed, Sink};
use crate::snapshot::{PortKind, Snapshot};
use crate::stages::review::{self, Review};
use crate::stages::{account, resolve, tell};
use crate::verdict::Reason;
use crate::witness::Direction;
use crate::{fabric_to_vm, vm_to_vm, worker_to_vm};

/// One worker's packet logic.
#[derive(Debug)]
pub struct Plane<F> {
    /// What it counted.
    pub counters: Counters,
    /// The underlay's neighbours, those on uplinks that it owns in use.
    pub neighbors: Neighbors<(Tag, F)>,
    /// What guests may send.
    pub meters: Meters,
    /// What leaves, and what waits to leave.
    pub egress: Egress<F>,
    /// What it knows of flows.
    pub sessions: Sessions,
    review: Review,
    worker: WorkerId,
    arrived: Batch<F>,
    leaving: Batch<F>,
}

impl<F: Frame> Plane<F> {
    /// The packet logic of `worker`, to begin with `snapshot`. `secret` keys its hashes.
    pub fn new(worker: WorkerId, snapshot: &Snapshot, secret: &Secret) -> Self {
        Self::with(worker, snapshot, Sessions::new(&snapshot.sessions, secret))
    }

    /// The same, with its sessions in these tables.
    pub fn with(worker: WorkerId, snapshot: &Snapshot, sessions: Sessions) -> Self {
        let mut plane = Self {
            counters: Counters::default(),
            neighbors: Neighbors::new([]),
            meters: Meters::default(),
            egress: Egress::new(snapshot),
            sessions,
            review: Review::default(),
            worker,
            arrived: Batch::default(),
            leaving: Batch::default(),
        };
        plane.make_room(snapshot, Tick(0));
        plane
    }

    /// Takes up `snapshot` after `before`: lets go of ports that are no more, makes room for what is new, and begins to
    /// decide all sessions again.
    pub fn adopt<S: Sink<F>>(&mut self, before: &Snapshot, snapshot: &Snapshot, now: Tick, sink: &mut S) {
        let mut exit = Exit { snapshot: before, counters: &mut self.counters, sink, now };
        let is_gone = |port: &PortId| matches!(snapshot.port(*port).kind, PortKind::Vacant);
        for port in (0..before.ports.len()).map(|port| PortId(port as u16)).filter(is_gone) {
            self.egress.close(&mut exit, port);
        }
        self.make_room(snapshot, now);
        self.review = Review::begin(now);
    }

    fn make_room(&mut self, snapshot: &Snapshot, now: Tick) {
        self.counters.grow(snapshot.sizes());
        self.neighbors.grow(snapshot.hops.iter().map(|hop| hop.fixed));
        let limits: Vec<Limits> = snapshot.ports.iter().map(|port| port.limits()).collect();
        self.sessions.limit(&limits);
        let ports = (0..).map(PortId).zip(&snapshot.ports).filter(|(_, port)| port.worker == self.worker);
        let guests = ports.filter_map(|(port, _)| Some((port, snapshot.guest(port)?)));
        self.meters.set(&snapshot.shares, guests.map(|(port, it)| (port, it.tenant, &it.share)), now);
        self.egress.adopt(snapshot, self.worker, now);
    }

    /// How many packets may be received from `port` now; 0: its ring is to be left alone.
    #[inline]
    pub fn room(&mut self, port: PortId, now: Tick) -> usize {
        let room = self.meters.room(port, now);
        if room > 0 && self.meters.is_bound(port) {
            self.counters.port(port).metered.held_back += self.meters.held(port, now);
        }
        room
    }

    /// Takes the burst that `receive` reads from `port` all the way. Returns how many packets it had.
    ///
    /// `receive` says when they were read, which is no earlier than they came: so a packet that waited for the core may look
    /// late, but no answer comes sooner after its question than it did.
    pub fn from_port<S: Sink<F>>(
        &mut self,
        snapshot: &Snapshot,
        port: PortId,
        sink: &mut S,
        receive: impl FnOnce(&mut Burst<F>) -> Tick,
    ) -> usize {
        let now = self.arrived.load(receive);
        let packets = self.arrived.len();
        if packets > 0 {
            sink.eyes().receive(port, &self.arrived, now);
            let (mut context, arrived, leaving) = self.context(snapshot, now, sink);
            match &snapshot.port(port).kind {
                PortKind::Guest(guest) => vm_to_vm::vm_to_vm(&mut context, port, guest, arrived, leaving),
                PortKind::Uplink(uplink) => fabric_to_vm::fabric_to_vm(&mut context, port, uplink, arrived),
                PortKind::Vacant => {
                    account::received(&mut context, port, arrived);
                    for frame in arrived.take() {
                        context.sink.eyes().lose(port, Direction::In, Reason::PortDown, &frame);
                        account::dropped(&mut context, port, None, Reason::PortDown, frame);
                    }
                }
            }
        }
        packets
    }

    /// Takes packets that another worker handed over the rest of their way.
    pub fn from_worker<S: Sink<F>>(
        &mut self,
        snapshot: &Snapshot,
        handed: impl IntoIterator<Item = Handed<F>>,
        now: Tick,
        sink: &mut S,
    ) {
        sink.eyes().begin(now);
        let (mut context, arrived, _) = self.context(snapshot, now, sink);
        let mut way = None;
        for handed in handed {
            match handed {
                // The other worker's configuration can be one older or newer for a moment.
                Handed::Deliver(port, tag, frame) => match snapshot.guest(port) {
                    Some(guest) if snapshot.port(port).worker == context.worker => {
                        arrived.push_for_port(frame, guest.segment, port, tag);
                        if arrived.is_full() {
                            worker_to_vm::worker_to_vm(&mut context, arrived);
                        }
                    }
                    _ => account::astray(&mut context, port, Reason::PortDown, frame),
                },
                Handed::IntoTunnel(tunnel, tag, frame) => match snapshot.tunnels.get(tunnel.index()) {
                    Some(_) => resolve::resolve(&mut context, &mut way, tunnel, tag, frame),
                    None => account::astray(&mut context, PortId(0), Reason::NoUplink, frame),
                },
            }
        }
        if !arrived.is_empty() {
            worker_to_vm::worker_to_vm(&mut context, arrived);
        }
    }

    /// Does what is due: ends sessions that are over or not allowed any more, asks neighbours again, and drops what
    /// waited too long for them. Each is bounded: to be called often.
    pub fn tick<S: Sink<F>>(&mut self, snapshot: &Snapshot, now: Tick, sink: &mut S) {
        if self.sessions.again.is_ripe(now) {
            tell::again(&mut self.sessions, sink, (snapshot, &mut self.counters), now);
        }
        tell::age(&mut self.sessions, sink, (snapshot, &mut self.counters), now);
        if !self.review.is_over() {
            let mut review = self.review;
            review::review(&mut self.context(snapshot, now, sink).0, &mut review);
            self.review = review;
        }
        if now < self.neighbors.due() {
            return;
        }
        let (mut context, ..) = self.context(snapshot, now, sink);
        for hop in (0..snapshot.hops.len()).map(|hop| HopId(hop as u16)) {
            match context.neighbors.due_at(hop, now) {
                Due::Nothing => {}
                Due::Ask(question) => resolve::ask(&mut context, question),
                Due::GiveUp(held) => {
                    let uplink = snapshot.hop(hop).uplink;
                    for (_, frame) in held {
                        let reason = Reason::NeighborUnresolved;
                        account::lost(context.snapshot, context.counters, uplink, reason, &frame);
                        context.sink.eyes().lose(uplink, Direction::Out, reason, &frame);
                        context.sink.discard(frame);
                    }
                }
            }
        }
    }

    /// Sends what has gathered, and what waited and may leave now. To be called once a round.
    pub fn flush<S: Sink<F>>(&mut self, snapshot: &Snapshot, now: Tick, sink: &mut S) {
        self.egress.flush(&mut Exit { snapshot, counters: &mut self.counters, sink, now });
    }

    /// Drops, by name, all that still waits, and tells of all flows, for the switch stops.
    pub fn stop<S: Sink<F>>(&mut self, snapshot: &Snapshot, now: Tick, sink: &mut S) {
        for hop in (0..snapshot.hops.len()).map(|hop| HopId(hop as u16)) {
            let uplink = snapshot.hop(hop).uplink;
            for (_, frame) in self.neighbors.drain(hop) {
                account::lost(snapshot, &mut self.counters, uplink, Reason::Stopping, &frame);
                sink.eyes().lose(uplink, Direction::Out, Reason::Stopping, &frame);
                sink.discard(frame);
            }
        }
        self.egress.stop(&mut Exit { snapshot, counters: &mut self.counters, sink, now });
        tell::stop(&mut self.sessions, sink, (snapshot, &mut self.counters), now);
    }

    /// Packets that wait: for a neighbour, or for their turn to leave.
    pub fn held(&self) -> u64 {
        let neighbors = (0..self.neighbors.len()).map(|hop| self.neighbors.held(HopId(hop as u16)) as u64);
        neighbors.sum::<u64>() + self.egress.held()
    }

    fn context<'a, S>(
        &'a mut self,
        snapshot: &'a Snapshot,
        now: Tick,
        sink: &'a mut S,
    ) -> (Context<'a, F, S>, &'a mut Batch<F>, &'a mut Batch<F>) {
        let Self { counters, neighbors, meters, egress, sessions, worker, arrived, leaving, .. } = self;
        let worker = *worker;
        let context = Context { snapshot, counters, neighbors, meters, egress, sessions, sink, worker, now };
        (context, arrived, leaving)
    }
}
