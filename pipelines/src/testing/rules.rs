//! Rules and questions at random, from a stream of choices: small ones that crowd together at edges, for comparing
//! with [`linear::decide`](crate::policy::linear::decide), and large ones like those of a real tenant.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::ops::RangeInclusive;
use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::policy::{Action, GroupId, Member, Network, Question, Rule, Rules, Service, Side};
use crate::wire::Vni;

/// Where choices come from.
pub trait Choose {
    /// A number below `limit`; 0 is the plainest choice.
    fn below(&mut self, limit: usize) -> usize;

    /// Yes once in so many times.
    fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == times - 1
    }

    /// One of them.
    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

/// Choices from a seed (splitmix64).
#[derive(Clone, Debug)]
pub struct Seeded(pub u64);

impl Choose for Seeded {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        // The high half of the product: even enough for limits far below 2^64.
        ((u128::from(z ^ (z >> 31)) * limit as u128) >> 64) as usize
    }
}

/// Choices from a script, a byte each; behind its end always the plainest. Proptest shortens it.
#[derive(Clone, Debug)]
pub struct Script(std::vec::IntoIter<u8>);

impl Script {
    /// Of these bytes.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes.into_iter())
    }
}

impl Choose for Script {
    fn below(&mut self, limit: usize) -> usize {
        usize::from(self.0.next().unwrap_or(0)) % limit
    }
}

/// Scripts, for a proptest.
pub fn script() -> impl Strategy<Value = Script> {
    prop::collection::vec(any::<u8>(), 0..600).prop_map(Script::new)
}

/// The groups of small rules; the last two never have members of their own.
const GROUPS: [u32; 7] = [0, 1, 2, 3, u32::MAX, 77, u32::MAX - 1];
/// The segments of small rules.
const VNIS: [u32; 3] = [1, 2, Vni::MAX];
/// Networks that lie in each other, beside each other and at the ends of the addresses.
const NETWORKS: [(&str, u8); 18] = [
    ("10.1.0.0", 16),
    ("10.1.2.0", 24),
    ("10.1.2.128", 25),
    ("10.1.2.255", 32),
    ("10.1.3.0", 32),
    ("10.0.0.0", 8),
    ("0.0.0.0", 0),
    ("0.0.0.0", 32),
    ("128.0.0.0", 1),
    ("255.255.255.255", 32),
    ("fd00:1::", 32),
    ("fd00:1::", 64),
    ("fd00:1::8000:0:0:0", 65),
    ("fd00:1::ffff", 128),
    ("fd00::", 8),
    ("::", 0),
    ("::", 128),
    ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 128),
];
/// Ports, and types of ICMP with their codes, where ranges like to start and end.
const PORTS: [u16; 12] = [0, 1, 22, 80, 255, 256, 443, 0x0800, 0x08ff, 0x8000, u16::MAX - 1, u16::MAX];
const PROTOCOLS: [u8; 8] = [6, 17, 132, 1, 58, 47, 0, 255];

/// Up to 19 rules for a handful of groups that overlap in every way.
pub fn few(choose: &mut impl Choose) -> Rules {
    let count = choose.below(20);
    crowd(choose, count)
}

/// So many rules for a handful of groups that overlap in every way.
pub fn crowd(choose: &mut impl Choose, count: usize) -> Rules {
    let rules = (0..count).map(|slot| rule(choose, slot as u32)).collect();
    let mut members: Vec<Member> = Vec::new();
    for _ in 0..choose.below(8) {
        let member = member(choose);
        if members.iter().all(|of| (of.vni, of.address) != (member.vni, member.address)) {
            members.push(member);
        }
    }
    Rules {
        rules,
        default: action(choose),
        default_audit: choose.once_in(3),
        default_slot: count as u32,
        members,
        networks: (0..choose.below(8)).map(|_| network(choose)).collect(),
    }
}

