//! What do the outer headers cost on the way in?
#![allow(missing_docs)]

mod cycles;

use criterion::measurement::Measurement;
use criterion::{Criterion, Throughput};
use weft_pipelines::stages::decap::decap;
use weft_pipelines::testing::Lab;
use weft_pipelines::testing::frames::{flows, from_fabric};
use weft_pipelines::testing::lab::endpoint::{DB1, WEB1};
use weft_pipelines::testing::lab::{BLUE, host, port};
use weft_pipelines::testing::treadmill::Belt;
use weft_pipelines::{BURST, Batch};

fn main() {
    cycles::run(bench, bench);
}

/// Taking the burst from the belt and putting it back is in the figure.
fn bench<M: Measurement>(criterion: &mut Criterion<M>, unit: &str) {
    let snapshot = Lab::default().snapshot(host::HV_A);
    let Some(uplink) = snapshot.uplink(port::UPLINK) else { return };
    let mut group = criterion.benchmark_group(format!("decap{unit}"));
    group.throughput(Throughput::Elements(BURST as u64));
    let frames: Vec<_> =
        flows(DB1, WEB1, BURST as u16, 64).iter().map(|frame| from_fabric(host::HV_B, BLUE, frame)).collect();
    let mut belt = Belt::new(&frames);
    let mut batch = Batch::default();
    let mut round = |works: bool| {
        batch.take().into_iter().for_each(|frame| belt.put_back(frame));
        batch.load(|frames| belt.fill(frames));
        if works {
            decap(&mut batch, &snapshot, uplink, |_, _| {});
        }
    };
    group.bench_function("the belt alone", |bencher| bencher.iter(|| round(false)));
    group.bench_function("a burst", |bencher| bencher.iter(|| round(true)));
    group.finish();
}
