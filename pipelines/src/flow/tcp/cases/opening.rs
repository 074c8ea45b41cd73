//! How connections begin, or do not.

use super::*;

#[test]
fn a_window_scale_that_only_one_side_has_is_off() {
    for scales in [(Some(7), None), (None, Some(7)), (None, None)] {
        let mut talk = Talk::established(A, B, scales);
        talk.script(&[
            (Initiator, segment(ACK, A + 1, B + 1), InWindow, TcpEstablished),
            (Responder, segment(ACK, B + 1, A + 1), InWindow, TcpEstablished),
            (Initiator, data(A + 70_000, B + 1, 1), OutOfWindow, TcpEstablished),
            (Responder, data(B + 70_000, A + 1, 1), OutOfWindow, TcpEstablished),
        ]);
    }
    let mut talk = Talk::established(A, B, (Some(3), Some(7)));
    talk.script(&[
        (Responder, segment(ACK, B + 1, A + 1), InWindow, TcpEstablished),
        (Initiator, data(A + (WINDOW << 7), B + 1, 1), InWindow, TcpEstablished),
        (Responder, data(B + (WINDOW << 3), A + 1, 1), InWindow, TcpEstablished),
        (Responder, data(B + (WINDOW << 3) + 3, A + 1, 1), OutOfWindow, TcpEstablished),
    ]);
}

#[test]
fn the_window_of_a_syn_is_not_scaled() {
    let answer = Segment { scale: Some(7), ..segment(SYN | ACK, B, A + 1) };
    Talk::open(Segment { scale: Some(7), ..syn(A) }).script(&[
        (Responder, answer, InWindow, TcpSynReceived),
        (Initiator, data(A + 1 + WINDOW, B + 1, 2), OutOfWindow, TcpSynReceived),
        (Initiator, data(A + 1 + WINDOW, B + 1, 1), InWindow, TcpEstablished),
    ]);
}

#[test]
fn a_window_scale_may_be_left_out_when_a_syn_is_repeated() {
    let with = |scaled: Segment| Segment { scale: Some(7), ..scaled };
    let (answer, third) = (segment(SYN | ACK, B, A + 1), segment(ACK, A + 1, B + 1));
    let beyond = data(B + (WINDOW << 6), A + 1, 1);
    for (first, second) in [(syn(A), with(syn(A))), (with(syn(A)), syn(A))] {
        for (one, other) in [(answer, with(answer)), (with(answer), answer)] {
            Talk::open(first).script(&[
                (Initiator, second, InWindow, TcpSynSent),
                (Responder, one, InWindow, TcpSynReceived),
                (Responder, other, InWindow, TcpSynReceived),
                (Initiator, third, InWindow, TcpEstablished),
                (Responder, beyond, InWindow, TcpEstablished),
            ]);
        }
    }
}

#[test]
fn both_open_at_once() {
    Talk::open(syn(A)).script(&[
        (Responder, syn(B), InWindow, TcpSynReceived),
        (Initiator, segment(SYN | ACK, A, B + 1), InWindow, TcpSynReceived),
        (Responder, segment(SYN | ACK, B, A + 1), InWindow, TcpEstablished),
        (Initiator, segment(ACK, A + 1, B + 1), InWindow, TcpEstablished),
    ]);
    // Each repeats what it has sent before it hears of the other.
    Talk::open(syn(A)).script(&[
        (Responder, syn(B), InWindow, TcpSynReceived),
        (Initiator, syn(A), InWindow, TcpSynReceived),
        (Responder, syn(B), InWindow, TcpSynReceived),
        (Responder, segment(SYN | ACK, B, A + 1), InWindow, TcpSynReceived),
        (Responder, segment(SYN | ACK, B, A + 1), InWindow, TcpSynReceived),
        (Initiator, segment(SYN | ACK, A, B + 1), InWindow, TcpEstablished),
        (Responder, segment(SYN | ACK, B, A + 1), InWindow, TcpEstablished),
    ]);
}

#[test]
fn what_is_repeated_of_a_handshake_passes() {
    let answer = segment(SYN | ACK, B, A + 1);
    Talk::open(syn(A)).script(&[
        (Initiator, syn(A), InWindow, TcpSynSent),
        (Responder, answer, InWindow, TcpSynReceived),
        (Initiator, syn(A), InWindow, TcpSynReceived),
        (Responder, answer, InWindow, TcpSynReceived),
        (Initiator, segment(ACK, A + 1, B + 1), InWindow, TcpEstablished),
        (Initiator, syn(A), Inert, TcpEstablished),
        (Responder, answer, InWindow, TcpEstablished),
        (Initiator, segment(ACK, A + 1, B + 1), InWindow, TcpEstablished),
        (Initiator, data(A + 1, B + 1, 500), InWindow, TcpEstablished),
        (Responder, answer, InWindow, TcpEstablished),
        (Responder, segment(ACK, B + 1, A + 501), InWindow, TcpEstablished),
        (Responder, answer, Inert, TcpEstablished),
    ]);
}

