//! Flows without number: frames that become another flow's before they are received.

use super::lab::{ipv4, ipv6, mac};
use super::packets;
use super::policies::{self, allow_udp, rule};
use super::rules::{MIXED_VNI, Scale, Seeded, mixed};
use super::{Lab, lab};
use crate::flow::Settings;
use crate::policy::{Action, GroupId, Member, Rule, Rules, Service, Side};
use crate::wire::Vni;
use crate::wire::ipv4::protocol;
use core::net::IpAddr;

/// Bytes before the ports of TCP and UDP over IPv4, in a frame.
const PORTS: usize = 14 + 20;

/// A UDP datagram over IPv4 of endpoint `from` to `to`, with `bytes` of data.
pub fn udp(from: u8, to: u8, bytes: usize) -> Vec<u8> {
    let ends = (ipv4(from).into(), ipv4(to).into());
    packets::frame(mac(to), mac(from), ends, protocol::UDP, &packets::udp(ends, 1, 1, &vec![0; bytes]))
}

/// A SYN over IPv4 of endpoint `from` to `to`.
pub fn syn(from: u8, to: u8) -> Vec<u8> {
    let ends = (ipv4(from).into(), ipv4(to).into());
    packets::frame(mac(to), mac(from), ends, protocol::TCP, &packets::tcp(ends, 1, 1, 2, &[]))
}

/// Makes `frame` one of flow `n`: the ports say so. Checksums are not looked at on the way.
pub fn of_flow(frame: &mut [u8], n: u32) {
    if let Some(ports) = frame.get_mut(PORTS..PORTS + 4) {
        ports.copy_from_slice(&n.to_be_bytes());
    }
}

/// Numbers of flows, one after the other so that none is near the one before (a full cycle modulo a power of two).
#[derive(Clone, Copy, Debug)]
pub struct Flows {
    count: u32,
    next: u32,
}

impl Flows {
    /// Of `count` flows.
    pub fn new(count: u32) -> Self {
        Self { count, next: 1 }
    }

    /// The next number: uniform, and not foreseen by a prefetcher.
    pub fn choose(&mut self) -> u32 {
        // Knuth's constants for a modulus of 2^32; the high half of the product is even.
        self.next = self.next.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((u64::from(self.next) * u64::from(self.count)) >> 32) as u32
    }
}

/// The default lab with `rules` mixed rules in blue of which few are about its endpoints, and at their end all of UDP
/// and TCP allowed.
pub fn lab_with_rules(rules: usize, capacity: u32) -> Lab {
    let mut policy = match rules {
        0 => policies::policy(Action::Deny, []),
        _ => mixed(&mut Seeded(7), Scale::of(rules)),
    };
    let vni = Vni::new(lab::BLUE).expect("in range");
    policy.rules.iter_mut().for_each(|rule| rule.action = Action::Allow);
    policy.members.iter_mut().filter(|member| member.vni == MIXED_VNI).for_each(|member| member.vni = vni);
    policy.members.retain(|member| !member.address.to_string().starts_with("10.1."));
    for n in 1..=5u8 {
        let addresses: [IpAddr; 2] = [ipv4(n).into(), ipv6(n).into()];
        let groups = vec![GroupId(u32::from(n))];
        policy.members.extend(addresses.map(|address| Member { vni, address, groups: groups.clone() }));
    }
    let slot = policy.default_slot;
    let all = [
        Rule { slot, ..allow_udp(Side::Any, Side::Any, 0..=u16::MAX) },
        Rule { slot: slot + 1, ..rule(Side::Any, Side::Any, Action::Allow, Service::Tcp(0..=u16::MAX)) },
    ];
    policy.rules.extend(all);
    policy.default_slot = slot + 2;
    with(policy, capacity)
}

/// The default lab with this policy in blue, and room for so many sessions.
pub fn with(policy: Rules, capacity: u32) -> Lab {
    Lab { sessions: Settings { capacity, ..Settings::default() }, ..policies::lab(policy) }
}
