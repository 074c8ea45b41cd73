//! Attackers who know the addresses and ports of a connection, but see none of its packets; and ends that misbehave.

use proptest::prelude::*;

use super::model::Whim;
use super::*;
use crate::flow::Side::{Initiator, Responder};

const TRIES: u32 = 1 << 20;
const KINDS: [u8; 6] = [SYN, SYN_ACK, ACK, FIN_ACK, RST, RST_ACK];

fn segment(flags: u8, seq: u32, ack: u32) -> Segment {
    Segment { flags, seq, ack, window: u16::MAX, ..Segment::default() }
}

/// An open connection with windows of 64 KiB, or of 1 GiB.
fn established(scale: Option<u8>) -> (Windows, State) {
    let (a, b) = (0x1111_1111, 0xeeee_eeee);
    let (mut windows, mut state) = open(&Segment { scale, ..segment(SYN, a, 0) }, false).unwrap();
    for (side, segment) in [
        (Responder, Segment { scale, ..segment(SYN_ACK, b, a + 1) }),
        (Initiator, segment(ACK, a + 1, b + 1)),
        (Responder, segment(ACK, b + 1, a + 1)),
    ] {
        let step = windows.step(state, side, &segment);
        assert_eq!(step.verdict, Verdict::InWindow);
        state = step.state;
    }
    assert_eq!(state, State::TcpEstablished);
    (windows, state)
}

/// What becomes of segments with random numbers, by kind and verdict.
fn shoot(windows: Windows, state: State, side: Side) -> [[u32; 3]; 6] {
    let mut whim = Whim(0x5eed);
    let mut counts = [[0; 3]; 6];
    for n in 0..TRIES {
        let kind = n as usize % 6;
        let numbers = whim.next();
        let shot = Segment { len: 100, ..segment(KINDS[kind], numbers as u32, (numbers >> 32) as u32) };
        let mut after = windows;
        let step = after.step(state, side, &shot);
        let verdict = match step.verdict {
            Verdict::InWindow => 0,
            Verdict::Inert => 1,
            Verdict::OutOfWindow => {
                assert_eq!(after, windows);
                2
            }
            other => panic!("{shot:?} is {other:?}"),
        };
        assert!(verdict == 0 || step.state == state);
        counts[kind][verdict] += 1;
    }
    counts
}

#[test]
fn what_is_made_up_has_no_effect() {
    for side in [Initiator, Responder] {
        let (windows, state) = established(None);
        let counts = shoot(windows, state, side);
        let [syn, syn_ack, ack, fin, rst, rst_ack] = counts;
        // Receivers answer a SYN whatever its number is.
        assert_eq!((syn[2], syn_ack[2]), (0, 0));
        for (name, [in_window, inert, _]) in [("ACK", ack), ("FIN", fin), ("RST", rst), ("RST ACK", rst_ack)]
        {
            assert_eq!(in_window, 0, "{name}");
            // Of 2^32 numbers an RST that passes has one of four times 64 KiB at most; the others need two
            // such.
            assert!(inert < 2 * (TRIES / 6) / (1 << 14), "{name}: {inert}");
        }
        assert_eq!(syn[0] + syn_ack[0], 0);
    }
}

/// With a quarter of all numbers in the window, data may be made up; but nothing ends the connection.
#[test]
fn no_rst_is_guessed_even_with_the_largest_windows() {
    for side in [Initiator, Responder] {
        let (windows, state) = established(Some(14));
        let [_, _, _, _, rst, rst_ack] = shoot(windows, state, side);
        assert_eq!((rst[0], rst_ack[0]), (0, 0));
    }
    // Nor one that is picked up.
    let (windows, state) = open(&segment(ACK, 7, 8), true).unwrap();
    let [_, _, _, _, rst, rst_ack] = shoot(windows, state, Responder);
    assert_eq!((rst[0], rst_ack[0]), (0, 0));
}

#[test]
fn no_answer_to_a_syn_is_guessed() {
    let (windows, state) = open(&segment(SYN, 0x1234_5678, 0), false).unwrap();
    let [_, syn_ack, ack, fin, rst, rst_ack] = shoot(windows, state, Responder);
    let total = TRIES / 6;
    for [in_window, inert, out] in [syn_ack, ack, fin, rst, rst_ack] {
        assert_eq!((in_window, inert), (0, 0));
        assert!(out >= total);
    }
}

/// Data from beside the path may be in the window by chance. They may not keep out what the ends send.
#[test]
fn a_lucky_guess_does_not_shut_out_the_ends() {
    let (mut windows, state) = established(None);
    let (a, b) = (0x1111_1112, 0xeeee_eeef_u32);
    for (seq, ack) in [(a + 60_000, b), (a + 65_000, b - 60_000), (a + 10_000, b)] {
        let step = windows.step(state, Initiator, &Segment { len: 500, ..segment(ACK, seq, ack) });
        assert_eq!(step, Step { state, verdict: Verdict::InWindow });
    }
    let mut sent = a;
    for _ in 0..100 {
        let data = Segment { len: 1000, ..segment(ACK, sent, b) };
        assert_eq!(windows.step(state, Initiator, &data).verdict, Verdict::InWindow);
        sent += 1000;
        assert_eq!(windows.step(state, Responder, &segment(ACK, b, sent)).verdict, Verdict::InWindow);
    }
}

/// A number near one that was used, as far off as windows go.
fn near() -> impl Strategy<Value = u32> {
    let base = prop_oneof![Just(0u32), Just(u32::MAX), Just(1 << 31)];
    let far = prop_oneof![Just(0u32), Just(1 << 16), Just(1 << 30), Just(1 << 31)];
    (base, far, 0..6u32)
        .prop_map(|(base, far, step)| base.wrapping_add(far).wrapping_add(step).wrapping_sub(3))
}

prop_compose! {
    fn any_segment()(
        flags: u8,
        kind in prop::option::weighted(0.9, prop::sample::select(&KINDS[..])),
        numbers in (near(), near()),
        window: u16,
        len in prop_oneof![Just(0u32), 0..3u32, Just(65_495)],
        is_cut: bool,
        scale in prop::option::of(0..=MAX_SCALE),
        has_timestamps: bool,
    ) -> Segment {
        let (seq, ack) = numbers;
        Segment { flags: kind.unwrap_or(flags), seq, ack, window, len, is_cut, scale, has_timestamps }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn whatever_two_ends_send_the_rules_of_verdicts_hold(
        first in any_segment(),
        others in prop::collection::vec((any::<bool>(), any_segment()), 0..40),
    ) {
        let Ok((mut windows, mut state)) = open(&first, true) else { return Ok(()) };
        for (from_initiator, segment) in others {
            let (before, side) = (windows, if from_initiator { Initiator } else { Responder });
            let step = windows.step(state, side, &segment);
            match step.verdict {
                Verdict::InWindow => prop_assert!(state != State::TcpClosed),
                Verdict::Inert => prop_assert_eq!(step.state, state),
                Verdict::Reopen => {
                    prop_assert!(matches!(state, State::TcpClosed | State::TcpTimeWait));
                    prop_assert_eq!((step.state, windows), (state, before));
                }
                Verdict::OutOfWindow | Verdict::BadFlags => {
                    prop_assert_eq!((step.state, windows), (state, before));
                }
            }
            // Nobody goes back from where the connection was, but by another handshake.
            let goes_back = (step.state as u8) < state as u8;
            prop_assert!(!goes_back || step.state == State::TcpSynReceived && segment.flags & KIND == SYN_ACK);
            state = step.state;
        }
    }
}
