//! Addresses to classes: what a policy knows of an address is the set of groups that it is in.
//!
//! Endpoints are found by segment and address in a hash table; their class already has the groups of the networks
//! around them. Every other address has the class of the longest prefix that it matches, which already has the
//! groups of the shorter ones.

use core::hash::BuildHasherDefault;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::collections::HashMap;
use std::hash::DefaultHasher;

use super::lpm::{Cut, Ranges};
use super::rules::{GroupId, Member, Network};
use super::table::Table;
use crate::wire::Vni;

/// The number of a set of groups.
pub(super) type Class = u32;

/// The class of what is in no group.
const NOWHERE: Class = 0;

/// All addresses, each with its class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Addresses {
    endpoints_v4: Table<u64, 5>,
    endpoints_v6: Table<[u64; 3], 2>,
    networks_v4: Ranges<u32, 16>,
    networks_v6: Ranges<u128, 8>,
    /// The groups of each class, in order.
    pub classes: Sets,
}

impl Addresses {
    /// Of these members and networks.
    pub fn new(members: &[Member], networks: &[Network]) -> Self {
        let mut classes = Interner::default();
        classes.intern(&[]);
        let [v4, v6] = spans(networks);
        let networks_v4 = Ranges::new(&cuts(&v4, u32::MAX.into(), &mut classes), u32::MAX);
        let networks_v6 = Ranges::new(&cuts(&v6, u128::MAX, &mut classes), u128::MAX);
        let (mut endpoints_v4, mut endpoints_v6) = (Vec::new(), Vec::new());
        for Member { vni, address, groups } in members {
            match address {
                IpAddr::V4(address) => {
                    let class = classes.union(networks_v4.find(address.to_bits()), groups);
                    endpoints_v4.push((key_v4(*vni, *address), class));
                }
                IpAddr::V6(address) => {
                    let class = classes.union(networks_v6.find(address.to_bits()), groups);
                    endpoints_v6.push((key_v6(*vni, *address), class));
                }
            }
        }
        Self {
            endpoints_v4: Table::new(&endpoints_v4),
            endpoints_v6: Table::new(&endpoints_v6),
            networks_v4,
            networks_v6,
            classes: classes.sets,
        }
    }

    /// The class of an address in a segment.
    #[inline(always)]
    pub fn class(&self, vni: Vni, address: IpAddr) -> Class {
        // Who is found nowhere has no groups; nor have any networks that contain an endpoint of class 0.
        match address {
            IpAddr::V4(address) => match self.endpoints_v4.find(key_v4(vni, address)) {
                NOWHERE => self.networks_v4.find(address.to_bits()),
                class => class,
            },
            IpAddr::V6(address) => match self.endpoints_v6.find(key_v6(vni, address)) {
                NOWHERE => self.networks_v6.find(address.to_bits()),
                class => class,
            },
        }
    }

    /// The bytes that it takes.
    pub fn bytes(&self) -> usize {
        self.endpoints_v4.bytes()
            + self.endpoints_v6.bytes()
            + self.networks_v4.bytes()
            + self.networks_v6.bytes()
            + self.classes.bytes()
    }
}

impl Default for Addresses {
    fn default() -> Self {
        Self::new(&[], &[])
    }
}

#[inline(always)]
fn key_v4(vni: Vni, address: Ipv4Addr) -> u64 {
    u64::from(vni.value()) << 32 | u64::from(address.to_bits())
}

#[inline(always)]
fn key_v6(vni: Vni, address: Ipv6Addr) -> [u64; 3] {
    let address = address.to_bits();
    [vni.value().into(), (address >> 64) as u64, address as u64]
}

/// The first and last address of a network, and its group.
type Span = (u128, u128, GroupId);

