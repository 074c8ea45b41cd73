//! Lines, and what becomes of them.

use std::num::NonZeroUsize;
use std::sync::Mutex;

use serde_json::Value;
use weft_pipelines::counters::Sizes;
use weft_pipelines::{Epoch, Tick};

use super::*;
use crate::report::FlowReport;
use crate::shm::record::{End, Kind, NOT_HERE, Record, mapped};
use crate::shm::{Capacity, FILE, Label, Settings, StatsFile, What, WorkerStats};

fn file(path: &Path) -> (StatsFile, Vec<WorkerStats>) {
    let sizes = Sizes { ports: 1, tenants: 1, tunnels: 0, rules: 1, pairs: 0 };
    let settings = Settings {
        workers: NonZeroUsize::MIN,
        capacity: Capacity { records: 16, ..Capacity::of(sizes) },
        instance: 1,
        cycles_per_second: 1,
        epoch: Epoch(1),
        sizes,
        now: Tick(0),
        unix: 1_700_000_000_000_000_000,
    };
    let (mut file, workers) = StatsFile::create(path, &settings).unwrap();
    let labels = [
        Label::new(What::Tenant, 0, "blue"),
        Label::new(What::Segment, 1001, "front").of(0),
        Label::new(What::Endpoint, 0, "10.1.0.11 blue/\"web\"").of(1001),
    ];
    file.labels(labels).unwrap();
    (file, workers)
}

fn record(flow: u64, packets: u64) -> Record {
    Record {
        flow,
        kind: Kind::Update,
        end: End::Open,
        family: 4,
        protocol: 17,
        vni: 1001,
        initiator: mapped([10, 1, 0, 11].into()),
        responder: mapped([10, 1, 0, 12].into()),
        responder_port: NOT_HERE,
        initiator_packets: packets,
        ..Record::default()
    }
}

/// Keeps what is written, or fails.
#[derive(Clone, Default)]
struct Sink(std::sync::Arc<Mutex<Vec<u8>>>, Option<io::ErrorKind>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.1 {
            Some(kind) => Err(kind.into()),
            None => self.0.lock().unwrap().write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Runs it over what is there. Read, lost and exported, and how it ended.
fn export(path: &Path, out: Sink) -> ([u64; 3], io::Result<()>) {
    let (progress, stop) = (Progress::new("json"), AtomicBool::new(false));
    let result = thread::scope(|scope| {
        let work = scope.spawn(|| run(path, true, out, &progress, &stop));
        // It begins with a look at the file, which it goes on with when it is told to stop.
        while progress.read.load(Ordering::Relaxed) == 0 && !work.is_finished() {
            thread::yield_now();
        }
        stop.store(true, Ordering::Relaxed);
        work.join().unwrap()
    });
    let counts = [&progress.read, &progress.lost, &progress.exported];
    (counts.map(|count| count.load(Ordering::Relaxed)), result)
}

#[test]
fn each_record_is_a_line_with_names() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE);
    let (_file, mut workers) = file(&path);
    (1..=3).for_each(|packets| workers[0].record(&record(7, packets)));
    let sink = Sink::default();
    let (counts, result) = export(&path, sink.clone());
    result.unwrap();
    assert_eq!(counts, [3, 0, 3]);
    let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
    assert!(text.ends_with('\n') && text.lines().count() == 3, "{text}");
    for (packets, line) in (1..).zip(text.lines()) {
        let flow: FlowReport = serde_json::from_str(line).unwrap();
        assert_eq!((flow.flow, flow.from.packets), (7, packets));
        assert_eq!((flow.tenant.as_str(), flow.segment.as_str()), ("blue", "front"));
        assert_eq!(flow.from.endpoint.as_deref(), Some("blue/\"web\""));
        // As `weft flows --json` has it.
        let value: Value = serde_json::from_str(line).unwrap();
        assert_eq!(value, serde_json::to_value(&flow).unwrap());
    }
}

#[test]
fn what_was_overwritten_is_counted_and_the_rest_exported() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE);
    let (_file, mut workers) = file(&path);
    (1..=100).for_each(|packets| workers[0].record(&record(7, packets)));
    let sink = Sink::default();
    let ([read, lost, exported], result) = export(&path, sink.clone());
    result.unwrap();
    assert_eq!((read + lost, read), (100, exported));
    assert!((1..=16).contains(&read), "{read}");
    let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
    let last: FlowReport = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(last.from.packets, 100, "the last says it all");
}

#[test]
fn it_ends_when_it_cannot_write() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE);
    let (_file, mut workers) = file(&path);
    workers[0].record(&record(7, 1));
    let (counts, result) = export(&path, Sink(Default::default(), Some(io::ErrorKind::StorageFull)));
    assert_eq!(result.unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!(counts, [1, 0, 0], "it was not exported");
}
