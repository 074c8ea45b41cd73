//! What a lab is to be: hosts, tenants, guests. Names and addresses are as in the fabric's document.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;

use super::policy::PolicySpec;
use super::{GUEST_MTU, is_within, parse};
use crate::guest::GuestKind;
use crate::wire::Faults;
use crate::{Error, Result, Underlay};

/// The description of a lab.
#[derive(Clone, Debug)]
pub struct LabSpec {
    /// How the hosts are joined.
    pub underlay: Underlay,
    /// The UDP port of the tunnels.
    pub vxlan_port: u16,
    /// The switch's program, if not [`crate::host::binary`].
    pub binary: Option<PathBuf>,
    pub(super) sessions: Option<String>,
    pub(super) qos: Option<String>,
    pub(super) dscp: Option<String>,
    pub(super) hosts: Vec<HostSpec>,
    pub(super) tenants: Vec<TenantSpec>,
    pub(super) guests: Vec<GuestSpec>,
}

impl LabSpec {
    /// A lab without anything yet.
    pub fn new(underlay: Underlay) -> Self {
        Self {
            underlay,
            vxlan_port: 4789,
            binary: None,
            sessions: None,
            qos: None,
            dscp: None,
            hosts: Vec::new(),
            tenants: Vec::new(),
            guests: Vec::new(),
        }
    }

    /// How the fabric's sessions are kept, in the document's own words: `{ tcp: strict, timeouts: { udp: 2s } }`.
    pub fn sessions(mut self, yaml: &str) -> Self {
        self.sessions = Some(yaml.into());
        self
    }

    /// What packets cost, in the document's own words: `{ overhead: 0, overlay: false }`.
    pub fn qos(mut self, yaml: &str) -> Self {
        self.qos = Some(yaml.into());
        self
    }

    /// How the DSCP crosses the tunnels: `pipe` or `uniform`.
    pub fn dscp(mut self, how: &str) -> Self {
        self.dscp = Some(how.into());
        self
    }

    /// One more host, started in the order given.
    pub fn host(mut self, host: HostSpec) -> Self {
        self.hosts.push(host);
        self
    }

    /// One more segment of a tenant, which is made if it is new.
    pub fn segment(mut self, tenant: &str, name: &str, vni: u32, subnet: &str) -> Self {
        let segment = SegmentSpec { name: name.into(), vni, subnets: vec![subnet.into()], gateway: None };
        self.tenant_mut(tenant).segments.push(segment);
        self
    }

    /// One more subnet of the segment given last to this tenant: of the other family, say.
    pub fn subnet(mut self, tenant: &str, subnet: &str) -> Self {
        if let Some(segment) = self.tenant_mut(tenant).segments.last_mut() {
            segment.subnets.push(subnet.into());
        }
        self
    }

    /// The gateway of the segment given last to this tenant.
    pub fn gateway(mut self, tenant: &str, address: &str) -> Self {
        if let Some(segment) = self.tenant_mut(tenant).segments.last_mut() {
            segment.gateway = Some(address.into());
        }
        self
    }

    /// A tenant's policy, in place of an earlier one. Its rules speak of the groups that guests are in.
    pub fn policy(mut self, tenant: &str, policy: PolicySpec) -> Self {
        self.tenant_mut(tenant).policy = Some(policy);
        self
    }

    /// More of a tenant in the document's own words: `qos`, `sessions`.
    ///
    /// ```
    /// # use testbed::{LabSpec, Underlay};
    /// let spec = LabSpec::new(Underlay::None).document("blue", "sessions: { max: 1000, rate: 500/s }");
    /// ```
    pub fn document(mut self, tenant: &str, yaml: &str) -> Self {
        self.tenant_mut(tenant).yaml.push(yaml.into());
        self
    }

    /// One more guest.
    pub fn with(mut self, guest: GuestSpec) -> Self {
        self.guests.push(guest);
        self
    }

    /// One more guest, with all that is not said here left to chance-free defaults.
    pub fn guest(
        self,
        tenant: &str,
        segment: &str,
        name: &str,
        host: &str,
        ip: &str,
        kind: GuestKind,
    ) -> Self {
        self.with(GuestSpec::new(&format!("{tenant}/{name}"), segment, host, ip, kind))
    }

    /// The same without this guest. The others keep all that follows from their places.
    pub fn without(mut self, guest: &str) -> Self {
        self.guests.iter_mut().filter(|given| given.name == guest).for_each(|given| given.is_gone = true);
        self
    }

    /// The groups that guests of a tenant are in, by name.
    pub(super) fn groups(&self, tenant: &str) -> BTreeSet<&str> {
        let of_tenant = |guest: &&GuestSpec| !guest.is_gone && guest.tenant() == tenant;
        self.guests.iter().filter(of_tenant).flat_map(|guest| &guest.groups).map(String::as_str).collect()
    }