/// Changes rules a little: one, or a few, are put in, taken out, changed or moved, anywhere; seldom something else.
pub fn changed(choose: &mut impl Choose, rules: &Rules) -> Rules {
    let mut new = rules.clone();
    for _ in 0..=choose.below(3) {
        let len = new.rules.len();
        let (at, other) = (choose.below(len + 1), choose.below(len + 1));
        match choose.below(14) {
            0..3 => new.rules.insert(at, rule(choose, 1000 + at as u32)),
            3..5 if at < len => drop(new.rules.remove(at)),
            5 if at < len => new.rules[at] = rule(choose, 2000 + at as u32),
            6 if at < len => new.rules[at].services = [service(choose)].into(),
            7 if at < len => new.rules[at].audit ^= true,
            8 if at < len => (new.rules[at].log, new.rules[at].action) = (choose.once_in(2), action(choose)),
            9 if at < len => {
                let moved = new.rules.remove(at);
                new.rules.insert(other.min(len - 1), moved);
            }
            10 if at < len => new.rules.insert(other, new.rules[at].clone()),
            11 => new.rules[at.min(other)..at.max(other)].rotate_left(at.abs_diff(other) / 2),
            12 if choose.once_in(2) => new.networks.push(network(choose)),
            12 => drop(new.members.pop()),
            _ => (new.default, new.default_audit) = (action(choose), choose.once_in(2)),
        }
    }
    new
}

fn rule(choose: &mut impl Choose, slot: u32) -> Rule {
    Rule {
        from: side(choose),
        to: side(choose),
        services: (0..=choose.below(3)).map(|_| service(choose)).collect(),
        action: action(choose),
        audit: choose.once_in(4),
        log: choose.once_in(4),
        slot,
    }
}

fn action(choose: &mut impl Choose) -> Action {
    choose.pick(&[Action::Allow, Action::Deny])
}

fn side(choose: &mut impl Choose) -> Side {
    if choose.once_in(3) { Side::Any } else { Side::Group(GroupId(choose.pick(&GROUPS))) }
}

fn service(choose: &mut impl Choose) -> Service {
    let kind = choose.below(10);
    match kind {
        0..4 => Service::Tcp(ports(choose)),
        4..6 => Service::Udp(ports(choose)),
        6 => Service::Sctp(ports(choose)),
        7 => Service::Icmp(ports(choose)),
        8 => Service::Icmpv6(ports(choose)),
        _ => Service::Any,
    }
}

/// One port or a range, from one edge to another or beside it; seldom an empty one.
fn ports(choose: &mut impl Choose) -> RangeInclusive<u16> {
    let (a, b) = (port(choose), port(choose));
    match choose.below(16) {
        0..8 => a..=a,
        8..15 => a.min(b)..=a.max(b),
        _ => a..=b,
    }
}

fn port(choose: &mut impl Choose) -> u16 {
    let port = choose.pick(&PORTS);
    choose.pick(&[port, port.wrapping_add(1), port.wrapping_sub(1)])
}

fn member(choose: &mut impl Choose) -> Member {
    let vni = vni(choose);
    let address = address(choose);
    let groups = (0..choose.below(4)).map(|_| GroupId(GROUPS[choose.below(5)]));
    Member { vni, address, groups: groups.collect() }
}

fn network(choose: &mut impl Choose) -> Network {
    let (address, prefix) = choose.pick(&NETWORKS);
    Network { address: address.parse().expect("an address"), prefix, group: GroupId(GROUPS[choose.below(6)]) }
}

fn vni(choose: &mut impl Choose) -> Vni {
    Vni::new(choose.pick(&VNIS)).expect("a VNI")
}

/// The first or last address of one of the networks, or one beside it.
fn address(choose: &mut impl Choose) -> IpAddr {
    let (address, prefix) = choose.pick(&NETWORKS);
    edge(choose, address.parse().expect("an address"), prefix)
}

fn edge(choose: &mut impl Choose, network: IpAddr, prefix: u8) -> IpAddr {
    let (last, step) = (choose.once_in(2), choose.below(3));
    match network {
        IpAddr::V4(address) => {
            let host = u32::MAX.checked_shr(prefix.into()).unwrap_or(0);
            let bits = address.to_bits() | if last { host } else { 0 };
            Ipv4Addr::from_bits([bits, bits.wrapping_add(1), bits.wrapping_sub(1)][step]).into()
        }
        IpAddr::V6(address) => {
            let host = u128::MAX.checked_shr(prefix.into()).unwrap_or(0);
            let bits = address.to_bits() | if last { host } else { 0 };
            Ipv6Addr::from_bits([bits, bits.wrapping_add(1), bits.wrapping_sub(1)][step]).into()
        }
    }
}

