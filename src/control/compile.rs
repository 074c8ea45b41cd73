//! The checked document and one host's devices, compiled to what the packet logic reads and what people are shown.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use thiserror::Error;
use weft_pipelines::overlay::{Table, Template, template};
use weft_pipelines::snapshot::{Endpoints, Guest, Hop, Place, Port, PortKind, Segment, Tunnel, Uplink};
use weft_pipelines::{Epoch, HopId, Mac, PortId, SegmentId, Snapshot, TenantId, TunnelId, Vni, WorkerId};

use crate::config::checked::{self, Attach, Endpoint, Fabric, Host, HostIndex, Tenant};
use crate::report::{EndpointReport, EndpointState};

/// One host's part of the fabric.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// For the packet logic.
    pub snapshot: Snapshot,
    /// For people.
    pub labels: Labels,
}

/// The names behind a snapshot's numbers.
#[derive(Clone, Debug, Default)]
pub struct Labels {
    /// The fabric's name.
    pub fabric: String,
    /// The host's name.
    pub host: String,
    /// By [`PortId`].
    pub ports: Vec<PortLabel>,
    /// By [`TenantId`].
    pub tenants: Vec<String>,
    /// By [`TunnelId`]: the name of the other host.
    pub tunnels: Vec<String>,
    /// All endpoints of the fabric, those of other hosts included.
    pub endpoints: Vec<EndpointLabel>,
}

/// What a port is called and attached to.
#[derive(Clone, Debug)]
pub struct PortLabel {
    /// `tenant/endpoint`, or the uplink's name.
    pub name: String,
    /// What it is attached to.
    pub attach: String,
    /// The largest IP packet it carries, in bytes.
    pub mtu: u16,
}

/// An endpoint, as it is shown.
#[derive(Clone, Debug)]
pub struct EndpointLabel {
    /// Its port, if it is on this host.
    pub port: Option<PortId>,
    /// What is shown of it.
    pub report: EndpointReport,
}

/// A port that the host has to open, in the order of [`PortId`].
#[derive(Clone, Copy, Debug)]
pub enum PortPlan<'a> {
    /// An uplink.
    Uplink(&'a checked::Uplink),
    /// An endpoint's port.
    Guest {
        /// Its tenant's place in the document.
        index: usize,
        /// Its tenant.
        tenant: &'a Tenant,
        /// The endpoint.
        endpoint: &'a Endpoint,
    },
}

impl PortPlan<'_> {
    /// What the port is called: `tenant/endpoint`, or the uplink's name.
    pub fn name(&self) -> String {
        match self {
            Self::Uplink(uplink) => uplink.name.to_string(),
            Self::Guest { tenant, endpoint, .. } => format!("{}/{}", tenant.name, endpoint.name),
        }
    }

    /// What the port is attached to, for people.
    pub fn attach(&self) -> String {
        match self {
            Self::Uplink(uplink) => uplink.device.clone(),
            Self::Guest { endpoint, .. } => match &endpoint.attach {
                Attach::VhostUser { path, .. } => format!("vhost-user {}", path.display()),
                Attach::Device(device) => device.clone(),
            },
        }
    }
}

/// The ports that `host` has: its uplinks, then its endpoints in the document's order.
pub fn ports(fabric: &Fabric, host: HostIndex) -> Vec<PortPlan<'_>> {
    let uplinks = fabric.hosts[host.0].uplinks.iter().map(PortPlan::Uplink);
    let guests = fabric.tenants.iter().enumerate().flat_map(move |(index, tenant)| {
        let here = tenant.endpoints.iter().filter(move |endpoint| endpoint.host == host);
        here.map(move |endpoint| PortPlan::Guest { index, tenant, endpoint })
    });
    uplinks.chain(guests).collect()
}

/// Which worker of `workers` owns a port: each in turn, so that the uplinks are spread first.
pub fn owner(port: PortId, workers: usize) -> WorkerId {
    WorkerId((port.index() % workers.max(1)) as u16)
}

/// The document is more than a snapshot can number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the document has {count} {what}; a host can work with {max} at most")]
pub struct TooMany {
    what: &'static str,
    count: usize,
    max: usize,
}

