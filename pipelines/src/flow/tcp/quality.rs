//! How well a connection does, as far as that can be seen in passing.
//!
//! Round trips are measured from here to either side: from a segment that passes to the acknowledgement of it. One segment a
//! direction is watched at a time, and none that may have been sent twice (P. Karn and C. Partridge, 1987). What is sent
//! again is told from what was only overtaken on the way: that fills a hole. What fills one and was sent again all the same, as
//! it was lost before it came here, is known by what its sender knows by then: three acknowledgements of the same number (RFC
//! 5681), or a round trip of silence.

use core::hint::select_unpredictable;

use super::segment::Segment;
use crate::flow::Side;
use crate::ids::Tick;
use crate::wire::tcp::flag::{ACK, RST};

/// What a segment brings, seen before it is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Glance {
    /// What its sender sends.
    pub sends: Sends,
    /// What it acknowledges.
    pub acks: Acks,
    /// Whether something should have come before it.
    pub leaps: bool,
    /// Behind the highest that its sender has sent.
    pub from: u32,
}

/// What a segment's sender sends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sends {
    /// Nothing that takes numbers, or a probe.
    #[default]
    Nothing,
    /// Something beyond all that it has sent.
    New,
    /// Nothing beyond.
    Again,
}

/// What a segment acknowledges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Acks {
    /// Nothing that tells anything.
    #[default]
    Nothing,
    /// More than before.
    New,
    /// The same as before, though there is more under way.
    Same,
}

/// What was seen of a connection. By [`Side`] throughout. What packets touch comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Quality {
    /// The segment of each side whose acknowledgement is waited for.
    probes: [Probe; 2],
    /// When each side last sent something new; 0: never.
    advanced: [u32; 2],
    /// Where what each side sent has a hole: something came that was ahead of what it should have been.
    holes: [u32; 2],
    /// The round trip between here and each side, smoothed (RFC 6298), in nanoseconds; 0: not known.
    pub round_trip: [u32; 2],
    /// How often what each side sent was acknowledged by the same number.
    duplicates: [u8; 2],
    /// Whether each side's window is closed.
    is_shut: [bool; 2],
    has_hole: [bool; 2],
    /// The flags that each side sent, all together.
    pub flags: [u8; 2],
    /// How far the first question and its answer are.
    pub talk: Talk,
    /// Segments that each side sent again.
    pub retransmitted: [u32; 2],
    /// The shortest round trip.
    pub shortest: [u32; 2],
    /// How often each side's window closed.
    pub zero_windows: [u16; 2],
    /// Resets that each side sent.
    pub resets: [u8; 2],
}

const _: () = assert!(core::mem::offset_of!(Quality, retransmitted) <= 64);

/// How far the first question and its answer are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Talk {
    /// Nobody has said anything.
    #[default]
    Silent,
    /// The initiator has sent data.
    Asked,
    /// The responder has, after that or before.
    Answered,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Probe {
    /// Behind its last number.
    end: u32,
    /// When it passed; 0: there is none.
    at: u32,
}

/// log2 of the nanoseconds that moments are kept in: 256 ns, so that they differ for 18 minutes.
const UNIT: u32 = 8;
/// Acknowledgements of the same number that make a sender send again (RFC 5681).
const DUPLICATES: u8 = 3;
/// Less than this after something new, what is old was overtaken on the way, whatever the round trip: 3 ms.
const OVERTAKEN: u32 = 3_000_000;

/// A moment, never 0.
pub(in crate::flow) const fn stamp(now: Tick) -> u32 {
    (now.0 >> UNIT) as u32 | 1
}

/// Nanoseconds in the difference of two moments.
pub(in crate::flow) const fn nanos(units: u32) -> u64 {
    (units as u64) << UNIT
}

/// Nanoseconds from one moment to a later one.
const fn between(from: u32, to: u32) -> u32 {
    let units = to.wrapping_sub(from);
    if units >> (u32::BITS - UNIT) == 0 { units << UNIT } else { u32::MAX }
}

