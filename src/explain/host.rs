//! One host's switch, with somebody who looks at what its stages do.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use weft_pipelines::flow::{Secret, Sessions};
use weft_pipelines::{
    Batch, Burst, Epoch, Eyes, Frame, Handed, Plane, PortId, Reason, Sink, Snapshot, TestFrame, Tick,
    Witness, WorkerId,
};

use super::glimpse::Glimpse;
use crate::config::checked::{Fabric, HostIndex};
use crate::control::compile::{Compiled, TooMany, compile};
use crate::replay::{Assumed, uplink_mac};

/// Sessions that there is room for: an explanation has one.
const SESSIONS: u32 = 64;
/// When it all happens; 0 would stand for never.
const NOW: Tick = Tick(Duration::from_secs(1).as_nanos() as u64);

/// A host's switch.
pub struct Switch {
    /// What it was made of the document.
    pub compiled: Compiled,
    snapshot: Arc<Snapshot>,
    plane: Plane<TestFrame>,
    leaving: Leaving,
    seen: Receiver<Glimpse>,
}

/// What became of a packet that the switch received.
#[derive(Debug, Default)]
pub struct Passage {
    /// What the stages made of it, in their order.
    pub glimpses: Vec<Glimpse>,
    /// What left, by which port.
    pub sent: Vec<(PortId, Vec<u8>)>,
    /// Why it, or a copy of it, was dropped.
    pub dropped: Vec<Reason>,
}

impl Switch {
    /// The switch of `host`, with one worker, and neighbours that answered before.
    pub fn new(fabric: &Fabric, host: HostIndex) -> Result<Self, TooMany> {
        let described = &fabric.hosts[host.0];
        let macs: Vec<_> = described.uplinks.iter().map(|uplink| uplink_mac(described, uplink)).collect();
        let compiled = compile(fabric, host, &macs, 1, Epoch(1), None)?;
        let mut snapshot = Snapshot::clone(&compiled.snapshot);
        snapshot.sessions.capacity = SESSIONS;
        let mut plane = Plane::new(WorkerId(0), &snapshot, &Secret::from_seed(0));
        Assumed::default().keep(&mut plane, &snapshot, NOW);
        let (eye, seen) = channel();
        let mut leaving = Leaving::default();
        // The first of those who may look.
        let _ = leaving.eyes.open(0, Box::new(Eye(eye)));
        Ok(Self { compiled, snapshot: Arc::new(snapshot), plane, leaving, seen })
    }

    /// What the stages read.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Takes `frame` from `port` all the way.
    pub fn receive(&mut self, port: PortId, frame: &[u8]) -> Passage {
        let before = self.drops();
        let frame = TestFrame::new(frame);
        self.plane.from_port(&self.snapshot, port, &mut self.leaving, |burst| {
            burst.push(frame);
            NOW
        });
        self.plane.flush(&self.snapshot, NOW, &mut self.leaving);
        let glimpses: Vec<Glimpse> = self.seen.try_iter().collect();
        let drops = Reason::ALL.iter().zip(before).zip(self.drops());
        let dropped = drops.filter(|((_, before), after)| after > before).map(|((reason, _), _)| *reason);
        Passage { glimpses, sent: std::mem::take(&mut self.leaving.sent), dropped: dropped.collect() }
    }

    /// By reason: what was dropped at all ports.
    fn drops(&self) -> Vec<u64> {
        let ports = &self.plane.counters.ports;
        Reason::ALL.iter().map(|reason| ports.iter().map(|port| port.drops.count(*reason)).sum()).collect()
    }
}

/// Tells of every packet that it sees.
struct Eye(Sender<Glimpse>);

impl<F: Frame> Witness<F> for Eye {
    fn saw(&mut self, stage: &'static str, batch: &Batch<F>, sessions: &Sessions) {
        for i in 0..batch.len() {
            // Nobody listens any more: nothing is left to be explained.
            let _ = self.0.send(Glimpse::of(stage, (batch, i), sessions));
        }
    }
}

/// Keeps what leaves.
#[derive(Debug, Default)]
struct Leaving {
    sent: Vec<(PortId, Vec<u8>)>,
    eyes: Eyes<TestFrame>,
}

impl Sink<TestFrame> for Leaving {
    fn send(&mut self, port: PortId, burst: &mut Burst<TestFrame>) {
        self.sent.extend(burst.drain(..).map(|frame| (port, frame.data().to_vec())));
    }

    fn hand_over(&mut self, worker: WorkerId, _: Handed<TestFrame>) {
        debug_assert!(false, "there is one worker, and no {worker:?}");
    }

    fn eyes(&mut self) -> &mut Eyes<TestFrame> {
        &mut self.eyes
    }

    fn allocate(&mut self) -> Option<TestFrame> {
        Some(TestFrame::new(&[]))
    }
}
