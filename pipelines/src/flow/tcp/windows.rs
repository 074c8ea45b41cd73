//! What is kept of a connection's windows, and whether a segment fits them.

use super::quality::{Acks, Sends};
use super::segment::{MAX_SCALE, Segment};
use crate::flow::{Side, State};
use crate::wire::tcp::flag::{ACK, FIN, SYN};

/// The windows of a connection.
///
/// All sequence numbers are compared as distances on the circle of 2^32 (RFC 9293, section 3.4), which holds as
/// no window is larger than 2^30 (RFC 7323, section 2.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Windows {
    halves: [Half; 2],
    shapes: [Shape; 2],
    /// See [`Flag`], each shifted by the side.
    flags: u8,
    /// What is left of the initiator's latest SYN that was let pass without effect: 0, or [`tag`] of what an
    /// answer to it acknowledges.
    ignored: u8,
}

const _: () = assert!(size_of::<Windows>() <= 28);

/// The sequence numbers that one side sends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Half {
    /// Behind the highest that it has sent.
    end: u32,
    /// The highest acknowledgement that the other side has sent. The SYN's number before there is one.
    acked: u32,
    /// Behind the highest that the other side allows it to send.
    edge: u32,
}

/// What happened on one side.
#[derive(Clone, Copy)]
#[repr(u8)]
enum Flag {
    /// The other side acknowledged its SYN, or must have.
    Acked = 1,
    /// It has sent a FIN.
    Fin = 2,
    /// The other side acknowledged all that it sent, FIN included.
    FinAcked = 4,
}

/// Two numbers of four bits. High: log2 of the largest window that the side advertised, less 16, or
/// [`UNKNOWN`](Self::UNKNOWN). Low: its window scale, or [`NO_SCALE`](Self::NO_SCALE).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Shape(u8);

impl Shape {
    /// The connection was picked up: the windows before are not known.
    const UNKNOWN: u8 = 15;
    const NO_SCALE: u8 = 15;
    /// No window is larger (RFC 7323, section 2.3), so this holds for a connection that was picked up.
    const MAX_LOG: u32 = 30;
    /// Small windows count as if they were of 64 KiB, so that what was delayed by a few segments still fits.
    const MIN_LOG: u32 = 16;

    const fn new(log: u8, scale: Option<u8>) -> Self {
        Self(log << 4 | if let Some(scale) = scale { scale } else { Self::NO_SCALE })
    }

    const fn is_unknown(self) -> bool {
        self.0 >> 4 == Self::UNKNOWN
    }

    const fn scale(self) -> Option<u8> {
        let scale = self.0 & 0xf;
        if scale == Self::NO_SCALE { None } else { Some(scale) }
    }

    /// How far behind the highest number a segment may be that was not acknowledged yet: the largest window.
    const fn reach(self) -> i32 {
        let log = (self.0 >> 4) as u32 + Self::MIN_LOG;
        1 << if log > Self::MAX_LOG { Self::MAX_LOG } else { log }
    }

    /// After the side has advertised `window`.
    fn advertise(&mut self, window: u32) {
        if window > self.reach() as u32 {
            let log = (u32::BITS - (window - 1).leading_zeros()).min(Self::MAX_LOG) - Self::MIN_LOG;
            self.0 = self.0 & 0xf | (log as u8) << 4;
        }
    }

    fn set_scale(&mut self, scale: u8) {
        self.0 = self.0 & 0xf0 | scale;
    }
}

impl Windows {
    /// The same with the sides exchanged: who spoke first in mid-stream turned out not to be who opened it.
    pub const fn turned(self) -> Self {
        let ([a, b], [c, d]) = (self.halves, self.shapes);
        Self { halves: [b, a], shapes: [d, c], flags: self.flags.rotate_left(4), ignored: self.ignored }
    }
}

/// Where a segment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// Where one that is sent or repeated now may stand.
    Window,
    /// Up to one window further back: it was delayed.
    Old,
    /// Elsewhere.
    Outside,
}

/// Of what is sent at an edge: a keep-alive is a step behind what was acknowledged (RFC 9293, section 3.8.4),
/// a probe of a closed window and a FIN are each a step beyond it (sections 3.8.6.1 and 3.10.4).
const SLACK: i32 = 3;

/// The way from one sequence number to another; negative: back.
const fn distance(from: u32, to: u32) -> i32 {
    to.wrapping_sub(from) as i32
}

/// Sets `number` to `other` if that is later.
const fn advance(number: &mut u32, other: u32) {
    if distance(*number, other) > 0 {
        *number = other;
    }
}

/// A number of 8 bits, not 0, for an acknowledgement.
const fn tag(ack: u32) -> u8 {
    let [a, b, c, d] = ack.to_be_bytes();
    let tag = a ^ b ^ c ^ d;
    if tag == 0 { 1 } else { tag }
}

impl Windows {
    /// After the initiator's SYN.
    pub(super) fn of_syn(syn: &Segment) -> Self {
        let mut windows = Self::default();
        windows.number(Side::Initiator, syn);
        windows
    }

