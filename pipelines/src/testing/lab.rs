//! A small fabric, described once, of which each host gets its own snapshot.
//!
//! [`Lab::default`] is the one that most tests use: `hv-a` with `blue/web1`, `blue/web2` and `red/web1`, which has
//! the MAC and the addresses of `blue/web1`; `hv-b` behind a static next hop, `hv-c` behind one that answers ARP,
//! `hv-d` that `hv-a` has no uplink to.

use core::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use crate::flow::{Limits, Settings};
use crate::ids::{Epoch, HopId, PortId, SegmentId, TenantId, TunnelId, WorkerId};
use crate::overlay::{Table, Template, template};
use crate::policy::{Policy, Rules};
use crate::qos::{self, Classes, Share, TenantShare};
use crate::service::{Row, Rows, TenantRows, rows};
use crate::snapshot::{
    Endpoints, Guest, Hop, Place, Port, PortKind, Residents, Segment, Snapshot, Tunnel, Uplink,
};
use crate::wire::{Mac, Vni};

/// The UDP port of VXLAN.
pub const VXLAN_PORT: u16 = 4789;

/// A fabric.
#[derive(Clone, Debug)]
pub struct Lab {
    /// By the index that [`snapshot`](Lab::snapshot) takes.
    pub hosts: Vec<Host>,
    /// Tenant and VNI of each segment.
    pub segments: Vec<(TenantId, Vni)>,
    /// All endpoints.
    pub endpoints: Vec<Endpoint>,
    /// The uplinks' MTU: bytes of an outer IP packet.
    pub mtu: u16,
    /// How many workers a host spreads its ports on: guests in turn, the uplink on the last.
    pub workers: u16,
    /// The tenants' policies. That of a tenant without one is open.
    pub policies: Vec<(TenantId, Rules)>,
    /// How sessions are kept.
    pub sessions: Settings,
    /// What each guest may take of them.
    pub limits: Limits,
    /// What is promised and bounded of traffic.
    pub qos: LabQos,
}

/// A host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Host {
    /// Its address on the underlay.
    pub vtep: Ipv4Addr,
    /// Its uplink's MAC.
    pub mac: Mac,
    /// How the others come to know that MAC.
    pub found: Found,
}

/// How a host's MAC is known to the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// The document gives it.
    Static,
    /// It answers ARP.
    Arp,
    /// There is no way to the host.
    Never,
}

/// What is promised and bounded of a lab's traffic: nothing, unless it is said here.
#[derive(Clone, Debug, Default)]
pub struct LabQos {
    /// What is the same for all ports.
    pub settings: qos::Settings,
    /// Of tenants.
    pub tenants: Vec<(TenantId, Share)>,
    /// Of guests, by port of the host under test.
    pub endpoints: Vec<(PortId, Share, Classes)>,
    /// Bits a second of each uplink; 0: no bound.
    pub uplink: u64,
}

impl LabQos {
    fn endpoint(&self, port: usize) -> (Share, Classes) {
        let said = self.endpoints.iter().find(|(of, ..)| of.index() == port);
        said.map(|(_, share, classes)| (*share, classes.clone())).unwrap_or_default()
    }

    fn tenant(&self, tenant: TenantId, workers: u16) -> TenantShare {
        let share = self.tenants.iter().find(|(of, _)| *of == tenant).map(|(_, share)| *share);
        TenantShare::new(share.unwrap_or_default(), usize::from(workers), None)
    }
}

/// An endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its host's index.
    pub host: usize,
    /// Its segment's index.
    pub segment: usize,
    /// Its MAC.
    pub mac: Mac,
    /// Its IPv4 address.
    pub ipv4: Ipv4Addr,
    /// Its IPv6 addresses.
    pub ipv6: [Ipv6Addr; 2],
}

/// Indices of the hosts of the default lab.
pub mod host {
    /// The host under test.
    pub const HV_A: usize = 0;
    /// Behind a static next hop.
    pub const HV_B: usize = 1;
    /// Behind a next hop that answers ARP.
    pub const HV_C: usize = 2;
    /// Out of reach.
    pub const HV_D: usize = 3;
}

