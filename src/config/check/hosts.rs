//! Hosts and their uplinks.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};

use super::{Names, Seen, label, qos, sessions, value_of};
use crate::config::checked::{Host, Memory, Neighbor, Uplink, Workers};
use crate::config::diagnostic::{At, Location, Notes};
use crate::config::pci_address;
use crate::config::raw::{self, List};
use crate::config::read::Located;
use crate::config::scalar::{Address, InterfaceAddress};
use crate::config::suggest::quoted;

/// Below this there is no room for the packets of one port.
const MIN_MEMORY: u64 = 64 << 20;
/// What an uplink carries if the document does not say: 1500 bytes of a guest, the tunnel's 50, and some room.
const DEFAULT_MTU: u16 = 1600;
/// IPv4 hosts need not take more than 576 bytes (RFC 791), but guests must get that; 50 are the tunnel's.
const MIN_MTU: u16 = 576 + 50;
const MAX_MTU: u16 = 9216;
/// Linux's `CPU_SETSIZE`.
const MAX_CORES: u16 = 1024;
/// The longest name of a DPDK device, `RTE_DEV_NAME_MAX_LEN` with its end.
const MAX_DEVICE_NAME: usize = 63;

/// The hosts, if all are whole.
pub(super) fn check(raw: &List<raw::Host>, notes: &Notes) -> Option<Vec<Host>> {
    let mut hosts: Vec<Option<Host>> = Vec::new();
    let mut fabric = FabricAddresses { vteps: Seen::new(), uplinks: Seen::new() };
    for Located { at, value } in raw {
        hosts.push(value.as_ref().and_then(|raw| host(raw, *at, &mut fabric, notes)));
    }
    reachability(raw, notes);
    hosts.into_iter().collect()
}

/// Addresses that must differ over the whole fabric.
struct FabricAddresses {
    vteps: Seen<Ipv4Addr>,
    uplinks: Seen<Ipv4Addr>,
}

fn host(raw: &raw::Host, at: Location, fabric: &mut FabricAddresses, notes: &Notes) -> Option<Host> {
    let owner = label("host", None, &raw.name);
    let vtep = vtep(raw, &owner, fabric, notes);
    let parent = raw.name.value.as_deref();
    Names::of("uplink", parent, &raw.uplinks, |item| &item.name, notes);
    let mut devices = Seen::new();
    let uplinks: Option<Vec<Uplink>> = raw
        .uplinks
        .iter()
        .map(|u| uplink(u.value.as_ref()?, u.at, parent, fabric, &mut devices, notes))
        .collect::<Vec<_>>()
        .into_iter()
        .collect();
    Some(Host {
        name: raw.name.value.clone()?,
        vtep: vtep?,
        workers: workers(value_of(&raw.workers), &owner, notes),
        memory: memory(value_of(&raw.memory), &owner, notes),
        sessions: sessions::room(raw.sessions.as_ref(), &owner, notes),
        uplinks: uplinks?,
        at: At(at),
    })
}

fn vtep(raw: &raw::Host, owner: &str, fabric: &mut FabricAddresses, notes: &Notes) -> Option<Ipv4Addr> {
    let place = raw.vtep.at;
    let vtep = ipv4(raw.vtep.value?.0, "vtep", owner, place, notes)?;
    if !is_unicast(vtep) {
        notes.error(place, format!("{owner}: vtep {vtep} is no host's address; give a unicast one"));
        return None;
    }
    if let Some(first) = fabric.vteps.before(vtep, place) {
        let line = first.line;
        notes.error(
            place,
            format!("{owner}: vtep {vtep} is that of the host at line {line}; each host has its own"),
        );
    }
    let own: Option<Vec<Ipv4Net>> = networks(&raw.uplinks).collect();
    if let Some(own) = own
        && !own.is_empty()
        && own.iter().all(|net| net.addr() != vtep)
    {
        let own: Vec<String> = own.iter().map(ToString::to_string).collect();
        notes.error(
            place,
            format!(
                "{owner}: vtep {vtep} is none of its uplinks' addresses ({}); give one of these, or add it to an uplink",
                own.join(", ")
            ),
        );
    }
    Some(vtep)
}

fn workers(raw: Option<&raw::Workers>, owner: &str, notes: &Notes) -> Workers {
    let Some(raw) = raw else { return Workers::default() };
    let mut seen = Seen::new();
    let mut cores = Vec::new();
    for Located { at, value } in &raw.cores {
        let Some(core) = *value else { continue };
        if core >= MAX_CORES {
            notes.error(
                *at,
                format!("{owner}: core {core} is beyond {}, the last that Linux counts", MAX_CORES - 1),
            );
        }
        if seen.before(core, *at).is_some() {
            notes.error(*at, format!("{owner}: core {core} is there twice; a core has one worker"));
        }
        cores.push(usize::from(core));
    }
    Workers { cores, poll: value_of(&raw.poll).copied().unwrap_or_default() }
}

