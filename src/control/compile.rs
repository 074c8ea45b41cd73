//! The checked document and one host's devices, compiled to what the packet logic reads and what people are shown.

mod numbers;
mod policy;
mod qos;
mod service;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use thiserror::Error;
use weft_pipelines::flow;
use weft_pipelines::overlay::{Table, Template, template};
use weft_pipelines::policy::Policy;
use weft_pipelines::snapshot::{
    Endpoints, Guest, Hop, Place, Port, PortKind, Residents, Segment, Tunnel, Uplink,
};
use weft_pipelines::{Epoch, HopId, Mac, PortId, SegmentId, Snapshot, TenantId, TunnelId, Vni, WorkerId};

use self::numbers::Numbers;
pub use self::policy::TenantPolicy;
pub use self::service::{MOST_PAIRS, ServiceLabel};
use crate::config::checked::{self, Attach, Endpoint, Fabric, Host, HostIndex, Tenant};
use crate::report::{EndpointReport, EndpointState};

/// One host's part of the fabric.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// For the packet logic.
    pub snapshot: Arc<Snapshot>,
    /// For people.
    pub labels: Labels,
    /// The numbers of [`ports`], in their order.
    pub ports: Vec<PortId>,
    /// By tenant of the document: its policy.
    pub policies: Vec<TenantPolicy>,
    numbers: Numbers,
}

/// What a document is compiled after: the one in force until then.
#[derive(Clone, Copy, Debug)]
pub struct Previous<'a> {
    /// The document.
    pub fabric: &'a Fabric,
    /// What was made of it.
    pub compiled: &'a Compiled,
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
    /// By [`TenantId`]; `None` of one that is no more.
    pub tenants: Vec<Option<String>>,
    /// By [`TunnelId`]: the name of the other host; `None` of one that is no more.
    pub tunnels: Vec<Option<String>>,
    /// By row that counts how services do: the pair of groups; `None` of one that is no more.
    pub services: Vec<Option<ServiceLabel>>,
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
    /// The tenant of an endpoint's port.
    pub tenant: Option<TenantId>,
    /// The names of an endpoint's traffic classes; none where one is for all packets.
    pub classes: Vec<String>,
}

/// An endpoint, as it is shown.
#[derive(Clone, Debug)]
pub struct EndpointLabel {
    /// Its port, if it is on this host.
    pub port: Option<PortId>,
    /// What is shown of it.
    pub report: EndpointReport,
}

/// A port that the host has to open.
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

    /// Whether it is on a device, not on a guest's socket.
    pub fn is_device(&self) -> bool {
        match self {
            Self::Uplink(_) => true,
            Self::Guest { endpoint, .. } => matches!(endpoint.attach, Attach::Device(_)),
        }
    }

    /// What tells it from every other port: one that is attached to something else is not the same.
    fn key(&self) -> (String, Option<Attach>) {
        let attach = match self {
            Self::Uplink(_) => None,
            Self::Guest { endpoint, .. } => Some(endpoint.attach.clone()),
        };
        (self.name(), attach)
    }

    /// The traffic classes of an endpoint: its own, else its tenant's. None where one is for all packets.
    pub fn classes(&self) -> &[checked::Class] {
        let Self::Guest { tenant, endpoint, .. } = self else { return &[] };
        let said = [&endpoint.qos, &tenant.qos].into_iter().flatten().map(|qos| qos.classes.as_slice());
        said.into_iter().find(|classes| !classes.is_empty()).unwrap_or_default()
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
/// After a `previous` document, what both have keeps its numbers.
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
    previous: Option<Previous<'_>>,
) -> Result<Compiled, TooMany> {
    let plans = ports(fabric, host);
    let segments: usize = fabric.tenants.iter().map(|tenant| tenant.segments.len()).sum();
    let max = usize::from(u16::MAX) - 1;
    if segments > max {
        return Err(TooMany { what: "segments", count: segments, max });
    }
    let mut numbers = previous.map(|previous| previous.compiled.numbers.clone()).unwrap_or_default();
    let ids = numbers.ports.follow("ports on one host", plans.iter().map(PortPlan::key))?;
    let names = fabric.tenants.iter().map(|tenant| tenant.name.to_string());
    let tenants = numbers.tenants.follow("tenants", names)?.into_iter().map(TenantId).collect();
    let first_segments = fabric.tenants.iter().scan(0, |next, tenant| {
        let first = *next;
        *next += tenant.segments.len();
        Some(first)
    });
    let policies = policy::compile(fabric, &mut numbers.slots, previous);
    let compiler = Compiler {
        ids: ids.into_iter().map(PortId).collect(),
        first_segments: first_segments.collect(),
        fabric,
        host,
        plans,
        tenants,
        macs,
        workers,
        previous: previous.map(|previous| previous.compiled),
        policies,
    };
    compiler.compile(numbers, epoch)
}

