//! Between the report and the API's messages, both ways.
//!
//! Structs are taken apart without `..`, so that a field added on one side does not compile until the other
//! has it.

use thiserror::Error;

use super::v1;
use crate::report::{
    ClassReport, DropReport, EndpointReport, EndpointState, MeterReport, NeighborState, PollMode, PortKind,
    PortReport, QosLimits, QosReport, QueueReport, Report, StageReport, TenantReport, Totals, TunnelReport,
    WorkerReport,
};

/// What in an answer is not understood.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Malformed {
    /// A message that every answer must have is missing.
    #[error("it has no {0}")]
    Missing(&'static str),
    /// A value of an enumeration that this version does not know.
    #[error("{value} is no known {what}")]
    Unknown {
        /// The enumeration.
        what: &'static str,
        /// Its number.
        value: i32,
    },
}

impl From<Report> for v1::ReportResponse {
    fn from(report: Report) -> Self {
        let Report {
            fabric,
            host,
            version,
            uptime_ns,
            ports,
            tenants,
            qos,
            endpoints,
            tunnels,
            drops,
            workers,
            totals,
        } = report;
        Self {
            fabric,
            host,
            version,
            uptime_ns,
            ports: all(ports),
            tenants: all(tenants),
            qos: all(qos),
            endpoints: all(endpoints),
            tunnels: all(tunnels),
            drops: all(drops),
            workers: all(workers),
            totals: Some(totals.into()),
        }
    }
}

impl TryFrom<v1::ReportResponse> for Report {
    type Error = Malformed;

    fn try_from(response: v1::ReportResponse) -> Result<Self, Malformed> {
        let v1::ReportResponse {
            fabric,
            host,
            version,
            uptime_ns,
            ports,
            tenants,
            qos,
            endpoints,
            tunnels,
            drops,
            workers,
            totals,
        } = response;
        Ok(Self {
            fabric,
            host,
            version,
            uptime_ns,
            ports: try_all(ports)?,
            tenants: all(tenants),
            qos: try_all(qos)?,
            endpoints: try_all(endpoints)?,
            tunnels: try_all(tunnels)?,
            drops: all(drops),
            workers: try_all(workers)?,
            totals: totals.ok_or(Malformed::Missing("totals"))?.into(),
        })
    }
}

fn all<A, B: From<A>>(items: Vec<A>) -> Vec<B> {
    items.into_iter().map(B::from).collect()
}

fn try_all<A, B: TryFrom<A>>(items: Vec<A>) -> Result<Vec<B>, B::Error> {
    items.into_iter().map(B::try_from).collect()
}

/// Two structs with the same fields, each made from the other.
macro_rules! same_fields {
    ($ours:ident, $theirs:ident, $($field:ident),+) => {
        impl From<$ours> for v1::$theirs {
            fn from($ours { $($field),+ }: $ours) -> Self {
                Self { $($field),+ }
            }
        }

        impl From<v1::$theirs> for $ours {
            fn from(v1::$theirs { $($field),+ }: v1::$theirs) -> Self {
                Self { $($field),+ }
            }
        }
    };
}

/// Two structs with the same fields, one of which is an enumeration that a message holds as a number.
macro_rules! same_fields_and_enum {
    ($ours:ident, $theirs:ident, $kind:ident: $enumeration:ident, $($field:ident),+) => {
        impl From<$ours> for v1::$theirs {
            fn from($ours { $kind, $($field),+ }: $ours) -> Self {
                Self { $kind: v1::$enumeration::from($kind).into(), $($field),+ }
            }
        }

        impl TryFrom<v1::$theirs> for $ours {
            type Error = Malformed;

            fn try_from(v1::$theirs { $kind, $($field),+ }: v1::$theirs) -> Result<Self, Malformed> {
                Ok(Self { $kind: $enumeration::try_from(Number($kind))?, $($field),+ })
            }
        }
    };
}

/// An enumeration's number in a message.
struct Number(i32);

/// Two enumerations with the same variants; theirs has `Unspecified` besides.
macro_rules! same_variants {
    ($name:ident, $what:literal, $($variant:ident),+) => {
        impl From<$name> for v1::$name {
            fn from(value: $name) -> Self {
                match value { $($name::$variant => Self::$variant),+ }
            }
        }

        impl TryFrom<Number> for $name {
            type Error = Malformed;

            fn try_from(Number(value): Number) -> Result<Self, Malformed> {
                match v1::$name::try_from(value) {
                    $(Ok(v1::$name::$variant) => Ok(Self::$variant),)+
                    Ok(v1::$name::Unspecified) | Err(_) => Err(Malformed::Unknown { what: $what, value }),
                }
            }
        }
    };
}