fn memory(raw: Option<&raw::Memory>, owner: &str, notes: &Notes) -> Memory {
    let default = Memory::default();
    let Some(raw) = raw else { return default };
    if let Some(Located { at, value: Some(size) }) = &raw.size
        && size.0 < MIN_MEMORY
    {
        notes.error(*at, format!("{owner}: memory of {} bytes is too little; give 64MiB or more", size.0));
    }
    Memory {
        size: value_of(&raw.size).map_or(default.size, |size| size.0),
        hugepages: value_of(&raw.hugepages).copied().unwrap_or_default(),
    }
}

fn uplink(
    raw: &raw::Uplink,
    at: Location,
    host: Option<&str>,
    fabric: &mut FabricAddresses,
    devices: &mut Seen<String>,
    notes: &Notes,
) -> Option<Uplink> {
    let owner = label("uplink", host, &raw.name);
    let device = device(&raw.device, &owner, notes);
    if let Some(device) = &device
        && let Some(first) = devices.before(device_name(device).to_owned(), raw.device.at)
    {
        let name = device_name(device);
        notes.error(
            raw.device.at,
            format!("{owner}: device `{name}` is that of the uplink at line {} too", first.line),
        );
    }
    let addresses: Option<Vec<Ipv4Net>> = {
        let each: Vec<_> = raw.address.iter().map(|a| address(a, &owner, fabric, notes)).collect();
        each.into_iter().collect()
    };
    if raw.address.is_empty() {
        notes.error(
            raw.address.at,
            format!("{owner}: has no address; give one with its prefix length, as 198.51.100.1/24"),
        );
    }
    let mtu = mtu(raw, &owner, notes);
    let rate = qos::rate(&raw.rate, "rate", &owner, notes);
    // Without all of the networks it cannot be said what is on none of them.
    let addresses = addresses?;
    let neighbors: Vec<_> = neighbors(raw, &addresses, &owner, notes);
    let gateway = match &raw.gateway {
        None => Some(None),
        Some(gateway) => next_hop(gateway, "gateway", &addresses, &owner, notes).map(Some),
    };
    Some(Uplink {
        name: raw.name.value.clone()?,
        device: device?,
        addresses,
        mtu: mtu?,
        rate,
        neighbors: neighbors.into_iter().collect::<Option<_>>()?,
        gateway: gateway?,
        at: At(at),
    })
}

fn address(
    raw: &Located<InterfaceAddress>,
    owner: &str,
    fabric: &mut FabricAddresses,
    notes: &Notes,
) -> Option<Ipv4Net> {
    let place = raw.at;
    let net = match raw.value?.0 {
        IpNet::V4(net) => net,
        IpNet::V6(net) => {
            ipv4(IpAddr::V6(net.addr()), "address", owner, place, notes)?;
            return None;
        }
    };
    let address = net.addr();
    if !is_unicast(address) {
        notes.error(place, format!("{owner}: {address} is no host's address; give a unicast one"));
        return None;
    }
    if net.prefix_len() < 31 && (address == net.network() || address == net.broadcast()) {
        let what = if address == net.network() { "network address" } else { "broadcast address" };
        notes.error(
            place,
            format!("{owner}: {address} is the {what} of {}; give a host's address", net.trunc()),
        );
        return None;
    }
    if let Some(first) = fabric.uplinks.before(address, place) {
        notes.error(
            place,
            format!("{owner}: {address} is that of the uplink at line {} too; give another", first.line),
        );
    }
    Some(net)
}

fn mtu(raw: &raw::Uplink, owner: &str, notes: &Notes) -> Option<u16> {
    let Some(Located { at, value }) = &raw.mtu else { return Some(DEFAULT_MTU) };
    let mtu = (*value)?;
    if mtu < MIN_MTU {
        notes.error(
            *at,
            format!("{owner}: mtu {mtu} leaves guests less than 576 bytes beside the tunnel's 50; give {MIN_MTU} or more"),
        );
    }
    if mtu > MAX_MTU {
        notes.error(*at, format!("{owner}: mtu {mtu} is more than {MAX_MTU}, the most that is supported"));
    }
    Some(mtu)
}

fn neighbors(raw: &raw::Uplink, nets: &[Ipv4Net], owner: &str, notes: &Notes) -> Vec<Option<Neighbor>> {
    let mut seen = Seen::new();
    let mut one = |neighbor: &raw::Neighbor| {
        let ip = next_hop(&neighbor.ip, "neighbor", nets, owner, notes)?;
        if let Some(first) = seen.before(ip, neighbor.ip.at) {
            notes.error(neighbor.ip.at, format!("{owner}: neighbor {ip} is at line {} already", first.line));
        }
        Some(Neighbor { ip, mac: neighbor.mac.value?.0 })
    };
    raw.neighbors.iter().map(|located| one(located.value.as_ref()?)).collect()
}

