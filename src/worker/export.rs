//! What a worker writes into the statistics file: a record of each flow that it is told of, and its counters, a few rows at a
//! time.

use weft_pipelines::counters::Sizes;
use weft_pipelines::flow::{Connect, End, Event, FlowRecord};
use weft_pipelines::qos::Bucket;
use weft_pipelines::service::Histograms;
use weft_pipelines::{Counters, PortId, Tick, WorkerId};

use super::mail::Work;
use crate::shm::record::{self, Flags, Kind, NOT_HERE, Record, Ruling, TcpFlags};
use crate::shm::{WorkerStats, record::mapped};

/// Nanoseconds in which all counters are written once, if a worker goes round often enough.
const PASS: u64 = 100_000_000;
/// Nanoseconds after which it is looked for rows that are due.
const SOON: u64 = 10_000;
/// Rows written in one round, at most.
const MOST: u64 = 64;
/// Nanoseconds in which all times are looked at once.
const TIMES_PASS: u64 = 1_000_000_000;
/// Rows of times written in one round, at most: each is of half a thousand words.
const MOST_TIMES: usize = 2;
/// Records a second of what policy denies: whoever scans is not to push all other records out.
const DENIED: u64 = 10_000;

/// The writing side of one worker.
#[derive(Debug)]
pub struct Export {
    stats: WorkerStats,
    worker: WorkerId,
    /// When rows were written last.
    last: Tick,
    /// What may still be recorded of what policy denies.
    denied: Bucket,
    /// Records that were not written, of what policy denied.
    withheld: u64,
    /// How long bursts were in the switch: the first of one.
    latency: Histograms,
    /// When times were looked at last.
    last_times: Tick,
}

impl Export {
    /// What `worker` writes to `stats`.
    pub fn new(stats: WorkerStats, worker: WorkerId) -> Self {
        let denied = Bucket::new(DENIED, DENIED, Tick(0));
        let latency = Histograms::new(1);
        Self { stats, worker, last: Tick(0), denied, withheld: 0, latency, last_times: Tick(0) }
    }

    /// Goes on with other memory. Returns what it had before.
    pub fn replace(&mut self, stats: WorkerStats) -> WorkerStats {
        std::mem::replace(&mut self.stats, stats)
    }

    /// Records written, and withheld.
    pub const fn records(&self) -> (u64, u64) {
        (self.stats.written(), self.withheld)
    }

    /// Writes what is told of a flow.
    pub fn flow(&mut self, flow: &FlowRecord) {
        if flow.event == Event::Ended(End::Denied) {
            self.denied.refill(flow.at);
            if self.denied.units() == 0 {
                self.withheld += 1;
                return;
            }
            self.denied.take(1);
        }
        self.stats.record(&record_of(flow, self.worker));
    }

    /// Takes how long a burst was in the switch, in nanoseconds.
    pub fn latency(&mut self, nanos: u64) {
        self.latency.add(0, nanos);
    }

    /// Whether a row may be due.
    #[inline]
    pub const fn is_due(&self, now: Tick) -> bool {
        now.0.saturating_sub(self.last.0) >= SOON
    }

    /// Writes as many rows as are due.
    pub fn publish(&mut self, counters: [&Counters; 2], work: &Work, now: Tick) {
        let elapsed = now.0.saturating_sub(self.last.0).min(PASS);
        let due = elapsed * rows(&counters[0].sizes()) / PASS;
        if due > 0 {
            self.last = now;
            self.stats.publish(counters, work, now, due.min(MOST) as usize);
        }
        let service = &counters[0].service;
        let elapsed = now.0.saturating_sub(self.last_times.0).min(TIMES_PASS);
        // With the worker's own, and one to come round.
        let due = elapsed * (service.times().len() + service.len() + 2) as u64 / TIMES_PASS;
        if due > 0 {
            self.last_times = now;
            self.stats.publish_times((service, &self.latency), now, due.min(MOST) as usize, MOST_TIMES);
        }
    }

    /// Writes all rows.
    pub fn publish_all(&mut self, counters: [&Counters; 2], work: &Work, now: Tick) {
        self.stats.publish_all(counters, work, now);
        self.stats.publish_all_times(&counters[0].service, &self.latency, now);
    }
}

/// Rows that there are of so many of each.
const fn rows(sizes: &Sizes) -> u64 {
    (1 + 2 * sizes.ports + 2 * sizes.tenants + sizes.tunnels + sizes.rules) as u64
}

