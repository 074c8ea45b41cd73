//! What the ways work with.

use crate::batch::Batch;
use crate::counters::Counters;
use crate::egress::{Egress, Exit, Gathered};
use crate::flow::Sessions;
use crate::frame::Frame;
use crate::ids::{PortId, Tick, WorkerId};
use crate::overlay::Neighbors;
use crate::qos::{Meters, Tag};
use crate::sink::Sink;
use crate::snapshot::Snapshot;

/// All that a way reads and writes beside the packets.
#[derive(Debug)]
pub struct Context<'a, F, S> {
    /// The configuration.
    pub snapshot: &'a Snapshot,
    /// What is counted.
    pub counters: &'a mut Counters,
    /// The underlay's neighbours.
    pub neighbors: &'a mut Neighbors<(Tag, F)>,
    /// What guests may send.
    pub meters: &'a mut Meters,
    /// Where packets leave.
    pub egress: &'a mut Egress<F>,
    /// What is known of flows.
    pub sessions: &'a mut Sessions,
    /// What is beyond: the ports' queues, other workers.
    pub sink: &'a mut S,
    /// Who we are.
    pub worker: WorkerId,
    /// When this is.
    pub now: Tick,
}

impl<F: Frame, S: Sink<F>> Context<'_, F, S> {
    /// Shows `batch` after `stage` to whoever looks.
    #[inline]
    pub fn see(&mut self, stage: &'static str, batch: &Batch<F>) {
        if self.sink.eyes().are_open() {
            self.show(stage, batch);
        }
    }

    #[cold]
    #[inline(never)]
    fn show(&mut self, stage: &'static str, batch: &Batch<F>) {
        self.sink.eyes().see(stage, batch, self.sessions);
    }

    /// Adds `frame` to the burst of `port`. Gives it back if packets do not go straight there, as they do by most ports of
    /// this worker.
    #[inline]
    pub fn gather(&mut self, port: PortId, frame: F) -> Option<F> {
        match self.egress.gather(port, frame) {
            Gathered::Simply => None,
            Gathered::Full => {
                self.flush_port(port);
                None
            }
            Gathered::Not(frame) => Some(frame),
        }
    }

    #[inline(never)]
    fn flush_port(&mut self, port: PortId) {
        let (egress, mut exit) = self.exit();
        egress.flush_port(&mut exit, port);
    }

    /// Sends `frame`, which could not be [gathered](Self::gather), to the guest of `port`, which this worker owns, now or
    /// when it may.
    #[inline(never)]
    pub fn queue_to_guest(&mut self, port: PortId, tag: Tag, frame: F) {
        let (egress, mut exit) = self.exit();
        egress.queue_to_guest(&mut exit, port, tag, frame);
    }

    /// Sends `frame`, encapsulated, which could not be [gathered](Self::gather), by `port`, an uplink that this worker owns,
    /// now or when it may.
    #[inline(never)]
    pub fn queue_to_fabric(&mut self, port: PortId, tag: Tag, frame: F) {
        let (egress, mut exit) = self.exit();
        egress.queue_to_fabric(&mut exit, port, tag, frame);
    }

    /// Sends a frame of the switch's own by `port`, which this worker owns.
    pub fn originate(&mut self, port: PortId, frame: F) {
        let (egress, mut exit) = self.exit();
        egress.originate(&mut exit, port, frame);
    }

    fn exit(&mut self) -> (&mut Egress<F>, Exit<'_, S>) {
        let Self { snapshot, counters, egress, sink, now, .. } = self;
        (egress, Exit { snapshot, counters, sink: *sink, now: *now })
    }
}
