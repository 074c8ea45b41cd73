//! The names behind a record's numbers.

use std::collections::HashMap;
use std::net::IpAddr;

use weft_pipelines::Tick;

use crate::report::text::protocol_name;
use crate::report::{FlowDns, FlowEnd, FlowReport};
use crate::shm::record::{Flags, NOT_HERE, Record};
use crate::shm::{Labels, ReadError, Reader, What};

/// The names of one moment.
#[derive(Debug)]
pub struct Names {
    labels: Labels,
    /// By VNI and address: `tenant/endpoint`.
    endpoints: HashMap<(u32, IpAddr), String>,
    /// By VNI: tenant and segment.
    segments: HashMap<u32, (u32, String)>,
    rules: HashMap<u32, String>,
}

impl Names {
    /// Those that `reader` gives now.
    pub fn new(reader: &Reader) -> Result<Self, ReadError> {
        reader.labels().map(Self::of)
    }

    /// These.
    pub fn of(labels: Labels) -> Self {
        let endpoints = labels.iter_of(What::Endpoint).filter_map(|(vni, _, text)| {
            let (address, name) = text.split_once(' ')?;
            Some(((vni, address.parse().ok()?), name.to_owned()))
        });
        let segments =
            labels.iter_of(What::Segment).map(|(tenant, vni, name)| (vni, (tenant, name.to_owned())));
        let rules = labels.iter_of(What::Rule).map(|(_, slot, name)| (slot, name.to_owned()));
        Self { endpoints: endpoints.collect(), segments: segments.collect(), rules: rules.collect(), labels }
    }

    /// Takes up others, if there are.
    pub fn refresh(&mut self, reader: &Reader) -> Result<(), ReadError> {
        if reader.generation() != self.labels.generation {
            *self = Self::new(reader)?;
        }
        Ok(())
    }

    /// All of them.
    pub const fn labels(&self) -> &Labels {
        &self.labels
    }

    /// The endpoint of this address in segment `vni`: `tenant/endpoint`.
    pub fn endpoint(&self, vni: u32, address: IpAddr) -> Option<&str> {
        self.endpoints.get(&(vni, address)).map(String::as_str)
    }

    /// The rule, or default, that has this row.
    pub fn rule(&self, slot: u32) -> &str {
        self.rules.get(&slot).map_or("(removed)", String::as_str)
    }

    /// A record of `worker` with its names. `unix` makes nanoseconds of UNIX time of a tick.
    pub fn report(&self, worker: usize, record: &Record, unix: impl Fn(Tick) -> u64) -> FlowReport {
        let Record { vni, tenant, .. } = *record;
        let segment = self.segments.get(&vni).map(|(_, name)| name.clone());
        let tenant_name = self.labels.name(What::Tenant, tenant).map(str::to_owned);
        FlowReport {
            event: record.kind.name().to_owned(),
            end: record.end.name().to_owned(),
            flow: record.flow,
            number: record.number,
            written_unix_ns: unix(record.written),
            started_unix_ns: unix(record.started),
            last_unix_ns: unix(record.last),
            worker: worker as u32,
            tenant: tenant_name.unwrap_or_default(),
            segment: segment.unwrap_or_default(),
            vni,
            protocol: protocol_name(record.protocol),
            from: FlowEnd {
                packets: record.initiator_packets,
                bytes: record.initiator_bytes,
                tcp_flags: record.initiator_tcp_flags.0,
                connect_ns: known(record.initiator_connect),
                rtt_ns: known(record.initiator_rtt.into()),
                rtt_least_ns: known(record.initiator_rtt_least.into()),
                retransmitted: record.initiator_retransmitted.into(),
                zero_windows: record.initiator_zero_windows.into(),
                resets: record.initiator_resets.into(),
                ..self.end(
                    record,
                    record.initiator_ip(),
                    (record.initiator_l4, record.initiator_port),
                    record.initiator_class,
                )
            },
            to: FlowEnd {
                packets: record.responder_packets,
                bytes: record.responder_bytes,
                tcp_flags: record.responder_tcp_flags.0,
                connect_ns: known(record.responder_connect),
                rtt_ns: known(record.responder_rtt.into()),
                rtt_least_ns: known(record.responder_rtt_least.into()),
                retransmitted: record.responder_retransmitted.into(),
                zero_windows: record.responder_zero_windows.into(),
                resets: record.responder_resets.into(),
                ..self.end(
                    record,
                    record.responder_ip(),
                    (record.responder_l4, record.responder_port),
                    record.responder_class,
                )
            },
            state: record.state.name().to_owned(),
            ruling: record.ruling.name().to_owned(),
            rule: self.rule(record.rule).to_owned(),
            would_rule: self.rule(record.would_rule).to_owned(),
            epoch: record.epoch,
            picked_up: record.flags.has(Flags::PICKED_UP),
            connect: record.connect.name().to_owned(),
            first_response_ns: known(record.first_response),
            dns: (record.dns_queries > 0).then(|| FlowDns {
                queries: record.dns_queries.into(),
                answers: record.dns_answers.into(),
                rcode: (record.dns_answers > 0).then_some(record.dns_rcode),
            }),
        }
    }

    fn end(&self, record: &Record, address: IpAddr, (port, here): (u16, u32), class: u32) -> FlowEnd {
        let groups = self.labels.of(What::Class, record.tenant, class).unwrap_or_default();
        FlowEnd {
            address: address.to_string(),
            port,
            endpoint: self.endpoints.get(&(record.vni, address)).cloned(),
            here: here != NOT_HERE,
            groups: groups.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect(),
            ..FlowEnd::default()
        }
    }
}

/// What is not 0.
fn known(nanos: u64) -> Option<u64> {
    (nanos != 0).then_some(nanos)
}
