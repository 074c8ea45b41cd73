//! The side of the API that asks.

use std::future::Future;
use std::io;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Code, Status};

use super::convert::Malformed;
use super::v1;
use crate::capture;
use crate::report::{Applied, Document, Plan, Report, RuleReport, SessionFilter, Sessions, StageReport};
use crate::trace;

/// How long a client waits for one thing.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a client waits for what makes a switch go through all that it has, or take up a document.
const LONG_PATIENCE: Duration = Duration::from_secs(120);
/// The largest answer taken: a report with some 600,000 endpoints, or 500,000 sessions.
const ANSWER_BYTES: usize = 128 << 20;

/// A connection to a running switch.
#[derive(Clone, Debug)]
pub struct Client {
    switch: v1::switch_client::SwitchClient<Channel>,
    path: PathBuf,
    patience: Duration,
}

impl Client {
    /// Connects to the switch that listens at `path`. This and each call after it wait 5 s at most.
    ///
    /// # Errors
    ///
    /// When nobody listens there, when the socket may not be opened, and when nobody answers in time.
    pub async fn connect(path: &Path) -> Result<Self, ClientError> {
        Self::connect_within(path, PATIENCE).await
    }

    /// The same, waiting for `patience` at most.
    ///
    /// # Errors
    ///
    /// Those of [`connect`](Self::connect).
    pub async fn connect_within(path: &Path, patience: Duration) -> Result<Self, ClientError> {
        let connect = UnixStream::connect(path);
        let stream =
            within(path, patience, connect).await?.map_err(|error| ClientError::of_io(path, error))?;
        let lost = |source| ClientError::Transport { path: path.into(), source };
        // The address is not used: the one connection of this client is made already.
        let endpoint = Endpoint::from_static("http://switch");
        let slot = Mutex::new(Some(TokioIo::new(stream)));
        let connector = tower::service_fn(move |_: Uri| {
            let stream = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
            std::future::ready(stream.ok_or_else(|| io::Error::from(io::ErrorKind::ConnectionAborted)))
        });
        let channel = endpoint.connect_with_connector(connector);
        let channel = within(path, patience, channel).await?.map_err(lost)?;
        let switch = v1::switch_client::SwitchClient::new(channel).max_decoding_message_size(ANSWER_BYTES);
        Ok(Self { switch, path: path.into(), patience })
    }

    /// All that the switch says of itself now.
    ///
    /// # Errors
    ///
    /// When the switch does not answer in time, refuses, or answers what this program does not understand.
    pub async fn report(&mut self) -> Result<Report, ClientError> {
        let answer = within(&self.path, self.patience, self.switch.report(v1::ReportRequest {})).await?;
        let response = answer.map_err(|status| self.refused(status))?.into_inner();
        Report::try_from(response)
            .map_err(|source| ClientError::Malformed { path: self.path.clone(), source })
    }

    /// Which program answers.
    ///
    /// # Errors
    ///
    /// When the switch does not answer in time, or refuses.
    pub async fn version(&mut self) -> Result<Version, ClientError> {
        let answer = within(&self.path, self.patience, self.switch.version(v1::VersionRequest {})).await?;
        let response = answer.map_err(|status| self.refused(status))?.into_inner();
        Ok(Version { version: response.version, pid: response.pid })
    }

    /// The document in force.
    ///
    /// # Errors
    ///
    /// When the switch does not answer in time, or refuses.
    pub async fn document(&mut self) -> Result<Document, ClientError> {
        let answer = within(&self.path, self.patience, self.switch.document(v1::DocumentRequest {})).await?;
        Ok(answer.map_err(|status| self.refused(status))?.into_inner().into())
    }

