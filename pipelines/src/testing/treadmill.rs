//! A worker that goes round and round with the same frames and never allocates: for benches.

use core::time::Duration;
use std::collections::VecDeque;

use super::lab::Lab;
use crate::batch::{BURST, Burst};
use crate::flow::{FlowRecord, Secret, Sessions, Settings};
use crate::frame::Frame;
use crate::ids::{PortId, Tick, WorkerId};
use crate::plane::Plane;
use crate::sink::{Handed, Sink};
use crate::snapshot::Snapshot;
use crate::witness::{Eyes, Witness};

/// Bytes of a buffer: as many as DPDK's default data room.
const BUFFER: usize = 2048;
/// Bytes before the packet (`RTE_PKTMBUF_HEADROOM`).
const HEADROOM: u16 = 128;

/// A frame in a buffer of fixed size, which can go back to where it began.
///
/// The stages move its ends and write before its first byte, so that what it first held is still there.
#[derive(Debug)]
pub struct FixedFrame(Box<Buffer>);

/// As an mbuf is: what is known of the packet, then its room.
#[derive(Debug)]
struct Buffer {
    start: u16,
    end: u16,
    first_end: u16,
    /// Where it comes back to.
    belt: u8,
    room: [u8; BUFFER],
}

impl FixedFrame {
    /// A frame with a copy of `packet`, which must fit.
    pub fn new(packet: &[u8]) -> Self {
        let mut room = [0; BUFFER];
        let end = usize::from(HEADROOM) + packet.len();
        room[usize::from(HEADROOM)..end].copy_from_slice(packet);
        Self(Box::new(Buffer { start: HEADROOM, end: end as u16, first_end: end as u16, belt: 0, room }))
    }

    /// Makes it what it was when it was new.
    fn rewind(&mut self) {
        (self.0.start, self.0.end) = (HEADROOM, self.0.first_end);
    }
}

impl Frame for FixedFrame {
    fn data(&self) -> &[u8] {
        &self.0.room[usize::from(self.0.start)..usize::from(self.0.end)]
    }

    fn size(&self) -> usize {
        usize::from(self.0.end - self.0.start)
    }

    fn data_mut(&mut self) -> &mut [u8] {
        &mut self.0.room[usize::from(self.0.start)..usize::from(self.0.end)]
    }

    fn is_linear(&self) -> bool {
        true
    }

    fn prepend(&mut self, n: usize) -> bool {
        let fits = n <= usize::from(self.0.start);
        if fits {
            self.0.start -= n as u16;
        }
        fits
    }

    fn trim_front(&mut self, n: usize) -> bool {
        let fits = n <= usize::from(self.0.end - self.0.start);
        if fits {
            self.0.start += n as u16;
        }
        fits
    }

    fn truncate(&mut self, len: usize) {
        if len < usize::from(self.0.end - self.0.start) {
            self.0.end = self.0.start + len as u16;
        }
    }

    fn duplicate(&self) -> Option<Self> {
        None
    }
}

/// Frames that come back as they were, in the order they left.
#[derive(Debug, Default)]
pub struct Belt {
    frames: VecDeque<FixedFrame>,
    /// How many were sent.
    pub sent: u64,
}

impl Belt {
    /// A belt with frames of these packets.
    pub fn new<P: AsRef<[u8]>>(packets: &[P]) -> Self {
        Self::numbered(packets, 0)
    }

    fn numbered<P: AsRef<[u8]>>(packets: &[P], belt: usize) -> Self {
        let frame = |packet: &P| {
            let mut frame = FixedFrame::new(packet.as_ref());
            frame.0.belt = belt as u8;
            frame
        };
        Self { frames: packets.iter().map(frame).collect(), sent: 0 }
    }

    /// Fills the empty `burst`.
    pub fn fill(&mut self, burst: &mut Burst<FixedFrame>) {
        self.fill_with(BURST, burst);
    }

    fn fill_with(&mut self, most: usize, burst: &mut Burst<FixedFrame>) {
        let some = self.frames.len().min(BURST).min(most);
        burst.extend(self.frames.drain(..some));
    }

    /// Takes `frame` back.
    pub fn put_back(&mut self, mut frame: FixedFrame) {
        frame.rewind();
        self.frames.push_back(frame);
    }
}

/// Several belts: a frame comes back to its own.
#[derive(Debug, Default)]
struct Belts {
    belts: Vec<Belt>,
    /// Ports that take nothing.
    stuck: Vec<PortId>,
    told: Option<Told>,
    eyes: Eyes<FixedFrame>,
}

/// Who is told of flows.
struct Told(Box<dyn FnMut(&FlowRecord)>);

impl core::fmt::Debug for Told {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Told")
    }
}

impl Belts {
    fn of(&mut self, frame: &FixedFrame) -> &mut Belt {
        &mut self.belts[usize::from(frame.0.belt)]
    }
}

