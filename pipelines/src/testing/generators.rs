//! Random fabrics and frames, for proptest.

use core::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::lab::{Endpoint, Found, Host, Lab, LabQos, ipv4, ipv6, link_local, mac, vtep};
use super::oracle::{Said, What};
use super::packets::Operation;
use crate::ids::{PortId, TenantId};
use crate::qos::{Class, Classes, Dscp, Settings, Share};
use crate::wire::{Mac, Vni};

/// Endpoints have numbers below this, so that those of different segments have equal addresses.
const NUMBERS: u8 = 6;

/// A fabric of a few hosts and segments; host 0 has an endpoint. All next hops are static.
pub fn lab() -> impl Strategy<Value = Lab> {
    (1..5usize, 1..4usize, 1..=2u16, qos()).prop_flat_map(|(hosts, segments, workers, qos)| {
        let found =
            prop::collection::vec(prop_oneof![4 => Just(Found::Static), 1 => Just(Found::Never)], hosts);
        let tenants = prop::collection::vec(0..2u16, segments);
        let places = prop::collection::vec(prop::option::of(0..hosts), segments * usize::from(NUMBERS));
        (found, tenants, places).prop_map(move |(found, tenants, places)| {
            let qos = qos.clone();
            let host = |(n, found)| Host { vtep: vtep(n as u8).0, mac: vtep(n as u8).1, found };
            let segment = |(n, tenant)| (TenantId(tenant), Vni::new(100 + n as u32).expect("in range"));
            let first = Endpoint::numbered(0, 0, NUMBERS);
            let others = places.iter().enumerate().filter_map(|(n, host)| {
                let (segment, n) = (n / usize::from(NUMBERS), (n % usize::from(NUMBERS)) as u8);
                host.map(|host| Endpoint::numbered(host, segment, n))
            });
            Lab {
                policies: Vec::new(),
                sessions: Lab::default().sessions,
                limits: Lab::default().limits,
                qos,
                hosts: found.into_iter().enumerate().map(host).collect(),
                segments: tenants.into_iter().enumerate().map(segment).collect(),
                endpoints: [first].into_iter().chain(others).collect(),
                mtu: 1600,
                workers,
            }
        })
    })
}

/// Either way of the DSCP over the tunnel, and traffic classes of a few guests; nothing is bounded.
fn qos() -> impl Strategy<Value = LabQos> {
    let classes = (prop::collection::vec(0..Class::MAX as u8, 64), prop::array::uniform4(0..64u8));
    let classes = classes.prop_map(|(of, outer)| Classes {
        of: core::array::from_fn(|dscp| Class(of[dscp])),
        outer,
        ..Classes::default()
    });
    let dscp = prop_oneof![Just(Dscp::Pipe), Just(Dscp::Uniform)];
    (dscp, prop::collection::vec(classes, 0..8)).prop_map(|(dscp, classes)| LabQos {
        settings: Settings { dscp, ..Settings::default() },
        endpoints: (0..).map(PortId).zip(classes).map(|(port, of)| (port, Share::default(), of)).collect(),
        ..LabQos::default()
    })
}

/// A fabric, and what guests of its host 0 send.
pub fn lab_with_talk() -> impl Strategy<Value = (Lab, Vec<(PortId, Said)>)> {
    lab().prop_flat_map(|lab| {
        let guests: Vec<_> =
            lab.guests(0).enumerate().map(|(port, guest)| (PortId(port as u16), guest.mac.0[5])).collect();
        let one = prop::sample::select(guests).prop_flat_map(|(port, n)| (Just(port), said(n)));
        (Just(lab), prop::collection::vec(one, 1..20))
    })
}

/// A frame that endpoint `n` sends: mostly an honest one, to any destination.
pub fn said(n: u8) -> impl Strategy<Value = Said> {
    let other = || prop_oneof![6 => Just(n), 1 => 0..=NUMBERS + 1];
    let tag = prop_oneof![8 => Just(None), 1 => Just(Some(0xe000)), 1 => Just(Some(7))];
    let (from, tos) = (other().prop_map(mac), any::<u8>());
    let parts = (destination(), from, tag, tos, what(n));
    parts.prop_map(|(to, from, tag, tos, what)| Said { to, from, tag, tos, what })
}

fn destination() -> impl Strategy<Value = Mac> {
    prop_oneof![
        6 => (0..=NUMBERS + 1).prop_map(mac),
        1 => Just(Mac::BROADCAST),
        1 => Just(Mac([0x33, 0x33, 0, 0, 0, 1])),
        1 => (0..32u8).prop_map(|low| Mac([0x01, 0x80, 0xc2, 0, 0, low])),
    ]
}

fn what(n: u8) -> impl Strategy<Value = What> {
    let other = move || prop_oneof![6 => Just(n), 1 => 0..=NUMBERS + 1];
    let v4 = move || prop_oneof![9 => other().prop_map(ipv4), 1 => Just(Ipv4Addr::UNSPECIFIED)];
    let v6 = move || {
        prop_oneof![
            6 => other().prop_map(ipv6),
            3 => other().prop_map(link_local),
            1 => Just(Ipv6Addr::UNSPECIFIED)
        ]
    };
    let operation = prop_oneof![Just(Operation::Request), Just(Operation::Reply)];
    let advertisement = (v6(), v6(), other());
    prop_oneof![
        v4().prop_map(What::Udp4),
        v6().prop_map(What::Udp6),
        (operation, other(), v4()).prop_map(|(operation, n, ip)| What::Arp(operation, mac(n), ip)),
        advertisement.prop_map(|(source, target, n)| What::Advertisement(source, target, mac(n))),
        v6().prop_map(What::Echo6),
        Just(What::Discover),
        Just(What::Other),
    ]
}

/// Changes of a frame's bytes.
#[derive(Clone, Debug)]
pub enum Change {
    /// Another byte at a place.
    Set(prop::sample::Index, u8),
    /// Another big-endian word at a place.
    Word(prop::sample::Index, u16),
    /// Nothing behind a place.
    Cut(prop::sample::Index),
    /// More bytes at a place.
    Insert(prop::sample::Index, Vec<u8>),
}

/// Any changes.
pub fn changes() -> impl Strategy<Value = Vec<Change>> {
    let at = any::<prop::sample::Index>;
    let change = prop_oneof![
        (at(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        (at(), any::<u16>()).prop_map(|(at, word)| Change::Word(at, word)),
        at().prop_map(Change::Cut),
        (at(), prop::collection::vec(any::<u8>(), 1..12)).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
    ];
    prop::collection::vec(change, 1..5)
}

/// `frame` after `changes`.
pub fn changed(mut frame: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    for change in changes {
        let len = frame.len();
        if len < 2 {
            break;
        }
        match change {
            Change::Set(at, byte) => frame[at.index(len)] = *byte,
            Change::Word(at, word) => {
                let at = at.index(len - 1);
                frame[at..at + 2].copy_from_slice(&word.to_be_bytes());
            }
            Change::Cut(at) => frame.truncate(at.index(len)),
            Change::Insert(at, bytes) => {
                let at = at.index(len);
                frame.splice(at..at, bytes.iter().copied());
            }
        }
    }
    frame
}