/// Ports of `hv-a` in the default lab.
pub mod port {
    use crate::ids::PortId;

    /// `blue/web1`.
    pub const BLUE_WEB1: PortId = PortId(0);
    /// `blue/web2`.
    pub const BLUE_WEB2: PortId = PortId(1);
    /// `red/web1`.
    pub const RED_WEB1: PortId = PortId(2);
    /// The uplink.
    pub const UPLINK: PortId = PortId(3);
}

/// Tunnels of `hv-a` in the default lab.
pub mod tunnel {
    use crate::ids::TunnelId;

    /// To `hv-b`.
    pub const HV_B: TunnelId = TunnelId(0);
    /// To `hv-c`.
    pub const HV_C: TunnelId = TunnelId(1);
}

/// VNI of the blue segment in the default lab.
pub const BLUE: u32 = 1001;
/// VNI of the red segment in the default lab.
pub const RED: u32 = 2001;
/// VNI of a segment in the default lab that has no endpoint on `hv-a`.
pub const GREEN: u32 = 3001;

/// Numbers of endpoints of the blue segment in the default lab, for [`mac`], [`ipv4`] and [`ipv6`].
pub mod endpoint {
    /// On `hv-a`. The red segment has one with the same addresses there.
    pub const WEB1: u8 = 1;
    /// On `hv-a`.
    pub const WEB2: u8 = 2;
    /// On `hv-b`. The red segment has one with the same addresses there.
    pub const DB1: u8 = 3;
    /// On `hv-c`.
    pub const DB2: u8 = 4;
    /// On `hv-d`.
    pub const LOST: u8 = 5;
}

/// The MAC of endpoint `n`.
pub const fn mac(n: u8) -> Mac {
    Mac([2, 0, 0, 0, 1, n])
}

/// The IPv4 address of endpoint `n`.
pub const fn ipv4(n: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 1, 0, 10 + n)
}

/// The IPv6 address of endpoint `n`.
pub const fn ipv6(n: u8) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, n as u16)
}

/// The link-local address that [`mac`] of endpoint `n` makes (RFC 4291, appendix A).
pub const fn link_local(n: u8) -> Ipv6Addr {
    Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0x00ff, 0xfe00, 0x0100 | n as u16)
}

/// A host's address and MAC, by its index.
pub const fn vtep(index: u8) -> (Ipv4Addr, Mac) {
    (Ipv4Addr::new(198, 51, 100, 1 + index), Mac([6, 0, 0, 0, 0, 0xa + index]))
}

impl Default for Lab {
    fn default() -> Self {
        let host = |index, found| Host { vtep: vtep(index).0, mac: vtep(index).1, found };
        let places = [
            (host::HV_A, 0, endpoint::WEB1),
            (host::HV_A, 0, endpoint::WEB2),
            (host::HV_A, 1, endpoint::WEB1),
            (host::HV_B, 0, endpoint::DB1),
            (host::HV_B, 1, endpoint::DB1),
            (host::HV_C, 0, endpoint::DB2),
            (host::HV_C, 2, endpoint::DB2),
            (host::HV_D, 0, endpoint::LOST),
        ];
        Self {
            hosts: vec![
                host(0, Found::Static),
                host(1, Found::Static),
                host(2, Found::Arp),
                host(3, Found::Never),
            ],
            segments: [(0, BLUE), (1, RED), (1, GREEN)]
                .map(|(tenant, vni)| (TenantId(tenant), Vni::new(vni).expect("in range")))
                .to_vec(),
            endpoints: places.map(|(host, segment, n)| Endpoint::numbered(host, segment, n)).to_vec(),
            mtu: 1600,
            workers: 1,
            policies: Vec::new(),
            sessions: Settings { capacity: 4096, ..Settings::default() },
            limits: Limits::default(),
            qos: LabQos::default(),
        }
    }
}

