//! Tenants: their segments, groups and endpoints.

use std::net::IpAddr;
use std::path::{Component, Path, PathBuf};

use ipnet::IpNet;
use weft_pipelines::{Mac, Vni};

use super::{Names, Seen, hosts, label, policy, qos, sessions, value_of};
use crate::config::checked::{
    Attach, Endpoint, Group, GroupIndex, HostIndex, Segment, SegmentIndex, SessionLimits, Tenant,
};
use crate::config::diagnostic::{At, Location, Notes};
use crate::config::raw::{self, Document, List};
use crate::config::read::Located;
use crate::config::suggest::quoted;

/// The longest path that a unix socket's address holds (`sun_path` has 108 bytes, one is the end's).
const MAX_SOCKET_PATH: usize = 107;
/// What a relative path leaves of it for the runtime directory.
const RUNTIME_DIRECTORY: usize = 40;
/// What the switch itself has in the runtime directory.
const RESERVED: [&str; 3] = ["api.sock", "lock", "dpdk"];
/// The queue pairs of a vhost-user port.
const MAX_QUEUES: u16 = 8;
/// The least that an IPv6 link carries (RFC 8200, section 5), and the tunnel's own.
const MIN_MTU_IPV6: u16 = 1280 + 50;

/// The tenants, if all are whole.
pub(super) fn check(document: &Document, hosts: &Names<'_>, notes: &Notes) -> Option<Vec<Tenant>> {
    let tenants = &document.tenants;
    Names::of("tenant", None, tenants, |item| &item.name, notes);
    let mut fabric =
        Shared { document, hosts, vnis: Seen::new(), attached: Seen::new(), mtu_told: Seen::new(), notes };
    for (index, host) in document.hosts.iter().enumerate() {
        for uplink in host.value.iter().flat_map(|host| &host.uplinks) {
            if let Some(Located { at, value: Some(device) }) =
                uplink.value.as_ref().map(|uplink| &uplink.device)
            {
                fabric.attached.before((index, Attachment::Device(hosts::written_name(device))), *at);
            }
        }
    }
    let tenants: Vec<Option<Tenant>> =
        tenants.iter().map(|t| fabric.tenant(t.value.as_ref()?, t.at)).collect();
    tenants.into_iter().collect()
}

/// What the tenants share.
struct Shared<'a> {
    document: &'a Document,
    hosts: &'a Names<'a>,
    vnis: Seen<u32>,
    attached: Seen<(usize, Attachment)>,
    /// Uplinks that were said to be too small for IPv6, by the place of their MTU.
    mtu_told: Seen<Location>,
    notes: &'a Notes,
}

/// What only one endpoint of a host can have.
#[derive(PartialEq, Eq, Hash)]
enum Attachment {
    Socket(PathBuf),
    Device(String),
}

/// What an endpoint is checked against in its tenant.
struct Scope<'a> {
    raw: &'a raw::Tenant,
    sessions: SessionLimits,
    segments: Names<'a>,
    groups: Names<'a>,
    macs: Seen<(usize, Mac)>,
    ips: Seen<(usize, IpAddr)>,
    /// Of each group, whether an endpoint is in it.
    populated: Vec<bool>,
}

