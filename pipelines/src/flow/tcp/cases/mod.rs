//! Named cases: one conversation each.

mod opening;

use super::Verdict::*;
use super::*;
use crate::flow::Side::{Initiator, Responder};
use crate::flow::State::*;
use crate::wire::tcp::flag::*;

/// The numbers that the two sides begin with.
const A: u32 = 1_000_000_000;
const B: u32 = 2_000_000_000;
const WINDOW: u32 = 65_535;

/// A connection as it is tracked.
#[derive(Clone, Copy, Debug)]
struct Talk {
    windows: Windows,
    state: State,
}

fn segment(flags: u8, seq: u32, ack: u32) -> Segment {
    Segment { flags, seq, ack, window: WINDOW as u16, ..Segment::default() }
}

fn data(seq: u32, ack: u32, len: u32) -> Segment {
    Segment { len, ..segment(ACK | PSH, seq, ack) }
}

fn syn(seq: u32) -> Segment {
    segment(SYN, seq, 0)
}

impl Talk {
    fn open(first: Segment) -> Self {
        let (windows, state) = open(&first, false).unwrap();
        Self { windows, state }
    }

    fn pick_up(first: Segment) -> Self {
        let (windows, state) = open(&first, true).unwrap();
        Self { windows, state }
    }

    /// After a handshake with these numbers and window scales.
    fn established(a: u32, b: u32, scales: (Option<u8>, Option<u8>)) -> Self {
        let mut talk = Self::open(Segment { scale: scales.0, ..syn(a) });
        let answer = Segment { scale: scales.1, ..segment(SYN | ACK, b, a.wrapping_add(1)) };
        assert_eq!(talk.step(Responder, answer), (InWindow, TcpSynReceived));
        let third = segment(ACK, a.wrapping_add(1), b.wrapping_add(1));
        assert_eq!(talk.step(Initiator, third), (InWindow, TcpEstablished));
        talk
    }

    fn plain() -> Self {
        Self::established(A, B, (None, None))
    }

    /// What a segment is, and the state behind it. What is not in the window changes nothing.
    fn step(&mut self, side: Side, segment: Segment) -> (Verdict, State) {
        let before = *self;
        let step = self.windows.step(self.state, side, &segment);
        self.state = step.state;
        if step.verdict != InWindow {
            assert_eq!(self.state, before.state, "{segment:?}");
            // A SYN is remembered, and the numbers of a closed connection go on.
            if step.verdict != Inert || segment.flags != SYN && before.state != TcpClosed {
                assert_eq!(self.windows, before.windows, "{segment:?}");
            }
        }
        (step.verdict, step.state)
    }

    /// Steps through a conversation.
    fn script(&mut self, steps: &[(Side, Segment, Verdict, State)]) {
        for (n, (side, segment, verdict, state)) in steps.iter().enumerate() {
            assert_eq!(self.step(*side, *segment), (*verdict, *state), "step {n}: {segment:?}");
        }
    }
}

#[test]
fn opens_talks_and_closes() {
    Talk::open(syn(A)).script(&[
        (Responder, segment(SYN | ACK, B, A + 1), InWindow, TcpSynReceived),
        (Initiator, segment(ACK, A + 1, B + 1), InWindow, TcpEstablished),
        (Initiator, data(A + 1, B + 1, 100), InWindow, TcpEstablished),
        (Responder, data(B + 1, A + 101, 200), InWindow, TcpEstablished),
        (Initiator, segment(FIN | ACK, A + 101, B + 201), InWindow, TcpFinWait),
        (Responder, segment(ACK, B + 201, A + 102), InWindow, TcpFinWait),
        (Responder, segment(FIN | ACK, B + 201, A + 102), InWindow, TcpClosing),
        (Initiator, segment(ACK, A + 102, B + 202), InWindow, TcpTimeWait),
        // The last acknowledgement was lost.
        (Responder, segment(FIN | ACK, B + 201, A + 102), InWindow, TcpTimeWait),
        (Initiator, segment(ACK, A + 102, B + 202), InWindow, TcpTimeWait),
    ]);
}

#[test]
fn both_close_at_once() {
    Talk::plain().script(&[
        (Initiator, segment(FIN | ACK, A + 1, B + 1), InWindow, TcpFinWait),
        (Responder, segment(FIN | ACK, B + 1, A + 1), InWindow, TcpClosing),
        (Initiator, segment(ACK, A + 2, B + 2), InWindow, TcpClosing),
        (Responder, segment(ACK, B + 2, A + 2), InWindow, TcpTimeWait),
    ]);
}