    /// What `document`, the text of one, would change.
    ///
    /// # Errors
    ///
    /// When the switch does not answer in time, when the document is wrong or of no use to this switch, and when the
    /// answer is not understood.
    pub async fn plan(&mut self, document: String) -> Result<Plan, ClientError> {
        let request = v1::PlanRequest { document };
        let answer = within(&self.path, self.long(), self.switch.plan(request)).await?;
        let response = answer.map_err(|status| self.refused(status))?.into_inner();
        Plan::try_from(response).map_err(|source| ClientError::Malformed { path: self.path.clone(), source })
    }

    /// Puts `document`, the text of one, in force.
    ///
    /// # Errors
    ///
    /// When the switch does not answer in time, when the document is wrong or refused, and when the answer is not
    /// understood.
    pub async fn apply(&mut self, document: String) -> Result<Applied, ClientError> {
        let request = v1::ApplyRequest { document };
        let answer = within(&self.path, self.long(), self.switch.apply(request)).await?;
        let response = answer.map_err(|status| self.refused(status))?.into_inner();
        Applied::try_from(response)
            .map_err(|source| ClientError::Malformed { path: self.path.clone(), source })
    }

    /// The sessions that `filter` means.
    ///
    /// # Errors
    ///
    /// When the switch does not answer in time, or refuses.
    pub async fn sessions(&mut self, filter: &SessionFilter) -> Result<Sessions, ClientError> {
        let request = v1::SessionsRequest::from(filter.clone());
        let answer = within(&self.path, self.long(), self.switch.sessions(request)).await?;
        Ok(answer.map_err(|status| self.refused(status))?.into_inner().into())
    }

    /// The rules of `tenant`, or of all where it is empty, with what they decided.
    ///
    /// # Errors
    ///
    /// When the switch does not answer in time, or refuses.
    pub async fn rules(&mut self, tenant: &str) -> Result<Vec<RuleReport>, ClientError> {
        let request = v1::RulesRequest { tenant: tenant.to_owned() };
        let answer = within(&self.path, self.long(), self.switch.rules(request)).await?;
        let response = answer.map_err(|status| self.refused(status))?.into_inner();
        Ok(response.rules.into_iter().map(RuleReport::from).collect())
    }

    /// What the stages cost, counted for `time`: 10 ms at least, a minute at most.
    ///
    /// # Errors
    ///
    /// When the switch does not answer in time, and when as many look as may.
    pub async fn stages(&mut self, time: Duration) -> Result<Vec<StageReport>, ClientError> {
        let duration_ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let request = v1::StagesRequest { duration_ns };
        let answer = within(&self.path, time + self.patience, self.switch.stages(request)).await?;
        let response = answer.map_err(|status| self.refused(status))?.into_inner();
        Ok(response.stages.into_iter().map(StageReport::from).collect())
    }

    /// Begins a capture.
    ///
    /// # Errors
    ///
    /// When the switch does not answer in time, when there is no such port, when the filter is wrong, and when as many look
    /// as may.
    pub async fn capture(&mut self, spec: capture::Spec) -> Result<Captures, ClientError> {
        let request = v1::CaptureRequest::from(spec);
        let answer = within(&self.path, self.patience, self.switch.capture(request)).await?;
        let parts = answer.map_err(|status| self.refused(status))?.into_inner();
        Ok(Incoming { parts, path: self.path.clone(), part: PhantomData })
    }

    /// Begins a trace.
    ///
    /// # Errors
    ///
    /// Those of [`capture`](Self::capture).
    pub async fn trace(&mut self, spec: trace::Spec) -> Result<Traces, ClientError> {
        let request = v1::TraceRequest::from(spec);
        let answer = within(&self.path, self.patience, self.switch.trace(request)).await?;
        let parts = answer.map_err(|status| self.refused(status))?.into_inner();
        Ok(Incoming { parts, path: self.path.clone(), part: PhantomData })
    }

    /// Ends the capture or trace of this number: what is left of it still comes.
    ///
    /// # Errors
    ///
    /// When the switch does not answer in time, or refuses.
    pub async fn end_capture(&mut self, id: u64) -> Result<(), ClientError> {
        let request = v1::EndCaptureRequest { id };
        let answer = within(&self.path, self.patience, self.switch.end_capture(request)).await?;
        answer.map(drop).map_err(|status| self.refused(status))
    }