/// A question about such rules, mostly about their members, networks and services, at the edges.
pub fn question(choose: &mut impl Choose, rules: &Rules) -> Question {
    let (vni, from) = who(choose, rules);
    let (_, to) = who(choose, rules);
    let rule = choose.below(rules.rules.len().max(1));
    let (protocol, port) = match rules.rules.get(rule) {
        Some(rule) if !choose.once_in(4) => what(choose, rule),
        _ => (choose.pick(&PROTOCOLS), port(choose)),
    };
    Question { vni, from, to, protocol, port }
}

fn who(choose: &mut impl Choose, rules: &Rules) -> (Vni, IpAddr) {
    let kind = choose.below(8);
    match kind {
        0..4 if !rules.members.is_empty() => {
            let member = &rules.members[choose.below(rules.members.len())];
            (member.vni, member.address)
        }
        4..7 if !rules.networks.is_empty() => {
            let network = rules.networks[choose.below(rules.networks.len())];
            (vni(choose), edge(choose, network.address, network.prefix))
        }
        _ => (vni(choose), address(choose)),
    }
}

/// What a rule is about, at an edge or beside it.
fn what(choose: &mut impl Choose, rule: &Rule) -> (u8, u16) {
    let (protocol, ports) = match &rule.services[choose.below(rule.services.len())] {
        Service::Any => return (choose.pick(&PROTOCOLS), port(choose)),
        Service::Tcp(ports) => (6, ports),
        Service::Udp(ports) => (17, ports),
        Service::Sctp(ports) => (132, ports),
        Service::Icmp(types) => (1, types),
        Service::Icmpv6(types) => (58, types),
    };
    let port = choose.pick(&[*ports.start(), *ports.end()]);
    (protocol, choose.pick(&[port, port.wrapping_add(1), port.wrapping_sub(1)]))
}

/// How large a tenant is.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// Rules.
    pub rules: usize,
    /// Groups; an eighth of them are of addresses.
    pub groups: usize,
    /// Endpoints.
    pub members: usize,
}

impl Scale {
    /// A tenant whose groups and endpoints are in proportion to its rules, as far as is promised.
    pub fn of(rules: usize) -> Self {
        let groups = (rules / 10).clamp(8, 10_000);
        Self { rules, groups, members: groups * 4 }
    }
}

/// Of so many groups one is of addresses.
const OF_ADDRESSES: usize = 8;
/// The segment of all of them.
const MIXED_VNI: Vni = Vni::LOWEST;

/// Mixed rules like those of a real tenant: mostly from one group to another, some between one group and anyone, a
/// few about all; single ports, ranges and lists; one in ten denies, and some are only counted. One in eight groups
/// is of addresses, which nest; most endpoints are in one group, some in two or three; one in ten has IPv6.
pub fn mixed(choose: &mut impl Choose, scale: Scale) -> Rules {
    let networks = scale.groups / OF_ADDRESSES;
    let own = scale.groups - networks;
    Rules {
        rules: (0..scale.rules).map(|slot| mixed_rule(choose, scale, slot as u32)).collect(),
        default: Action::Deny,
        default_audit: false,
        default_slot: scale.rules as u32,
        members: (0..scale.members).map(|n| mixed_member(choose, n, own)).collect(),
        networks: (0..networks).map(|n| mixed_network(n, GroupId((own + n) as u32))).collect(),
    }
}

/// A rule of [`mixed`].
pub fn mixed_rule(choose: &mut impl Choose, scale: Scale, slot: u32) -> Rule {
    let mut group = || Side::Group(GroupId(choose.below(scale.groups) as u32));
    let (a, b) = (group(), group());
    let (from, to) = match choose.below(100) {
        0..80 => (a, b),
        80..89 => (a, Side::Any),
        89..98 => (Side::Any, b),
        _ => (Side::Any, Side::Any),
    };
    let services = choose.pick(&[1, 1, 1, 2, 3]);
    Rule {
        from,
        to,
        services: (0..services)
            .map(|_| mixed_service(choose, from != Side::Any && to != Side::Any))
            .collect(),
        action: if choose.once_in(10) { Action::Deny } else { Action::Allow },
        audit: choose.once_in(20),
        log: choose.once_in(50),
        slot,
    }
}

