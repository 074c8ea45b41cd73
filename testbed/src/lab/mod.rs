//! A whole lab: from a description to running hosts, guests and peers, and back to nothing.

mod document;
mod policy;
mod spec;

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use policy::PolicySpec;
pub use spec::{GuestSpec, HostSpec, LabSpec, Placed};

use crate::error::Doing;
use crate::guest::smol::{SmolGuest, SmolGuests, SmolSpec};
use crate::guest::{Guest, GuestKind, Machine, NetnsGuest, Nic, QemuGuest, Station};
use crate::host::{Host, HostOptions, Ledger};
use crate::peer::{Endpoint, LinuxVxlan, Remote};
use crate::underlay::{UPLINK_MTU, Underlay, Uplink, Wiring};
use crate::wire::{BadWire, Carried};
use crate::{Error, Namespace, Result, WorkDir};

/// A running lab. Guests go first when it is dropped, then peers, hosts, the underlay, and last the directory.
#[derive(Debug)]
pub struct Lab {
    smol: Option<SmolGuests>,
    guests: BTreeMap<String, Guest>,
    peers: BTreeMap<String, LinuxVxlan>,
    hosts: BTreeMap<String, Host>,
    /// The hosts' names as they were started.
    order: Vec<String>,
    /// The bad wires of guests.
    wires: Vec<BadWire>,
    namespaces: BTreeMap<String, Namespace>,
    wiring: Wiring,
    dir: Arc<WorkDir>,
}

impl Lab {
    /// Brings the lab up: when this returns every host is ready and every guest takes commands.
    ///
    /// # Errors
    /// The first thing that fails; what was up by then is down again.
    pub fn up(spec: LabSpec) -> Result<Self> {
        let dir = Arc::new(WorkDir::new()?);
        let names: Vec<&str> = spec.switches().map(|host| host.name.as_str()).collect();
        let wiring = spec.underlay.join(&dir, &names)?;
        let mut lab = Self {
            smol: None,
            guests: BTreeMap::new(),
            peers: BTreeMap::new(),
            hosts: BTreeMap::new(),
            order: names.iter().map(|name| (*name).to_owned()).collect(),
            wires: Vec::new(),
            namespaces: BTreeMap::new(),
            wiring,
            dir,
        };
        let placed = spec.placed()?;
        lab.lay_wires(&spec, &placed)?;
        lab.write_document(&spec, &placed)?;
        lab.start_hosts(&spec)?;
        lab.start_peers(&spec, &placed)?;
        lab.start_machines(&placed)?;
        lab.start_smol(&placed)?;
        Ok(lab)
    }

    /// The guest `tenant/name`, whatever its kind.
    ///
    /// # Panics
    /// When the lab's description has no such guest: the caller wrote both.
    pub fn guest(&self, name: &str) -> &dyn Station {
        let on_peer =
            || self.peers.values().find_map(|peer| peer.port(name).ok()).map(|port| port as &dyn Station);
        let guest = self.guests.get(name).map(|guest| guest as &dyn Station).or_else(on_peer);
        guest.unwrap_or_else(|| panic!("the lab has no guest {name}"))
    }

    /// The guests of [`GuestKind::Smol`], by their names.
    ///
    /// # Panics
    /// When the lab's description has none.
    pub fn smol(&self) -> &SmolGuests {
        self.smol.as_ref().unwrap_or_else(|| panic!("the lab has no smoltcp guests"))
    }

    /// The machine `tenant/name`, to be killed and restarted.
    ///
    /// # Panics
    /// When the lab's description has no such machine.
    pub fn machine(&mut self, name: &str) -> &mut QemuGuest {
        let machine = self.guests.get_mut(name).and_then(Guest::qemu);
        machine.unwrap_or_else(|| panic!("the lab has no machine {name}"))
    }

    /// The namespace that the guest `tenant/name` of [`GuestKind::Netns`] is.
    ///
    /// # Panics
    /// When the lab's description has no such guest.
    pub fn namespace(&self, name: &str) -> &Namespace {
        match self.guests.get(name) {
            Some(Guest::Netns(guest)) => guest.namespace(),
            _ => panic!("the lab has no namespace {name}"),
        }
    }

