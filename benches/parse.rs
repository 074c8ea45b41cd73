//! What does it cost to find a packet's headers?
#![allow(missing_docs)]

mod cycles;

use criterion::measurement::Measurement;
use criterion::{Criterion, Throughput};
use weft_pipelines::stages::parse::headers;
use weft_pipelines::testing::entry::guest_frames;
use weft_pipelines::testing::frames::{flows, tcp4, udp6};
use weft_pipelines::testing::lab::endpoint::{DB1, WEB1};

fn main() {
    cycles::run(parse, parse);
}

fn parse<M: Measurement>(criterion: &mut Criterion<M>, unit: &str) {
    let mut group = criterion.benchmark_group(format!("parse{unit}"));
    for (name, frames) in [
        ("udp over ipv4", flows(WEB1, DB1, 32, 64)),
        ("tcp over ipv4", vec![tcp4(WEB1, DB1, &[0; 64]); 32]),
        ("udp over ipv6", vec![udp6(WEB1, DB1, &[0; 64]); 32]),
        ("every kind", guest_frames()),
    ] {
        group.throughput(Throughput::Elements(frames.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                frames.iter().for_each(|frame| {
                    std::hint::black_box(headers(std::hint::black_box(frame)).ok());
                });
            });
        });
    }
    group.finish();
}
