//! Flows: as a table, and each record as a line.

use super::{Columns, bytes, left, right, time};
use crate::report::text::span;
use crate::report::{FlowEnd, FlowReport};

/// Flows at the moment `now`, in nanoseconds of UNIX time; of so many more records nothing is known.
pub(in crate::cli) fn flows(flows: &[FlowReport], lost: u64, now: u64, numeric: bool) -> String {
    let mut table = Columns::new([
        left("TENANT"),
        left("PROTOCOL"),
        left("FROM"),
        left("TO"),
        left("STATE"),
        left("RULE"),
        right("PACKETS"),
        right("BYTES"),
        right("BACK"),
        right("BYTES"),
        right("RTT"),
        right("AGAIN"),
        right("AGE"),
        right("IDLE"),
    ]);
    for flow in flows {
        table.row([
            flow.tenant.clone(),
            flow.protocol.clone(),
            end(flow, &flow.from, numeric),
            end(flow, &flow.to, numeric),
            state(flow).to_owned(),
            rule(flow),
            flow.from.packets.to_string(),
            bytes(flow.from.bytes),
            flow.to.packets.to_string(),
            bytes(flow.to.bytes),
            round_trip(flow),
            match flow.protocol.as_str() {
                "tcp" => (flow.from.retransmitted + flow.to.retransmitted).to_string(),
                _ => "-".to_owned(),
            },
            time(now.saturating_sub(flow.started_unix_ns)),
            time(now.saturating_sub(flow.last_unix_ns)),
        ]);
    }
    let mut text = table.or("no such flows");
    text += &match flows.len() {
        1 => "1 flow\n".to_owned(),
        count => format!("{count} flows\n"),
    };
    if lost > 0 {
        text += &format!(
            "{lost} records were overwritten before: of flows that have told nothing since nothing is known\n"
        );
    }
    text
}

/// A record as a line.
pub(in crate::cli) fn flow_line(flow: &FlowReport, numeric: bool) -> String {
    let [from, to] = [&flow.from, &flow.to].map(|of| end(flow, of, numeric));
    format!(
        "{} {:7} {} {} {from} -> {to} {}, {}: {} packets {}, back {} {}\n",
        clock(flow.written_unix_ns),
        flow.event,
        flow.tenant,
        flow.protocol,
        state(flow),
        rule(flow),
        flow.from.packets,
        bytes(flow.from.bytes),
        flow.to.packets,
        bytes(flow.to.bytes),
    )
}

/// The round trip from end to end, as far as both ways are known.
fn round_trip(flow: &FlowReport) -> String {
    match (flow.from.rtt_ns, flow.to.rtt_ns) {
        (Some(from), Some(to)) => span(from + to),
        (None, Some(one)) | (Some(one), None) => span(one),
        (None, None) => "-".to_owned(),
    }
}

/// The time of the day, in UTC.
fn clock(unix_ns: u64) -> String {
    let (seconds, micros) = (unix_ns / 1_000_000_000 % 86_400, unix_ns / 1_000 % 1_000_000);
    let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
    format!("{hours:02}:{minutes:02}:{:02}.{micros:06}Z", seconds % 60)
}

fn state(flow: &FlowReport) -> &str {
    if flow.end == "open" { &flow.state } else { &flow.end }
}

fn rule(flow: &FlowReport) -> String {
    match flow.ruling.as_str() {
        "would-deny" => format!("{} ({} would deny)", flow.rule, flow.would_rule),
        _ => flow.rule.clone(),
    }
}

/// An end by its name, without the tenant's, or by its address.
fn end(flow: &FlowReport, end: &FlowEnd, numeric: bool) -> String {
    let known = end.endpoint.as_deref().filter(|_| !numeric).and_then(|name| name.split('/').next_back());
    let has_ports = matches!(flow.protocol.as_str(), "tcp" | "udp" | "sctp");
    match known {
        Some(name) if has_ports => format!("{name}:{}", end.port),
        Some(name) => name.to_owned(),
        None if !has_ports => end.address.clone(),
        None if end.address.contains(':') => format!("[{}]:{}", end.address, end.port),
        None => format!("{}:{}", end.address, end.port),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow() -> FlowReport {
        let end = |address: &str, port, endpoint: Option<&str>| FlowEnd {
            address: address.into(),
            port,
            endpoint: endpoint.map(str::to_owned),
            rtt_ns: Some(250_000),
            retransmitted: 3,
            packets: 1_000,
            bytes: 1_500_000,
            ..FlowEnd::default()
        };
        FlowReport {
            event: "update".into(),
            end: "open".into(),
            tenant: "blue".into(),
            protocol: "tcp".into(),
            from: end("10.1.0.11", 40_000, Some("blue/web1")),
            to: end("2001:db8::7", 443, None),
            state: "established".into(),
            ruling: "would-deny".into(),
            rule: "web-out".into(),
            would_rule: "default".into(),
            written_unix_ns: 1_700_000_000_123_456_789,
            started_unix_ns: 1_700_000_000_000_000_000,
            last_unix_ns: 1_700_000_060_000_000_000,
            ..FlowReport::default()
        }
    }

    #[test]
    fn a_line_says_who_spoke_to_whom_and_what_became_of_it() {
        assert_eq!(
            flow_line(&flow(), false),
            "22:13:20.123456Z update  blue tcp web1:40000 -> [2001:db8::7]:443 established, web-out (default would deny): \
             1000 packets 1.4 MiB, back 1000 1.4 MiB\n"
        );
        let ended = FlowReport { end: "reset".into(), protocol: "icmp".into(), ..flow() };
        assert!(flow_line(&ended, true).contains("icmp 10.1.0.11 -> 2001:db8::7 reset,"));
    }

    #[test]
    fn a_table_says_what_is_not_known() {
        let text = flows(&[flow()], 7, 1_700_000_090_000_000_000, false);
        insta::assert_snapshot!(text);
        assert!(flows(&[], 0, 0, false).starts_with("no such flows"));
    }
}
