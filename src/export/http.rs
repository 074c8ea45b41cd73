//! Metrics by HTTP/1.1: `GET /metrics`.
//!
//! A connection is for one request, and ends after some seconds whatever its client does. There are so many at once; who
//! comes when there is no place waits in the kernel's queue, for seconds at most.

use std::convert::Infallible;
use std::io;
use std::net::TcpListener;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{ACCEPT, ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::metrics::Source;
use super::text::{self, Format};

/// Connections at once.
const CONNECTIONS: usize = 64;
/// Bytes of a request's head, the least that hyper takes.
const HEAD: usize = 8192;
/// The longest that a request's head may take.
const READ: Duration = Duration::from_secs(3);
/// The longest that a connection may take.
const WHOLE: Duration = Duration::from_secs(10);
/// After the system had no descriptor for a connection.
const PAUSE: Duration = Duration::from_millis(100);

/// Answers until it is dropped.
///
/// # Errors
///
/// When the listener cannot be used.
pub async fn serve(listener: TcpListener, source: Source) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let (source, places) = (Arc::new(Mutex::new(source)), Arc::new(Semaphore::new(CONNECTIONS)));
    loop {
        // The semaphore is never closed.
        let Ok(place) = places.clone().acquire_owned().await else { return Ok(()) };
        let Ok((stream, _)) = listener.accept().await else {
            sleep(PAUSE).await;
            continue;
        };
        let source = source.clone();
        tokio::spawn(async move {
            // Whatever ends it, it is the client's to try again.
            let _ = timeout(WHOLE, connection(stream, source)).await;
            drop(place);
        });
    }
}

async fn connection(stream: TcpStream, source: Arc<Mutex<Source>>) -> hyper::Result<()> {
    let service = service_fn(move |request| {
        let answer = answer(&request, &source);
        async move { Ok::<_, Infallible>(answer) }
    });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(READ).max_buf_size(HEAD).keep_alive(false);
    server.serve_connection(TokioIo::new(stream), service).await
}

fn answer<B>(request: &Request<B>, source: &Mutex<Source>) -> Response<Full<Bytes>> {
    let is_read = [Method::GET, Method::HEAD].contains(request.method());
    match (request.uri().path(), is_read) {
        ("/metrics", true) => {
            let accept: Vec<&str> =
                request.headers().get_all(ACCEPT).iter().filter_map(|of| of.to_str().ok()).collect();
            let format = Format::accepted(&accept.join(","));
            // A panic in another request leaves at most a file that is opened anew.
            let families = source.lock().unwrap_or_else(PoisonError::into_inner).families();
            said(StatusCode::OK, text::write(&families, format), format.content_type())
        }
        ("/metrics", false) => {
            let mut response = said(StatusCode::METHOD_NOT_ALLOWED, "metrics are read by GET\n", PLAIN);
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            response
        }
        _ => said(StatusCode::NOT_FOUND, "nothing is here; the metrics are at /metrics\n", PLAIN),
    }
}

const PLAIN: &str = "text/plain; charset=utf-8";

fn said(status: StatusCode, body: impl Into<Bytes>, content_type: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

#[cfg(test)]
mod tests;
