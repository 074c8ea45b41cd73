//! The document as it is written. The comments here are the schema's descriptions.

use schemars::JsonSchema;
use serde::Deserialize;

use super::checked::{Dscp, Hugepages, Mode, Poll, Service, Tracking, Verdict, VhostMode};
use super::read::Located;
use super::scalar::{
    Address, Codepoint, Codepoints, Count, Frequency, HostName, InterfaceAddress, Name, Network, PacketRate,
    Period, Rate, Size, UnicastMac,
};

/// A list, located as its items are.
pub type List<T> = Located<Vec<Located<T>>>;

/// A fabric: its hosts and the tenants whose endpoints they carry. Every host is given the same document.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// The fabric as a whole.
    pub fabric: Located<Fabric>,
    /// The hosts: those that run Weft, and those known only as peers.
    pub hosts: List<Host>,
    /// The tenants. Separate worlds: same addresses, same MACs, no way across.
    #[serde(default)]
    pub tenants: List<Tenant>,
}

/// The fabric as a whole.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fabric {
    /// The fabric's name.
    pub name: Located<Name>,
    /// The tunnel's parameters.
    pub vxlan: Option<Located<Vxlan>>,
    /// What counts where traffic is measured: against rates and ceilings, of guests, tenants and uplinks.
    pub qos: Option<Located<Charge>>,
    /// How sessions are kept, on every host.
    pub sessions: Option<Located<Sessions>>,
}

/// The tunnel's parameters.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Vxlan {
    /// The UDP port that VTEPs listen on. Default: 4789 (RFC 7348).
    #[schemars(range(min = 1))]
    pub port: Option<Located<u16>>,
    /// How the DSCP crosses the tunnel (RFC 2983): the outer is the traffic class's `mark` and the inner arrives as it
    /// was sent (pipe), or the outer is the inner's, and the inner becomes what the outer has become (uniform).
    /// Default: pipe.
    pub dscp: Option<Located<Dscp>>,
}

/// What counts where traffic is measured.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Charge {
    /// The bytes that each packet is charged beside those from its Ethernet header to its end. Default: 24, Ethernet's
    /// preamble, frame check sequence and gap.
    #[schemars(range(max = 256))]
    pub overhead: Option<Located<u16>>,
    /// Whether what goes to another host is charged the headers of the tunnel that it gets. Default: true.
    pub overlay: Option<Located<bool>>,
}

/// How sessions (connections, and what is like them) are kept.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Sessions {
    /// Whether TCP segments outside the window are dropped (strict) or pass (liberal); they never keep a session
    /// alive. Default: strict.
    pub tcp: Option<Located<Tracking>>,
    /// Whether a TCP connection that is first seen in mid-stream is taken up, if the policy allows it. Default: true.
    pub pick_up: Option<Located<bool>>,
    /// How long sessions last without packets.
    pub timeouts: Option<Located<Timeouts>>,
}

/// How long sessions last without packets, by what they are and how far they have come.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Timeouts {
    /// TCP until both sides have acknowledged. Default: 60s.
    pub tcp_opening: Option<Located<Period>>,
    /// TCP that is established. Default: 124m (RFC 5382).
    pub tcp_established: Option<Located<Period>>,
    /// TCP of which one or both sides have sent a FIN. Default: 120s.
    pub tcp_closing: Option<Located<Period>>,
    /// TCP of which both FINs are acknowledged. Default: 60s.
    pub tcp_time_wait: Option<Located<Period>>,
    /// TCP that an RST ended. Default: 10s.
    pub tcp_closed: Option<Located<Period>>,
    /// UDP in one direction. Default: 30s.
    pub udp: Option<Located<Period>>,
    /// UDP in both directions. Default: 180s.
    pub udp_replied: Option<Located<Period>>,
    /// ICMP queries, answered or not. Default: 60s.
    pub icmp: Option<Located<Period>>,
    /// Other protocols in one direction. Default: 60s.
    pub other: Option<Located<Period>>,
    /// Other protocols in both directions. Default: 600s.
    pub other_replied: Option<Located<Period>>,
}

/// What guests may take of the room for sessions.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionLimits {
    /// The sessions that a guest may have, of each family (IPv4, IPv6). Default: its worker's room divided by the
    /// worker's guests, 1024 at least.
    pub max: Option<Located<Count>>,
    /// Of these, those that nobody has answered yet; one more takes the place of the oldest. Default: half of `max`.
    pub opening: Option<Located<Count>>,
    /// The sessions that may be opened in a second, by the guest and to it each. Default: 50000/s.
    pub rate: Option<Located<Frequency>>,
}

