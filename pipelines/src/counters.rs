//! What a worker counts: plain numbers, its own, read between two bursts.

use core::ops::AddAssign;

use crate::ids::{PortId, TenantId, Tick, TunnelId};
use crate::service::Service;
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
    /// One packet of `bytes`.
    #[inline]
    pub const fn of(bytes: usize) -> Self {
        Self { packets: 1, bytes: bytes as u64 }
    }

    /// Counts one packet of `bytes`.
    #[inline]
    pub fn add(&mut self, bytes: usize) {
        self.packets += 1;
        self.bytes += bytes as u64;
    }

    /// Takes back what was counted of one packet of `bytes`.
    pub const fn take(&mut self, bytes: usize) {
        self.packets = self.packets.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes as u64);
    }
}

impl AddAssign for Traffic {
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

impl AddAssign<&Self> for Drops {
    fn add_assign(&mut self, other: &Self) {
        for (mine, others) in self.0.iter_mut().zip(other.0) {
            *mine += others;
        }
    }
}

/// What a guest was let send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Metered {
    /// What passed, in bytes as they are charged.
    pub passed: Traffic,
    /// Packets of it beyond the assured rate.
    pub yellow: u64,
    /// Nanoseconds in which it was not polled, for it or its tenant had used up what it may send.
    pub held_back: u64,
    /// Cycles that the worker spent on what it sent.
    pub cycles: u64,
}

impl AddAssign for Metered {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.yellow += other.yellow;
        self.held_back += other.held_back;
        self.cycles += other.cycles;
    }
}

/// What went by a queue where packets may have to wait for their turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shaped {
    /// What passed, in bytes as they are charged.
    pub passed: Traffic,
    /// Packets of it that waited.
    pub waited: u64,
    /// Nanoseconds that they waited, in all.
    pub waiting: u64,
    /// Nanoseconds that one waited at most.
    pub longest: u64,
    /// Packets of it that were marked: congestion experienced (RFC 3168).
    pub marked: u64,
    /// Packets dropped.
    pub dropped: u64,
}

impl AddAssign for Shaped {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.waited += other.waited;
        self.waiting += other.waiting;
        self.longest = self.longest.max(other.longest);
        self.marked += other.marked;
        self.dropped += other.dropped;
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
    /// What was received from it, as its meters see it.
    pub metered: Metered,
    /// What is on the way to it, as its shaper sees it.
    pub to_guest: Shaped,
    /// What it sent into the fabric, as the uplink's shaper sees it.
    pub to_fabric: Shaped,
}

impl AddAssign<&Self> for PortCounters {
    fn add_assign(&mut self, other: &Self) {
        self.rx += other.rx;
        self.tx += other.tx;
        self.drops += &other.drops;
        self.metered += other.metered;
        self.to_guest += other.to_guest;
        self.to_fabric += other.to_fabric;
    }
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

impl AddAssign<&Self> for TenantCounters {
    fn add_assign(&mut self, other: &Self) {
        self.to_fabric += other.to_fabric;
        self.from_fabric += other.from_fabric;
        self.drops += &other.drops;
    }
}

/// A tunnel's counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TunnelCounters {
    /// Encapsulated to its VTEP, outer headers included.
    pub tx: Traffic,
    /// Received from its VTEP and accepted, outer headers included.
    pub rx: Traffic,
}

impl AddAssign<&Self> for TunnelCounters {
    fn add_assign(&mut self, other: &Self) {
        self.tx += other.tx;
        self.rx += other.rx;
    }
}

/// What a rule, or a tenant's default, decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RuleCounters {
    /// Connections, or packets that belong to none, that it decided.
    pub hits: u64,
    /// Packets dropped because of it.
    pub denied: u64,
    /// Packets that would have been dropped because of it, were it not only counted.
    pub would_deny: u64,
    /// When it last decided something; 0 if it never did.
    pub last_hit: Tick,
}

impl AddAssign for RuleCounters {
    fn add_assign(&mut self, other: Self) {
        self.hits += other.hits;
        self.denied += other.denied;
        self.would_deny += other.would_deny;
        self.last_hit = self.last_hit.max(other.last_hit);
    }
}

/// How many there are of what is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Ports.
    pub ports: usize,
    /// Tenants.
    pub tenants: usize,
    /// Tunnels.
    pub tunnels: usize,
    /// Rules and defaults of all tenants.
    pub rules: usize,
    /// Pairs of groups.
    pub pairs: usize,
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
    /// By slot: of each tenant its rules and its default.
    pub rules: Vec<RuleCounters>,
    /// By pair of groups.
    pub service: Service,
    /// Copies made to reach several destinations.
    pub replicated: u64,
    /// Packets that the switch made itself: ARP requests.
    pub originated: u64,
    /// Sessions that ended because a new configuration does not allow them.
    pub revoked: u64,
    /// Packets that ended in the switch because they were for it: ARP replies.
    pub consumed: u64,
    /// What passed as part of a flow: what the flows have counted, all together.
    pub in_flows: Traffic,
    /// What passed, or was answered, without being of one: ARP, neighbour discovery, errors about flows, and where a tenant
    /// has no policy what finds no room among the flows.
    pub of_no_flow: Traffic,
}