    pub(super) fn switches(&self) -> impl Iterator<Item = &HostSpec> {
        self.hosts.iter().filter(|host| !host.is_peer)
    }

    pub(super) fn peers(&self) -> impl Iterator<Item = &HostSpec> {
        self.hosts.iter().filter(|host| host.is_peer)
    }

    /// The guests with all that their document entry needs.
    pub(super) fn placed(&self) -> Result<Vec<Placed>> {
        let given = self.guests.iter().enumerate().filter(|(_, guest)| !guest.is_gone);
        given.map(|(index, guest)| self.place(index, guest)).collect()
    }

    fn place(&self, index: usize, guest: &GuestSpec) -> Result<Placed> {
        let lacks = |what: String| Error::failed(format!("guest {}: the lab has no {what}", guest.name), "");
        let (tenant_name, _) =
            guest.name.split_once('/').ok_or_else(|| lacks("tenant in its name".into()))?;
        let mut tenants = self.tenants.iter();
        let tenant = tenants
            .find(|tenant| tenant.name == tenant_name)
            .ok_or_else(|| lacks(format!("tenant {tenant_name}")))?;
        let segment = tenant.segments.iter().find(|segment| segment.name == guest.segment);
        let segment = segment.ok_or_else(|| lacks(format!("segment {}", guest.segment)))?;
        let host = self.hosts.iter().find(|host| host.name == guest.host);
        let host = host.ok_or_else(|| lacks(format!("host {}", guest.host)))?;
        let within = |text: &str| -> Result<(IpAddr, u8)> {
            let address = parse(text, "address")?;
            for subnet in &segment.subnets {
                let (network, prefix) =
                    subnet.split_once('/').ok_or_else(|| lacks(format!("prefix in {subnet}")))?;
                let (network, prefix) = (parse(network, "address")?, parse(prefix, "prefix")?);
                if is_within(address, network, prefix) {
                    return Ok((address, prefix));
                }
            }
            Err(lacks(format!("{address} in {}", segment.subnets.join(", "))))
        };
        let (address, prefix) = within(&guest.ip)?;
        let others = guest.also.iter().map(|text| within(text)).collect::<Result<_>>()?;
        let gateway = segment.gateway.as_deref().map(|text| parse(text, "address")).transpose()?;
        let [high, low] = (index as u16 + 1).to_be_bytes();
        let mac = guest.mac.clone().unwrap_or_else(|| format!("02:00:00:00:{high:02x}:{low:02x}"));
        Ok(Placed {
            spec: guest.clone(),
            index,
            mac,
            address,
            prefix,
            others,
            gateway,
            vni: segment.vni,
            vtep: host.vtep,
        })
    }

    fn tenant_mut(&mut self, name: &str) -> &mut TenantSpec {
        let at = self.tenants.iter().position(|tenant| tenant.name == name).unwrap_or_else(|| {
            let (name, segments, yaml) = (name.into(), Vec::new(), Vec::new());
            self.tenants.push(TenantSpec { name, segments, policy: None, yaml });
            self.tenants.len() - 1
        });
        &mut self.tenants[at]
    }
}

/// A host of a lab.
#[derive(Clone, Debug)]
pub struct HostSpec {
    pub(super) name: String,
    pub(super) vtep: IpAddr,
    pub(super) is_peer: bool,
    pub(super) user: Option<u32>,
    pub(super) cores: Option<Vec<u32>>,
    pub(super) faults: Option<Faults>,
    pub(super) uplink_rate: Option<String>,
}

impl HostSpec {
    /// A host that runs the switch, with the underlay address of its tunnel's end.
    ///
    /// # Panics
    /// When `vtep` is no address.
    pub fn new(name: &str, vtep: &str) -> Self {
        let vtep = vtep.parse().unwrap_or_else(|_| panic!("`{vtep}` is no address"));
        Self {
            name: name.into(),
            vtep,
            is_peer: false,
            user: None,
            cores: None,
            faults: None,
            uplink_rate: None,
        }
    }

    /// A host that is Linux with its own VXLAN device.
    ///
    /// # Panics
    /// When `vtep` is no address.
    pub fn linux(name: &str, vtep: &str) -> Self {
        Self { is_peer: true, ..Self::new(name, vtep) }
    }

    /// The cores of its workers; one of the machine's, each host another, unless said.
    pub fn cores(mut self, cores: &[u32]) -> Self {
        self.cores = Some(cores.to_vec());
        self
    }

    /// What its wire to the underlay does to frames, in both directions; only with [`Underlay::Veth`].
    pub fn faults(mut self, faults: Faults) -> Self {
        self.faults = Some(faults);
        self
    }

