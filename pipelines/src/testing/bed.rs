//! A host of a [`Lab`] under test: its workers' planes, a clock, and the books that must balance.

use core::time::Duration;

use super::lab::Lab;
use super::sink::{Pool, PoolFrame, TestSink};
use crate::batch::BURST;
use crate::counters::{Counters, Sizes};
use crate::flow::{Secret, Sessions, Slot};
use crate::frame::{Frame, TestFrame};
use crate::ids::{PortId, Tick, WorkerId};
use crate::plane::Plane;
use crate::service::Service;
use crate::sink::Handed;
use crate::snapshot::Snapshot;
use crate::verdict::Reason;

/// A host under test. After each thing that it is made to do the books are checked.
#[derive(Debug)]
pub struct Bed {
    /// Its configuration.
    pub snapshot: Snapshot,
    /// One for each worker.
    pub planes: Vec<Plane<PoolFrame>>,
    /// Where its buffers come from.
    pub pool: Pool,
    /// Bytes before each received packet.
    pub headroom: usize,
    /// Whether received packets lie in one buffer.
    pub linear: bool,
    now: Tick,
    /// By worker.
    pub sinks: Vec<TestSink>,
    /// Handed over so far.
    handed: u64,
}

/// What left, in order: the port and the packet's bytes.
pub type Sent = Vec<(PortId, Vec<u8>)>;

impl Bed {
    /// Host `index` of `lab`.
    pub fn new(lab: &Lab, index: usize) -> Self {
        let (snapshot, pool) = (lab.snapshot(index), Pool::default());
        let workers = 0..lab.workers;
        Self {
            planes: workers
                .clone()
                .map(|n| Plane::new(WorkerId(n), &snapshot, &Secret::from_seed(u64::from(n))))
                .collect(),
            sinks: workers.map(|_| TestSink::new(&pool)).collect(),
            handed: 0,
            now: Tick(0),
            headroom: TestFrame::HEADROOM,
            linear: true,
            snapshot,
            pool,
        }
    }

    /// Lets `port` receive `frames`, in bursts. Returns what was sent.
    pub fn receive<P: AsRef<[u8]>>(&mut self, port: PortId, frames: &[P]) -> Sent {
        let mut sent = Vec::new();
        for frames in frames.chunks(BURST) {
            let owner = self.snapshot.port(port).worker.index();
            let (pool, headroom, linear, now) = (&self.pool, self.headroom, self.linear, self.now);
            let taken = self.planes[owner].from_port(&self.snapshot, port, &mut self.sinks[owner], |burst| {
                burst.extend(frames.iter().map(|frame| {
                    let mut frame = pool.receive(frame.as_ref(), headroom);
                    frame.linear = linear;
                    frame
                }));
                now
            });
            assert_eq!(taken, frames.len());
            sent.extend(self.settle());
        }
        sent
    }

    /// Lets `port` receive one frame. Returns what was sent, or why it was dropped if it was.
    pub fn receive_one(&mut self, port: PortId, frame: &[u8]) -> Result<Sent, Reason> {
        let before = self.counters();
        let sent = self.receive(port, &[frame]);
        let after = self.counters();
        let drops = |counters: &Counters, reason| -> u64 {
            counters.ports.iter().map(|port| port.drops.count(reason)).sum()
        };
        let dropped = Reason::ALL.iter().find(|reason| drops(&before, **reason) < drops(&after, **reason));
        dropped.map_or(Ok(sent), |reason| Err(*reason))
    }

    /// Lets time pass, with what is due then. Returns what was sent.
    pub fn wait(&mut self, time: Duration) -> Sent {
        self.now = self.now + time;
        for (plane, sink) in self.planes.iter_mut().zip(&mut self.sinks) {
            plane.tick(&self.snapshot, self.now, sink);
        }
        self.settle()
    }

    /// Takes up another configuration.
    pub fn adopt(&mut self, snapshot: Snapshot) {
        for (plane, sink) in self.planes.iter_mut().zip(&mut self.sinks) {
            plane.adopt(&self.snapshot, &snapshot, self.now, sink);
        }
        self.snapshot = snapshot;
    }

    /// The place of the only session over IPv4 that the first worker has.
    pub fn only_session(&mut self) -> Slot {
        let (mut found, mut cursor) = (Vec::new(), 0);
        let table = &mut self.planes[0].sessions.v4;
        while !table.visit(&mut cursor, 1000, |slot, _, _| {
            found.push(slot);
            true
        }) {}
        assert_eq!(found.len(), 1);
        found[0]
    }

