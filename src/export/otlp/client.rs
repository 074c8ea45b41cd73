//! The collector, by HTTP: a request, and what its answer means.

use core::error::Error;
use core::fmt;
use core::str::FromStr;
use std::time::{Duration, SystemTime};

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER, USER_AGENT};
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use prost::Message;
use thiserror::Error;
use tokio::time::timeout;

/// Where OTLP has metrics.
const PATH: &str = "/v1/metrics";
/// The longest that a request may take, as OpenTelemetry's exporters have it.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest that a connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// Bytes of an answer.
const ANSWER: usize = 64 << 10;
/// Characters of what a collector says that are shown.
const SHOWN: usize = 200;
const PROTOBUF: HeaderValue = HeaderValue::from_static("application/x-protobuf");

/// Where metrics go to: `http://HOST:PORT`, with `/v1/metrics` unless there is another path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target(Uri);

/// It is no such place.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum TargetError {
    /// It is no URL of HTTP with host and port.
    #[error("it has to be http://HOST:PORT or http://HOST:PORT/PATH, as http://198.51.100.9:4318")]
    Form,
    /// It asks for TLS.
    #[error(
        "TLS is not spoken here; send by http:// to a collector on this host, which sends on by https://"
    )]
    Tls,
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let uri: Uri = text.parse().map_err(|_| TargetError::Form)?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => return Err(TargetError::Tls),
            _ => return Err(TargetError::Form),
        }
        let authority = uri.authority().ok_or(TargetError::Form)?;
        let is_host = !authority.host().is_empty() && !authority.as_str().contains('@');
        let is_port = authority.port_u16().is_some_and(|port| port > 0);
        if !is_host || !is_port {
            return Err(TargetError::Form);
        }
        let path = match uri.path_and_query().map(|path| path.as_str()) {
            None | Some("" | "/") => PATH,
            Some(path) => path,
        };
        let whole = Uri::builder().scheme("http").authority(authority.clone()).path_and_query(path);
        whole.build().map(Self).map_err(|_| TargetError::Form)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a push has failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The collector does not want it: the same is not to be sent again.
    Refused(String),
    /// It may work later, after so long if the collector has said that.
    Later {
        /// What went wrong.
        why: String,
        /// The collector's word on when to come again.
        after: Option<Duration>,
    },
}

/// What speaks with the collector.
#[derive(Debug)]
pub struct Client {
    http: legacy::Client<HttpConnector, Full<Bytes>>,
    target: Target,
}

impl Client {
    /// That of a collector, which need not be there.
    pub fn new(target: Target) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT));
        connector.set_nodelay(true);
        let mut http = legacy::Client::builder(TokioExecutor::new());
        http.pool_timer(TokioTimer::new()).pool_max_idle_per_host(1);
        Self { http: http.build(connector), target }
    }

    /// Where it sends to.
    pub const fn target(&self) -> &Target {
        &self.target
    }

    /// Sends a request. What the collector did not take of it, or has to say about it, comes back.
    ///
    /// # Errors
    ///
    /// When it did not take it at all.
    pub async fn post(&self, body: Vec<u8>) -> Result<Option<String>, Failure> {
        let later = |why| Failure::Later { why, after: None };
        match timeout(PATIENCE, self.exchange(body)).await {
            Ok(done) => done,
            Err(_) => Err(later(format!("no answer within {} s", PATIENCE.as_secs()))),
        }
    }

    async fn exchange(&self, body: Vec<u8>) -> Result<Option<String>, Failure> {
        let later = |why| Failure::Later { why, after: None };
        let request = Request::post(self.target.0.clone())
            .header(CONTENT_TYPE, PROTOBUF)
            .header(USER_AGENT, concat!("weft/", env!("CARGO_PKG_VERSION")))
            .body(Full::from(body))
            .map_err(|error| Failure::Refused(error.to_string()))?;
        let response = self.http.request(request).await.map_err(|error| later(innermost(&error)))?;
        let (head, body) = Response::into_parts(response);
        let body = said(body).await;
        if head.status == StatusCode::OK {
            // Of an answer that cannot be read it is known all the same that it was one.
            let answer = body.and_then(|body| ExportMetricsServiceResponse::decode(body).ok());
            return Ok(answer.and_then(|answer| answer.partial_success).and_then(partly));
        }
        let why = refusal(head.status, &head.headers, body);
        Err(match head.status {
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => Failure::Later { why, after: retry_after(&head.headers) },
            _ => Failure::Refused(why),
        })
    }
}

/// The body of an answer, unless it is too long.
async fn said(body: Incoming) -> Option<Bytes> {
    Limited::new(body, ANSWER).collect().await.ok().map(|body| body.to_bytes())
}

fn partly(
    partial: opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsPartialSuccess,
) -> Option<String> {
    let (rejected, why) = (partial.rejected_data_points, shown(&partial.error_message));
    match (rejected, why.is_empty()) {
        (0, true) => None,
        (0, false) => Some(format!("the collector takes it, and says: {why}")),
        (_, true) => Some(format!("the collector leaves out {rejected} of the points")),
        (_, false) => Some(format!("the collector leaves out {rejected} of the points: {why}")),
    }
}

/// What an error answer carries (google.rpc.Status): its code, and a sentence.
#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

fn refusal(status: StatusCode, headers: &HeaderMap, body: Option<Bytes>) -> String {
    let header = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let body = body.unwrap_or_default();
    let kind = header(CONTENT_TYPE).unwrap_or("text/plain");
    let said = match header(LOCATION) {
        Some(elsewhere) if status.is_redirection() => format!("it is at {elsewhere}"),
        _ if kind.starts_with("application/x-protobuf") => {
            Status::decode(body).map(|status| status.message).unwrap_or_default()
        }
        // Pages of HTML are for other readers.
        _ if kind.starts_with("text/html") => String::new(),
        _ => String::from_utf8_lossy(&body).into_owned(),
    };
    let said = shown(&said);
    format!("the collector answers {status}{}{said}", if said.is_empty() { "" } else { ": " })
}

/// A line of what somebody else says.
fn shown(text: &str) -> String {
    let line = text.trim().lines().next().unwrap_or_default();
    line.chars().filter(|char| !char.is_control()).take(SHOWN).collect()
}

/// When to come again: so many seconds, or a date (RFC 9110, section 10.2.3).
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    text.parse().map(Duration::from_secs).ok().or_else(|| {
        let at = httpdate::parse_http_date(text).ok()?;
        Some(at.duration_since(SystemTime::now()).unwrap_or_default())
    })
}

/// What went wrong in the first place.
fn innermost(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
