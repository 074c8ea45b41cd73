//! The loop that sends and receives.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::frames::Patch;
use super::plan::{Pace, Plan, Sequence, Stream};
use super::port::{HEADER, Port};
use super::ring::Violation;
use crate::{Error, Result};

/// All ports of a load, driven by the thread that calls.
#[derive(Debug)]
pub struct Driver {
    ports: Vec<Driven>,
    /// What stamps count from.
    begun: Instant,
}

/// A port with what the driver knows of it.
#[derive(Debug)]
struct Driven {
    port: Port,
    /// The descriptors of the transmit queue that the switch does not have, in the order they came back.
    free: Fifo,
    sent: u64,
    received: u64,
    received_bytes: u64,
}

/// What was sent, and what came out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// Packets that the switch took.
    pub sent: u64,
    /// Packets that came out where they were to.
    pub received: u64,
}

impl Passed {
    /// Packets that did not come out.
    pub fn lost(&self) -> u64 {
        self.sent.saturating_sub(self.received)
    }
}

/// What a load came to.
#[derive(Clone, Debug)]
pub struct Report {
    /// For how long was counted.
    pub elapsed: Duration,
    /// By stream.
    pub streams: Vec<StreamReport>,
    /// By port.
    pub ports: Vec<PortReport>,
}

/// What a stream came to.
#[derive(Clone, Debug)]
pub struct StreamReport {
    /// In the time that counts.
    pub counted: Passed,
    /// From the first packet to the last, the ones on their way at the end waited for: here what is missing is lost.
    pub whole: Passed,
    /// Bytes that came out in the time that counts.
    pub bytes: u64,
    /// How long packets took from one port to the other, in nanoseconds: of one in [`STAMPED`].
    pub latency: Histogram<u64>,
    /// How much of its transmit queue was with the switch on average: near 1 where the switch is what bounds.
    pub unsent: f64,
}

/// What a port came to.
#[derive(Clone, Copy, Debug)]
pub struct PortReport {
    /// How much of its receive queue was full of packets that the driver had not taken, on average: near 1 where the
    /// driver is what bounds.
    pub untaken: f64,
}

/// A stream on its way.
struct Running<'a> {
    stream: &'a Stream,
    index: usize,
    patches: Vec<Patch>,
    sequence: Sequence,
    /// What both ports had counted before.
    before: Passed,
    latency: Histogram<u64>,
    unsent: Mean,
}

impl Driver {
    /// Drives these ports.
    pub fn new(ports: Vec<Port>) -> Self {
        let driven = |port: Port| {
            let size = port.transmit.place().size;
            Driven { port, free: Fifo::filled(size), sent: 0, received: 0, received_bytes: 0 }
        };
        Self { ports: ports.into_iter().map(driven).collect(), begun: Instant::now() }
    }

