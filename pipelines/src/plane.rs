//! What one worker keeps from burst to burst, and the ways in: from a port, from another worker, from the clock.

use crate::batch::{Batch, Burst};
use crate::context::Context;
use crate::counters::Counters;
use crate::frame::Frame;
use crate::ids::{HopId, PortId, Tick, WorkerId};
use crate::overlay::Neighbors;
use crate::overlay::neighbor::Due;
use crate::sink::{Handed, Sink};
use crate::snapshot::{PortKind, Snapshot};
use crate::stages::{account, deliver, resolve};
use crate::verdict::Reason;
use crate::{fabric_to_vm, vm_to_vm};

/// One worker's packet logic.
#[derive(Debug)]
pub struct Plane<F> {
    /// What it counted.
    pub counters: Counters,
    /// The underlay's neighbours, those on uplinks that it owns in use.
    pub neighbors: Neighbors<F>,
    worker: WorkerId,
    arrived: Batch<F>,
    leaving: Batch<F>,
}

impl<F: Frame> Plane<F> {
    /// The packet logic of `worker`, to begin with `snapshot`.
    pub fn new(worker: WorkerId, snapshot: &Snapshot) -> Self {
        Self {
            counters: Counters::new(snapshot.sizes()),
            neighbors: Neighbors::new(snapshot.hops.iter().map(|hop| hop.fixed)),
            worker,
            arrived: Batch::default(),
            leaving: Batch::default(),
        }
    }

    /// Makes room for what is new in `snapshot`, which is taken up from now on.
    pub fn adopt(&mut self, snapshot: &Snapshot, _now: Tick) {
        self.counters.grow(snapshot.sizes());
        self.neighbors.grow(snapshot.hops.iter().map(|hop| hop.fixed));
    }

    /// Takes the burst that `receive` reads from `port` all the way. Returns how many packets it had.
    pub fn from_port<S: Sink<F>>(
        &mut self,
        snapshot: &Snapshot,
        port: PortId,
        now: Tick,
        sink: &mut S,
        receive: impl FnOnce(&mut Burst<F>),
    ) -> usize {
        self.arrived.load(receive);
        let packets = self.arrived.len();
        if packets > 0 {
            let (mut context, arrived, leaving) = self.context(snapshot, now, sink);
            match &snapshot.port(port).kind {
                PortKind::Guest(guest) => vm_to_vm::vm_to_vm(&mut context, port, guest, arrived, leaving),
                PortKind::Uplink(uplink) => fabric_to_vm::fabric_to_vm(&mut context, port, uplink, arrived),
                PortKind::Vacant => {
                    account::received(&mut context, port, arrived);
                    for frame in arrived.take() {
                        account::dropped(&mut context, port, None, Reason::PortDown, frame);
                    }
                }
            }
        }
        packets
    }

    /// Takes a packet that another worker handed over the rest of its way.
    pub fn from_worker<S: Sink<F>>(
        &mut self,
        snapshot: &Snapshot,
        handed: Handed<F>,
        now: Tick,
        sink: &mut S,
    ) {
        let (mut context, ..) = self.context(snapshot, now, sink);
        match handed {
            Handed::Deliver(port, frame) => deliver::deliver(&mut context, port, frame),
            Handed::IntoTunnel(tunnel, frame) => resolve::resolve(&mut context, tunnel, frame),
        }
    }

    /// Does what is due: asks neighbours again, and drops what waited too long for them.
    pub fn tick<S: Sink<F>>(&mut self, snapshot: &Snapshot, now: Tick, sink: &mut S) {
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
                        context.sink.discard(frame);
                    }
                }
            }
        }
    }

    /// Drops, by name, all that still waits, for the switch stops.
    pub fn stop<S: Sink<F>>(&mut self, snapshot: &Snapshot, sink: &mut S) {
        for (tunnel, frame) in self.neighbors.drain() {
            let uplink = snapshot.hop(snapshot.tunnel(tunnel).hop).uplink;
            account::lost(snapshot, &mut self.counters, uplink, Reason::Stopping, &frame);
            sink.discard(frame);
        }
    }

    /// Packets that wait for a neighbour.
    pub fn held(&self) -> u64 {
        (0..self.neighbors.len()).map(|hop| self.neighbors.held(HopId(hop as u16)) as u64).sum()
    }

    fn context<'a, S>(
        &'a mut self,
        snapshot: &'a Snapshot,
        now: Tick,
        sink: &'a mut S,
    ) -> (Context<'a, F, S>, &'a mut Batch<F>, &'a mut Batch<F>) {
        let Self { counters, neighbors, worker, arrived, leaving } = self;
        (Context { snapshot, counters, neighbors, sink, worker: *worker, now }, arrived, leaving)
    }
}