#[test]
fn half_closed_with_a_lot_of_data_the_other_way() {
    let mut talk = Talk::plain();
    let fin = segment(FIN | ACK, A + 1, B + 1);
    assert_eq!(talk.step(Initiator, fin), (InWindow, TcpFinWait));
    let mut sent = B + 1;
    for _ in 0..10_000 {
        assert_eq!(talk.step(Responder, data(sent, A + 2, 1000)), (InWindow, TcpFinWait));
        sent += 1000;
        assert_eq!(talk.step(Initiator, segment(ACK, A + 2, sent)), (InWindow, TcpFinWait));
    }
    talk.script(&[
        (Responder, segment(FIN | ACK, sent, A + 2), InWindow, TcpClosing),
        (Initiator, segment(ACK, A + 2, sent + 1), InWindow, TcpTimeWait),
    ]);
}

#[test]
fn sequence_numbers_wrap() {
    for offset in 0..300 {
        let (a, b) = (u32::MAX - offset, u32::MAX - offset / 2);
        let mut talk = Talk::established(a, b, (None, None));
        let (a, b) = (a.wrapping_add(1), b.wrapping_add(1));
        talk.script(&[
            (Initiator, data(a, b, 100), InWindow, TcpEstablished),
            (Responder, data(b, a.wrapping_add(100), 100), InWindow, TcpEstablished),
            (Initiator, data(a.wrapping_add(100), b.wrapping_add(100), 100), InWindow, TcpEstablished),
            // Repeated.
            (Initiator, data(a, b, 100), InWindow, TcpEstablished),
            (Responder, segment(ACK, b.wrapping_add(100), a.wrapping_add(200)), InWindow, TcpEstablished),
            // One byte beyond what was sent or allowed.
            (Responder, segment(ACK, b.wrapping_add(100), a.wrapping_add(201)), OutOfWindow, TcpEstablished),
            (Initiator, data(a.wrapping_add(202 + WINDOW), b, 0), OutOfWindow, TcpEstablished),
            (Initiator, segment(RST, a.wrapping_add(200), 0), InWindow, TcpClosed),
        ]);
    }
}

#[test]
fn windows_of_a_gibibyte() {
    let mut talk = Talk::established(A, B, (Some(14), Some(14)));
    let (a, b) = (A + 1, B + 1);
    let whole = 65_535 << 14;
    let open = |seq, ack| Segment { window: 65_535, ..segment(ACK, seq, ack) };
    assert_eq!(talk.step(Responder, open(b, a)), (InWindow, TcpEstablished));
    talk.script(&[
        (Initiator, data(a.wrapping_add(whole - 1000), b, 1000), InWindow, TcpEstablished),
        // That was the last of the window; all before it was lost.
        (Initiator, data(a, b, 1000), InWindow, TcpEstablished),
        (Initiator, data(a.wrapping_add(whole), b, 2), OutOfWindow, TcpEstablished),
        (Responder, segment(ACK, b, a.wrapping_add(whole)), InWindow, TcpEstablished),
    ]);
}

#[test]
fn only_an_exact_rst_ends_a_connection() {
    for side in [Initiator, Responder] {
        let (mine, theirs) = if side == Initiator { (A + 1, B + 1) } else { (B + 1, A + 1) };
        let mut talk = Talk::plain();
        talk.script(&[
            (side, data(mine, theirs, 1000), InWindow, TcpEstablished),
            // In the window, but not what is expected next: its receiver asks, and gets an exact one.
            (side, segment(RST, mine + 1, 0), Inert, TcpEstablished),
            (side, segment(RST, mine + 999, 0), Inert, TcpEstablished),
            (side, segment(RST, mine + 1001, 0), Inert, TcpEstablished),
            (side, segment(RST, mine - 1, 0), Inert, TcpEstablished),
            (side.other(), segment(ACK, theirs, mine), InWindow, TcpEstablished),
            (side, segment(RST, mine + (1 << 20), 0), OutOfWindow, TcpEstablished),
            (side, segment(RST, mine - (1 << 20), 0), OutOfWindow, TcpEstablished),
        ]);
        // What the sender sends next, and what the receiver has last acknowledged.
        for seq in [mine, mine + 1000] {
            for flags in [RST, RST | ACK] {
                let mut talk = talk;
                assert_eq!(talk.step(side, segment(flags, seq, 0)), (InWindow, TcpClosed));
            }
        }
    }
}