    /// Stops the switch.
    pub fn stop(&mut self) -> Sent {
        for (plane, sink) in self.planes.iter_mut().zip(&mut self.sinks) {
            plane.stop(&self.snapshot, self.now, sink);
        }
        self.settle()
    }

    /// What all workers counted, but by pair of groups: see [`service`](Self::service).
    pub fn counters(&self) -> Counters {
        let mut all = Counters::new(Sizes { pairs: 0, ..self.snapshot.sizes() });
        self.planes.iter().for_each(|plane| all.merge(&plane.counters));
        all
    }

    /// What all workers counted by pair of groups.
    pub fn service(&self) -> Service {
        let mut all = Service::new(self.snapshot.sizes().pairs);
        self.planes.iter().for_each(|plane| all.merge(&plane.counters.service));
        all
    }

    /// Packets of `port` that were dropped for `reason`.
    pub fn drops(&self, port: PortId, reason: Reason) -> u64 {
        self.counters().ports[port.index()].drops.count(reason)
    }

    /// Packets that wait: for a neighbour, or for their turn to leave.
    pub fn held(&self) -> u64 {
        self.planes.iter().map(Plane::held).sum()
    }

    /// How many packets went from one worker to another.
    pub fn handed_over(&self) -> u64 {
        self.handed
    }

    /// Brings handed packets where they go, takes what was sent and checks the books.
    fn settle(&mut self) -> Sent {
        let mut sent = Vec::new();
        loop {
            let mut rings = Vec::new();
            for (n, (plane, sink)) in self.planes.iter_mut().zip(&mut self.sinks).enumerate() {
                plane.flush(&self.snapshot, self.now, sink);
                for (port, frame) in sink.sent.drain(..) {
                    assert_eq!(
                        self.snapshot.port(port).worker.index(),
                        n,
                        "sent by a port of another worker"
                    );
                    sent.push((port, frame.data().to_vec()));
                }
                rings.append(&mut sink.handed);
            }
            if rings.is_empty() {
                break;
            }
            for (worker, handed) in rings {
                self.handed += 1;
                self.take_over(worker.index(), handed);
            }
        }
        self.assert_conserved();
        self.assert_flows();
        sent
    }

    fn take_over(&mut self, worker: usize, handed: Handed<PoolFrame>) {
        self.planes[worker].from_worker(&self.snapshot, [handed], self.now, &mut self.sinks[worker]);
        assert!(self.sinks[worker].handed.is_empty(), "handed over twice");
    }

    /// What passed as part of flows is what the flows have counted: those that are over, as was told of them, and those that go
    /// on. To look at many takes long, so that is left out.
    fn assert_flows(&mut self) {
        const MANY: usize = 200;
        for (plane, sink) in self.planes.iter_mut().zip(&self.sinks) {
            let Sessions { v4, v6, .. } = &mut plane.sessions;
            if v4.len() + v6.len() > MANY {
                continue;
            }
            let mut all = sink.ended;
            v4.visit(&mut 0, usize::MAX, |_, session, _| {
                session.traffic.iter().for_each(|traffic| all += *traffic);
                true
            });
            v6.visit(&mut 0, usize::MAX, |_, session, _| {
                session.traffic.iter().for_each(|traffic| all += *traffic);
                true
            });
            assert_eq!(plane.counters.in_flows, all, "{:#?}", sink.flows);
        }
    }

    /// Every packet is accounted for and every buffer is where it should be.
    fn assert_conserved(&self) {
        let counters = self.counters();
        let sum = |of: fn(&crate::counters::PortCounters) -> u64| counters.ports.iter().map(of).sum::<u64>();
        let (rx, tx, drops) =
            (sum(|port| port.rx.packets), sum(|port| port.tx.packets), sum(|port| port.drops.total()));
        let came = rx + counters.replicated + counters.originated;
        let went = tx + drops + counters.consumed + self.held();
        assert_eq!(came, went, "came and went: {counters:#?}");
        assert_eq!(self.pool.used() as u64, self.held(), "buffers in use that nothing holds");
        let of_tenants: u64 = counters.tenants.iter().map(|tenant| tenant.drops.total()).sum();
        assert!(of_tenants <= drops);
        // Each buffer that came back is of a packet dropped or consumed; a copy never made had none.
        let discarded: u64 = self.sinks.iter().map(|sink| sink.discarded).sum();
        let no_copy: u64 = counters.ports.iter().map(|port| port.drops.count(Reason::PoolEmpty)).sum();
        assert_eq!(discarded, drops + counters.consumed - no_copy, "{counters:#?}");
    }
}