#[test]
fn another_attempt_takes_the_place_of_one_without_an_answer() {
    Talk::open(syn(A)).script(&[
        (Initiator, syn(A - 500), InWindow, TcpSynSent),
        (Responder, segment(SYN | ACK, B, A + 1), OutOfWindow, TcpSynSent),
        (Responder, segment(SYN | ACK, B, A - 499), InWindow, TcpSynReceived),
        (Initiator, segment(ACK, A - 499, B + 1), InWindow, TcpEstablished),
    ]);
}

#[test]
fn who_answers_with_cookies_may_change_its_number() {
    Talk::open(syn(A)).script(&[
        (Responder, segment(SYN | ACK, B, A + 1), InWindow, TcpSynReceived),
        (Responder, segment(SYN | ACK, B + 0x1234_5678, A + 2), OutOfWindow, TcpSynReceived),
        (Responder, segment(SYN | ACK, B + 0x1234_5678, A + 1), InWindow, TcpSynReceived),
        (Initiator, segment(ACK, A + 1, B + 1), OutOfWindow, TcpSynReceived),
        (Initiator, segment(ACK, A + 1, B + 0x1234_5679), InWindow, TcpEstablished),
    ]);
}

#[test]
fn a_syn_may_carry_data() {
    let first = Segment { len: 1000, ..syn(A) };
    // RFC 7413: the answer acknowledges the data, and has some too.
    Talk::open(first).script(&[
        (Responder, Segment { len: 300, ..segment(SYN | ACK, B, A + 1001) }, InWindow, TcpSynReceived),
        (Responder, data(B + 301, A + 1001, 1000), InWindow, TcpSynReceived),
        (Initiator, segment(ACK, A + 1001, B + 301), InWindow, TcpEstablished),
    ]);
    // Or it takes the SYN alone, and the data come again.
    Talk::open(first).script(&[
        (Initiator, syn(A), InWindow, TcpSynSent),
        (Responder, segment(SYN | ACK, B, A + 1), InWindow, TcpSynReceived),
        (Initiator, data(A + 1, B + 1, 1000), InWindow, TcpEstablished),
    ]);
    // The one with data is late, and still the responder may take them.
    Talk::open(syn(A)).script(&[
        (Responder, segment(SYN | ACK, B, A + 1), InWindow, TcpSynReceived),
        (Initiator, first, InWindow, TcpSynReceived),
        (Responder, segment(SYN | ACK, B, A + 1001), InWindow, TcpSynReceived),
        (Initiator, segment(ACK, A + 1001, B + 1), InWindow, TcpEstablished),
    ]);
    // It acknowledges no more than was sent.
    let beyond = segment(SYN | ACK, B, A + 1002);
    assert_eq!(Talk::open(first).step(Responder, beyond), (OutOfWindow, TcpSynSent));
}

#[test]
fn an_answer_to_another_syn_is_none() {
    for ack in [A - 1, A, A + 2, A ^ 1 << 31] {
        let mut talk = Talk::open(syn(A));
        assert_eq!(talk.step(Responder, segment(SYN | ACK, B, ack)), (OutOfWindow, TcpSynSent));
        assert_eq!(talk.step(Responder, segment(RST | ACK, 0, ack)), (OutOfWindow, TcpSynSent));
    }
    let mut talk = Talk::open(syn(A));
    talk.script(&[
        (Initiator, segment(SYN | ACK, A, B), OutOfWindow, TcpSynSent),
        (Initiator, data(A + 1, B, 10), OutOfWindow, TcpSynSent),
        (Initiator, segment(ACK, A + 1, B), OutOfWindow, TcpSynSent),
        (Responder, data(B, A + 1, 10), OutOfWindow, TcpSynSent),
        (Responder, segment(FIN | ACK, B, A + 1), OutOfWindow, TcpSynSent),
        (Responder, segment(RST, A + 1, A + 1), OutOfWindow, TcpSynSent),
    ]);
    // Nor does the initiator answer another's.
    let mut talk = Talk::open(syn(A));
    assert_eq!(talk.step(Responder, segment(SYN | ACK, B, A + 1)), (InWindow, TcpSynReceived));
    for ack in [B - 1, B, B + 2] {
        assert_eq!(talk.step(Initiator, segment(ACK, A + 1, ack)), (OutOfWindow, TcpSynReceived));
    }
}

#[test]
fn refused() {
    let refusal = segment(RST | ACK, 0, A + 1);
    Talk::open(syn(A)).script(&[
        (Responder, refusal, InWindow, TcpClosed),
        // Twice on the way.
        (Responder, refusal, Inert, TcpClosed),
        (Initiator, syn(A + 70_000), Reopen, TcpClosed),
    ]);
    // The answer was lost, and then the responder itself.
    Talk::open(syn(A)).script(&[
        (Responder, segment(SYN | ACK, B, A + 1), InWindow, TcpSynReceived),
        (Initiator, syn(A), InWindow, TcpSynReceived),
        (Responder, refusal, InWindow, TcpClosed),
        (Responder, refusal, Inert, TcpClosed),
    ]);
    // The initiator does not know of it any more.
    Talk::open(syn(A)).script(&[(Initiator, segment(RST, A + 1, 0), InWindow, TcpClosed)]);
    Talk::open(syn(A)).script(&[
        (Responder, segment(SYN | ACK, B, A + 1), InWindow, TcpSynReceived),
        // The number of a SYN is not expected again.
        (Responder, segment(RST, B, 0), Inert, TcpSynReceived),
        (Initiator, segment(RST, A + 1, 0), InWindow, TcpClosed),
    ]);
}