#[test]
fn what_follows_an_rst_changes_nothing() {
    Talk::plain().script(&[
        (Initiator, segment(RST, A + 1, 0), InWindow, TcpClosed),
        (Responder, segment(SYN | ACK, B, A + 1), Inert, TcpClosed),
        (Initiator, segment(ACK, A + 1, B + 1), Inert, TcpClosed),
    ]);
    let mut talk = Talk::plain();
    talk.script(&[
        (Initiator, data(A + 1, B + 1, 1000), InWindow, TcpEstablished),
        (Initiator, segment(RST, A + 1001, 0), InWindow, TcpClosed),
        (Responder, segment(ACK, B + 1, A + 1001), Inert, TcpClosed),
        (Responder, data(B + 1, A + 1001, 500), Inert, TcpClosed),
        (Responder, segment(FIN | ACK, B + 501, A + 1001), Inert, TcpClosed),
        (Initiator, segment(RST, A + 1001, 0), Inert, TcpClosed),
        (Responder, segment(SYN | ACK, B, A + 1), Inert, TcpClosed),
        (Responder, data(B + (1 << 20), A + 1001, 500), OutOfWindow, TcpClosed),
        (Initiator, segment(RST, A + (1 << 20), 0), OutOfWindow, TcpClosed),
    ]);
    for side in [Initiator, Responder] {
        assert_eq!(talk.step(side, syn(7)), (Reopen, TcpClosed));
    }
}

#[test]
fn reused_in_time_wait() {
    let mut talk = Talk::plain();
    talk.script(&[
        (Responder, segment(FIN | ACK, B + 1, A + 1), InWindow, TcpFinWait),
        (Initiator, segment(FIN | ACK, A + 1, B + 2), InWindow, TcpClosing),
        (Responder, segment(ACK, B + 2, A + 2), InWindow, TcpTimeWait),
    ]);
    for (seq, has_timestamps, verdict) in [
        (A + 2, false, Reopen),
        (A + 100_000, false, Reopen),
        (A + 1, false, Inert),
        (A, false, Inert),
        (A, true, Reopen),
        (A ^ 1 << 31, true, Reopen),
    ] {
        let mut talk = talk;
        let step = talk.step(Initiator, Segment { has_timestamps, ..syn(seq) });
        assert_eq!(step, (verdict, TcpTimeWait), "{seq} {has_timestamps}");
    }
    assert_eq!(talk.step(Responder, syn(B + 2)), (Reopen, TcpTimeWait));
    // An old one: the end that waits says what it waits for, and is told to forget it.
    talk.script(&[
        (Initiator, syn(A - 300_000), Inert, TcpTimeWait),
        (Responder, segment(ACK, B + 2, A + 2), InWindow, TcpTimeWait),
        (Initiator, segment(RST, A + 2, 0), InWindow, TcpClosed),
        (Initiator, syn(A - 300_000), Reopen, TcpClosed),
    ]);
}

#[test]
fn a_syn_does_not_disturb_a_connection() {
    for seq in [A, A + 1, A + 5000, A - 1_000_000, B] {
        let mut talk = Talk::plain();
        talk.script(&[
            (Initiator, syn(seq), Inert, TcpEstablished),
            (Responder, syn(seq), Inert, TcpEstablished),
            // The challenge, and then on as before.
            (Responder, segment(ACK, B + 1, A + 1), InWindow, TcpEstablished),
            (Initiator, data(A + 1, B + 1, 100), InWindow, TcpEstablished),
            (Responder, segment(SYN | ACK, 7, seq.wrapping_add(1)), Inert, TcpEstablished),
        ]);
    }
}

#[test]
fn one_end_has_forgotten_the_connection() {
    Talk::plain().script(&[
        (Initiator, syn(A + 1_000_000), Inert, TcpEstablished),
        (Responder, segment(ACK, B + 1, A + 1), InWindow, TcpEstablished),
        (Initiator, segment(RST, A + 1, 0), InWindow, TcpClosed),
        (Initiator, syn(A + 1_000_000), Reopen, TcpClosed),
    ]);
    // The switch has forgotten it too.
    Talk::open(syn(A)).script(&[
        (Responder, segment(ACK, 77, 99), Inert, TcpSynSent),
        (Initiator, segment(RST, 99, 0), Inert, TcpSynSent),
        (Initiator, syn(A), InWindow, TcpSynSent),
        (Responder, segment(SYN | ACK, B, A + 1), InWindow, TcpSynReceived),
    ]);
}

