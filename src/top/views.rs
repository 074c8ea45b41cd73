//! The views: which columns each has, and what stands in them.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;

use super::flows::Flow;
use super::sample::{Sample, Service, Traffic};
use super::text;
use crate::report::ServiceReport;
use crate::report::text::{bytes, protocol_name, quantiles, time};
use crate::shm::What;
use crate::shm::record::{End, Ruling};

/// A view: a table of something.
#[derive(Debug)]
pub struct View {
    /// Its name on the tab.
    pub name: &'static str,
    /// What is said when it has no rows.
    pub nothing: &'static str,
    /// Its columns; the first ones are the last that go when there is little room.
    pub columns: &'static [Column],
    /// The column that it is sorted by at first.
    pub sort: usize,
    /// How many rows there are.
    pub rows: fn(&Sample) -> usize,
    /// What stands in a row and column.
    pub cell: for<'a> fn(Shown<'a>, usize, usize) -> Cell<'a>,
    /// A number that stands for what the row is of, from one look to the next.
    pub key: fn(&Sample, usize) -> u64,
}

/// What is shown, and how.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// The switch.
    pub sample: &'a Sample,
    /// Addresses in place of names.
    pub numeric: bool,
}

/// A column.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its heading.
    pub name: &'static str,
    /// What it holds, which decides how it stands and is sorted: names ascend, numbers descend.
    pub is_number: bool,
}

/// What stands in a cell.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell<'a> {
    /// A name.
    Text(Cow<'a, str>),
    /// A number in full.
    Count(u64),
    /// Something a second.
    Rate(f64),
    /// A part of one.
    Share(Option<f64>),
    /// A number that may not be there.
    Number(Option<f64>),
    /// A time in nanoseconds.
    Time(Option<u64>),
    /// Bytes.
    Bytes(u64),
    /// How times are spread, in nanoseconds: p50, p95, p99.
    Times(Option<[u64; 3]>),
}

impl Cell<'_> {
    /// As it is shown, without what would disturb a terminal.
    pub fn text(&self) -> String {
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        match self {
            Self::Text(text) if text.is_empty() => "-".to_owned(),
            Self::Text(text) => text.chars().map(|of| if of.is_control() { '?' } else { of }).collect(),
            Self::Count(count) => count.to_string(),
            Self::Rate(rate) => text::rate(*rate),
            Self::Share(share) => or_dash(share.map(text::share)),
            Self::Number(number) => or_dash(number.map(text::rate)),
            Self::Time(ns) => or_dash(ns.map(time)),
            Self::Bytes(count) => bytes(*count),
            Self::Times(times) => quantiles(*times),
        }
    }

    /// The order in which cells of a column ascend; what is not there is the least.
    pub fn order(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Text(one), Self::Text(other)) => one.cmp(other),
            (Self::Count(one), Self::Count(other)) | (Self::Bytes(one), Self::Bytes(other)) => one.cmp(other),
            (Self::Time(one), Self::Time(other)) => one.cmp(other),
            (Self::Times(one), Self::Times(other)) => one.cmp(other),
            _ => self.number().total_cmp(&other.number()),
        }
    }

    const fn number(&self) -> f64 {
        match self {
            Self::Rate(number) | Self::Share(Some(number)) | Self::Number(Some(number)) => *number,
            _ => -1.0,
        }
    }
}

