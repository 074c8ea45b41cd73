//! Where packets leave: what may go at once gathers in its port's burst, what may not waits for its turn.
//!
//! A worker has one shaper for all its guests, and one for each of its uplinks. A packet meets a shaper where something
//! is bound, or where its port takes no more; all others go straight. A port that takes no more holds up nobody: what
//! is for it waits in its own queues, of bounded length.

mod output;

use self::output::{Output, Way};
use crate::counters::{Counters, Shaped};
use crate::frame::Frame;
use crate::ids::{PortId, Tick, WorkerId};
use crate::overlay::template;
use crate::qos::shaper::{Fate, Left, Refusal, Refused, Shaper};
use crate::qos::{Share, Tag};
use crate::sink::Sink;
use crate::snapshot::{PortKind, Snapshot};
use crate::stages::account;
use crate::verdict::Reason;
use crate::wire::tos;
use crate::witness::Direction;

/// Packets that leave a shaper in one go: about as many as a round of a worker brings.
const RELEASED: usize = 256;

/// An uplink's burst is what it carries in a thousandth of a second: longer than a worker sleeps.
const BURSTS_IN_SECOND: u64 = 1_000;
/// Or this, in bytes: a slow uplink's worker may not have a core of its own.
const LEAST_BURST: u64 = 64 << 10;

/// What one worker sends, with what waits to be sent.
#[derive(Debug)]
pub struct Egress<F> {
    /// By [`PortId`].
    outputs: Vec<Output<F>>,
    /// The ports with a burst that is not empty.
    pending: Vec<PortId>,
    /// What waits for guests of this worker, by port.
    guests: Shaper<F>,
    /// What waits for uplinks of this worker, by the port that it came from.
    uplinks: Vec<(PortId, Shaper<F>)>,
}

/// What became of a packet for a port's burst.
#[derive(Debug)]
pub enum Gathered<F> {
    /// It is there.
    Simply,
    /// It is, and the burst is to be sent.
    Full,
    /// It does not go straight.
    Not(F),
}

/// What a packet leaves with.
#[derive(Debug)]
pub struct Exit<'a, S> {
    /// The configuration.
    pub snapshot: &'a Snapshot,
    /// What is counted.
    pub counters: &'a mut Counters,
    /// Where to.
    pub sink: &'a mut S,
    /// When.
    pub now: Tick,
}

impl<F: Frame> Egress<F> {
    /// For a worker without ports.
    pub fn new(snapshot: &Snapshot) -> Self {
        let guests = Shaper::new(&snapshot.qos);
        Self { outputs: Vec::new(), pending: Vec::new(), guests, uplinks: Vec::new() }
    }

    /// Takes up `snapshot` for `worker`: its ports, its bounds. What waits stays.
    pub fn adopt(&mut self, snapshot: &Snapshot, worker: WorkerId, now: Tick) {
        let ports = || (0..).map(PortId).zip(&snapshot.ports);
        self.outputs.resize_with(snapshot.ports.len().max(self.outputs.len()), Output::default);
        self.pending.reserve(self.outputs.len());
        for (port, of) in ports().filter(|(_, of)| of.worker == worker) {
            let is_known = self.uplinks.iter().any(|(uplink, _)| *uplink == port);
            if matches!(of.kind, PortKind::Uplink(_)) && !is_known {
                self.uplinks.push((port, Shaper::new(&snapshot.qos)));
            }
        }
        let guests = || ports().filter_map(|(port, of)| Some((port, of.worker, snapshot.guest(port)?)));
        for (place, (port, shaper)) in self.uplinks.iter_mut().enumerate() {
            let rate = snapshot.uplink(*port).map_or(0, |uplink| uplink.rate);
            shaper.resize(&snapshot.qos);
            shaper.root(rate, (rate / 8 / BURSTS_IN_SECOND).max(LEAST_BURST), now);
            for (tenant, of) in snapshot.shares.iter().enumerate() {
                shaper.group(tenant, &unbound(&of.share), None, now);
            }
            for (from, _, guest) in guests() {
                let share = unbound(&guest.share);
                shaper.leaf(from.index(), guest.tenant.index(), &share, &guest.classes, now);
            }
            let waits = shaper.waiting() > 0;
            self.outputs[port.index()].lead(Way::Uplink(place), rate != 0, waits);
        }
        self.guests.resize(&snapshot.qos);
        for (tenant, of) in snapshot.shares.iter().enumerate() {
            // Guests have no link in common that something could be assured of.
            let share = Share { rate: 0, ..of.share };
            self.guests.group(tenant, &share, of.received.as_deref(), now);
        }
        for (port, _, guest) in guests().filter(|(_, owner, _)| *owner == worker) {
            self.guests.leaf(port.index(), guest.tenant.index(), &guest.share, &guest.classes, now);
            let is_bound = guest.share.is_bound() || snapshot.share(guest.tenant).share.is_bound();
            let waits = self.guests.waiting_of(port.index()) > 0;
            self.outputs[port.index()].lead(Way::Guest, is_bound, waits);
        }
    }

