//! A worker's end of a trace, and where what it saw comes out.

#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrayvec::ArrayVec;
use crossbeam::queue::ArrayQueue;
use rtrb::{Consumer, Producer, RingBuffer};
use weft_pipelines::flow::Sessions;
use weft_pipelines::witness::place;
use weft_pipelines::{BURST, Batch, Direction, Frame, PortId, Reason, Tick, Verdict, Vni, Witness, WorkerId};

use crate::capture::filter::{Fates, Filter, Where};
use crate::explain::glimpse::{Beginning, Glimpse};

/// Packets that a worker follows at once: a burst, and what waits.
const FOLLOWED: usize = 4 * BURST;
/// Frames of these: copies are told apart.
const FRAMES: usize = 2 * FOLLOWED;
/// What is kept of a packet until it is known whether it is wanted; then the rest goes straight to the reader.
const STEPS: usize = 16;
/// What fits the ring to the reader.
const RING: usize = 2048;
/// Packets on their way from other workers.
const INBOX: usize = FOLLOWED;
/// A packet of which nothing was seen for so long is let go: longer than anything waits.
const SIGHT_NS: u64 = 8_000_000_000;
/// The last stage, of packets that have parted from their burst.
const ENCAP: &str = "encap";

/// Which packets are wanted.
#[derive(Debug)]
pub struct Wanted {
    /// That come in by which ports; `None` for all, also those that come later.
    pub ports: Option<Vec<PortId>>,
    /// Which of them.
    pub filter: Filter,
    /// By port: the segment of the guest there.
    pub vnis: Vec<Option<Vni>>,
    /// The fabric's UDP port of VXLAN.
    pub vxlan_port: u16,
    /// How many more, of all workers.
    pub left: AtomicU64,
}

/// Something that happened to a packet.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    /// The packet's number.
    pub packet: u64,
    /// Its place among what happened to the packet.
    pub order: u16,
    /// When, to the round of the worker.
    pub time: Tick,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Clone, Copy, Debug)]
pub enum What {
    /// It came in.
    Came(PortId, Beginning),
    /// A stage went over it.
    Saw(Glimpse),
    /// It, or a copy, was given to another worker.
    Handed(WorkerId),
    /// A copy is followed by itself.
    Parted,
    /// It, or a copy, left.
    Sent(PortId, Beginning),
    /// It, or a copy, was dropped where no stage says so.
    Lost(PortId, Reason),
    /// A frame of it has gone where it is not seen.
    OutOfSight,
    /// No more comes; of the packet itself, or else of a copy that is followed by itself.
    Over {
        /// Whether of the packet itself.
        whole: bool,
    },
}

/// A packet that is followed.
#[derive(Clone, Debug)]
struct Packet {
    number: u64,
    order: u16,
    since: Tick,
    fates: Fates,
    dropped: Option<Reason>,
    /// Whether it is wanted for sure, and told of.
    told: bool,
    /// Whether it is the packet itself, or a copy that came from another worker.
    whole: bool,
    /// Frames of it that are on their way.
    frames: u16,
    events: ArrayVec<Event, STEPS>,
}

/// A packet on its way from another worker.
#[derive(Debug)]
struct Carried {
    packet: Packet,
    place: Range<usize>,
}

type Inboxes = Arc<[ArrayQueue<Carried>]>;

/// A worker's end: follows packets that are wanted, and writes down what happens to them. All of its memory it has from
/// the beginning.
pub struct Tap {
    wanted: Arc<Wanted>,
    worker: WorkerId,
    inboxes: Inboxes,
    ring: Producer<Event>,
    lost: Arc<AtomicU64>,
    now: Tick,
    /// Packets that were taken up.
    taken: u64,
    followed: Box<[Option<Packet>]>,
    free: ArrayVec<u16, FOLLOWED>,
    /// Where the frames lie of packets that are followed.
    places: ArrayVec<(Range<usize>, u16), FRAMES>,
    /// The port whose burst is on its way, and who of it is followed.
    current: Option<PortId>,
    burst: [Option<u16>; BURST],
    /// Those that end with the burst on its way.
    brief: ArrayVec<u16, BURST>,
    /// Those shown last as leaving, with their place among them.
    leaving: ArrayVec<(usize, Range<usize>, Beginning), BURST>,
}

