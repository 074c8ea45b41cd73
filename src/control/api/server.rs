//! The side of the API that answers.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use thiserror::Error;
use tokio::net::UnixListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_stream::wrappers::{ReceiverStream, UnixListenerStream};
use tonic::{Response, Status};

use super::Socket;
use super::v1;
use super::watches::{self, Capturing, PARTS};
use crate::capture::{self, Capture};
use crate::config::{self, Fabric};
use crate::report::{Applied, Document, Plan, Report, RuleReport, SessionFilter, Sessions, StageReport};
use crate::trace::{self, Trace};
use crate::worker::{Spent, Sums};

/// How long a switch may take to tell how it stands; less than what a client waits.
const REPORT_TIME: Duration = Duration::from_secs(4);
/// How long it may take to go through all sessions and rules, or to take up a document; less than what a client waits.
const CHANGE_TIME: Duration = Duration::from_secs(100);
/// How long clients may take to go after the end was called.
const GRACE: Duration = Duration::from_secs(1);
/// How long stages are counted at least, and at most.
const SHORTEST_PROFILE: Duration = Duration::from_millis(10);
const LONGEST_PROFILE: Duration = Duration::from_secs(60);
/// How many clients may wait for an answer at once.
const QUEUE: usize = 16;
/// The largest request: the largest document, and what is round it.
const REQUEST_BYTES: usize = (32 << 20) + (64 << 10);

/// The longest error: it travels in a header.
const MESSAGE_BYTES: usize = 4000;

/// Answers clients on `socket` through `handle` until `shutdown` completes. The socket's file goes with it.
///
/// Made for a runtime of one thread (tokio's current-thread one), which is all that it needs.
///
/// # Errors
///
/// When the socket cannot be listened on.
pub async fn serve(
    socket: Socket,
    handle: Handle,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let incoming = UnixListenerStream::new(UnixListener::from_std(socket.listener()?)?);
    let (end, mut ended) = watch::channel(());
    let until_shutdown = async {
        shutdown.await;
        drop(end);
    };
    let service = v1::switch_server::SwitchServer::new(Service { handle });
    let service = service.max_decoding_message_size(REQUEST_BYTES);
    let server =
        tonic::transport::Server::builder().serve_with_incoming_shutdown(service, incoming, until_shutdown);
    let out_of_patience = async {
        // An error says that the sender is gone: the end was called.
        while ended.changed().await.is_ok() {}
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        served = server => served?,
        () = out_of_patience => tracing::debug!("a client of the API was cut off"),
    }
    Ok(())
}

/// A way to ask the control loop, and the loop's end of it.
pub fn channel() -> (Handle, Requests) {
    let (sender, receiver) = mpsc::channel(QUEUE);
    (Handle { requests: sender, patience: None }, receiver)
}

/// The requests that the control loop answers.
pub type Requests = mpsc::Receiver<Request>;

/// What is asked of the control loop, with where the answer goes. One that is dropped tells the client that the switch
/// is stopping.
#[derive(Debug)]
pub enum Request {
    /// How the switch stands.
    Report(Answer<Report>),
    /// The document in force.
    Document(Answer<Document>),
    /// What a document would change.
    Plan(Box<Proposal>, Answer<Plan>),
    /// To put a document in force.
    Apply(Box<Proposal>, Answer<Applied>),
    /// The sessions that are meant.
    Sessions(Box<SessionFilter>, Answer<Sessions>),
    /// The rules of a tenant; of all where it is empty.
    Rules(String, Answer<Vec<RuleReport>>),
    /// To begin a capture.
    Capture(Box<capture::Spec>, Answer<Capture>),
    /// To begin a trace.
    Trace(Box<trace::Spec>, Answer<Trace>),
    /// To begin to count what stages cost: the number to end it by, and what each worker counts.
    Profile(Answer<(u64, Vec<Arc<Sums>>)>),
    /// To end a capture, a trace, or the counting.
    EndWatch(u64, Answer<()>),
}

