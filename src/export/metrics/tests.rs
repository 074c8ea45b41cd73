//! Metrics of a file as a switch writes it.

use std::num::NonZeroUsize;

use weft_pipelines::counters::Sizes;
use weft_pipelines::service::{Histograms, Row, Time};
use weft_pipelines::{Counters, Epoch, PortId, Reason, Tick};

use super::super::text::{Format, write};
use super::*;
use crate::shm::{Capacity, FILE, Label, Settings, StatsFile, WorkerStats};
use crate::worker::Work;

const SIZES: Sizes = Sizes { ports: 2, tenants: 1, tunnels: 1, rules: 1, pairs: 1 };
const START: u64 = 1_700_000_000_000_000_000;

fn file(dir: &std::path::Path) -> (StatsFile, Vec<WorkerStats>, PathBuf) {
    let path = dir.join(FILE);
    let settings = Settings {
        workers: NonZeroUsize::new(2).unwrap(),
        capacity: Capacity { records: 16, ..Capacity::of(SIZES) },
        instance: 1,
        cycles_per_second: 2_500_000_000,
        epoch: Epoch(3),
        sizes: SIZES,
        now: Tick(0),
        unix: START,
    };
    let (mut file, mut workers) = StatsFile::create(&path, &settings).unwrap();
    let labels = [
        Label::new(What::Host, 0, "hv-a"),
        Label::new(What::Version, 0, "0.1.0"),
        Label::new(What::Port, 0, "up0"),
        Label::new(What::Port, 1, "blue/we\"b"),
        Label::new(What::Tenant, 0, "blue"),
        Label::new(What::Tunnel, 0, "hv-b"),
        Label::new(What::Rule, 0, "default").of(0),
        Label::new(What::Service, 0, "web -").of(0),
        Label::new(What::Service, 1, "* *").of(0),
    ];
    file.labels(Label::fixed().chain(labels)).unwrap();
    for (factor, worker) in (1..).zip(&mut workers) {
        let mut counters = Counters::new(SIZES);
        counters.port(PortId(1)).rx.packets = 10 * factor;
        counters.port(PortId(1)).rx.bytes = 600 * factor;
        counters.port(PortId(1)).metered.held_back = 1_500_000_000;
        counters.port(PortId(1)).drops.add(Reason::NotHere, factor);
        counters.service.count(Row(0), |of| of.accepted = factor);
        counters.service.add(Row(0), Time::Connect, 40_000_000 * factor);
        let mut latency = Histograms::new(1);
        latency.add(0, 3_000);
        worker.publish_all_times(&counters.service, &latency, Tick(9));
        let work = Work { packets: 10 * factor, waiting: 2, ..Work::default() };
        worker.publish_all([&counters, &Counters::new(SIZES)], &work, Tick(9));
    }
    (file, workers, path)
}

fn text(families: &[Family]) -> String {
    write(families, Format::Plain)
}

