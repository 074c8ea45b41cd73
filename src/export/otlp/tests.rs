//! What a collector is sent, and what comes of its answers.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{AggregationTemporality, Metric};

use super::super::metrics::{OfSwitch, Snapshot};
use super::super::text::{Distribution, Family, Kind, Sample, Value};
use super::*;

const SINCE: u64 = 1_700_000_000_000_000_000;

fn snapshot() -> Snapshot {
    let family = |name: &str, kind, labels: &[(&'static str, &str)], value| Family {
        name: name.to_owned(),
        kind,
        help: "Help.".to_owned(),
        samples: vec![Sample {
            labels: labels.iter().map(|(key, value)| (*key, (*value).to_owned())).collect(),
            value,
        }],
    };
    let families = vec![
        family("weft_port_rx_packets", Kind::Counter, &[("port", "blue/web1")], Value::Number(7)),
        family("weft_port_rx_bytes", Kind::Counter, &[], Value::Number(u64::MAX)),
        family("weft_port_held_back_seconds", Kind::Counter, &[], Value::Nanoseconds(1_500_000_000)),
        family("weft_cycles_per_second", Kind::Gauge, &[], Value::Number(3)),
        family("weft_service_connect_seconds", Kind::Histogram, &[("server", "db")], Value::Times(times())),
    ];
    let build = family("weft_export_build", Kind::Info, &[("version", "2")], Value::Number(1));
    let switch = OfSwitch { host: "hv-a".into(), version: "0.1.0".into(), since: SINCE, families };
    Snapshot { own: vec![build], switch: Some(switch) }
}

/// 1 up to 2^14 ns, 3 up to 2^16 ns, and one beyond all bounds.
fn times() -> Distribution {
    let mut below = [4; Distribution::BOUNDS];
    below[0] = 1;
    Distribution { first: 14, step: 2, below, samples: 5, sum: 80_000_000_000 }
}

#[test]
fn a_bucket_of_a_histogram_counts_what_is_in_it_alone() {
    let request = encode::request(&snapshot(), "hv-a", SINCE + 5, SINCE + 9);
    let metric = request.resource_metrics[0].scope_metrics[0].metrics.last().unwrap();
    assert_eq!((metric.name.as_str(), metric.unit.as_str()), ("weft_service_connect_seconds", "s"));
    let Some(Data::Histogram(histogram)) = &metric.data else { panic!("{metric:?}") };
    let [point] = &histogram.data_points[..] else { panic!("{histogram:?}") };
    assert_eq!((point.count, point.sum, point.attributes[0].key.as_str()), (5, Some(80.0), "server"));
    assert_eq!(point.explicit_bounds[..2], [0.000_016_384, 0.000_065_536]);
    assert_eq!((point.bucket_counts.len(), point.explicit_bounds.len()), (13, 12));
    assert_eq!((&point.bucket_counts[..3], point.bucket_counts[12]), (&[1, 3, 0][..], 1));
}

#[test]
fn metrics_keep_their_names_labels_and_totals() {
    let request = encode::request(&snapshot(), "hv-a", SINCE + 5, SINCE + 9);
    let [of_resource] = &request.resource_metrics[..] else { panic!("{request:?}") };
    let attributes = format!("{:?}", of_resource.resource.as_ref().unwrap().attributes);
    for wanted in ["service.name", "\"weft\"", "service.version", "\"0.1.0\"", "host.name", "\"hv-a\""] {
        assert!(attributes.contains(wanted), "no {wanted} in {attributes}");
    }
    let [of_scope] = &of_resource.scope_metrics[..] else { panic!("{request:?}") };
    let [build, packets, bytes, held, cycles, _] = &of_scope.metrics[..] else { panic!("{request:?}") };

    let sum = |metric: &Metric| match metric.data.clone().unwrap() {
        Data::Sum(sum) => {
            assert_eq!(sum.aggregation_temporality, i32::from(AggregationTemporality::Cumulative));
            (sum.is_monotonic, sum.data_points[0].clone())
        }
        other => panic!("{other:?}"),
    };
    let (is_monotonic, point) = sum(packets);
    assert!(is_monotonic);
    assert_eq!((packets.name.as_str(), packets.unit.as_str()), ("weft_port_rx_packets", "{packet}"));
    assert_eq!((point.start_time_unix_nano, point.time_unix_nano), (SINCE, SINCE + 9));
    assert_eq!((point.value, point.attributes[0].key.as_str()), (Some(Number::AsInt(7)), "port"));
    assert_eq!(sum(bytes).1.value, Some(Number::AsDouble(u64::MAX as f64)), "no negative number");
    assert_eq!((sum(held).1.value, held.unit.as_str()), (Some(Number::AsDouble(1.5)), "s"));
    let (is_monotonic, point) = sum(build);
    assert_eq!((build.name.as_str(), is_monotonic), ("weft_export_build_info", false));
    assert_eq!(point.start_time_unix_nano, SINCE + 5, "the exporter's own began with it");
    assert!(matches!(cycles.data, Some(Data::Gauge(_))) && cycles.unit.is_empty(), "{cycles:?}");
}

#[test]
fn a_target_is_a_url_of_http_with_a_port() {
    for (good, wanted) in [
        ("http://198.51.100.9:4318", "http://198.51.100.9:4318/v1/metrics"),
        ("http://collector.example:4318/", "http://collector.example:4318/v1/metrics"),
        ("http://[2001:db8::9]:4318/v1/metrics", "http://[2001:db8::9]:4318/v1/metrics"),
        ("http://host:9090/api/v1/otlp/v1/metrics", "http://host:9090/api/v1/otlp/v1/metrics"),
    ] {
        assert_eq!(good.parse::<Target>().unwrap().to_string(), wanted);
    }
    assert_eq!("https://host:4318".parse::<Target>(), Err(TargetError::Tls));
    for bad in
        ["", "host:4318", "http://host", "http://:4318", "http://host:0", "ftp://host:1", "http://a@b:1"]
    {
        assert_eq!(bad.parse::<Target>(), Err(TargetError::Form), "{bad}");
    }
}

/// A collector that answers so, one request after the other, and hands on what it was sent.
fn collector(answers: Vec<Vec<u8>>) -> (String, Receiver<ExportMetricsServiceRequest>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = format!("http://{}", listener.local_addr().unwrap());
    let (sender, receiver) = channel();
    thread::spawn(move || answers.into_iter().for_each(|answer| answer_one(&listener, &answer, &sender)));
    (at, receiver)
}

fn answer_one(listener: &TcpListener, answer: &[u8], requests: &Sender<ExportMetricsServiceRequest>) {
    let (mut stream, _) = listener.accept().unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut len = 0;
    let lines = reader.by_ref().lines().map(Result::unwrap).take_while(|line| !line.is_empty());
    let head: Vec<String> = lines.collect();
    assert_eq!(head[0], "POST /v1/metrics HTTP/1.1");
    assert!(head.contains(&"content-type: application/x-protobuf".to_owned()), "{head:?}");
    for line in &head {
        if let Some(value) = line.strip_prefix("content-length: ") {
            len = value.parse().unwrap();
        }
    }
    let mut body = vec![0; len];
    reader.read_exact(&mut body).unwrap();
    requests.send(ExportMetricsServiceRequest::decode(&body[..]).unwrap()).unwrap();
    stream.write_all(answer).unwrap();
}

fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head =
        format!("HTTP/1.1 {status}\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn pusher(at: &str) -> Pusher {
    let path = Path::new("/nowhere/hv-a/stats");
    let source = Source::new(path.to_owned(), Vec::new());
    Pusher::new(at.parse().unwrap(), Duration::from_secs(60), path, source)
}

fn pushed(pusher: &mut Pusher, times: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        for _ in 0..times {
            pusher.push().await;
        }
    });
}

