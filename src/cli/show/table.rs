//! The tables: plain columns, numbers to the right, no boxes.

mod flows;
mod qos;
mod service;

use std::collections::BTreeMap;
use std::fmt::Display;

use comfy_table::presets::NOTHING;
use comfy_table::{Cell, CellAlignment, Table};

use crate::report::text::{bytes, time};
use crate::report::{
    DropReport, EndpointReport, EndpointState, NeighborState, PollMode, PortKind, PortReport, RuleReport,
    SessionReport, Sessions, StageReport, TenantReport, Totals, TunnelReport, WorkerReport,
};

pub(in crate::cli) use flows::{flow_line, flows};
pub(in crate::cli) use qos::qos;
pub(in crate::cli) use service::{latency, services};

/// The ports, and below them the `totals` where they are of all ports.
pub(in crate::cli) fn ports(ports: &[PortReport], totals: Option<&Totals>) -> String {
    let columns = [
        left("PORT"),
        left("KIND"),
        left("LINK"),
        right("WORKER"),
        right("MTU"),
        right("RX"),
        right("RX-BYTES"),
        right("TX"),
        right("TX-BYTES"),
        right("DROPS"),
        left("MAC"),
        left("ATTACHED"),
    ];
    let mut table = Columns::new(columns);
    for port in ports {
        table.row([
            port.name.clone(),
            kind(port.kind).into(),
            (if port.link_up { "up" } else { "down" }).into(),
            port.worker.to_string(),
            port.mtu.to_string(),
            port.rx.to_string(),
            bytes(port.rx_bytes),
            port.tx.to_string(),
            bytes(port.tx_bytes),
            sum(&port.drops).to_string(),
            port.mac.clone(),
            port.attach.clone(),
        ]);
    }
    let mut text = table.or("no ports");
    if let Some(totals) = totals {
        text.push('\n');
        text.push_str(&balance(totals));
    }
    text
}

pub(super) fn tenants(tenants: &[TenantReport]) -> String {
    let columns = [
        left("TENANT"),
        right("ENDPOINTS-HERE"),
        right("RX"),
        right("RX-BYTES"),
        right("TX"),
        right("TX-BYTES"),
        right("TO-FABRIC"),
        right("FROM-FABRIC"),
        right("DROPS"),
    ];
    let mut table = Columns::new(columns);
    for tenant in tenants {
        table.row([
            tenant.name.clone(),
            tenant.endpoints_here.to_string(),
            tenant.rx.to_string(),
            bytes(tenant.rx_bytes),
            tenant.tx.to_string(),
            bytes(tenant.tx_bytes),
            tenant.to_fabric.to_string(),
            tenant.from_fabric.to_string(),
            sum(&tenant.drops).to_string(),
        ]);
    }
    table.or("no tenants")
}

pub(super) fn endpoints(endpoints: &[EndpointReport]) -> String {
    let columns = [
        left("ENDPOINT"),
        left("HOST"),
        left("STATE"),
        left("SEGMENT"),
        right("VNI"),
        left("MAC"),
        left("IP"),
        left("GROUPS"),
    ];
    let mut table = Columns::new(columns);
    for endpoint in endpoints {
        let state = match endpoint.state {
            EndpointState::Connected => "connected",
            EndpointState::Waiting => "waiting",
            EndpointState::Remote => "remote",
        };
        table.row([
            format!("{}/{}", endpoint.tenant, endpoint.name),
            endpoint.host.clone(),
            state.into(),
            endpoint.segment.clone(),
            endpoint.vni.to_string(),
            endpoint.mac.clone(),
            list(&endpoint.ips),
            list(&endpoint.groups),
        ]);
    }
    table.or("no endpoints")
}

