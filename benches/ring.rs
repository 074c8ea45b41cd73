//! What does it cost to write a flow's record, and a row of counters, when nobody reads and when somebody always does?
#![allow(missing_docs)]

mod cycles;

use core::hint::black_box;
use core::num::NonZeroUsize;
use core::sync::atomic::{AtomicBool, Ordering};
use std::path::Path;
use std::thread;

use criterion::measurement::Measurement;
use criterion::{Criterion, Throughput};
use weft::shm::layout::section;
use weft::shm::{Capacity, FILE, Next, Reader, Record, Settings, StatsFile, WorkerStats, rows};
use weft_pipelines::counters::{PortCounters, Sizes};
use weft_pipelines::{BURST, Epoch, Tick};

fn main() {
    cycles::run(bench, bench);
}

fn bench<M: Measurement>(criterion: &mut Criterion<M>, unit: &str) {
    let mut group = criterion.benchmark_group(format!("ring{unit}"));
    group.throughput(Throughput::Elements(BURST as u64));
    group.bench_function("encode a record", |bencher| {
        let mut record = Record::default();
        bencher.iter(|| {
            for _ in 0..BURST {
                record.flow += 1;
                black_box(record.encode());
            }
        });
    });
    for (records, name) in [(1 << 10, "256 KiB"), (1 << 16, "16 MiB")] {
        let mut bed = Bed::new(records);
        group.bench_function(format!("write a record, ring of {name}, no reader"), |bencher| {
            bencher.iter(|| bed.write())
        });
        bed.while_read(|bed| {
            group.bench_function(format!("write a record, ring of {name}, one reader"), |bencher| {
                bencher.iter(|| bed.write());
            });
        });
    }
    let mut bed = Bed::new(2);
    group.bench_function("write a port's row", |bencher| {
        let counters = PortCounters::default();
        bencher.iter(|| {
            for _ in 0..BURST {
                bed.stats.row(section::PORTS, 0, &rows::port::values(Tick(1), black_box(&counters)));
            }
        });
    });
    group.finish();
}

/// A file in memory, where the machine has such a file system.
struct Bed {
    dir: tempfile::TempDir,
    _file: StatsFile,
    stats: WorkerStats,
    record: Record,
}

impl Bed {
    fn new(records: usize) -> Self {
        let sizes = Sizes { ports: 1, ..Sizes::default() };
        let settings = Settings {
            workers: NonZeroUsize::MIN,
            capacity: Capacity { records, ..Capacity::of(sizes) },
            instance: 1,
            cycles_per_second: 1,
            epoch: Epoch(1),
            sizes,
            now: Tick(0),
            unix: 0,
        };
        let memory = Path::new("/dev/shm");
        let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let dir = dir.expect("a folder for the file");
        let (file, mut stats) = StatsFile::create(&dir.path().join(FILE), &settings).expect("a file");
        Self { dir, _file: file, stats: stats.remove(0), record: Record::default() }
    }

    /// A burst of records.
    fn write(&mut self) {
        for _ in 0..BURST {
            self.record.flow += 1;
            self.stats.record(black_box(&self.record));
        }
    }

    /// Calls `then` while a thread reads all that it can.
    fn while_read(&mut self, then: impl FnOnce(&mut Self)) {
        let reader = Reader::open(&self.dir.path().join(FILE)).expect("the file");
        let ended = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut records = reader.new_records();
                while !ended.load(Ordering::Relaxed) {
                    if let Next::Record(found) = records.next() {
                        black_box(found.record);
                    }
                }
            });
            then(self);
            ended.store(true, Ordering::Relaxed);
        });
    }
}
