//! What is told of flows.

use serde::{Deserialize, Serialize};

/// A record of a flow. Whatever is counted is counted since it began.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowReport {
    /// Why it was written: `start`, `update` (each 9 s with traffic, and when TCP has ended), `verdict` (policy decides by
    /// another rule), `end`.
    pub event: String,
    /// Why it ended: `closed`, `reset`, `timed-out`, `evicted`, `reused`, `denied`, `revoked`, `port-gone`, `stopped`;
    /// `open` if it has not.
    pub end: String,
    /// Its number, unique as long as the switch runs.
    pub flow: u64,
    /// The record's number among those of its flow, from 0.
    pub number: u32,
    /// When it was written, in nanoseconds of UNIX time.
    pub written_unix_ns: u64,
    /// When the flow's first packet came.
    pub started_unix_ns: u64,
    /// When its last packet came.
    pub last_unix_ns: u64,
    /// The worker that wrote it.
    pub worker: u32,
    /// Whose it is.
    pub tenant: String,
    /// Its segment.
    pub segment: String,
    /// The segment's VXLAN network identifier, 24 bits.
    pub vni: u32,
    /// The protocol's name, or its number.
    pub protocol: String,
    /// Who sent the first packet.
    pub from: FlowEnd,
    /// To whom.
    pub to: FlowEnd,
    /// The state of its session.
    pub state: String,
    /// What policy makes of it: `allowed`, `denied`, `would-deny` (were it not only audited).
    pub ruling: String,
    /// The rule that decided; `default`.
    pub rule: String,
    /// The rule that would, if those under audit counted.
    pub would_rule: String,
    /// The configuration that decided.
    pub epoch: u32,
    /// TCP that was first seen in mid-stream: what came before is not counted.
    pub picked_up: bool,
    /// What came of the attempt to connect: `waiting`, `accepted`, `refused`, `timed-out`, `denied`; `unseen` where there is no such.
    pub connect: String,
    /// From the initiator's first data to the responder's first.
    pub first_response_ns: Option<u64>,
    /// What a DNS server was asked and said, of a flow over UDP to port 53.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns: Option<FlowDns>,
}

/// DNS in a flow.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowDns {
    /// Queries; one that was asked again is one.
    pub queries: u64,
    /// Responses to them.
    pub answers: u64,
    /// The code of the last response (RFC 1035, section 4.1.1), if there was one.
    pub rcode: Option<u8>,
}

/// An end of a flow.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowEnd {
    /// Its IP address.
    pub address: String,
    /// Its port; of an ICMP query's sender the identifier, of the other end type (times 256) and code.
    pub port: u16,
    /// `tenant/endpoint`, if it is one of the fabric.
    pub endpoint: Option<String>,
    /// Whether that is on this host.
    pub here: bool,
    /// The groups that it is in.
    pub groups: Vec<String>,
    /// Packets that it sent.
    pub packets: u64,
    /// Bytes that it sent, of whole frames.
    pub bytes: u64,
    /// The flags of TCP that it sent, all together.
    pub tcp_flags: u8,
    /// Its part of the time to connect: the way from here to it and back, and its own time.
    pub connect_ns: Option<u64>,
    /// The round trip between here and it, smoothed.
    pub rtt_ns: Option<u64>,
    /// The shortest one.
    pub rtt_least_ns: Option<u64>,
    /// TCP segments that it sent again.
    pub retransmitted: u64,
    /// Times that its window closed.
    pub zero_windows: u64,
    /// TCP resets that it sent.
    pub resets: u64,
}