#[test]
fn both_ends_have_forgotten_the_connection() {
    let (a, b) = (A ^ 1 << 31, B ^ 1 << 31);
    let again = Segment { scale: Some(7), ..syn(a) };
    let answer = Segment { scale: Some(7), ..segment(SYN | ACK, b, a + 1) };
    Talk::plain().script(&[
        (Initiator, again, Inert, TcpEstablished),
        (Responder, segment(SYN | ACK, b, a), Inert, TcpEstablished),
        (Responder, answer, InWindow, TcpSynReceived),
        (Initiator, segment(ACK, a + 1, b + 1), InWindow, TcpEstablished),
        (Initiator, data(a + 1, b + 1, 5000), InWindow, TcpEstablished),
        (Responder, data(b + 1, a + 5001, 5000), InWindow, TcpEstablished),
        (Initiator, data(A + 1, B + 1, 10), OutOfWindow, TcpEstablished),
    ]);
    // Nobody listens there any more.
    Talk::plain().script(&[
        (Initiator, again, Inert, TcpEstablished),
        (Responder, segment(RST | ACK, 0, a + 2), OutOfWindow, TcpEstablished),
        (Responder, segment(RST | ACK, 0, a + 1), InWindow, TcpClosed),
    ]);
    // A late answer from the connection's own beginning is none, even if it looks like one.
    let alike = 0x9a3b_ca00;
    assert_eq!(A, 0x3b9a_ca00);
    let mut talk = Talk::plain();
    talk.script(&[
        (Initiator, data(A + 1, B + 1, 100), InWindow, TcpEstablished),
        (Responder, segment(ACK, B + 1, A + 101), InWindow, TcpEstablished),
        (Initiator, syn(alike), Inert, TcpEstablished),
        (Responder, segment(SYN | ACK, B, A + 1), Inert, TcpEstablished),
        (Initiator, segment(SYN | ACK, b, alike + 1), Inert, TcpEstablished),
        (Responder, segment(SYN | ACK, b, alike + 1), InWindow, TcpSynReceived),
    ]);
    // The responder alone cannot bring that about.
    Talk::plain().script(&[
        (Responder, syn(b), Inert, TcpEstablished),
        (Initiator, segment(SYN | ACK, a, b + 1), Inert, TcpEstablished),
        (Initiator, segment(ACK, a + 1, b + 1), OutOfWindow, TcpEstablished),
    ]);
}

#[test]
fn keep_alives_are_a_step_behind() {
    let mut talk = Talk::plain();
    talk.script(&[
        (Initiator, data(A + 1, B + 1, 1000), InWindow, TcpEstablished),
        (Responder, segment(ACK, B + 1, A + 1001), InWindow, TcpEstablished),
    ]);
    for _ in 0..3 {
        talk.script(&[
            (Initiator, segment(ACK, A + 1000, B + 1), InWindow, TcpEstablished),
            (Initiator, data(A + 1000, B + 1, 1), InWindow, TcpEstablished),
            (Responder, segment(ACK, B + 1, A + 1001), InWindow, TcpEstablished),
            (Responder, segment(ACK, B, A + 1001), InWindow, TcpEstablished),
            (Initiator, segment(ACK, A + 1001, B + 1), InWindow, TcpEstablished),
        ]);
    }
}

/// The window is a power of two, so nothing is won by rounding it up.
#[test]
fn a_keep_alive_is_a_step_behind_a_whole_window() {
    let mut talk = Talk::established(A, B, (Some(7), Some(7)));
    let whole = 1 << 22;
    talk.script(&[
        (Responder, Segment { window: 1 << 15, ..segment(ACK, B + 1, A + 1) }, InWindow, TcpEstablished),
        (Initiator, Segment { len: whole, ..segment(FIN | ACK, A + 1, B + 1) }, InWindow, TcpFinWait),
        (Initiator, segment(ACK, A, B + 1), InWindow, TcpFinWait),
        (Initiator, segment(ACK, A - 1, B + 1), InWindow, TcpFinWait),
        (Initiator, segment(ACK, A - 2, B + 1), Inert, TcpFinWait),
    ]);
}