    /// Adds `frame` to the burst of `port`, where packets go straight: it is a port of this worker, and nothing bounds its
    /// traffic or waits for it. Most are such.
    #[inline(always)]
    pub fn gather(&mut self, port: PortId, frame: F) -> Gathered<F> {
        let Self { outputs, pending, .. } = self;
        let Some(output) = outputs.get_mut(port.index()).filter(|output| output.is_open()) else {
            return Gathered::Not(frame);
        };
        if output.push(frame) {
            pending.push(port);
        }
        if output.is_full() { Gathered::Full } else { Gathered::Simply }
    }

    /// Sends a frame of the switch's own by `port`, before all that waits.
    pub fn originate<S: Sink<F>>(&mut self, exit: &mut Exit<'_, S>, port: PortId, frame: F) {
        match self.outputs.get(port.index()) {
            Some(output) if output.has_room() => self.push(exit, port, frame),
            Some(output) if output.is_there() => lose(exit, port, Reason::TxFull, frame),
            _ => lose(exit, port, Reason::PortDown, frame),
        }
    }

    /// Sends what has gathered, and what waits and may leave now. To be called once a round.
    pub fn flush<S: Sink<F>>(&mut self, exit: &mut Exit<'_, S>) {
        self.flush_pending(exit);
        if self.guests.waiting() > 0 {
            self.release_to_guests(exit);
        }
        for place in 0..self.uplinks.len() {
            if self.uplinks[place].1.waiting() > 0 {
                self.release_to_fabric(exit, place);
            }
        }
        self.flush_pending(exit);
    }

    /// Lets go of `port`, which is no more: what can't be sent now is dropped by name.
    pub fn close<S: Sink<F>>(&mut self, exit: &mut Exit<'_, S>, port: PortId) {
        if self.outputs.get(port.index()).is_some_and(Output::is_there) {
            self.flush_port(exit, port);
            self.give_up(exit, port, Reason::PortDown);
            self.outputs[port.index()] = Output::default();
        }
    }

    /// Drops, by name, all that still waits and can't be sent now, for the switch stops.
    pub fn stop<S: Sink<F>>(&mut self, exit: &mut Exit<'_, S>) {
        self.flush_pending(exit);
        for port in (0..self.outputs.len()).map(|port| PortId(port as u16)) {
            self.give_up(exit, port, Reason::Stopping);
        }
        let outputs = &mut self.outputs;
        self.pending.retain(|port| !outputs[port.index()].unlist());
    }

    /// Packets that have not left yet.
    pub fn held(&self) -> u64 {
        let pending: usize = self.pending.iter().map(|port| self.outputs[port.index()].len()).sum();
        (pending + self.waiting()) as u64
    }

    /// Packets that wait for their turn.
    pub fn waiting(&self) -> usize {
        self.guests.waiting() + self.uplinks.iter().map(|(_, shaper)| shaper.waiting()).sum::<usize>()
    }

    /// When something that waits may leave, as far as that can be known; never, while ports do not take it.
    pub fn due(&self) -> Tick {
        self.uplinks.iter().map(|(_, shaper)| shaper.due()).fold(self.guests.due(), Tick::min)
    }