#[test]
fn picked_up_in_mid_stream() {
    // What is seen first may be anything in flight: here a repeated segment, of a large window.
    let mut talk = Talk::pick_up(data(A, B, 1000));
    talk.script(&[
        (Responder, segment(ACK, B + 200_000, A + 5_000_000), InWindow, TcpEstablished),
        (Initiator, data(A + 9_000_000, B + 200_000, 1000), InWindow, TcpEstablished),
        (Initiator, data(A - 100_000, B + 200_000, 1000), InWindow, TcpEstablished),
        (Responder, segment(ACK, B + 200_000, A + 9_001_000), InWindow, TcpEstablished),
        (Initiator, data(A ^ 1 << 31, B + 200_000, 1000), OutOfWindow, TcpEstablished),
        (Responder, segment(RST, B + 199_000, 0), Inert, TcpEstablished),
        (Responder, segment(FIN | ACK, B + 200_000, A + 9_001_000), InWindow, TcpFinWait),
        (Initiator, segment(FIN | ACK, A + 9_001_000, B + 200_001), InWindow, TcpClosing),
        (Responder, segment(ACK, B + 200_001, A + 9_001_001), InWindow, TcpTimeWait),
    ]);
    // A keep-alive: the number before the next.
    Talk::pick_up(segment(ACK, A - 1, B)).script(&[
        (Responder, segment(ACK, B, A), InWindow, TcpEstablished),
        (Initiator, segment(RST, A, 0), InWindow, TcpClosed),
    ]);
    Talk::pick_up(segment(FIN | ACK, A, B)).script(&[
        (Responder, segment(FIN | ACK, B, A + 1), InWindow, TcpClosing),
        (Initiator, segment(ACK, A + 1, B + 1), InWindow, TcpTimeWait),
    ]);
}

#[test]
fn picked_up_at_the_answer() {
    let mut talk = Talk::pick_up(Segment { scale: Some(7), ..segment(SYN | ACK, B, A + 1) });
    assert_eq!(talk.state, TcpSynReceived);
    talk.script(&[
        (Initiator, segment(SYN | ACK, B, A + 1), InWindow, TcpSynReceived),
        (Responder, segment(ACK, A + 1, B + 1), InWindow, TcpEstablished),
        (Responder, data(A + 1, B + 1, 10_000), InWindow, TcpEstablished),
        (Initiator, data(B + 1, A + 10_001, 1000), InWindow, TcpEstablished),
        (Initiator, segment(ACK, B + 1, A + 10_002), OutOfWindow, TcpEstablished),
        // Windows are scaled, nobody knows how much.
        (Initiator, data(B + 1 + (WINDOW << 13), A + 10_001, 1000), InWindow, TcpEstablished),
    ]);
    // Or it is known that they are not.
    Talk::pick_up(segment(SYN | ACK, B, A + 1)).script(&[
        (Responder, segment(ACK, A + 1, B + 1), InWindow, TcpEstablished),
        (Initiator, data(B + 1 + WINDOW, A + 1, 1000), OutOfWindow, TcpEstablished),
    ]);
}

#[test]
fn what_opens_a_connection() {
    for (flags, plain, picked_up) in [
        (SYN, Ok(TcpSynSent), Ok(TcpSynSent)),
        (SYN | ECE | CWR, Ok(TcpSynSent), Ok(TcpSynSent)),
        (SYN | URG | PSH, Ok(TcpSynSent), Ok(TcpSynSent)),
        (SYN | ACK, Err(Invalid::NoConnection), Ok(TcpSynReceived)),
        (ACK, Err(Invalid::NoConnection), Ok(TcpEstablished)),
        (ACK | PSH | URG, Err(Invalid::NoConnection), Ok(TcpEstablished)),
        (ACK | FIN, Err(Invalid::NoConnection), Ok(TcpFinWait)),
        (RST, Err(Invalid::NoConnection), Err(Invalid::NoConnection)),
        (RST | ACK, Err(Invalid::NoConnection), Err(Invalid::NoConnection)),
        (0, Err(Invalid::BadFlags), Err(Invalid::BadFlags)),
        (FIN, Err(Invalid::BadFlags), Err(Invalid::BadFlags)),
    ] {
        let state = |pick_up| open(&segment(flags, A, B), pick_up).map(|(_, state)| state);
        assert_eq!((state(false), state(true)), (plain, picked_up), "{flags:#04x}");
    }
}
