//! What is noted of a session beside what its packets are judged by: only who tells of it reads that.

use super::dns::Dns;
use super::session::Session;
use super::side::Side;
use super::state::State;
use super::tcp::{Glance, Quality, Segment, Sends, Talk, nanos, stamp};
use crate::ids::Tick;
use crate::service::{Row, Service, Time};

/// The notes of a session: a cache line that TCP's packets touch, and what is for who tells of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C, align(64))]
pub struct Notes {
    /// What counts how it does, together with others.
    pub row: Row,
    /// How well TCP does.
    pub quality: Quality,
    /// Its number among all that its table has opened, from 1.
    pub serial: u64,
    /// When its first packet came.
    pub started: Tick,
    /// How often it has been told of.
    pub told: u32,
    /// What a DNS server was asked, and said.
    pub dns: Dns,
    /// What came of the attempt to connect.
    pub connect: Connect,
    /// See [`connected`](Self::connected), in units of [`stamp`]s.
    connected: [u32; 2],
    /// See [`first_response`](Self::first_response), likewise.
    first_response: u32,
    /// When the SYN was answered, or the initiator's first data came, or the DNS query that is waited for; 0: not yet.
    pub(super) since: u32,
}

const _: () = assert!(size_of::<Notes>() == 128);
const _: () = assert!(core::mem::offset_of!(Notes, quality.retransmitted) <= 64);

/// What came of an attempt to connect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Connect {
    /// Nobody saw: taken up in mid-stream, or of a protocol that does not connect.
    #[default]
    Unseen,
    /// It has not been answered so far.
    Waiting,
    /// It was accepted.
    Accepted,
    /// It was refused, by a reset of the responder.
    Refused,
}

impl Notes {
    /// Of the session with this number that begins now.
    pub(super) fn new(serial: u64, now: Tick) -> Self {
        Self { serial, started: now, ..Self::default() }
    }

    /// Nanoseconds that each side took of the time to connect, the way to it and back included; 0: not known.
    pub fn connected(&self) -> [u64; 2] {
        self.connected.map(nanos)
    }

    /// From the initiator's first data to the responder's first, in nanoseconds; 0: not known.
    pub const fn first_response(&self) -> u64 {
        nanos(self.first_response)
    }

    /// Takes the segment that opens TCP.
    pub fn begin(&mut self, state: State, side: Side, segment: &Segment, now: Tick, service: &mut Service) {
        if state == State::TcpSynSent {
            self.connect = Connect::Waiting;
        }
        self.see(Glance { sends: Sends::New, ..Glance::default() }, side, segment, now, service);
    }

    /// Takes a segment of `side`, of which this was seen before it was taken.
    #[inline]
    pub fn see(&mut self, glance: Glance, side: Side, segment: &Segment, now: Tick, service: &mut Service) {
        let round_trip = self.quality.see(glance, side, segment, now);
        if round_trip != 0 {
            service.add(self.row, Time::rtt(side), round_trip.into());
        }
        if segment.len > 0 && self.quality.talk != Talk::Answered {
            self.talk(side, now, service);
        }
    }

    /// Follows a change of TCP's state that a packet of `side` made.
    #[cold]
    pub fn changed(&mut self, (before, after): (State, State), side: Side, now: Tick, service: &mut Service) {
        let since = |then: u32| stamp(now).wrapping_sub(then).max(1);
        match (before, after) {
            (State::TcpSynSent | State::TcpSynReceived, State::TcpClosed) if side == Side::Responder => {
                self.connect = Connect::Refused;
                service.count(self.row, |of| of.refused += 1);
            }
            (State::TcpSynSent, State::TcpSynReceived) if side == Side::Responder => {
                self.connected[side.index()] = since(stamp(self.started));
                self.since = stamp(now);
            }
            (State::TcpSynReceived, _) if self.connect == Connect::Waiting => {
                self.connect = Connect::Accepted;
                service.count(self.row, |of| of.accepted += 1);
                if self.since != 0 {
                    self.connected[Side::Initiator.index()] = since(self.since);
                    service.add(self.row, Time::Connect, self.connected().iter().sum());
                }
            }
            _ => {}
        }
        if after == State::TcpClosed && self.connect != Connect::Refused {
            service.count(self.row, |of| of.reset += 1);
        }
    }

    /// Follows the end of the session.
    pub fn ended(&mut self, end: End, service: &mut Service) {
        if self.connect == Connect::Waiting && matches!(end, End::TimedOut | End::Evicted) {
            service.count(self.row, |of| of.timed_out += 1);
        }
        let unanswered = u64::from(self.dns.open());
        if unanswered > 0 {
            service.count(self.row, |of| of.dns_unanswered += unanswered);
        }
    }

