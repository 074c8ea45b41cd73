//! In virtual time: what one guest does is not felt by another.

use std::collections::VecDeque;
use std::time::Duration;

use weft_pipelines::flow::{Limits, Settings};
use weft_pipelines::qos::Turns;
use weft_pipelines::testing::frames::from_fabric;
use weft_pipelines::testing::lab::endpoint::{DB1, WEB1, WEB2};
use weft_pipelines::testing::lab::{BLUE, host, port};
use weft_pipelines::testing::traffic::{Flows, lab_with_rules, of_flow, syn, udp};
use weft_pipelines::testing::{Bed, Lab, packets};
use weft_pipelines::{BURST, PortId, Reason};

/// Packets that the victim sends in a millisecond, and the aggressor.
const RATES: (usize, usize) = (8, 80);
/// How long it lasts, in milliseconds.
const TIME: u32 = 1_000;

/// A host where nothing is free: small tables, low limits.
fn bed() -> Bed {
    let lab = lab_with_rules(1_000, 2_000);
    let limits = Limits { sessions: 500, embryonic: 250, rate: 2_000, burst: 200 };
    let settings = Settings { capacity: 1_500, ..lab.sessions.clone() };
    Bed::new(&Lab { limits, sessions: settings, ..lab }, host::HV_A)
}

/// Packets of the victim that got through, beside whom `aggressor` makes the packets of: its old flows' and the first
/// ones of new flows.
fn got_through(aggressor: Option<&dyn Fn(u32) -> (bool, Vec<u8>)>) -> (usize, usize, Bed) {
    let mut bed = bed();
    let (mut old, mut new, mut next) = (0, 0, 0u32);
    let mut flows = Flows::new(100);
    let frame = |n: u32| {
        let mut frame = udp(WEB1, WEB2, 64);
        of_flow(&mut frame, n);
        frame
    };
    for millisecond in 0..TIME {
        if let Some(aggressor) = aggressor {
            for _ in 0..RATES.1 {
                next += 1;
                let (inside, frame) = aggressor(next);
                let port = if inside { port::BLUE_WEB2 } else { port::UPLINK };
                bed.receive(port, &[frame]);
            }
        }
        for _ in 1..RATES.0 {
            old += bed.receive(port::BLUE_WEB1, &[frame(flows.choose())]).len();
        }
        new += bed.receive(port::BLUE_WEB1, &[frame(1 << 20 | millisecond)]).len();
        bed.wait(Duration::from_millis(1));
    }
    (old, new, bed)
}

#[test]
fn a_guest_loses_nothing_whatever_another_sends() {
    let (old, new, _) = got_through(None);
    let all = (RATES.0 - 1) * TIME as usize;
    assert_eq!((old, new), (all, TIME as usize), "alone all gets through");
    let scattered = |n: u32| n.wrapping_mul(0x9e37_79b9);
    let dressed = |mut frame: Vec<u8>, n: u32| {
        of_flow(&mut frame, n);
        frame
    };
    type Aggressor<'a> = (&'a str, &'a dyn Fn(u32) -> (bool, Vec<u8>), Reason);
    let aggressors: [Aggressor<'_>; 4] = [
        (
            "every packet another flow",
            &|n| (true, dressed(udp(WEB2, DB1, 64), scattered(n))),
            Reason::SessionRate,
        ),
        ("a flood of SYNs", &|n| (true, dressed(syn(WEB2, DB1), scattered(n))), Reason::SessionRate),
        (
            "a flood of SYNs from the fabric to another",
            &|n| (false, from_fabric(host::HV_B, BLUE, &dressed(syn(DB1, WEB2), scattered(n)))),
            Reason::SessionRate,
        ),
        (
            "segments of no connection",
            &|n| {
                (true, {
                    let mut frame = dressed(syn(WEB2, DB1), scattered(n));
                    // RST.
                    frame[14 + 20 + 13] = 4;
                    frame
                })
            },
            Reason::TcpNoSession,
        ),
    ];
    for (name, aggressor, reason) in aggressors {
        let (with_old, with_new, bed) = got_through(Some(aggressor));
        assert!(
            with_old * 100 >= old * 95 && with_new * 100 >= new * 95,
            "{name}: {with_old} and {with_new}"
        );
        // In fact nothing at all is lost; and what was refused has its name.
        assert_eq!((with_old, with_new), (old, new), "{name}");
        let drops: u64 = bed.counters().ports.iter().map(|port| port.drops.count(reason)).sum();
        assert!(drops > 1_000, "{name}: {drops}");
    }
}

/// Cycles that a packet costs, about: as the benches have it.
const KNOWN: u64 = 110;
/// Cycles more of one that opens a session, or tries to.
const OPENS: u64 = 350;
/// Cycles more of a fragment.
const FRAGMENT: u64 = 150;
/// Cycles of a core in a microsecond.
const CORE: u64 = 2_600;
/// What the victim offers: packets in a hundred microseconds, two fifths of what a core can do.
const OFFERED: u64 = 945;
/// Frames that its ring holds.
const RING: usize = 256;

