//! The configuration that the stages read: compiled from the document, immutable, published whole.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use crate::counters::Sizes;
use crate::flow;
use crate::ids::{Epoch, HopId, PortId, SegmentId, TenantId, TunnelId, WorkerId};
use crate::overlay::hash::mix;
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
    /// Which port has an address.
    pub guests: Residents,
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

/// The guests of this host by (segment, address).
#[derive(Clone, Debug, Default)]
pub struct Residents(Table<PortId>);

impl Residents {
    /// Those of `ports`.
    pub fn new(ports: &[Port]) -> Self {
        let mut keyed = Vec::new();
        for (id, port) in (0..).map(PortId).zip(ports) {
            if let PortKind::Guest(guest) = &port.kind {
                let (v4, v6) = (guest.ipv4.iter().copied(), guest.ipv6.iter().copied());
                let addresses = v4.map(IpAddr::V4).chain(v6.map(IpAddr::V6));
                keyed.extend(addresses.map(|address| (Self::key(guest.segment, address), id)));
            }
        }
        Self(Table::new(keyed))
    }

    /// The port that may have `address` in `segment`: of IPv6, any address with the same hash is taken for it.
    fn find(&self, segment: SegmentId, address: IpAddr) -> Option<PortId> {
        self.0.find(Self::key(segment, address))
    }

    /// Keys of IPv4 are below those of IPv6.
    fn key(segment: SegmentId, address: IpAddr) -> u64 {
        let segment = u64::from(segment.0);
        match address {
            IpAddr::V4(address) => segment << 32 | u64::from(address.to_bits()),
            IpAddr::V6(address) => {
                let bits = address.to_bits();
                let hash = mix(mix((bits >> 64) as u64, segment), bits as u64);
                // Never that of a free place.
                hash >> 2 | 1 << 62
            }
        }
    }
}

impl Snapshot {
    /// The ports of two addresses, see [`resident`](Self::resident).
    pub fn residents(&self, segment: Option<SegmentId>, [one, other]: [IpAddr; 2]) -> [Option<PortId>; 2] {
        let Some(segment) = segment else { return [None; 2] };
        [self.resident(segment, one), self.resident(segment, other)]
    }

    /// The port of this host whose guest has `address` in `segment`.
    pub fn resident(&self, segment: SegmentId, address: IpAddr) -> Option<PortId> {
        let port = self.guests.find(segment, address)?;
        let guest = self.guest(port)?;
        let is_theirs = match address {
            IpAddr::V4(address) => guest.ipv4.contains(&address),
            IpAddr::V6(address) => guest.ipv6.contains(&address),
        };
        (is_theirs && guest.segment == segment).then_some(port)
    }

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Lab;
    use crate::testing::lab::host;

    #[test]
    fn a_resident_is_found_by_segment_and_address() {
        let mut snapshot = Lab::default().snapshot(host::HV_A);
        let mut addresses = vec![IpAddr::from([10, 99, 0, 1]), "fd99::1".parse().unwrap()];
        for port in &snapshot.ports {
            if let PortKind::Guest(guest) = &port.kind {
                addresses.extend(guest.ipv4.iter().copied().map(IpAddr::V4));
                addresses.extend(guest.ipv6.iter().copied().map(IpAddr::V6));
            }
        }
        let scan = |snapshot: &Snapshot, segment: SegmentId, address: IpAddr| {
            (0..snapshot.ports.len() as u16).map(PortId).find(|port| {
                snapshot.guest(*port).is_some_and(|guest| {
                    guest.segment == segment
                        && match address {
                            IpAddr::V4(address) => guest.ipv4.contains(&address),
                            IpAddr::V6(address) => guest.ipv6.contains(&address),
                        }
                })
            })
        };
        let mut found = 0;
        for round in 0..2 {
            for segment in (0..snapshot.segments.len() as u16 + 1).map(SegmentId) {
                for address in &addresses {
                    let port = snapshot.resident(segment, *address);
                    assert_eq!(port, scan(&snapshot, segment, *address), "{segment:?} {address}");
                    found += usize::from(port.is_some());
                }
            }
            // Who has left is not found, also by a table that still has them.
            if round == 0 {
                assert!(found > 4, "{found}");
                snapshot.ports.iter_mut().for_each(|port| port.kind = PortKind::Vacant);
            }
        }
    }
}