/// A host. One without uplinks is known only as a peer (another VXLAN implementation, say).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Host {
    /// The host's name, as `weft run --host` is given it.
    pub name: Located<HostName>,
    /// The address of the host's tunnel end; one of its uplinks' addresses, if it has uplinks. IPv4.
    pub vtep: Located<Address>,
    /// The worker threads. Default: one, on whatever core the system gives it.
    pub workers: Option<Located<Workers>>,
    /// Memory for packets and sessions.
    pub memory: Option<Located<Memory>>,
    /// How many sessions each worker has room for, of each family (IPv4, IPv6): 1024 to 16777216. Default: 262144.
    pub sessions: Option<Located<Count>>,
    /// The host's interfaces to the underlay.
    #[serde(default)]
    pub uplinks: List<Uplink>,
}

/// A host's worker threads.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Workers {
    /// The cores, one worker each. Default: one worker, on whatever core the system gives it.
    #[serde(default)]
    #[schemars(inner(range(max = 1023)))]
    pub cores: List<u16>,
    /// Whether a worker without work polls on (busy) or dozes (adaptive). Default: adaptive.
    pub poll: Option<Located<Poll>>,
}

/// Memory for packets and sessions.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    /// How much: 64MiB or more. Default: 512MiB.
    pub size: Option<Located<Size>>,
    /// Whether it is of hugepages: if there are any (auto), else do not start (required), or never (off). Default: auto.
    pub hugepages: Option<Located<Hugepages>>,
}

/// An interface to the underlay.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Uplink {
    /// The uplink's name, on its host.
    pub name: Located<Name>,
    /// The DPDK device: a PCI address or a vdev with its arguments.
    pub device: Located<String>,
    /// Its addresses, each with the prefix length of its network. IPv4.
    #[schemars(length(min = 1))]
    pub address: List<InterfaceAddress>,
    /// The largest IP packet that the underlay carries, in bytes. Guests get 50 less. Default: 1600.
    #[schemars(range(min = 626, max = 9216))]
    pub mtu: Option<Located<u16>>,
    /// The rate that it is sent at, at most: less than the link's where a provider or a switch beyond it allows less.
    /// Default: whatever the device takes.
    pub rate: Option<Located<Rate>>,
    /// Neighbours that do not answer ARP, or are not to be asked.
    #[serde(default)]
    pub neighbors: List<Neighbor>,
    /// The next hop towards VTEPs that are on none of the uplink's networks.
    pub gateway: Option<Located<Address>>,
}

/// A neighbour on the underlay.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Neighbor {
    /// Its address, on one of the uplink's networks.
    pub ip: Located<Address>,
    /// Its MAC address.
    pub mac: Located<UnicastMac>,
}

/// A tenant: segments, endpoints on them, and a policy between groups of them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tenant {
    /// The tenant's name.
    pub name: Located<Name>,
    /// Limits on all that its endpoints send and receive together, on each host.
    pub qos: Option<Located<Qos>>,
    /// What each of its endpoints may take of the room for sessions.
    pub sessions: Option<Located<SessionLimits>>,
    /// The layer 2 networks.
    #[serde(default)]
    pub segments: List<Segment>,
    /// The groups that rules speak of.
    #[serde(default)]
    pub groups: List<Group>,
    /// The interfaces of virtual machines and containers.
    #[serde(default)]
    pub endpoints: List<Endpoint>,
    /// What may pass. Default: everything.
    pub policy: Option<Located<Policy>>,
}

/// What is assured, the most that may pass, and a share of the rest: of what is sent, and of what is received, each.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Qos {
    /// The rate that is assured, 8kbit or more. Of a tenant the default is what its endpoints on the host are assured
    /// together.
    pub rate: Option<Located<Rate>>,
    /// The rate that may be reached with what others leave. Default: `rate`, where that is given.
    pub ceil: Option<Located<Rate>>,
    /// How much may pass at once after silence, 1600B to 500MB. Default: what `ceil` brings in 5 ms, 64KiB or more.
    pub burst: Option<Located<Size>>,
    /// The share of what is left over, beside its siblings' weights. Default: 1.
    #[schemars(range(min = 1))]
    pub weight: Option<Located<u16>>,
    /// The packets that may pass in a second; at once, after silence, what that brings in 5 ms, 64 or more.
    pub pps: Option<Located<PacketRate>>,
    /// The traffic classes, those that are served strictly first. Default: the tenant's; if it has none, all packets
    /// are in one.
    #[schemars(length(min = 1, max = 4))]
    pub classes: Option<List<Class>>,
}

