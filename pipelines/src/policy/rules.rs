//! What a policy is made from, what it is asked, and what it answers.

use core::net::IpAddr;
use core::ops::RangeInclusive;
use std::sync::Arc;

use crate::wire::Vni;

/// A group of a tenant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupId(pub u32);

/// A tenant's rules, and who its groups are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The rules. The first that matches decides.
    pub rules: Vec<Rule>,
    /// What happens to what no rule matches.
    pub default: Action,
    /// Whether the default is only counted; what no enforced rule matches then passes.
    pub default_audit: bool,
    /// The counter of what the default decides.
    pub default_slot: u32,
    /// The endpoints' addresses.
    pub members: Vec<Member>,
    /// The groups of addresses. They may nest and overlap: an address belongs to all that contain it.
    pub networks: Vec<Network>,
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Who opens the connection.
    pub from: Side,
    /// Who is connected to.
    pub to: Side,
    /// What it is about; at least one.
    pub services: Arc<[Service]>,
    /// What is decided.
    pub action: Action,
    /// Whether it is only counted: it decides nothing, and tells what it would have decided.
    pub audit: bool,
    /// Whether each connection that it decides is logged.
    pub log: bool,
    /// Its counter; no two rules share one.
    pub slot: u32,
}

/// One side of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Side {
    /// Whoever, also an address that is in no group.
    Any,
    /// The members of a group.
    Group(GroupId),
}

/// What a rule decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Action {
    /// It passes.
    #[default]
    Allow,
    /// It is dropped.
    Deny,
}

/// What a packet is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Service {
    /// Every protocol.
    Any,
    /// TCP to these ports.
    Tcp(RangeInclusive<u16>),
    /// UDP to these ports.
    Udp(RangeInclusive<u16>),
    /// SCTP to these ports.
    Sctp(RangeInclusive<u16>),
    /// ICMP, of these types and codes: the type is the high byte.
    Icmp(RangeInclusive<u16>),
    /// ICMPv6, of these types and codes: the type is the high byte.
    Icmpv6(RangeInclusive<u16>),
}

/// An address of an endpoint, on whatever host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The endpoint's segment.
    pub vni: Vni,
    /// The address; no two members of a segment share one.
    pub address: IpAddr,
    /// The groups that the endpoint is in.
    pub groups: Vec<GroupId>,
}

/// Addresses that belong to a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// The network's address, without bits behind the prefix.
    pub address: IpAddr,
    /// The prefix's length, in bits.
    pub prefix: u8,
    /// The group.
    pub group: GroupId,
}

/// Whether a connection may be opened?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// The segment.
    pub vni: Vni,
    /// Who opens it.
    pub from: IpAddr,
    /// Who is connected to.
    pub to: IpAddr,
    /// The protocol (IANA number).
    pub protocol: u8,
    /// The destination port of TCP, UDP and SCTP; the type (high byte) and code of ICMP and ICMPv6; else 0.
    pub port: u16,
}

/// The answer. A rule is told by its place in [`Rules::rules`]; `None` is the default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What happens: what the first enforced rule that matches says, else the default where that is enforced, else
    /// it passes.
    pub action: Action,
    /// The rule that says so.
    pub rule: Option<u32>,
    /// What would happen if all that is only counted were enforced.
    pub would: Action,
    /// The rule that would say so.
    pub would_rule: Option<u32>,
}
