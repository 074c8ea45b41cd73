//! The rows of counters: what each field is, and where its value comes from.
//!
//! A row's first word is its sequence, the second the moment at which it was written; then the counters follow, words
//! all. They mirror [`Counters`] and [`Work`].

use weft_pipelines::counters::{PortCounters, RuleCounters, TenantCounters, TunnelCounters};
use weft_pipelines::service::Outcomes;
use weft_pipelines::{Counters, Reason, Tick};

use super::field::{Merge, REVERSE, Spec, Type, Unit};
use crate::worker::Work;

/// Declares a kind of row: each line is a field with what it counts, how several workers' are merged, the IPFIX element,
/// and the value.
macro_rules! rows {
    ($(#[$doc:meta])* $module:ident($($arg:ident: $type:ty),*) {
        $($name:ident $unit:ident $merge:ident $element:literal $(reverse $reverse:ident)? = $value:expr,
            $help:literal;)*
    }) => {
        $(#[$doc])*
        pub mod $module {
            use super::*;

            const NAMES: &[&str] = &[$(stringify!($name)),*];
            /// Values of a row.
            pub const LEN: usize = NAMES.len() + 1;
            /// The fields, in the order of their values.
            pub const FIELDS: &[Spec] = &{
                let mut fields = [$(counter(
                    stringify!($name), Unit::$unit, Merge::$merge, $element, 0 $(+ $reverse)?, $help,
                ),)*];
                let mut index = 0;
                while index < fields.len() {
                    fields[index].offset = 8 * (index + 2);
                    index += 1;
                }
                let mut all = [WRITTEN; LEN];
                let mut index = 1;
                while index < LEN {
                    all[index] = fields[index - 1];
                    index += 1;
                }
                all
            };

            /// A row's values.
            #[inline]
            pub fn values(now: Tick, $($arg: $type),*) -> [u64; LEN] {
                [now.0, $($value),*]
            }
        }
    };
}

const WRITTEN: Spec = counter("written", Unit::Tick, Merge::Max, 0, 0, "When this row was written.");

const fn counter(
    name: &'static str,
    unit: Unit,
    merge: Merge,
    element: u32,
    enterprise: u32,
    help: &'static str,
) -> Spec {
    let (offset, width, count, kind, codes) = (8, 8, 1, Type::Number, &[] as &[_]);
    Spec { name, offset, width, count, kind, unit, merge, element, enterprise, codes, help }
}

rows! {
    /// What a worker did.
    worker(work: &Work, counters: &Counters) {
        packets Packets Sum 86 = work.packets, "Packets received from ports.";
        polls Events Sum 0 = work.polls, "Rounds over its ports.";
        empty_polls Events Sum 0 = work.empty_polls, "Rounds that found nothing.";
        busy_cycles Cycles Sum 0 = work.busy_cycles, "Cycles spent in rounds that found packets.";
        handed_over Packets Sum 0 = work.handed_over, "Packets handed over to other workers.";
        received_over Packets Sum 0 = work.received_over, "Packets taken from other workers.";
        waiting Packets Sum 0 = work.waiting, "Packets that wait for their turn to leave.";
        sleeps Events Sum 0 = work.sleeps, "How many times it slept.";
        log_lost Events Sum 0 = work.log_lost, "Decisions of policy that were not told, for there were too many.";
        epoch Bare Max 0 = work.epoch, "The number of the configuration that it works by.";
        replicated Packets Sum 0 = counters.replicated, "Copies made to reach several destinations.";
        originated Packets Sum 0 = counters.originated, "Packets that the switch made itself: ARP requests.";
        consumed Packets Sum 0 = counters.consumed, "Packets that ended in the switch, for they were for it: ARP replies.";
        revoked Events Sum 0 = counters.revoked, "Sessions that ended because a new configuration does not allow them.";
        in_flows_packets Packets Sum 0 = counters.in_flows.packets, "Packets that passed as part of a flow: what the flows' records have counted.";
        in_flows_bytes Bytes Sum 0 = counters.in_flows.bytes, "Bytes of these, of whole frames.";
        of_no_flow_packets Packets Sum 0 = counters.of_no_flow.packets, "Packets that passed and are of no flow: ARP, neighbour discovery, errors about flows.";
        of_no_flow_bytes Bytes Sum 0 = counters.of_no_flow.bytes, "Bytes of these, of whole frames.";
        records Events Sum 0 = work.records, "Records written, of flows.";
        records_withheld Events Sum 0 = work.records_withheld, "Records not written, of what policy denied: there were too many.";
    }
}

rows! {
    /// What a port did.
    port(port: &PortCounters) {
        rx_packets Packets Sum 86 = port.rx.packets, "Packets received from it.";
        rx_bytes Bytes Sum 353 = port.rx.bytes, "Bytes received from it.";
        tx_packets Packets Sum 86 reverse REVERSE = port.tx.packets, "Packets sent by it.";
        tx_bytes Bytes Sum 353 reverse REVERSE = port.tx.bytes, "Bytes sent by it.";
        drops Packets Sum 135 = port.drops.total(), "Packets dropped: received from it, or on the way out by it.";
        metered_packets Packets Sum 0 = port.metered.passed.packets, "Packets that its meters let pass.";
        metered_bytes Bytes Sum 0 = port.metered.passed.bytes, "Bytes of these, as they are charged.";
        metered_yellow Packets Sum 0 = port.metered.yellow, "Packets of these beyond the assured rate.";
        held_back Nanoseconds Sum 0 = port.metered.held_back, "Time in which it was not polled, for it or its tenant had used up what it may send.";
        cycles Cycles Sum 0 = port.metered.cycles, "Cycles that the worker spent on what it sent.";
        to_guest_packets Packets Sum 0 = port.to_guest.passed.packets, "Packets that passed the shaper on the way to it.";
        to_guest_bytes Bytes Sum 0 = port.to_guest.passed.bytes, "Bytes of these, as they are charged.";
        to_guest_waited Packets Sum 0 = port.to_guest.waited, "Packets of these that waited.";
        to_guest_waiting Nanoseconds Sum 0 = port.to_guest.waiting, "Time that these waited, in all.";
        to_guest_longest Nanoseconds Max 0 = port.to_guest.longest, "Time that one waited at most.";
        to_guest_marked Packets Sum 0 = port.to_guest.marked, "Packets that were marked: congestion experienced (RFC 3168).";
        to_guest_dropped Packets Sum 0 = port.to_guest.dropped, "Packets that the shaper dropped.";
        to_fabric_packets Packets Sum 0 = port.to_fabric.passed.packets, "Packets from it that passed the uplink's shaper.";
        to_fabric_bytes Bytes Sum 0 = port.to_fabric.passed.bytes, "Bytes of these, as they are charged.";
        to_fabric_waited Packets Sum 0 = port.to_fabric.waited, "Packets of these that waited.";
        to_fabric_waiting Nanoseconds Sum 0 = port.to_fabric.waiting, "Time that these waited, in all.";
        to_fabric_longest Nanoseconds Max 0 = port.to_fabric.longest, "Time that one waited at most.";
        to_fabric_marked Packets Sum 0 = port.to_fabric.marked, "Packets that were marked: congestion experienced (RFC 3168).";
        to_fabric_dropped Packets Sum 0 = port.to_fabric.dropped, "Packets that the shaper dropped.";
    }
}

rows! {
    /// What a tenant's guests did.
    tenant(tenant: &TenantCounters) {
        to_fabric_packets Packets Sum 86 = tenant.to_fabric.packets, "Packets sent into the fabric.";
        to_fabric_bytes Bytes Sum 353 = tenant.to_fabric.bytes, "Bytes sent into the fabric.";
        from_fabric_packets Packets Sum 86 reverse REVERSE = tenant.from_fabric.packets, "Packets from the fabric.";
        from_fabric_bytes Bytes Sum 353 reverse REVERSE = tenant.from_fabric.bytes, "Bytes from the fabric.";
        drops Packets Sum 135 = tenant.drops.total(), "Packets dropped, wherever their tenant was known.";
    }
}

rows! {
    /// What went through a tunnel.
    tunnel(tunnel: &TunnelCounters) {
        tx_packets Packets Sum 86 = tunnel.tx.packets, "Packets encapsulated to its VTEP.";
        tx_bytes Bytes Sum 353 = tunnel.tx.bytes, "Bytes of these, outer headers included.";
        rx_packets Packets Sum 86 reverse REVERSE = tunnel.rx.packets, "Packets from its VTEP that were accepted.";
        rx_bytes Bytes Sum 353 reverse REVERSE = tunnel.rx.bytes, "Bytes of these, outer headers included.";
    }
}

rows! {
    /// What a rule, or a tenant's default, decided.
    rule(rule: &RuleCounters) {
        hits Events Sum 0 = rule.hits, "Connections, or packets that belong to none, that it decided.";
        denied Packets Sum 135 = rule.denied, "Packets dropped because of it.";
        would_deny Packets Sum 0 = rule.would_deny, "Packets that would have been, were it not only counted.";
        last_hit Tick Max 0 = rule.last_hit.0, "When it last decided something; 0 if it never did.";
    }
}

rows! {
    /// What came of connections and DNS queries between two groups.
    service(of: &Outcomes) {
        accepted Events Sum 0 = of.accepted, "TCP connections that the server accepted.";
        refused Events Sum 0 = of.refused, "TCP connections that the server refused, by a reset.";
        timed_out Events Sum 0 = of.timed_out, "TCP connections that nobody answered.";
        denied Packets Sum 0 = of.denied, "SYNs that policy did not let pass.";
        reset Events Sum 0 = of.reset, "TCP connections that a reset ended.";
        dns_queries Events Sum 0 = of.dns_queries, "DNS queries; one that was asked again is one.";
        dns_noerror Events Sum 0 = of.dns_noerror, "Responses to them: NOERROR.";
        dns_nxdomain Events Sum 0 = of.dns_nxdomain, "Responses: NXDOMAIN, there is no such name.";
        dns_servfail Events Sum 0 = of.dns_servfail, "Responses: SERVFAIL, the server could not.";
        dns_refused Events Sum 0 = of.dns_refused, "Responses: REFUSED, the server would not.";
        dns_other Events Sum 0 = of.dns_other, "Responses with any other code.";
        dns_unanswered Events Sum 0 = of.dns_unanswered, "Queries that nobody answered, as far as nobody waits any more.";
    }
}

/// Times in cells that grow with what they hold.
pub mod times {
    use weft_pipelines::service::Histograms;
    use weft_pipelines::service::histogram::CELLS;

    use super::*;

    /// Values of a row.
    pub const LEN: usize = 4 + CELLS;
    /// Bytes of a row.
    pub const ROW: usize = ((LEN + 1) * 8).next_multiple_of(64);
    /// The fields, in the order of their values.
    pub const FIELDS: &[Spec] = &[
        WRITTEN,
        Spec {
            offset: 16,
            ..counter("samples", Unit::Events, Merge::Sum, 0, 0, "How many times there are.")
        },
        Spec { offset: 24, ..counter("sum", Unit::Nanoseconds, Merge::Sum, 0, 0, "Their sum.") },
        Spec { offset: 32, ..counter("longest", Unit::Nanoseconds, Merge::Max, 0, 0, "The longest.") },
        Spec {
            offset: 40,
            count: CELLS,
            ..counter(
                "cells",
                Unit::Events,
                Merge::Sum,
                0,
                0,
                "Times by cell. With q = c / 16 and r = c % 16, cell c is of r * 64 ns to (r + 1) * 64 ns if q is 0, else of \
                (16 + r) * 2^(q + 5) ns to (17 + r) * 2^(q + 5) ns; the last is of all beyond too.",
            )
        },
    ];

    /// A row's values.
    #[inline]
    pub fn values(now: Tick, histograms: &Histograms, index: usize) -> [u64; LEN] {
        let head = histograms.head(index);
        let mut values = [0; LEN];
        [values[0], values[1], values[2], values[3]] = [now.0, head.samples, head.sum, head.longest];
        values[4..].iter_mut().zip(histograms.cells(index)).for_each(|(value, cell)| *value = *cell);
        values
    }
}

/// Packets dropped at a port or of a tenant, a column for each reason.
pub mod drops {
    use super::*;

    /// Values of a row.
    pub const LEN: usize = Reason::COUNT + 1;
    /// The fields, in the order of their values. How many reasons there are, the file says; labels name them.
    pub const FIELDS: &[Spec] = &[
        WRITTEN,
        Spec {
            offset: 16,
            count: 0,
            ..counter(
                "packets",
                Unit::Packets,
                Merge::Sum,
                135,
                0,
                "Packets dropped, by reason: a label of kind reason.",
            )
        },
    ];

    /// A row's values.
    #[inline]
    pub fn values(now: Tick, drops: &weft_pipelines::counters::Drops) -> [u64; LEN] {
        let mut values = [now.0; LEN];
        for (value, reason) in values[1..].iter_mut().zip(Reason::ALL) {
            *value = drops.count(*reason);
        }
        values
    }
}

#[cfg(test)]
mod tests {
    use weft_pipelines::counters::Shaped;

    use super::*;

    #[test]
    fn values_stand_where_the_fields_say() {
        let mut counters = PortCounters::default();
        (counters.rx.packets, counters.to_fabric.dropped) = (7, 9);
        counters.to_guest = Shaped { longest: 5, ..Shaped::default() };
        counters.drops.add(Reason::NotHere, 3);
        let values = port::values(Tick(11), &counters);
        let value = |name| {
            let field = port::FIELDS.iter().find(|field| field.name == name).unwrap();
            values[field.offset / 8 - 1]
        };
        assert_eq!([value("written"), value("rx_packets"), value("drops")], [11, 7, 3]);
        assert_eq!([value("to_guest_longest"), value("to_fabric_dropped")], [5, 9]);
        let by_reason = drops::values(Tick(11), &counters.drops);
        assert_eq!(
            (by_reason[0], by_reason[1 + Reason::NotHere as usize], by_reason.iter().sum::<u64>()),
            (11, 3, 14)
        );
    }
}