mod capture;
mod change;
mod trace;

impl From<QosReport> for v1::Qos {
    fn from(QosReport { name, limits, classes, sent, to_guest, to_fabric }: QosReport) -> Self {
        Self {
            name,
            limits: Some(limits.into()),
            classes: all(classes),
            sent: Some(sent.into()),
            to_guest: Some(to_guest.into()),
            to_fabric: Some(to_fabric.into()),
        }
    }
}

impl TryFrom<v1::Qos> for QosReport {
    type Error = Malformed;

    fn try_from(qos: v1::Qos) -> Result<Self, Malformed> {
        let v1::Qos { name, limits, classes, sent, to_guest, to_fabric } = qos;
        Ok(Self {
            name,
            limits: limits.ok_or(Malformed::Missing("limits"))?.into(),
            classes: all(classes),
            sent: sent.ok_or(Malformed::Missing("meter"))?.into(),
            to_guest: to_guest.ok_or(Malformed::Missing("queue to the guest"))?.into(),
            to_fabric: to_fabric.ok_or(Malformed::Missing("queue to the fabric"))?.into(),
        })
    }
}

same_fields_and_enum!(
    PortReport, Port, kind: PortKind,
    name, attach, worker, mac, mtu, link_up, rx, rx_bytes, tx, tx_bytes, drops
);
same_fields!(
    TenantReport,
    Tenant,
    name,
    endpoints_here,
    rx,
    rx_bytes,
    tx,
    tx_bytes,
    to_fabric,
    from_fabric,
    drops
);
same_fields_and_enum!(
    EndpointReport, Endpoint, state: EndpointState,
    tenant, name, host, local, segment, vni, mac, ips, groups
);
same_fields_and_enum!(
    TunnelReport, Tunnel, neighbor: NeighborState,
    peer, vtep, uplink, next_hop, mac, tx, tx_bytes, rx, rx_bytes, held
);
same_fields!(
    QosLimits,
    QosLimits,
    rate_bits_per_s,
    ceil_bits_per_s,
    burst_bytes,
    packets_per_s,
    burst_packets,
    weight
);
same_fields!(ClassReport, TrafficClass, name, strict, weight);
same_fields!(
    MeterReport,
    Meter,
    passed_packets,
    passed_bytes,
    beyond_rate_packets,
    held_back_ns,
    cycles,
    worker_busy_cycles
);
same_fields!(
    QueueReport,
    Queue,
    passed_packets,
    passed_bytes,
    waited_packets,
    waited_ns,
    longest_wait_ns,
    marked_packets,
    dropped_packets
);
same_fields!(StageReport, Stage, worker, stage, bursts, packets, cycles);
same_fields!(DropReport, Drop, reason, packets, help, by_port);
same_fields_and_enum!(
    WorkerReport, Worker, poll: PollMode,
    id, core, ports, packets, polls, empty_polls, busy_cycles, busy_cycles_per_packet,
    handed_over, received_over, sleeps, epoch
);
same_fields!(Totals, Totals, rx, tx, drops, replicated, originated, consumed, held, conserved);

same_variants!(PortKind, "kind of port", Guest, Uplink);
same_variants!(EndpointState, "state of an endpoint", Connected, Waiting, Remote);
same_variants!(NeighborState, "state of a neighbor", Static, Reachable, Stale, Incomplete, Unresolved);
same_variants!(PollMode, "mode of polling", Busy, Adaptive);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message;

    use super::*;
    use crate::report::samples;

    proptest! {
        #[test]
        fn a_report_survives_the_wire(report in samples::any_report()) {
            let bytes = v1::ReportResponse::from(report.clone()).encode_to_vec();
            let response = v1::ReportResponse::decode(bytes.as_slice()).unwrap();
            prop_assert_eq!(Report::try_from(response).unwrap(), report);
        }

        #[test]
        fn no_bytes_break_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
            if let Ok(response) = v1::ReportResponse::decode(bytes.as_slice()) {
                let _ = Report::try_from(response);
            }
        }
    }

    #[test]
    fn what_is_missing_or_unknown_is_said() {
        let empty = v1::ReportResponse::default();
        assert_eq!(Report::try_from(empty), Err(Malformed::Missing("totals")));
        let mut response = v1::ReportResponse::from(samples::report());
        response.ports[0].kind = 77;
        let error = Report::try_from(response).unwrap_err();
        assert_eq!(error, Malformed::Unknown { what: "kind of port", value: 77 });
        assert_eq!(error.to_string(), "77 is no known kind of port");
    }
}