    /// How long it waits for what takes a switch longer.
    fn long(&self) -> Duration {
        self.patience.max(LONG_PATIENCE)
    }

    fn refused(&self, status: Status) -> ClientError {
        let (path, message) = (self.path.clone(), status.message().into());
        match status.code() {
            Code::InvalidArgument => ClientError::Wrong { path, message },
            Code::FailedPrecondition => ClientError::Declined { path, message },
            Code::Unimplemented => ClientError::Unknown { path },
            Code::NotFound | Code::ResourceExhausted => ClientError::Impossible { message },
            _ => ClientError::Answer { path, message },
        }
    }
}

/// A capture or a trace that goes on: the client's end. To drop it ends it.
#[derive(Debug)]
pub struct Incoming<M, P> {
    parts: tonic::Streaming<M>,
    path: PathBuf,
    part: PhantomData<fn() -> P>,
}

/// A capture that goes on.
pub type Captures = Incoming<v1::CaptureResponse, capture::Chunk>;
/// A trace that goes on.
pub type Traces = Incoming<v1::TraceResponse, trace::Chunk>;

impl<M, P: From<M>> Incoming<M, P> {
    /// The next part; `None` when there are no more.
    ///
    /// # Errors
    ///
    /// When the switch goes away in the midst of it.
    pub async fn next(&mut self) -> Result<Option<P>, ClientError> {
        let part = self.parts.message().await;
        let lost = |status: Status| {
            let (path, message) = (self.path.clone(), status.message().to_owned());
            ClientError::Answer { path, message }
        };
        Ok(part.map_err(lost)?.map(P::from))
    }
}

/// Which program answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Its version, as `0.1.0`.
    pub version: String,
    /// Its process.
    pub pid: u32,
}

/// Why the switch was not reached, or did not answer.
#[derive(Debug, Error)]
pub enum ClientError {
    /// There is no socket.
    #[error("no switch runs here: {path} does not exist; start one with `weft run FABRIC --host NAME`",
        path = path.display())]
    Absent {
        /// The socket's path.
        path: PathBuf,
    },
    /// There is a socket, and nobody listens.
    #[error("no switch runs here: nobody listens at {path}, which a switch left that did not end well; \
        start one with `weft run FABRIC --host NAME`", path = path.display())]
    Refused {
        /// The socket's path.
        path: PathBuf,
    },
    /// The socket belongs to another user.
    #[error("{path} may not be opened: ask as the user that runs the switch (`sudo weft …`)", path = path.display())]
    Denied {
        /// The socket's path.
        path: PathBuf,
    },
    /// Too many clients wait already.
    #[error("the switch at {path} takes no more clients now; it is overloaded or stuck", path = path.display())]
    Busy {
        /// The socket's path.
        path: PathBuf,
    },
    /// The switch did not answer in time.
    #[error("the switch at {path} did not answer within {patience:?}; it is overloaded or stuck",
        path = path.display())]
    TimedOut {
        /// The socket's path.
        path: PathBuf,
        /// How long it was waited for.
        patience: Duration,
    },
    /// The system refused for another reason.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The socket's path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Somebody listens, and does not speak this API.
    #[error("{path} does not speak weft's API: {source}", path = path.display())]
    Transport {
        /// The socket's path.
        path: PathBuf,
        /// What went wrong.
        source: tonic::transport::Error,
    },
    /// The switch answered with an error.
    #[error("the switch at {path} gave no answer: {message}", path = path.display())]
    Answer {
        /// The socket's path.
        path: PathBuf,
        /// What the switch said.
        message: String,
    },
    /// The document is wrong.
    #[error("the switch at {path} finds the document wrong:\n{message}", path = path.display())]
    Wrong {
        /// The socket's path.
        path: PathBuf,
        /// All that is wrong with it, a line each.
        message: String,
    },
    /// The switch does not take the document.
    #[error("refused, and nothing has changed: {message}")]
    Declined {
        /// The socket's path.
        path: PathBuf,
        /// Why not.
        message: String,
    },
    /// What is asked for is not there, or there is as much of it as may be.
    #[error("{message}")]
    Impossible {
        /// What the switch said.
        message: String,
    },
    /// The switch is of a version that does not know the question.
    #[error("the switch at {path} is of an older version and cannot answer that; start it anew", path = path.display())]
    Unknown {
        /// The socket's path.
        path: PathBuf,
    },
    /// The answer is of a version that this program does not understand.
    #[error("the answer of the switch at {path} is not understood: {source}; use the `weft` of its version",
        path = path.display())]
    Malformed {
        /// The socket's path.
        path: PathBuf,
        /// What is not understood.
        source: Malformed,
    },
}

