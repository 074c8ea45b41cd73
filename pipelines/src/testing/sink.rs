//! Buffers from a pool that can run dry, and a sink that keeps what leaves.

use core::cell::Cell;
use std::rc::Rc;

use crate::batch::Burst;
use crate::counters::Traffic;
use crate::flow::{End, Event, FlowRecord};
use crate::frame::{Frame, TestFrame};
use crate::ids::{PortId, WorkerId};
use crate::sink::{Handed, Sink};
use crate::witness::Eyes;

/// A pool of buffers. It knows how many are in use, so that a lost one is noticed.
#[derive(Clone, Debug, Default)]
pub struct Pool(Rc<Stock>);

#[derive(Debug, Default)]
struct Stock {
    used: Cell<usize>,
    /// How many more may be used.
    spare: Cell<Option<usize>>,
}

impl Pool {
    /// Buffers in use.
    pub fn used(&self) -> usize {
        self.0.used.get()
    }

    /// From now on lends no more than `spare` buffers for copies and new packets; `None` for any number.
    pub fn limit(&self, spare: Option<usize>) {
        self.0.spare.set(spare);
    }

    /// A buffer with `packet` after `headroom` bytes: one that a device has received, so the limit is not asked.
    pub fn receive(&self, packet: &[u8], headroom: usize) -> PoolFrame {
        self.lend(TestFrame::with_headroom(packet, headroom), true)
    }

    fn take(&self, frame: TestFrame) -> Option<PoolFrame> {
        let spare = &self.0.spare;
        match spare.get() {
            Some(0) => return None,
            Some(n) => spare.set(Some(n - 1)),
            None => {}
        }
        Some(self.lend(frame, true))
    }

    fn lend(&self, frame: TestFrame, linear: bool) -> PoolFrame {
        self.0.used.set(self.0.used.get() + 1);
        PoolFrame { frame, linear, pool: self.clone() }
    }
}

/// A frame whose buffer is of a [`Pool`].
#[derive(Debug)]
pub struct PoolFrame {
    frame: TestFrame,
    /// Whether it claims to lie in one buffer.
    pub linear: bool,
    pool: Pool,
}

impl Drop for PoolFrame {
    fn drop(&mut self) {
        self.pool.0.used.set(self.pool.0.used.get() - 1);
    }
}

impl Frame for PoolFrame {
    fn data(&self) -> &[u8] {
        self.frame.data()
    }

    fn data_mut(&mut self) -> &mut [u8] {
        self.frame.data_mut()
    }

    fn is_linear(&self) -> bool {
        self.linear
    }

    fn prepend(&mut self, n: usize) -> bool {
        self.frame.prepend(n)
    }

    fn trim_front(&mut self, n: usize) -> bool {
        self.frame.trim_front(n)
    }

    fn truncate(&mut self, len: usize) {
        self.frame.truncate(len);
    }

    fn duplicate(&self) -> Option<Self> {
        self.pool.take(self.frame.clone())
    }
}

/// Keeps what leaves, in order.
#[derive(Debug)]
pub struct TestSink {
    /// What was sent, by which port.
    pub sent: Vec<(PortId, PoolFrame)>,
    /// What was handed over, to which worker.
    pub handed: Vec<(WorkerId, Handed<PoolFrame>)>,
    /// How many packets came back as accounted for.
    pub discarded: u64,
    /// Ports that take only so many more frames.
    pub room: Vec<(PortId, usize)>,
    /// Ports at whose other end is nobody.
    pub unplugged: Vec<PortId>,
    /// Who looks.
    pub eyes: Eyes<PoolFrame>,
    /// What was told of flows.
    pub flows: Vec<FlowRecord>,
    /// What those had counted that are over.
    pub ended: Traffic,
    pool: Pool,
}

impl TestSink {
    /// A sink whose buffers are of `pool`.
    pub fn new(pool: &Pool) -> Self {
        Self {
            sent: Vec::new(),
            handed: Vec::new(),
            discarded: 0,
            room: Vec::new(),
            unplugged: Vec::new(),
            eyes: Eyes::default(),
            flows: Vec::new(),
            ended: Traffic::default(),
            pool: pool.clone(),
        }
    }
}

impl Sink<PoolFrame> for TestSink {
    fn send(&mut self, port: PortId, burst: &mut Burst<PoolFrame>) {
        let room = self.room.iter_mut().find(|(of, _)| *of == port).map(|(_, room)| room);
        let taken = room.as_ref().map_or(usize::MAX, |room| **room).min(burst.len());
        if let Some(room) = room {
            *room -= taken;
        }
        self.sent.extend(burst.drain(..taken).map(|frame| (port, frame)));
    }

    fn eyes(&mut self) -> &mut Eyes<PoolFrame> {
        &mut self.eyes
    }

    fn flow(&mut self, record: &FlowRecord) {
        self.flows.push(*record);
        if matches!(record.event, Event::Ended(end) if end != End::Denied) {
            record.traffic.iter().for_each(|traffic| self.ended += *traffic);
        }
    }

    fn is_connected(&self, port: PortId) -> bool {
        !self.unplugged.contains(&port)
    }

    fn hand_over(&mut self, worker: WorkerId, handed: Handed<PoolFrame>) {
        if self.eyes.are_open() {
            self.eyes.hand(worker, handed.frame());
        }
        self.handed.push((worker, handed));
    }

    fn allocate(&mut self) -> Option<PoolFrame> {
        self.pool.take(TestFrame::new(&[]))
    }

    fn discard(&mut self, _: PoolFrame) {
        self.discarded += 1;
    }
}