#[test]
fn a_closed_window_is_probed_with_a_byte() {
    let close = |seq, ack| Segment { window: 0, ..segment(ACK, seq, ack) };
    let mut talk = Talk::plain();
    talk.script(&[
        (Responder, segment(ACK, B + 1, A + 1), InWindow, TcpEstablished),
        (Initiator, data(A + 1, B + 1, WINDOW), InWindow, TcpEstablished),
        (Responder, close(B + 1, A + 1 + WINDOW), InWindow, TcpEstablished),
        (Initiator, data(A + 1 + WINDOW, B + 1, 1), InWindow, TcpEstablished),
        (Responder, close(B + 1, A + 1 + WINDOW), InWindow, TcpEstablished),
        (Initiator, Segment { len: 1, ..segment(FIN | ACK, A + 1 + WINDOW, B + 1) }, InWindow, TcpFinWait),
    ]);
    // No more than that: but what a window that is shrunk had allowed still passes (RFC 9293, section 3.8.6).
    let mut talk = Talk::established(A, B, (Some(2), Some(2)));
    let open = segment(ACK, B + 1, A + 1);
    talk.script(&[
        (Responder, open, InWindow, TcpEstablished),
        (Responder, close(B + 1, A + 1), InWindow, TcpEstablished),
        (Initiator, data(A + 1, B + 1, 4 * WINDOW), InWindow, TcpEstablished),
        (Initiator, data(A + 1 + 4 * WINDOW, B + 1, 2), OutOfWindow, TcpEstablished),
    ]);
}

#[test]
fn old_duplicates_pass_without_effect() {
    let mut talk = Talk::plain();
    for n in 0..40 {
        talk.script(&[
            (Initiator, data(A + 1 + n * 5000, B + 1, 5000), InWindow, TcpEstablished),
            (Responder, segment(ACK, B + 1, A + 1 + (n + 1) * 5000), InWindow, TcpEstablished),
        ]);
    }
    let end = A + 1 + 200_000;
    talk.script(&[
        (Initiator, segment(ACK, end - 65_536, B + 1), InWindow, TcpEstablished),
        (Initiator, data(end - 65_536 - 104, B + 1, 100), Inert, TcpEstablished),
        (Initiator, data(end - 2 * 65_536 - 100, B + 1, 100), Inert, TcpEstablished),
        (Initiator, data(end - 2 * 65_536 - 107, B + 1, 100), OutOfWindow, TcpEstablished),
        (Responder, segment(ACK, B + 1, end - 65_536), InWindow, TcpEstablished),
        (Responder, segment(ACK, B + 1, end - 2 * 65_536), Inert, TcpEstablished),
        (Responder, segment(ACK, B + 1, end - 2 * 65_536 - 7), OutOfWindow, TcpEstablished),
    ]);
}

/// Every combination: FIN, SYN, RST and ACK decide, and the others never do.
#[test]
fn flags_that_exclude_each_other() {
    let good = [SYN, SYN | ACK, ACK, FIN | ACK, RST, RST | ACK];
    for flags in 0..=255 {
        let is_good = good.contains(&(flags & (FIN | SYN | RST | ACK)));
        let opened = open(&segment(flags, A, B), true);
        assert_eq!(opened != Err(Invalid::BadFlags), is_good, "{flags:#04x}");
        for side in [Initiator, Responder] {
            for state in [TcpSynSent, TcpSynReceived, TcpEstablished, TcpTimeWait, TcpClosed] {
                let mut talk = Talk { state, ..Talk::plain() };
                let (verdict, _) = talk.step(side, segment(flags, A + 1, B + 1));
                assert_eq!(verdict != BadFlags, is_good, "{flags:#04x}");
            }
        }
    }
}

#[test]
fn a_cut_segment_may_be_longer_than_it_looks() {
    let mut talk = Talk::plain();
    assert_eq!(talk.step(Responder, segment(ACK, B + 1, A + 1)), (InWindow, TcpEstablished));
    let first = Segment { is_cut: true, ..data(A + 1, B + 1, 1480) };
    talk.script(&[
        (Initiator, first, InWindow, TcpEstablished),
        (Responder, segment(ACK, B + 1, A + 1 + 8000), InWindow, TcpEstablished),
        // But not beyond the window.
        (Responder, segment(ACK, B + 1, A + 2 + WINDOW), OutOfWindow, TcpEstablished),
    ]);
}
