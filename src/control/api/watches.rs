//! Brings what workers show, of a capture or a trace, to its client.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tonic::Status;
use weft_pipelines::PortId;

use super::server::{Handle, Request};
use super::v1;
use crate::capture::{self, Capture};
use crate::trace::{self, Trace};

/// How often it is looked for packets.
const LOOK: Duration = Duration::from_millis(5);
/// Parts that wait for the client; the transport takes some more.
pub(super) const PARTS: usize = 4;
/// How long a client may take no part: then it is gone, or has been stopped.
const STALLED: Duration = Duration::from_secs(30);
/// How long it may take when the switch stops; less than clients have to go.
const STOPPING: Duration = Duration::from_millis(500);

/// What comes from the workers, in parts.
pub(super) trait Source: Send {
    /// A part, as it goes to the client.
    type Part: Send;

    /// The number by which it is ended.
    fn id(&self) -> u64;
    /// Before all else.
    fn first(&mut self) -> Self::Part;
    /// What has come, if anything.
    fn some(&mut self) -> Option<Self::Part>;
    /// The last part, for this reason.
    fn end(&mut self, why: &str) -> Self::Part;
    /// Whether it has all that it was to have.
    fn is_full(&self) -> bool;
    /// Whether the workers have let it go.
    fn is_ended(&self) -> bool;
    /// Whether no port is left that is looked at.
    fn ports_are_gone(&self) -> bool;
}

/// A capture, with the ports that were told of and how many packets may still come.
pub(super) struct Capturing {
    capture: Capture,
    told: BTreeSet<PortId>,
    left: u64,
}

impl Capturing {
    /// `capture`, of `count` packets at most.
    pub const fn new(capture: Capture, count: u64) -> Self {
        Self { capture, told: BTreeSet::new(), left: count }
    }
}

impl Source for Capturing {
    type Part = v1::CaptureResponse;

    fn id(&self) -> u64 {
        self.capture.id
    }

    fn first(&mut self) -> Self::Part {
        let ports = self.capture.ports(&mut self.told);
        capture::Chunk { id: Some(self.capture.id), ports, ..capture::Chunk::default() }.into()
    }

    fn some(&mut self) -> Option<Self::Part> {
        let ports = self.capture.ports(&mut self.told);
        let mut packets = self.capture.packets();
        packets.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
        self.left -= packets.len() as u64;
        let comes = !ports.is_empty() || !packets.is_empty();
        comes.then(|| capture::Chunk { ports, packets, ..capture::Chunk::default() }.into())
    }

    fn end(&mut self, why: &str) -> Self::Part {
        let end = capture::End { why: why.to_owned(), ports: self.capture.counted(&self.told) };
        capture::Chunk { end: Some(end), ..capture::Chunk::default() }.into()
    }

    fn is_full(&self) -> bool {
        self.left == 0
    }

    fn is_ended(&self) -> bool {
        self.capture.is_ended()
    }

    fn ports_are_gone(&self) -> bool {
        self.capture.ports_are_gone()
    }
}

impl Source for Trace {
    type Part = v1::TraceResponse;

    fn id(&self) -> u64 {
        self.id
    }

    fn first(&mut self) -> Self::Part {
        trace::Chunk { id: Some(self.id), ..trace::Chunk::default() }.into()
    }

    fn some(&mut self) -> Option<Self::Part> {
        let packets = self.packets();
        (!packets.is_empty()).then(|| trace::Chunk { packets, ..trace::Chunk::default() }.into())
    }

    fn end(&mut self, why: &str) -> Self::Part {
        let packets = self.rest();
        let end = trace::End { why: why.to_owned(), lost: self.lost() };
        trace::Chunk { packets, end: Some(end), ..trace::Chunk::default() }.into()
    }

    fn is_full(&self) -> bool {
        self.is_full()
    }

    fn is_ended(&self) -> bool {
        self.is_ended()
    }

    fn ports_are_gone(&self) -> bool {
        self.ports_are_gone()
    }
}

/// Where the parts go.
pub(super) type Parts<P> = mpsc::Sender<Result<P, Status>>;

/// Sends what `source` brings until it ends, and lets the workers go.
pub(super) async fn bring<S: Source>(mut source: S, duration_ns: u64, handle: Handle, parts: Parts<S::Part>) {
    let id = source.id();
    let mut course = Course { parts, patience: STALLED };
    let why = course.run(&mut source, duration_ns, &handle).await;
    if matches!(why, Why::Stopping) {
        course.patience = STOPPING;
    }
    // What the workers have seen by now still comes.
    handle.end_watch(id).await;
    if !matches!(why, Why::Gone) {
        course.finish(&mut source, why).await;
    }
}

/// How far it has come.
struct Course<P> {
    parts: Parts<P>,
    patience: Duration,
}

/// Why it ends.
enum Why {
    Count,
    Time,
    Ports,
    Asked,
    Stopping,
    Gone,
}

impl<P: Send> Course<P> {
    async fn run(&mut self, source: &mut impl Source<Part = P>, duration_ns: u64, handle: &Handle) -> Why {
        let deadline = Instant::now() + Duration::from_nanos(duration_ns);
        if !self.send(source.first()).await {
            return Why::Gone;
        }
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        // As long as packets come it is not waited for more; but others have their turn.
        let mut comes = false;
        loop {
            tokio::select! {
                _ = look.tick(), if !comes => {}
                () = tokio::task::yield_now(), if comes => {}
                () = self.parts.closed() => return Why::Gone,
                () = handle.stops() => return Why::Stopping,
            }
            if source.is_ended() {
                return Why::Asked;
            }
            if source.ports_are_gone() {
                return Why::Ports;
            }
            if Instant::now() >= deadline {
                return Why::Time;
            }
            comes = match source.some() {
                None => false,
                Some(part) => {
                    if !self.send(part).await {
                        return Why::Gone;
                    }
                    true
                }
            };
            if source.is_full() {
                return Why::Count;
            }
        }
    }

    /// Sends what is left, and the end.
    async fn finish(&mut self, source: &mut impl Source<Part = P>, why: Why) {
        while !source.is_full()
            && let Some(part) = source.some()
        {
            if !self.send(part).await {
                return;
            }
        }
        let why = match why {
            Why::Ports => "its ports are no more",
            Why::Stopping => "the switch stops",
            Why::Count | Why::Time | Why::Asked | Why::Gone => "",
        };
        self.send(source.end(why)).await;
    }

    /// Whether the client has taken it.
    async fn send(&self, part: P) -> bool {
        matches!(timeout(self.patience, self.parts.send(Ok(part))).await, Ok(Ok(())))
    }
}

impl Handle {
    /// Lets the workers go. If the control loop takes no more requests, they end soon.
    async fn end_watch(&self, id: u64) {
        let _ = self.ask(STALLED, |answer| Request::EndWatch(id, answer)).await;
    }
}
