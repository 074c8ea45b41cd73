//! Does a guest feel what its neighbour does?
//!
//! `noisy_neighbour`: a burst of the one, a burst of the other, in turn: the neighbour behaves, or it does not. The
//! figures are of both bursts; the less they differ, the less the one feels of the other.
//!
//! `beside`: a guest sends at a steady rate, less than half of what a core can do, and its neighbour all it can. Ports
//! are received from in turns of cycles, as a worker does. The figures are of the steady guest's packets that got
//! through: alone, the time from one to the next.
#![allow(missing_docs)]

mod cycles;

use std::time::Duration;

use criterion::measurement::Measurement;
use criterion::{Criterion, Throughput};
use weft_pipelines::flow::Limits;
use weft_pipelines::qos::Turns;
use weft_pipelines::testing::frames::from_fabric;
use weft_pipelines::testing::lab::endpoint::{DB1, WEB1, WEB2};
use weft_pipelines::testing::lab::{BLUE, host, ipv4, mac, port};
use weft_pipelines::testing::traffic::{Flows, lab_with_rules, of_flow, syn, udp};
use weft_pipelines::testing::{Lab, Treadmill, packets};
use weft_pipelines::{BURST, PortId};

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
    // What it is called, its frame, and which flow each packet is of.
    type Neighbour<'a> = (&'a str, Vec<u8>, &'a dyn Fn(u32) -> u32);
    let neighbours: [Neighbour<'_>; 4] = [
        ("a thousand flows", udp(WEB2, DB1, 64), &|n| n % 1_000),
        ("every packet another flow", udp(WEB2, DB1, 64), &scattered),
        ("a flood of SYNs", syn(WEB2, DB1), &scattered),
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
    beside(criterion, unit);
}

/// Cycles from one packet of the steady guest to its next.
const INTERVAL: u64 = 400;
/// Packets that its ring holds.
const RING: u64 = 256;
/// Cycles after which the machine has done something else meanwhile: they do not count.
const AWAY: u64 = 100_000;

fn beside<M: Measurement>(criterion: &mut Criterion<M>, unit: &str) {
    let mut group = criterion.benchmark_group(format!("beside{unit}"));
    group.throughput(Throughput::Elements(BURST as u64));
    let known: &Dress = &|frame, n| of_flow(frame, n % 1_000);
    let tunnelled: &Dress = &|frame, n| of_flow(&mut frame[OUTER..], n % 1_000);
    let scattered_flows: &Dress = &|frame, n| of_flow(frame, scattered(n));
    let datagrams: &Dress = &|frame, n| frame[ID].copy_from_slice(&scattered(n).to_be_bytes()[..2]);
    let web2 = |frame, dress| Some(Neighbour { port: port::BLUE_WEB2, frame, dress });
    let to_web2 = from_fabric(host::HV_B, BLUE, &udp(DB1, WEB2, 18));
    let neighbours = [
        ("nobody", None),
        ("small packets", web2(udp(WEB2, DB1, 18), known)),
        ("nothing but SYNs", web2(syn(WEB2, DB1), scattered_flows)),
        ("tiny fragments", web2(fragment(), datagrams)),
        (TAKES_NOTHING, Some(Neighbour { port: port::UPLINK, frame: to_web2, dress: tunnelled })),
    ];
    for (name, neighbour) in neighbours {
        let mut core = Core::new(neighbour.as_ref());
        if name == TAKES_NOTHING {
            core.treadmill.stick(port::BLUE_WEB2);
        }
        let dress = neighbour.as_ref().map_or(known, |neighbour| neighbour.dress);
        // The burst that the neighbour may have at once is behind it then.
        (0..10_000).for_each(|_| core.until_a_burst(dress));
        (core.offered, core.received) = (0, 0);
        group.bench_function(name, |bencher| bencher.iter(|| core.until_a_burst(dress)));
        let Core { offered, received, .. } = core;
        assert!(received * 100 >= offered * 95, "{name}: {received} of {offered} packets got through");
    }
    group.finish();
}

/// Neighbouring numbers far apart.
const fn scattered(n: u32) -> u32 {
    n.wrapping_mul(0x9e37_79b9)
}

/// What is written into each frame, by its number.
type Dress = dyn Fn(&mut [u8], u32);

const TAKES_NOTHING: &str = "packets to a guest that takes nothing";
/// Bytes of the outer headers.
const OUTER: usize = 50;
/// Where the identification is that fragments of a datagram share.
const ID: std::ops::Range<usize> = 18..20;

/// Who sends all it can.
struct Neighbour<'a> {
    port: PortId,
    frame: Vec<u8>,
    dress: &'a Dress,
}

/// The first eight bytes of a datagram of which nothing more comes.
fn fragment() -> Vec<u8> {
    let shape = packets::Shape { more: true, ..packets::Shape::default() };
    let packet = packets::ipv4_with(ipv4(WEB2), ipv4(DB1), 17, &[0; 8], shape);
    packets::ethernet(mac(DB1), mac(WEB2), 0x0800, &packet)
}

/// A worker's core with two guests on it.
struct Core {
    treadmill: Treadmill,
    turns: Turns,
    is_alone: bool,
    flows: Flows,
    /// Packets of the neighbour so far.
    next: u32,
    /// Until when packets have come.
    at: u64,
    /// Packets of the steady guest that got through and are in no figure yet.
    got: usize,
    /// Packets in the steady guest's ring.
    ring: u64,
    offered: u64,
    received: u64,
}

impl Core {
    fn new(neighbour: Option<&Neighbour<'_>>) -> Self {
        let lab = Lab { limits: LIMITS, ..lab_with_rules(1_000, 1 << 18) };
        let mut treadmill = Treadmill::of(&lab, host::HV_A);
        treadmill.receive(port::BLUE_WEB1, &vec![udp(WEB1, DB1, 64); 1024]);
        neighbour.map(|of| treadmill.receive(of.port, &vec![&of.frame; 8192]));
        let (mut turns, flows) = (Turns::default(), Flows::new(1_000));
        turns.set([1, 1]);
        let (is_alone, at) = (neighbour.is_none(), cycles::now());
        Self { treadmill, turns, is_alone, flows, next: 0, at, got: 0, ring: 0, offered: 0, received: 0 }
    }

    /// Goes round until the steady guest has got a burst through.
    fn until_a_burst(&mut self, dress: &Dress) {
        while self.got < BURST {
            let start = cycles::now();
            let time = start - self.at;
            if time > AWAY {
                self.at = start;
                continue;
            }
            let came = time / INTERVAL;
            self.at += came * INTERVAL;
            self.offered += came;
            self.ring = (self.ring + came).min(RING);
            if self.turns.is_due(0) {
                let flows = &mut self.flows;
                let of_its = |frame: &mut [u8]| of_flow(frame, flows.choose());
                let packets = self.treadmill.turn_of(0, self.ring as usize, of_its);
                self.turns.spend(0, packets, cycles::now() - start);
                self.ring -= packets as u64;
                self.got += packets;
                self.received += packets as u64;
            }
            if !self.is_alone && self.turns.is_due(1) {
                let (next, before) = (&mut self.next, cycles::now());
                let packets = self.treadmill.turn(1, |frame| {
                    *next += 1;
                    dress(frame, *next);
                });
                self.turns.spend(1, packets, cycles::now() - before);
            }
            self.turns.end(0, |_, _| {});
            // A core of some 2.6 GHz; only how fast sessions may be opened depends on it.
            self.treadmill.wait(Duration::from_nanos((cycles::now() - start) * 10 / 26));
        }
        self.got -= BURST;
    }
}
