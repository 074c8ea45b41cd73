//! What does it cost to open a session: to look for it in vain, to decide it, to enter it, and to make room for it?
#![allow(missing_docs)]

mod cycles;
mod pages;

use criterion::measurement::Measurement;
use criterion::{Criterion, Throughput};
use weft_pipelines::BURST;
use weft_pipelines::flow::Limits;
use weft_pipelines::testing::Lab;
use weft_pipelines::testing::lab::endpoint::{DB1, WEB1};
use weft_pipelines::testing::lab::{host, port};
use weft_pipelines::testing::traffic::{lab_with_rules, of_flow, syn, udp};

/// Sessions that there are at the same time; each new one takes the place of the oldest.
const LIVE: u32 = 100_000;

fn main() {
    cycles::run(bench, bench);
}

/// Every packet is the first of its flow, from a guest to another host.
fn bench<M: Measurement>(criterion: &mut Criterion<M>, unit: &str) {
    let mut group = criterion.benchmark_group(format!("new_sessions{unit}"));
    group.throughput(Throughput::Elements(BURST as u64));
    for (rules, name) in
        [(10, "10 rules"), (1_000, "1k rules"), (10_000, "10k rules"), (100_000, "100k rules")]
    {
        for (frame, what) in [(udp(WEB1, DB1, 64), "UDP"), (syn(WEB1, DB1), "SYN")] {
            let limits = Limits { sessions: LIVE, embryonic: LIVE, ..Limits::default() };
            let lab = Lab { limits, ..lab_with_rules(rules, LIVE + LIVE / 4) };
            let mut treadmill = pages::treadmill(&lab, host::HV_A);
            treadmill.receive(port::BLUE_WEB1, &vec![frame; 1024]);
            // Odd, so that it comes by every flow; large, so that no field of the policy sees them in order.
            let mut next = 0u32;
            let mut turn = || {
                treadmill.turn(0, |frame| {
                    next = next.wrapping_add(0x9e37_79b9);
                    of_flow(frame, next);
                })
            };
            (0..2 * LIVE as usize / BURST).for_each(|_| assert_eq!(turn(), BURST));
            group.bench_function(format!("{what}, {name}"), |bencher| bencher.iter(&mut turn));
            let opened = treadmill.plane.sessions.v4.stats().opened;
            assert_eq!(opened, treadmill.sent(0), "each packet opened one");
        }
    }
    group.finish();
}