pub(super) fn tunnels(tunnels: &[TunnelReport]) -> String {
    let columns = [
        left("PEER"),
        left("VTEP"),
        left("UPLINK"),
        left("NEXT-HOP"),
        left("NEIGHBOR"),
        left("MAC"),
        right("TX"),
        right("TX-BYTES"),
        right("RX"),
        right("RX-BYTES"),
        right("HELD"),
    ];
    let mut table = Columns::new(columns);
    for tunnel in tunnels {
        let neighbor = match tunnel.neighbor {
            NeighborState::Static => "static",
            NeighborState::Reachable => "reachable",
            NeighborState::Stale => "stale",
            NeighborState::Incomplete => "incomplete",
            NeighborState::Unresolved => "unresolved",
        };
        table.row([
            tunnel.peer.clone(),
            tunnel.vtep.clone(),
            tunnel.uplink.clone(),
            tunnel.next_hop.clone(),
            neighbor.into(),
            or_dash(tunnel.mac.as_ref()),
            tunnel.tx.to_string(),
            bytes(tunnel.tx_bytes),
            tunnel.rx.to_string(),
            bytes(tunnel.rx_bytes),
            tunnel.held.to_string(),
        ]);
    }
    table.or("no tunnels: no other host is known")
}

/// Puts the reasons with the most packets first.
pub fn most_first(drops: &mut [DropReport]) {
    drops.sort_by(|a, b| b.packets.cmp(&a.packets).then_with(|| a.reason.cmp(&b.reason)));
}

pub(in crate::cli) fn drops(drops: &[DropReport]) -> String {
    let mut table = Columns::new([left("REASON"), right("PACKETS"), left("PORTS"), left("MEANING")]);
    for drop in drops {
        table.row([
            drop.reason.clone(),
            drop.packets.to_string(),
            by_count(&drop.by_port),
            drop.help.clone(),
        ]);
    }
    table.or("no packet was dropped")
}

pub(super) fn stages(stages: &[StageReport]) -> String {
    let columns = [
        right("WORKER"),
        left("STAGE"),
        right("BURSTS"),
        right("PACKETS"),
        right("PACKETS/BURST"),
        right("CYCLES/PACKET"),
        right("SHARE"),
    ];
    let mut table = Columns::new(columns);
    for of in stages {
        let all: u64 = stages.iter().filter(|other| other.worker == of.worker).map(|of| of.cycles).sum();
        let by = |whole: u64, parts: u64| (parts > 0).then(|| format!("{:.1}", whole as f64 / parts as f64));
        table.row([
            of.worker.to_string(),
            of.stage.clone(),
            of.bursts.to_string(),
            of.packets.to_string(),
            or_dash(by(of.packets, of.bursts)),
            or_dash(by(of.cycles, of.packets)),
            share(of.cycles, all),
        ]);
    }
    table.or("nothing was counted")
}

pub(super) fn workers(workers: &[WorkerReport]) -> String {
    let columns = [
        right("WORKER"),
        right("CORE"),
        left("POLL"),
        right("PACKETS"),
        right("CYCLES/PACKET"),
        right("POLLS"),
        right("EMPTY"),
        right("SLEEPS"),
        right("HANDED-OVER"),
        right("RECEIVED-OVER"),
        right("EPOCH"),
        left("PORTS"),
    ];
    let mut table = Columns::new(columns);
    for worker in workers {
        let poll = match worker.poll {
            PollMode::Busy => "busy",
            PollMode::Adaptive => "adaptive",
        };
        let cost = (worker.packets > 0).then(|| format!("{:.1}", worker.busy_cycles_per_packet));
        table.row([
            worker.id.to_string(),
            or_dash(worker.core),
            poll.into(),
            worker.packets.to_string(),
            or_dash(cost),
            worker.polls.to_string(),
            share(worker.empty_polls, worker.polls),
            worker.sleeps.to_string(),
            worker.handed_over.to_string(),
            worker.received_over.to_string(),
            worker.epoch.to_string(),
            list(&worker.ports),
        ]);
    }
    table.or("no workers")
}