    /// The host of this name.
    ///
    /// # Panics
    /// When the lab's description has no such host.
    pub fn host(&self, name: &str) -> &Host {
        self.hosts.get(name).unwrap_or_else(|| panic!("the lab has no host {name}"))
    }

    /// All hosts that run the switch, by name.
    pub fn hosts(&self) -> impl Iterator<Item = &Host> {
        self.hosts.values()
    }

    /// The peer of this name.
    ///
    /// # Panics
    /// When the lab's description has no such peer.
    pub fn peer(&self, name: &str) -> &LinuxVxlan {
        self.peers.get(name).unwrap_or_else(|| panic!("the lab has no peer {name}"))
    }

    /// Kills a host outright and starts it anew.
    pub fn restart_host(&mut self, name: &str) -> Result<()> {
        let host = self.hosts.get_mut(name).ok_or_else(|| Error::failed(format!("no host {name}"), ""))?;
        host.kill9()?;
        if let Some(uplink) = self.wiring.uplink(name) {
            uplink.clear();
        }
        host.restart()?;
        host.wait_ready(START)
    }

    /// Puts another description in force while all runs: policies, how sessions are kept, guests that come and guests that
    /// go. Hosts stay as they are.
    ///
    /// # Errors
    /// When a host refuses it; those before it in order have it in force then.
    pub fn apply(&mut self, spec: &LabSpec) -> Result<()> {
        let placed = spec.placed()?;
        self.lay_wires(spec, &placed)?;
        let document = self.write_document(spec, &placed)?;
        for host in spec.switches() {
            let applied = self.host(&host.name).apply(&document)?;
            applied.success(&format!("weft apply on {}", host.name))?;
        }
        let stays = |name: &str| placed.iter().any(|guest| guest.spec.name == name);
        for (_, guest) in self.guests.extract_if(.., |name, _| !stays(name)) {
            if let Guest::Netns(gone) = guest {
                gone.unplug()?;
            }
        }
        self.start_machines(&placed)
    }

    /// The document in force, to be changed and tried.
    pub fn document(&self) -> Result<String> {
        let fabric = self.dir.join(DOCUMENT);
        fs::read_to_string(&fabric).doing(|| format!("reading {}", fabric.display()))
    }

    fn write_document(&self, spec: &LabSpec, placed: &[Placed]) -> Result<PathBuf> {
        let fabric = self.dir.join(DOCUMENT);
        let text = document::write(spec, placed, &self.wiring);
        fs::write(&fabric, text).doing(|| format!("writing {}", fabric.display()))?;
        Ok(fabric)
    }

    /// Stops every host and returns what each counted, by its name. Guests and peers stay, unconnected.
    ///
    /// The last started is the first stopped: it serves the underlay's socket, and DPDK 22.11 may abort
    /// (`eal_intr_thread_main`) when the client's end and its own coincide.
    pub fn stop_hosts(&self) -> Result<BTreeMap<String, Ledger>> {
        let stop = |name: &String| Ok((name.clone(), self.host(name).stop(STOP)?));
        self.order.iter().rev().map(stop).collect()
    }

    /// Cuts all bad wires and says what each did: hosts' first, then guests'.
    pub fn cut_wires(&self) -> Result<Vec<Carried>> {
        self.wiring.bad_wires().chain(&self.wires).map(BadWire::cut).collect()
    }

    /// Where the wires meet, for captures; only with [`crate::Underlay::Veth`].
    pub fn wiring(&mut self) -> &mut Wiring {
        &mut self.wiring
    }

    /// The lab's directory: the document, the logs, the hosts' folders.
    pub fn dir(&self) -> &WorkDir {
        &self.dir
    }