/// The policies of `fabric`'s tenants alone.
pub fn policies(fabric: &Fabric) -> Vec<TenantPolicy> {
    policy::compile(fabric, &mut 0, None)
}

struct Compiler<'a> {
    fabric: &'a Fabric,
    host: HostIndex,
    plans: Vec<PortPlan<'a>>,
    /// By plan.
    ids: Vec<PortId>,
    /// By tenant.
    tenants: Vec<TenantId>,
    macs: &'a [Mac],
    workers: usize,
    /// By tenant: the number of its first segment. Segments are numbered through all tenants.
    first_segments: Vec<usize>,
    previous: Option<&'a Compiled>,
    policies: Vec<TenantPolicy>,
}

/// The tunnels and hops, and which host is behind which tunnel.
struct Underlay {
    tunnels: Vec<Tunnel>,
    hops: Vec<Hop>,
    /// By host.
    by_host: HashMap<HostIndex, TunnelId>,
    /// By host that a tunnel leads to: its name and the tunnel's number.
    names: Vec<(String, TunnelId)>,
}

impl<'a> Compiler<'a> {
    fn compile(self, mut numbers: Numbers, epoch: Epoch) -> Result<Compiled, TooMany> {
        let this = self.here();
        let underlay = self.underlay(&mut numbers)?;
        let segments = self.segments(&underlay);
        let ports = self.snapshot_ports();
        let vnis = segments
            .iter()
            .enumerate()
            .filter(|(_, segment)| !segment.ports.is_empty())
            .map(|(index, segment)| (u64::from(segment.vni.value()), SegmentId(index as u16)))
            .collect::<Vec<_>>();
        // Those that are no more have no part in the tables.
        let (tunnels, hops) = (numbers.tunnels.in_use(), numbers.hops.in_use());
        let peers = (0..).map(TunnelId).zip(&underlay.tunnels).filter(|(id, _)| tunnels[id.index()]);
        let peers = peers.map(|(id, tunnel)| (Snapshot::address_key(tunnel.vtep), id)).collect::<Vec<_>>();
        let neighbors = (0..).map(HopId).zip(&underlay.hops).filter(|(id, _)| hops[id.index()]);
        let neighbors = neighbors.map(|(id, hop)| (Snapshot::address_key(hop.ip), id)).collect::<Vec<_>>();
        let (service, services) =
            service::compile((self.fabric, self.host), &self.tenants, &self.policies, &mut numbers)?;
        let labels = Labels { services, ..self.labels(&underlay, &numbers) };
        let snapshot = Snapshot {
            epoch,
            vtep: Some(this.vtep),
            vxlan_port: self.fabric.vxlan_port,
            guests: Residents::new(&ports),
            ports,
            segments,
            tenants: numbers.tenants.given(),
            slots: numbers.slots as usize,
            service,
            sessions: self.sessions(),
            policies: self.snapshot_policies(numbers.tenants.given()),
            shares: self.shares(numbers.tenants.given()),
            qos: self.qos(),
            endpoints: Endpoints::new(&self.places(&underlay)),
            vnis: Table::new(vnis),
            peers: Table::new(peers),
            neighbors: Table::new(neighbors),
            tunnels: underlay.tunnels,
            hops: underlay.hops,
        };
        let (ports, policies) = (self.ids, self.policies);
        Ok(Compiled { snapshot: Arc::new(snapshot), labels, ports, policies, numbers })
    }