impl Sink<FixedFrame> for Belts {
    fn send(&mut self, port: PortId, burst: &mut Burst<FixedFrame>) {
        if self.stuck.contains(&port) {
            return;
        }
        for frame in burst.drain(..) {
            let belt = self.of(&frame);
            belt.sent += 1;
            belt.put_back(frame);
        }
    }

    fn eyes(&mut self) -> &mut Eyes<FixedFrame> {
        &mut self.eyes
    }

    fn flow(&mut self, record: &FlowRecord) {
        if let Some(Told(told)) = &mut self.told {
            told(record);
        }
    }

    fn hand_over(&mut self, _: WorkerId, handed: Handed<FixedFrame>) {
        match handed {
            Handed::Deliver(.., frame) | Handed::IntoTunnel(.., frame) => self.discard(frame),
        }
    }

    fn allocate(&mut self) -> Option<FixedFrame> {
        None
    }

    fn discard(&mut self, frame: FixedFrame) {
        self.of(&frame).put_back(frame);
    }
}

/// A host of a lab whose ports receive the same packets over and over.
#[derive(Debug)]
pub struct Treadmill {
    /// What it has counted.
    pub plane: Plane<FixedFrame>,
    snapshot: Snapshot,
    /// By belt.
    ports: Vec<PortId>,
    belts: Belts,
    now: Tick,
}

impl Treadmill {
    /// Shows packets to `witness` from now on.
    ///
    /// # Panics
    ///
    /// When as many look as may.
    pub fn watch(&mut self, witness: Box<dyn Witness<FixedFrame>>) {
        assert!(self.belts.eyes.open(0, witness).is_ok(), "as many look as may");
    }

    /// Host `index` of the default lab, whose `port` receives `packets`.
    pub fn new<P: AsRef<[u8]>>(index: usize, port: PortId, packets: &[P]) -> Self {
        let mut treadmill = Self::of(&Lab::default(), index);
        treadmill.receive(port, packets);
        treadmill
    }

    /// Host `index` of `lab`, whose ports do not receive anything yet.
    pub fn of(lab: &Lab, index: usize) -> Self {
        Self::keeping(lab, index, Sessions::new)
    }

    /// The same, with its sessions in the tables that `make` makes.
    pub fn keeping(lab: &Lab, index: usize, make: impl FnOnce(&Settings, &Secret) -> Sessions) -> Self {
        let snapshot = lab.snapshot(index);
        let sessions = make(&snapshot.sessions, &Secret::from_seed(1));
        let plane = Plane::with(WorkerId(0), &snapshot, sessions);
        Self { plane, snapshot, ports: Vec::new(), belts: Belts::default(), now: Tick(1) }
    }

    /// Lets `port` receive `packets` from now on. Returns the number of its belt.
    pub fn receive<P: AsRef<[u8]>>(&mut self, port: PortId, packets: &[P]) -> usize {
        let belt = self.ports.len();
        self.ports.push(port);
        self.belts.belts.push(Belt::numbered(packets, belt));
        belt
    }

    /// Lets `port` take nothing from now on: its guest does not empty its ring.
    pub fn stick(&mut self, port: PortId) {
        self.belts.stuck.push(port);
    }

    /// Tells `told` of flows from now on.
    pub fn tell(&mut self, told: impl FnMut(&FlowRecord) + 'static) {
        self.belts.told = Some(Told(Box::new(told)));
    }

    /// What time it is.
    pub const fn now(&self) -> Tick {
        self.now
    }

    /// Takes one burst of the first belt all the way. Returns how many packets it had.
    pub fn burst(&mut self) -> usize {
        self.turn(0, |_| {})
    }

    /// Takes one burst of a belt all the way; before, `dress` may change each packet.
    pub fn turn(&mut self, belt: usize, dress: impl FnMut(&mut [u8])) -> usize {
        self.turn_of(belt, BURST, dress)
    }

    /// The same with so many packets at most, and not more than the port's meters let it send now.
    pub fn turn_of(&mut self, belt: usize, most: usize, mut dress: impl FnMut(&mut [u8])) -> usize {
        let most = most.min(self.plane.room(self.ports[belt], self.now));
        let mut burst = Burst::new();
        self.belts.belts[belt].fill_with(most, &mut burst);
        burst.iter_mut().for_each(|frame| dress(frame.data_mut()));
        let (port, now) = (self.ports[belt], self.now);
        let packets = self.plane.from_port(&self.snapshot, port, &mut self.belts, |frames| {
            *frames = burst;
            now
        });
        self.plane.flush(&self.snapshot, now, &mut self.belts);
        packets
    }

    /// Lets time pass, with what is due then.
    pub fn wait(&mut self, time: Duration) {
        self.now = self.now + time;
        self.plane.tick(&self.snapshot, self.now, &mut self.belts);
        self.plane.flush(&self.snapshot, self.now, &mut self.belts);
    }

    /// How many packets of a belt were sent.
    pub fn sent(&self, belt: usize) -> u64 {
        self.belts.belts[belt].sent
    }
}
