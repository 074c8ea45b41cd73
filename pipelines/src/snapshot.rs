//! The configuration that the stages read: compiled from the document, immutable, published whole.

use core::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use crate::counters::Sizes;
use crate::flow;
use crate::ids::{Epoch, HopId, PortId, SegmentId, TenantId, TunnelId, WorkerId};
use crate::overlay::{Table, Template};
use crate::policy::Policy;
use crate::qos;
use crate::service;
use crate::wire::{Mac, Vni};

/// One host's part of the fabric.
///
/// Ports, tenants, tunnels, hops and rule slots keep their numbers from one snapshot to the next, so that what is
/// counted by number goes on; a number is never given to another thing. What is no more leaves its place behind.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Counted up with each snapshot.
    pub epoch: Epoch,
    /// Our address on the underlay.
    pub vtep: Option<Ipv4Addr>,
    /// The UDP port of VXLAN.
    pub vxlan_port: u16,
    /// By [`PortId`].
    pub ports: Vec<Port>,
    /// By [`SegmentId`].
    pub segments: Vec<Segment>,
    /// By [`TunnelId`].
    pub tunnels: Vec<Tunnel>,
    /// By [`HopId`].
    pub hops: Vec<Hop>,
    /// How many tenants there are.
    pub tenants: usize,
    /// How many counters of rules and defaults there are.
    pub slots: usize,
    /// By [`TenantId`]: what may pass.
    pub policies: Vec<Arc<Policy>>,
    /// What counts how services do, by pair of groups.
    pub service: service::Rows,
    /// How sessions are kept.
    pub sessions: flow::Settings,
    /// By [`TenantId`]: what is promised and bounded of its traffic.
    pub shares: Vec<qos::TenantShare>,
    /// How traffic is measured and kept waiting.
    pub qos: qos::Settings,
    /// Where the endpoints are.
    pub endpoints: Endpoints,
    /// Segments by VNI: those with an endpoint on this host.
    pub vnis: Table<SegmentId>,
    /// Tunnels by the address of their VTEP.
    pub peers: Table<TunnelId>,
    /// Next hops by their address.
    pub neighbors: Table<HopId>,
}

/// A port of this host.
#[derive(Clone, Debug)]
pub struct Port {
    /// The worker that owns it.
    pub worker: WorkerId,
    /// What it leads to.
    pub kind: PortKind,
}

impl Port {
    /// What sessions may be opened that count for it.
    pub fn limits(&self) -> flow::Limits {
        match &self.kind {
            PortKind::Guest(guest) => guest.limits,
            PortKind::Uplink(_) => UPLINK_LIMITS,
            PortKind::Vacant => flow::Limits { sessions: 0, embryonic: 0, rate: 1, burst: 1 },
        }
    }
}

/// What the fabric may open to several guests at once, by floods: what is opened to one counts for that.
const UPLINK_LIMITS: flow::Limits =
    flow::Limits { sessions: 16_384, embryonic: 16_384, rate: 10_000, burst: 1_000 };

/// What a port leads to.
#[derive(Clone, Debug)]
pub enum PortKind {
    /// An endpoint.
    Guest(Guest),
    /// The underlay.
    Uplink(Uplink),
    /// Nothing any more: an endpoint that an earlier configuration had.
    Vacant,
}

/// What an endpoint may claim to be.
#[derive(Clone, Debug)]
pub struct Guest {
    /// Its tenant.
    pub tenant: TenantId,
    /// Its segment.
    pub segment: SegmentId,
    /// Its MAC.
    pub mac: Mac,
    /// Its IPv4 addresses.
    pub ipv4: Box<[Ipv4Addr]>,
    /// Its IPv6 addresses, the link-local one made of its MAC among them.
    pub ipv6: Box<[Ipv6Addr]>,
    /// What it may take of its worker's sessions.
    pub limits: flow::Limits,
    /// What is promised and bounded of its traffic.
    pub share: qos::Share,
    /// Its traffic classes.
    pub classes: Arc<qos::Classes>,
}

/// Our side of the underlay.
#[derive(Clone, Debug)]
pub struct Uplink {
    /// The device's MAC.
    pub mac: Mac,
    /// Our addresses on it.
    pub addresses: Box<[Ipv4Addr]>,
    /// Bits a second that are sent by it at most; 0: as many as the device takes.
    pub rate: u64,
}

/// A broadcast domain.
#[derive(Clone, Debug)]
pub struct Segment {
    /// Whose it is.
    pub tenant: TenantId,
    /// Its network identifier.
    pub vni: Vni,
    /// The ports of this host in it.
    pub ports: Box<[PortId]>,
    /// The other hosts with endpoints in it.
    pub tunnels: Box<[TunnelId]>,
}

