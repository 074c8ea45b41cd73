//! Flows as they are read: what `weft show sessions --json` prints, or lines of JSON with a session each.

use std::net::IpAddr;

use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;
use weft_pipelines::wire::ipv4::protocol;

use crate::explain::Purpose;
use crate::report::SessionReport;

/// A flow that was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Its tenant.
    pub tenant: String,
    /// Its segment's VNI, if it is known.
    pub vni: Option<u32>,
    /// Who opened it.
    pub from: IpAddr,
    /// Who it was opened to.
    pub to: IpAddr,
    /// What for.
    pub purpose: Purpose,
    /// Packets of who opened it.
    pub packets: u64,
    /// Packets of the other.
    pub reply_packets: u64,
}

/// What a flow's record has to say, and may. It is a part of [`SessionReport`].
#[derive(Debug, Deserialize)]
struct Record {
    tenant: String,
    vni: Option<u32>,
    protocol: String,
    from: String,
    to: String,
    #[serde(default)]
    to_port: u32,
    #[serde(default)]
    packets: u64,
    #[serde(default)]
    reply_packets: u64,
}

/// Why flows can't be read.
#[derive(Debug, Error)]
pub enum Unreadable {
    /// The text is no JSON.
    #[error("not JSON: {0}")]
    NotJson(serde_json::Error),
    /// A record is no flow.
    #[error("flow {number}: {why}")]
    NotAFlow {
        /// Which, from 1.
        number: usize,
        /// What is wrong with it.
        why: String,
    },
}

/// The flows in `text`: lists of flows, objects with a list called `sessions`, or flows one after the other.
///
/// # Errors
///
/// When it is no JSON, or one of them is no flow.
pub fn read(text: &str) -> Result<Vec<Flow>, Unreadable> {
    let mut records = Vec::new();
    for value in serde_json::Deserializer::from_str(text).into_iter::<Value>() {
        match value.map_err(Unreadable::NotJson)? {
            Value::Array(list) => records.extend(list),
            Value::Object(mut object) => match object.remove("sessions") {
                Some(Value::Array(list)) => records.extend(list),
                Some(other) => records.push(other),
                None => records.push(Value::Object(object)),
            },
            other => records.push(other),
        }
    }
    let flow = |(number, record): (usize, Value)| {
        let flow = serde_json::from_value::<Record>(record).map_err(|error| error.to_string());
        flow.and_then(Flow::try_from).map_err(|why| Unreadable::NotAFlow { number, why })
    };
    (1..).zip(records).map(flow).collect()
}

impl TryFrom<Record> for Flow {
    type Error = String;

    fn try_from(record: Record) -> Result<Self, String> {
        let Record { tenant, vni, protocol, from, to, to_port, packets, reply_packets } = record;
        let address = |text: &str| text.parse().map_err(|_| format!("{text:?} is not an IP address"));
        let (from, to): (IpAddr, IpAddr) = (address(&from)?, address(&to)?);
        let port = u16::try_from(to_port).map_err(|_| format!("{to_port} is not a port"))?;
        let protocol = number(&protocol).ok_or_else(|| format!("{protocol:?} is not a protocol"))?;
        if from.is_ipv4() != to.is_ipv4() {
            return Err(format!("{from} and {to} are of two families"));
        }
        Ok(Self { tenant, vni, from, to, purpose: Purpose { protocol, port }, packets, reply_packets })
    }
}

/// A session as the switch tells of it.
impl TryFrom<&SessionReport> for Flow {
    type Error = String;

    fn try_from(session: &SessionReport) -> Result<Self, String> {
        Self::try_from(Record {
            tenant: session.tenant.clone(),
            vni: Some(session.vni),
            protocol: session.protocol.clone(),
            from: session.from.clone(),
            to: session.to.clone(),
            to_port: session.to_port,
            packets: session.packets,
            reply_packets: session.reply_packets,
        })
    }
}

/// A protocol's number by its name or its digits.
fn number(text: &str) -> Option<u8> {
    Some(match text {
        "tcp" => protocol::TCP,
        "udp" => protocol::UDP,
        "sctp" => protocol::SCTP,
        "icmp" => protocol::ICMP,
        "icmpv6" => protocol::ICMPV6,
        digits => digits.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOW: &str = r#"{"tenant":"blue","protocol":"tcp","from":"10.1.0.1","to":"10.1.0.2","to_port":80}"#;

    #[test]
    fn flows_stand_in_lines_in_lists_and_in_what_show_prints() {
        let report = SessionReport {
            tenant: "blue".into(),
            vni: 1001,
            protocol: "17".into(),
            from: "fd00::1".into(),
            from_port: 40_000,
            to: "fd00::2".into(),
            to_port: 53,
            packets: 2,
            reply_packets: 1,
            ..SessionReport::default()
        };
        let shown = crate::report::Sessions { total: 1, matched: 1, sessions: vec![report.clone()] };
        let shown = serde_json::to_string_pretty(&shown).unwrap();
        let flows = read(&format!("{FLOW}\n{FLOW}\n[{FLOW}, {FLOW}]\n{shown}")).unwrap();
        assert_eq!(flows.len(), 5);
        assert!(
            flows[..4].iter().all(|flow| flow.purpose == "tcp/80".parse().unwrap() && flow.vni.is_none())
        );
        assert_eq!((flows[4].purpose, flows[4].vni), ("udp/53".parse().unwrap(), Some(1001)));
        assert_eq!(Flow::try_from(&report).as_ref(), Ok(&flows[4]));
        assert_eq!(read("").unwrap(), []);
    }

    #[test]
    fn what_is_no_flow_is_told_with_its_number() {
        let said = |text: &str| read(text).unwrap_err().to_string();
        assert!(said("{").starts_with("not JSON: "), "{}", said("{"));
        assert!(said("3").starts_with("flow 1: "), "{}", said("3"));
        let (from, to) = (r#""from":"10.1.0.1""#, r#""to":"10.1.0.2""#);
        for (old, new, expected) in [
            (r#""tenant":"blue","#, "", "missing field `tenant`"),
            (from, r#""from":"web""#, "\"web\" is not an IP address"),
            (to, r#""to":"fd00::1""#, "10.1.0.1 and fd00::1 are of two families"),
            ("80", "65536", "65536 is not a port"),
            ("tcp", "http", "\"http\" is not a protocol"),
            ("tcp", "256", "\"256\" is not a protocol"),
        ] {
            let text = format!("{FLOW}\n{}", FLOW.replace(old, new));
            assert_eq!(said(&text), format!("flow 2: {expected}"));
        }
    }
}
