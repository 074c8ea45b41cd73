//! DSCP and ECN across the tunnel: both headers on the way in, the inner one on the way out.

use core::time::Duration;

use proptest::prelude::*;
use weft_pipelines::qos::{Class, Classes, Dscp, Share};
use weft_pipelines::testing::frames::{Outer, udp4, udp6};
use weft_pipelines::testing::lab::endpoint::{DB1, WEB1};
use weft_pipelines::testing::lab::{BLUE, host, mac, port, vtep};
use weft_pipelines::testing::packets::{self, Operation, Shape, set_tos, vxlan};
use weft_pipelines::testing::{Bed, Lab};
use weft_pipelines::wire::{Ethernet, Ipv4, checksum, tos};
use weft_pipelines::{PortId, Reason};

/// Not-ECT, ECT(1), ECT(0), CE.
const NOT_ECT: u8 = 0;
const ECT_1: u8 = 1;
const ECT_0: u8 = 2;
const CE: u8 = 3;

const EF: u8 = 46;
const CS1: u8 = 8;

/// RFC 6040, figure 4: inner, outer, what arrives; `None` is a drop.
const TABLE: [(u8, u8, Option<u8>); 16] = [
    (NOT_ECT, NOT_ECT, Some(NOT_ECT)),
    (NOT_ECT, ECT_0, Some(NOT_ECT)),
    (NOT_ECT, ECT_1, Some(NOT_ECT)),
    (NOT_ECT, CE, None),
    (ECT_0, NOT_ECT, Some(ECT_0)),
    (ECT_0, ECT_0, Some(ECT_0)),
    (ECT_0, ECT_1, Some(ECT_1)),
    (ECT_0, CE, Some(CE)),
    (ECT_1, NOT_ECT, Some(ECT_1)),
    (ECT_1, ECT_0, Some(ECT_1)),
    (ECT_1, ECT_1, Some(ECT_1)),
    (ECT_1, CE, Some(CE)),
    (CE, NOT_ECT, Some(CE)),
    (CE, ECT_0, Some(CE)),
    (CE, ECT_1, Some(CE)),
    (CE, CE, Some(CE)),
];

/// The default lab, in which `blue/web1` has its voice (EF) and its bulk (CS1) in classes of their own.
fn lab(dscp: Dscp, workers: u16) -> Lab {
    let mut classes = Classes { outer: [EF, CS1, 10, 0], ..Classes::default() };
    classes.of = [Class(2); 64];
    classes.of[usize::from(EF)] = Class(0);
    classes.of[usize::from(CS1)] = Class(1);
    let mut lab = Lab::on_workers(workers);
    lab.qos.settings.dscp = dscp;
    lab.qos.endpoints = vec![(port::BLUE_WEB1, Share::default(), classes)];
    lab
}

fn marked(mut frame: Vec<u8>, tos: u8) -> Vec<u8> {
    set_tos(&mut frame, tos);
    frame
}

/// `inner` from `hv-b` behind outer headers with this octet.
fn arriving(inner: &[u8], tos: u8) -> Vec<u8> {
    let shape = Shape { tos, ..Shape::default() };
    Outer { shape, ..Outer::new(host::HV_B) }.around(&vxlan(8, BLUE, inner))
}

/// Writes the octet of the outer header, as a router on the way does.
fn on_the_way(frame: &mut [u8], tos: u8) {
    assert!(tos::set(frame, tos));
}

fn outer_of(frame: &[u8]) -> u8 {
    let (_, packet) = Ethernet::split(frame).expect("an Ethernet header");
    let (ip, _) = Ipv4::split(packet).expect("an outer IPv4 header");
    assert_eq!(checksum::fold(checksum::sum(&packet[..20])), 0);
    ip.tos()
}

#[test]
fn a_congested_packet_of_ends_without_ecn_is_a_counted_drop_of_its_tenant() {
    let mut bed = Bed::new(&lab(Dscp::Pipe, 1), host::HV_A);
    let frame = arriving(&udp4(DB1, WEB1, b"x"), CE);
    assert_eq!(bed.receive_one(port::UPLINK, &frame), Err(Reason::NotEcnCapable));
    assert_eq!(bed.drops(port::UPLINK, Reason::NotEcnCapable), 1);
    assert_eq!(bed.counters().tenants[0].drops.count(Reason::NotEcnCapable), 1);
}

