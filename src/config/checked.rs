//! The fabric, checked: whoever holds one need check nothing again. Names became indices, texts became values.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use ipnet::{IpNet, Ipv4Net};
use schemars::JsonSchema;
use serde::Deserialize;
use weft_pipelines::flow::Timeouts;
use weft_pipelines::qos::Charge;
use weft_pipelines::{Mac, Vni};

use super::diagnostic::{At, Diagnostics};
use super::scalar::{Codepoint, CodepointSet, HostName, Name};

/// A fabric: its hosts, and the tenants whose endpoints they carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fabric {
    /// The fabric's name.
    pub name: Name,
    /// The UDP port that VTEPs listen on.
    pub vxlan_port: u16,
    /// How the DSCP crosses the tunnel.
    pub vxlan_dscp: Dscp,
    /// What packets cost where traffic is measured.
    pub charge: Charge,
    /// How sessions are kept.
    pub sessions: Sessions,
    /// The hosts, in the document's order.
    pub hosts: Vec<Host>,
    /// The tenants, in the document's order.
    pub tenants: Vec<Tenant>,
    /// What may not have been meant. No errors.
    pub warnings: Diagnostics,
}

impl Fabric {
    /// The host of that name.
    pub fn host(&self, name: &str) -> Option<HostIndex> {
        self.hosts.iter().position(|host| host.name == name).map(HostIndex)
    }
}

/// How the DSCP crosses the tunnel (RFC 2983).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Dscp {
    /// The outer is the traffic class's; the inner arrives as it was sent.
    #[default]
    Pipe,
    /// The outer is the inner's, and the inner becomes what the outer has become on its way.
    Uniform,
}

/// How sessions are kept, on every host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sessions {
    /// What happens to TCP segments outside the window.
    pub tcp: Tracking,
    /// Whether a TCP connection that is first seen in mid-stream is taken up.
    pub pick_up: bool,
    /// How long sessions last without packets.
    pub timeouts: Timeouts,
}

impl Default for Sessions {
    fn default() -> Self {
        Self { tcp: Tracking::Strict, pick_up: true, timeouts: Timeouts::default() }
    }
}

/// What happens to TCP segments outside the window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Tracking {
    /// They are dropped.
    #[default]
    Strict,
    /// They pass.
    Liberal,
}

/// What a guest may take of the room for sessions; `None` is the default, which depends on the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionLimits {
    /// Its sessions, of each family.
    pub max: Option<u32>,
    /// Of these, those that nobody has answered; not more than `max`.
    pub opening: Option<u32>,
    /// Those opened in a second, in each direction.
    pub rate: Option<u32>,
}

/// A host's place in [`Fabric::hosts`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostIndex(pub usize);

/// A segment's place in its tenant's [`segments`](Tenant::segments).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentIndex(pub usize);

/// A group's place in its tenant's [`groups`](Tenant::groups).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupIndex(pub usize);

/// A host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Its name; no two hosts share one.
    pub name: HostName,
    /// The address of its tunnel end, its own: one of its uplinks' addresses, if it has uplinks.
    pub vtep: Ipv4Addr,
    /// Its worker threads.
    pub workers: Workers,
    /// Memory for packets and sessions.
    pub memory: Memory,
    /// How many sessions each worker has room for, of each family.
    pub sessions: u32,
    /// Its interfaces to the underlay. Without any it is known only as a peer.
    pub uplinks: Vec<Uplink>,
    /// Where the document describes it.
    pub at: At,
}

/// A host's worker threads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Workers {
    /// The cores, one worker each, none twice. Empty: one worker, on whatever core the system gives it.
    pub cores: Vec<usize>,
    /// What a worker does that has no work.
    pub poll: Poll,
}

/// What a worker does that has no work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Poll {
    /// It polls on.
    Busy,
    /// It dozes, ever longer up to a bound, until there is work.
    #[default]
    Adaptive,
}

/// Memory for packets and sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// How much, in bytes.
    pub size: u64,
    /// Whether it is of hugepages.
    pub hugepages: Hugepages,
}

impl Default for Memory {
    fn default() -> Self {
        Self { size: 512 << 20, hugepages: Hugepages::Auto }
    }
}

