//! What a worker counts: plain numbers, its own, read between two bursts.

use crate::ids::{PortId, TenantId, TunnelId};
use crate::verdict::Reason;

/// Packets and their bytes, from the Ethernet header to the last byte (no FCS).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Traffic {
    /// Counts one packet of `bytes`.
    pub fn add(&mut self, bytes: usize) {
        self.packets += 1;
        self.bytes += bytes as u64;
    }
}

impl core::ops::AddAssign for Traffic {
    fn add_assign(&mut self, other: Self) {
        self.packets += other.packets;
        self.bytes += other.bytes;
    }
}

/// Packets dropped, by reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drops([u64; Reason::COUNT]);

impl Default for Drops {
    fn default() -> Self {
        Self([0; Reason::COUNT])
    }
}

impl Drops {
    /// Counts `packets` dropped for `reason`.
    pub fn add(&mut self, reason: Reason, packets: u64) {
        self.0[reason as usize] += packets;
    }

    /// How many were dropped for `reason`.
    pub fn count(&self, reason: Reason) -> u64 {
        self.0[reason as usize]
    }

    /// The reasons for which something was dropped, with the packets.
    pub fn iter(&self) -> impl Iterator<Item = (Reason, u64)> + '_ {
        Reason::ALL
            .iter()
            .zip(self.0)
            .filter(|(_, packets)| *packets > 0)
            .map(|(reason, packets)| (*reason, packets))
    }

    /// All of them together.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

impl core::ops::AddAssign<&Self> for Drops {
    fn add_assign(&mut self, other: &Self) {
        for (mine, others) in self.0.iter_mut().zip(other.0) {
            *mine += others;
        }
    }
}

/// A port's counters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortCounters {
    /// Received from it.
    pub rx: Traffic,
    /// Sent by it.
    pub tx: Traffic,
    /// Dropped: received from it, or on the way out by it.
    pub drops: Drops,
}

/// A tenant's counters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TenantCounters {
    /// Sent into the fabric.
    pub to_fabric: Traffic,
    /// Came from the fabric.
    pub from_fabric: Traffic,
    /// Dropped, wherever its tenant was known.
    pub drops: Drops,
}

/// A tunnel's counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TunnelCounters {
    /// Encapsulated to its VTEP, outer headers included.
    pub tx: Traffic,
    /// Received from its VTEP and accepted, outer headers included.
    pub rx: Traffic,
}

/// All that one worker counts.
///
/// Each packet that exists was received, made as a copy, or made by the switch; and each ends up sent, dropped or
/// consumed, or is held: `rx + replicated + originated = tx + drops + consumed + held`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// By [`PortId`].
    pub ports: Vec<PortCounters>,
    /// By [`TenantId`].
    pub tenants: Vec<TenantCounters>,
    /// By [`TunnelId`].
    pub tunnels: Vec<TunnelCounters>,
    /// Copies made to reach several destinations.
    pub replicated: u64,
    /// Packets that the switch made itself: ARP requests.
    pub originated: u64,
    /// Packets that ended in the switch because they were for it: ARP replies.
    pub consumed: u64,
}

impl Counters {
    /// Counters for so many of each.
    pub fn new(ports: usize, tenants: usize, tunnels: usize) -> Self {
        Self {
            ports: vec![PortCounters::default(); ports],
            tenants: vec![TenantCounters::default(); tenants],
            tunnels: vec![TunnelCounters::default(); tunnels],
            ..Self::default()
        }
    }

    /// A port's.
    pub fn port(&mut self, port: PortId) -> &mut PortCounters {
        &mut self.ports[port.index()]
    }

    /// A tenant's.
    pub fn tenant(&mut self, tenant: TenantId) -> &mut TenantCounters {
        &mut self.tenants[tenant.index()]
    }

    /// A tunnel's.
    pub fn tunnel(&mut self, tunnel: TunnelId) -> &mut TunnelCounters {
        &mut self.tunnels[tunnel.index()]
    }

    /// Copies `other`, which has as many of each, without allocating.
    pub fn copy_from(&mut self, other: &Self) {
        self.ports.clone_from_slice(&other.ports);
        self.tenants.clone_from_slice(&other.tenants);
        self.tunnels.clone_from_slice(&other.tunnels);
        (self.replicated, self.originated, self.consumed) =
            (other.replicated, other.originated, other.consumed);
    }

    /// Adds what another worker counted.
    pub fn merge(&mut self, other: &Self) {
        for (mine, others) in self.ports.iter_mut().zip(&other.ports) {
            mine.rx += others.rx;
            mine.tx += others.tx;
            mine.drops += &others.drops;
        }
        for (mine, others) in self.tenants.iter_mut().zip(&other.tenants) {
            mine.to_fabric += others.to_fabric;
            mine.from_fabric += others.from_fabric;
            mine.drops += &others.drops;
        }
        for (mine, others) in self.tunnels.iter_mut().zip(&other.tunnels) {
            mine.tx += others.tx;
            mine.rx += others.rx;
        }
        self.replicated += other.replicated;
        self.originated += other.originated;
        self.consumed += other.consumed;
    }
}
