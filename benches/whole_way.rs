//! What does a packet cost all the way, from the burst it came in to the port it leaves by: with how many flows, and
//! with how many rules?
#![allow(missing_docs)]

mod cycles;
mod pages;

use std::cell::LazyCell;

use criterion::measurement::Measurement;
use criterion::{Criterion, Throughput};
use weft_pipelines::testing::frames::from_fabric;
use weft_pipelines::testing::lab::endpoint::{DB1, WEB1, WEB2};
use weft_pipelines::testing::lab::{BLUE, host, port};
use weft_pipelines::testing::traffic::{Flows, lab_with_rules, of_flow, udp};
use weft_pipelines::testing::{Lab, Treadmill};
use weft_pipelines::{BURST, PortId};

/// Bytes of data in each datagram.
const DATA: usize = 64;
/// Bytes of the outer headers.
const OUTER: usize = 50;
/// Flows, and what they are called.
const FLOWS: [(u32, &str); 5] = [
    (1, "1 flow"),
    (1_000, "1k flows"),
    (100_000, "100k flows"),
    (1_000_000, "1M flows"),
    (8_000_000, "8M flows"),
];
/// Rules, and what they are called.
const RULES: [(usize, &str); 4] =
    [(10, "10 rules"), (1_000, "1k rules"), (10_000, "10k rules"), (100_000, "100k rules")];
/// Frames that go round: more bursts than are in the first cache at once, as from a ring.
const FRAMES: usize = 1024;

fn main() {
    cycles::run(bench, bench);
}

/// Ports cost nothing here but to take a burst from a belt and put it back. Each packet's ports are written first, to
/// make it one of a flow chosen at random: that is in the figure.
fn bench<M: Measurement>(criterion: &mut Criterion<M>, unit: &str) {
    let vm = udp(WEB1, WEB2, DATA);
    let fabric = udp(WEB1, DB1, DATA);
    let tunnelled = from_fabric(host::HV_B, BLUE, &udp(DB1, WEB1, DATA));
    for (way, port, frame, at) in [
        ("vm_to_vm", port::BLUE_WEB1, vm, 0),
        ("vm_to_fabric", port::BLUE_WEB1, fabric, 0),
        ("fabric_to_vm", port::UPLINK, tunnelled, OUTER),
    ] {
        let mut group = criterion.benchmark_group(format!("{way}{unit}"));
        group.throughput(Throughput::Elements(BURST as u64));
        for (flows, name) in FLOWS {
            let lab = lab_with_rules(10, flows + flows / 4 + 1024);
            // Made only if it is measured: a name can be asked for.
            let mut treadmill = LazyCell::new(|| warm(&lab, port, &frame, at, flows));
            let mut chosen = Flows::new(flows);
            group.bench_function(name, |bencher| {
                let treadmill = &mut *treadmill;
                bencher.iter(|| treadmill.turn(0, |frame| of_flow(&mut frame[at..], chosen.choose())));
            });
        }
        group.finish();
    }
    let mut group = criterion.benchmark_group(format!("vm_to_fabric, 1k flows{unit}"));
    group.throughput(Throughput::Elements(BURST as u64));
    for (rules, name) in RULES {
        let mut treadmill = LazyCell::new(|| {
            warm(&lab_with_rules(rules, 4096), port::BLUE_WEB1, &udp(WEB1, DB1, DATA), 0, 1_000)
        });
        let mut chosen = Flows::new(1_000);
        group.bench_function(name, |bencher| {
            let treadmill = &mut *treadmill;
            bencher.iter(|| treadmill.turn(0, |frame| of_flow(frame, chosen.choose())));
        });
    }
    group.finish();
}

/// A host with `flows` open sessions of which `port` receives packets; `at`: where the inner frame begins.
fn warm(lab: &Lab, port: PortId, frame: &[u8], at: usize, flows: u32) -> Treadmill {
    let mut treadmill = pages::treadmill(lab, host::HV_A);
    treadmill.receive(port, &vec![frame; FRAMES]);
    let (mut packets, mut next) = (0, 0);
    while next < flows {
        packets += treadmill.turn(0, |frame| {
            of_flow(&mut frame[at..], next.min(flows - 1));
            next += 1;
        });
    }
    assert_eq!(treadmill.sent(0), packets as u64, "all are sent");
    assert_eq!(treadmill.plane.sessions.v4.len(), flows as usize);
    treadmill
}