    /// Sends `frame` to the guest of `port`, where packets do not go straight, now or when it may.
    pub fn queue_to_guest<S: Sink<F>>(&mut self, exit: &mut Exit<'_, S>, port: PortId, tag: Tag, frame: F) {
        let (leaf, snapshot) = (port.index(), exit.snapshot);
        let output = self.outputs.get(leaf).filter(|output| output.is_there());
        let (Some(output), Some(guest)) = (output, snapshot.guest(port)) else {
            return lose(exit, port, Reason::PortDown, frame);
        };
        let cost = snapshot.qos.charge.of(frame.size(), 0);
        if !output.is_stalled() && self.guests.pass(leaf, cost, exit.now) {
            exit.counters.port(port).to_guest.passed.add(cost as usize);
            return self.push(exit, port, frame);
        }
        let class = guest.classes.of(tag.tos);
        if let Err(refused) = self.guests.enqueue(leaf, class, tag.colour, cost, frame, exit.now) {
            exit.counters.port(port).to_guest.dropped += 1;
            let Refused { item, why } = refused;
            lose(exit, port, reason(why, output.is_stalled()), item);
        }
    }

    /// Sends `frame`, encapsulated, by `port`, an uplink where packets do not go straight, now or when it may.
    pub fn queue_to_fabric<S: Sink<F>>(&mut self, exit: &mut Exit<'_, S>, port: PortId, tag: Tag, frame: F) {
        let Some(output) = self.outputs.get(port.index()) else {
            return lose(exit, port, Reason::PortDown, frame);
        };
        let Way::Uplink(place) = output.way() else {
            return lose(exit, port, Reason::PortDown, frame);
        };
        let (leaf, snapshot) = (tag.from.index(), exit.snapshot);
        let shaper = &mut self.uplinks[place].1;
        let Some(guest) = snapshot.guest(tag.from).filter(|_| leaf < shaper.leaves()) else {
            // Its guest has gone meanwhile.
            return self.originate(exit, port, frame);
        };
        let inner = frame.size().saturating_sub(template::LEN);
        let cost = snapshot.qos.charge.of(inner, template::LEN);
        if !output.is_stalled() && shaper.pass(leaf, cost, exit.now) {
            exit.counters.port(tag.from).to_fabric.passed.add(cost as usize);
            return self.push(exit, port, frame);
        }
        let class = guest.classes.of(tag.tos);
        if let Err(refused) = shaper.enqueue(leaf, class, tag.colour, cost, frame, exit.now) {
            exit.counters.port(tag.from).to_fabric.dropped += 1;
            let Refused { item, why } = refused;
            lose(exit, port, reason(why, output.is_stalled()), item);
        }
    }

    /// Adds a frame to the burst of a port that is there and has room.
    fn push<S: Sink<F>>(&mut self, exit: &mut Exit<'_, S>, port: PortId, frame: F) {
        let output = &mut self.outputs[port.index()];
        if output.push(frame) {
            self.pending.push(port);
        }
        if !output.has_room() {
            self.flush_port(exit, port);
        }
    }

    fn flush_pending<S: Sink<F>>(&mut self, exit: &mut Exit<'_, S>) {
        // Aside meanwhile: nothing is listed while ports are flushed.
        let mut pending = core::mem::take(&mut self.pending);
        pending.retain(|port| {
            self.flush_port(exit, *port);
            !self.outputs[port.index()].unlist()
        });
        self.pending = pending;
    }

    /// Sends what has gathered for a port. What it does not take stays first in line, and the port is stalled.
    pub fn flush_port<S: Sink<F>>(&mut self, exit: &mut Exit<'_, S>, port: PortId) {
        let output = &mut self.outputs[port.index()];
        let Some(sent) = output.send(port, exit.sink) else { return };
        exit.counters.port(port).tx += sent;
        let was_stalled = output.is_stalled();
        let stalls = output.len() > 0;
        if stalls && !exit.sink.is_connected(port) {
            self.give_up(exit, port, Reason::PortDown);
        } else if stalls != was_stalled {
            output.stall(stalls);
            match output.way() {
                Way::Guest if stalls => self.guests.stall(port.index()),
                Way::Guest => self.guests.resume(port.index()),
                Way::Uplink(_) | Way::Nowhere => {}
            }
            self.reopen(port);
        }
    }