/// The rules, with what each decided.
pub fn rules(rules: &[RuleReport]) -> String {
    let mut table = Columns::new([
        left("TENANT"),
        right("PLACE"),
        left("RULE"),
        left("SAYS"),
        right("HITS"),
        right("DENIED"),
        right("WOULD DENY"),
        right("LAST HIT"),
    ]);
    for rule in rules {
        table.row([
            rule.tenant.clone(),
            or_dash(rule.place),
            rule.name.clone(),
            rule.rule.clone(),
            rule.hits.to_string(),
            rule.denied.to_string(),
            rule.would_deny.to_string(),
            or_dash(rule.last_hit_ns.map(|ns| format!("{} ago", time(ns)))),
        ]);
    }
    table.or("no rules")
}

/// Sessions: who opened them to whom.
pub fn sessions(sessions: &Sessions) -> String {
    let Sessions { total, matched, sessions } = sessions;
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
        right("AGE"),
        right("IDLE"),
        left("COUNTS FOR"),
    ]);
    for session in sessions {
        let rule = match session.would_deny {
            true => format!("{} ({} would deny)", session.rule, session.would_rule),
            false => session.rule.clone(),
        };
        table.row([
            session.tenant.clone(),
            session.protocol.clone(),
            end(session, &session.from, session.from_port),
            end(session, &session.to, session.to_port),
            session.state.clone(),
            rule,
            session.packets.to_string(),
            bytes(session.bytes),
            session.reply_packets.to_string(),
            bytes(session.reply_bytes),
            time(session.age_ns),
            time(session.idle_ns),
            session.endpoint.clone(),
        ]);
    }
    let shown = sessions.len() as u64;
    let mut text = table.or("no such sessions");
    text += &match (shown < *matched, matched < total) {
        (true, _) => {
            format!("{shown} of {matched} that are meant, of {total} sessions; --limit shows more\n")
        }
        (false, true) => format!("{matched} of {total} sessions\n"),
        (false, false) => format!("{total} sessions\n"),
    };
    text
}

/// An end of a session, with its port where the protocol has such.
fn end(session: &SessionReport, address: &str, port: u32) -> String {
    match session.protocol.as_str() {
        "tcp" | "udp" | "sctp" if address.contains(':') => format!("[{address}]:{port}"),
        "tcp" | "udp" | "sctp" => format!("{address}:{port}"),
        _ => address.to_owned(),
    }
}

/// The equation of [`Totals`], with its numbers.
fn balance(totals: &Totals) -> String {
    let Totals { rx, tx, drops, replicated, originated, consumed, held, conserved } = totals;
    let verdict = if *conserved { "every packet is accounted for" } else { "PACKETS ARE UNACCOUNTED FOR" };
    format!(
        "rx {rx} + replicated {replicated} + originated {originated} = \
         tx {tx} + drops {drops} + consumed {consumed} + held {held}: {verdict}\n"
    )
}

/// A table of `N` columns in the making.
struct Columns<const N: usize> {
    table: Table,
    alignments: [CellAlignment; N],
}

impl<const N: usize> Columns<N> {
    fn new(columns: [(&str, CellAlignment); N]) -> Self {
        let alignments = columns.map(|(_, alignment)| alignment);
        let mut table = Table::new();
        table.load_style(NOTHING);
        table.set_header(columns.map(|(name, alignment)| Cell::new(name).set_alignment(alignment)));
        Self { table, alignments }
    }

    fn row(&mut self, cells: [String; N]) {
        let cells = cells.into_iter().zip(self.alignments);
        self.table.add_row(cells.map(|(text, alignment)| Cell::new(text).set_alignment(alignment)));
    }

    /// The table, or what to say when it has no rows.
    fn or(mut self, nothing: &str) -> String {
        if self.table.is_empty() {
            return format!("{nothing}\n");
        }
        for (place, column) in self.table.column_iter_mut().enumerate() {
            column.set_padding((if place == 0 { 0 } else { 2 }, 0));
        }
        self.table.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
    }
}

fn left(name: &str) -> (&str, CellAlignment) {
    (name, CellAlignment::Left)
}

fn right(name: &str) -> (&str, CellAlignment) {
    (name, CellAlignment::Right)
}