    /// After a SYN from `side` that acknowledges one that was not seen.
    pub(super) fn of_answer(side: Side, answer: &Segment) -> Self {
        let mut windows = Self::default();
        windows.number(side, answer);
        // The answer has the option only if the SYN had it.
        windows.shapes[side.other().index()] = Shape::new(0, answer.scale.map(|_| MAX_SCALE));
        let (end, acked) = (answer.ack, answer.ack);
        windows.halves[side.other().index()] = Half { end, acked, edge: end };
        windows.take(side, answer);
        windows
    }

    /// After a segment of the initiator in mid-stream. What came before may have been up to a largest window
    /// ahead.
    pub(super) fn of_middle(segment: &Segment) -> Self {
        let ahead = |number: u32| number.wrapping_add(1 << Shape::MAX_LOG);
        let (seq, ack, end) = (segment.seq, segment.ack, segment.end());
        let initiator = Half { end, acked: seq, edge: ahead(end) };
        let responder = Half { end: ack, acked: ack, edge: ahead(ack) };
        let mut windows = Self {
            halves: [initiator, responder],
            shapes: [Shape::new(Shape::UNKNOWN, Some(MAX_SCALE)); 2],
            ..Self::default()
        };
        windows.set(Side::Initiator, Flag::Acked);
        windows.take(Side::Initiator, segment);
        windows
    }

    /// The state of a connection of which both sides were heard, unless it was reset.
    pub(super) const fn state(&self) -> State {
        let both = self.flags & self.flags >> 4;
        let any = self.flags | self.flags >> 4;
        if both & Flag::Acked as u8 == 0 {
            State::TcpSynReceived
        } else if any & Flag::Fin as u8 == 0 {
            State::TcpEstablished
        } else if both & Flag::Fin as u8 == 0 {
            State::TcpFinWait
        } else if both & Flag::FinAcked as u8 == 0 {
            State::TcpClosing
        } else {
            State::TcpTimeWait
        }
    }

    const fn half(&self, side: Side) -> &Half {
        &self.halves[side.index()]
    }

    const fn has(&self, side: Side, flag: Flag) -> bool {
        self.flags & (flag as u8) << (side.index() * 4) != 0
    }

    const fn set(&mut self, side: Side, flag: Flag) {
        self.flags |= (flag as u8) << (side.index() * 4);
    }

    /// Whether the SYN of `side` was acknowledged.
    pub(super) const fn is_acked(&self, side: Side) -> bool {
        self.has(side, Flag::Acked)
    }

    /// Whether `syn` is the one that `side` began with, as far as that is remembered: until data are
    /// acknowledged.
    pub(super) const fn is_repeated(&self, side: Side, syn: &Segment) -> bool {
        let acked = self.is_acked(side) as u32;
        syn.seq.wrapping_add(acked) == self.half(side).acked
    }

    /// Whether `segment` from `side` acknowledges the other's SYN, and no more than it has sent.
    pub(super) const fn answers(&self, side: Side, segment: &Segment) -> bool {
        let theirs = self.half(side.other());
        let least = if self.is_acked(side.other()) { 0 } else { 1 };
        segment.has(ACK)
            && distance(theirs.acked, segment.ack) >= least
            && distance(segment.ack, theirs.end) >= 0
    }

    /// Whether `seq` is the number that the other side must expect next, if it has heard all or all that it has
    /// acknowledged.
    pub(super) const fn is_next(&self, side: Side, seq: u32) -> bool {
        let mine = self.half(side);
        seq == mine.end || self.is_acked(side) && seq == mine.acked
    }

    /// Whether `syn` has a number that `side` has not used.
    pub(super) const fn is_unused(&self, side: Side, syn: &Segment) -> bool {
        distance(self.half(side).end, syn.seq) >= 0
    }

    /// Where `segment` from `side` stands, with its acknowledgement.
    pub(super) const fn place(&self, side: Side, segment: &Segment) -> Place {
        let (mine, theirs) = (self.half(side), self.half(side.other()));
        let (my, their) = (self.shapes[side.index()], self.shapes[side.other().index()]);
        let unseen = if their.is_unknown() { their.reach() } else { 0 };
        let (ahead, ack_ahead) = (distance(mine.end, segment.end()), distance(theirs.acked, segment.ack));
        // No more data than the other side allows, and a FIN; nothing acknowledged that the other side has
        // not sent.
        let (room, sent) = (distance(mine.end, mine.edge) + 1, distance(theirs.acked, theirs.end));
        if ahead > room || ack_ahead > sent.saturating_add(unseen) {
            return Place::Outside;
        }
        // What is not acknowledged is not further back than the largest window that the other side has
        // opened; and receivers take no acknowledgement that is further back than this one's (RFC 5961,
        // section 5.2).
        let (lag, ack_lag) = (ahead.saturating_neg(), ack_ahead.saturating_neg());
        let (reach, ack_reach) = (their.reach() + SLACK, my.reach() + SLACK);
        if lag <= reach && ack_lag <= ack_reach {
            Place::Window
        } else if lag <= reach.saturating_mul(2) && ack_lag <= ack_reach.saturating_mul(2) {
            Place::Old
        } else {
            Place::Outside
        }
    }