/// Compiles `host`'s part of `fabric` for so many workers. `macs` are its uplinks', in the document's order.
///
/// # Errors
///
/// When there are more of something than its number has room for.
pub fn compile(
    fabric: &Fabric,
    host: HostIndex,
    macs: &[Mac],
    workers: usize,
    epoch: Epoch,
) -> Result<Compiled, TooMany> {
    let plans = ports(fabric, host);
    let segments = fabric.tenants.iter().map(|tenant| tenant.segments.len()).sum();
    for (what, count) in [
        ("ports on one host", plans.len()),
        ("tenants", fabric.tenants.len()),
        ("segments", segments),
        ("hosts", fabric.hosts.len()),
    ] {
        // The last number stands for none.
        let max = usize::from(u16::MAX);
        if count >= max {
            return Err(TooMany { what, count, max: max - 1 });
        }
    }
    let first_segments = fabric.tenants.iter().scan(0, |next, tenant| {
        let first = *next;
        *next += tenant.segments.len();
        Some(first)
    });
    Ok(Compiler { fabric, host, plans, macs, workers, first_segments: first_segments.collect() }
        .compile(epoch))
}

struct Compiler<'a> {
    fabric: &'a Fabric,
    host: HostIndex,
    plans: Vec<PortPlan<'a>>,
    macs: &'a [Mac],
    workers: usize,
    /// By tenant: the number of its first segment. Segments are numbered through all tenants.
    first_segments: Vec<usize>,
}

/// The tunnels and hops, and which host is behind which tunnel.
#[derive(Default)]
struct Underlay {
    tunnels: Vec<Tunnel>,
    hops: Vec<Hop>,
    /// By host.
    by_host: HashMap<HostIndex, TunnelId>,
    names: Vec<String>,
}

impl<'a> Compiler<'a> {
    fn compile(self, epoch: Epoch) -> Compiled {
        let this = self.here();
        let underlay = self.underlay();
        let segments = self.segments(&underlay);
        let ports = self.snapshot_ports();
        let vnis = segments
            .iter()
            .enumerate()
            .filter(|(_, segment)| !segment.ports.is_empty())
            .map(|(index, segment)| (u64::from(segment.vni.value()), SegmentId(index as u16)))
            .collect::<Vec<_>>();
        let peers = (0..).map(TunnelId).zip(&underlay.tunnels);
        let peers = peers.map(|(id, tunnel)| (Snapshot::address_key(tunnel.vtep), id)).collect::<Vec<_>>();
        let neighbors = (0..).map(HopId).zip(&underlay.hops);
        let neighbors = neighbors.map(|(id, hop)| (Snapshot::address_key(hop.ip), id)).collect::<Vec<_>>();
        let labels = self.labels(&underlay);
        let snapshot = Snapshot {
            epoch,
            vtep: Some(this.vtep),
            vxlan_port: self.fabric.vxlan_port,
            ports,
            segments,
            tenants: self.fabric.tenants.len(),
            endpoints: Endpoints::new(&self.places(&underlay)),
            vnis: Table::new(vnis),
            peers: Table::new(peers),
            neighbors: Table::new(neighbors),
            tunnels: underlay.tunnels,
            hops: underlay.hops,
        };
        Compiled { snapshot, labels }
    }