    /// Gives a namespace to each host that needs one, and lays the wires of guests in namespaces.
    fn lay_wires(&mut self, spec: &LabSpec, placed: &[Placed]) -> Result<()> {
        for host in spec.switches() {
            let here = |guest: &&Placed| guest.spec.host == host.name && guest.spec.kind == GuestKind::Netns;
            for guest in placed.iter().filter(here) {
                if self.guests.contains_key(&guest.spec.name) {
                    continue;
                }
                let made = wire_up(guest, self.place(&host.name)?)?;
                self.guests.insert(guest.spec.name.clone(), Guest::Netns(made));
                if let Some(faults) = guest.spec.faults {
                    let (wire, mtu) = (guest.wire(), guest.spec.mtu);
                    let dir = Arc::clone(&self.dir);
                    let bad = BadWire::insert(self.place(&host.name)?, &wire, mtu, faults, &dir)?;
                    self.wires.push(bad);
                }
            }
            if let Some(faults) = host.faults.filter(|_| !self.wiring.is_impaired(&host.name)) {
                self.wiring.impair(&host.name, faults, &self.dir)?;
            }
        }
        Ok(())
    }

    /// The namespace that this host runs in: its uplink's, or one of its own.
    fn place(&mut self, host: &str) -> Result<&Namespace> {
        if let Some(place) = self.wiring.uplink(host).and_then(|uplink| uplink.namespace.as_ref()) {
            return Ok(place);
        }
        if !self.namespaces.contains_key(host) {
            self.namespaces.insert(host.to_owned(), Namespace::new(host)?);
        }
        Ok(&self.namespaces[host])
    }

    fn start_hosts(&mut self, spec: &LabSpec) -> Result<()> {
        for host in spec.switches() {
            let uplink = self.wiring.uplink(&host.name);
            if let Some(uplink) = uplink {
                uplink.clear();
            }
            let of_uplink = uplink.and_then(|uplink: &Uplink| uplink.namespace.as_ref());
            let namespace =
                of_uplink.or_else(|| self.namespaces.get(&host.name)).map(|made| made.name().to_owned());
            let fabric = self.dir.join(DOCUMENT);
            let options = HostOptions {
                name: host.name.clone(),
                fabric,
                namespace,
                user: host.user,
                binary: spec.binary.clone(),
            };
            let started = Host::start(&self.dir, options)?;
            if spec.underlay == Underlay::Memif {
                // The client does not start before the server is there.
                started.wait_ready(START)?;
            }
            self.hosts.insert(host.name.clone(), started);
        }
        // Else all are started before any is awaited: one may only be ready when its neighbour is there.
        self.hosts.values().try_for_each(|host| host.wait_ready(START))
    }

    fn start_peers(&mut self, spec: &LabSpec, placed: &[Placed]) -> Result<()> {
        for peer in spec.peers() {
            let bridge = self.wiring.bridge().ok_or_else(|| {
                Error::failed(format!("{}: Linux peers need the underlay of virtual wires", peer.name), "")
            })?;
            let mut linux = LinuxVxlan::new(&peer.name, bridge, peer.vtep, UNDERLAY_PREFIX, spec.vxlan_port)?;
            for guest in placed.iter().filter(|guest| guest.spec.host == peer.name) {
                let remotes: Vec<Remote> = placed
                    .iter()
                    .filter(|other| other.vni == guest.vni && other.spec.host != peer.name)
                    .map(|other| Remote { vtep: other.vtep, mac: other.mac.clone() })
                    .collect();
                let (name, mac, mtu) = (guest.spec.name.as_str(), guest.mac.as_str(), guest.spec.mtu);
                let port =
                    Endpoint { name, vni: guest.vni, mac, address: guest.address, prefix: guest.prefix, mtu };
                linux.attach(port, &remotes)?;
            }
            self.peers.insert(peer.name.clone(), linux);
        }
        Ok(())
    }