fn kind(kind: PortKind) -> &'static str {
    match kind {
        PortKind::Guest => "guest",
        PortKind::Uplink => "uplink",
    }
}

fn sum(drops: &BTreeMap<String, u64>) -> u64 {
    drops.values().fold(0, |sum, n| sum.saturating_add(*n))
}

fn list(items: &[String]) -> String {
    if items.is_empty() { "-".into() } else { items.join(", ") }
}

fn or_dash(value: Option<impl Display>) -> String {
    value.map_or_else(|| "-".into(), |value| value.to_string())
}

/// Names with their counts, the highest first; those of zero are left out.
fn by_count(counts: &BTreeMap<String, u64>) -> String {
    let mut counts: Vec<_> = counts.iter().filter(|(_, n)| **n > 0).collect();
    counts.sort_by(|a, b| b.1.cmp(a.1));
    let texts: Vec<String> = counts.iter().map(|(name, n)| format!("{name} {n}")).collect();
    list(&texts)
}

/// `part` of `whole` in per cent.
fn share(part: u64, whole: u64) -> String {
    if whole == 0 { "-".into() } else { format!("{:.1}%", part as f64 * 100.0 / whole as f64) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_have_their_cost_by_packet_and_their_share() {
        let of = |stage: &str, packets, cycles| StageReport {
            stage: stage.into(),
            bursts: packets / 32,
            packets,
            cycles,
            ..StageReport::default()
        };
        let text = stages(&[of("parse", 6400, 96_000), of("send", 6400, 192_000), of("rest", 0, 96_000)]);
        let cells = |n: usize| text.lines().nth(n).unwrap().split_whitespace().collect::<Vec<_>>();
        assert_eq!(cells(1), ["0", "parse", "200", "6400", "32.0", "15.0", "25.0%"]);
        assert_eq!(cells(2), ["0", "send", "200", "6400", "32.0", "30.0", "50.0%"]);
        assert_eq!(cells(3), ["0", "rest", "0", "0", "-", "-", "25.0%"]);
    }

    #[test]
    fn sessions_are_shown_with_what_is_left_out() {
        let session = SessionReport {
            tenant: "blue".into(),
            protocol: "tcp".into(),
            from: "fd00::1".into(),
            from_port: 40_000,
            to: "fd00::2".into(),
            to_port: 5432,
            state: "established".into(),
            rule: "web-to-db".into(),
            would_rule: "no-db".into(),
            would_deny: true,
            ..SessionReport::default()
        };
        let mut all = Sessions { total: 9, matched: 1, sessions: vec![session] };
        let text = sessions(&all);
        assert!(text.contains("[fd00::1]:40000") && text.contains("web-to-db (no-db would deny)"), "{text}");
        assert!(text.ends_with("1 of 9 sessions\n"), "{text}");
        all.matched = 5;
        assert!(sessions(&all).ends_with("1 of 5 that are meant, of 9 sessions; --limit shows more\n"));
        assert_eq!(sessions(&Sessions::default()), "no such sessions\n0 sessions\n");
    }

    #[test]
    fn rules_are_shown_in_their_order() {
        let rule = |place, last_hit_ns| RuleReport { place, last_hit_ns, ..RuleReport::default() };
        let text = rules(&[rule(Some(1), Some(61_000_000_000)), rule(None, None)]);
        assert!(text.contains("1m01s ago") && text.lines().count() == 3, "{text}");
    }

    #[test]
    fn times_are_scaled() {
        let seconds = |s: u64| time(s * 1_000_000_000);
        assert_eq!(time(850_999_999), "850ms");
        assert_eq!([59, 200, 7500, 90_000].map(seconds), ["59s", "3m20s", "2h05m", "1d01h"]);
    }

    #[test]
    fn bytes_are_scaled() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(u64::MAX), "16.0 EiB");
    }

    #[test]
    fn lost_packets_are_hard_to_overlook() {
        let totals = Totals { rx: 1, ..Totals::default() }.settled();
        assert!(balance(&totals).ends_with("PACKETS ARE UNACCOUNTED FOR\n"));
    }
}