    #[cold]
    fn talk(&mut self, side: Side, now: Tick, service: &mut Service) {
        match (self.quality.talk, side) {
            (Talk::Silent, Side::Initiator) => (self.quality.talk, self.since) = (Talk::Asked, stamp(now)),
            // The responder speaks first: a greeting answers nothing.
            (Talk::Silent, Side::Responder) => self.quality.talk = Talk::Answered,
            (Talk::Asked, Side::Responder) => {
                self.first_response = stamp(now).wrapping_sub(self.since).max(1);
                self.quality.talk = Talk::Answered;
                service.add(self.row, Time::Response, self.first_response());
            }
            _ => {}
        }
    }
}

/// log2 of the nanoseconds after which a session with traffic is told of again: 8.6 s.
const AGAIN: u32 = 33;

/// Whether a session is to be told of that had its last packet then, and one now. Each place has its own moments, so that
/// not all sessions are told of at once.
#[inline(always)]
pub(super) fn is_due(place: u32, last: Tick, now: Tick) -> bool {
    let phase = u64::from(place.wrapping_mul(0x9e37_79b9)) << (AGAIN - 32);
    (last.0.wrapping_add(phase) ^ now.0.wrapping_add(phase)) >> AGAIN != 0
}

/// What happened to a flow, or did not: why it is told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It began.
    Started,
    /// It goes on.
    Active,
    /// Policy allows it by another rule than before.
    Decided,
    /// It is over.
    Ended(End),
}

/// Why a flow ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum End {
    /// Both ends closed it.
    Closed,
    /// One end reset it.
    Reset,
    /// No packet came for long.
    TimedOut,
    /// It made way for another one.
    Evicted,
    /// Its ends began anew with the same addresses and ports.
    Reused,
    /// Policy did not let it begin.
    Denied,
    /// A new configuration does not allow it.
    Revoked,
    /// An end of it has left this host.
    Gone,
    /// The switch stops.
    Stopped,
}

impl End {
    /// That of a session whose time is over.
    pub const fn of_time<K>(session: &Session<K>) -> Self {
        match session.state {
            State::TcpTimeWait => Self::Closed,
            State::TcpClosed => Self::Reset,
            _ => Self::TimedOut,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::Outcomes;

    #[test]
    fn who_resets_tells_whether_it_was_refused() {
        let (open, answered, over) = (State::TcpSynSent, State::TcpSynReceived, State::TcpClosed);
        let mut service = Service::new(1);
        let begun = Notes { connect: Connect::Waiting, row: Row(0), ..Notes::new(1, Tick(0)) };
        let mut refused = begun;
        refused.changed((open, over), Side::Responder, Tick(1_000_000), &mut service);
        assert_eq!(refused.connect, Connect::Refused);
        // A scan: answered, and not wanted.
        let mut scanned = begun;
        scanned.changed((open, answered), Side::Responder, Tick(2_000_000), &mut service);
        scanned.changed((answered, over), Side::Initiator, Tick(3_000_000), &mut service);
        assert_eq!(scanned.connect, Connect::Accepted);
        assert!(scanned.connected().iter().all(|nanos| *nanos > 900_000));
        // One that nobody answers.
        let mut waits = begun;
        waits.ended(End::TimedOut, &mut service);
        waits.ended(End::Stopped, &mut service);
        let wanted = Outcomes { accepted: 1, refused: 1, timed_out: 1, reset: 1, ..Outcomes::default() };
        assert_eq!(service.outcomes(0), Some(&wanted));
        let connect = service.times().head(Service::place(0, Time::Connect));
        assert!((connect.samples, connect.sum / 100_000) == (1, 29), "{connect:?}");
    }

    #[test]
    fn traffic_is_told_of_every_nine_seconds_and_not_of_all_at_once() {
        let second = 1_000_000_000;
        let mut most = 0;
        let mut told = vec![0; 10_000];
        // A packet of each every 100 ms.
        for now in (second..60 * second).step_by(100_000_000) {
            let mut at_once = 0;
            for (place, count) in told.iter_mut().enumerate() {
                if is_due(place as u32, Tick(now - 100_000_000), Tick(now)) {
                    *count += 1;
                    at_once += 1;
                }
            }
            most = most.max(at_once);
        }
        assert!(told.iter().all(|count| (6..=7).contains(count)), "59 s are 6.9 times 8.6");
        assert!(most < 200, "{most} of 10,000 in a tenth of a second");
        // After silence once.
        assert!(is_due(7, Tick(second), Tick(1000 * second)));
    }
}
