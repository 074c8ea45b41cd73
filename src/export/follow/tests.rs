//! A switch that ends, comes back, and goes on in another file.

use std::num::NonZeroUsize;

use weft_pipelines::counters::Sizes;
use weft_pipelines::{Epoch, Tick};

use super::*;
use crate::shm::layout::head;
use crate::shm::record::{End, Kind, Record};
use crate::shm::{Capacity, FILE, Settings, StatsFile, WorkerStats};

/// The file of a run, with room for so many records.
fn file(path: &Path, instance: u64, records: usize) -> (StatsFile, Vec<WorkerStats>) {
    let sizes = Sizes { ports: 1, tenants: 1, tunnels: 0, rules: 0, pairs: 0 };
    let settings = Settings {
        workers: NonZeroUsize::MIN,
        capacity: Capacity { records, ..Capacity::of(sizes) },
        instance,
        cycles_per_second: 1,
        epoch: Epoch(1),
        sizes,
        now: Tick(0),
        unix: unix(),
    };
    StatsFile::create(path, &settings).unwrap()
}

fn record(flow: u64) -> Record {
    Record { flow, kind: Kind::Update, end: End::Open, ..Record::default() }
}

/// What comes until there is nothing: records by flow, and how often a run began.
fn told(follow: &mut Follow) -> Vec<(&'static str, u64)> {
    let mut told = Vec::new();
    loop {
        told.push(match follow.next() {
            Event::Record(found) => ("record", found.record.flow),
            Event::Past(found) => ("past", found.record.flow),
            Event::Lost(lost) => ("lost", lost),
            Event::Begins => ("begins", 0),
            Event::Nothing => return told,
        });
    }
}

#[test]
fn what_was_there_before_it_began_is_of_the_past() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE);
    let (_file, mut workers) = file(&path, 1, 16);
    workers[0].record(&record(1));
    let mut follow = Follow::new(&path, false);
    assert_eq!(told(&mut follow), [("begins", 0), ("past", 1)]);
    assert!(follow.since().is_some(), "flows of before are of the past");
    workers[0].record(&record(2));
    assert_eq!(told(&mut follow), [("record", 2)]);
    let mut all = Follow::new(&path, true);
    assert_eq!(told(&mut all), [("begins", 0), ("record", 1), ("record", 2)]);
    assert_eq!(all.since(), None);
}

#[test]
fn what_was_overwritten_before_it_began_was_not_missed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE);
    let (_file, mut workers) = file(&path, 1, 16);
    (0..40).for_each(|flow| workers[0].record(&record(flow)));
    let lost = |told: &[(&str, u64)]| {
        told.iter().filter(|(what, _)| *what == "lost").map(|(_, lost)| lost).sum::<u64>()
    };
    let mut follow = Follow::new(&path, false);
    let before = told(&mut follow);
    assert!(before.contains(&("past", 39)) && lost(&before) == 0, "{before:?}");
    (40..80).for_each(|flow| workers[0].record(&record(flow)));
    let after = told(&mut follow);
    let records = after.iter().filter(|(what, _)| *what == "record").count() as u64;
    assert_eq!(records + lost(&after), 40, "{after:?}");
    assert!(lost(&after) >= 24, "{after:?}");
}

#[test]
fn a_switch_that_comes_back_is_another_run_of_which_all_counts() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE);
    let mut follow = Follow::new(&path, false);
    assert_eq!(told(&mut follow), []);
    assert!(follow.waits && follow.reader().is_none());
    let (first, mut workers) = file(&path, 1, 16);
    workers[0].record(&record(1));
    // It was there first, so nothing is of the past.
    assert_eq!(told(&mut follow), [("begins", 0), ("record", 1)]);
    assert!(!follow.waits);
    workers[0].record(&record(2));
    drop((first, workers));
    assert_eq!(told(&mut follow), [("record", 2)], "what it wrote last counts");
    assert_eq!(told(&mut follow), [], "the file that has stayed behind is not read again");
    assert!(follow.waits && follow.reader().is_none());
    let (_second, mut workers) = file(&path, 2, 16);
    workers[0].record(&record(1));
    assert_eq!(told(&mut follow), [("begins", 0), ("record", 1)]);
}

#[test]
fn a_larger_file_is_the_same_run() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE);
    let (first, mut workers) = file(&path, 1, 16);
    workers[0].record(&record(1));
    let mut follow = Follow::new(&path, false);
    assert_eq!(told(&mut follow), [("begins", 0), ("past", 1)]);
    let since = follow.since();
    let (_second, mut next) = file(&path, 2, 32);
    workers[0].record(&record(2));
    next[0].record(&record(3));
    assert_eq!(told(&mut follow), [("record", 2)], "its workers have not all gone over");
    first.superseded();
    assert_eq!(told(&mut follow), [], "it is opened");
    assert_eq!(told(&mut follow), [("record", 3)], "flows are the same, so nothing begins");
    assert_eq!(follow.since(), since);
    assert!(!follow.waits);
}

#[test]
fn a_file_of_somebody_else_is_waited_over() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE);
    std::fs::write(&path, "what is this?".repeat(100)).unwrap();
    let mut follow = Follow::new(&path, true);
    assert_eq!(told(&mut follow), []);
    assert!(follow.waits);
    std::fs::write(&path, "").unwrap();
    assert_eq!(told(&mut follow), []);
    let (_file, mut workers) = file(&path, 1, 16);
    workers[0].record(&record(1));
    assert_eq!(told(&mut follow), [("begins", 0), ("record", 1)]);
}

#[test]
fn what_a_killed_switch_has_left_is_read_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE);
    let (first, mut workers) = file(&path, 1, 16);
    workers[0].record(&record(1));
    let mut bytes = std::fs::read(&path).unwrap();
    drop((first, workers));
    // It says that it runs, but no process has this number.
    bytes[head::PID * 8..][..8].copy_from_slice(&u64::from(i32::MAX.unsigned_abs()).to_ne_bytes());
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, bytes).unwrap();
    let mut follow = Follow::new(&path, true);
    let mut all = told(&mut follow);
    // While its heartbeat is fresh it may be a process that is not seen from here; one that was seen is gone.
    follow.now.as_mut().unwrap().was_seen = true;
    all.extend(told(&mut follow));
    assert_eq!(all, [("begins", 0), ("record", 1)]);
    assert!(follow.now.is_none() && follow.waits);
    assert_eq!(told(&mut follow), []);
}