/// A neighbour's address: on one of the networks, and not our own.
fn next_hop(
    raw: &Located<Address>,
    what: &str,
    nets: &[Ipv4Net],
    owner: &str,
    notes: &Notes,
) -> Option<Ipv4Addr> {
    let ip = ipv4(raw.value?.0, what, owner, raw.at, notes)?;
    let Some(net) = nets.iter().find(|net| net.contains(&ip)) else {
        let nets: Vec<String> = nets.iter().map(|net| net.trunc().to_string()).collect();
        if !nets.is_empty() {
            let nets = nets.join(", ");
            notes.error(
                raw.at,
                format!("{owner}: {what} {ip} is on none of its networks ({nets}); give an address on one"),
            );
        }
        return None;
    };
    if nets.iter().any(|net| net.addr() == ip) {
        notes.error(raw.at, format!("{owner}: {what} {ip} is the uplink's own address"));
        return None;
    }
    if net.prefix_len() < 31 && (ip == net.network() || ip == net.broadcast()) {
        notes.error(
            raw.at,
            format!("{owner}: {what} {ip} is the network or broadcast address of {}", net.trunc()),
        );
        return None;
    }
    Some(ip)
}

/// Notes, of each host with uplinks, the first peer that it has no way to.
fn reachability(raw: &List<raw::Host>, notes: &Notes) {
    let hosts = || raw.iter().filter_map(|host| host.value.as_ref());
    let vteps: Vec<(&raw::Host, Ipv4Addr)> = hosts()
        .filter_map(|host| match host.vtep.value?.0 {
            IpAddr::V4(vtep) if is_unicast(vtep) => Some((host, vtep)),
            _ => None,
        })
        .collect();
    for host in hosts() {
        let gateway = host.uplinks.iter().any(|u| u.value.as_ref().is_none_or(|u| u.gateway.is_some()));
        let Some(nets) = networks(&host.uplinks).collect::<Option<Vec<_>>>() else { continue };
        if gateway || nets.is_empty() {
            continue;
        }
        let mut lost = vteps.iter().filter(|(peer, vtep)| {
            !std::ptr::eq::<raw::Host>(*peer, host) && nets.iter().all(|net| !net.contains(vtep))
        });
        let Some((peer, vtep)) = lost.next() else { continue };
        let more = match lost.count() {
            0 => String::new(),
            n => format!(", nor are those of {n} more"),
        };
        let nets: Vec<String> = nets.iter().map(|net| net.trunc().to_string()).collect();
        notes.error(
            host.name.at,
            format!(
                "{}: the vtep {vtep} of {} is on none of its uplinks' networks ({}){more}; give an uplink a gateway",
                label("host", None, &host.name),
                label("host", None, &peer.name),
                nets.join(", ")
            ),
        );
    }
}

/// The networks of the uplinks; `None` for each that was not read or is no IPv4.
fn networks(uplinks: &List<raw::Uplink>) -> impl Iterator<Item = Option<Ipv4Net>> {
    uplinks.iter().flat_map(|uplink| {
        let addresses = uplink.value.as_ref().and_then(|uplink| uplink.address.value.as_deref());
        let unread = if addresses.is_none_or(<[_]>::is_empty) { Some(None) } else { None };
        let read = addresses.unwrap_or_default().iter().map(|address| match address.value?.0 {
            IpNet::V4(net) => Some(net),
            IpNet::V6(_) => None,
        });
        unread.into_iter().chain(read)
    })
}

/// A DPDK device string: a name, then arguments behind commas. A PCI address is written out, as DPDK does.
pub(super) fn device(raw: &Located<String>, owner: &str, notes: &Notes) -> Option<String> {
    let device = raw.value.as_deref()?;
    let name = device_name(device);
    let fault = if name.is_empty() {
        "has no name; give a PCI address (0000:3b:00.0) or a vdev (net_tap0,iface=tap0)"
    } else if name.len() > MAX_DEVICE_NAME {
        "has a name of more than 63 characters, which DPDK refuses"
    } else if name.contains(char::is_whitespace) || device.contains(char::is_control) {
        "has a space in its name or a control character"
    } else {
        let written = pci_address(device).map(|address| address + &device[name.len()..]);
        return Some(written.unwrap_or_else(|| device.to_owned()));
    };
    notes.error(raw.at, format!("{owner}: device {} {fault}", quoted(device)));
    None
}

/// The part of a device string that says which device it is.
pub(super) fn device_name(device: &str) -> &str {
    device.split(',').next().unwrap_or(device)
}

/// The same, of a device string as it stands in the document.
pub(super) fn written_name(device: &str) -> String {
    pci_address(device).unwrap_or_else(|| device_name(device).to_owned())
}

fn ipv4(ip: IpAddr, what: &str, owner: &str, at: Location, notes: &Notes) -> Option<Ipv4Addr> {
    match ip {
        IpAddr::V4(ip) => Some(ip),
        IpAddr::V6(ip) => {
            notes.error(
                at,
                format!("{owner}: {what} {ip}: IPv6 underlay is not supported yet; give an IPv4 address"),
            );
            None
        }
    }
}

fn is_unicast(ip: Ipv4Addr) -> bool {
    !(ip.is_multicast() || ip.is_broadcast() || ip.is_loopback() || ip.octets()[0] == 0)
}
