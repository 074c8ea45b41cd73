//! The Linux kernel's own VXLAN device as a host of the fabric.
//!
//! The peer's namespace holds the underlay's address. Each of its endpoints has a namespace of its own with a VXLAN device
//! made in the first and moved there: a tunnel keeps its underlay where it was made, so tenants with equal addresses do not meet.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::guest::{NetnsGuest, Station};
use crate::underlay::Bridge;
use crate::{Error, Namespace, Result};

/// A Linux host on the underlay.
#[derive(Debug)]
pub struct LinuxVxlan {
    vtep: IpAddr,
    port: u16,
    ports: Vec<NetnsGuest>,
    /// After the ports: their devices' sockets are in here.
    namespace: Namespace,
}

impl LinuxVxlan {
    /// Plugs a host in at the bridge, with `vtep` as its address and its neighbours' one subnet.
    pub fn new(name: &str, bridge: &mut Bridge, vtep: IpAddr, prefix: u8, port: u16) -> Result<Self> {
        let namespace = Namespace::new(name)?;
        bridge.plug(&namespace, "up0")?;
        namespace.assign("up0", vtep, prefix)?;
        Ok(Self { vtep, port, ports: Vec::new(), namespace })
    }

    /// Puts an endpoint on a segment. Nothing is learnt from the wire: who is where is said by [`Remote`]s.
    pub fn attach(&mut self, endpoint: Endpoint<'_>, remotes: &[Remote]) -> Result<&NetnsGuest> {
        let Endpoint { name, vni, mac, address, prefix, mtu } = endpoint;
        let (vtep, udp) = (self.vtep, self.port);
        let inside = Namespace::new(&name.replace('/', "-"))?;
        let device = format!("vx{vni}-{}", self.ports.len());
        self.namespace.must(&format!(
            "ip link add {device} type vxlan id {vni} local {vtep} dev up0 dstport {udp} nolearning udpcsum tos inherit"
        ))?;
        self.namespace.hand_over(&device, &inside, "eth0")?;
        inside.must(&format!("ip link set dev eth0 address {mac} mtu {mtu} up"))?;
        inside.assign("eth0", address, prefix)?;
        for Remote { vtep, mac } in remotes {
            inside.must(&format!("bridge fdb replace {mac} dev eth0 dst {vtep} self permanent"))?;
        }
        // What is for all, an ARP request say, is sent to each of the other hosts once.
        let hosts: BTreeSet<IpAddr> = remotes.iter().map(|remote| remote.vtep).collect();
        for vtep in hosts {
            inside
                .must(&format!("bridge fdb append 00:00:00:00:00:00 dev eth0 dst {vtep} self permanent"))?;
        }
        self.ports.push(NetnsGuest::adopt(name, address, inside));
        Ok(&self.ports[self.ports.len() - 1])
    }

    /// The endpoint of this name.
    pub fn port(&self, name: &str) -> Result<&NetnsGuest> {
        let port = self.ports.iter().find(|port| port.name() == name);
        port.ok_or_else(|| Error::failed(format!("the peer has no endpoint {name}"), ""))
    }

    /// Where its underlay address is: the place to capture what the tunnel carries.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }
}

/// What an endpoint of a peer is to be.
#[derive(Clone, Copy, Debug)]
pub struct Endpoint<'a> {
    /// `tenant/name`.
    pub name: &'a str,
    /// The segment's number.
    pub vni: u32,
    /// Its MAC address.
    pub mac: &'a str,
    /// Its address within the tenant.
    pub address: IpAddr,
    /// The length of its subnet's prefix.
    pub prefix: u8,
    /// Its MTU.
    pub mtu: u16,
}

/// An endpoint elsewhere in the fabric.
#[derive(Clone, Debug)]
pub struct Remote {
    /// Its host's underlay address.
    pub vtep: IpAddr,
    /// Its MAC address.
    pub mac: String,
}