/// The views, in the order of the tabs.
pub static VIEWS: [View; 8] = [
    View {
        name: "Tenants",
        nothing: "no tenants",
        columns: &TENANTS,
        sort: 2,
        rows: |sample| sample.tenants.len(),
        cell: tenant,
        key: |sample, row| hash(sample.tenants.get(row).map(|tenant| &tenant.name)),
    },
    View {
        name: "Endpoints",
        nothing: "no ports",
        columns: &PORTS,
        sort: 1,
        rows: |sample| sample.ports.len(),
        cell: port,
        key: |sample, row| hash(sample.ports.get(row).map(|port| &port.name)),
    },
    View {
        name: "Flows",
        nothing: "no flows",
        columns: &FLOWS,
        sort: 4,
        rows: |sample| sample.flows.all().len(),
        cell: flow,
        key: |sample, row| hash(sample.flows.all().get(row).map(Flow::identity)),
    },
    View {
        name: "Drops",
        nothing: "no packet was dropped",
        columns: &DROPS,
        sort: 1,
        rows: |sample| sample.drops.len(),
        cell: dropped,
        key: |sample, row| hash(sample.drops.get(row).map(|drop| &drop.reason)),
    },
    View {
        name: "Workers",
        nothing: "no workers",
        columns: &WORKERS,
        sort: 0,
        rows: |sample| sample.workers.len(),
        cell: worker,
        key: |sample, row| hash(sample.workers.get(row).map(|worker| worker.id)),
    },
    View {
        name: "Rules",
        nothing: "no rules",
        columns: &RULES,
        sort: 2,
        rows: |sample| sample.rules.len(),
        cell: rule,
        key: |sample, row| hash(sample.rules.get(row).map(|rule| (&rule.tenant, &rule.name))),
    },
    View {
        name: "Services",
        nothing: "no connection has been seen",
        columns: &SERVICES,
        sort: 3,
        rows: |sample| sample.services.len(),
        cell: service,
        key: |sample, row| hash(sample.services.get(row).map(pair)),
    },
    View {
        name: "DNS",
        nothing: "no DNS query has been seen",
        columns: &QUERIES,
        sort: 3,
        rows: |sample| sample.queries.len(),
        cell: query,
        key: |sample, row| hash(sample.queries.get(row).map(pair)),
    },
];

const fn name(name: &'static str) -> Column {
    Column { name, is_number: false }
}

const fn number(name: &'static str) -> Column {
    Column { name, is_number: true }
}

const TENANTS: [Column; 13] = [
    name("TENANT"),
    number("PORTS"),
    number("RX-BIT/S"),
    number("TX-BIT/S"),
    number("RX-PKT/S"),
    number("TX-PKT/S"),
    number("DROP/S"),
    number("HELD-BACK"),
    number("WAITED/S"),
    number("MARKED/S"),
    number("TO-FABRIC"),
    number("FROM-FABRIC"),
    number("DROPS"),
];