    /// Where the number `seq` of `side` stands, alone.
    pub(super) const fn place_of(&self, side: Side, seq: u32) -> Place {
        let segment = Segment {
            flags: 0,
            seq,
            ack: self.half(side.other()).acked,
            window: 0,
            len: 0,
            is_cut: false,
            scale: None,
            has_timestamps: false,
        };
        self.place(side, &segment)
    }

    /// Takes the first numbers of `side`, from a SYN.
    pub(super) fn number(&mut self, side: Side, syn: &Segment) {
        let (end, acked) = (syn.end(), syn.seq);
        // The most that the other side's SYN can have allowed, as its window is not scaled; and if it was not
        // sent yet, the most that an IP packet can hold, for another SYN may have data (RFC 7413).
        let edge = end.wrapping_add(u32::from(u16::MAX));
        self.halves[side.index()] = Half { end, acked, edge };
        self.shapes[side.index()] = Shape::new(0, syn.scale);
        self.ignored = 0;
    }

    /// Takes what a SYN without acknowledgement says that `side` has sent before.
    pub(super) fn repeat(&mut self, side: Side, syn: &Segment) {
        advance(&mut self.halves[side.index()].end, syn.end());
        self.agree(side, syn);
    }

    /// Takes the window scale of a SYN. One without does not take back that of another: some drop options
    /// when they repeat a SYN, and it is the first to arrive that counts.
    fn agree(&mut self, side: Side, syn: &Segment) {
        if let Some(scale) = syn.scale {
            self.shapes[side.index()].set_scale(scale);
        }
    }

    /// Takes a segment with an acknowledgement from `side` that is in the window.
    #[inline]
    pub(super) fn take(&mut self, side: Side, segment: &Segment) {
        let window = self.window(side, segment);
        let mine = &mut self.halves[side.index()];
        let mut end = segment.end();
        if segment.is_cut {
            // It goes on, but not behind what it may have, and an IP packet has no more than 64 KiB.
            let most = segment.seq.wrapping_add(u32::from(u16::MAX));
            advance(&mut end, if distance(most, mine.edge) > 0 { most } else { mine.edge });
        }
        advance(&mut mine.end, end);
        let theirs = &mut self.halves[side.other().index()];
        advance(&mut theirs.acked, segment.ack);
        // A closed window may be probed with a byte.
        advance(&mut theirs.edge, segment.ack.wrapping_add(window.max(1)));
        let all_acked = theirs.end == segment.ack;
        self.shapes[side.index()].advertise(window);
        self.set(side.other(), Flag::Acked);
        if all_acked && self.has(side.other(), Flag::Fin) {
            self.set(side.other(), Flag::FinAcked);
        }
        if segment.has(FIN) {
            self.set(side, Flag::Fin);
        }
        if segment.has(SYN) {
            self.agree(side, segment);
        }
        self.ignored = 0;
    }

    /// The window that `segment` from `side` advertises, in bytes: scaled if both sides sent the option, but
    /// never that of a SYN (RFC 7323, section 2.2).
    const fn window(&self, side: Side, segment: &Segment) -> u32 {
        let scale = match (self.shapes[side.index()].scale(), self.shapes[side.other().index()].scale()) {
            (Some(scale), Some(_)) if !segment.has(SYN) => scale,
            _ => 0,
        };
        (segment.window as u32) << scale
    }

    /// Remembers a SYN from the initiator that was let pass without effect.
    pub(super) const fn ignore(&mut self, syn: &Segment) {
        self.ignored = tag(syn.seq.wrapping_add(1));
    }

    /// Whether `segment` from `side`, which is not of this connection, answers a SYN that was let pass
    /// without effect.
    pub(super) fn answers_ignored(&self, side: Side, segment: &Segment) -> bool {
        side == Side::Responder
            && segment.has(ACK)
            && self.ignored == tag(segment.ack)
            && self.place(side, segment) == Place::Outside
    }

    /// Behind the highest that `side` has sent.
    pub(super) const fn end(&self, side: Side) -> u32 {
        self.half(side).end
    }

    /// What `segment` from `side`, which takes numbers, brings.
    #[inline]
    pub(super) const fn sends(&self, side: Side, segment: &Segment) -> Sends {
        let mine = self.half(side);
        if distance(mine.end, segment.end()) > 0 {
            Sends::New
        } else if segment.len <= 1 && !segment.has(SYN | FIN) && distance(segment.end(), mine.acked) >= 0 {
            // It asks whether the other is still there.
            Sends::Nothing
        } else {
            Sends::Again
        }
    }

    /// What the acknowledgement of `segment` from `side` says.
    #[inline]
    pub(super) const fn acks(&self, side: Side, segment: &Segment) -> Acks {
        let theirs = self.half(side.other());
        match distance(theirs.acked, segment.ack) {
            1.. => Acks::New,
            0 if segment.len == 0 && !segment.has(SYN | FIN) && theirs.end != theirs.acked => Acks::Same,
            _ => Acks::Nothing,
        }
    }
}
