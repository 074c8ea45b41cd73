//! The meters of what guests send, and how many packets may be received from each now.
//!
//! Who has used up what it may send is not received from: its packets stay in its own ring, where they are no burden to
//! others, until it may send again.

use super::meter::Meter;
use super::settings::{Colour, Share, TenantShare};
use crate::batch::BURST;
use crate::ids::{PortId, TenantId, Tick};

/// What a guest of the least weight may send in a round, in bytes, where its tenant has not enough for all. A burst that
/// is more is a debt for the rounds to come.
const QUANTUM: u64 = 4 * 1538;

/// The meters of one worker's guests and of their tenants.
#[derive(Debug, Default)]
pub struct Meters {
    /// By [`PortId`].
    ports: Vec<Port>,
    /// By [`TenantId`].
    tenants: Vec<Tenant>,
}

#[derive(Debug, Default)]
struct Port {
    meter: Meter,
    tenant: u16,
    /// Whether it or its tenant bounds anything.
    is_bound: bool,
    /// Whether it is this worker's.
    is_here: bool,
    /// Bytes of its packets, about.
    size: u64,
    /// Since when it is not received from.
    held: Option<Tick>,
    weight: u64,
    /// What it may still send in this round of its tenant's guests.
    deficit: i64,
    /// Whether it had more to send than it was let, lately.
    wants: bool,
}

#[derive(Debug, Default)]
struct Tenant {
    meter: Meter,
    /// Its ports.
    ports: Vec<u16>,
    /// How many of them want to send and may, in this round.
    contending: usize,
    /// Bytes that are enough for a round of all, so that nobody need wait for a turn.
    enough: u64,
}

impl Meters {
    /// Takes up what tenants may send, by [`TenantId`], and guests of this worker, each with its tenant. What was sent
    /// and is owed stays.
    pub fn set<'a>(
        &mut self,
        tenants: &[TenantShare],
        guests: impl IntoIterator<Item = (PortId, TenantId, &'a Share)>,
        now: Tick,
    ) {
        self.tenants.resize_with(tenants.len().max(self.tenants.len()), Tenant::default);
        for (tenant, share) in self.tenants.iter_mut().zip(tenants) {
            tenant.meter.set(&share.share, share.sent.as_deref(), now);
            tenant.ports.clear();
            tenant.contending = 0;
        }
        self.ports.iter_mut().for_each(|port| (port.is_here, port.wants) = (false, false));
        for (id, of, share) in guests {
            let Some(tenant) = self.tenants.get_mut(of.index()) else { continue };
            if self.ports.len() <= id.index() {
                self.ports.resize_with(id.index() + 1, Port::default);
            }
            let port = &mut self.ports[id.index()];
            port.meter.set(share, None, now);
            port.is_bound = port.meter.is_bound() || tenant.meter.is_bound();
            (port.tenant, port.is_here, port.weight) = (of.0, true, u64::from(share.weight.max(1)));
            tenant.ports.push(id.0);
        }
        for tenant in &mut self.tenants {
            tenant.enough = 0;
            let weights = || tenant.ports.iter().filter_map(|port| self.ports.get(usize::from(*port)));
            let least = weights().map(|port| port.weight).min().unwrap_or(1);
            for port in &tenant.ports {
                if let Some(port) = self.ports.get_mut(usize::from(*port)) {
                    port.deficit = port.deficit.min(port.quantum(least));
                    tenant.enough = tenant.enough.saturating_add_signed(port.quantum(least));
                }
            }
        }
    }

    /// Whether anything bounds or colours what a port's guest sends.
    #[inline]
    pub fn is_bound(&self, port: PortId) -> bool {
        self.ports.get(port.index()).is_some_and(|port| port.is_bound)
    }

    /// How many packets may be received from a port now; 0: it is to be left alone.
    #[inline]
    pub fn room(&mut self, port: PortId, now: Tick) -> usize {
        if self.is_bound(port) { self.bound_room(port.index(), now) } else { BURST }
    }

    /// Is told how many packets were received of those that might have been.
    #[inline]
    pub fn received(&mut self, port: PortId, packets: usize, room: usize) {
        if room > 0 && self.is_bound(port) {
            self.want(port.index(), packets >= room);
        }
    }

    /// For how long, in nanoseconds, a port was left alone that is received from again; asked once.
    pub fn held(&mut self, port: PortId, now: Tick) -> u64 {
        let held = self.ports.get_mut(port.index()).and_then(|port| port.held.take());
        held.map_or(0, |since| now.0.saturating_sub(since.0))
    }

    /// Charges packets of so many bytes together, if they are all green: nearly always a whole burst is. Returns whether
    /// they were, and are charged.
    #[inline]
    pub fn take_green(&mut self, port: PortId, packets: u64, bytes: u64) -> bool {
        let Some(port) = self.ports.get_mut(port.index()) else { return true };
        let Some(tenant) = self.tenants.get_mut(usize::from(port.tenant)) else { return true };
        if packets == 0 || !port.meter.is_green(bytes) || !tenant.meter.is_green(bytes) {
            return packets == 0;
        }
        port.meter.take_green(packets, bytes);
        port.size = (port.size + bytes / packets) / 2;
        port.deficit = port.deficit.saturating_sub_unsigned(bytes);
        tenant.meter.take_green(packets, bytes);
        true
    }

