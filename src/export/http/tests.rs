//! Requests, well-behaved and not.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::*;

/// Asks a server in a thread of its own, which ends with this process.
fn server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    std::thread::spawn(move || {
        runtime.block_on(serve(listener, Source::new("/nowhere/stats".into(), vec![])))
    });
    address
}

fn ask(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(WHOLE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    // One that was refused in the middle of what it says may see a reset after the answer.
    let _ = stream.read_to_string(&mut answer);
    answer
}

#[test]
fn metrics_are_served_and_all_else_is_refused_with_a_hint() {
    let address = server();
    // These say nothing, as many as may be: they hold nobody up.
    let _silent: Vec<TcpStream> =
        (0..CONNECTIONS - 1).map(|_| TcpStream::connect(address).unwrap()).collect();
    let plain = ask(address, "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(plain.starts_with("HTTP/1.1 200 OK\r\n"), "{plain}");
    assert!(plain.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"), "{plain}");
    assert!(plain.contains("\nweft_up 0\n") && !plain.contains("# EOF"), "{plain}");
    let open =
        ask(address, "GET /metrics?x=y HTTP/1.1\r\nHost: a\r\nAccept: application/openmetrics-text\r\n\r\n");
    assert!(open.contains("content-type: application/openmetrics-text; version=1.0.0"), "{open}");
    assert!(open.ends_with("\n# EOF\n"), "{open}");
    let head = ask(address, "HEAD /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.ends_with("\r\n\r\n"), "{head}");
    let wrong = ask(address, "GET /metric HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(wrong.starts_with("HTTP/1.1 404 "), "{wrong}");
    assert!(wrong.ends_with("nothing is here; the metrics are at /metrics\n"), "{wrong}");
    let post = ask(address, "POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    assert!(post.starts_with("HTTP/1.1 405 ") && post.contains("allow: GET, HEAD\r\n"), "{post}");
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(2 * HEAD));
    let refused = ask(address, &long);
    assert!(refused.is_empty() || refused.starts_with("HTTP/1.1 4"), "{refused}");
}
