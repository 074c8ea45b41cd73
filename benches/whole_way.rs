//! What does a packet cost all the way, from the burst it came in to the port it leaves by?
#![allow(missing_docs)]

mod cycles;

use criterion::measurement::Measurement;
use criterion::{Criterion, Throughput};
use weft_pipelines::testing::Treadmill;
use weft_pipelines::testing::frames::{flows, from_fabric};
use weft_pipelines::testing::lab::endpoint::{DB1, WEB1, WEB2};
use weft_pipelines::testing::lab::{BLUE, host, port};
use weft_pipelines::{BURST, PortId};

/// Bytes of data in each datagram.
const DATA: usize = 64;

fn main() {
    cycles::run(bench, bench);
}

/// Ports cost nothing here but to take a burst from a belt and put it back.
fn bench<M: Measurement>(criterion: &mut Criterion<M>, unit: &str) {
    for (count, name) in [(1, "1 flow"), (1000, "1k flows")] {
        // Whole bursts: 32 frames of one conversation, or 1024 of a thousand.
        let flows = |from, to| -> Vec<Vec<u8>> {
            flows(from, to, count, DATA)
                .into_iter()
                .cycle()
                .take(if count == 1 { 32 } else { 1024 })
                .collect()
        };
        let in_tunnel: Vec<_> =
            flows(DB1, WEB1).iter().map(|frame| from_fabric(host::HV_B, BLUE, frame)).collect();
        let mut way = |way: &str, port: PortId, frames: &[Vec<u8>]| {
            let mut treadmill = Treadmill::new(host::HV_A, port, frames);
            assert_eq!((treadmill.burst(), treadmill.belt.sent), (BURST, BURST as u64), "all are sent");
            let mut group = criterion.benchmark_group(format!("{way}{unit}"));
            group.throughput(Throughput::Elements(BURST as u64));
            group.bench_function(name, |bencher| bencher.iter(|| treadmill.burst()));
            group.finish();
        };
        way("vm_to_vm", port::BLUE_WEB1, &flows(WEB1, WEB2));
        way("vm_to_fabric", port::BLUE_WEB1, &flows(WEB1, DB1));
        way("fabric_to_vm", port::UPLINK, &in_tunnel);
    }
}
