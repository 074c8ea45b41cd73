//! What comes of a capture or a trace until its end: its own, or that which somebody wants.

use std::io;
use std::ops::ControlFlow;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use crate::control::api::{Client, ClientError, Incoming};
use crate::{capture, trace};

/// How long the switch may take to end it.
const ENDING: Duration = Duration::from_secs(3);

/// A part of it.
pub(super) trait Part {
    /// How it ended.
    type End;

    /// The number by which it can be ended; in the first part.
    fn id(&self) -> Option<u64>;
    /// The end, in the last part.
    fn end(self) -> Option<Self::End>;
}

impl Part for capture::Chunk {
    type End = capture::End;

    fn id(&self) -> Option<u64> {
        self.id
    }

    fn end(self) -> Option<capture::End> {
        self.end
    }
}

impl Part for trace::Chunk {
    type End = trace::End;

    fn id(&self) -> Option<u64> {
        self.id
    }

    fn end(self) -> Option<trace::End> {
        self.end
    }
}

/// Gives all parts to `take`, until their end. A signal (SIGINT, SIGTERM) ends it, and so does `take` when it breaks: what the
/// switch has seen by then still comes, for 3 s at most or until a second SIGINT. `None`: the switch did not say how it ended.
///
/// # Errors
///
/// When the switch goes away, and those of `take`.
pub(super) async fn take_all<M, P: Part + From<M>, E: From<ClientError> + From<io::Error>>(
    client: &mut Client,
    mut parts: Incoming<M, P>,
    mut take: impl FnMut(&P) -> Result<ControlFlow<()>, E>,
) -> Result<Option<P::End>, E> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let mut id = None;
    loop {
        let part = tokio::select! {
            part = parts.next() => part?,
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
        };
        let Some(part) = part else { return Ok(None) };
        id = id.or(part.id());
        let taken = take(&part)?;
        if let Some(end) = part.end() {
            return Ok(Some(end));
        }
        if taken.is_break() {
            break;
        }
    }
    let Some(id) = id else { return Ok(None) };
    let ending = async {
        client.end_capture(id).await?;
        while let Some(part) = parts.next().await? {
            // It ends already.
            let _ = take(&part)?;
            if let Some(end) = part.end() {
                return Ok(Some(end));
            }
        }
        Ok(None)
    };
    tokio::select! {
        ended = tokio::time::timeout(ENDING, ending) => ended.unwrap_or(Ok(None)),
        _ = interrupt.recv() => Ok(None),
    }
}