    fn start_machines(&mut self, placed: &[Placed]) -> Result<()> {
        let mut booting = Vec::new();
        for guest in placed.iter().filter(|guest| guest.spec.kind == GuestKind::Qemu) {
            if self.guests.contains_key(&guest.spec.name) {
                continue;
            }
            let Some(host) = self.hosts.get(&guest.spec.host) else { continue };
            let nic = Nic {
                mtu: guest.spec.mtu,
                gateway: guest.gateway,
                queues: guest.spec.queues,
                ..Nic::new(host.socket(&guest.socket()), &guest.mac, guest.address, guest.prefix)
            };
            let machine = Machine::new(guest.spec.name.replace('/', "-"), nic);
            booting.push((guest.spec.name.clone(), QemuGuest::start(&self.dir, machine)?));
        }
        for (name, machine) in booting {
            machine.wait_ready(BOOT)?;
            self.guests.insert(name, Guest::Qemu(Box::new(machine)));
        }
        Ok(())
    }

    fn start_smol(&mut self, placed: &[Placed]) -> Result<()> {
        let tenant_of = |guest: &Placed| guest.spec.name.split('/').next().unwrap_or_default().to_owned();
        let mut members = Vec::new();
        for guest in placed.iter().filter(|guest| guest.spec.kind == GuestKind::Smol) {
            let Some(host) = self.hosts.get(&guest.spec.host) else { continue };
            let others = placed.iter().filter(|other| other.vni == guest.vni && other.index != guest.index);
            let peers: Vec<&str> = others.map(|other| other.mac.as_str()).collect();
            let address = format!("{}/{}", guest.address, guest.prefix);
            let member =
                SmolGuest::new(&guest.spec.name, host.socket(&guest.socket()), &guest.mac, &[&address])
                    .mark(&tenant_of(guest))
                    .mtu(guest.spec.mtu)
                    .peers(&peers);
            members.push(guest.gateway.into_iter().fold(member, SmolGuest::gateway));
        }
        if !members.is_empty() {
            let guests = SmolGuests::start(&self.dir, "guests", SmolSpec { guests: members })?;
            guests.wait_up(START)?;
            self.smol = Some(guests);
        }
        Ok(())
    }
}

fn wire_up(guest: &Placed, host: &Namespace) -> Result<NetnsGuest> {
    let wire = guest.wire();
    let made = NetnsGuest::new(
        &guest.spec.name,
        host,
        &wire,
        &guest.mac,
        guest.address,
        guest.prefix,
        guest.spec.mtu,
    )?;
    guest.others.iter().try_for_each(|(address, prefix)| made.assign(*address, *prefix))?;
    if let Some(gateway) = guest.gateway {
        made.namespace().must(&format!("ip route add default via {gateway}"))?;
    }
    Ok(made)
}

/// The document's name in the lab's directory.
const DOCUMENT: &str = "fabric.yaml";

/// What guests may send so that it fits the underlay with 50 bytes of headers before it.
pub const GUEST_MTU: u16 = UPLINK_MTU - 50;

/// The subnet that the hosts' underlay addresses share.
const UNDERLAY_PREFIX: u8 = 24;

/// The longest that a switch takes to be ready.
const START: Duration = Duration::from_secs(30);

/// The longest that a switch takes to stop.
const STOP: Duration = Duration::from_secs(20);

/// The longest that a machine takes to boot, beside others and without KVM.
const BOOT: Duration = Duration::from_secs(120);

/// An address of the document, told apart from a misspelt one.
fn parse<T: std::str::FromStr>(text: &str, what: &str) -> Result<T> {
    text.parse().map_err(|_| Error::failed(format!("`{text}` is no {what}"), ""))
}

/// Whether `address` lies within `network/prefix`.
fn is_within(address: IpAddr, network: IpAddr, prefix: u8) -> bool {
    let bits = |address: IpAddr| match address {
        IpAddr::V4(v4) => (u128::from(u32::from(v4)) << 96, 32),
        IpAddr::V6(v6) => (u128::from(v6), 128),
    };
    let ((here, width), (there, other)) = (bits(address), bits(network));
    width == other && prefix <= width && (prefix == 0 || (here ^ there) >> (128 - u32::from(prefix)) == 0)
}