    /// Drops all that is for a port, which then is no more stalled.
    fn give_up<S: Sink<F>>(&mut self, exit: &mut Exit<'_, S>, port: PortId, reason: Reason) {
        let output = &mut self.outputs[port.index()];
        for frame in output.take() {
            lose(exit, port, reason, frame);
        }
        output.stall(false);
        match output.way() {
            Way::Guest => {
                self.guests.resume(port.index());
                while let Some(frame) = self.guests.drain(port.index()) {
                    exit.counters.port(port).to_guest.dropped += 1;
                    lose(exit, port, reason, frame);
                }
            }
            Way::Uplink(place) => {
                let shaper = &mut self.uplinks[place].1;
                for from in 0..shaper.leaves() {
                    while let Some(frame) = shaper.drain(from) {
                        exit.counters.port(PortId(from as u16)).to_fabric.dropped += 1;
                        lose(exit, port, reason, frame);
                    }
                }
            }
            Way::Nowhere => {}
        }
        self.reopen(port);
    }

    /// Lets packets go straight again, if nothing waits any more.
    fn reopen(&mut self, port: PortId) {
        let output = &mut self.outputs[port.index()];
        let waits = match output.way() {
            Way::Guest => self.guests.waiting_of(port.index()) > 0,
            Way::Uplink(place) => self.uplinks[place].1.waiting() > 0,
            Way::Nowhere => false,
        };
        output.reopen(waits);
    }

    fn release_to_guests<S: Sink<F>>(&mut self, exit: &mut Exit<'_, S>) {
        self.guests.advance(exit.now);
        for _ in 0..RELEASED {
            let Some(left) = self.guests.dequeue(exit.now, |frame| tos::mark(frame.data_mut())) else {
                break;
            };
            let port = PortId(left.leaf as u16);
            count(&mut exit.counters.port(port).to_guest, &left);
            match left.fate {
                Fate::Dropped => lose(exit, port, Reason::Congested, left.item),
                Fate::Sent | Fate::Marked => self.push(exit, port, left.item),
            }
            self.reopen(port);
        }
    }

    fn release_to_fabric<S: Sink<F>>(&mut self, exit: &mut Exit<'_, S>, place: usize) {
        let port = self.uplinks[place].0;
        self.uplinks[place].1.advance(exit.now);
        for _ in 0..RELEASED {
            if self.outputs[port.index()].is_stalled() {
                break;
            }
            let shaper = &mut self.uplinks[place].1;
            let Some(left) = shaper.dequeue(exit.now, |frame| tos::mark(frame.data_mut())) else { break };
            count(&mut exit.counters.port(PortId(left.leaf as u16)).to_fabric, &left);
            match left.fate {
                Fate::Dropped => lose(exit, port, Reason::Congested, left.item),
                Fate::Sent | Fate::Marked => self.push(exit, port, left.item),
            }
        }
        self.reopen(port);
    }
}

/// What a share says of an uplink: the bounds of what a guest sends are kept where it is received from.
const fn unbound(share: &Share) -> Share {
    Share { ceil: 0, pps: 0, ..*share }
}

fn reason(why: Refusal, is_stalled: bool) -> Reason {
    match why {
        Refusal::Early => Reason::QueueEarly,
        Refusal::Full if is_stalled => Reason::TxFull,
        Refusal::Full => Reason::QueueFull,
    }
}

fn count<F>(shaped: &mut Shaped, left: &Left<F>) {
    if left.fate == Fate::Dropped {
        shaped.dropped += 1;
        return;
    }
    shaped.passed.add(left.cost as usize);
    shaped.waited += 1;
    shaped.waiting += left.waited;
    shaped.longest = shaped.longest.max(left.waited);
    shaped.marked += u64::from(left.fate == Fate::Marked);
}

fn lose<F: Frame, S: Sink<F>>(exit: &mut Exit<'_, S>, port: PortId, reason: Reason, frame: F) {
    account::lost(exit.snapshot, exit.counters, port, reason, &frame);
    exit.sink.eyes().lose(port, Direction::Out, reason, &frame);
    exit.sink.discard(frame);
}

#[cfg(test)]
mod tests;