/// Where it comes out.
pub struct Tray {
    ring: Consumer<Event>,
    lost: Arc<AtomicU64>,
}

/// Both ends, for each of `workers`.
pub fn taps(wanted: &Arc<Wanted>, workers: usize) -> (Vec<Tap>, Vec<Tray>) {
    let inboxes: Inboxes = (0..workers).map(|_| ArrayQueue::new(INBOX)).collect();
    let ends = (0..workers).map(|worker| {
        let (ring, out) = RingBuffer::new(RING);
        let lost = Arc::new(AtomicU64::new(0));
        let tap = Tap {
            wanted: wanted.clone(),
            worker: WorkerId(worker as u16),
            inboxes: inboxes.clone(),
            ring,
            lost: lost.clone(),
            now: Tick(0),
            taken: 0,
            followed: (0..FOLLOWED).map(|_| None).collect(),
            free: (0..FOLLOWED as u16).collect(),
            places: ArrayVec::new(),
            current: None,
            burst: [None; BURST],
            brief: ArrayVec::new(),
            leaving: ArrayVec::new(),
        };
        (tap, Tray { ring: out, lost })
    });
    ends.unzip()
}

impl Tap {
    /// The packet that has a frame there.
    fn at(&self, place: &Range<usize>) -> Option<u16> {
        let lies = |(of, _): &&(Range<usize>, u16)| of.start < place.end && place.start < of.end;
        self.places.iter().find(lies).map(|(_, slot)| *slot)
    }

    /// Writes down what happened to a packet.
    fn note(&mut self, slot: u16, what: What) {
        let Some(packet) = &mut self.followed[usize::from(slot)] else { return };
        let event = Event { packet: packet.number, order: packet.order, time: self.now, what };
        packet.order = packet.order.saturating_add(1);
        if packet.told {
            if self.ring.push(event).is_err() {
                count(&self.lost);
            }
            return;
        }
        packet.events.push(event);
        if packet.events.is_full() {
            self.decide(slot);
        }
    }

    /// Tells of a packet from now on if it is wanted for what became of it so far; otherwise it is followed no more. Returns
    /// whether it is.
    fn decide(&mut self, slot: u16) -> bool {
        let Self { followed, ring, wanted, lost, .. } = self;
        let Some(packet) = &mut followed[usize::from(slot)] else { return false };
        if packet.told {
            return true;
        }
        if packet.fates.have(packet.dropped) {
            let one_less = |left: u64| left.checked_sub(1);
            if ring.slots() < packet.events.len() + 2 {
                count(lost);
            } else if wanted.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok() {
                packet.told = true;
                for event in packet.events.drain(..) {
                    let _ = ring.push(event);
                }
                return true;
            }
        }
        self.release(slot);
        false
    }

    /// Follows a packet no more.
    fn release(&mut self, slot: u16) {
        if self.followed[usize::from(slot)].take().is_some() {
            self.places.retain(|(_, of)| *of != slot);
            self.burst.iter_mut().filter(|of| **of == Some(slot)).for_each(|of| *of = None);
            self.free.push(slot);
        }
    }

    /// Takes up a packet.
    fn follow(&mut self, packet: Packet, place: Range<usize>) -> Option<u16> {
        if self.places.is_full() {
            return None;
        }
        let slot = self.free.pop()?;
        self.followed[usize::from(slot)] = Some(packet);
        self.places.push((place, slot));
        Some(slot)
    }

    /// A frame of a packet is no more.
    fn gone(&mut self, slot: u16, place: &Range<usize>) {
        let lies = |(of, whose): &(Range<usize>, u16)| {
            *whose == slot && of.start < place.end && place.start < of.end
        };
        if let Some(at) = self.places.iter().position(lies) {
            self.places.swap_remove(at);
        }
        let Some(packet) = &mut self.followed[usize::from(slot)] else { return };
        packet.frames = packet.frames.saturating_sub(1);
        if packet.frames == 0 {
            self.end(slot);
        }
    }

