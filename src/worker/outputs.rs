//! What is beyond a worker's packet logic: its own ports' send queues, and the rings to other workers.

use std::sync::Arc;

use arrayvec::ArrayVec;
use rtrb::{Consumer, Producer, RingBuffer};
use weft_pipelines::counters::Sizes;
use weft_pipelines::flow::FlowRecord;
use weft_pipelines::sink::Decided;
use weft_pipelines::snapshot::{self, PortKind};
use weft_pipelines::stages::account;
use weft_pipelines::{
    BURST, Burst, Counters, Direction, Eyes, Frame, Handed, PortId, Reason, Sink, Snapshot, Tick, WorkerId,
};

use super::export::Export;
use super::log::Log;
use super::mail::Work;
use super::port::{Pool, Transmit};

/// Packets that fit a ring between two workers.
pub const RING: usize = 1024;

/// The sending ends of the rings to the other workers, by worker; `None` for itself.
pub type Outgoing<F> = Vec<Option<Producer<Handed<F>>>>;

/// The receiving ends of the rings from the other workers.
pub type Incoming<F> = Vec<Consumer<Handed<F>>>;

/// Rings between each two of `workers`: for each worker its ends.
pub fn rings<F>(workers: usize) -> Vec<(Outgoing<F>, Incoming<F>)> {
    let mut ends: Vec<(Vec<_>, Vec<_>)> = (0..workers).map(|_| (Vec::new(), Vec::new())).collect();
    for from in 0..workers {
        for to in 0..workers {
            if from == to {
                ends[from].0.push(None);
                continue;
            }
            let (producer, consumer) = RingBuffer::new(RING);
            ends[from].0.push(Some(producer));
            ends[to].1.push(consumer);
        }
    }
    ends
}

/// A worker's sink.
pub struct Outputs<F> {
    /// By port; `None` where another worker owns it.
    ports: Vec<Option<Box<dyn Transmit<F>>>>,
    /// By worker; `None` for itself.
    rings: Vec<Option<Ring<F>>>,
    /// The configuration: whose ports they are.
    snapshot: Arc<Snapshot>,
    pool: Box<dyn Pool<F>>,
    trash: Burst<F>,
    /// What was dropped on the way to other workers.
    pub counters: Counters,
    /// Packets given to other workers.
    pub handed_over: u64,
    /// What policy decided.
    pub log: Log,
    /// Who looks at packets.
    pub eyes: Eyes<F>,
    /// What others may read of it.
    pub export: Option<Export>,
}

struct Ring<F> {
    producer: Producer<Handed<F>>,
    pending: ArrayVec<Handed<F>, BURST>,
}

impl<F: Frame> Outputs<F> {
    /// The sink of a worker that owns the ports with a `Some`, and reaches others through `rings`.
    pub fn new(
        snapshot: Arc<Snapshot>,
        queues: Vec<Option<Box<dyn Transmit<F>>>>,
        rings: Outgoing<F>,
        pool: Box<dyn Pool<F>>,
    ) -> Self {
        let ring = |producer| Ring { producer, pending: ArrayVec::new() };
        Self {
            counters: Counters::new(Sizes { tunnels: 0, rules: 0, pairs: 0, ..snapshot.sizes() }),
            ports: queues,
            rings: rings.into_iter().map(|producer| producer.map(ring)).collect(),
            snapshot,
            pool,
            trash: Burst::new(),
            handed_over: 0,
            log: Log::default(),
            eyes: Eyes::default(),
            export: None,
        }
    }

    /// Makes room to count so many of each: others may soon hand over what goes to them.
    pub fn prepare(&mut self, sizes: Sizes) {
        self.counters.grow(Sizes { tunnels: 0, rules: 0, pairs: 0, ..sizes });
    }

    /// Takes the send queue of a new port.
    pub fn open(&mut self, port: PortId, queue: Box<dyn Transmit<F>>) {
        if self.ports.len() <= port.index() {
            self.ports.resize_with(port.index() + 1, || None);
        }
        self.ports[port.index()] = Some(queue);
    }

    /// Gives the send queue of a port back, if it has it.
    pub fn close(&mut self, port: PortId) -> Option<Box<dyn Transmit<F>>> {
        self.ports.get_mut(port.index())?.take()
    }

    /// Takes up another configuration.
    pub fn publish(&mut self, snapshot: Arc<Snapshot>) {
        self.prepare(snapshot.sizes());
        self.snapshot = snapshot;
    }