impl ClientError {
    fn of_io(path: &Path, source: io::Error) -> Self {
        let path = path.into();
        match source.kind() {
            io::ErrorKind::NotFound => Self::Absent { path },
            io::ErrorKind::ConnectionRefused => Self::Refused { path },
            io::ErrorKind::PermissionDenied => Self::Denied { path },
            // A unix socket whose queue is full says EAGAIN.
            io::ErrorKind::WouldBlock => Self::Busy { path },
            _ => Self::Io { path, source },
        }
    }
}

async fn within<T>(path: &Path, patience: Duration, work: impl Future<Output = T>) -> Result<T, ClientError> {
    let late = |_| ClientError::TimedOut { path: path.into(), patience };
    tokio::time::timeout(patience, work).await.map_err(late)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::tenancy::{Tenancy, tenancy};

    #[tokio::test]
    async fn says_that_no_switch_runs() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("api.sock");
        let error = Client::connect(&path).await.unwrap_err();
        let wanted = format!(
            "no switch runs here: {} does not exist; start one with `weft run FABRIC --host NAME`",
            path.display()
        );
        assert_eq!(error.to_string(), wanted);
    }

    #[tokio::test]
    async fn says_that_a_switch_died() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("api.sock");
        drop(UnixListener::bind(&path).unwrap());
        let error = Client::connect(&path).await.unwrap_err();
        assert!(matches!(error, ClientError::Refused { .. }), "{error}");
    }

    #[test]
    fn says_that_a_socket_is_anothers() {
        let error =
            ClientError::of_io(Path::new("/run/weft/hv-a/api.sock"), io::ErrorKind::PermissionDenied.into());
        assert!(error.to_string().contains("may not be opened"), "{error}");
    }

    #[tokio::test]
    async fn says_that_a_switch_is_too_busy() {
        use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, bind, listen, socket};
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("api.sock");
        let fd = socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
        bind(&fd, &SocketAddrUnix::new(&path).unwrap()).unwrap();
        listen(&fd, 0).unwrap();
        let _first = std::os::unix::net::UnixStream::connect(&path).unwrap();
        assert_eq!(tenancy(&path).unwrap(), Tenancy::Live);
        let error = Client::connect(&path).await.unwrap_err();
        assert!(matches!(error, ClientError::Busy { .. }), "{error}");
    }

    #[tokio::test]
    async fn does_not_wait_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("api.sock");
        let _mute = UnixListener::bind(&path).unwrap();
        let patience = Duration::from_millis(50);
        let asked = async { Client::connect_within(&path, patience).await?.report().await };
        let error = asked.await.unwrap_err();
        assert!(matches!(error, ClientError::TimedOut { .. }), "{error}");
    }

    #[tokio::test]
    async fn says_that_something_else_answers() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("api.sock");
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                drop(stream)
            }
        });
        let asked = async { Client::connect(&path).await?.report().await };
        let error = asked.await.unwrap_err();
        assert!(matches!(error, ClientError::Answer { .. } | ClientError::Transport { .. }), "{error}");
    }
}