impl Shared<'_> {
    fn tenant(&mut self, raw: &raw::Tenant, at: Location) -> Option<Tenant> {
        let notes = self.notes;
        let name = raw.name.value.as_deref();
        let owner = label("tenant", None, &raw.name);
        let mut scope = Scope {
            raw,
            sessions: sessions::limits(raw.sessions.as_ref(), SessionLimits::default(), &owner, notes),
            segments: Names::of("segment", name, &raw.segments, |item| &item.name, notes),
            groups: Names::of("group", name, &raw.groups, |item| &item.name, notes),
            macs: Seen::new(),
            ips: Seen::new(),
            populated: vec![false; raw.groups.iter().len()],
        };
        Names::of("endpoint", name, &raw.endpoints, |item| &item.name, notes);
        let segments: Vec<Option<Segment>> =
            raw.segments.iter().map(|s| self.segment(s.value.as_ref()?, s.at, name)).collect();
        let groups = groups(&raw.groups, name, notes);
        let endpoints: Vec<Option<Endpoint>> =
            raw.endpoints.iter().map(|e| self.endpoint(e.value.as_ref()?, e.at, name, &mut scope)).collect();
        let is_empty = |index: usize| {
            let group = raw.groups.item(index);
            !scope.populated[index] && group.is_some_and(|group| group.id.is_none() && group.cidr.is_empty())
        };
        let policy = policy::check(raw.policy.as_ref(), name, at, &scope.groups, is_empty, notes);
        Some(Tenant {
            qos: qos::qos(raw.qos.as_ref(), &owner, name, notes),
            sessions: scope.sessions,
            name: raw.name.value.clone()?,
            segments: segments.into_iter().collect::<Option<_>>()?,
            groups: groups.into_iter().collect::<Option<_>>()?,
            endpoints: endpoints.into_iter().collect::<Option<_>>()?,
            policy: policy?,
            at: At(at),
        })
    }

    fn segment(&mut self, raw: &raw::Segment, at: Location, tenant: Option<&str>) -> Option<Segment> {
        let owner = label("segment", tenant, &raw.name);
        let vni = self.vni(&raw.vni, &owner);
        let notes = self.notes;
        if raw.subnet.is_empty() {
            notes.error(raw.subnet.at, format!("{owner}: has no subnet; give one, as 10.1.0.0/24"));
        }
        let mut subnets: Vec<IpNet> = Vec::new();
        for Located { at, value } in &raw.subnet {
            let Some(net) = value.map(|net| net.0) else { continue };
            if !is_unicast(net.addr()) || net.prefix_len() == 0 {
                notes.error(
                    *at,
                    format!("{owner}: subnet {net} holds more than hosts' addresses; give a unicast network"),
                );
            }
            if let Some(other) = subnets.iter().find(|other| other.contains(&net) || net.contains(*other)) {
                notes.error(*at, format!("{owner}: subnet {net} overlaps {other}; leave one of them out"));
            }
            subnets.push(net);
        }
        let mut gateways = Vec::new();
        let mut seen = Seen::new();
        for Located { at, value } in &raw.gateway {
            let Some(ip) = value.map(|ip| ip.0) else { continue };
            if seen.before(ip, *at).is_some() {
                notes.error(*at, format!("{owner}: gateway {ip} is there twice"));
            }
            within(ip, *at, &raw.subnet, &owner, "gateway", raw.name.value.as_deref(), notes);
            gateways.push(ip);
        }
        Some(Segment { name: raw.name.value.clone()?, vni: vni?, subnets, gateways, at: At(at) })
    }

    fn vni(&mut self, raw: &Located<u32>, owner: &str) -> Option<Vni> {
        let number = raw.value?;
        let Some(vni) = Vni::new(number) else {
            self.notes.error(raw.at, format!("{owner}: vni {number} is none: they are 1 to {}", Vni::MAX));
            return None;
        };
        if let Some(first) = self.vnis.before(number, raw.at) {
            let line = first.line;
            self.notes.error(
                raw.at,
                format!("{owner}: vni {vni} is that of the segment at line {line}; give another"),
            );
        }
        Some(vni)
    }

    fn endpoint(
        &mut self,
        raw: &raw::Endpoint,
        at: Location,
        tenant: Option<&str>,
        scope: &mut Scope<'_>,
    ) -> Option<Endpoint> {
        let notes = self.notes;
        let owner = label("endpoint", tenant, &raw.name);
        let host = self.hosts.find(&raw.host, &owner, notes);
        let attach = self.attach(&raw.attach, host, &owner);
        let segment = scope.segments.find(&raw.segment, &owner, notes);
        if let (Some(host), Some(segment)) = (host, segment) {
            self.mtu(host, segment, scope.raw);
        }
        let groups = scope.members(&raw.groups, &owner, notes);
        let ips = scope.addresses(raw, segment, &owner, notes);
        if let (Some(segment), Some(mac)) = (segment, raw.mac.value)
            && let Some(first) = scope.macs.before((segment, mac.0), raw.mac.at)
        {
            let line = first.line;
            notes.error(
                raw.mac.at,
                format!("{owner}: mac {} is on the segment already, at line {line}; give another", mac.0),
            );
        }
        Some(Endpoint {
            qos: qos::qos(raw.qos.as_ref(), &owner, owner.strip_prefix("endpoint "), notes),
            sessions: sessions::limits(raw.sessions.as_ref(), scope.sessions, &owner, notes),
            name: raw.name.value.clone()?,
            host: HostIndex(host?),
            attach: attach?,
            segment: SegmentIndex(segment?),
            mac: raw.mac.value?.0,
            ips: ips?,
            groups: groups?,
            at: At(at),
        })
    }

    fn attach(&mut self, raw: &Located<raw::Attach>, host: Option<usize>, owner: &str) -> Option<Attach> {
        let notes = self.notes;
        let Located { at, value } = raw;
        let raw = value.as_ref()?;
        let (attach, place, attachment, shown) = match (&raw.vhost_user, &raw.device) {
            (Some(path), None) => {
                let queues = queues(raw.queues.as_ref(), owner, notes);
                let text = socket_path(path, owner, notes)?;
                let mode = value_of(&raw.mode).copied().unwrap_or_default();
                let attach = Attach::VhostUser { path: PathBuf::from(text), mode, queues: queues? };
                (attach, path.at, Attachment::Socket(plain_path(text)), format!("socket {}", quoted(text)))
            }
            (None, Some(device)) => {
                for (key, place) in
                    [("mode", raw.mode.as_ref().map(|m| m.at)), ("queues", raw.queues.as_ref().map(|q| q.at))]
                {
                    if let Some(place) = place {
                        notes.error(
                            place,
                            format!("{owner}: {key} goes with vhost-user; a device has its own arguments"),
                        );
                    }
                }
                let text = hosts::device(device, owner, notes)?;
                let name = hosts::device_name(&text).to_owned();
                let shown = format!("device {}", quoted(&name));
                (Attach::Device(text), device.at, Attachment::Device(name), shown)
            }
            (None, None) => {
                notes.error(
                    *at,
                    format!("{owner}: attach says not how; give vhost-user: PATH or device: STRING"),
                );
                return None;
            }
            (Some(_), Some(device)) => {
                notes.error(
                    device.at,
                    format!("{owner}: attach has both vhost-user and device; leave one out"),
                );
                return None;
            }
        };
        if let Some(host) = host
            && let Some(first) = self.attached.before((host, attachment), place)
        {
            let line = first.line;
            notes.error(
                place,
                format!("{owner}: {shown} is in use on that host already, at line {line}; give another"),
            );
        }
        Some(attach)
    }

    /// Notes if the host's uplinks are too small for a segment with IPv6.
    fn mtu(&mut self, host: usize, segment: usize, tenant: &raw::Tenant) {
        let segment = tenant.segments.item(segment);
        let has_ipv6 = |segment: &raw::Segment| {
            segment.subnet.iter().any(|net| matches!(net.value, Some(n) if n.0.addr().is_ipv6()))
        };
        let Some(segment) = segment.filter(|segment| has_ipv6(segment)) else { return };
        let Some(host) = self.document.hosts.item(host) else { return };
        for uplink in host.uplinks.iter().filter_map(|uplink| uplink.value.as_ref()) {
            if let Some(Located { at, value: Some(mtu) }) = uplink.mtu
                && mtu < MIN_MTU_IPV6
                && self.mtu_told.before(at, at).is_none()
            {
                let owner = label("uplink", host.name.value.as_deref(), &uplink.name);
                let segment = label("segment", tenant.name.value.as_deref(), &segment.name);
                self.notes.error(
                    at,
                    format!("{owner}: mtu {mtu} is too small for the IPv6 of {segment}; give {MIN_MTU_IPV6} or more"),
                );
            }
        }
    }
}