    /// Charges a packet of so many bytes, as they are charged.
    #[inline]
    pub fn take(&mut self, port: PortId, bytes: u32) -> Colour {
        let Some(port) = self.ports.get_mut(port.index()) else { return Colour::Green };
        let mine = port.meter.take(u64::from(bytes));
        port.size = (port.size * 7 + u64::from(bytes)) / 8;
        port.deficit = port.deficit.saturating_sub(i64::from(bytes));
        let tenant = self.tenants.get_mut(usize::from(port.tenant));
        let its = tenant.map_or(Colour::Green, |tenant| tenant.meter.take(u64::from(bytes)));
        if mine == Colour::Yellow { mine } else { its }
    }

    #[inline(never)]
    fn bound_room(&mut self, at: usize, now: Tick) -> usize {
        let of = self.ports[at].tenant;
        let own = self.ports[at].meter.refill(now);
        let common = self.tenants[usize::from(of)].meter.refill(now);
        let room = match (own, common) {
            (Some(own), Some(common))
                if common.0 >= self.tenants[usize::from(of)].enough || self.is_its_turn(at) =>
            {
                let size = self.ports[at].size.max(64);
                // One packet at least, which may lead into debt; then as many as there is credit for.
                let packets = (own.0.min(common.0) / size).min(own.1.min(common.1));
                packets.clamp(1, BURST as u64) as usize
            }
            (None, _) => {
                // It has no claim on what is its tenant's meanwhile.
                self.want(at, false);
                0
            }
            _ => {
                // It may have something: nobody has looked.
                self.want(at, true);
                0
            }
        };
        if room == 0 {
            self.ports[at].held.get_or_insert(now);
        }
        room
    }

    /// Whether a port may take of what its tenant has, beside the tenant's other ports.
    fn is_its_turn(&mut self, at: usize) -> bool {
        let Tenant { meter, ports, contending, .. } = &mut self.tenants[usize::from(self.ports[at].tenant)];
        if !meter.is_bound() || self.ports[at].deficit > 0 {
            return true;
        }
        if *contending > 0 {
            return false;
        }
        // All that want to send have had their share, and the last burst may have been more than that: as many rounds
        // go by as the first of them needs.
        let all = || ports.iter().map(|port| usize::from(*port));
        let least = all().map(|port| self.ports[port].weight).min().unwrap_or(1);
        let wanting = all().filter(|port| *port == at || self.ports[*port].wants);
        let rounds = wanting.map(|port| self.ports[port].rounds(least)).min().unwrap_or(1);
        for port in all() {
            let port = &mut self.ports[port];
            let quantum = port.quantum(least);
            port.deficit = port.deficit.saturating_add(quantum.saturating_mul(rounds)).min(quantum);
        }
        *contending = all().filter(|port| self.ports[*port].is_contending()).count();
        self.ports[at].deficit > 0
    }

    /// Notes whether a port has more to send.
    fn want(&mut self, at: usize, wants: bool) {
        let port = &mut self.ports[at];
        port.wants = wants;
        let Tenant { ports, contending, meter, .. } = &mut self.tenants[usize::from(port.tenant)];
        if meter.is_bound() {
            let contends = |port: &&u16| self.ports[usize::from(**port)].is_contending();
            *contending = ports.iter().filter(contends).count();
        }
    }
}

impl Port {
    /// What it may send in a round, beside others of which the least weight is this.
    const fn quantum(&self, least: u64) -> i64 {
        (QUANTUM * self.weight / least) as i64
    }

    /// Rounds until it may send again, which it may not now.
    const fn rounds(&self, least: u64) -> i64 {
        1 - self.deficit / self.quantum(least)
    }

