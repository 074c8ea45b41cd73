//! What does it cost to meter what a guest sends, where it may: with nothing bound, with both levels bound, and with the
//! uplink besides; and among how many guests?
#![allow(missing_docs)]

mod cycles;

use std::time::Duration;

use criterion::measurement::Measurement;
use criterion::{Criterion, Throughput};
use weft_pipelines::qos::{Classes, Meters, Share, TenantShare};
use weft_pipelines::testing::lab::endpoint::{DB1, WEB1};
use weft_pipelines::testing::lab::{LabQos, host, port};
use weft_pipelines::testing::traffic::{Flows, lab_with_rules, of_flow, udp};
use weft_pipelines::testing::{Lab, Treadmill};
use weft_pipelines::{BURST, PortId, TenantId, Tick};

/// More than a core sends.
const BOUND: Share = Share {
    rate: 400_000_000_000,
    ceil: 800_000_000_000,
    burst: 1 << 24,
    pps: 400_000_000,
    packet_burst: 1 << 16,
    weight: 1,
};
/// What a burst takes of a core, about.
const ROUND: Duration = Duration::from_micros(2);
/// Guests, of a hundredth as many tenants.
const GUESTS: [(usize, &str); 3] = [(1, "1 guest"), (100, "100 guests"), (10_000, "10k guests")];

fn main() {
    cycles::run(bench, bench);
}

fn bench<M: Measurement>(criterion: &mut Criterion<M>, unit: &str) {
    let mut group = criterion.benchmark_group(format!("into the fabric{unit}"));
    group.throughput(Throughput::Elements(BURST as u64));
    let endpoint = || vec![(port::BLUE_WEB1, BOUND, Classes::default())];
    let tenant = || vec![(TenantId(0), BOUND)];
    let free = LabQos::default();
    for (name, qos) in [
        ("nothing bound", free.clone()),
        ("the guest bound", LabQos { endpoints: endpoint(), ..free.clone() }),
        (
            "the guest and its tenant bound",
            LabQos { endpoints: endpoint(), tenants: tenant(), ..free.clone() },
        ),
        (
            "the guest, its tenant and the uplink bound",
            LabQos { endpoints: endpoint(), tenants: tenant(), uplink: BOUND.rate, ..free },
        ),
    ] {
        let lab = Lab { qos, ..lab_with_rules(10, 4096) };
        let mut treadmill = Treadmill::of(&lab, host::HV_A);
        treadmill.receive(port::BLUE_WEB1, &vec![udp(WEB1, DB1, 64); 1024]);
        let (mut flows, mut packets) = (Flows::new(1_000), 0);
        let mut round = || {
            packets += treadmill.turn(0, |frame| of_flow(frame, flows.choose()));
            treadmill.wait(ROUND);
        };
        (0..1_000).for_each(|_| round());
        group.bench_function(name, |bencher| bencher.iter(&mut round));
        assert_eq!(packets as u64, treadmill.sent(0), "{name}: all may go at once");
    }
    group.finish();
    let mut group = criterion.benchmark_group(format!("both levels bound{unit}"));
    group.throughput(Throughput::Elements(BURST as u64));
    for (guests, name) in GUESTS {
        let mut meters = Meters::default();
        let tenants = vec![TenantShare { share: BOUND, ..TenantShare::default() }; guests.div_ceil(100)];
        let of = |n: usize| (PortId(n as u16), TenantId((n / 100) as u16), &BOUND);
        meters.set(&tenants, (0..guests).map(of), Tick(0));
        let (mut chosen, mut now) = (Flows::new(guests as u32), Tick(0));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                now = now + ROUND;
                let port = PortId(chosen.choose() as u16);
                let room = meters.room(port, now);
                assert_eq!(room, BURST, "conforming");
                let is_green = meters.take_green(port, room as u64, room as u64 * 88);
                meters.received(port, room, room);
                assert!(is_green, "conforming");
            });
        });
    }
    group.finish();
}