/// Whether memory is of hugepages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Hugepages {
    /// If there are enough.
    #[default]
    Auto,
    /// Or the switch does not start.
    Required,
    /// Never.
    Off,
}

/// An interface to the underlay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uplink {
    /// Its name; no two uplinks of a host share one.
    pub name: Name,
    /// The DPDK device: a PCI address or a vdev with its arguments.
    pub device: String,
    /// Its addresses, each with the prefix length of its network. At least one.
    pub addresses: Vec<Ipv4Net>,
    /// The largest IP packet that the underlay carries, in bytes.
    pub mtu: u16,
    /// What is sent by it at most, in bits a second; `None` is what the device takes.
    pub rate: Option<u64>,
    /// Neighbours that need no ARP, each on one of the uplink's networks.
    pub neighbors: Vec<Neighbor>,
    /// The next hop towards what is on none of the uplink's networks; itself on one.
    pub gateway: Option<Ipv4Addr>,
    /// Where the document describes it.
    pub at: At,
}

/// A neighbour on the underlay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbor {
    /// Its address.
    pub ip: Ipv4Addr,
    /// Its MAC address.
    pub mac: Mac,
}

/// A tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// Its name; no two tenants share one.
    pub name: Name,
    /// Limits on all that its endpoints send and receive together, on each host.
    pub qos: Option<Qos>,
    /// What each of its endpoints may take of the room for sessions.
    pub sessions: SessionLimits,
    /// Its layer 2 networks.
    pub segments: Vec<Segment>,
    /// The groups that its rules speak of.
    pub groups: Vec<Group>,
    /// Its endpoints, on whatever host.
    pub endpoints: Vec<Endpoint>,
    /// What may pass.
    pub policy: Policy,
    /// Where the document describes it.
    pub at: At,
}

/// What is assured, the most that may pass, and a share of the rest: of what is sent, and of what is received, each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Qos {
    /// The assured rate, in bits a second.
    pub rate: Option<u64>,
    /// The most that may be reached, in bits a second; not less than `rate`.
    pub ceil: Option<u64>,
    /// How much may pass at once after silence, in bytes; a frame's worth at least.
    pub burst: Option<u64>,
    /// The share of what is left over, beside its siblings' weights; not 0.
    pub weight: u16,
    /// The packets that may pass in a second.
    pub pps: Option<u64>,
    /// The traffic classes, at most four; those that are served strictly come first, and each DSCP is in one. Empty
    /// where nothing is said: an endpoint has its tenant's then, and a tenant one for all packets.
    pub classes: Vec<Class>,
    /// Where the document describes it.
    pub at: At,
}

impl Default for Qos {
    /// What is so where nothing is said.
    fn default() -> Self {
        Self {
            rate: None,
            ceil: None,
            burst: None,
            weight: 1,
            pps: None,
            classes: Vec::new(),
            at: At::default(),
        }
    }
}

impl Qos {
    /// The most that may be reached, in bits a second, with what is so where nothing is said.
    pub fn most(&self) -> Option<u64> {
        self.ceil.or(self.rate)
    }
}

/// A traffic class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Class {
    /// Its name; no two classes of an endpoint share one.
    pub name: Name,
    /// The DSCPs of its packets.
    pub dscp: CodepointSet,
    /// Whether these are those that no other class has.
    pub rest: bool,
    /// Whether its packets go before those of all classes that come after it.
    pub strict: bool,
    /// The share of what the strict ones leave, beside the others' weights; not 0.
    pub weight: u16,
    /// The outer DSCP that its packets get under [`Dscp::Pipe`].
    pub mark: Codepoint,
}

/// A layer 2 network over the whole fabric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Its name; no two segments of a tenant share one.
    pub name: Name,
    /// Its identifier on the wire; no two segments of the fabric share one.
    pub vni: Vni,
    /// The networks of its endpoints' addresses; they do not overlap. At least one.
    pub subnets: Vec<IpNet>,
    /// What endpoints use as their gateway, each within a subnet.
    pub gateways: Vec<IpAddr>,
    /// Where the document describes it.
    pub at: At,
}

/// A group of endpoints, or of addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its name; no two groups of a tenant share one, and none is `any`.
    pub name: Name,
    /// What VXLAN-GBP carries for it: not 0, and no two groups of a tenant share one.
    pub id: Option<u16>,
    /// The addresses that belong to it. A group that has some has no `id` and no endpoints.
    pub cidrs: Vec<IpNet>,
    /// Where the document describes it.
    pub at: At,
}

