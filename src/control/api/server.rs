//! The side of the API that answers.

use std::future::Future;
use std::io;
use std::time::Duration;

use thiserror::Error;
use tokio::net::UnixListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_stream::wrappers::UnixListenerStream;
use tonic::{Request, Response, Status};

use super::Socket;
use super::v1;
use crate::report::Report;

/// How long a switch may take to make a report; less than what a client waits.
const REPORT_TIME: Duration = Duration::from_secs(4);
/// How long clients may take to go after the end was called.
const GRACE: Duration = Duration::from_secs(1);
/// How many clients may wait for a report at once.
const QUEUE: usize = 16;

/// Answers clients on `socket` from `source` until `shutdown` completes. The socket's file goes with it.
///
/// Made for a runtime of one thread (tokio's current-thread one), which is all that it needs.
///
/// # Errors
///
/// When the socket cannot be listened on.
pub async fn serve(
    socket: Socket,
    source: impl ReportSource,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let incoming = UnixListenerStream::new(UnixListener::from_std(socket.listener()?)?);
    let (end, mut ended) = watch::channel(());
    let until_shutdown = async {
        shutdown.await;
        drop(end);
    };
    let service = v1::switch_server::SwitchServer::new(Service { source });
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

/// Where reports come from.
pub trait ReportSource: Clone + Send + Sync + 'static {
    /// A report of this moment.
    fn report(&self) -> impl Future<Output = Result<Report, SourceError>> + Send;
}

/// A way to ask the control loop for reports, and the loop's end of it.
pub fn report_channel() -> (ReportHandle, ReportRequests) {
    let (sender, receiver) = mpsc::channel(QUEUE);
    (ReportHandle { requests: sender, patience: REPORT_TIME }, receiver)
}

/// Asks the control loop for a report, and waits for it for a bounded time.
#[derive(Clone, Debug)]
pub struct ReportHandle {
    requests: mpsc::Sender<ReportAnswer>,
    patience: Duration,
}

/// Where the control loop sends a report, or why there is none.
pub type ReportAnswer = oneshot::Sender<Result<Report, SourceError>>;

/// The requests that the control loop answers, each by sending a report. A sender that is dropped tells the
/// client that the switch is stopping.
pub type ReportRequests = mpsc::Receiver<ReportAnswer>;

impl ReportSource for ReportHandle {
    async fn report(&self) -> Result<Report, SourceError> {
        let (answer, report) = oneshot::channel();
        let ask = async {
            self.requests.send(answer).await.map_err(|_| SourceError::Stopping)?;
            report.await.map_err(|_| SourceError::Stopping)?
        };
        tokio::time::timeout(self.patience, ask).await.map_err(|_| SourceError::Late(self.patience))?
    }
}

/// Why there is no report.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SourceError {
    /// The control loop takes no requests any more.
    #[error("the switch is stopping")]
    Stopping,
    /// The switch cannot say how it stands.
    #[error("{0}")]
    Broken(String),
    /// The control loop did not answer in time.
    #[error("the switch made no report within {0:?}: its control thread is busy or stuck")]
    Late(Duration),
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

struct Service<S> {
    source: S,
}

#[tonic::async_trait]
impl<S: ReportSource> v1::switch_server::Switch for Service<S> {
    async fn report(&self, _: Request<v1::ReportRequest>) -> Result<Response<v1::ReportResponse>, Status> {
        let report = self.source.report().await.map_err(|error| match error {
            SourceError::Stopping => Status::unavailable(error.to_string()),
            SourceError::Broken(_) => Status::internal(error.to_string()),
            SourceError::Late(_) => Status::deadline_exceeded(error.to_string()),
        })?;
        Ok(Response::new(report.into()))
    }

    async fn version(&self, _: Request<v1::VersionRequest>) -> Result<Response<v1::VersionResponse>, Status> {
        let version = env!("CARGO_PKG_VERSION").into();
        Ok(Response::new(v1::VersionResponse { version, pid: std::process::id() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::api::{Client, ClientError};
    use crate::report::samples;
    use crate::tenancy::{Tenancy, tenancy};

    #[tokio::test]
    async fn a_client_reads_the_report_of_the_control_loop() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("api.sock");
        let (handle, mut requests) = report_channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let server = tokio::spawn(serve(Socket::bind(&path).unwrap(), handle, async {
            let _ = stopped.await;
        }));
        tokio::spawn(async move {
            while let Some(answer) = requests.recv().await {
                answer.send(Ok(samples::report())).unwrap();
            }
        });

        let mut client = Client::connect(&path).await.unwrap();
        assert_eq!(client.report().await.unwrap(), samples::report());
        assert_eq!(client.report().await.unwrap(), samples::report());
        let version = client.version().await.unwrap();
        assert_eq!((version.version.as_str(), version.pid), (env!("CARGO_PKG_VERSION"), std::process::id()));

        stop.send(()).unwrap();
        server.await.unwrap().unwrap();
        assert_eq!(tenancy(&path).unwrap(), Tenancy::Vacant);
    }

    #[tokio::test]
    async fn a_stopping_switch_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("api.sock");
        let (handle, requests) = report_channel();
        drop(requests);
        tokio::spawn(serve(Socket::bind(&path).unwrap(), handle, std::future::pending()));
        let error = Client::connect(&path).await.unwrap().report().await.unwrap_err();
        assert!(matches!(error, ClientError::Answer { .. }), "{error}");
        assert!(error.to_string().contains("the switch is stopping"), "{error}");
    }

    #[tokio::test]
    async fn a_stuck_control_loop_is_waited_for_no_longer_than_it_may_take() {
        let (handle, _requests) = report_channel();
        let handle = ReportHandle { patience: Duration::from_millis(20), ..handle };
        assert_eq!(handle.report().await, Err(SourceError::Late(handle.patience)));
    }

    #[tokio::test]
    async fn a_client_that_stays_silent_does_not_hold_up_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("api.sock");
        let (handle, _requests) = report_channel();
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
