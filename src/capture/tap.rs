//! A worker's end of a capture, and where its packets come out.

mod record;

#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrayvec::ArrayVec;
use rtrb::{Consumer, Producer, RingBuffer};
use weft_pipelines::flow::Sessions;
use weft_pipelines::stages::check_policy::Outcome;
use weft_pipelines::stages::forward::Destination;
use weft_pipelines::witness::place;
use weft_pipelines::{BURST, Batch, Direction, Frame, PortId, Reason, Tick, Verdict, Vni, Witness};

use super::filter::{Fates, Filter, Where};
use record::{HEAD, Head};
pub use record::{Packet, Refusal};

/// Bytes of packets that wait for the reader, of one worker.
pub const RING: usize = 4 << 20;
/// Packets that a tap holds back until it is known what becomes of them: those of a burst, and what leaves meanwhile.
const HELD: usize = 8 * BURST;
/// Bytes of these, at least.
const LEAST_BYTES: usize = 256 << 10;

/// The last stage that shows a burst before it parts.
const CHECK_POLICY: &str = "check_policy";
/// The last that shows what goes to other hosts.
const ENCAP: &str = "encap";

/// Which packets are wanted.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// By which ports; `None` for all, also those that come later.
    pub ports: Option<Vec<PortId>>,
    /// Those that come in.
    pub inward: bool,
    /// Those that leave.
    pub outward: bool,
    /// Which of them.
    pub filter: Filter,
    /// Bytes of each that are copied at most.
    pub snap: u32,
    /// By port: the segment of the guest there.
    pub vnis: Vec<Option<Vni>>,
    /// The fabric's UDP port of VXLAN.
    pub vxlan_port: u16,
}

impl Wanted {
    fn wants(&self, port: PortId, direction: Direction) -> bool {
        let is_wanted = match direction {
            Direction::In => self.inward,
            Direction::Out => self.outward,
        };
        is_wanted && self.ports.as_ref().is_none_or(|ports| ports.contains(&port))
    }
}

/// What a worker counted of one port.
#[derive(Debug, Default)]
struct Count {
    seen: AtomicU64,
    meant: AtomicU64,
    lost: AtomicU64,
}

/// What was counted of one port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Packets looked at.
    pub seen: u64,
    /// Packets that the filter let pass.
    pub meant: u64,
    /// Of these: packets that found no room, for they were not read as fast as they came.
    pub lost: u64,
}

impl std::ops::AddAssign for Counted {
    fn add_assign(&mut self, other: Self) {
        self.seen += other.seen;
        self.meant += other.meant;
        self.lost += other.lost;
    }
}

/// By port. The last is of all ports for which there was no room: those that came later.
type Counts = Arc<[Count]>;

/// A worker's end: copies what is wanted into a ring, and counts what finds no room.
pub struct Tap {
    wanted: Arc<Wanted>,
    ring: Producer<u8>,
    counts: Counts,
    now: Tick,
    /// The port whose burst is on its way.
    current: Option<PortId>,
    /// What is known of packets that are held back.
    held: ArrayVec<Held, HELD>,
    /// Their bytes, one after the other.
    bytes: Vec<u8>,
    /// Where those begin in `held` that were shown last as leaving.
    leaving: usize,
}

/// A packet that is held back.
struct Held {
    head: Head,
    /// For which fates it is wanted.
    fates: Fates,
    /// Where its bytes are.
    bytes: Range<usize>,
    /// Where it lies in memory, as long as it may still be dropped.
    place: Range<usize>,
    /// Its place in its burst.
    index: usize,
}

/// Why a packet was dropped, and by which rule.
type Ruled = (Reason, Option<Refusal>);

/// Where a worker's packets come out.
pub struct Tray {
    ring: Consumer<u8>,
    counts: Counts,
    /// The head of the packet that comes next.
    next: Option<Head>,
}