impl Endpoint {
    /// Endpoint `n`, with the addresses that it has wherever it is.
    pub fn numbered(host: usize, segment: usize, n: u8) -> Self {
        Self { host, segment, mac: mac(n), ipv4: ipv4(n), ipv6: [ipv6(n), link_local(n)] }
    }
}

impl Lab {
    /// The default lab with ports spread on `workers`.
    pub fn on_workers(workers: u16) -> Self {
        Self { workers, ..Self::default() }
    }

    /// The part of host `index`: its endpoints' ports in order, then its uplink.
    pub fn snapshot(&self, index: usize) -> Snapshot {
        let (tunnels, hops) = self.tunnels(index);
        let tenants = self.segments.iter().map(|(tenant, _)| tenant.index() + 1).max().unwrap_or(0);
        let segments: Vec<_> = (0..self.segments.len()).map(|n| self.segment(index, n)).collect();
        let place = |endpoint: &Endpoint| match self.tunnel(index, endpoint.host) {
            _ if endpoint.host == index => Place::Here(self.port_of(index, endpoint)),
            Some(tunnel) => Place::There(tunnel),
            None => Place::Unreachable,
        };
        let endpoints: Vec<_> = self
            .endpoints
            .iter()
            .map(|endpoint| (SegmentId(endpoint.segment as u16), endpoint.mac, place(endpoint)))
            .collect();
        let used = segments.iter().enumerate().filter(|(_, segment)| !segment.ports.is_empty());
        let vnis = used.map(|(n, segment)| (u64::from(segment.vni.value()), SegmentId(n as u16)));
        let numbered = |n: usize, ip| (Snapshot::address_key(ip), n as u16);
        let peers = tunnels.iter().enumerate().map(|(n, tunnel)| numbered(n, tunnel.vtep));
        let neighbors = hops.iter().enumerate().map(|(n, hop)| numbered(n, hop.ip));
        let ports = self.ports(index);
        Snapshot {
            epoch: Epoch(1),
            vtep: Some(self.hosts[index].vtep),
            vxlan_port: VXLAN_PORT,
            guests: Residents::new(&ports),
            ports,
            tenants,
            slots: self
                .policies
                .iter()
                .flat_map(|(_, rules)| slots(rules))
                .max()
                .map_or(1, |slot| slot as usize + 1),
            policies: (0..tenants).map(|n| Arc::new(self.policy(TenantId(n as u16)))).collect(),
            service: self.service(tenants),
            sessions: self.sessions.clone(),
            shares: (0..tenants).map(|n| self.qos.tenant(TenantId(n as u16), self.workers)).collect(),
            qos: self.qos.settings,
            endpoints: Endpoints::new(&endpoints),
            vnis: Table::new(vnis.collect::<Vec<_>>()),
            peers: Table::new(peers.map(|(key, n)| (key, TunnelId(n))).collect::<Vec<_>>()),
            neighbors: Table::new(neighbors.map(|(key, n)| (key, HopId(n))).collect::<Vec<_>>()),
            segments,
            tunnels,
            hops,
        }
    }

    fn policy(&self, tenant: TenantId) -> Policy {
        let rules = self.policies.iter().find(|(of, _)| *of == tenant);
        rules.map_or_else(Policy::default, |(_, rules)| Policy::compile(rules))
    }

    /// Rows for all pairs of a tenant's first groups, in their order, 1,024 as in the switch; one of `-` to `-` is its first.
    fn service(&self, tenants: usize) -> Rows {
        let mut next = 0;
        let mut row = || {
            next += 1;
            Row(next - 1)
        };
        let tenant = |n: usize| {
            let policy = self.policy(TenantId(n as u16));
            let groups: Box<[u32]> =
                policy.classes().map(|groups| groups.first().map_or(0, |group| group.0 + 1)).collect();
            let most = groups.iter().copied().max().unwrap_or(0).min(31);
            let pairs = (0..=most).flat_map(|client| (0..=most).map(move |server| rows::key(client, server)));
            let pairs: Vec<_> = pairs.map(|key| (key, row())).collect();
            TenantRows { groups, pairs: Table::new(pairs), other: Row::NONE }
        };
        let tenants = (0..tenants).map(tenant).collect();
        Rows::new(tenants, next as usize)
    }

