//! DNS over UDP, as it is seen in passing: which query a response is to, and how long that took.
//!
//! One query of a session is timed at a time; those that are asked meanwhile, as both of a name's addresses by one socket, are
//! counted with their responses. A response that nobody asked for is not counted.

use super::notes::Notes;
use super::side::Side;
use super::tcp::{nanos, stamp};
use crate::ids::Tick;
use crate::service::{Outcomes, Service, Time};
use crate::wire;
use crate::wire::dns::rcode;

/// Nanoseconds after which a query is not waited for if another comes: what resolvers wait before they ask again
/// (resolv.conf(5), `timeout`).
const PATIENCE: u64 = 5_000_000_000;

/// What a session's DNS server was asked, and said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dns {
    /// Queries; 65535: that or more.
    pub queries: u16,
    /// Responses to them, likewise.
    pub answers: u16,
    /// The query that is timed.
    id: u16,
    /// The code of the last response.
    pub code: u8,
    /// Queries that are not answered.
    open: u8,
}

impl Dns {
    /// Queries that are not answered.
    pub const fn open(&self) -> u8 {
        self.open
    }
}

impl Notes {
    /// Takes a message of `side`.
    #[inline(never)]
    pub fn see_dns(&mut self, message: wire::Dns<'_>, side: Side, now: Tick, service: &mut Service) {
        if message.opcode() != 0 {
            return;
        }
        match (side, message.is_response()) {
            (Side::Initiator, false) if message.questions() == 1 => self.asked(message.id(), now, service),
            (Side::Responder, true) => self.answered(message.id(), message.rcode(), now, service),
            _ => {}
        }
    }

    fn asked(&mut self, id: u16, now: Tick, service: &mut Service) {
        let dns = &mut self.dns;
        if self.since != 0 {
            if id == dns.id {
                // Asked again: whoever asks waits since the first time.
                return;
            }
            if nanos(stamp(now).wrapping_sub(self.since)) > PATIENCE {
                self.since = 0;
                dns.open = dns.open.saturating_sub(1);
                service.count(self.row, |of| of.dns_unanswered += 1);
            }
        }
        dns.queries = dns.queries.saturating_add(1);
        dns.open = dns.open.saturating_add(1);
        service.count(self.row, |of| of.dns_queries += 1);
        if self.since == 0 {
            (self.since, dns.id) = (stamp(now), id);
        }
    }

    fn answered(&mut self, id: u16, code: u8, now: Tick, service: &mut Service) {
        let dns = &mut self.dns;
        let is_timed = self.since != 0 && id == dns.id;
        let others = dns.open.saturating_sub(u8::from(self.since != 0));
        if !is_timed && others == 0 {
            return;
        }
        dns.open = dns.open.saturating_sub(1);
        dns.answers = dns.answers.saturating_add(1);
        dns.code = code;
        service.count(self.row, |of| *count(of, code) += 1);
        if is_timed {
            let took = stamp(now).wrapping_sub(self.since).max(1);
            service.add(self.row, Time::Dns, nanos(took));
            self.since = 0;
        }
    }
}

/// What counts a code.
const fn count(outcomes: &mut Outcomes, code: u8) -> &mut u64 {
    match code {
        rcode::NOERROR => &mut outcomes.dns_noerror,
        rcode::NXDOMAIN => &mut outcomes.dns_nxdomain,
        rcode::SERVFAIL => &mut outcomes.dns_servfail,
        rcode::REFUSED => &mut outcomes.dns_refused,
        _ => &mut outcomes.dns_other,
    }
}

#[cfg(test)]
mod tests {
    use super::super::notes::End;
    use super::*;
    use crate::service::Row;
    use proptest::prelude::*;

    const I: Side = Side::Initiator;
    const R: Side = Side::Responder;

    struct Seen {
        notes: Notes,
        service: Service,
        now: Tick,
    }

    impl Seen {
        fn new() -> Self {
            let mut notes = Notes::new(1, Tick(0));
            notes.row = Row(0);
            Self { notes, service: Service::new(1), now: Tick(0) }
        }

        fn after(&mut self, ms: u64, side: Side, id: u16, flags: [u8; 2]) {
            self.now = Tick(self.now.0 + ms * 1_000_000);
            let [high, low] = id.to_be_bytes();
            let message = [high, low, flags[0], flags[1], 0, 1, 0, 0, 0, 0, 0, 0];
            let message = wire::Dns::new(&message).unwrap();
            self.notes.see_dns(message, side, self.now, &mut self.service);
        }