/// Where the control loop sends an answer, or why there is none.
pub type Answer<T> = oneshot::Sender<Result<T, RequestError>>;

/// A document that was read.
#[derive(Debug)]
pub struct Proposal {
    /// Its text.
    pub text: String,
    /// What it describes.
    pub fabric: Fabric,
    /// How long it took to read.
    pub read: Duration,
}

/// Asks the control loop, and waits for it for a bounded time.
#[derive(Clone, Debug)]
pub struct Handle {
    requests: mpsc::Sender<Request>,
    /// In tests: how long an answer may take.
    patience: Option<Duration>,
}

impl Handle {
    pub(super) async fn ask<T>(
        &self,
        patience: Duration,
        request: impl FnOnce(Answer<T>) -> Request,
    ) -> Result<T, RequestError> {
        let (answer, answered) = oneshot::channel();
        let ask = async {
            self.requests.send(request(answer)).await.map_err(|_| RequestError::Stopping)?;
            answered.await.map_err(|_| RequestError::Stopping)?
        };
        let patience = self.patience.unwrap_or(patience);
        tokio::time::timeout(patience, ask).await.map_err(|_| RequestError::Late(patience))?
    }
}

impl Handle {
    /// Comes when the control loop takes no more requests.
    pub(super) async fn stops(&self) {
        self.requests.closed().await;
    }
}

