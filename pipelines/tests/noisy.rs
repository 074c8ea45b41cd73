//! In virtual time: what one guest does is not felt by another.

use std::time::Duration;

use weft_pipelines::Reason;
use weft_pipelines::flow::{Limits, Settings};
use weft_pipelines::testing::frames::from_fabric;
use weft_pipelines::testing::lab::endpoint::{DB1, WEB1, WEB2};
use weft_pipelines::testing::lab::{BLUE, host, port};
use weft_pipelines::testing::traffic::{Flows, lab_with_rules, of_flow, syn, udp};
use weft_pipelines::testing::{Bed, Lab};

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
