//! The underlay: how the hosts of a lab, and its peers, are joined.
//!
//! Facts, each tried with DPDK 22.11 in `--no-huge` mode and frames of 1618 bytes:
//!
//! - vhost-user between two switches, with the socket served by the `net_virtio_user` side (`server=1`) and
//!   the `net_vhost` side its client (`client=1`), survives the death of either side, and either may start first. The
//!   serving side does not finish its start before the other connects, and has to find no stale socket.
//!   The other way about (`net_vhost` serves), the virtio side never finds a restarted vhost side. The virtio side
//!   needs its memory in few files: `--single-file-segments`.
//! - `net_memif` carries such frames and is some four times as quick, but refuses to be *configured* for more than 1518
//!   bytes, and its client, started before the server or left by it, does not connect by itself: the PMD tries
//!   again when it is asked for the link's state, which not every program does.
//! - `net_af_xdp` on a veth lets Linux itself take part; it takes root. `net_af_packet` would too, but, as memif,
//!   refuses to be configured for more than 1518 bytes.

use std::fs;
use std::path::PathBuf;

use crate::scope::is_root;
use crate::wire::{BadWire, Faults};
use crate::{Error, Namespace, Result, WorkDir};

/// How hosts are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Underlay {
    /// A single host, or hosts that do not meet.
    None,
    /// Two hosts by vhost-user. Needs no root.
    Vhost,
    /// Two hosts by shared memory (memif). Needs no root; frames of at most 1518 bytes by its own account.
    Memif,
    /// Any number of hosts and peers, each in a namespace of its own with a virtual wire to a bridge. Needs root.
    Veth,
}

impl Underlay {
    /// Joins `hosts`, in the order they are to be started.
    ///
    /// # Errors
    /// [`Error::NeedsRoot`] for [`Underlay::Veth`]; [`Error::Failed`] for a pair's kind that is given more than two.
    pub fn join(self, dir: &WorkDir, hosts: &[&str]) -> Result<Wiring> {
        let sockets = match (self, hosts) {
            (Self::None, _) => return Ok(Wiring { uplinks: Vec::new(), wires: Vec::new(), bridge: None }),
            (Self::Veth, _) => return Wiring::bridged(hosts),
            (Self::Vhost | Self::Memif, [_, _]) => [0, 1].map(|side| pair_device(self, dir, side)),
            (Self::Vhost | Self::Memif, _) => {
                return Err(Error::failed(format!("{self:?} joins two hosts, not {}", hosts.len()), ""));
            }
        };
        let uplink = |(host, (device, serves)): (&&str, (String, Option<PathBuf>))| Uplink {
            host: (*host).to_owned(),
            device,
            serves,
            namespace: None,
        };
        Ok(Wiring {
            uplinks: hosts.iter().zip(sockets).map(uplink).collect(),
            wires: Vec::new(),
            bridge: None,
        })
    }
}

/// The joined hosts.
#[derive(Debug)]
pub struct Wiring {
    uplinks: Vec<Uplink>,
    /// The bad ones among their wires, by host.
    wires: Vec<(String, BadWire)>,
    /// Where the wires of [`Underlay::Veth`] meet.
    bridge: Option<Bridge>,
}

impl Wiring {
    /// The uplink of this host, if it has one.
    pub fn uplink(&self, host: &str) -> Option<&Uplink> {
        self.uplinks.iter().find(|uplink| uplink.host == host)
    }

    /// Where the wires meet, for a peer or a capture to join; only with [`Underlay::Veth`].
    pub fn bridge(&mut self) -> Option<&mut Bridge> {
        self.bridge.as_mut()
    }

    /// Makes the wire of this host a bad one; only with [`Underlay::Veth`].
    pub fn impair(&mut self, host: &str, faults: Faults, dir: &WorkDir) -> Result<()> {
        let plugged = self.uplinks.iter().position(|uplink| uplink.host == host);
        let (Some(bridge), Some(port)) = (&mut self.bridge, plugged) else {
            return Err(Error::failed(format!("{host} has no virtual wire"), ""));
        };
        let wire = bridge.impair(port, faults, dir)?;
        self.wires.push((host.to_owned(), wire));
        Ok(())
    }