/// The two ends of what a worker sees of `wanted`, with `room` bytes between them, and room to count for `ports` ports.
pub fn tap(wanted: Arc<Wanted>, room: usize, ports: usize) -> (Tap, Tray) {
    let (mut ring, mut out) = RingBuffer::new(room);
    // The worker is not to wait for the kernel to find memory: each page is written to once, here.
    let page = [0; 4096];
    while ring.push_entire_slice(&page).is_ok() {}
    let whole = out.slots();
    if let Ok(chunk) = out.read_chunk(whole) {
        chunk.commit_all();
    }
    let counts: Counts = (0..=ports).map(|_| Count::default()).collect();
    let bytes = (2 * BURST * wanted.snap as usize).max(LEAST_BYTES);
    let mut memory = vec![1; bytes];
    memory.clear();
    let tap = Tap {
        wanted,
        ring,
        counts: counts.clone(),
        now: Tick(0),
        current: None,
        held: ArrayVec::new(),
        bytes: memory,
        leaving: 0,
    };
    (tap, Tray { ring: out, counts, next: None })
}

impl Tap {
    /// Holds a packet back, if it is wanted for any fate that it may have. Returns whether it is.
    fn hold<F: Frame>(&mut self, port: PortId, direction: Direction, frame: &F, index: usize) -> bool {
        let data = frame.data();
        let wanted = &self.wanted;
        let vni = wanted.vnis.get(port.index()).copied().flatten();
        let at = Where { len: data.len(), vni, vxlan_port: wanted.vxlan_port };
        let fates = wanted.filter.fates(data, at);
        if fates == Fates::NONE {
            return false;
        }
        let copied = &data[..data.len().min(wanted.snap as usize)];
        if self.held.is_full() || self.bytes.capacity() - self.bytes.len() < copied.len() {
            // Only of packets that leave there can be so many. What comes of the burst meanwhile is told apart.
            self.release();
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(copied);
        let head = Head {
            time: self.now,
            port,
            direction,
            dropped: None,
            refusal: None,
            is_copy: false,
            len: data.len() as u32,
            copied: copied.len() as u32,
        };
        let bytes = start..self.bytes.len();
        self.held.push(Held { head, fates, bytes, place: place(frame), index });
        true
    }

    /// The packet at this place of the burst on its way.
    fn held_at(&mut self, index: usize) -> Option<&mut Held> {
        self.held.iter_mut().find(|held| held.head.direction == Direction::In && held.index == index)
    }

    /// The packet of the burst on its way that lies where `frame` does.
    fn held_as<F: Frame>(&mut self, frame: &F) -> Option<&mut Held> {
        let place = place(frame);
        let lies = |held: &&mut Held| held.place.start < place.end && place.start < held.place.end;
        self.held.iter_mut().filter(|held| held.head.direction == Direction::In).find(lies)
    }

    /// Tells of a packet that was dropped, beside what may have been told of it when it came in.
    fn tell<F: Frame>(
        &mut self,
        (port, direction): (PortId, Direction),
        verdict: Ruled,
        is_copy: bool,
        frame: &F,
    ) {
        if !self.wanted.wants(port, direction) {
            return;
        }
        if !is_copy {
            count(&self.counts, port, |count| &count.seen, 1);
        }
        if self.hold(port, direction, frame, 0)
            && let Some(held) = self.held.last_mut()
        {
            held.settle(verdict);
            held.head.is_copy = is_copy;
        }
    }

    /// Gives what is held back to the reader.
    fn release(&mut self) {
        let Self { held, bytes: all, ring, counts, .. } = self;
        for Held { head, fates, bytes, .. } in held.drain(..) {
            if !fates.have(head.dropped) {
                continue;
            }
            count(counts, head.port, |count| &count.meant, 1);
            let bytes = &all[bytes];
            // The reader takes the head, and then waits for as many bytes as it says.
            let fits = ring.slots() >= HEAD + bytes.len();
            let is_given = fits
                && ring.push_entire_slice(&head.to_bytes()).is_ok()
                && ring.push_entire_slice(bytes).is_ok();
            if !is_given {
                count(counts, head.port, |count| &count.lost, 1);
            }
        }
        self.bytes.clear();
        self.leaving = 0;
    }
}

fn count(counts: &Counts, port: PortId, which: impl Fn(&Count) -> &AtomicU64, more: u64) {
    if let Some(count) = counts.get(port.index()).or(counts.last()) {
        // This worker is the only one that counts.
        let count = which(count);
        count.store(count.load(Ordering::Relaxed) + more, Ordering::Relaxed);
    }
}

impl Held {
    fn settle(&mut self, (reason, refusal): Ruled) {
        (self.head.dropped, self.head.refusal) = (Some(reason), refusal);
        self.place = 0..0;
    }
}

impl<F: Frame> Witness<F> for Tap {
    fn begins(&mut self, now: Tick) {
        self.release();
        (self.now, self.current) = (now, None);
    }