    /// What its uplink carries, as `100Mbit`.
    pub fn uplink_rate(mut self, rate: &str) -> Self {
        self.uplink_rate = Some(rate.into());
        self
    }

    /// The user the switch runs as, which only root may say.
    pub fn user(mut self, uid: u32) -> Self {
        self.user = Some(uid);
        self
    }
}

/// A tenant of a lab.
#[derive(Clone, Debug)]
pub(super) struct TenantSpec {
    pub(super) name: String,
    pub(super) segments: Vec<SegmentSpec>,
    pub(super) policy: Option<PolicySpec>,
    pub(super) yaml: Vec<String>,
}

/// A segment of a tenant.
#[derive(Clone, Debug)]
pub(super) struct SegmentSpec {
    pub(super) name: String,
    pub(super) vni: u32,
    pub(super) subnets: Vec<String>,
    pub(super) gateway: Option<String>,
}

/// A guest of a lab. On a Linux peer its kind does not matter: it is a namespace with the peer's VXLAN device.
#[derive(Clone, Debug)]
pub struct GuestSpec {
    pub(super) name: String,
    pub(super) segment: String,
    pub(super) host: String,
    pub(super) ip: String,
    pub(super) kind: GuestKind,
    pub(super) mac: Option<String>,
    pub(super) mtu: u16,
    pub(super) queues: u16,
    pub(super) groups: Vec<String>,
    pub(super) also: Vec<String>,
    pub(super) sessions: Option<String>,
    pub(super) qos: Option<String>,
    pub(super) faults: Option<Faults>,
    pub(super) is_gone: bool,
}

impl GuestSpec {
    /// The guest `tenant/name`, on a segment of its tenant, at a host.
    pub fn new(name: &str, segment: &str, host: &str, ip: &str, kind: GuestKind) -> Self {
        let (name, segment, host, ip) = (name.into(), segment.into(), host.into(), ip.into());
        let (groups, also) = (Vec::new(), Vec::new());
        let (mac, mtu, queues) = (None, GUEST_MTU, 1);
        let (sessions, qos, faults, is_gone) = (None, None, None, false);
        Self { name, segment, host, ip, kind, mac, mtu, queues, groups, also, sessions, qos, faults, is_gone }
    }

    fn tenant(&self) -> &str {
        self.name.split('/').next().unwrap_or_default()
    }

    /// Its MAC address; made of its place in the lab unless said.
    pub fn mac(mut self, mac: &str) -> Self {
        self.mac = Some(mac.into());
        self
    }

    /// Its MTU; the most that the underlay carries unless said.
    pub fn mtu(mut self, mtu: u16) -> Self {
        self.mtu = mtu;
        self
    }

    /// Its queue pairs.
    pub fn queues(mut self, queues: u16) -> Self {
        self.queues = queues;
        self
    }

    /// An address more, of the segment's other subnet. Machines under QEMU do not give it to themselves.
    pub fn also(mut self, ip: &str) -> Self {
        self.also.push(ip.into());
        self
    }

    /// What it may take of the room for sessions, in the document's own words: `{ max: 1000, rate: 500/s }`.
    pub fn sessions(mut self, yaml: &str) -> Self {
        self.sessions = Some(yaml.into());
        self
    }

    /// What is assured and bounded of its traffic, in the document's own words: `{ rate: 10Mbit }`.
    pub fn qos(mut self, yaml: &str) -> Self {
        self.qos = Some(yaml.into());
        self
    }

    /// What its wire does to frames, in both directions; only of [`GuestKind::Netns`].
    pub fn faults(mut self, faults: Faults) -> Self {
        self.faults = Some(faults);
        self
    }

    /// The groups it is in.
    pub fn groups(mut self, groups: &[&str]) -> Self {
        self.groups = groups.iter().map(|group| (*group).into()).collect();
        self
    }
}

/// A guest with all that follows from its place in the lab.
#[derive(Clone, Debug)]
pub struct Placed {
    pub(super) spec: GuestSpec,
    pub(super) index: usize,
    pub(super) mac: String,
    pub(super) address: IpAddr,
    pub(super) prefix: u8,
    pub(super) others: Vec<(IpAddr, u8)>,
    pub(super) gateway: Option<IpAddr>,
    pub(super) vni: u32,
    pub(super) vtep: IpAddr,
}

impl Placed {
    /// Its socket in its host's folder.
    pub(super) fn socket(&self) -> String {
        format!("{}.sock", self.spec.name.replace('/', "-"))
    }

    /// The name of the host's end of its wire.
    pub(super) fn wire(&self) -> String {
        format!("g{}", self.index)
    }
}