    /// Nothing more comes of a packet.
    fn end(&mut self, slot: u16) {
        let Some(Packet { whole, .. }) = self.followed[usize::from(slot)] else { return };
        if self.decide(slot) {
            self.note(slot, What::Over { whole });
            self.release(slot);
        }
    }

    /// Lets go of what lies where `place` is, for now it is another's.
    fn forget(&mut self, place: &Range<usize>) {
        while let Some(slot) = self.at(place) {
            self.note(slot, What::OutOfSight);
            self.gone(slot, place);
        }
    }

    fn drop(&mut self, slot: u16, reason: Reason) {
        if let Some(packet) = &mut self.followed[usize::from(slot)] {
            packet.dropped.get_or_insert(reason);
        }
    }

    /// A burst is over.
    fn settle(&mut self) {
        for slot in std::mem::take(&mut self.brief) {
            self.end(slot);
        }
        self.burst = [None; BURST];
        self.current = None;
    }

    /// Lets go of what was not seen for long.
    fn expire(&mut self) {
        for slot in 0..FOLLOWED as u16 {
            let old = self.followed[usize::from(slot)].as_ref();
            if old.is_some_and(|packet| self.now.0.saturating_sub(packet.since.0) > SIGHT_NS) {
                self.note(slot, What::OutOfSight);
                self.end(slot);
            }
        }
    }

    /// Takes up what other workers have handed over.
    fn unpack(&mut self) {
        while let Some(Carried { packet, place }) = self.inboxes[self.worker.index()].pop() {
            self.forget(&place);
            if self.follow(packet, place).is_none() {
                count(&self.lost);
            }
        }
    }

    /// Gives a packet to the worker that goes on with it.
    fn carry(&self, worker: WorkerId, packet: Packet, place: Range<usize>) {
        let inbox = self.inboxes.get(worker.index());
        if inbox.is_none_or(|inbox| inbox.push(Carried { packet, place }).is_err()) {
            count(&self.lost);
        }
    }

    /// Whether a frame of the port may be wanted.
    fn wants(&self, port: PortId) -> bool {
        self.wanted.left.load(Ordering::Relaxed) > 0
            && self.wanted.ports.as_ref().is_none_or(|ports| ports.contains(&port))
    }
}