    /// Sends by all streams, counts for the time that was planned, and waits for what is on its way.
    ///
    /// # Errors
    ///
    /// When a switch takes no packets, or gives back what it did not have.
    pub fn run(&mut self, streams: &[Stream], plan: Plan) -> Result<Report> {
        let mut running = self.begin(streams)?;
        let mut untaken = vec![Mean::default(); self.ports.len()];
        let start = Instant::now();
        // When counting began, and what had been counted by then.
        let mut counting: Option<(Instant, Vec<(Passed, u64)>)> = None;
        let elapsed = loop {
            let now = Instant::now();
            self.receive(&mut running, &mut untaken)?;
            for stream in &mut running {
                self.send(stream, now - start)?;
            }
            self.publish();
            match &counting {
                Some((since, _)) if now - *since >= plan.measure => break now - *since,
                Some(_) => {}
                None if running.iter().all(|stream| self.passed(stream).received >= plan.warm) => {
                    running.iter_mut().for_each(Running::forget);
                    untaken.fill(Mean::default());
                    counting = Some((now, running.iter().map(|stream| self.counted(stream)).collect()));
                }
                None if now - start > WARMING => {
                    let passed: Vec<_> = running.iter().map(|stream| self.passed(stream)).collect();
                    return Err(Error::failed(
                        format!("a load of {} packets does not come through", plan.warm),
                        format!("{passed:?}"),
                    ));
                }
                None => {}
            }
        };
        let counted: Vec<_> = running.iter().map(|stream| self.counted(stream)).collect();
        self.settle(&mut running)?;
        let before = counting.map(|(_, before)| before).unwrap_or_default();
        let report =
            |((stream, (passed, bytes)), (earlier, earlier_bytes)): ((Running<'_>, (Passed, u64)), _)| {
                let earlier: Passed = earlier;
                StreamReport {
                    counted: Passed {
                        sent: passed.sent - earlier.sent,
                        received: passed.received - earlier.received,
                    },
                    whole: self.passed(&stream),
                    bytes: bytes - earlier_bytes,
                    unsent: stream.unsent.value(),
                    latency: stream.latency,
                }
            };
        Ok(Report {
            elapsed,
            streams: running.into_iter().zip(counted).zip(before).map(report).collect(),
            ports: untaken.iter().map(|mean| PortReport { untaken: mean.value() }).collect(),
        })
    }

    /// Sends this many packets of a stream, fewer if `most` is over before, and waits for those that are on their way.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub fn pass(&mut self, stream: &Stream, packets: u64, most: Duration) -> Result<Passed> {
        let mut running = self.begin(std::slice::from_ref(stream))?;
        let mut untaken = vec![Mean::default(); self.ports.len()];
        let start = Instant::now();
        // What a window waits for may have been lost: then it is no longer waited for.
        let (mut given_up, mut progress) = (0, (0, start));
        loop {
            let now = Instant::now();
            self.receive(&mut running, &mut untaken)?;
            let passed = self.passed(&running[0]);
            if passed.received != progress.0 {
                progress = (passed.received, now);
            } else if now - progress.1 > QUIET {
                given_up = passed.lost();
                progress.1 = now;
            }
            if passed.sent >= packets || now - start > most {
                break;
            }
            let room = match stream.pace {
                Pace::Window(most) => u64::from(most).saturating_sub(passed.lost().saturating_sub(given_up)),
                Pace::Rate(_) | Pace::Flood => BURST,
            };
            let room = room.min(packets - passed.sent);
            self.send_some(&mut running[0], room)?;
            self.publish();
        }
        self.settle(&mut running)?;
        Ok(self.passed(&running[0]))
    }

