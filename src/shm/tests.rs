//! The file as a whole; what each test file is about, its name says.

mod header;
mod hostile;
mod layout;
mod model;
mod programs;
mod ring;
mod stress;

use core::num::NonZeroUsize;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;

use weft_pipelines::counters::Sizes;
use weft_pipelines::service::histogram::{CELLS, cell};
use weft_pipelines::service::{Histograms, Row, Service, Time};
use weft_pipelines::{Counters, Epoch, PortId, Reason, Tick};

use super::layout::section;
use super::*;
use crate::worker::Work;

/// What there is of each in these tests.
const SIZES: Sizes = Sizes { ports: 3, tenants: 2, tunnels: 1, rules: 5, pairs: 2 };

fn settings(workers: usize, records: usize) -> Settings {
    Settings {
        workers: NonZeroUsize::new(workers).unwrap(),
        capacity: Capacity { records, ..Capacity::of(SIZES) },
        instance: 77,
        cycles_per_second: 2_500_000_000,
        epoch: Epoch(4),
        sizes: SIZES,
        now: Tick(1_000),
        unix: 1_700_000_000_000_001_000,
    }
}

fn made(workers: usize, records: usize) -> (tempfile::TempDir, StatsFile, Vec<WorkerStats>, Reader) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE);
    let (file, stats) = StatsFile::create(&path, &settings(workers, records)).unwrap();
    let reader = Reader::open(&path).unwrap();
    (dir, file, stats, reader)
}

#[test]
fn what_is_written_is_read() {
    let (_dir, mut file, mut workers, reader) = made(2, 64);
    let record = Record { flow: 5, rule: 3, ..Record::default() };
    let mut records = reader.records();
    assert_eq!(records.next(), Next::Nothing);
    workers[1].record(&record);
    assert_eq!(records.next(), Next::Record(Found { worker: 1, number: 0, record }));
    assert_eq!((records.next(), records.read(), records.lost()), (Next::Nothing, 1, 0));

    let mut counters = Counters::new(SIZES);
    counters.port(PortId(2)).rx.add(60);
    counters.port(PortId(2)).drops.add(Reason::NotHere, 2);
    counters.port(PortId(2)).to_guest.longest = 9;
    for (now, worker) in (50..).zip(&mut workers) {
        worker.publish_all(
            [&counters, &Counters::default()],
            &Work { polls: 7, ..Work::default() },
            Tick(now),
        );
    }
    let ports = reader.counters("ports").unwrap().unwrap();
    assert_eq!(ports.len(), 3);
    let of = |name| ports.value(2, name).unwrap();
    assert_eq!(
        ["rx_packets", "rx_bytes", "drops", "to_guest_longest", "written"].map(of),
        [2, 120, 4, 9, 51]
    );
    let drops = reader.counters("port_drops").unwrap().unwrap();
    assert_eq!(drops.values(2, "packets").unwrap()[Reason::NotHere as usize], 4);
    let polls = |table: Option<Table>| table.unwrap().value(0, "polls");
    assert_eq!(polls(reader.counters("workers").unwrap()), Some(14));
    assert_eq!(polls(reader.counters_of("workers", 1).unwrap()), Some(7));

    file.labels([Label::new(What::Port, 2, "blue/web1"), Label::new(What::Rule, 4, "web-to-db").of(1)])
        .unwrap();
    let labels = reader.labels().unwrap();
    assert_eq!(
        (labels.name(What::Port, 2), labels.of(What::Rule, 1, 4)),
        (Some("blue/web1"), Some("web-to-db"))
    );
    assert_eq!(labels.name(What::Reason, Reason::NotHere as u32), Some("not_here"));
}

#[test]
fn times_are_written_when_they_have_changed_and_added_when_they_are_read() {
    let (_dir, _file, mut workers, reader) = made(2, 2);
    let row = Row(1);
    let mut services = [Service::new(2), Service::new(2)];
    let mut latency = Histograms::new(1);
    for (nanos, service) in [20_000, 900_000_000].into_iter().zip(&mut services) {
        service.add(row, Time::Connect, nanos);
        service.count(row, |of| of.accepted += 1);
    }
    latency.add(0, 7_000);
    for (now, (worker, service)) in (50..).zip(workers.iter_mut().zip(&services)) {
        worker.publish_all_times(service, &latency, Tick(now));
    }
    let table = |name: &str| reader.counters(name).unwrap().unwrap();
    let connect = table("service_connect");
    let of = |name| connect.value(1, name).unwrap();
    assert_eq!(["samples", "sum", "longest", "written"].map(of), [2, 900_020_000, 900_000_000, 51]);
    let cells = connect.values(1, "cells").unwrap();
    assert_eq!((cells.len(), cells[cell(20_000)], cells[cell(900_000_000)]), (CELLS, 1, 1));
    assert_eq!(
        (table("service").value(1, "accepted"), table("latency").value(0, "samples")),
        (Some(2), Some(2))
    );
    // What has not changed is not written, and no more at once than was said.
    services[0].add(row, Time::Dns, 1);
    services[0].add(row, Time::Response, 1);
    let mut rounds = 0;
    while !workers[0].publish_times((&services[0], &latency), Tick(99), 5, 1) {
        rounds += 1;
    }
    assert!((3..=5).contains(&rounds), "{rounds}");
    let written = |name| reader.counters_of(name, 0).unwrap().unwrap().value(1, "written").unwrap();
    assert_eq!(["service_dns", "service_response", "service_connect"].map(written), [99, 99, 50]);
    // What there is no room for is left out.
    services[0].grow(1_000);
    workers[0].publish_all_times(&services[0], &latency, Tick(100));
}

