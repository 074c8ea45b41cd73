//! What do the outer headers cost on the way out?
#![allow(missing_docs)]

mod cycles;

use criterion::measurement::Measurement;
use criterion::{Criterion, Throughput};
use weft_pipelines::stages::encap::encap;
use weft_pipelines::stages::forward::Destination;
use weft_pipelines::stages::parse::parse;
use weft_pipelines::testing::Lab;
use weft_pipelines::testing::frames::flows;
use weft_pipelines::testing::lab::endpoint::{DB1, WEB1};
use weft_pipelines::testing::lab::{host, port, tunnel};
use weft_pipelines::testing::treadmill::Belt;
use weft_pipelines::{BURST, Batch};

fn main() {
    cycles::run(bench, bench);
}

/// Taking the burst from the belt and putting it back is in the figure.
fn bench<M: Measurement>(criterion: &mut Criterion<M>, unit: &str) {
    let snapshot = Lab::default().snapshot(host::HV_A);
    let guest = snapshot.guest(port::BLUE_WEB1).expect("a guest's");
    let mut group = criterion.benchmark_group(format!("encap{unit}"));
    group.throughput(Throughput::Elements(BURST as u64));
    let mut belt = Belt::new(&flows(WEB1, DB1, BURST as u16, 64));
    let mut batch = Batch::default();
    batch.load(|frames| belt.fill(frames));
    parse(&mut batch);
    batch.destinations = [Destination::Tunnel(tunnel::HV_B); BURST];
    let mut round = |works: bool| {
        batch.take().into_iter().for_each(|frame| belt.put_back(frame));
        batch.load(|frames| belt.fill(frames));
        if works {
            encap(&mut batch, &snapshot, guest, |_, _| {});
        }
    };
    group.bench_function("the belt alone", |bencher| bencher.iter(|| round(false)));
    group.bench_function("a burst", |bencher| bencher.iter(|| round(true)));
    group.finish();
}