    /// Lays the frames of all streams into their ports' buffers.
    fn begin<'a>(&mut self, streams: &'a [Stream]) -> Result<Vec<Running<'a>>> {
        let mut running = Vec::new();
        for (index, stream) in streams.iter().enumerate() {
            let driven = &mut self.ports[stream.ports[0]];
            let idle = driven.port.transmit.outstanding() == 0;
            let clash =
                streams[..index].iter().any(|other| (0..2).any(|end| other.ports[end] == stream.ports[end]));
            if clash || !idle {
                return Err(Error::failed("a port sends or receives by two streams at once", ""));
            }
            let patches = driven.lay(stream, index);
            let before = Passed { sent: driven.sent, received: self.ports[stream.ports[1]].received };
            running.push(Running {
                stream,
                index,
                patches,
                sequence: stream.flows.begin(),
                before,
                latency: histogram(),
                unsent: Mean::default(),
            });
        }
        Ok(running)
    }

    /// Takes what has arrived at any port, and reads the stamps.
    #[inline]
    fn receive(&mut self, running: &mut [Running<'_>], untaken: &mut [Mean]) -> Result<()> {
        for (number, (driven, untaken)) in self.ports.iter_mut().zip(untaken).enumerate() {
            let stream = running.iter_mut().find(|stream| stream.stream.ports[1] == number);
            let waiting = driven.receive(stream, self.begun).map_err(|violation| driven.blame(violation))?;
            untaken.add(f64::from(waiting) / f64::from(driven.port.receive.place().size));
        }
        Ok(())
    }

    /// Sends what is due of a stream, `since` its beginning.
    #[inline]
    fn send(&mut self, running: &mut Running<'_>, since: Duration) -> Result<()> {
        let room = match running.stream.pace {
            Pace::Flood => BURST,
            Pace::Rate(rate) => {
                let due = (since.as_secs_f64() * rate) as u64;
                due.saturating_sub(self.passed(running).sent).min(BURST)
            }
            Pace::Window(most) => u64::from(most).saturating_sub(self.passed(running).lost()),
        };
        self.send_some(running, room)
    }

    /// Takes back what the switch has sent, and gives it up to this many packets.
    #[inline]
    fn send_some(&mut self, running: &mut Running<'_>, packets: u64) -> Result<()> {
        let begun = self.begun;
        let driven = &mut self.ports[running.stream.ports[0]];
        driven.reclaim().map_err(|violation| driven.blame(violation))?;
        let ring = &driven.port.transmit;
        running.unsent.add(f64::from(ring.outstanding()) / f64::from(ring.place().size));
        driven.transmit(running, packets, begun);
        Ok(())
    }

    fn publish(&mut self) {
        self.ports.iter_mut().for_each(|driven| driven.port.publish());
    }

    /// Waits until the switch has taken all that was sent, and nothing arrives any more.
    fn settle(&mut self, running: &mut [Running<'_>]) -> Result<()> {
        let mut untaken = vec![Mean::default(); self.ports.len()];
        let start = Instant::now();
        let (mut last, mut since) = (0, start);
        loop {
            let now = Instant::now();
            self.receive(running, &mut untaken)?;
            self.publish();
            let mut unsent = 0;
            for driven in &mut self.ports {
                driven.reclaim().map_err(|violation| driven.blame(violation))?;
                unsent += driven.port.transmit.outstanding();
            }
            let received = self.ports.iter().map(|driven| driven.received).sum();
            if received != last || unsent > 0 {
                (last, since) = (received, now);
            }
            // Whoever got all that was sent need not wait for the silence.
            let complete =
                !running.is_empty() && running.iter().all(|stream| self.passed(stream).lost() == 0);
            if unsent == 0 && (complete || now - since > QUIET) {
                return Ok(());
            }
            if now - start > SETTLING {
                return Err(Error::failed(format!("the switch leaves {unsent} packets where they are"), ""));
            }
        }
    }

    fn passed(&self, running: &Running<'_>) -> Passed {
        let [from, to] = running.stream.ports;
        Passed {
            sent: self.ports[from].sent - running.before.sent,
            received: self.ports[to].received - running.before.received,
        }
    }

    /// What a stream's ports have counted, and the bytes of what came out.
    fn counted(&self, running: &Running<'_>) -> (Passed, u64) {
        (self.passed(running), self.ports[running.stream.ports[1]].received_bytes)
    }
}

impl Running<'_> {
    /// Forgets what was measured while warming up.
    fn forget(&mut self) {
        self.latency.reset();
        self.unsent = Mean::default();
    }

    /// What tells this stream's stamps from other bytes.
    fn mark(&self) -> u16 {
        MARK + self.index as u16
    }
}

impl Driven {
    /// Writes the frames of a stream into all buffers, and gives what makes them packets of flows.
    fn lay(&mut self, stream: &Stream, index: usize) -> Vec<Patch> {
        let ring = &self.port.transmit;
        let frame = |id: u16| {
            let stamp = if is_stamped(id) { STAMP_GROWTH } else { 0 };
            let template = stream.traffic.frame(stream.size.of(id) + stamp);
            let (bytes, buffer) = (template.bytes(), ring.buffer(id));
            self.port.region.write(buffer, &[0; HEADER]);
            self.port.region.write(buffer + HEADER, bytes);
            ring.resize(id, (HEADER + bytes.len()) as u32);
            if is_stamped(id) {
                let mark = buffer + HEADER + bytes.len() - STAMP;
                self.port.region.write(mark, &(MARK + index as u16).to_ne_bytes());
            }
            template.patch()
        };
        (0..ring.place().size).map(frame).collect()
    }

    /// Takes back the buffers that the switch has sent.
    #[inline]
    fn reclaim(&mut self) -> Result<(), Violation> {
        for _ in 0..self.port.transmit.used()? {
            let (id, _) = self.port.transmit.take()?;
            self.free.push(id);
        }
        Ok(())
    }

    /// Gives the switch up to this many packets.
    #[inline]
    fn transmit(&mut self, running: &mut Running<'_>, packets: u64, begun: Instant) {
        let ring = &mut self.port.transmit;
        let count = packets.min(self.free.len().into());
        for _ in 0..count {
            let id = self.free.pop();
            let frame = ring.buffer(id) + HEADER;
            running.patches[usize::from(id)].apply(&self.port.region, frame, running.sequence.next());
            if is_stamped(id) {
                let bytes = stamped_length(running, id);
                let nanoseconds = begun.elapsed().as_nanos() as u64;
                self.port.region.write(frame + bytes - STAMP + 2, &nanoseconds.to_ne_bytes());
            }
            ring.add(id);
        }
        self.sent += count;
    }

