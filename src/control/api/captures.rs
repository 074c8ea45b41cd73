//! Brings a capture from the workers to its client.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tonic::Status;

use super::server::{Handle, Request};
use super::v1;
use crate::capture::{Capture, Chunk, End, Spec};

/// How often it is looked for packets.
const LOOK: Duration = Duration::from_millis(5);
/// Parts that wait for the client; the transport takes some more.
pub(super) const PARTS: usize = 4;
/// How long a client may take no part: then it is gone, or has been stopped.
const STALLED: Duration = Duration::from_secs(30);
/// How long it may take when the switch stops; less than clients have to go.
const STOPPING: Duration = Duration::from_millis(500);

/// Where the parts go.
pub(super) type Parts = mpsc::Sender<Result<v1::CaptureResponse, Status>>;

/// Sends what `capture` brings until it ends, and lets the workers go.
pub(super) async fn bring(mut capture: Capture, spec: Spec, handle: Handle, parts: Parts) {
    let id = capture.id;
    let mut course = Course { told: BTreeSet::new(), left: spec.count, parts, patience: STALLED };
    let why = course.run(&mut capture, spec.duration_ns, &handle).await;
    if matches!(why, Why::Stopping) {
        course.patience = STOPPING;
    }
    // What the workers have seen by now still comes.
    handle.end_capture(id).await;
    if !matches!(why, Why::Gone) {
        course.finish(&mut capture, why).await;
    }
}

/// How far a capture has come.
struct Course {
    told: BTreeSet<weft_pipelines::PortId>,
    /// Packets that may still come.
    left: u64,
    parts: Parts,
    patience: Duration,
}

/// Why a capture ends.
enum Why {
    Count,
    Time,
    Ports,
    Asked,
    Stopping,
    Gone,
}

impl Course {
    async fn run(&mut self, capture: &mut Capture, duration_ns: u64, handle: &Handle) -> Why {
        let deadline = Instant::now() + Duration::from_nanos(duration_ns);
        let first = Chunk { id: Some(capture.id), ports: capture.ports(&mut self.told), ..Chunk::default() };
        if !self.send(first).await {
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
            if capture.is_ended() {
                return Why::Asked;
            }
            if capture.ports_are_gone() {
                return Why::Ports;
            }
            if Instant::now() >= deadline {
                return Why::Time;
            }
            match self.some(capture).await {
                Some(some) => comes = some,
                None => return Why::Gone,
            }
            if self.left == 0 {
                return Why::Count;
            }
        }
    }

    /// Sends what has come. Returns whether that was anything; `None` if the client takes no more.
    async fn some(&mut self, capture: &mut Capture) -> Option<bool> {
        let ports = capture.ports(&mut self.told);
        let mut packets = capture.packets();
        packets.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
        self.left -= packets.len() as u64;
        if ports.is_empty() && packets.is_empty() {
            return Some(false);
        }
        self.send(Chunk { ports, packets, ..Chunk::default() }).await.then_some(true)
    }

    /// Sends what is left, and the end.
    async fn finish(&mut self, capture: &mut Capture, why: Why) {
        while self.left > 0 && self.some(capture).await == Some(true) {}
        let why = match why {
            Why::Ports => "its ports are no more",
            Why::Stopping => "the switch stops",
            Why::Count | Why::Time | Why::Asked | Why::Gone => "",
        };
        let end = End { why: why.to_owned(), ports: capture.counted(&self.told) };
        self.send(Chunk { end: Some(end), ..Chunk::default() }).await;
    }

    /// Whether the client has taken it.
    async fn send(&self, chunk: Chunk) -> bool {
        matches!(timeout(self.patience, self.parts.send(Ok(chunk.into()))).await, Ok(Ok(())))
    }
}

impl Handle {
    /// Lets the workers of a capture go. If the control loop takes no more requests, they end soon.
    async fn end_capture(&self, id: u64) {
        let _ = self.ask(STALLED, |answer| Request::EndCapture(id, answer)).await;
    }
}