fn tenant(shown: Shown<'_>, row: usize, column: usize) -> Cell<'_> {
    let Some(tenant) = shown.sample.tenants.get(row) else { return NONE };
    match column {
        0 => of(&tenant.name),
        1 => Cell::Count(tenant.ports),
        10 => Cell::Rate(tenant.to_fabric),
        11 => Cell::Rate(tenant.from_fabric),
        12 => Cell::Count(tenant.traffic.dropped),
        _ => traffic(&tenant.traffic, column - 2),
    }
}

const PORTS: [Column; 10] = [
    name("ENDPOINT"),
    number("RX-BIT/S"),
    number("TX-BIT/S"),
    number("RX-PKT/S"),
    number("TX-PKT/S"),
    number("DROP/S"),
    number("HELD-BACK"),
    number("WAITED/S"),
    number("MARKED/S"),
    number("DROPS"),
];

fn port(shown: Shown<'_>, row: usize, column: usize) -> Cell<'_> {
    let Some(port) = shown.sample.ports.get(row) else { return NONE };
    match column {
        0 => of(&port.name),
        9 => Cell::Count(port.traffic.dropped),
        _ => traffic(&port.traffic, column - 1),
    }
}

/// The columns that tenants and ports have in common.
const fn traffic(traffic: &Traffic, column: usize) -> Cell<'static> {
    match column {
        0 => Cell::Rate(traffic.rx_bits),
        1 => Cell::Rate(traffic.tx_bits),
        2 => Cell::Rate(traffic.rx_packets),
        3 => Cell::Rate(traffic.tx_packets),
        4 => Cell::Rate(traffic.drops),
        5 => Cell::Share(Some(traffic.held_back)),
        6 => Cell::Rate(traffic.waited),
        _ => Cell::Rate(traffic.marked),
    }
}

const FLOWS: [Column; 11] = [
    name("TENANT"),
    name("PROTO"),
    name("FROM"),
    name("TO"),
    number("BIT/S"),
    number("PKT/S"),
    name("STATE"),
    name("RULE"),
    number("BYTES"),
    number("AGE"),
    number("IDLE"),
];

fn flow(shown: Shown<'_>, row: usize, column: usize) -> Cell<'_> {
    let Sample { flows, names, head, .. } = shown.sample;
    let Some(flow) = flows.all().get(row) else { return NONE };
    let record = &flow.record;
    let since = |then: weft_pipelines::Tick| Cell::Time(Some(head.now.saturating_sub(then.0)));
    match column {
        0 => of(names.labels().name(What::Tenant, record.tenant).unwrap_or_default()),
        1 => Cell::Text(protocol_name(record.protocol).into()),
        2 => Cell::Text(end(shown, flow, record.initiator_ip(), record.initiator_l4).into()),
        3 => Cell::Text(end(shown, flow, record.responder_ip(), record.responder_l4).into()),
        4 => Cell::Rate(flow.rates(head.now).0),
        5 => Cell::Rate(flow.rates(head.now).1),
        6 => of(if record.end == End::Open { record.state.name() } else { record.end.name() }),
        7 if record.ruling == Ruling::WouldDeny => {
            let (rule, would) = (names.rule(record.rule), names.rule(record.would_rule));
            Cell::Text(format!("{rule} ({would} would deny)").into())
        }
        7 => of(names.rule(record.rule)),
        8 => Cell::Bytes(flow.totals().0),
        9 => since(record.started),
        _ => since(record.last),
    }
}

/// An end by its name, without the tenant's, or by its address.
fn end(shown: Shown<'_>, flow: &Flow, address: IpAddr, port: u16) -> String {
    const WITH_PORTS: [u8; 3] = [6, 17, 132];
    let name = shown.sample.names.endpoint(flow.record.vni, address).filter(|_| !shown.numeric);
    let name = name.and_then(|name| name.split('/').next_back());
    let has_ports = WITH_PORTS.contains(&flow.record.protocol);
    match (name, address) {
        (Some(name), _) if has_ports => format!("{name}:{port}"),
        (Some(name), _) => name.to_owned(),
        (None, IpAddr::V6(address)) if has_ports => format!("[{address}]:{port}"),
        (None, address) if has_ports => format!("{address}:{port}"),
        (None, address) => address.to_string(),
    }
}

const DROPS: [Column; 4] = [name("REASON"), number("PKT/S"), number("PACKETS"), name("PORTS")];

fn dropped(shown: Shown<'_>, row: usize, column: usize) -> Cell<'_> {
    let Some(drop) = shown.sample.drops.get(row) else { return NONE };
    match column {
        0 => of(&drop.reason),
        1 => Cell::Rate(drop.rate),
        2 => Cell::Count(drop.total),
        _ => of(&drop.ports),
    }
}

const WORKERS: [Column; 10] = [
    number("WORKER"),
    number("LOAD"),
    number("PKT/S"),
    number("CYCLES/PKT"),
    number("POLLS/S"),
    number("EMPTY"),
    number("HANDED-OVER/S"),
    number("RECEIVED-OVER/S"),
    number("SLEEPS/S"),
    number("WAITING"),
];

fn worker(shown: Shown<'_>, row: usize, column: usize) -> Cell<'_> {
    let Some(worker) = shown.sample.workers.get(row) else { return NONE };
    match column {
        0 => Cell::Count(worker.id),
        1 => Cell::Share(Some(worker.load)),
        2 => Cell::Rate(worker.packets),
        3 => Cell::Number(worker.cost),
        4 => Cell::Rate(worker.polls),
        5 => Cell::Share(worker.empty),
        6 => Cell::Rate(worker.handed_over),
        7 => Cell::Rate(worker.received_over),
        8 => Cell::Rate(worker.sleeps),
        _ => Cell::Count(worker.waiting),
    }
}

const RULES: [Column; 8] = [
    name("TENANT"),
    name("RULE"),
    number("HIT/S"),
    number("DENIED/S"),
    number("WOULD-DENY/S"),
    number("HITS"),
    number("DENIED"),
    number("LAST-HIT"),
];

fn rule(shown: Shown<'_>, row: usize, column: usize) -> Cell<'_> {
    let Some(rule) = shown.sample.rules.get(row) else { return NONE };
    match column {
        0 => of(&rule.tenant),
        1 => of(&rule.name),
        2 => Cell::Rate(rule.hits),
        3 => Cell::Rate(rule.denied),
        4 => Cell::Rate(rule.would_deny),
        5 => Cell::Count(rule.hit),
        6 => Cell::Count(rule.denied_total),
        _ => Cell::Time(rule.last_hit),
    }
}

const SERVICES: [Column; 13] = [
    name("TENANT"),
    name("CLIENT"),
    name("SERVER"),
    number("CONN/S"),
    number("OK"),
    number("REFUSED"),
    number("TIMED-OUT"),
    number("DENIED"),
    number("RESET"),
    number("CONNECT"),
    number("RTT-CLIENT"),
    number("RTT-SERVER"),
    number("RESPONSE"),
];

fn service(shown: Shown<'_>, row: usize, column: usize) -> Cell<'_> {
    let Some(Service { report, rate }) = shown.sample.services.get(row) else { return NONE };
    let made = &report.connections;
    match column {
        0 => of(&report.tenant),
        1 => of(&report.client),
        2 => of(&report.server),
        3 => Cell::Rate(*rate),
        4 => Cell::Count(made.ok),
        5 => Cell::Count(made.refused),
        6 => Cell::Count(made.timed_out),
        7 => Cell::Count(made.denied),
        8 => Cell::Count(made.reset),
        9 => Cell::Times(report.connect.quantiles()),
        10 => Cell::Times(report.client_rtt.quantiles()),
        11 => Cell::Times(report.server_rtt.quantiles()),
        _ => Cell::Times(report.response.quantiles()),
    }
}

const QUERIES: [Column; 10] = [
    name("TENANT"),
    name("CLIENT"),
    name("SERVER"),
    number("QUERY/S"),
    number("QUERIES"),
    number("OK"),
    number("NXDOMAIN"),
    number("FAILED"),
    number("UNANSWERED"),
    number("TIME"),
];

fn query(shown: Shown<'_>, row: usize, column: usize) -> Cell<'_> {
    let Some(Service { report, rate }) = shown.sample.queries.get(row) else { return NONE };
    let dns = &report.dns;
    match column {
        0 => of(&report.tenant),
        1 => of(&report.client),
        2 => of(&report.server),
        3 => Cell::Rate(*rate),
        4 => Cell::Count(dns.queries),
        5 => Cell::Count(dns.noerror),
        6 => Cell::Count(dns.nxdomain),
        7 => Cell::Count(dns.failed()),
        8 => Cell::Count(dns.unanswered),
        _ => Cell::Times(dns.time.quantiles()),
    }
}

/// What tells one pair of groups from another.
fn pair(service: &Service) -> [&str; 3] {
    let ServiceReport { tenant, client, server, .. } = &service.report;
    [tenant, client, server]
}

const NONE: Cell<'static> = Cell::Text(Cow::Borrowed(""));

const fn of(text: &str) -> Cell<'_> {
    Cell::Text(Cow::Borrowed(text))
}

fn hash(of: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}
