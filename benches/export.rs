//! What does it cost to let every flow and every counter be read, with a million flows in use?
//!
//! Time goes by as the machine's does. Where nothing is told it stands still, so that no flow is due to be told of.
#![allow(missing_docs)]

mod cycles;
mod pages;

use core::cell::RefCell;
use core::num::NonZeroUsize;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use criterion::measurement::Measurement;
use criterion::{Criterion, Throughput};
use weft::shm::{Capacity, FILE, Settings, StatsFile};
use weft::worker::{Export, Work};
use weft_pipelines::counters::Sizes;
use weft_pipelines::flow::State;
use weft_pipelines::testing::lab::endpoint::{DB1, WEB1};
use weft_pipelines::testing::lab::{host, port};
use weft_pipelines::testing::traffic::{Flows, lab_with_rules, of_flow, udp};
use weft_pipelines::{BURST, Counters, Epoch, Tick, WorkerId};

/// Flows, of which each packet's is chosen at random.
const FLOWS: [(u32, &str); 2] = [(1_000, "1k flows"), (1_000_000, "1M flows")];
/// Nanoseconds in ten thousand cycles of a core of some 2.6 GHz.
const NANOS: u64 = 3_846;

fn main() {
    cycles::run(bench, bench);
}

fn bench<M: Measurement>(criterion: &mut Criterion<M>, unit: &str) {
    let mut group = criterion.benchmark_group(format!("export{unit}"));
    group.throughput(Throughput::Elements(BURST as u64));
    for (flows, name) in FLOWS {
        let mut lab = lab_with_rules(10, flows + flows / 4 + 1024);
        // Ageing is not what this is about.
        State::ALL.iter().for_each(|state| lab.sessions.timeouts.set(*state, Duration::from_secs(86_400)));
        let mut treadmill = pages::treadmill(&lab, host::HV_A);
        treadmill.receive(port::BLUE_WEB1, &vec![udp(WEB1, DB1, 64); 1024]);
        let mut next = 0;
        while next < flows {
            treadmill.turn(0, |frame| {
                of_flow(frame, next.min(flows - 1));
                next += 1;
            });
        }
        let mut chosen = Flows::new(flows);
        group.bench_function(format!("{name}, nothing is told"), |bencher| {
            bencher.iter(|| {
                let _ = cycles::now();
                treadmill.turn(0, |frame| of_flow(frame, chosen.choose()));
                treadmill.wait(Duration::ZERO);
            });
        });
        let dir = tempfile::tempdir_in(if Path::new("/dev/shm").is_dir() { "/dev/shm" } else { "/tmp" });
        let dir = dir.expect("a directory");
        let sizes = treadmill.plane.counters.sizes();
        let (_file, export) = export(dir.path(), sizes);
        let told = Rc::clone(&export);
        treadmill.tell(move |record| told.borrow_mut().flow(record));
        let (none, mut at) = (Counters::default(), cycles::now());
        group.bench_function(format!("{name}, all is told"), |bencher| {
            at = cycles::now();
            bencher.iter(|| {
                treadmill.turn(0, |frame| of_flow(frame, chosen.choose()));
                let now = cycles::now();
                treadmill.wait(Duration::from_nanos((now - at) * NANOS / 10_000));
                at = now;
                let mut export = export.borrow_mut();
                if export.is_due(treadmill.now()) {
                    export.publish([&treadmill.plane.counters, &none], &Work::default(), treadmill.now());
                }
            });
        });
        let (written, _) = export.borrow().records();
        let seconds = treadmill.now().0 / 1_000_000_000;
        assert!(seconds == 0 || written > 0, "{name}: none was told of in {seconds} s");
    }
    group.finish();
}

fn export(dir: &Path, sizes: Sizes) -> (StatsFile, Rc<RefCell<Export>>) {
    let settings = Settings {
        workers: NonZeroUsize::MIN,
        capacity: Capacity::of(sizes),
        instance: 1,
        cycles_per_second: 1,
        epoch: Epoch(1),
        sizes,
        now: Tick(0),
        unix: 0,
    };
    let (file, mut workers) = StatsFile::create(&dir.join(FILE), &settings).expect("a file");
    (file, Rc::new(RefCell::new(Export::new(workers.remove(0), WorkerId(0)))))
}