impl Scope<'_> {
    fn members(
        &mut self,
        raw: &List<crate::config::Name>,
        owner: &str,
        notes: &Notes,
    ) -> Option<Vec<GroupIndex>> {
        let mut seen = Seen::new();
        let mut found = Vec::new();
        for name in raw {
            let Some(index) = self.groups.find(name, owner, notes) else { continue };
            let text = name.value.as_deref().unwrap_or_default();
            if seen.before(index, name.at).is_some() {
                notes.error(name.at, format!("{owner}: group {text} is there twice"));
            }
            if self.raw.groups.item(index).is_some_and(|group| !group.cidr.is_empty()) {
                notes.error(
                    name.at,
                    format!("{owner}: group {text} is one of addresses (cidr), which endpoints do not join; name another"),
                );
            }
            self.populated[index] = true;
            found.push(GroupIndex(index));
        }
        (found.len() == raw.iter().len()).then_some(found)
    }

    fn addresses(
        &mut self,
        raw: &raw::Endpoint,
        segment: Option<usize>,
        owner: &str,
        notes: &Notes,
    ) -> Option<Vec<IpAddr>> {
        if raw.ip.is_empty() {
            notes.error(raw.ip.at, format!("{owner}: has no ip; give one of its segment's subnets"));
        }
        for Located { at, value } in &raw.ip {
            let (Some(ip), Some(segment)) = (value.map(|ip| ip.0), segment) else { continue };
            if let Some(on) = self.raw.segments.item(segment) {
                within(ip, *at, &on.subnet, owner, "ip", on.name.value.as_deref(), notes);
            }
            if let Some(first) = self.ips.before((segment, ip), *at) {
                let line = first.line;
                notes.error(
                    *at,
                    format!("{owner}: ip {ip} is on the segment already, at line {line}; give another"),
                );
            }
        }
        raw.ip.iter().map(|ip| ip.value.map(|ip| ip.0)).collect()
    }
}