/// What is told of a flow, as others read it.
pub fn record_of(flow: &FlowRecord, worker: WorkerId) -> Record {
    let is_v6 = flow.initiator.0.is_ipv6();
    let end = match flow.event {
        Event::Ended(end) => end_of(end),
        Event::Started | Event::Active | Event::Decided => record::End::Open,
    };
    let here = |port: Option<PortId>| port.map_or(NOT_HERE, |port| u32::from(port.0));
    let would_deny = flow.flags.has(weft_pipelines::flow::Flags::WOULD_DENY);
    let mut flags = Flags::default();
    for (is_so, flag) in [
        (flow.ports[0].is_some(), Flags::INITIATOR_HERE),
        (flow.ports[1].is_some(), Flags::RESPONDER_HERE),
        (flow.flags.has(weft_pipelines::flow::Flags::PICKED_UP), Flags::PICKED_UP),
        (flow.flags.has(weft_pipelines::flow::Flags::LOG), Flags::LOG),
    ] {
        flags = if is_so { flags.with(flag) } else { flags };
    }
    let ([there, back], quality) = (flow.traffic, &flow.quality);
    let classes = flow.classes.unwrap_or([NOT_HERE; 2]);
    Record {
        flow: u64::from(worker.0) << 48 | u64::from(is_v6) << 47 | flow.serial,
        started: flow.started,
        last: flow.last,
        written: flow.at,
        initiator: mapped(flow.initiator.0),
        responder: mapped(flow.responder.0),
        initiator_packets: there.packets,
        initiator_bytes: there.bytes,
        responder_packets: back.packets,
        responder_bytes: back.bytes,
        number: flow.told,
        epoch: flow.epoch,
        tenant: flow.tenant.map_or(NOT_HERE, |tenant| u32::from(tenant.0)),
        vni: flow.vni.value(),
        initiator_port: here(flow.ports[0]),
        responder_port: here(flow.ports[1]),
        initiator_class: classes[0],
        responder_class: classes[1],
        rule: flow.rule,
        would_rule: flow.would_rule,
        initiator_l4: flow.initiator.1,
        responder_l4: flow.responder.1,
        kind: match flow.event {
            Event::Started => Kind::Start,
            Event::Active => Kind::Update,
            Event::Decided => Kind::Verdict,
            Event::Ended(_) => Kind::End,
        },
        end,
        family: if is_v6 { 6 } else { 4 },
        protocol: flow.protocol,
        ruling: match end {
            record::End::Denied | record::End::Revoked => Ruling::Denied,
            _ if would_deny => Ruling::WouldDeny,
            _ => Ruling::Allowed,
        },
        flags,
        initiator_tcp_flags: TcpFlags(flow.tcp_flags[0]),
        responder_tcp_flags: TcpFlags(flow.tcp_flags[1]),
        state: flow.state.into(),
        connect: match (flow.connect, end) {
            (_, record::End::Denied) => record::Connect::Denied,
            (Connect::Waiting, record::End::TimedOut | record::End::Evicted) => record::Connect::TimedOut,
            (Connect::Waiting, _) => record::Connect::Waiting,
            (Connect::Accepted, _) => record::Connect::Accepted,
            (Connect::Refused, _) => record::Connect::Refused,
            (Connect::Unseen, _) => record::Connect::Unseen,
        },
        initiator_resets: quality.resets[0],
        responder_resets: quality.resets[1],
        initiator_connect: flow.connected[0],
        responder_connect: flow.connected[1],
        first_response: flow.first_response,
        initiator_rtt: quality.round_trip[0],
        initiator_rtt_least: quality.shortest[0],
        responder_rtt: quality.round_trip[1],
        responder_rtt_least: quality.shortest[1],
        initiator_retransmitted: quality.retransmitted[0],
        responder_retransmitted: quality.retransmitted[1],
        initiator_zero_windows: quality.zero_windows[0],
        responder_zero_windows: quality.zero_windows[1],
        dns_queries: flow.dns.queries,
        dns_answers: flow.dns.answers,
        dns_rcode: flow.dns.code,
    }
}

const fn end_of(end: End) -> record::End {
    match end {
        End::Closed => record::End::Closed,
        End::Reset => record::End::Reset,
        End::TimedOut => record::End::TimedOut,
        End::Evicted => record::End::Evicted,
        End::Reused => record::End::Reused,
        End::Denied => record::End::Denied,
        End::Revoked => record::End::Revoked,
        End::Gone => record::End::PortGone,
        End::Stopped => record::End::Stopped,
    }
}