    fn here(&self) -> &'a Host {
        &self.fabric.hosts[self.host.0]
    }

    /// A tunnel to each other host that an uplink leads to; hosts behind one gateway share its hop.
    fn underlay(&self) -> Underlay {
        let this = self.here();
        let mut underlay = Underlay::default();
        let mut hops: HashMap<(usize, Ipv4Addr), HopId> = HashMap::new();
        for (index, peer) in self.fabric.hosts.iter().enumerate() {
            let Some((uplink_index, ip)) = next_hop(this, peer.vtep).filter(|_| index != self.host.0) else {
                continue;
            };
            let uplink = &this.uplinks[uplink_index];
            let hop = *hops.entry((uplink_index, ip)).or_insert_with(|| {
                let on_link = uplink.addresses.iter().find(|net| net.contains(&ip));
                underlay.hops.push(Hop {
                    ip,
                    uplink: PortId(uplink_index as u16),
                    source: on_link.map_or(this.vtep, |net| net.addr()),
                    fixed: uplink.neighbors.iter().find(|neighbor| neighbor.ip == ip).map(|found| found.mac),
                });
                HopId(underlay.hops.len() as u16 - 1)
            });
            let mac = self.macs.get(uplink_index).copied().unwrap_or_default();
            underlay.by_host.insert(HostIndex(index), TunnelId(underlay.tunnels.len() as u16));
            underlay.names.push(peer.name.to_string());
            underlay.tunnels.push(Tunnel {
                vtep: peer.vtep,
                hop,
                template: Template::new(mac, this.vtep, peer.vtep, self.fabric.vxlan_port),
                max_inner: uplink.mtu.saturating_sub(template::IP_OVERHEAD as u16),
            });
        }
        underlay
    }

    fn segments(&self, underlay: &Underlay) -> Vec<Segment> {
        let mut segments = Vec::new();
        for (index, tenant) in self.fabric.tenants.iter().enumerate() {
            for segment in &tenant.segments {
                segments.push(Segment {
                    tenant: TenantId(index as u16),
                    vni: segment.vni,
                    ports: Box::default(),
                    tunnels: Box::default(),
                });
            }
        }
        let mut members: BTreeMap<SegmentId, (Vec<PortId>, BTreeSet<TunnelId>)> = BTreeMap::new();
        for (segment, endpoint) in self.endpoints() {
            if let Some(tunnel) = underlay.by_host.get(&endpoint.host) {
                members.entry(segment).or_default().1.insert(*tunnel);
            }
        }
        for (port, plan) in (0..).map(PortId).zip(&self.plans) {
            if let PortPlan::Guest { index, endpoint, .. } = plan {
                members.entry(self.segment_of(*index, endpoint)).or_default().0.push(port);
            }
        }
        for (segment, (ports, tunnels)) in members {
            let segment = &mut segments[segment.index()];
            (segment.ports, segment.tunnels) = (ports.into(), tunnels.into_iter().collect());
        }
        segments
    }

    fn snapshot_ports(&self) -> Vec<Port> {
        let kind = |index: usize, plan: &PortPlan<'_>| match plan {
            PortPlan::Uplink(uplink) => PortKind::Uplink(Uplink {
                mac: self.macs.get(index).copied().unwrap_or_default(),
                addresses: uplink.addresses.iter().map(|net| net.addr()).collect(),
            }),
            PortPlan::Guest { index, endpoint, .. } => PortKind::Guest(Guest {
                tenant: TenantId(*index as u16),
                segment: self.segment_of(*index, endpoint),
                mac: endpoint.mac,
                ipv4: endpoint.ips.iter().filter_map(v4).collect(),
                ipv6: endpoint.ips.iter().filter_map(v6).chain([link_local(endpoint.mac)]).collect(),
            }),
        };
        let port = |(index, plan)| Port {
            worker: owner(PortId(index as u16), self.workers),
            kind: kind(index, plan),
        };
        self.plans.iter().enumerate().map(port).collect()
    }

    fn places(&self, underlay: &Underlay) -> Vec<(SegmentId, Mac, Place)> {
        let mut places = Vec::new();
        for (port, plan) in (0..).map(PortId).zip(&self.plans) {
            if let PortPlan::Guest { index, endpoint, .. } = plan {
                places.push((self.segment_of(*index, endpoint), endpoint.mac, Place::Here(port)));
            }
        }
        for (segment, endpoint) in self.endpoints().filter(|(_, endpoint)| endpoint.host != self.host) {
            let tunnel = underlay.by_host.get(&endpoint.host).copied();
            places.push((segment, endpoint.mac, tunnel.map_or(Place::Unreachable, Place::There)));
        }
        places
    }

    fn labels(&self, underlay: &Underlay) -> Labels {
        let ports_of: HashMap<String, PortId> =
            (0..).map(PortId).zip(&self.plans).map(|(id, plan)| (plan.name(), id)).collect();
        let mut endpoints = Vec::new();
        for (index, tenant) in self.fabric.tenants.iter().enumerate() {
            for endpoint in &tenant.endpoints {
                let port = ports_of.get(&PortPlan::Guest { index, tenant, endpoint }.name()).copied();
                let local = endpoint.host == self.host;
                let segment = &tenant.segments[endpoint.segment.0];
                let report = EndpointReport {
                    tenant: tenant.name.to_string(),
                    name: endpoint.name.to_string(),
                    host: self.fabric.hosts[endpoint.host.0].name.to_string(),
                    local,
                    segment: segment.name.to_string(),
                    vni: Vni::value(segment.vni),
                    mac: endpoint.mac.to_string(),
                    ips: endpoint.ips.iter().map(ToString::to_string).collect(),
                    groups: endpoint
                        .groups
                        .iter()
                        .map(|group| tenant.groups[group.0].name.to_string())
                        .collect(),
                    state: if local { EndpointState::Waiting } else { EndpointState::Remote },
                };
                endpoints.push(EndpointLabel { port: port.filter(|_| local), report });
            }
        }
        let guest_mtu = self.guest_mtu();
        let label = |plan: &PortPlan<'_>| PortLabel {
            name: plan.name(),
            attach: plan.attach(),
            mtu: if let PortPlan::Uplink(uplink) = plan { uplink.mtu } else { guest_mtu },
        };
        Labels {
            fabric: self.fabric.name.to_string(),
            host: self.here().name.to_string(),
            ports: self.plans.iter().map(label).collect(),
            tenants: self.fabric.tenants.iter().map(|tenant| tenant.name.to_string()).collect(),
            tunnels: underlay.names.clone(),
            endpoints,
        }
    }

    /// The largest IP packet of a guest that every uplink carries encapsulated; Ethernet's own without uplinks.
    fn guest_mtu(&self) -> u16 {
        let overhead = template::LEN as u16;
        let uplinks = self.here().uplinks.iter();
        uplinks.map(|uplink| uplink.mtu.saturating_sub(overhead)).min().unwrap_or(1500)
    }

    /// All endpoints of the fabric with their segments.
    fn endpoints(&self) -> impl Iterator<Item = (SegmentId, &'a Endpoint)> + '_ {
        self.fabric.tenants.iter().enumerate().flat_map(move |(index, tenant)| {
            tenant.endpoints.iter().map(move |endpoint| (self.segment_of(index, endpoint), endpoint))
        })
    }

    fn segment_of(&self, tenant: usize, endpoint: &Endpoint) -> SegmentId {
        SegmentId((self.first_segments[tenant] + endpoint.segment.0) as u16)
    }
}