fn groups(raw: &List<raw::Group>, tenant: Option<&str>, notes: &Notes) -> Vec<Option<Group>> {
    let mut ids = Seen::new();
    let mut one = |raw: &raw::Group, at: Location| {
        let owner = label("group", tenant, &raw.name);
        if raw.name.value.as_ref().is_some_and(|name| *name == policy::ANY) {
            notes.error(raw.name.at, format!("{owner}: `any` means everybody; give another name"));
        }
        if let Some(Located { at, value: Some(id) }) = raw.id {
            if id == 0 {
                notes.error(
                    at,
                    format!("{owner}: id 0 is what a packet without a group carries; give 1 to 65535"),
                );
            } else if let Some(first) = ids.before(id, at) {
                notes.error(
                    at,
                    format!("{owner}: id {id} is that of the group at line {}; give another", first.line),
                );
            }
            if !raw.cidr.is_empty() {
                notes.error(
                    at,
                    format!("{owner}: has both id and cidr; an id is of endpoints, a cidr of addresses: make two groups of it"),
                );
            }
        }
        let mut seen = Seen::new();
        for Located { at, value } in &raw.cidr {
            if let Some(net) = value
                && seen.before(net.0, *at).is_some()
            {
                notes.error(*at, format!("{owner}: cidr {} is there twice", net.0));
            }
        }
        let id = match &raw.id {
            None => None,
            Some(id) => Some(id.value?),
        };
        let cidrs = raw.cidr.iter().map(|net| net.value.map(|net| net.0)).collect::<Option<_>>()?;
        Some(Group { name: raw.name.value.clone()?, id, cidrs, at: At(at) })
    };
    raw.iter().map(|located| one(located.value.as_ref()?, located.at)).collect()
}