    /// The uplink's port on host `index`.
    pub fn uplink(&self, index: usize) -> PortId {
        PortId(self.endpoints.iter().filter(|endpoint| endpoint.host == index).count() as u16)
    }

    /// The tunnel from one host to another, if there is a way.
    pub fn tunnel(&self, from: usize, to: usize) -> Option<TunnelId> {
        self.reachable(from).position(|index| index == to).map(|n| TunnelId(n as u16))
    }

    /// The endpoints of host `index`, by their ports.
    pub fn guests(&self, index: usize) -> impl Iterator<Item = &Endpoint> {
        self.endpoints.iter().filter(move |endpoint| endpoint.host == index)
    }

    /// The hosts that tunnels lead to, in the tunnels' order.
    pub fn reachable(&self, from: usize) -> impl Iterator<Item = usize> + '_ {
        let hosts = self.hosts.iter().enumerate();
        hosts.filter(move |(n, host)| *n != from && host.found != Found::Never).map(|(n, _)| n)
    }

    fn port_of(&self, index: usize, endpoint: &Endpoint) -> PortId {
        let position = self.guests(index).position(|guest| guest == endpoint);
        PortId(position.expect("an endpoint of this host") as u16)
    }

    fn ports(&self, index: usize) -> Vec<Port> {
        let guest = |(n, endpoint): (usize, &Endpoint)| Port {
            worker: WorkerId(n as u16 % self.workers),
            kind: PortKind::Guest(Guest {
                tenant: self.segments[endpoint.segment].0,
                segment: SegmentId(endpoint.segment as u16),
                mac: endpoint.mac,
                ipv4: [endpoint.ipv4].into(),
                ipv6: endpoint.ipv6.into(),
                limits: self.limits,
                share: self.qos.endpoint(n).0,
                classes: Arc::new(self.qos.endpoint(n).1),
            }),
        };
        let Host { vtep, mac, .. } = self.hosts[index];
        let uplink = PortKind::Uplink(Uplink { mac, addresses: [vtep].into(), rate: self.qos.uplink });
        let uplink = Port { worker: WorkerId(self.workers - 1), kind: uplink };
        self.guests(index).enumerate().map(guest).chain([uplink]).collect()
    }

    fn segment(&self, index: usize, n: usize) -> Segment {
        let (tenant, vni) = self.segments[n];
        let ports = self.guests(index).enumerate().filter(|(_, guest)| guest.segment == n);
        let has_endpoint = |host: usize| self.guests(host).any(|guest| guest.segment == n);
        let tunnels = self.reachable(index).enumerate().filter(|(_, host)| has_endpoint(*host));
        Segment {
            tenant,
            vni,
            ports: ports.map(|(port, _)| PortId(port as u16)).collect(),
            tunnels: tunnels.map(|(tunnel, _)| TunnelId(tunnel as u16)).collect(),
        }
    }

    fn tunnels(&self, index: usize) -> (Vec<Tunnel>, Vec<Hop>) {
        let (ours, uplink) = (self.hosts[index], self.uplink(index));
        let tunnel = |(n, host): (usize, &Host)| Tunnel {
            vtep: host.vtep,
            hop: HopId(n as u16),
            template: Template::new(ours.mac, ours.vtep, host.vtep, VXLAN_PORT),
            max_inner: self.mtu - template::IP_OVERHEAD as u16,
        };
        let hop = |host: &Host| Hop {
            ip: host.vtep,
            uplink,
            source: ours.vtep,
            fixed: (host.found == Found::Static).then_some(host.mac),
        };
        let hosts: Vec<_> = self.reachable(index).map(|host| self.hosts[host]).collect();
        (hosts.iter().enumerate().map(tunnel).collect(), hosts.iter().map(hop).collect())
    }
}

/// The counters of a policy.
fn slots(rules: &Rules) -> impl Iterator<Item = u32> + '_ {
    rules.rules.iter().map(|rule| rule.slot).chain([rules.default_slot])
}