/// Reads a document on another thread: a large one takes a second, and the control thread has other things to do.
async fn proposal(text: String) -> Result<Box<Proposal>, RequestError> {
    let start = Instant::now();
    let read = tokio::task::spawn_blocking(move || {
        let fabric = config::parse("the document", &text)?;
        Ok(Box::new(Proposal { text, fabric, read: start.elapsed() }))
    });
    match read.await {
        Ok(read) => read.map_err(|found: config::Diagnostics| RequestError::Wrong(found.to_string())),
        Err(panic) => Err(RequestError::Broken(format!("the document was not read: {panic}"))),
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RequestError {
    /// The control loop takes no requests any more.
    #[error("the switch is stopping")]
    Stopping,
    /// The switch cannot say how it stands.
    #[error("{0}")]
    Broken(String),
    /// The control loop did not answer in time.
    #[error("the switch gave no answer within {0:?}: its control thread is busy or stuck")]
    Late(Duration),
    /// The document is wrong, wherever it would be used.
    #[error("{0}")]
    Wrong(String),
    /// The switch does not take the document.
    #[error("{0}")]
    Refused(String),
    /// What is asked for is not there, or not written as it should be.
    #[error("{0}")]
    Unknown(String),
    /// There is as much of that as there may be.
    #[error("{0}")]
    TooMany(String),
}

impl From<RequestError> for Status {
    fn from(error: RequestError) -> Self {
        let mut message = error.to_string();
        if message.len() > MESSAGE_BYTES {
            message.truncate(message.floor_char_boundary(MESSAGE_BYTES));
            message.push_str(" ... and more");
        }
        match error {
            RequestError::Stopping => Self::unavailable(message),
            RequestError::Broken(_) => Self::internal(message),
            RequestError::Late(_) => Self::deadline_exceeded(message),
            RequestError::Wrong(_) => Self::invalid_argument(message),
            RequestError::Refused(_) => Self::failed_precondition(message),
            RequestError::Unknown(_) => Self::not_found(message),
            RequestError::TooMany(_) => Self::resource_exhausted(message),
        }
    }
}

/// Why the API is not served.
#[derive(Debug, Error)]
pub enum ServeError {
    /// The listener cannot be used.
    #[error("the API's socket: {0}")]
    Listener(#[from] io::Error),
    /// The server failed.
    #[error("the API's server: {0}")]
    Server(#[from] tonic::transport::Error),
}

struct Service {
    handle: Handle,
}

#[tonic::async_trait]
impl v1::switch_server::Switch for Service {
    async fn report(&self, _: Asked<v1::ReportRequest>) -> Answered<v1::ReportResponse> {
        Ok(Response::new(self.handle.ask(REPORT_TIME, Request::Report).await?.into()))
    }

    async fn version(&self, _: Asked<v1::VersionRequest>) -> Answered<v1::VersionResponse> {
        let version = env!("CARGO_PKG_VERSION").into();
        Ok(Response::new(v1::VersionResponse { version, pid: std::process::id() }))
    }

    async fn document(&self, _: Asked<v1::DocumentRequest>) -> Answered<v1::DocumentResponse> {
        Ok(Response::new(self.handle.ask(REPORT_TIME, Request::Document).await?.into()))
    }

    async fn plan(&self, request: Asked<v1::PlanRequest>) -> Answered<v1::PlanResponse> {
        let proposal = proposal(request.into_inner().document).await?;
        let plan = self.handle.ask(CHANGE_TIME, |answer| Request::Plan(proposal, answer));
        Ok(Response::new(plan.await?.into()))
    }

    async fn apply(&self, request: Asked<v1::ApplyRequest>) -> Answered<v1::ApplyResponse> {
        let proposal = proposal(request.into_inner().document).await?;
        let applied = self.handle.ask(CHANGE_TIME, |answer| Request::Apply(proposal, answer));
        Ok(Response::new(applied.await?.into()))
    }

    async fn sessions(&self, request: Asked<v1::SessionsRequest>) -> Answered<v1::SessionsResponse> {
        let filter = Box::new(request.into_inner().into());
        let sessions = self.handle.ask(CHANGE_TIME, |answer| Request::Sessions(filter, answer));
        Ok(Response::new(sessions.await?.into()))
    }

    async fn rules(&self, request: Asked<v1::RulesRequest>) -> Answered<v1::RulesResponse> {
        let tenant = request.into_inner().tenant;
        let rules = self.handle.ask(CHANGE_TIME, |answer| Request::Rules(tenant, answer)).await?;
        Ok(Response::new(v1::RulesResponse { rules: rules.into_iter().map(Into::into).collect() }))
    }

    type CaptureStream = ReceiverStream<Result<v1::CaptureResponse, Status>>;

    async fn capture(&self, request: Asked<v1::CaptureRequest>) -> Answered<Self::CaptureStream> {
        let spec = capture::Spec::from(request.into_inner());
        let (count, duration) = (spec.count, spec.duration_ns);
        let capture = self.handle.ask(REPORT_TIME, |answer| Request::Capture(Box::new(spec), answer)).await?;
        let (parts, client) = mpsc::channel(PARTS);
        tokio::spawn(watches::bring(Capturing::new(capture, count), duration, self.handle.clone(), parts));
        Ok(Response::new(ReceiverStream::new(client)))
    }

    type TraceStream = ReceiverStream<Result<v1::TraceResponse, Status>>;

    async fn trace(&self, request: Asked<v1::TraceRequest>) -> Answered<Self::TraceStream> {
        let spec = trace::Spec::from(request.into_inner());
        let duration = spec.duration_ns;
        let trace = self.handle.ask(REPORT_TIME, |answer| Request::Trace(Box::new(spec), answer)).await?;
        let (parts, client) = mpsc::channel(PARTS);
        tokio::spawn(watches::bring(trace, duration, self.handle.clone(), parts));
        Ok(Response::new(ReceiverStream::new(client)))
    }

    async fn stages(&self, request: Asked<v1::StagesRequest>) -> Answered<v1::StagesResponse> {
        let time =
            Duration::from_nanos(request.into_inner().duration_ns).clamp(SHORTEST_PROFILE, LONGEST_PROFILE);
        let handle = self.handle.clone();
        // Runs to its end also if the client does not wait for it: or the workers would count for ever.
        let counted = tokio::spawn(async move {
            let (id, sums) = handle.ask(REPORT_TIME, Request::Profile).await?;
            tokio::select! {
                () = tokio::time::sleep(time) => {}
                () = handle.stops() => {}
            }
            handle.ask(CHANGE_TIME, |answer| Request::EndWatch(id, answer)).await?;
            Ok::<_, RequestError>(sums)
        });
        let sums = counted.await.map_err(|panic| Status::internal(panic.to_string()))??;
        Ok(Response::new(v1::StagesResponse { stages: rows(&sums).map(Into::into).collect() }))
    }

    async fn end_capture(&self, request: Asked<v1::EndCaptureRequest>) -> Answered<v1::EndCaptureResponse> {
        let id = request.into_inner().id;
        self.handle.ask(REPORT_TIME, |answer| Request::EndWatch(id, answer)).await?;
        Ok(Response::new(v1::EndCaptureResponse {}))
    }
}

/// What the workers have counted of the stages that something came by.
fn rows(sums: &[Arc<Sums>]) -> impl Iterator<Item = StageReport> + '_ {
    (0..).zip(sums).flat_map(|(worker, sums)| {
        let spent = sums.spent().filter(|spent| spent.cycles > 0);
        spent.map(move |Spent { stage, bursts, packets, cycles }| StageReport {
            worker,
            stage: stage.to_owned(),
            bursts,
            packets,
            cycles,
        })
    })
}

type Asked<T> = tonic::Request<T>;
type Answered<T> = Result<Response<T>, Status>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::api::{Client, ClientError};
    use crate::report::samples;
    use crate::tenancy::{Tenancy, tenancy};

    const DOCUMENT: &str = "fabric: { name: lab }\nhosts: [{ name: hv-a, vtep: 198.51.100.1 }]\n";

    /// A control loop that knows the samples, and takes documents of a fabric that is not called `bad`.
    async fn answer(mut requests: Requests) {
        while let Some(request) = requests.recv().await {
            match request {
                Request::Report(answer) => drop(answer.send(Ok(samples::report()))),
                Request::Document(answer) => drop(answer.send(Ok(samples::document()))),
                Request::Plan(_, answer) => drop(answer.send(Ok(samples::plan()))),
                Request::Apply(proposal, answer) => {
                    let refused = proposal.fabric.name == "bad";
                    let refused = refused.then(|| RequestError::Refused("not this one".into()));
                    drop(answer.send(refused.map_or_else(|| Ok(samples::applied()), Err)));
                }
                Request::Sessions(filter, answer) => {
                    assert_eq!(*filter, samples::filter());
                    drop(answer.send(Ok(samples::sessions())));
                }
                Request::Rules(tenant, answer) => {
                    assert_eq!(tenant, "blue");
                    drop(answer.send(Ok(samples::rules())));
                }
                Request::Capture(_, answer) => {
                    drop(answer.send(Err(RequestError::Unknown("no port".into()))));
                }
                Request::Trace(_, answer) => {
                    drop(answer.send(Err(RequestError::TooMany("4 look already".into()))));
                }
                Request::Profile(answer) => drop(answer.send(Ok((7, vec![Arc::default()])))),
                Request::EndWatch(id, answer) => {
                    let mine = if id == 7 { Ok(()) } else { Err(RequestError::Unknown("no such".into())) };
                    drop(answer.send(mine));
                }
            }
        }
    }

    #[tokio::test]
    async fn a_client_reads_what_the_control_loop_answers() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("api.sock");
        let (handle, requests) = channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let server = tokio::spawn(serve(Socket::bind(&path).unwrap(), handle, async {
            let _ = stopped.await;
        }));
        tokio::spawn(answer(requests));

        let mut client = Client::connect(&path).await.unwrap();
        assert_eq!(client.report().await.unwrap(), samples::report());
        assert_eq!(client.report().await.unwrap(), samples::report());
        let version = client.version().await.unwrap();
        assert_eq!((version.version.as_str(), version.pid), (env!("CARGO_PKG_VERSION"), std::process::id()));
        assert_eq!(client.document().await.unwrap(), samples::document());
        assert_eq!(client.stages(Duration::from_millis(1)).await.unwrap(), []);
        assert_eq!(client.plan(DOCUMENT.to_owned()).await.unwrap(), samples::plan());
        assert_eq!(client.apply(DOCUMENT.to_owned()).await.unwrap(), samples::applied());
        assert_eq!(client.sessions(&samples::filter()).await.unwrap(), samples::sessions());
        assert_eq!(client.rules("blue").await.unwrap(), samples::rules());

        stop.send(()).unwrap();
        server.await.unwrap().unwrap();
        assert_eq!(tenancy(&path).unwrap(), Tenancy::Vacant);
    }

    #[tokio::test]
    async fn documents_are_read_before_the_control_loop_gets_them_and_may_be_large() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("api.sock");
        let (handle, requests) = channel();
        tokio::spawn(serve(Socket::bind(&path).unwrap(), handle, std::future::pending()));
        tokio::spawn(answer(requests));
        let mut client = Client::connect(&path).await.unwrap();
        let wrong = client.apply(DOCUMENT.replace("vtep", "vtap")).await.unwrap_err();
        assert!(matches!(wrong, ClientError::Wrong { .. }), "{wrong}");
        assert!(
            wrong.to_string().contains("the document:2:23: error: host hv-a: unknown key `vtap`"),
            "{wrong}"
        );
        let many = (0..2_000).fold(DOCUMENT.to_owned(), |text, n| format!("{text}junk{n}: 1\n"));
        let wrong = client.plan(many).await.unwrap_err();
        assert!(wrong.to_string().ends_with("... and more"), "{wrong}");
        let refused = client.apply(DOCUMENT.replace("name: lab", "name: bad")).await.unwrap_err();
        assert!(matches!(refused, ClientError::Declined { .. }), "{refused}");
        assert!(refused.to_string().contains("not this one"), "{refused}");
        // As large as a document may be, nearly all of it a comment.
        let filler = format!("#{}\n", "x".repeat(1022));
        let large = format!("{DOCUMENT}{}", filler.repeat((32 << 10) - 1));
        assert!(large.len() > 31 << 20);
        assert_eq!(client.plan(large).await.unwrap(), samples::plan());
    }

    #[tokio::test]
    async fn a_stopping_switch_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("api.sock");
        let (handle, requests) = channel();
        drop(requests);
        tokio::spawn(serve(Socket::bind(&path).unwrap(), handle, std::future::pending()));
        let error = Client::connect(&path).await.unwrap().report().await.unwrap_err();
        assert!(matches!(error, ClientError::Answer { .. }), "{error}");
        assert!(error.to_string().contains("the switch is stopping"), "{error}");
    }

    #[tokio::test]
    async fn a_stuck_control_loop_is_waited_for_no_longer_than_it_may_take() {
        let (handle, _requests) = channel();
        let patience = Duration::from_millis(20);
        let handle = Handle { patience: Some(patience), ..handle };
        assert_eq!(handle.ask(REPORT_TIME, Request::Report).await, Err(RequestError::Late(patience)));
    }

    #[tokio::test]
    async fn a_client_that_stays_silent_does_not_hold_up_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("api.sock");
        let (handle, _requests) = channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let server = tokio::spawn(serve(Socket::bind(&path).unwrap(), handle, async {
            let _ = stopped.await;
        }));
        let _silent = tokio::net::UnixStream::connect(&path).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        stop.send(()).unwrap();
        tokio::time::timeout(GRACE * 3, server).await.unwrap().unwrap().unwrap();
        assert_eq!(tenancy(&path).unwrap(), Tenancy::Vacant);
    }
}