/// A traffic class: some of an endpoint's packets, with a queue of their own.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Class {
    /// The class's name.
    pub name: Located<Name>,
    /// The DSCPs of its packets, as ef, af41, 10 or 8-15. One class has none: it takes all other packets.
    #[schemars(length(min = 1))]
    pub dscp: Option<List<Codepoints>>,
    /// Whether its packets go before those of all classes that come after it. Default: false.
    pub strict: Option<Located<bool>>,
    /// The share of what the strict ones leave, beside the others' weights. Not with `strict`. Default: 1.
    #[schemars(range(min = 1))]
    pub weight: Option<Located<u16>>,
    /// The DSCP of the outer header that its packets get on the underlay, under `dscp: pipe`. Default: be (0).
    pub mark: Option<Located<Codepoint>>,
}

/// A layer 2 network over the whole fabric.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Segment {
    /// The segment's name.
    pub name: Located<Name>,
    /// The VXLAN network identifier; each segment of the fabric has its own.
    #[schemars(range(min = 1, max = 16_777_215))]
    pub vni: Located<u32>,
    /// The networks whose addresses its endpoints have.
    #[schemars(length(min = 1))]
    pub subnet: List<Network>,
    /// The addresses that endpoints use as their gateway.
    #[serde(default)]
    pub gateway: List<Address>,
}

/// A group of endpoints (they name it), or of addresses outside (`cidr`).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// The group's name; `any` is taken.
    pub name: Located<Name>,
    /// The 16-bit group that VXLAN-GBP carries. Not with `cidr`.
    #[schemars(range(min = 1))]
    pub id: Option<Located<u16>>,
    /// The addresses that belong to the group. Not with `id`.
    #[serde(default)]
    pub cidr: List<Network>,
}

/// An interface of a virtual machine or container.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// The endpoint's name, in its tenant.
    pub name: Located<Name>,
    /// The host where it is.
    pub host: Located<HostName>,
    /// How the host reaches it.
    pub attach: Located<Attach>,
    /// The segment of its tenant that it is on.
    pub segment: Located<Name>,
    /// Its MAC address, from which alone it may send.
    pub mac: Located<UnicastMac>,
    /// Its addresses, from which alone it may send.
    #[schemars(length(min = 1))]
    pub ip: List<Address>,
    /// The groups that it belongs to.
    #[serde(default)]
    pub groups: List<Name>,
    /// Limits on what it sends and receives.
    pub qos: Option<Located<Qos>>,
    /// What it may take of the room for sessions; what is not said here is as its tenant has it.
    pub sessions: Option<Located<SessionLimits>>,
}

/// How a host reaches an endpoint: by `vhost-user` or by `device`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Attach {
    /// The path of a vhost-user socket; a relative one starts at the runtime directory.
    pub vhost_user: Option<Located<String>>,
    /// With `vhost-user`: whether Weft makes the socket (server) or connects to it (client). Default: server.
    pub mode: Option<Located<VhostMode>>,
    /// With `vhost-user`: the queue pairs. Default: 1.
    #[schemars(range(min = 1, max = 8))]
    pub queues: Option<Located<u16>>,
    /// Any DPDK device: a PCI address or a vdev with its arguments.
    pub device: Option<Located<String>>,
}

/// What may pass. Replies, and ICMP errors about what passed, always may.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Whether verdicts are carried out (enforce) or only counted (audit). Default: enforce.
    pub mode: Option<Located<Mode>>,
    /// What happens to what no rule matches.
    pub default: Located<Verdict>,
    /// The rules. The first that matches decides.
    #[serde(default)]
    pub rules: List<Rule>,
}

/// A rule: from whom, to whom, and either what to allow or what to deny.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The rule's name, which counters and records carry.
    pub name: Located<Name>,
    /// The group that opens the connection, or `any`.
    pub from: Located<Name>,
    /// The group that is connected to, or `any`.
    pub to: Located<Name>,
    /// What passes.
    pub allow: Option<List<Service>>,
    /// What is dropped.
    pub deny: Option<List<Service>>,
    /// Whether each connection that it decides is logged. Default: false.
    pub log: Option<Located<bool>>,
    /// Whether this rule is carried out or only counted. Default: the policy's mode.
    pub mode: Option<Located<Mode>>,
}