/// The networks of IPv4 and of IPv6, each before those that it contains.
fn spans(networks: &[Network]) -> [Vec<Span>; 2] {
    let mut spans = [Vec::new(), Vec::new()];
    for network in networks {
        let (family, address, bits) = match network.address {
            IpAddr::V4(address) => (0, u128::from(address.to_bits()), 32),
            IpAddr::V6(address) => (1, address.to_bits(), 128),
        };
        let host_bits = u32::saturating_sub(bits, network.prefix.into());
        let host = u128::MAX.checked_shr(128 - host_bits).unwrap_or(0);
        spans[family].push((address & !host, address | host, network.group));
    }
    for spans in &mut spans {
        spans.sort_unstable_by_key(|(first, last, group)| (*first, u128::MAX - last, *group));
    }
    spans
}

/// Cuts networks that nest into ranges, each with the class of all networks around it.
fn cuts(spans: &[Span], largest: u128, classes: &mut Interner) -> Vec<Cut> {
    let mut cuts = vec![(0, NOWHERE)];
    // The networks around the place that the sweep has come to, from the outside in: last address and class.
    let mut around: Vec<(u128, Class)> = Vec::new();
    for same in spans.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
        let (first, last, _) = same[0];
        leave(&mut around, &mut cuts, first);
        let outer = around.last().map_or(NOWHERE, |(_, class)| *class);
        let groups: Vec<_> = same.iter().map(|(_, _, group)| *group).collect();
        let class = classes.union(outer, &groups);
        cut(&mut cuts, first, class);
        around.push((last, class));
    }
    leave(&mut around, &mut cuts, largest);
    cuts
}

/// Leaves the networks that end before `address`.
fn leave(around: &mut Vec<(u128, Class)>, cuts: &mut Vec<Cut>, address: u128) {
    while let Some((last, _)) = around.pop_if(|(last, _)| *last < address) {
        let outer = around.last().map_or(NOWHERE, |(_, class)| *class);
        cut(cuts, last + 1, outer);
    }
}

/// From `start` on it is `class`.
fn cut(cuts: &mut Vec<Cut>, start: u128, class: Class) {
    cuts.pop_if(|(last, _)| *last == start);
    if cuts.last().is_none_or(|(_, before)| *before != class) {
        cuts.push((start, class));
    }
}

/// Sets of groups by number, one behind the other.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(super) struct Sets {
    groups: Vec<GroupId>,
    /// Where each ends.
    ends: Vec<usize>,
}

impl Sets {
    /// The groups of a class, in order.
    pub fn of(&self, class: Class) -> &[GroupId] {
        let end = |class: usize| self.ends.get(class).copied().unwrap_or(0);
        let start = (class as usize).checked_sub(1).map_or(0, end);
        self.groups.get(start..end(class as usize)).unwrap_or(&[])
    }

    /// All sets, in order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = &[GroupId]> {
        (0..self.len()).map(|class| self.of(class as Class))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    fn bytes(&self) -> usize {
        size_of_val(&*self.groups) + size_of_val(&*self.ends)
    }
}

/// Gives sets their numbers, equal sets the same. Its hash is not random: what is compiled twice comes out the same.
#[derive(Default)]
struct Interner {
    sets: Sets,
    numbers: HashMap<Box<[GroupId]>, Class, BuildHasherDefault<DefaultHasher>>,
    scratch: Vec<GroupId>,
}

impl Interner {
    /// The class with the groups of `class` and these.
    fn union(&mut self, class: Class, groups: &[GroupId]) -> Class {
        let mut all = core::mem::take(&mut self.scratch);
        all.clear();
        all.extend_from_slice(self.sets.of(class));
        all.extend_from_slice(groups);
        all.sort_unstable();
        all.dedup();
        let class = self.intern(&all);
        self.scratch = all;
        class
    }

    fn intern(&mut self, groups: &[GroupId]) -> Class {
        if let Some(class) = self.numbers.get(groups) {
            return *class;
        }
        let class = self.sets.len() as Class;
        self.sets.groups.extend_from_slice(groups);
        self.sets.ends.push(self.sets.groups.len());
        self.numbers.insert(groups.into(), class);
        class
    }
}