impl Counters {
    /// Counters for so many of each.
    pub fn new(sizes: Sizes) -> Self {
        let mut counters = Self::default();
        counters.grow(sizes);
        counters
    }

    /// How many there are of each.
    pub const fn sizes(&self) -> Sizes {
        Sizes {
            ports: self.ports.len(),
            tenants: self.tenants.len(),
            tunnels: self.tunnels.len(),
            rules: self.rules.len(),
            pairs: self.service.len(),
        }
    }

    /// Makes room for so many of each. What there is stays, also if it is more.
    pub fn grow(&mut self, sizes: Sizes) {
        fn to<T: Clone + Default>(list: &mut Vec<T>, len: usize) {
            list.resize(list.len().max(len), T::default());
        }
        to(&mut self.ports, sizes.ports);
        to(&mut self.tenants, sizes.tenants);
        to(&mut self.tunnels, sizes.tunnels);
        if self.rules.capacity() < sizes.rules {
            // Some to spare: a rule more is not to move a hundred thousand.
            let spare = (sizes.rules / 4).max(64);
            self.rules.reserve_exact(sizes.rules - self.rules.len() + spare);
        }
        to(&mut self.rules, sizes.rules);
        self.service.grow(sizes.pairs);
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

    /// A rule's or a default's, by its slot, which decides something now.
    pub fn rule(&mut self, slot: u32, now: Tick) -> &mut RuleCounters {
        let rule = &mut self.rules[slot as usize];
        rule.last_hit = now;
        rule
    }

    /// Copies `other` as far as there is room, without allocating; what `other` does not have is 0. What is counted by pair of
    /// groups is not copied: of that there is much.
    pub fn copy_from(&mut self, other: &Self) {
        fn copy<T: Clone + Default>(mine: &mut [T], others: &[T]) {
            let both = mine.len().min(others.len());
            mine[..both].clone_from_slice(&others[..both]);
            mine[both..].fill(T::default());
        }
        copy(&mut self.ports, &other.ports);
        copy(&mut self.tenants, &other.tenants);
        copy(&mut self.tunnels, &other.tunnels);
        copy(&mut self.rules, &other.rules);
        (self.replicated, self.originated, self.consumed, self.revoked) =
            (other.replicated, other.originated, other.consumed, other.revoked);
        (self.in_flows, self.of_no_flow) = (other.in_flows, other.of_no_flow);
    }

    /// Adds what another worker counted, as far as there is room; but what is counted by pair of groups, see
    /// [`Service::merge`].
    pub fn merge(&mut self, other: &Self) {
        fn add<T: for<'a> AddAssign<&'a T>>(mine: &mut [T], others: &[T]) {
            mine.iter_mut().zip(others).for_each(|(mine, others)| *mine += others);
        }
        add(&mut self.ports, &other.ports);
        add(&mut self.tenants, &other.tenants);
        add(&mut self.tunnels, &other.tunnels);
        self.rules.iter_mut().zip(&other.rules).for_each(|(mine, others)| *mine += *others);
        self.replicated += other.replicated;
        self.originated += other.originated;
        self.consumed += other.consumed;
        self.revoked += other.revoked;
        self.in_flows += other.in_flows;
        self.of_no_flow += other.of_no_flow;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grown_counters_keep_what_they_counted_and_copies_take_what_fits() {
        let mut counters = Counters::new(Sizes { ports: 1, tenants: 1, tunnels: 0, rules: 2, pairs: 1 });
        counters.port(PortId(0)).rx.add(60);
        counters.rule(1, Tick(0)).hits = 7;
        counters.grow(Sizes { ports: 3, tenants: 0, tunnels: 1, rules: 3, pairs: 2 });
        let lens = |c: &Counters| (c.ports.len(), c.tenants.len(), c.tunnels.len(), c.rules.len());
        assert_eq!((lens(&counters), counters.service.len()), ((3, 1, 1, 3), 2));
        assert_eq!((counters.ports[0].rx.packets, counters.rules[1].hits), (1, 7));
        // One that was made for less, or for more.
        let mut small = Counters::new(Sizes { ports: 1, ..Sizes::default() });
        small.copy_from(&counters);
        assert_eq!((lens(&small), small.ports[0].rx.bytes), ((1, 0, 0, 0), 60));
        let mut large = Counters::new(Sizes { ports: 9, rules: 9, ..Sizes::default() });
        large.port(PortId(8)).tx.add(1);
        large.copy_from(&counters);
        assert_eq!((large.rules[1].hits, large.ports[8].tx.packets), (7, 0));
    }

    #[test]
    fn a_rule_was_last_hit_when_any_worker_saw_it() {
        let hit = |last_hit| RuleCounters { hits: 2, denied: 1, would_deny: 0, last_hit: Tick(last_hit) };
        let mut sum = hit(5);
        sum += hit(3);
        assert_eq!(sum, RuleCounters { hits: 4, denied: 2, would_deny: 0, last_hit: Tick(5) });
    }
}