/// An interface of a virtual machine or container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its name; no two endpoints of a tenant share one.
    pub name: Name,
    /// The host where it is.
    pub host: HostIndex,
    /// How the host reaches it; no two endpoints of a host share a socket or device.
    pub attach: Attach,
    /// The segment of its tenant that it is on.
    pub segment: SegmentIndex,
    /// Its MAC address: unicast, and no two endpoints of a segment share one.
    pub mac: Mac,
    /// Its addresses: each within a subnet of the segment, and of no other endpoint there. At least one.
    pub ips: Vec<IpAddr>,
    /// The groups that it belongs to, none twice.
    pub groups: Vec<GroupIndex>,
    /// Limits on what it sends and receives.
    pub qos: Option<Qos>,
    /// What it may take of the room for sessions: its own limits, else its tenant's.
    pub sessions: SessionLimits,
    /// Where the document describes it.
    pub at: At,
}

/// How a host reaches an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Attach {
    /// By a vhost-user socket.
    VhostUser {
        /// The socket; a relative path starts at the runtime directory.
        path: PathBuf,
        /// Who makes it.
        mode: VhostMode,
        /// Queue pairs, 1 to 8.
        queues: u16,
    },
    /// By a DPDK device: a PCI address or a vdev with its arguments.
    Device(String),
}

/// Who makes a vhost-user socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum VhostMode {
    /// Weft makes it, the guest's hypervisor connects.
    #[default]
    Server,
    /// The guest's hypervisor makes it, Weft connects.
    Client,
}

/// What may pass between a tenant's endpoints, in and out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Whether the default verdict is carried out. Each rule has its own mode.
    pub mode: Mode,
    /// What happens to what no rule matches.
    pub default: Verdict,
    /// Where the document says so; line 0 if it does not.
    pub default_at: At,
    /// The rules. The first that matches decides.
    pub rules: Vec<Rule>,
    /// Where the document describes it; its tenant's place if it does not.
    pub at: At,
}

/// Whether a verdict is carried out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// It is.
    #[default]
    Enforce,
    /// It is only counted.
    Audit,
}

/// What a rule decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It passes.
    Allow,
    /// It is dropped.
    Deny,
}

/// One rule of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its name; no two rules of a tenant share one.
    pub name: Name,
    /// Who opens the connection.
    pub from: Peer,
    /// Who is connected to.
    pub to: Peer,
    /// What is decided.
    pub verdict: Verdict,
    /// What it is about; at least one.
    pub services: Vec<Service>,
    /// Whether each connection that it decides is logged.
    pub log: bool,
    /// Whether the verdict is carried out.
    pub mode: Mode,
    /// Where the document describes it.
    pub at: At,
}

/// One side of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Whoever.
    Any,
    /// A group of the tenant.
    Group(GroupIndex),
}

/// What a packet is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Service {
    /// Every protocol.
    Any,
    /// TCP to these ports.
    Tcp(PortRange),
    /// UDP to these ports.
    Udp(PortRange),
    /// SCTP to these ports.
    Sctp(PortRange),
    /// ICMP, of one type and code or of all.
    Icmp {
        /// The type; `None` is every.
        kind: Option<u8>,
        /// The code; `None` is every.
        code: Option<u8>,
    },
    /// ICMPv6, of one type and code or of all.
    Icmpv6 {
        /// The type; `None` is every.
        kind: Option<u8>,
        /// The code; `None` is every.
        code: Option<u8>,
    },
}

/// Ports from a first to a last, both included; the first is not above the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PortRange {
    first: u16,
    last: u16,
}

impl PortRange {
    /// Every port, 0 included.
    pub const ALL: Self = Self { first: 0, last: u16::MAX };

    /// `first` to `last`, unless that runs backwards.
    pub const fn new(first: u16, last: u16) -> Option<Self> {
        if first <= last { Some(Self { first, last }) } else { None }
    }

    /// The lowest.
    pub const fn first(self) -> u16 {
        self.first
    }

    /// The highest.
    pub const fn last(self) -> u16 {
        self.last
    }
}