impl Quality {
    /// Takes a segment from `side`, of which this was seen before it was taken. Returns nanoseconds of the round trip to that
    /// side which it completes; 0: none.
    #[inline]
    pub fn see(&mut self, glance: Glance, side: Side, segment: &Segment, now: Tick) -> u32 {
        let (at, mine, theirs) = (stamp(now), side.index(), side.other().index());
        let mut round_trip = 0;
        match glance.acks {
            Acks::New => {
                self.duplicates[theirs] = 0;
                self.has_hole[theirs] &= segment.ack.wrapping_sub(self.holes[theirs]) as i32 <= 0;
                let probe = self.probes[theirs];
                if probe.at != 0 && segment.ack.wrapping_sub(probe.end) as i32 >= 0 {
                    self.probes[theirs].at = 0;
                    round_trip = self.sample(mine, between(probe.at, at));
                }
            }
            Acks::Same => self.duplicates[theirs] = self.duplicates[theirs].saturating_add(1),
            Acks::Nothing => {}
        }
        match glance.sends {
            Sends::New => {
                self.advanced[mine] = at;
                if glance.leaps && !self.has_hole[mine] {
                    (self.has_hole[mine], self.holes[mine]) = (true, glance.from);
                }
                // Whether one is under way nobody can guess.
                let (probe, next) = (self.probes[mine], Probe { end: segment.end(), at });
                self.probes[mine] = select_unpredictable(probe.at == 0, next, probe);
            }
            Sends::Again => self.again(mine, theirs, segment, at),
            Sends::Nothing => {}
        }
        self.flags[mine] |= segment.flags;
        let is_shut = segment.window == 0 && segment.has(ACK) && !segment.has(RST);
        if is_shut != self.is_shut[mine] {
            self.is_shut[mine] = is_shut;
            self.zero_windows[mine] = self.zero_windows[mine].saturating_add(u16::from(is_shut));
        }
        if segment.has(RST) {
            self.resets[mine] = self.resets[mine].saturating_add(1);
        }
        round_trip
    }

    #[cold]
    fn again(&mut self, mine: usize, theirs: usize, segment: &Segment, at: u32) {
        let fills = self.has_hole[mine] && segment.end().wrapping_sub(self.holes[mine]) as i32 > 0;
        let silence = between(self.advanced[mine], at);
        let is_late = silence > self.round_trip[theirs].max(OVERTAKEN);
        if !fills || self.duplicates[mine] >= DUPLICATES || is_late {
            self.retransmitted[mine] = self.retransmitted[mine].saturating_add(1);
            // Whatever is acknowledged now may be the one or the other.
            self.probes[mine].at = 0;
        }
    }

