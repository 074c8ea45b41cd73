//! Does a guest feel what its neighbour does? A burst of the one, a burst of the other, in turn: the neighbour behaves,
//! or it does not. The figures are of both bursts; the less they differ, the less the one feels of the other.
#![allow(missing_docs)]

mod cycles;

use std::time::Duration;

use criterion::measurement::Measurement;
use criterion::{Criterion, Throughput};
use weft_pipelines::BURST;
use weft_pipelines::flow::Limits;
use weft_pipelines::testing::lab::endpoint::{DB1, WEB1, WEB2};
use weft_pipelines::testing::lab::{host, port};
use weft_pipelines::testing::traffic::{Flows, lab_with_rules, of_flow, syn, udp};
use weft_pipelines::testing::{Lab, Treadmill};

/// What a guest may take where the document does not say otherwise, of 2^18 sessions on three ports.
const LIMITS: Limits = Limits { sessions: 87_381, embryonic: 43_690, rate: 50_000, burst: 10_000 };
/// What two bursts take of a core that does nothing else, about.
const ROUND: Duration = Duration::from_micros(4);

fn main() {
    cycles::run(bench, bench);
}

fn bench<M: Measurement>(criterion: &mut Criterion<M>, unit: &str) {
    let mut group = criterion.benchmark_group(format!("noisy_neighbour{unit}"));
    group.throughput(Throughput::Elements(2 * BURST as u64));
    let tuple_space = |n: u32| n.wrapping_mul(0x9e37_79b9);
    // What it is called, its frame, and which flow each packet is of.
    type Neighbour<'a> = (&'a str, Vec<u8>, &'a dyn Fn(u32) -> u32);
    let neighbours: [Neighbour<'_>; 4] = [
        ("a thousand flows", udp(WEB2, DB1, 64), &|n| n % 1_000),
        ("every packet another flow", udp(WEB2, DB1, 64), &tuple_space),
        ("a flood of SYNs", syn(WEB2, DB1), &tuple_space),
        ("a scan of ports", syn(WEB2, DB1), &|n| 4_000 << 16 | n & 0xffff),
    ];
    for (name, frame, flow) in neighbours {
        let lab = Lab { limits: LIMITS, ..lab_with_rules(10_000, 1 << 18) };
        let mut treadmill = Treadmill::of(&lab, host::HV_A);
        let victim = treadmill.receive(port::BLUE_WEB1, &vec![udp(WEB1, DB1, 64); 1024]);
        let neighbour = treadmill.receive(port::BLUE_WEB2, &vec![frame; 1024]);
        let (mut flows, mut next, mut packets) = (Flows::new(1_000), 0, 0);
        let mut round = || {
            packets += treadmill.turn(victim, |frame| of_flow(frame, flows.choose()));
            treadmill.turn(neighbour, |frame| {
                next += 1;
                of_flow(frame, flow(next));
            });
            treadmill.wait(ROUND);
        };
        // The burst that the neighbour may have at once is behind it then.
        (0..10_000).for_each(|_| round());
        group.bench_function(name, |bencher| bencher.iter(&mut round));
        let lost = packets as u64 - treadmill.sent(victim);
        assert_eq!(lost, 0, "{name}: the other guest lost {lost} of {packets} packets");
    }
    group.finish();
}