    const fn is_contending(&self) -> bool {
        self.wants && self.deficit > 0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MBIT: u64 = 1_000_000;

    fn bound(ceil: u64, weight: u16) -> Share {
        Share { ceil, burst: 16_000, weight, ..Share::default() }
    }

    fn meters(tenant: Share, guests: &[Share]) -> Meters {
        let mut meters = Meters::default();
        set(&mut meters, tenant, guests);
        meters
    }

    fn set(meters: &mut Meters, tenant: Share, guests: &[Share]) {
        let tenants = [TenantShare { share: tenant, ..TenantShare::default() }];
        let guests = (0..).map(PortId).zip(guests).map(|(port, share)| (port, TenantId(0), share));
        meters.set(&tenants, guests, Tick(0));
    }

    /// Receives as much as may be for a while, in bursts, from guests with so many bytes a packet; 0: with none. Returns
    /// the bytes of each.
    fn receive(meters: &mut Meters, sizes: &[u32], (from, to): (u64, u64)) -> Vec<u64> {
        let mut got = vec![0; sizes.len()];
        for now in (from..to).step_by(7_001) {
            for (n, size) in sizes.iter().enumerate() {
                let port = PortId(n as u16);
                let room = meters.room(port, Tick(now));
                let packets = if *size == 0 { 0 } else { room };
                (0..packets).for_each(|_| _ = meters.take(port, *size));
                meters.received(port, packets, room);
                got[n] += packets as u64 * u64::from(*size);
            }
        }
        got
    }

    #[test]
    fn without_bounds_all_is_received() {
        let mut meters = meters(Share::default(), &[Share::default()]);
        assert_eq!(meters.room(PortId(0), Tick(0)), BURST);
        assert!(!meters.is_bound(PortId(0)));
        // Of a port that nobody has heard of, too.
        assert_eq!(meters.room(PortId(9), Tick(0)), BURST);
    }

    #[test]
    fn a_guest_is_held_to_its_own_bound_and_to_its_tenant_s() {
        let mut meters = meters(bound(100 * MBIT, 1), &[bound(10 * MBIT, 1), bound(0, 1)]);
        let got = receive(&mut meters, &[1_500, 300], (0, 1_000_000_000));
        let due = 100 * MBIT / 8;
        assert!(got[0].abs_diff(due / 10) <= 16_000 + 1_500, "{got:?}");
        assert!((got[0] + got[1]).abs_diff(due) <= 16_000 + 2 * 1_500, "{got:?} of {due}");
        assert!(meters.held(PortId(0), Tick(2_000_000_000)) > 0);
        assert_eq!(meters.held(PortId(0), Tick(2_000_000_000)), 0);
    }

    #[test]
    fn guests_share_what_their_tenant_may_by_their_weights() {
        let guests = [bound(0, 1), bound(0, 2), bound(0, 4), bound(0, 4)];
        let mut meters = meters(bound(1_000 * MBIT, 1), &guests);
        // The last has nothing to send; packets are of different sizes.
        let got = receive(&mut meters, &[1_500, 64, 9_000, 0], (0, 1_000_000_000));
        let all: u64 = got.iter().sum();
        assert!(all.abs_diff(125_000_000) <= 30_000, "{all}");
        for (got, weight) in got.iter().zip([1, 2, 4]) {
            let due = all * weight / 7;
            assert!(got.abs_diff(due) <= due / 50, "{got} of {due}");
        }
        // One that begins has its share at once, and one that ends leaves it.
        let got = receive(&mut meters, &[0, 0, 1_500, 1_500], (1_000_000_000, 2_000_000_000));
        assert!(got[2].abs_diff(got[3]) <= got[2] / 50, "{got:?}");
        assert!((got[2] + got[3]).abs_diff(125_000_000) <= 40_000, "{got:?}");
    }

    #[test]
    fn one_that_its_own_bound_holds_has_no_claim() {
        let guests = [bound(MBIT, 1_000), bound(0, 1)];
        let mut meters = meters(bound(100 * MBIT, 1), &guests);
        let got = receive(&mut meters, &[1_500, 1_500], (0, 1_000_000_000));
        assert!((got[0] + got[1]).abs_diff(12_500_000) <= 20_000, "{got:?}");
    }

    #[test]
    fn another_setting_keeps_what_is_owed() {
        let mut meters = meters(Share::default(), &[bound(MBIT, 1)]);
        (0..100).for_each(|_| _ = meters.take(PortId(0), 1_500));
        assert_eq!(meters.room(PortId(0), Tick(0)), 0);
        set(&mut meters, bound(10 * MBIT, 1), &[bound(2 * MBIT, 1)]);
        assert_eq!(meters.room(PortId(0), Tick(0)), 0);
        set(&mut meters, Share::default(), &[bound(0, 1)]);
        assert_eq!(meters.room(PortId(0), Tick(0)), BURST);
    }

    proptest! {
        #[test]
        fn a_burst_at_once_is_charged_as_its_packets_one_by_one(
            rate in 1..50u64,
            bursts in prop::collection::vec((1..9_000u32, 1..=BURST, 0..3_000_000u64), 1..60),
        ) {
            let own = Share { rate: rate * MBIT, ceil: 60 * MBIT, burst: 16_000, pps: 9_000, packet_burst: 64, weight: 1 };
            let tenant = Share { rate: 20 * MBIT, ceil: 100 * MBIT, burst: 64_000, ..Share::default() };
            let [mut at_once, mut single] = [meters(tenant, &[own]), meters(tenant, &[own])];
            let (port, mut now) = (PortId(0), 0);
            for (size, packets, later) in bursts {
                now += later;
                for meters in [&mut at_once, &mut single] {
                    meters.room(port, Tick(now));
                }
                let one_by_one = |meters: &mut Meters| (0..packets).map(|_| meters.take(port, size)).collect::<Vec<_>>();
                let is_green = at_once.take_green(port, packets as u64, packets as u64 * u64::from(size));
                let colours =
                    if is_green { vec![Colour::Green; packets] } else { one_by_one(&mut at_once) };
                prop_assert_eq!(colours, one_by_one(&mut single));
                let state = |meters: &Meters| {
                    (meters.ports[0].meter.opens(), meters.tenants[0].meter.opens(), meters.ports[0].deficit)
                };
                prop_assert_eq!(state(&at_once), state(&single));
            }
        }
    }
}