#[test]
fn in_a_burst_each_packet_has_its_own_mark() {
    let mut bed = Bed::new(&lab(Dscp::Pipe, 1), host::HV_A);
    let frame = |inner, n: u8| marked(udp4(DB1, WEB1, &[n]), inner);
    let of = |n: u8| &TABLE[usize::from(n) % TABLE.len()];
    let burst: Vec<_> = (0..32).map(|n| arriving(&frame(of(n).0, n), of(n).1)).collect();
    let expected: Vec<_> =
        (0..32).filter_map(|n| of(n).2.map(|ecn| (port::BLUE_WEB1, frame(ecn, n)))).collect();
    assert_eq!(bed.receive(port::UPLINK, &burst), expected);
    // What that burst had left behind is not the next one's.
    let plain = frame(ECT_0, 99);
    assert_eq!(bed.receive(port::UPLINK, &[arriving(&plain, 0)]), [(port::BLUE_WEB1, plain)]);
}

#[test]
fn arp_has_no_mark_and_gets_none() {
    for dscp in [Dscp::Pipe, Dscp::Uniform] {
        let mut bed = Bed::new(&lab(dscp, 1), host::HV_A);
        let ip = weft_pipelines::testing::lab::ipv4;
        let question = |from, to| {
            packets::arp(Operation::Request, (mac(from), ip(from)), (weft_pipelines::wire::Mac::ZERO, ip(to)))
        };
        let sent = bed.receive(port::BLUE_WEB1, &[question(WEB1, DB1)]);
        let to_b = |frame: &[u8]| frame[30..34] == vtep(1).0.octets();
        let outer = sent.iter().find(|(to, frame)| *to == port::UPLINK && to_b(frame)).expect("one to hv-b");
        assert_eq!(outer_of(&outer.1), 0);
        let from_b = question(DB1, WEB1);
        for outer in [0, EF << 2 | ECT_0, CE] {
            let got = bed.receive_one(port::UPLINK, &arriving(&from_b, outer)).expect("nothing against it");
            assert!(got.contains(&(port::BLUE_WEB1, from_b.clone())), "{dscp:?} {outer}");
        }
    }
}

/// A queue of the sending host's own marks the outer header, and the receiving guest hears of it.
#[test]
fn a_mark_of_the_uplink_s_queue_arrives_at_the_guest() {
    let mut lab = Lab::default();
    lab.qos.uplink = 10_000_000;
    let (mut a, mut b) = (Bed::new(&lab, host::HV_A), Bed::new(&Lab::default(), host::HV_B));
    let (mut marks, mut arrived) = (0, 0);
    let frame = |ecn| marked(udp4(WEB1, DB1, &[0; 1400]), CS1 << 2 | ecn);
    // 12 Mbit/s into 10 Mbit/s for two seconds, of which the burst takes the first quarter.
    for _ in 0..2000 {
        let mut sent = a.receive(port::BLUE_WEB1, &[frame(ECT_0)]);
        sent.extend(a.wait(Duration::from_millis(1)));
        for (_, outer) in sent {
            let [(_, inner)] = &b.receive_one(b_uplink(&lab), &outer).expect("nothing against it")[..] else {
                panic!("one packet makes one")
            };
            let is_marked = outer_of(&outer) & 3 == CE;
            assert_eq!(*inner, frame(if is_marked { CE } else { ECT_0 }));
            marks += u32::from(is_marked);
            arrived += 1;
        }
    }
    assert!(arrived > 1500 && marks > 10, "{arrived} arrived, {marks} of them marked");
}

fn b_uplink(lab: &Lab) -> PortId {
    lab.uplink(host::HV_B)
}

proptest! {
    /// Through two hosts, with anything written to the outer header on the way.
    #[test]
    fn through_two_hosts_with_another_octet_on_the_way(
        inner: u8,
        outer: u8,
        uniform: bool,
        six: bool,
        workers in 1..=2u16,
    ) {
        let dscp = if uniform { Dscp::Uniform } else { Dscp::Pipe };
        let lab = lab(dscp, workers);
        let (mut a, mut b) = (Bed::new(&lab, host::HV_A), Bed::new(&lab, host::HV_B));
        let plain = if six { udp6(WEB1, DB1, b"there") } else { udp4(WEB1, DB1, b"there") };
        let sent = a.receive_one(port::BLUE_WEB1, &marked(plain.clone(), inner)).expect("sent");
        let mut frame = sent[0].1.clone();
        let class = [EF, CS1].into_iter().find(|of| *of == inner >> 2).unwrap_or(10);
        let expected = if uniform { inner } else { class << 2 | inner & 3 };
        prop_assert_eq!(outer_of(&frame), expected);

        on_the_way(&mut frame, outer);
        let (_, _, ecn) = TABLE.into_iter().find(|(i, o, _)| (*i, *o) == (inner & 3, outer & 3)).expect("all 16");
        let dscp = if uniform { outer >> 2 } else { inner >> 2 };
        let want = ecn.map(|ecn| vec![(PortId(0), marked(plain, dscp << 2 | ecn))]);
        prop_assert_eq!(b.receive_one(b_uplink(&lab), &frame), want.ok_or(Reason::NotEcnCapable));
    }
}
