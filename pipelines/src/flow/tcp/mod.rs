//! TCP connections, tracked with their windows.
//!
//! The switch sees a connection from one place on the way between its ends. It must never drop what a correct
//! end sends, nor believe what neither of them can have sent. What it knows at that place is enough for both
//! (G. van Rooij, "Real stateful TCP packet filtering in IP Filter", 2000), as every byte and every
//! acknowledgement that an end has got went past here before. For a segment of side A to side B:
//!
//! 1. its data end no higher than the highest acknowledgement plus window that B has sent, plus one for a
//!    FIN; a closed window counts as one byte, for probes;
//! 2. they end no further below the highest that A has sent than the largest window that B has ever opened,
//!    as no more than that can be unacknowledged; and a step for keep-alives;
//! 3. it acknowledges no more than B has sent;
//! 4. it acknowledges no less than the highest that A has acknowledged less the largest window that A has
//!    ever opened: B would not take it otherwise (RFC 5961, section 5.2).
//!
//! Windows below 64 KiB count as 64 KiB in 2 and 4. What fails 2 or 4 by up to one more such window is taken
//! for a duplicate that was long under way: it passes, but is [`Inert`](Verdict::Inert). What is older than
//! that is dropped: it is no loss, as no receiver wants it. Selective acknowledgements need no rule of their
//! own: what is repeated between them is above A's lowest unacknowledged byte, so 2 holds, and the
//! acknowledgement itself stays where 4 wants it.
//!
//! A segment that acts on the whole connection is believed only if it has the very number that its receiver
//! expects (RFC 5961): another RST passes, if it is in the window, and its receiver asks its sender what was
//! meant, with an ACK that passes too. Likewise every SYN passes an open connection, as the receiver asks in
//! the same way.
//!
//! If neither end knows the connection any more, their next one may have the same ports. A SYN of the
//! initiator that is far from the windows is therefore remembered until the responder answers: with the old
//! numbers, and all stays as it is; or with those of the SYN, and the old connection gives way. An attacker
//! would have to send as both ends, and one of them is a guest of this host, whose packets are known to be
//! its own.
//!
//! A connection that is picked up in mid-stream has unknown windows and scales. All four bounds are 2^30
//! there, for its whole life: enough for one with windows up to 2^28, whatever was seen of it first, and
//! still only an exact RST ends it.

#[cfg(test)]
mod blind;
#[cfg(test)]
mod cases;
#[cfg(test)]
mod model;
mod quality;
mod segment;
mod windows;

use super::{Side, State};
use crate::wire::tcp::flag::{ACK, FIN, RST, SYN};
pub use quality::{Acks, Glance, Quality, Sends, Talk};
pub(in crate::flow) use quality::{nanos, stamp};
pub use segment::{MAX_SCALE, Segment};
use windows::Place;
pub use windows::Windows;

/// What a segment is to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is of the connection: it passes, and keeps the session alive.
    InWindow,
    /// It passes, but does not change the state or keep the session alive: only its receiver can judge it.
    Inert,
    /// It cannot be of the connection; it changes nothing.
    OutOfWindow,
    /// It has flags that exclude each other, or lacks some; it changes nothing.
    BadFlags,
    /// It opens another connection in place of this one, which has ended: the caller starts over with it.
    Reopen,
}

/// What [`Windows::step`] has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The connection's state from now on.
    pub state: State,
    /// What the segment is.
    pub verdict: Verdict,
}

/// Why a segment opens no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invalid {
    /// It has flags that exclude each other, or lacks some.
    BadFlags,
    /// It belongs to a connection, but nobody has seen that.
    NoConnection,
}

/// The flags that say what a segment is; the others may stand with any of them. Of 16 combinations those
/// below are in use; all others are bad: without ACK there is but the first SYN and RST (RFC 9293, section
/// 3.10.7), and of SYN, FIN and RST there is but one.
const KIND: u8 = FIN | SYN | RST | ACK;
const SYN_ACK: u8 = SYN | ACK;
const RST_ACK: u8 = RST | ACK;
const FIN_ACK: u8 = FIN | ACK;

/// The connection that begins with `segment`, which then is from the initiator.
///
/// One in mid-stream begins a connection only with `pick_up`, and an RST never.
pub fn open(segment: &Segment, pick_up: bool) -> Result<(Windows, State), Invalid> {
    match segment.flags & KIND {
        SYN => Ok((Windows::of_syn(segment), State::TcpSynSent)),
        SYN_ACK if pick_up => {
            let windows = Windows::of_answer(Side::Initiator, segment);
            Ok((windows, windows.state()))
        }
        ACK | FIN_ACK if pick_up => {
            let windows = Windows::of_middle(segment);
            Ok((windows, windows.state()))
        }
        ACK | FIN_ACK | SYN_ACK | RST | RST_ACK => Err(Invalid::NoConnection),
        _ => Err(Invalid::BadFlags),
    }
}

impl Windows {
    /// What a segment from `side` of a connection in `state` brings, which is taken then.
    #[inline]
    pub fn glance(&self, state: State, side: Side, segment: &Segment) -> Glance {
        let sends = if segment.end() == segment.seq {
            Sends::Nothing
        } else if state == State::TcpSynSent && side == Side::Responder {
            // Nothing is known of it so far.
            Sends::New
        } else {
            self.sends(side, segment)
        };
        let acks = if segment.has(ACK) { self.acks(side, segment) } else { Acks::Nothing };
        let end = self.end(side);
        let leaps = state != State::TcpSynSent && segment.seq.wrapping_sub(end) as i32 > 0;
        Glance { sends, acks, leaps, from: end }
    }