    /// Takes how long a burst was in the switch, in nanoseconds.
    pub fn latency(&mut self, nanos: u64) {
        if let Some(export) = &mut self.export {
            export.latency(nanos);
        }
    }

    /// Lets others read what is counted, `counters` and what is counted here, as far as it is due.
    #[inline]
    pub fn export(&mut self, counters: &Counters, work: impl FnOnce(&Self) -> Work, now: Tick) {
        if self.export.as_ref().is_some_and(|export| export.is_due(now)) {
            let work = work(self);
            if let Some(export) = &mut self.export {
                export.publish([counters, &self.counters], &work, now);
            }
        }
    }

    /// Hands over all that is pending: what there is no room for is dropped and counted.
    pub fn flush(&mut self) {
        for worker in 0..self.rings.len() {
            self.flush_ring(worker);
        }
        if !self.trash.is_empty() {
            self.pool.recycle(&mut self.trash);
        }
    }

    /// Drops a packet that was, or was to be, handed over.
    pub fn abandon(&mut self, handed: Handed<F>, reason: Reason) {
        let (port, frame) = match handed {
            Handed::Deliver(port, _, frame) => (port, frame),
            Handed::IntoTunnel(tunnel, _, frame) => {
                let known = self.snapshot.tunnels.get(tunnel.index());
                let uplink = known.map(|tunnel| self.snapshot.hop(tunnel.hop).uplink);
                // Of a tunnel that only another worker knows yet any uplink is as good.
                (uplink.unwrap_or_else(|| self.an_uplink()), frame)
            }
        };
        // The port may be another worker's; what is counted here of it is this worker's own.
        account::lost(&self.snapshot, &mut self.counters, port, reason, &frame);
        self.eyes.lose(port, Direction::Out, reason, &frame);
        self.discard(frame);
    }

    fn an_uplink(&self) -> PortId {
        let is_uplink = |port: &snapshot::Port| matches!(port.kind, PortKind::Uplink(_));
        PortId(self.snapshot.ports.iter().position(is_uplink).unwrap_or_default() as u16)
    }

    fn flush_ring(&mut self, worker: usize) {
        let Some(Some(ring)) = self.rings.get_mut(worker) else { return };
        if ring.pending.is_empty() {
            return;
        }
        let room = ring.producer.slots().min(ring.pending.len());
        if self.eyes.are_open() {
            // Those that fit, before the other worker can have them.
            let fit = ring.pending.iter().take(room);
            fit.for_each(|handed| self.eyes.hand(WorkerId(worker as u16), handed.frame()));
        }
        if let Ok(chunk) = ring.producer.write_chunk_uninit(room) {
            self.handed_over += chunk.fill_from_iter(ring.pending.drain(..room)) as u64;
        }
        for refused in core::mem::take(&mut ring.pending) {
            self.abandon(refused, Reason::HandOverFull);
        }
    }
}

impl<F: Frame> Sink<F> for Outputs<F> {
    fn send(&mut self, port: PortId, burst: &mut Burst<F>) {
        if let Some(Some(queue)) = self.ports.get_mut(port.index()) {
            queue.transmit(burst);
        }
    }

    fn is_connected(&self, port: PortId) -> bool {
        matches!(self.ports.get(port.index()), Some(Some(queue)) if queue.is_connected())
    }

    fn hand_over(&mut self, worker: WorkerId, handed: Handed<F>) {
        let Some(Some(ring)) = self.rings.get_mut(worker.index()) else {
            debug_assert!(false, "{worker:?} is this worker or none");
            return self.abandon(handed, Reason::Stopping);
        };
        ring.pending.push(handed);
        if ring.pending.is_full() {
            self.flush_ring(worker.index());
        }
    }

    fn eyes(&mut self) -> &mut Eyes<F> {
        &mut self.eyes
    }

    fn flow(&mut self, record: &FlowRecord) {
        if let Some(export) = &mut self.export {
            export.flow(record);
        }
    }

    fn decided(&mut self, decided: &Decided, log: bool) {
        if log {
            self.log.tell(decided);
        }
    }

    fn allocate(&mut self) -> Option<F> {
        self.pool.allocate()
    }

    fn discard(&mut self, frame: F) {
        self.trash.push(frame);
        if self.trash.is_full() {
            self.pool.recycle(&mut self.trash);
        }
    }
}