    fn received(&mut self, port: PortId, batch: &Batch<F>, now: Tick) {
        self.release();
        (self.now, self.current) = (now, Some(port));
        if self.wanted.wants(port, Direction::In) {
            count(&self.counts, port, |count| &count.seen, batch.len() as u64);
            for (index, frame) in batch.frames().iter().enumerate() {
                self.hold(port, Direction::In, frame, index);
            }
        }
    }

    fn saw(&mut self, stage: &'static str, batch: &Batch<F>, _: &Sessions) {
        // The last ones that show a burst, of each way.
        if !matches!(stage, CHECK_POLICY | ENCAP) {
            return;
        }
        for (i, frame) in batch.frames().iter().enumerate() {
            let Verdict::Drop(reason) = batch.verdict(i) else { continue };
            let refusal = match (reason, batch.outcomes[i]) {
                (Reason::PolicyDenied, Outcome::Refused(decision)) => {
                    Some(Refusal { segment: batch.segments[i], rule: decision.rule })
                }
                _ => None,
            };
            let verdict = (reason, refusal);
            let current = self.current;
            let held = match stage {
                // The burst as it came in.
                CHECK_POLICY if current.is_some() => self.held_at(i),
                _ => self.held_as(frame),
            };
            match (held, current, batch.destinations[i]) {
                (Some(held), ..) => held.settle(verdict),
                // Another worker handed it over, and it is the receiver's policy that refuses it.
                (None, None, Destination::Port(port)) => {
                    self.tell((port, Direction::Out), verdict, false, frame);
                }
                // A copy of what goes to several.
                (None, Some(port), _) if stage == ENCAP => {
                    self.tell((port, Direction::In), verdict, true, frame);
                }
                _ => {}
            }
        }
    }

    fn copied(&mut self, _: &F, copy: &F) {
        // Whatever lay there has left.
        if let Some(held) = self.held_as(copy) {
            held.place = 0..0;
        }
    }

    fn lost(&mut self, port: PortId, direction: Direction, reason: Reason, frame: &F) {
        match direction {
            Direction::In => {
                if let Some(held) = self.held_as(frame) {
                    held.settle((reason, None));
                }
            }
            Direction::Out => self.tell((port, direction), (reason, None), false, frame),
        }
    }

    fn leaves(&mut self, port: PortId, frames: &[F]) {
        if !self.wanted.wants(port, Direction::Out) {
            self.leaving = self.held.len();
            return;
        }
        // All of them are held at once, or else it would not be known which to take back.
        let bytes: usize = frames.iter().map(|frame| frame.data().len().min(self.wanted.snap as usize)).sum();
        if self.held.remaining_capacity() < frames.len() || self.bytes.capacity() - self.bytes.len() < bytes {
            self.release();
        }
        self.leaving = self.held.len();
        for (index, frame) in frames.iter().enumerate() {
            self.hold(port, Direction::Out, frame, index);
        }
    }

    fn left(&mut self, port: PortId, count: usize) {
        if self.wanted.wants(port, Direction::Out) {
            self::count(&self.counts, port, |counted| &counted.seen, count as u64);
        }
        while self.held.len() > self.leaving && self.held.last().is_some_and(|held| held.index >= count) {
            if let Some(held) = self.held.pop() {
                self.bytes.truncate(held.bytes.start);
            }
        }
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.release();
    }
}

impl Tray {
    /// The next packet, if there is one.
    pub fn take(&mut self) -> Option<Packet> {
        let head = match self.next.take() {
            Some(head) => head,
            None => {
                let mut bytes = [0; HEAD];
                self.ring.pop_entire_slice(&mut bytes).ok()?;
                Head::from_bytes(&bytes)
            }
        };
        let mut data = vec![0; head.copied as usize];
        if self.ring.pop_entire_slice(&mut data).is_err() {
            self.next = Some(head);
            return None;
        }
        Some(Packet::new(head, data))
    }

    /// Whether the worker's end is no more: what is not there yet does not come.
    pub fn is_abandoned(&self) -> bool {
        self.ring.is_abandoned()
    }

    /// What was counted, by port.
    pub fn counted(&self) -> impl Iterator<Item = Counted> + '_ {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        self.counts.iter().map(move |count| Counted {
            seen: of(&count.seen),
            meant: of(&count.meant),
            lost: of(&count.lost),
        })
    }
}