    /// Whether the wire of this host is a bad one.
    pub fn is_impaired(&self, host: &str) -> bool {
        self.wires.iter().any(|(name, _)| name == host)
    }

    /// The bad wires, in the order they were made.
    pub fn bad_wires(&self) -> impl Iterator<Item = &BadWire> {
        self.wires.iter().map(|(_, wire)| wire)
    }

    fn bridged(hosts: &[&str]) -> Result<Self> {
        if !is_root() {
            return Err(Error::NeedsRoot("an underlay of virtual wires".into()));
        }
        let mut bridge = Bridge::new()?;
        let mut uplinks = Vec::new();
        for host in hosts {
            let namespace = Namespace::new(host)?;
            bridge.plug(&namespace, UPLINK)?;
            let device = format!("net_af_xdp_up0,iface={UPLINK}");
            uplinks.push(Uplink {
                host: (*host).to_owned(),
                device,
                serves: None,
                namespace: Some(namespace),
            });
        }
        Ok(Self { uplinks, wires: Vec::new(), bridge: Some(bridge) })
    }
}

/// One host's side of the underlay.
#[derive(Debug)]
pub struct Uplink {
    host: String,
    /// What the switch opens.
    pub device: String,
    /// The socket this side makes, which a killed switch leaves behind.
    pub serves: Option<PathBuf>,
    /// Where the switch has to run for the device to be there.
    pub namespace: Option<Namespace>,
}

impl Uplink {
    /// Clears away what an earlier switch left, which has to be done before each start.
    pub fn clear(&self) {
        if let Some(socket) = &self.serves {
            drop(fs::remove_file(socket));
        }
    }
}

/// A learning switch of the kernel, in a namespace of its own.
#[derive(Debug)]
pub struct Bridge {
    namespace: Namespace,
    ports: usize,
}

impl Bridge {
    /// A bridge with nothing plugged in.
    pub fn new() -> Result<Self> {
        let namespace = Namespace::new("underlay")?;
        namespace.must(&format!(
            "ip link add br0 mtu {UPLINK_MTU} type bridge mcast_snooping 0 && ip link set dev br0 up"
        ))?;
        Ok(Self { namespace, ports: 0 })
    }

    /// Lays a wire from the bridge to `device` in another namespace.
    pub fn plug(&mut self, other: &Namespace, device: &str) -> Result<()> {
        let port = format!("port{}", self.ports);
        self.ports += 1;
        other.join(device, &self.namespace, &port, UPLINK_MTU)?;
        self.namespace.must(&format!("ip link set dev {port} master br0")).map(drop)
    }

    /// Makes the wire of the `port`-th that was plugged in a bad one.
    fn impair(&self, port: usize, faults: Faults, dir: &WorkDir) -> Result<BadWire> {
        let device = format!("port{port}");
        let wire = BadWire::insert(&self.namespace, &device, UPLINK_MTU, faults, dir)?;
        self.namespace.must(&format!("ip link set dev {device} master br0"))?;
        Ok(wire)
    }

    /// Where the bridge is: `br0` there sees all that is flooded, `portN` all of one wire.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }
}

/// The underlay's MTU: an inner frame of 1500 bytes with IPv6 outside, and some to spare.
pub const UPLINK_MTU: u16 = 1600;

/// The uplink's name in a host's namespace.
const UPLINK: &str = "up0";

/// The device of one side of a pair, and the socket if that side makes it. Side 0 is started first, so it is the one
/// that never waits for the other.
fn pair_device(kind: Underlay, dir: &WorkDir, side: usize) -> (String, Option<PathBuf>) {
    let socket = dir.join("underlay.sock");
    let path = socket.display();
    let mac = format!("02:00:00:00:ff:0{}", side + 1);
    match (kind, side) {
        (Underlay::Memif, _) => {
            let role = if side == 0 { "server" } else { "client" };
            let device = format!(
                "net_memif_up0,role={role},id=0,socket={path},socket-abstract=no,bsize=2048,mac={mac}"
            );
            (device, (side == 0).then_some(socket))
        }
        // net_vhost takes no mac=: it makes one up.
        (_, 0) => (format!("net_vhost_up0,iface={path},client=1"), None),
        _ => (format!("net_virtio_user_up0,path={path},server=1,mac={mac}"), Some(socket)),
    }
}