    /// Takes what has arrived and gives the buffers back; how many packets there were.
    #[inline]
    fn receive(&mut self, mut stream: Option<&mut Running<'_>>, begun: Instant) -> Result<u16, Violation> {
        let ring = &mut self.port.receive;
        let waiting = ring.used()?;
        let growth = stream.as_ref().map_or(0, |stream| stream.stream.growth);
        for _ in 0..waiting.min(BURST as u16) {
            let (id, written) = ring.take()?;
            let bytes = (written as usize).wrapping_sub(HEADER);
            if bytes > ring.place().stride - HEADER {
                return Err(Violation::Length(written, ring.place().stride));
            }
            self.received += 1;
            self.received_bytes += bytes as u64;
            // Stamped frames are known by their length: other frames are not touched.
            if (bytes as i32 - growth) % 4 == STAMP_GROWTH as i32
                && let Some(running) = &mut stream
            {
                let mut stamp = [0; STAMP];
                self.port.region.read(ring.buffer(id) + HEADER + bytes - STAMP, &mut stamp);
                let [m0, m1, time @ ..] = stamp;
                if u16::from_ne_bytes([m0, m1]) == running.mark() {
                    let took = (begun.elapsed().as_nanos() as u64).saturating_sub(u64::from_ne_bytes(time));
                    running.latency.saturating_record(took);
                }
            }
            ring.add(id);
        }
        Ok(waiting)
    }

    fn blame(&self, violation: Violation) -> Error {
        Error::failed(format!("{}: {violation}", self.port.name()), "")
    }
}

/// How long the frame in this buffer is, tunnel and all.
fn stamped_length(running: &Running<'_>, id: u16) -> usize {
    let tunnel = if running.stream.traffic.tunnel.is_some() { super::TUNNEL } else { 0 };
    running.stream.size.of(id) + STAMP_GROWTH + tunnel
}

/// Descriptors in the order they came back.
#[derive(Debug)]
struct Fifo {
    ids: Box<[u16]>,
    head: u16,
    len: u16,
}

impl Fifo {
    fn filled(size: u16) -> Self {
        Self { ids: (0..size).collect(), head: 0, len: size }
    }

    #[inline]
    fn len(&self) -> u16 {
        self.len
    }

    #[inline]
    fn push(&mut self, id: u16) {
        let mask = self.ids.len() - 1;
        let at = usize::from(self.head.wrapping_add(self.len)) & mask;
        self.ids[at] = id;
        self.len += 1;
    }

    /// Of a list that is not empty.
    #[inline]
    fn pop(&mut self) -> u16 {
        let mask = self.ids.len() - 1;
        let id = self.ids[usize::from(self.head) & mask];
        self.head = self.head.wrapping_add(1);
        self.len -= 1;
        id
    }
}

/// A mean of numbers that come one by one.
#[derive(Clone, Copy, Debug, Default)]
struct Mean {
    sum: f64,
    count: u64,
}

impl Mean {
    #[inline]
    fn add(&mut self, value: f64) {
        self.sum += value;
        self.count += 1;
    }

    fn value(self) -> f64 {
        if self.count == 0 { 0.0 } else { self.sum / self.count as f64 }
    }
}

/// To a second, with three digits.
fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 1_000_000_000, 3).unwrap_or_else(|_| unreachable!("constants"))
}

fn is_stamped(id: u16) -> bool {
    id % STAMPED == STAMPED - 1
}

/// One frame in so many carries a stamp.
pub const STAMPED: u16 = 128;
/// By how many bytes such a frame is longer: other lengths are multiples of 4.
const STAMP_GROWTH: usize = 2;
/// The last bytes of such a frame: two that mark the stream, eight of nanoseconds.
const STAMP: usize = 10;
const MARK: u16 = 0x77e0;

/// How many packets are sent or received before something else is looked at.
const BURST: u64 = 64;
/// For how long nothing has to arrive for nothing to be on its way: far beyond what any queue here holds.
const QUIET: Duration = Duration::from_millis(50);
/// The longest that warming up may take, and what is on its way at the end.
const WARMING: Duration = Duration::from_secs(20);
const SETTLING: Duration = Duration::from_secs(20);