fn count(count: &AtomicU64) {
    // This worker is the only one that counts.
    count.store(count.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}

impl<F: Frame> Witness<F> for Tap {
    fn begins(&mut self, now: Tick) {
        self.settle();
        self.now = now;
        self.unpack();
        if !self.places.is_empty() {
            self.expire();
        }
    }

    fn received(&mut self, port: PortId, batch: &Batch<F>, now: Tick) {
        self.settle();
        (self.now, self.current) = (now, Some(port));
        if !self.places.is_empty() {
            batch.frames().iter().for_each(|frame| self.forget(&place(frame)));
        }
        if !self.wants(port) {
            return;
        }
        let vni = self.wanted.vnis.get(port.index()).copied().flatten();
        for (index, frame) in batch.frames().iter().enumerate() {
            let data = frame.data();
            let at = Where { len: data.len(), vni, vxlan_port: self.wanted.vxlan_port };
            let fates = self.wanted.filter.fates(data, at);
            if fates == Fates::NONE {
                continue;
            }
            let packet = Packet {
                number: u64::from(self.worker.0) << 48 | self.taken,
                order: 0,
                since: now,
                fates,
                dropped: None,
                told: false,
                whole: true,
                frames: 1,
                events: ArrayVec::new(),
            };
            match self.follow(packet, place(frame)) {
                Some(slot) => {
                    self.taken += 1;
                    self.burst[index] = Some(slot);
                    self.note(slot, What::Came(port, Beginning::of(data)));
                }
                None => count(&self.lost),
            }
        }
    }

    fn saw(&mut self, stage: &'static str, batch: &Batch<F>, sessions: &Sessions) {
        if self.places.is_empty() {
            return;
        }
        for (i, frame) in batch.frames().iter().enumerate() {
            let is_burst = stage != ENCAP && self.current.is_some();
            let place = place(frame);
            let Some(slot) = (if is_burst { self.burst[i] } else { self.at(&place) }) else { continue };
            match batch.verdict(i) {
                Verdict::Drop(reason) => {
                    self.drop(slot, reason);
                    self.note(slot, What::Saw(Glimpse::of(stage, (batch, i), sessions)));
                    if is_burst {
                        self.burst[i] = None;
                        self.end(slot);
                    } else {
                        self.gone(slot, &place);
                    }
                }
                verdict => {
                    self.note(slot, What::Saw(Glimpse::of(stage, (batch, i), sessions)));
                    if verdict == Verdict::ForSwitch {
                        // It is answered, learnt from, or dropped when the burst parts.
                        self.burst[i] = None;
                        let _ = self.brief.try_push(slot);
                    }
                }
            }
        }
    }

    fn copied(&mut self, frame: &F, copy: &F) {
        if self.places.is_empty() {
            return;
        }
        let copy = place(copy);
        self.forget(&copy);
        let Some(slot) = self.at(&place(frame)) else { return };
        let Some(packet) = &mut self.followed[usize::from(slot)] else { return };
        match self.places.try_push((copy, slot)) {
            Ok(()) => packet.frames += 1,
            Err(_) => self.note(slot, What::OutOfSight),
        }
    }

    fn handed(&mut self, worker: WorkerId, frame: &F) {
        let place = place(frame);
        let Some(slot) = self.at(&place) else { return };
        self.note(slot, What::Handed(worker));
        let Some(packet) = &self.followed[usize::from(slot)] else { return };
        if packet.frames == 1 {
            // All of it goes, with what is known so far.
            self.carry(worker, packet.clone(), place);
            return self.release(slot);
        }
        // What becomes of one copy does not wait for the others.
        if self.decide(slot)
            && let Some(packet) = &self.followed[usize::from(slot)]
        {
            let part = Packet { whole: false, frames: 1, ..packet.clone() };
            self.note(slot, What::Parted);
            self.carry(worker, part, place.clone());
            self.gone(slot, &place);
        }
    }

    fn lost(&mut self, port: PortId, _: Direction, reason: Reason, frame: &F) {
        let place = place(frame);
        if let Some(slot) = self.at(&place) {
            self.drop(slot, reason);
            self.note(slot, What::Lost(port, reason));
            self.gone(slot, &place);
        }
    }

    fn leaves(&mut self, _: PortId, frames: &[F]) {
        self.leaving.clear();
        if self.places.is_empty() {
            return;
        }
        for (index, frame) in frames.iter().enumerate() {
            let place = place(frame);
            if self.at(&place).is_some() {
                let _ = self.leaving.try_push((index, place, Beginning::of(frame.data())));
            }
        }
    }

    fn left(&mut self, port: PortId, count: usize) {
        for (_, place, data) in std::mem::take(&mut self.leaving).into_iter().filter(|(at, ..)| *at < count) {
            if let Some(slot) = self.at(&place) {
                self.note(slot, What::Sent(port, data));
                self.gone(slot, &place);
            }
        }
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.settle();
        self.unpack();
        // What is still on its way is told of as far as it has come.
        for slot in 0..FOLLOWED as u16 {
            self.decide(slot);
        }
    }
}

impl Tray {
    /// What comes next, if there is something.
    pub fn take(&mut self) -> Option<Event> {
        self.ring.pop().ok()
    }

    /// Whether the worker's end is no more: what is not there yet does not come.
    pub fn is_abandoned(&self) -> bool {
        self.ring.is_abandoned()
    }

    /// Packets that were wanted and not followed, for there was no room, and what was not told of others.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}