/// Notes if `ip` is not a host's address within the subnets of a segment.
fn within(
    ip: IpAddr,
    at: Location,
    subnets: &List<crate::config::scalar::Network>,
    owner: &str,
    what: &str,
    segment: Option<&str>,
    notes: &Notes,
) {
    let nets: Option<Vec<IpNet>> =
        subnets.value.iter().flatten().map(|net| net.value.map(|net| net.0)).collect();
    // Without all of the subnets it cannot be said what is outside of them.
    let Some(nets) = nets.filter(|nets| !nets.is_empty()) else { return };
    match nets.iter().find(|net| net.contains(&ip)) {
        None => {
            let nets = nets.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let segment = segment.map_or_else(String::new, |name| format!(" {name}"));
            notes.error(
                at,
                format!(
                    "{owner}: {what} {ip} is outside the subnets of segment{segment} ({nets}); \
                     give it an address inside, or add the subnet to the segment"
                ),
            );
        }
        Some(net) if net.max_prefix_len() - net.prefix_len() >= 2 => {
            if ip == net.network() {
                notes.error(
                    at,
                    format!("{owner}: {what} {ip} is the network address of {net}; give a host's address"),
                );
            } else if ip.is_ipv4() && ip == net.broadcast() {
                notes.error(
                    at,
                    format!("{owner}: {what} {ip} is the broadcast address of {net}; give a host's address"),
                );
            }
        }
        Some(_) => {}
    }
}

fn is_unicast(ip: IpAddr) -> bool {
    let limited = matches!(ip, IpAddr::V4(ip) if ip.octets()[0] == 0 || ip.octets()[0] >= 240);
    !(ip.is_multicast() || ip.is_loopback() || ip.is_unspecified() || limited)
}

fn queues(raw: Option<&Located<u16>>, owner: &str, notes: &Notes) -> Option<u16> {
    let Some(Located { at, value }) = raw else { return Some(1) };
    let queues = (*value)?;
    if !(1..=MAX_QUEUES).contains(&queues) {
        notes.error(*at, format!("{owner}: {queues} queues: give 1 to {MAX_QUEUES}"));
    }
    Some(queues)
}

fn socket_path<'a>(raw: &'a Located<String>, owner: &str, notes: &Notes) -> Option<&'a str> {
    let text = raw.value.as_deref()?;
    let relative = !text.starts_with('/');
    let most = if relative { MAX_SOCKET_PATH - RUNTIME_DIRECTORY } else { MAX_SOCKET_PATH };
    let fault = if text.is_empty() {
        "is empty; give the path of a socket, as web1.sock".to_owned()
    } else if text.len() > most {
        let why = if relative {
            "bytes for a path within the runtime directory"
        } else {
            "bytes for a socket's path"
        };
        format!("has {} bytes; there are {most} {why}", text.len())
    } else if text.contains(char::is_control) {
        "has a control character".to_owned()
    } else if text.contains([' ', ',', '[', ']', '"', '\'']) {
        "has a blank, comma, bracket or quote, which a DPDK device's argument cannot carry".to_owned()
    } else if relative && is_reserved(text) {
        "is the switch's own; give another name".to_owned()
    } else if text.ends_with('/') || Path::new(text).file_name().is_none() {
        "is a directory's; name the socket in it".to_owned()
    } else if relative && Path::new(text).components().any(|part| part == Component::ParentDir) {
        "leads out of the runtime directory; give an absolute path if that is meant".to_owned()
    } else {
        return Some(text);
    };
    notes.error(raw.at, format!("{owner}: vhost-user path {} {fault}", quoted(text)));
    None
}

/// Whether the path is, or leads into, what the switch itself has in the runtime directory.
fn is_reserved(text: &str) -> bool {
    plain_path(text).iter().next().is_some_and(|first| RESERVED.iter().any(|own| first == *own))
}

/// The path without what does not matter in it, as `./`.
fn plain_path(text: &str) -> PathBuf {
    Path::new(text).components().filter(|part| *part != Component::CurDir).collect()
}