/// One of those that a packet to a whole segment goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A port of this host.
    Port(PortId),
    /// Another host.
    Tunnel(TunnelId),
}

impl Segment {
    /// All that a packet from `port`, a guest's, to the whole segment goes to.
    pub fn everyone_but(&self, port: PortId) -> impl Iterator<Item = Target> + '_ {
        let ports = self.ports.iter().filter(move |to| **to != port).map(|to| Target::Port(*to));
        ports.chain(self.tunnels.iter().map(|tunnel| Target::Tunnel(*tunnel)))
    }
}

/// The way to another host.
#[derive(Clone, Debug)]
pub struct Tunnel {
    /// Its VTEP.
    pub vtep: Ipv4Addr,
    /// The next hop towards it.
    pub hop: HopId,
    /// The outer headers.
    pub template: Template,
    /// Bytes of the largest inner frame that fits the uplink's MTU.
    pub max_inner: u16,
}

/// A neighbour on the underlay.
#[derive(Clone, Debug)]
pub struct Hop {
    /// Its address.
    pub ip: Ipv4Addr,
    /// The uplink whose link it is on.
    pub uplink: PortId,
    /// Our address on that link.
    pub source: Ipv4Addr,
    /// Its MAC, where the document gives it.
    pub fixed: Option<Mac>,
}

/// Where an endpoint is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// On a port of this host.
    Here(PortId),
    /// On another host.
    There(TunnelId),
    /// On another host that this one has no uplink to.
    Unreachable,
}

/// The forwarding table: (segment, MAC) to the place of the endpoint.
///
/// It comes from the document and never learns, so nothing that a guest sends can fill or poison it.
#[derive(Clone, Debug, Default)]
pub struct Endpoints(Table<Place>);

impl Endpoints {
    /// The table of `entries`.
    pub fn new(entries: &[(SegmentId, Mac, Place)]) -> Self {
        let keyed = entries.iter().map(|(segment, mac, place)| (Self::key(*segment, *mac), *place));
        Self(Table::new(keyed))
    }

    /// Where `mac` is in `segment`.
    #[inline]
    pub fn find(&self, segment: SegmentId, mac: Mac) -> Option<Place> {
        self.0.find(Self::key(segment, mac))
    }

    fn key(segment: SegmentId, mac: Mac) -> u64 {
        u64::from(segment.0) << 48 | mac.to_bits()
    }
}

impl Snapshot {
    /// A port.
    pub fn port(&self, port: PortId) -> &Port {
        &self.ports[port.index()]
    }

    /// A segment.
    pub fn segment(&self, segment: SegmentId) -> &Segment {
        &self.segments[segment.index()]
    }

    /// A tunnel.
    pub fn tunnel(&self, tunnel: TunnelId) -> &Tunnel {
        &self.tunnels[tunnel.index()]
    }

    /// A next hop.
    pub fn hop(&self, hop: HopId) -> &Hop {
        &self.hops[hop.index()]
    }

    /// A tenant's policy.
    pub fn policy(&self, tenant: TenantId) -> &Policy {
        &self.policies[tenant.index()]
    }

    /// What is promised and bounded of a tenant's traffic.
    pub fn share(&self, tenant: TenantId) -> &qos::TenantShare {
        &self.shares[tenant.index()]
    }

    /// What an endpoint's port may claim; `None` for any other port, and for one of another configuration.
    pub fn guest(&self, port: PortId) -> Option<&Guest> {
        match &self.ports.get(port.index())?.kind {
            PortKind::Guest(guest) => Some(guest),
            PortKind::Uplink(_) | PortKind::Vacant => None,
        }
    }

    /// Our side of the underlay at an uplink; `None` for any other port, and for one of another configuration.
    pub fn uplink(&self, port: PortId) -> Option<&Uplink> {
        match &self.ports.get(port.index())?.kind {
            PortKind::Uplink(uplink) => Some(uplink),
            PortKind::Guest(_) | PortKind::Vacant => None,
        }
    }

    /// The tenant of an endpoint's port.
    pub fn tenant(&self, port: PortId) -> Option<TenantId> {
        self.guest(port).map(|guest| guest.tenant)
    }

    /// How many there are of what is counted.
    pub fn sizes(&self) -> Sizes {
        let (ports, tunnels) = (self.ports.len(), self.tunnels.len());
        Sizes { ports, tenants: self.tenants, tunnels, rules: self.slots, pairs: self.service.len() }
    }

    /// Keys of [`peers`](Self::peers) and [`neighbors`](Self::neighbors).
    pub fn address_key(address: Ipv4Addr) -> u64 {
        u64::from(address.to_bits())
    }
}