#[test]
fn a_table_becomes_metrics_with_names_and_units() {
    let dir = tempfile::tempdir().unwrap();
    let (_file, _workers, path) = file(dir.path());
    let reader = Reader::open(&path).unwrap();
    let text = text(&of_switch(&reader, START + 2_500_000_000).unwrap());
    for wanted in [
        "weft_build_info{host=\"hv-a\",version=\"0.1.0\"} 1",
        "weft_epoch{host=\"hv-a\"} 3",
        "weft_heartbeat_age_seconds{host=\"hv-a\"} 2.5",
        "weft_records_written_total{host=\"hv-a\"} 0",
        "# HELP weft_worker_packets_total Packets received from ports.",
        "weft_worker_packets_total{host=\"hv-a\",worker=\"0\"} 10",
        "weft_worker_packets_total{host=\"hv-a\",worker=\"1\"} 20",
        "# TYPE weft_worker_waiting_packets gauge",
        "weft_port_rx_packets_total{host=\"hv-a\",tenant=\"\",port=\"up0\"} 0",
        "weft_port_rx_packets_total{host=\"hv-a\",tenant=\"blue\",port=\"blue/we\\\"b\"} 30",
        "weft_port_rx_bytes_total{host=\"hv-a\",tenant=\"blue\",port=\"blue/we\\\"b\"} 1800",
        "weft_port_held_back_seconds_total{host=\"hv-a\",tenant=\"blue\",port=\"blue/we\\\"b\"} 3",
        "weft_port_dropped_packets_total{host=\"hv-a\",tenant=\"blue\",port=\"blue/we\\\"b\",reason=\"not_here\"} 3",
        "weft_dropped_packets_total{host=\"hv-a\",reason=\"not_here\"} 3",
        "weft_dropped_packets_total{host=\"hv-a\",reason=\"policy_denied\"} 0",
        "weft_tenant_to_fabric_packets_total{host=\"hv-a\",tenant=\"blue\"} 0",
        "weft_tunnel_tx_bytes_total{host=\"hv-a\",peer=\"hv-b\"} 0",
        "weft_service_accepted_total{host=\"hv-a\",tenant=\"blue\",client=\"web\",server=\"-\"} 3",
        "# TYPE weft_service_connect_seconds histogram",
        "weft_service_connect_seconds_bucket{host=\"hv-a\",tenant=\"blue\",client=\"web\",server=\"-\",le=\"0.016777216\"} 0",
        "weft_service_connect_seconds_bucket{host=\"hv-a\",tenant=\"blue\",client=\"web\",server=\"-\",le=\"0.067108864\"} 1",
        "weft_service_connect_seconds_bucket{host=\"hv-a\",tenant=\"blue\",client=\"web\",server=\"-\",le=\"+Inf\"} 2",
        "weft_service_connect_seconds_sum{host=\"hv-a\",tenant=\"blue\",client=\"web\",server=\"-\"} 0.12",
        "weft_worker_latency_seconds_bucket{host=\"hv-a\",worker=\"1\",le=\"0.000004096\"} 1",
        "weft_worker_latency_seconds_count{host=\"hv-a\",worker=\"1\"} 1",
        "weft_rule_hits_total{host=\"hv-a\",tenant=\"blue\",rule=\"default\"} 0",
        "weft_rule_last_hit_timestamp_seconds{host=\"hv-a\",tenant=\"blue\",rule=\"default\"} 0",
    ] {
        assert!(text.lines().any(|line| line == wanted), "no {wanted} in:\n{text}");
    }
    // Of pairs that nothing was counted of nothing is said.
    assert!(!text.contains("client=\"*\"") && !text.contains("weft_service_dns_seconds"), "{text}");
}

#[test]
fn each_family_stands_once_and_says_what_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let (_file, _workers, path) = file(dir.path());
    let families = of_switch(&Reader::open(&path).unwrap(), START).unwrap();
    let mut names: Vec<&str> = families.iter().map(|family| family.name.as_str()).collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all);
    assert!(families.iter().all(|family| family.help.ends_with('.') && !family.samples.is_empty()));
}

#[test]
fn without_a_switch_it_is_down_and_nothing_else_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let mut source = Source::new(dir.path().join(FILE), vec![Arc::new(Progress::new("json"))]);
    let down = text(&source.families());
    assert!(down.contains("\nweft_up 0\n"), "{down}");
    assert!(down.contains("weft_export_records_read_total{exporter=\"json\"} 0"), "{down}");
    let (file, workers, _) = file(dir.path());
    assert!(text(&source.families()).contains("\nweft_up 1\n"));
    drop((file, workers));
    let down = text(&source.families());
    assert!(down.contains("\nweft_up 0\n") && !down.contains("weft_port"), "{down}");
}

#[test]
fn totals_begin_with_the_run_of_the_switch_and_not_with_its_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE);
    let mut source = Source::new(path, Vec::new());
    assert_eq!(source.snapshot().switch, None);
    let (first, workers, _) = file(dir.path());
    first.heartbeat(Tick(50), START + 50);
    let of_first = source.snapshot().switch.unwrap();
    assert_eq!((of_first.host.as_str(), of_first.version.as_str()), ("hv-a", "0.1.0"));
    assert_eq!(of_first.since, START);
    // The wall clock was set meanwhile.
    first.heartbeat(Tick(60), START + 1_000);
    assert_eq!(source.snapshot().switch.unwrap().since, START);
    drop((first, workers));
    // Another run begins to count anew, in ticks, too.
    let (second, _workers, _) = file(dir.path());
    second.heartbeat(Tick(7), START + 2_000);
    assert_eq!(source.snapshot().switch.unwrap().since, START + 1_993);
}
