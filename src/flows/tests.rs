//! A file as a switch writes it, read with its names.

use std::num::NonZeroUsize;

use weft_pipelines::counters::Sizes;
use weft_pipelines::{Epoch, Tick};

use super::*;
use crate::shm::record::{End, Kind, NOT_HERE, Record, mapped};
use crate::shm::{Capacity, FILE, Label, Settings, StatsFile, What, WorkerStats};

const SIZES: Sizes = Sizes { ports: 2, tenants: 1, tunnels: 0, rules: 2, pairs: 0 };

fn file(path: &Path) -> (StatsFile, Vec<WorkerStats>) {
    let settings = Settings {
        workers: NonZeroUsize::new(2).unwrap(),
        capacity: Capacity { records: 16, ..Capacity::of(SIZES) },
        instance: 1,
        cycles_per_second: 1,
        epoch: Epoch(1),
        sizes: SIZES,
        now: Tick(0),
        unix: 1_700_000_000_000_000_000,
    };
    let (mut file, workers) = StatsFile::create(path, &settings).unwrap();
    file.labels(labels("web-to-db")).unwrap();
    (file, workers)
}

fn labels(rule: &str) -> Vec<Label> {
    vec![
        Label::new(What::Tenant, 0, "blue"),
        Label::new(What::Segment, 1001, "front").of(0),
        Label::new(What::Rule, 1, rule).of(0),
        Label::new(What::Class, 2, "web,all").of(0),
        Label::new(What::Endpoint, 0, "10.1.0.11 blue/web1").of(1001),
    ]
}

fn record(flow: u64) -> Record {
    Record {
        flow,
        kind: Kind::Update,
        end: End::Open,
        started: Tick(5),
        written: Tick(9),
        family: 4,
        protocol: 6,
        tenant: 0,
        vni: 1001,
        initiator: mapped([10, 1, 0, 11].into()),
        responder: mapped([10, 1, 0, 12].into()),
        initiator_l4: 40_000,
        responder_l4: 443,
        initiator_port: 1,
        initiator_class: 2,
        responder_class: NOT_HERE,
        rule: 1,
        would_rule: 9,
        ..Record::default()
    }
}

fn next(flows: &mut Flows) -> FlowReport {
    match flows.next().unwrap() {
        Told::Flow(flow) => *flow,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_record_has_the_names_of_all_that_it_speaks_of() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE);
    let (mut file, mut workers) = file(&path);
    let mut flows = Flows::open(&path, false).unwrap();
    assert_eq!(flows.next().unwrap(), Told::Nothing);
    workers[1].record(&record(7));
    let flow = next(&mut flows);
    assert_eq!((flow.flow, flow.worker, flow.event.as_str(), flow.end.as_str()), (7, 1, "update", "open"));
    assert_eq!(
        (flow.tenant.as_str(), flow.segment.as_str(), flow.protocol.as_str()),
        ("blue", "front", "tcp")
    );
    assert_eq!((flow.rule.as_str(), flow.would_rule.as_str()), ("web-to-db", "(removed)"));
    assert_eq!((flow.from.endpoint.as_deref(), flow.from.here), (Some("blue/web1"), true));
    assert_eq!((flow.from.groups.join(" "), flow.from.port), ("web all".to_owned(), 40_000));
    assert_eq!((flow.to.endpoint, flow.to.here, flow.to.address.as_str()), (None, false, "10.1.0.12"));
    assert_eq!(
        (flow.started_unix_ns, flow.written_unix_ns),
        (1_700_000_000_000_000_005, 1_700_000_000_000_000_009)
    );
    // Other names are taken up at once.
    file.labels(labels("web-out")).unwrap();
    workers[0].record(&record(8));
    assert_eq!(next(&mut flows).rule, "web-out");
}

#[test]
fn it_goes_on_in_the_next_file_and_knows_what_it_missed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE);
    let (before, mut workers) = file(&path);
    let mut flows = Flows::open(&path, false).unwrap();
    (0..20).for_each(|flow| workers[0].record(&record(flow)));
    let (after, mut next_workers) = file(&path);
    next_workers[0].record(&record(100));
    workers[0].record(&record(20));
    before.superseded();
    let (mut seen, mut lost) = (Vec::new(), 0);
    let missed = loop {
        match flows.next().unwrap() {
            Told::Flow(flow) => seen.push(flow.flow),
            Told::Lost(count) => lost += count,
            Told::Nothing if seen.last() == Some(&100) => break flows.missed(),
            Told::Nothing => {}
            Told::Ended => panic!("it goes on"),
        }
    };
    assert_eq!((seen.len() as u64, lost), (missed.read, missed.lost));
    assert_eq!((missed.read + missed.lost, seen.pop(), seen.last()), (22, Some(100), Some(&20)));
    drop(after);
    assert_eq!(flows.next().unwrap(), Told::Ended);
}

#[test]
fn one_that_slept_while_the_switch_went_on_elsewhere_and_ended_is_told_so() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE);
    let (before, mut workers) = file(&path);
    let mut flows = Flows::open(&path, false).unwrap();
    workers[0].record(&record(1));
    let (after, _) = file(&path);
    before.superseded();
    drop(after);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(next(&mut flows).flow, 1);
    assert_eq!(flows.next().unwrap(), Told::Ended);
}