    fn here(&self) -> &'a Host {
        &self.fabric.hosts[self.host.0]
    }

    /// The policies by tenant. A tenant that is no more has none, and nobody asks for it.
    fn snapshot_policies(&self, tenants: usize) -> Vec<Arc<Policy>> {
        let mut policies = vec![Arc::default(); tenants];
        for (tenant, policy) in self.tenants.iter().zip(&self.policies) {
            policies[tenant.index()] = policy.policy.clone();
        }
        policies
    }

    /// How sessions are kept.
    fn sessions(&self) -> flow::Settings {
        let checked::Sessions { tcp, pick_up, timeouts } = self.fabric.sessions.clone();
        let tcp = match tcp {
            checked::Tracking::Strict => flow::Tracking::Strict,
            checked::Tracking::Liberal => flow::Tracking::Liberal,
        };
        flow::Settings { timeouts, tcp, pick_up, capacity: self.here().sessions }
    }

    /// A tunnel to each other host that an uplink leads to; hosts behind one gateway share its hop.
    fn underlay(&self, numbers: &mut Numbers) -> Result<Underlay, TooMany> {
        let this = self.here();
        let ways: Vec<_> = self
            .fabric
            .hosts
            .iter()
            .enumerate()
            .filter(|(index, _)| *index != self.host.0)
            .filter_map(|(index, peer)| {
                next_hop(this, peer.vtep).map(|(uplink, ip)| (HostIndex(index), peer, uplink, ip))
            })
            .collect();
        let names = ways.iter().map(|(_, peer, ..)| peer.name.to_string());
        let tunnel_ids = numbers.tunnels.follow("hosts", names)?;
        let hops = ways.iter().map(|(.., uplink, ip)| (this.uplinks[*uplink].name.to_string(), *ip));
        let hop_ids = numbers.hops.follow("next hops", hops)?;
        // Old ones stay as they were, for what is on its way through them.
        let (tunnels, hops) = self.previous.map_or_else(Default::default, |previous| {
            (previous.snapshot.tunnels.clone(), previous.snapshot.hops.clone())
        });
        let mut underlay = Underlay { tunnels, hops, by_host: HashMap::new(), names: Vec::new() };
        for ((host, peer, uplink_index, ip), (tunnel, hop)) in
            ways.into_iter().zip(tunnel_ids.into_iter().zip(hop_ids))
        {
            let (tunnel, hop, uplink) = (TunnelId(tunnel), HopId(hop), &this.uplinks[uplink_index]);
            let on_link = uplink.addresses.iter().find(|net| net.contains(&ip));
            put(
                &mut underlay.hops,
                hop.index(),
                Hop {
                    ip,
                    uplink: self.ids[uplink_index],
                    source: on_link.map_or(this.vtep, |net| net.addr()),
                    fixed: uplink.neighbors.iter().find(|neighbor| neighbor.ip == ip).map(|found| found.mac),
                },
            );
            let mac = self.macs.get(uplink_index).copied().unwrap_or_default();
            put(
                &mut underlay.tunnels,
                tunnel.index(),
                Tunnel {
                    vtep: peer.vtep,
                    hop,
                    template: Template::new(mac, this.vtep, peer.vtep, self.fabric.vxlan_port),
                    max_inner: uplink.mtu.saturating_sub(template::IP_OVERHEAD as u16),
                },
            );
            underlay.by_host.insert(host, tunnel);
            underlay.names.push((peer.name.to_string(), tunnel));
        }
        Ok(underlay)
    }

    fn segments(&self, underlay: &Underlay) -> Vec<Segment> {
        let mut segments = Vec::new();
        for (index, tenant) in self.fabric.tenants.iter().enumerate() {
            for segment in &tenant.segments {
                segments.push(Segment {
                    tenant: self.tenants[index],
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
        for (port, plan) in self.plans() {
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

    /// The ports, each with what an earlier document left at places that this one has nothing for: nothing.
    fn snapshot_ports(&self) -> Vec<Port> {
        let worker = |id: PortId| owner(id, self.workers);
        let guests = |worker_id: WorkerId| {
            let guests = self
                .plans()
                .filter(|(id, plan)| worker(*id) == worker_id && matches!(plan, PortPlan::Guest { .. }));
            guests.count() as u32
        };
        let guests: Vec<u32> = (0..self.workers.max(1)).map(|id| guests(WorkerId(id as u16))).collect();
        let classes = self.tenant_classes();
        let vacant = |index| Port { worker: worker(PortId(index as u16)), kind: PortKind::Vacant };
        let before = self.previous.map_or(0, |previous| previous.snapshot.ports.len());
        let mut ports: Vec<Port> = (0..before).map(vacant).collect();
        for (at, (id, plan)) in self.plans().enumerate() {
            let kind = match plan {
                PortPlan::Uplink(uplink) => PortKind::Uplink(Uplink {
                    mac: self.macs.get(at).copied().unwrap_or_default(),
                    addresses: uplink.addresses.iter().map(|net| net.addr()).collect(),
                    rate: uplink.rate.unwrap_or_default(),
                }),
                PortPlan::Guest { index, endpoint, .. } => PortKind::Guest(Guest {
                    tenant: self.tenants[*index],
                    segment: self.segment_of(*index, endpoint),
                    mac: endpoint.mac,
                    ipv4: endpoint.ips.iter().filter_map(v4).collect(),
                    ipv6: endpoint.ips.iter().filter_map(v6).chain([link_local(endpoint.mac)]).collect(),
                    limits: limits(endpoint.sessions, self.here().sessions, guests[worker(id).index()]),
                    share: qos::share(endpoint.qos.as_ref()),
                    classes: self.classes(id, endpoint.qos.as_ref(), &classes[*index]),
                }),
            };
            put(&mut ports, id.index(), Port { worker: worker(id), kind });
        }
        ports
    }

    fn places(&self, underlay: &Underlay) -> Vec<(SegmentId, Mac, Place)> {
        let mut places = Vec::new();
        for (port, plan) in self.plans() {
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

    fn labels(&self, underlay: &Underlay, numbers: &Numbers) -> Labels {
        let ports_of: HashMap<String, PortId> = self.plans().map(|(id, plan)| (plan.name(), id)).collect();
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
            tenant: if let PortPlan::Guest { index, .. } = plan { Some(self.tenants[*index]) } else { None },
            classes: plan.classes().iter().map(|class| class.name.to_string()).collect(),
        };
        // A port that is no more keeps its name: what it counted is still told.
        let mut ports = self.previous.map_or_else(Vec::new, |previous| previous.labels.ports.clone());
        self.plans().for_each(|(id, plan)| put(&mut ports, id.index(), label(plan)));
        let mut tenants = vec![None; numbers.tenants.given()];
        for (id, tenant) in self.tenants.iter().zip(&self.fabric.tenants) {
            tenants[id.index()] = Some(tenant.name.to_string());
        }
        let mut tunnels = vec![None; numbers.tunnels.given()];
        underlay.names.iter().for_each(|(name, id)| tunnels[id.index()] = Some(name.clone()));
        Labels {
            fabric: self.fabric.name.to_string(),
            host: self.here().name.to_string(),
            ports,
            tenants,
            tunnels,
            services: Vec::new(),
            endpoints,
        }
    }

    /// The largest IP packet of a guest that every uplink carries encapsulated; Ethernet's own without uplinks.
    fn guest_mtu(&self) -> u16 {
        let overhead = template::LEN as u16;
        let uplinks = self.here().uplinks.iter();
        uplinks.map(|uplink| uplink.mtu.saturating_sub(overhead)).min().unwrap_or(1500)
    }

    /// The ports of this host with their numbers.
    fn plans(&self) -> impl Iterator<Item = (PortId, &PortPlan<'a>)> {
        self.ids.iter().copied().zip(&self.plans)
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

/// Puts `item` at `index` of a list that is that long or longer.
fn put<T>(list: &mut Vec<T>, index: usize, item: T) {
    match list.get_mut(index) {
        Some(place) => *place = item,
        None => {
            // New numbers come in order.
            debug_assert_eq!(list.len(), index);
            list.push(item);
        }
    }
}

/// What a guest may take of a worker's `room` for sessions that `guests` share.
fn limits(limits: checked::SessionLimits, room: u32, guests: u32) -> flow::Limits {
    /// The least of what is not said.
    const MIN_SESSIONS: u32 = 1024;
    /// Many times what a busy server opens.
    const RATE: u32 = 50_000;
    /// What a burst may be at least.
    const MIN_BURST: u32 = 64;

    let sessions = limits.max.unwrap_or_else(|| (room / guests.max(1)).max(MIN_SESSIONS)).min(room);
    let rate = limits.rate.unwrap_or(RATE);
    flow::Limits {
        sessions,
        embryonic: limits.opening.unwrap_or_else(|| (sessions / 2).max(1)).min(sessions),
        rate,
        burst: (rate / 5).max(MIN_BURST),
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