    /// Takes a segment from `side` of a connection in `state`, one of the TCP states.
    pub fn step(&mut self, state: State, side: Side, segment: &Segment) -> Step {
        let taken = match segment.flags & KIND {
            ACK | FIN_ACK => self.on_ack(state, side, segment),
            SYN => self.on_syn(state, side, segment),
            SYN_ACK => self.on_answer(state, side, segment),
            RST | RST_ACK => self.on_reset(state, side, segment),
            _ => Err(Verdict::BadFlags),
        };
        match taken {
            Ok(state) => Step { state, verdict: Verdict::InWindow },
            Err(verdict) => Step { state, verdict },
        }
    }

    fn on_ack(&mut self, state: State, side: Side, segment: &Segment) -> Result<State, Verdict> {
        let place = match state {
            State::TcpSynSent => return Err(before_answer(side, segment)),
            State::TcpSynReceived if !self.is_acked(side.other()) && !self.answers(side, segment) => {
                Place::Outside
            }
            _ => self.place(side, segment),
        };
        match place {
            Place::Window => {
                self.take(side, segment);
                // An end may still send what it sent before it gave up or heard of it, and gets answers to
                // that.
                if state == State::TcpClosed { Err(Verdict::Inert) } else { Ok(self.state()) }
            }
            Place::Old => Err(Verdict::Inert),
            Place::Outside => Err(Verdict::OutOfWindow),
        }
    }

    #[cold]
    fn on_syn(&mut self, state: State, side: Side, syn: &Segment) -> Result<State, Verdict> {
        match (state, side) {
            (State::TcpSynSent, Side::Initiator) => {
                // With another number it is another attempt: nobody has answered the one before.
                if self.is_repeated(side, syn) {
                    self.repeat(side, syn)
                } else {
                    *self = Self::of_syn(syn)
                }
                Ok(state)
            }
            // Both have opened at once (RFC 9293, section 3.5).
            (State::TcpSynSent, Side::Responder) => {
                self.number(side, syn);
                Ok(State::TcpSynReceived)
            }
            (State::TcpSynReceived, _) if self.is_repeated(side, syn) => {
                self.repeat(side, syn);
                Ok(state)
            }
            (State::TcpClosed, _) => Err(Verdict::Reopen),
            // RFC 9293, section 3.6.1. A lower number may be taken too if the timestamp is later (RFC 6191),
            // which only the receiver knows: it answers with an ACK of the old connection if not.
            (State::TcpTimeWait, _) if self.is_unused(side, syn) || syn.has_timestamps => {
                Err(Verdict::Reopen)
            }
            _ => {
                if side == Side::Initiator && self.place_of(side, syn.seq) == Place::Outside {
                    self.ignore(syn);
                }
                Err(Verdict::Inert)
            }
        }
    }

    #[cold]
    fn on_answer(&mut self, state: State, side: Side, answer: &Segment) -> Result<State, Verdict> {
        match state {
            State::TcpSynSent if self.answers(side, answer) => {
                self.number(side, answer);
                self.take(side, answer);
                Ok(self.state())
            }
            State::TcpSynSent => Err(Verdict::OutOfWindow),
            State::TcpClosed => self.on_ack(state, side, answer),
            // When both open at once, an end may have missed the one that the switch has seen.
            _ if self.is_repeated(side, answer) && self.answers(side, answer) => {
                self.take(side, answer);
                Ok(self.state())
            }
            State::TcpSynReceived if self.is_acked(side) || self.is_repeated(side, answer) => {
                self.on_ack(state, side, answer)
            }
            // Another number: who answers with SYN cookies does not remember the one before (RFC 4987,
            // section 3.6).
            State::TcpSynReceived if self.answers(side, answer) => {
                self.number(side, answer);
                self.take(side, answer);
                Ok(self.state())
            }
            // Nothing is left of the connection at either end.
            _ if self.answers_ignored(side, answer) => {
                *self = Self::of_answer(side, answer);
                Ok(self.state())
            }
            State::TcpSynReceived => Err(Verdict::OutOfWindow),
            _ => Err(Verdict::Inert),
        }
    }

    #[cold]
    fn on_reset(&mut self, state: State, side: Side, reset: &Segment) -> Result<State, Verdict> {
        let place = self.place_of(side, reset.seq);
        let ends = match state {
            // A SYN is refused by its acknowledgement (RFC 9293, section 3.10.7.3).
            State::TcpSynSent if side == Side::Responder => {
                return if self.answers(side, reset) {
                    Ok(State::TcpClosed)
                } else {
                    Err(Verdict::OutOfWindow)
                };
            }
            State::TcpSynSent if self.is_next(side, reset.seq) => true,
            // It ends what the responder has left of another connection: see `before_answer`.
            State::TcpSynSent => return Err(Verdict::Inert),
            State::TcpClosed if place == Place::Outside && self.answers(side, reset) => {
                return Err(Verdict::Inert);
            }
            State::TcpClosed => false,
            // One that has forgotten its own SYN refuses the other's.
            State::TcpSynReceived if !self.is_acked(side) && self.answers(side, reset) => true,
            _ => self.is_next(side, reset.seq) || self.answers_ignored(side, reset),
        };
        match place {
            _ if ends => Ok(State::TcpClosed),
            Place::Window | Place::Old => Err(Verdict::Inert),
            Place::Outside => Err(Verdict::OutOfWindow),
        }
    }
}

/// What a segment other than SYN and RST is before the responder has answered.
fn before_answer(side: Side, segment: &Segment) -> Verdict {
    // A responder that has a connection left from before says so, and the initiator ends that with an RST
    // (RFC 9293, section 3.5.1).
    let is_bare = segment.end() == segment.seq;
    if side == Side::Responder && is_bare { Verdict::Inert } else { Verdict::OutOfWindow }
}