#[test]
fn a_collector_that_is_busy_is_tried_again_when_it_says() {
    let (at, requests) = collector(vec![
        answer("503 Service Unavailable", "Retry-After: 1\r\n", b"later"),
        answer("429 Too Many Requests", "Retry-After: 0\r\n", b""),
        answer("200 OK", "", b""),
    ]);
    let mut pusher = pusher(&at);
    let begun = std::time::Instant::now();
    pushed(&mut pusher, 1);
    assert!(begun.elapsed() >= FIRST * 2, "it was bidden to wait");
    assert_eq!(requests.iter().count(), 3);
    assert_eq!(pusher.trouble, None, "it is over");
}

#[test]
fn what_is_refused_is_not_sent_again_before_it_is_time() {
    // google.rpc.Status: code 3, message "no room".
    let status = b"\x08\x03\x12\x07no room";
    let (at, requests) =
        collector(vec![answer("400 Bad Request", "Content-Type: application/x-protobuf\r\n", status)]);
    let mut pusher = pusher(&at);
    pushed(&mut pusher, 1);
    assert_eq!(requests.iter().count(), 1);
    let wanted = "the collector answers 400 Bad Request: no room; trying again at each interval";
    assert_eq!(pusher.trouble.as_deref(), Some(wanted));
}

#[test]
fn a_page_is_not_shown_and_where_it_went_is() {
    let (at, requests) = collector(vec![
        answer("404 Not Found", "Content-Type: text/html\r\n", b"<html>"),
        answer("301 Moved Permanently", "Location: http://elsewhere/\r\n", b""),
    ]);
    let mut pusher = pusher(&at);
    pushed(&mut pusher, 1);
    let wanted = "the collector answers 404 Not Found; trying again at each interval";
    assert_eq!(pusher.trouble.as_deref(), Some(wanted));
    pushed(&mut pusher, 1);
    let wanted = "the collector answers 301 Moved Permanently: it is at http://elsewhere/; trying again at each interval";
    assert_eq!((pusher.trouble.as_deref(), requests.iter().count()), (Some(wanted), 2));
}

#[test]
fn what_is_left_out_is_told_of() {
    let partial =
        ExportMetricsPartialSuccess { rejected_data_points: 2, error_message: "too\x1b old\nx".into() };
    let body = ExportMetricsServiceResponse { partial_success: Some(partial) }.encode_to_vec();
    let (at, requests) = collector(vec![answer("200 OK", "", &body), answer("200 OK", "", b"")]);
    let mut pusher = pusher(&at);
    pushed(&mut pusher, 1);
    assert_eq!(pusher.trouble.as_deref(), Some("the collector leaves out 2 of the points: too old"));
    pushed(&mut pusher, 1);
    assert_eq!((pusher.trouble, requests.iter().count()), (None, 2));
}

#[test]
fn one_that_is_not_there_is_no_reason_to_end() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let mut pusher = pusher(&at);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let failed = runtime.block_on(pusher.send());
    let Err(Failure::Later { why, after: None }) = failed else { panic!("{failed:?}") };
    assert_eq!(why, "Connection refused (os error 111)");
    assert_eq!(pusher.host, "hv-a", "by its folder, until it says so itself");
}

#[test]
fn a_pause_is_never_longer_than_said_and_never_less_than_half() {
    for _ in 0..100 {
        let pause = jitter(Duration::from_secs(10));
        assert!((Duration::from_secs(5)..=Duration::from_secs(10)).contains(&pause), "{pause:?}");
    }
}