/// Packets of the victim that are received in a while from a ring of finite size, beside an aggressor that always has
/// more, in a time that goes by as packets cost cycles.
fn received_beside(aggressor: Option<Aggressor<'_>>, turns: &mut Option<Turns>) -> u64 {
    let mut bed = bed();
    if let Some(Aggressor { stuck: true, .. }) = aggressor {
        bed.sinks[0].room = vec![(port::BLUE_WEB2, 0)];
    }
    let (mut flows, mut ring) = (Flows::new(100), VecDeque::new());
    let (mut cycles, mut waited, mut arrived, mut received, mut next) = (0, 0, 0, 0, 0);
    while cycles < 20_000 * CORE {
        while arrived < cycles * OFFERED / (100 * CORE) {
            arrived += 1;
            let mut frame = udp(WEB1, DB1, 64);
            of_flow(&mut frame, flows.choose());
            if ring.len() < RING {
                ring.push_back(frame);
            }
        }
        let is_due = |turns: &Option<Turns>, queue| turns.as_ref().is_none_or(|turns| turns.is_due(queue));
        let before = cycles;
        if is_due(turns, 0) {
            let burst: Vec<_> = ring.drain(..ring.len().min(BURST)).collect();
            bed.receive(port::BLUE_WEB1, &burst);
            received += burst.len() as u64;
            let cost = burst.len() as u64 * KNOWN;
            turns.iter_mut().for_each(|turns| turns.spend(0, burst.len(), cost));
            cycles += cost;
        }
        if let Some(aggressor) = aggressor.filter(|_| is_due(turns, 1)) {
            let frames = (0..BURST).map(|_| {
                next += 1;
                (aggressor.frame)(next)
            });
            bed.receive(aggressor.port, &frames.collect::<Vec<_>>());
            let cost = BURST as u64 * (KNOWN + aggressor.more);
            turns.iter_mut().for_each(|turns| turns.spend(1, BURST, cost));
            cycles += cost;
        }
        turns.iter_mut().for_each(|turns| turns.end(0, |_, _| {}));
        // To look at empty rings takes time, too.
        cycles = cycles.max(before + 200);
        bed.wait(Duration::from_nanos((cycles * 1_000 / CORE) - waited));
        waited = cycles * 1_000 / CORE;
    }
    received
}

/// Who sends all it can, what, and how many cycles each packet costs more than one of a known session.
#[derive(Clone, Copy)]
struct Aggressor<'a> {
    port: PortId,
    frame: &'a dyn Fn(u32) -> Vec<u8>,
    more: u64,
    /// Whether it is for a guest that does not empty its ring.
    stuck: bool,
}

#[test]
fn a_guest_has_its_cycles_whatever_another_sends() {
    let dressed = |mut frame: Vec<u8>, n: u32| {
        of_flow(&mut frame, n);
        frame
    };
    let scattered = |n: u32| n.wrapping_mul(0x9e37_79b9);
    let small = |n| dressed(udp(WEB2, DB1, 64), n % 100);
    let syns = |n| dressed(syn(WEB2, DB1), scattered(n));
    let fragments = |n: u32| {
        let shape = packets::Shape { offset: 0, more: true, id: n as u16, ..packets::Shape::default() };
        let ends = [WEB2, DB1].map(weft_pipelines::testing::lab::ipv4);
        let packet = packets::ipv4_with(ends[0], ends[1], 17, &[0; 8], shape);
        let [from, to] = [WEB2, DB1].map(weft_pipelines::testing::lab::mac);
        packets::ethernet(to, from, 0x0800, &packet)
    };
    let stuck = |n| from_fabric(host::HV_B, BLUE, &dressed(udp(DB1, WEB2, 64), n % 100));
    let guest = |frame, more| Aggressor { port: port::BLUE_WEB2, frame, more, stuck: false };
    let aggressors: [(&str, Aggressor<'_>); 4] = [
        ("small packets", guest(&small, 0)),
        ("nothing but SYNs", guest(&syns, OPENS)),
        ("tiny fragments", guest(&fragments, OPENS + FRAGMENT)),
        (
            "to a guest that takes nothing",
            Aggressor { port: port::UPLINK, frame: &stuck, more: 0, stuck: true },
        ),
    ];
    let turns = || {
        let mut turns = Turns::default();
        turns.set([1, 1]);
        Some(turns)
    };
    let alone = received_beside(None, &mut turns());
    for (name, aggressor) in aggressors {
        let beside = received_beside(Some(aggressor), &mut turns());
        assert!(beside * 100 >= alone * 95, "{name}: {beside} of {alone}");
    }
    // That is the turns' doing: burst by burst the dear ones take the core.
    let unfair = received_beside(Some(aggressors[1].1), &mut None);
    assert!(unfair * 100 < alone * 60, "{unfair} of {alone}");
}