        fn ask(&mut self, ms: u64, id: u16) {
            self.after(ms, I, id, [1, 0]);
        }

        fn answer(&mut self, ms: u64, id: u16, code: u8) {
            self.after(ms, R, id, [0x81, 0x80 | code]);
        }

        fn outcomes(&self) -> Outcomes {
            *self.service.outcomes(0).unwrap()
        }

        /// Samples, and milliseconds of all together.
        fn times(&self) -> (u64, u64) {
            let head = self.service.times().head(Service::place(0, Time::Dns));
            (head.samples, (head.sum + 500_000) / 1_000_000)
        }
    }

    #[test]
    fn each_code_is_counted_and_timed() {
        let mut seen = Seen::new();
        for (id, code) in (7..).zip([0, 2, 3, 5, 1, 3]) {
            seen.ask(1, id);
            seen.answer(20, id, code);
        }
        let wanted = Outcomes {
            dns_queries: 6,
            dns_noerror: 1,
            dns_servfail: 1,
            dns_nxdomain: 2,
            dns_refused: 1,
            dns_other: 1,
            ..Outcomes::default()
        };
        assert_eq!((seen.outcomes(), seen.times()), (wanted, (6, 120)));
        assert_eq!((seen.notes.dns.queries, seen.notes.dns.answers, seen.notes.dns.code), (6, 6, 3));
    }

    #[test]
    fn of_two_at_once_the_first_is_timed() {
        let mut seen = Seen::new();
        seen.ask(0, 1);
        seen.ask(1, 2);
        seen.answer(3, 2, 0);
        seen.answer(4, 1, 0);
        assert_eq!((seen.outcomes().dns_noerror, seen.times()), (2, (1, 8)));
        // Both are answered: nobody asked for more.
        seen.answer(1, 2, 0);
        assert_eq!(seen.outcomes().dns_noerror, 2);
    }

    #[test]
    fn asked_again_it_is_one_query_that_took_long() {
        let mut seen = Seen::new();
        seen.ask(0, 1);
        seen.ask(1_000, 1);
        seen.answer(5, 1, 0);
        seen.answer(0, 1, 0);
        assert_eq!(
            (seen.outcomes().dns_queries, seen.outcomes().dns_noerror, seen.times()),
            (1, 1, (1, 1_005))
        );
    }

    #[test]
    fn what_nobody_answers_is_counted_when_another_is_asked_or_at_the_end() {
        let mut seen = Seen::new();
        seen.ask(0, 1);
        seen.ask(6_000, 2);
        assert_eq!(seen.outcomes().dns_unanswered, 1);
        // Too late, and to nobody.
        seen.answer(1, 1, 0);
        seen.ask(1, 3);
        seen.notes.ended(End::TimedOut, &mut seen.service);
        let Outcomes { dns_queries, dns_noerror, dns_unanswered, .. } = seen.outcomes();
        assert_eq!((dns_queries, dns_noerror, dns_unanswered, seen.times()), (3, 0, 3, (0, 0)));
    }

    #[test]
    fn what_is_no_query_or_goes_the_wrong_way_is_not_counted() {
        let mut seen = Seen::new();
        // A response of the client, a query of the server, an update, a response to nothing.
        seen.after(0, I, 1, [0x81, 0]);
        seen.after(0, R, 1, [1, 0]);
        seen.after(0, I, 1, [0x29, 0]);
        seen.answer(0, 1, 0);
        let two_questions = [0, 1, 1, 0, 0, 2, 0, 0, 0, 0, 0, 0];
        seen.notes.see_dns(wire::Dns::new(&two_questions).unwrap(), I, seen.now, &mut seen.service);
        assert_eq!(seen.outcomes(), Outcomes::default());
    }

    proptest! {
        /// Whatever comes, no response is counted that was not asked for, and every query is accounted for at the end.
        #[test]
        fn queries_are_answered_or_not(
            messages in prop::collection::vec((any::<bool>(), 0u16..4, 0u8..7, 0u64..4_000), 0..100),
        ) {
            let mut seen = Seen::new();
            for (is_query, id, code, ms) in messages {
                if is_query { seen.ask(ms, id) } else { seen.answer(ms, id, code) }
            }
            seen.notes.ended(End::TimedOut, &mut seen.service);
            let of = seen.outcomes();
            let answers = of.dns_noerror + of.dns_nxdomain + of.dns_servfail + of.dns_refused + of.dns_other;
            prop_assert_eq!(of.dns_queries, answers + of.dns_unanswered);
            prop_assert!(seen.times().0 <= answers);
        }
    }
}