#[test]
fn the_header_tells_of_the_writer() {
    let (dir, file, _workers, reader) = made(1, 2);
    assert_eq!((reader.workers(), reader.instance(), reader.pid()), (1, 77, std::process::id().into()));
    assert_eq!(
        (reader.heartbeat(), reader.epoch(), reader.cycles_per_second()),
        (Tick(1_000), Epoch(4), 2_500_000_000)
    );
    assert_eq!(reader.unix(Tick(5)), 1_700_000_000_000_000_005);
    assert!(reader.alive() && !reader.replaced());
    assert_eq!(std::fs::metadata(dir.path().join(FILE)).unwrap().permissions().mode() & 0o777, 0o640);
    let path = dir.path().join(FILE);
    let (next, _) = StatsFile::create(&path, &settings(1, 2)).unwrap();
    assert!(reader.replaced() && reader.alive());
    file.superseded();
    assert_eq!((reader.state(), reader.alive()), (State::Superseded, false));
    let reader = Reader::open(Path::new(&path)).unwrap();
    drop(next);
    assert_eq!(reader.state(), State::Ended);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn counters_are_written_a_few_rows_at_a_time() {
    let (_dir, file, mut workers, reader) = made(1, 2);
    let mut counters = Counters::new(SIZES);
    let hits = || {
        let rules = reader.counters("rules").unwrap().unwrap();
        (0..rules.len()).map(|row| rules.value(row, "hits").unwrap()).collect::<Vec<_>>()
    };
    let mut round = |hit| {
        counters.rules.iter_mut().for_each(|rule| rule.hits = hit);
        (1..)
            .find(|_| workers[0].publish([&counters, &Counters::default()], &Work::default(), Tick(1), 4))
            .unwrap()
    };
    // A row for the worker, two for each port and tenant, one for each tunnel and rule; and an end of each section.
    assert_eq!((round(7), hits()), ((1 + 6 + 4 + 1 + 5 + 7usize).div_ceil(4), vec![7; 5]));
    round(8);
    assert_eq!(hits(), [8; 5]);
    file.in_force(Epoch(5), Sizes { rules: 2, ..SIZES });
    assert_eq!((hits(), reader.epoch()), (vec![8; 2], Epoch(5)));
    // More than there is room for is left out.
    assert!(!file.fits(Sizes { rules: 1_000, ..SIZES }));
    counters.grow(Sizes { rules: 1_000, ..SIZES });
    workers[0].publish_all([&counters, &Counters::default()], &Work::default(), Tick(2));
    workers[0].row(section::PORTS, usize::MAX, &[1]);
    workers[0].row(usize::MAX, 0, &[1]);
    file.in_force(Epoch(6), Sizes { rules: 1_000, ..SIZES });
    assert_eq!(hits().len(), 21);
}

#[test]
fn a_row_whose_writer_died_in_it_is_told() {
    let (dir, _file, mut workers, _) = made(1, 2);
    workers[0].publish_all([&Counters::new(SIZES), &Counters::default()], &Work::default(), Tick(1));
    let path = dir.path().join(FILE);
    let reader = Reader::open(&path).unwrap();
    let section = &reader.layout().sections[section::TUNNELS];
    let odd = std::fs::File::options().write(true).open(&path).unwrap();
    odd.write_all_at(&3u64.to_ne_bytes(), section.offset as u64).unwrap();
    let error = reader.counters("tunnels").unwrap_err().to_string();
    assert!(
        error.ends_with("counters are being written all the time; the switch has ended meanwhile"),
        "{error}"
    );
    assert_eq!(reader.counters("ports").unwrap().unwrap().len(), SIZES.ports);
    // The next one mends it.
    workers[0].publish_all([&Counters::new(SIZES), &Counters::default()], &Work::default(), Tick(1));
    assert_eq!(reader.counters("tunnels").unwrap().unwrap().value(0, "tx_packets"), Some(0));
}