/// Everything is only said between groups: else it would hide all that comes after it.
fn mixed_service(choose: &mut impl Choose, everything: bool) -> Service {
    let first = choose.below(60_000) as u16;
    let known = choose.pick(&[22u16, 53, 80, 123, 443, 5432, 6379, 8080, 9090]);
    let ports = match choose.below(10) {
        0..4 => known..=known,
        4..7 => first..=first,
        7..9 => first..=first + choose.below(100) as u16,
        _ => first..=first + 2_000,
    };
    match choose.below(100) {
        0..70 => Service::Tcp(ports),
        70..90 => Service::Udp(ports),
        90..94 => Service::Sctp(ports),
        94..96 => Service::Icmp(0x0800..=0x08ff),
        96..98 => Service::Icmpv6(0x8000..=0x80ff),
        _ if everything => Service::Any,
        _ => Service::Tcp(first..=first),
    }
}

fn mixed_member(choose: &mut impl Choose, n: usize, groups: usize) -> Member {
    let address = match n % 10 {
        9 => Ipv6Addr::from_bits(0xfd00 << 112 | n as u128).into(),
        _ => Ipv4Addr::from_bits(0x0a00_0000 | n as u32).into(),
    };
    let more = choose.pick(&[0, 0, 0, 0, 0, 0, 0, 1, 1, 2]);
    // One of its own, so that no group is without members.
    let others = (0..more).map(|_| choose.below(groups));
    Member {
        vni: MIXED_VNI,
        address,
        groups: [n % groups].into_iter().chain(others).map(|group| GroupId(group as u32)).collect(),
    }
}

/// Of IPv4 a /16, a /20 and two /24 in it, of IPv6 a /48; and then the next.
fn mixed_network(n: usize, group: GroupId) -> Network {
    let block = n as u32 / 5;
    let (address, prefix) = match n % 5 {
        0 => (Ipv4Addr::from_bits(0xac10_0000 + (block << 16)).into(), 16),
        1 => (Ipv4Addr::from_bits(0xac10_4000 + (block << 16)).into(), 20),
        2 => (Ipv4Addr::from_bits(0xac10_4200 + (block << 16)).into(), 24),
        3 => (Ipv4Addr::from_bits(0xac10_9100 + (block << 16)).into(), 24),
        _ => (Ipv6Addr::from_bits(0x2001_0db8 << 96 | u128::from(block) << 80).into(), 48),
    };
    Network { address, prefix, group }
}

/// Questions about such rules, spread over all of them: two in three are what some rule is about.
pub fn mixed_questions(choose: &mut impl Choose, rules: &Rules, count: usize) -> Vec<Question> {
    let mut of_group: BTreeMap<GroupId, Vec<IpAddr>> = BTreeMap::new();
    for member in &rules.members {
        for group in &member.groups {
            of_group.entry(*group).or_default().push(member.address);
        }
    }
    for network in &rules.networks {
        let inside = (0..4).map(|n| -> IpAddr {
            match network.address {
                IpAddr::V4(address) => Ipv4Addr::from_bits(address.to_bits() + n * 63).into(),
                IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() + u128::from(n) * 63).into(),
            }
        });
        of_group.entry(network.group).or_default().extend(inside);
    }
    let groups: Vec<_> = of_group.keys().copied().collect();
    let mut questions = Vec::with_capacity(count);
    while questions.len() < count {
        let rule = &rules.rules[choose.below(rules.rules.len())];
        let beside = choose.once_in(3);
        let mut who = |side| {
            let group = match side {
                Side::Group(group) if !beside && of_group.contains_key(&group) => group,
                _ => groups[choose.below(groups.len())],
            };
            let addresses = &of_group[&group];
            addresses[choose.below(addresses.len())]
        };
        let (from, to) = (who(rule.from), who(rule.to));
        // Nobody talks to another family.
        if from.is_ipv4() == to.is_ipv4() {
            let (protocol, port) = what(choose, rule);
            questions.push(Question { vni: MIXED_VNI, from, to, protocol, port });
        }
    }
    questions
}