    /// Takes a round trip to a side, and returns it.
    fn sample(&mut self, side: usize, nanos: u32) -> u32 {
        let nanos = nanos.max(1);
        let smoothed = &mut self.round_trip[side];
        let before = u64::from(*smoothed);
        *smoothed = if before == 0 { nanos } else { ((before * 7 + u64::from(nanos)) / 8).max(1) as u32 };
        let shortest = &mut self.shortest[side];
        *shortest = if *shortest == 0 { nanos } else { nanos.min(*shortest) };
        nanos
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::State;
    use crate::flow::tcp::{Verdict, Windows, open};
    use crate::wire::tcp::flag::{FIN, PSH, SYN};

    const I: Side = Side::Initiator;
    const R: Side = Side::Responder;

    /// A connection, looked at as `check_policy` does.
    struct Seen {
        windows: Windows,
        state: State,
        quality: Quality,
        now: Tick,
    }

    impl Seen {
        fn new() -> Self {
            let syn = segment(SYN, 1000, 0, 0);
            let (windows, state) = open(&syn, false).unwrap();
            let mut quality = Quality::default();
            quality.see(Glance { sends: Sends::New, ..Glance::default() }, I, &syn, Tick(0));
            Self { windows, state, quality, now: Tick(0) }
        }

        fn established() -> Self {
            let mut seen = Self::new();
            seen.after(20, R, &segment(SYN | ACK, 5000, 1001, 0));
            seen.after(5, I, &segment(ACK, 1001, 5001, 0));
            seen
        }

        /// So many milliseconds later.
        fn after(&mut self, ms: u64, side: Side, segment: &Segment) {
            self.now = Tick(self.now.0 + ms * 1_000_000);
            let glance = self.windows.glance(self.state, side, segment);
            let step = self.windows.step(self.state, side, segment);
            assert!(matches!(step.verdict, Verdict::InWindow | Verdict::Inert), "{step:?}");
            self.state = step.state;
            self.quality.see(glance, side, segment, self.now);
        }

        fn data(&mut self, ms: u64, seq: u32) {
            self.after(ms, I, &segment(ACK | PSH, seq, 5001, 100));
        }

        fn ack(&mut self, ms: u64, ack: u32) {
            self.after(ms, R, &segment(ACK, 5001, ack, 0));
        }

        fn round_trip_ms(&self, side: Side) -> u32 {
            (self.quality.round_trip[side.index()] + 500_000) / 1_000_000
        }
    }

    fn segment(flags: u8, seq: u32, ack: u32, len: u32) -> Segment {
        Segment { flags, seq, ack, len, window: 60_000, ..Segment::default() }
    }

    #[test]
    fn the_handshake_measures_both_ways() {
        let seen = Seen::established();
        assert_eq!((seen.round_trip_ms(R), seen.round_trip_ms(I)), (20, 5));
        assert_eq!(seen.quality.retransmitted, [0, 0]);
    }

    #[test]
    fn a_segment_is_timed_by_its_acknowledgement_and_smoothed() {
        let mut seen = Seen::established();
        seen.data(1, 1001);
        // A second one under way is not timed.
        seen.data(1, 1101);
        seen.ack(27, 1201);
        // 28 ms from the first: 20 and an eighth of 8.
        assert_eq!((seen.round_trip_ms(R), seen.quality.shortest[R.index()] / 100_000), (21, 199));
        seen.data(1, 1201);
        seen.ack(10, 1301);
        assert_eq!((seen.quality.shortest[R.index()] + 50_000) / 1_000_000, 10);
    }

    #[test]
    fn what_is_sent_again_after_silence_is_counted_and_not_timed() {
        let mut seen = Seen::established();
        let before = seen.quality.round_trip;
        seen.data(1, 1001);
        seen.data(300, 1001);
        seen.ack(2, 1101);
        assert_eq!((seen.quality.retransmitted, seen.quality.round_trip), ([1, 0], before));
    }

    #[test]
    fn three_acknowledgements_alike_tell_a_loss_from_what_was_overtaken() {
        let mut seen = Seen::established();
        for seq in [1001, 1201, 1301, 1401] {
            seen.data(0, seq);
        }
        // The second comes a millisecond late: overtaken.
        seen.data(1, 1101);
        assert_eq!(seen.quality.retransmitted, [0, 0]);
        // What has been here is sent again, however soon.
        seen.data(1, 1001);
        assert_eq!(seen.quality.retransmitted, [1, 0]);
        for seq in [1601, 1701, 1801] {
            seen.data(0, seq);
        }
        seen.ack(1, 1501);
        (0..3).for_each(|_| seen.ack(0, 1501));
        seen.data(1, 1501);
        assert_eq!(seen.quality.retransmitted, [2, 0]);
    }

    #[test]
    fn a_syn_again_counts_and_probes_do_not() {
        let mut seen = Seen::new();
        seen.after(1000, I, &segment(SYN, 1000, 0, 0));
        assert_eq!(seen.quality.retransmitted, [1, 0]);
        let mut seen = Seen::established();
        seen.data(1, 1001);
        seen.ack(1, 1101);
        // A keep-alive, with its byte of old.
        seen.after(5000, I, &segment(ACK, 1100, 5001, 1));
        seen.after(1, R, &segment(ACK, 5001, 1101, 0));
        assert_eq!(seen.quality.retransmitted, [0, 0]);
    }

    #[test]
    fn windows_that_close_and_resets_are_counted_by_side() {
        let mut seen = Seen::established();
        for window in [0, 0, 500, 0] {
            seen.after(1, R, &Segment { window, ..segment(ACK, 5001, 1001, 0) });
        }
        seen.after(1, I, &segment(RST, 1001, 0, 0));
        assert_eq!((seen.quality.zero_windows, seen.quality.resets), ([0, 2], [1, 0]));
        let mut seen = Seen::established();
        seen.after(1, I, &segment(FIN | ACK, 1001, 5001, 0));
        seen.after(7, R, &segment(ACK, 5001, 1002, 0));
        // A FIN is acknowledged like data.
        assert!(seen.quality.shortest[R.index()].abs_diff(7_000_000) < 600);
    }

    #[test]
    fn moments_wrap_and_long_times_are_the_longest() {
        let late = Tick(u64::MAX / 2);
        assert!(between(stamp(late), stamp(Tick(late.0 + 1_000_000))).abs_diff(1_000_000) < 600);
        assert_eq!(between(1, 1 << 25), u32::MAX);
    }
}
