//! The systems beside each other, by plain description: how each is started, and asked what it spent.

use std::time::Duration;

use super::grid::{Load, Setup, Work};
use super::linux::Linux;
use super::ovs::Ovs;
use super::testpmd::Testpmd;
use super::weft::Weft;
use super::{linux, ovs, scene, testpmd, weft};
use crate::Result;
use crate::bench::ground::Ground;
use crate::load::{Driver, Role, Size, Waiting};

/// A system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum System {
    /// DPDK's testpmd in io mode: the limit of the ports.
    Testpmd,
    /// This switch.
    Weft,
    /// Open vSwitch with its userspace datapath on DPDK.
    Ovs,
    /// Linux's bridge, VXLAN device and nftables.
    Linux,
}

/// All of them, in the order of the table.
pub const ALL: [System; 4] = [System::Testpmd, System::Weft, System::Ovs, System::Linux];

impl System {
    /// As in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Testpmd => "testpmd io",
            Self::Weft => "Weft",
            Self::Ovs => "OVS-DPDK",
            Self::Linux => "Linux bridge",
        }
    }

    /// Its version, or why it can't take part.
    pub fn version(self) -> Result<String, String> {
        let absent = |package: &str| format!("is not installed: apt-get install {package}");
        match self {
            Self::Testpmd => testpmd::version().ok_or_else(|| absent("dpdk-dev")),
            Self::Weft => weft::version().ok_or_else(|| "is not built: cargo build --release --bins".into()),
            Self::Ovs => {
                ovs::version().ok_or_else(|| absent("openvswitch-switch-dpdk")).and_then(|version| {
                    if crate::scope::is_root() {
                        Ok(version)
                    } else {
                        Err("needs root, for a namespace of its own".into())
                    }
                })
            }
            Self::Linux => linux::version(),
        }
    }

    /// Whether it can do this.
    pub fn does(self, setup: &Setup) -> bool {
        match self {
            // It looks at nothing, so it is the limit of every row that it is beside.
            Self::Testpmd => setup.work == Work::L2,
            Self::Weft | Self::Ovs => true,
            // Its meters (tc) are another thing on another path.
            Self::Linux => !setup.meters,
        }
    }

    /// Whether it is put under this load. Linux is slower by so much that the largest ones would take most of a run.
    pub fn bears(self, load: Load) -> bool {
        let large = load.flows() >= Some(1_000_000) || matches!(load.size(), Size::Fixed(512 | 1500));
        self != Self::Linux || !large
    }

    /// Starts it for this setup, and joins the driver's ports to it.
    pub fn start(self, ground: &Ground, setup: &Setup) -> Result<Bench> {
        let ports = if setup.work == Work::Neighbours { 3 } else { 2 };
        // OVS has given up making sockets itself (`dpdkvhostuser`): QEMU, and here the driver, does.
        let role = if self == Self::Ovs { Role::Server } else { Role::Client };
        let waiting = |port: usize| {
            let socket = ground.dir.join(format!("{port}.sock"));
            drop(std::fs::remove_file(&socket));
            Waiting::new(&socket, ground.port(role))
        };
        let waiting = (0..ports).map(waiting).collect::<Result<Vec<_>>>()?;
        let switch = match self {
            Self::Testpmd => Switch::Testpmd(Testpmd::start(ground)?),
            Self::Weft => Switch::Weft(Weft::start(ground, setup)?),
            Self::Ovs => Switch::Ovs(Ovs::start(ground, setup)?),
            Self::Linux => Switch::Linux(Linux::start(ground, setup)?),
        };
        let ports = waiting.into_iter().map(|port| port.meet(MEETING)).collect::<Result<Vec<_>>>()?;
        let uplink_mac = match &switch {
            Switch::Weft(weft) if setup.work.has_uplink() => weft.uplink_mac()?,
            _ => scene::UNDERLAY_MACS[0],
        };
        Ok(Bench { driver: Driver::new(ports), switch, uplink_mac })
    }
}

/// A running system and the driver's ports at it.
#[derive(Debug)]
pub struct Bench {
    /// Goes first: a switch that ends under a driver leaves it alone, the other way about it has to clean up.
    pub driver: Driver,
    /// The system.
    pub switch: Switch,
    /// The MAC of its uplink.
    pub uplink_mac: [u8; 6],
}

/// A running system.
#[derive(Debug)]
pub enum Switch {
    /// testpmd.
    Testpmd(Testpmd),
    /// Weft.
    Weft(Weft),
    /// OVS.
    Ovs(Ovs),
    /// Linux.
    Linux(Linux),
}

impl Switch {
    /// Forgets what it has counted.
    pub fn clear(&mut self) -> Result<()> {
        match self {
            Self::Testpmd(testpmd) => testpmd.clear(),
            Self::Weft(weft) => weft.clear(),
            Self::Ovs(ovs) => ovs.clear(),
            Self::Linux(linux) => linux.clear(),
        }
    }

    /// What it has spent on packets since, by its own account.
    pub fn cycles(&mut self) -> Result<Cycles> {
        match self {
            Self::Testpmd(testpmd) => testpmd.cycles(),
            Self::Weft(weft) => weft.cycles(),
            Self::Ovs(ovs) => ovs.cycles(),
            Self::Linux(linux) => linux.cycles(),
        }
    }
}

/// What was spent on how many packets: cycles of the time-stamp counter, idle polls left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cycles {
    /// Cycles.
    pub cycles: u64,
    /// Packets received.
    pub packets: u64,
}

impl Cycles {
    /// Cycles for one packet.
    pub fn each(self) -> f64 {
        if self.packets == 0 { 0.0 } else { self.cycles as f64 / self.packets as f64 }
    }
}

/// The longest that a switch may take to come to a port.
const MEETING: Duration = Duration::from_secs(20);