/// The uplink of `host`, and the address to resolve on it, that lead to `vtep`: on a link, or by a gateway.
fn next_hop(host: &Host, vtep: Ipv4Addr) -> Option<(usize, Ipv4Addr)> {
    let uplinks = || host.uplinks.iter().enumerate();
    let prefix = |uplink: &checked::Uplink| {
        let holding = uplink.addresses.iter().filter(|net| net.contains(&vtep));
        holding.map(|net| net.prefix_len()).max()
    };
    // The longest prefix, as a host routes; of two as long that of the first uplink.
    let on_link = uplinks().filter(|(_, uplink)| prefix(uplink).is_some());
    let on_link = on_link.max_by_key(|(index, uplink)| (prefix(uplink), Reverse(*index)));
    let routed = || uplinks().find_map(|(index, uplink)| uplink.gateway.map(|gateway| (index, gateway)));
    on_link.map(|(index, _)| (index, vtep)).or_else(routed)
}

fn v4(ip: &IpAddr) -> Option<Ipv4Addr> {
    if let IpAddr::V4(ip) = ip { Some(*ip) } else { None }
}

fn v6(ip: &IpAddr) -> Option<Ipv6Addr> {
    if let IpAddr::V6(ip) = ip { Some(*ip) } else { None }
}

/// The link-local address that an interface makes of its MAC (RFC 4291, appendix A).
fn link_local(Mac([a, b, c, d, e, f]): Mac) -> Ipv6Addr {
    let [a, b, c, d, e, f] = [a ^ 2, b, c, d, e, f].map(u16::from);
    Ipv6Addr::new(0xfe80, 0, 0, 0, a << 8 | b, c << 8 | 0xff, 0xfe00 | d, e << 8 | f)
}

#[cfg(test)]
mod tests;
