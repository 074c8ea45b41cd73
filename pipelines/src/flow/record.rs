//! What is told of a flow: all that is known of it at one moment.

use core::net::IpAddr;

use super::dns::Dns;
use super::notes::{Connect, Event};
use super::session::Flags;
use super::state::State;
use super::tcp::Quality;
use crate::counters::Traffic;
use crate::ids::{PortId, TenantId, Tick};
use crate::wire::Vni;

/// What is known of a flow. Whatever is counted is counted since it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowRecord {
    /// Why it is told of.
    pub event: Event,
    /// Its number among those of its worker and family, from 1; 0 of one that policy did not let begin.
    pub serial: u64,
    /// How often it was told of before.
    pub told: u32,
    /// When its first packet came.
    pub started: Tick,
    /// When its last packet came.
    pub last: Tick,
    /// Now.
    pub at: Tick,
    /// Whose it is, if the segment is still here.
    pub tenant: Option<TenantId>,
    /// Its segment.
    pub vni: Vni,
    /// The ports of initiator and responder, of those that are guests of this host.
    pub ports: [Option<PortId>; 2],
    /// The sets of groups that they are in, by the policy's numbers in this configuration.
    pub classes: Option<[u32; 2]>,
    /// IANA's number of its protocol.
    pub protocol: u8,
    /// Who sent the first packet, with the port; of an ICMP query its identifier.
    pub initiator: (IpAddr, u16),
    /// To whom, with the port; of ICMP type and code.
    pub responder: (IpAddr, u16),
    /// What initiator and responder sent.
    pub traffic: [Traffic; 2],
    /// The flags of TCP that they sent.
    pub tcp_flags: [u8; 2],
    /// What came of the attempt to connect.
    pub connect: Connect,
    /// Nanoseconds that each side took of the time to connect; 0: not known.
    pub connected: [u64; 2],
    /// From the initiator's first data to the responder's first, in nanoseconds; 0: not known.
    pub first_response: u64,
    /// How well TCP does.
    pub quality: Quality,
    /// What a DNS server was asked, and said.
    pub dns: Dns,
    /// Its state.
    pub state: State,
    /// Yes or no about it.
    pub flags: Flags,
    /// The low half of the number of the configuration that decided.
    pub epoch: u32,
    /// The counter's slot of the rule, or default, that decides.
    pub rule: u32,
    /// Of the one that would decide if those under audit counted.
    pub would_rule: u32,
}
