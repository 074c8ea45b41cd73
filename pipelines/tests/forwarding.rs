//! Where packets end up: compared with the oracle, between two hosts, and in which order.

use proptest::prelude::*;
use weft_pipelines::testing::frames::{Outer, from_fabric, udp4, udp4_to};
use weft_pipelines::testing::generators::{lab, lab_with_talk, said};
use weft_pipelines::testing::lab::endpoint::{DB1, WEB1, WEB2};
use weft_pipelines::testing::lab::{BLUE, host, mac, port};
use weft_pipelines::testing::oracle::{Exit, Said};
use weft_pipelines::testing::{Bed, Lab, Oracle, packets};
use weft_pipelines::wire::Mac;
use weft_pipelines::{PortId, Reason};

/// An exit, the frame that it got there, and the outer octet of DSCP and ECN where it left the host.
type Left = (Exit, Vec<u8>, Option<u8>);

/// Reads what host `index` sent.
fn exits(lab: &Lab, index: usize, sent: Vec<(PortId, Vec<u8>)>) -> Vec<Left> {
    let uplink = lab.uplink(index);
    let exit = |(port, frame): (PortId, Vec<u8>)| {
        if port != uplink {
            return (Exit::Guest(port), frame, None);
        }
        let host = lab.hosts.iter().position(|host| host.vtep.octets() == frame[30..34]);
        (Exit::Host(host.expect("a host of the lab")), frame[50..].to_vec(), Some(frame[15]))
    };
    let mut exits: Vec<_> = sent.into_iter().map(exit).collect();
    exits.sort();
    exits
}

fn compare(
    lab: &Lab,
    said: &Said,
    outer: u8,
    expected: Result<Vec<Exit>, Reason>,
    found: Result<Vec<(PortId, Vec<u8>)>, Reason>,
) -> Result<(), TestCaseError> {
    let found = found.map(|sent| exits(lab, 0, sent));
    let outer = |exit| matches!(exit, Exit::Host(_)).then_some(outer);
    let with_frame =
        |exits: Vec<Exit>| exits.into_iter().map(|exit| (exit, said.untagged(), outer(exit))).collect();
    prop_assert_eq!(found, expected.map(with_frame));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn from_guests_as_the_oracle_says((lab, talk) in lab_with_talk()) {
        let (mut bed, oracle) = (Bed::new(&lab, 0), Oracle::new(&lab, 0));
        for (port, said) in talk {
            let found = bed.receive_one(port, &said.bytes());
            compare(&lab, &said, oracle.outer(port, &said), oracle.from_guest(port, &said), found)?;
        }
    }

    #[test]
    fn from_the_fabric_as_the_oracle_says(
        lab in lab(),
        picks in prop::collection::vec((any::<prop::sample::Index>(), 99..104u32, 0..8u8, any::<u8>()), 1..20),
        saids in prop::collection::vec(said(1), 20),
    ) {
        let (mut bed, oracle) = (Bed::new(&lab, 0), Oracle::new(&lab, 0));
        for ((pick, vni, from, outer), mut said) in picks.into_iter().zip(saids) {
            said.from = mac(from);
            let peer = pick.index(lab.hosts.len());
            let shape = packets::Shape { tos: outer, ..Default::default() };
            let frame = Outer { shape, ..Outer::new(peer) }.around(&packets::vxlan(8, vni, &said.bytes()));
            let found = bed.receive_one(lab.uplink(0), &frame);
            let expected = oracle.from_host(peer, vni, outer, &said).map(|(exits, tos)| {
                said.tos = tos;
                exits
            });
            compare(&lab, &said, 0, expected, found)?;
        }
    }

    /// What one host puts into the fabric the other takes out of it unchanged.
    #[test]
    fn through_two_hosts_a_frame_stays_as_it_was(data in prop::collection::vec(any::<u8>(), 0..1400), flood: bool) {
        let lab = Lab::default();
        let (mut a, mut b) = (Bed::new(&lab, host::HV_A), Bed::new(&lab, host::HV_B));
        let to = if flood { Mac::BROADCAST } else { mac(DB1) };
        let frame = udp4_to(to, WEB1, DB1, &data);
        let sent = a.receive_one(port::BLUE_WEB1, &frame).expect("nothing against it");
        let outer = sent.iter().find(|(to, frame)| *to == port::UPLINK && frame[30..34] == [198, 51, 100, 2]);
        let got = b.receive_one(lab.uplink(host::HV_B), &outer.expect("one for hv-b").1);
        prop_assert_eq!(got, Ok(vec![(PortId(0), frame)]));
    }

    /// Unicast and flooded frames of a guest reach each destination in the order they were sent in.
    #[test]
    fn order_is_kept(kinds in prop::collection::vec(0..4usize, 1..100), workers in 1..=2u16) {
        let mut bed = Bed::new(&Lab::on_workers(workers), host::HV_A);
        let frames: Vec<_> = kinds
            .iter()
            .enumerate()
            .map(|(n, kind)| {
                let to = [mac(WEB2), mac(DB1), Mac::BROADCAST, mac(99)][*kind];
                udp4_to(to, WEB1, WEB2, &(n as u32).to_be_bytes())
            })
            .collect();
        let sent = bed.receive(port::BLUE_WEB1, &frames);
        let number = |frame: &[u8]| frame.last_chunk::<4>().map(|n| u32::from_be_bytes(*n));
        let to_web2 = sent.iter().filter(|(to, _)| *to == port::BLUE_WEB2).map(|(_, frame)| number(frame));
        // Behind 50 bytes of outer headers a datagram's frame is longer than an ARP request.
        let is_for_b = |frame: &[u8]| frame[12..14] == [8, 0] && frame[30..34] == [198, 51, 100, 2];
        let to_b = sent.iter().filter(|(to, frame)| *to == port::UPLINK && is_for_b(frame)).map(|(_, frame)| number(frame));
        let expected = |kind: usize| {
            let all = kinds.iter().enumerate();
            all.filter(move |(_, of)| **of == kind || **of >= 2).map(|(n, _)| Some(n as u32)).collect::<Vec<_>>()
        };
        prop_assert_eq!(to_web2.collect::<Vec<_>>(), expected(0));
        prop_assert_eq!(to_b.collect::<Vec<_>>(), expected(1));
    }
}

#[test]
fn a_priority_tag_is_taken_off_on_both_sides() {
    let mut bed = Bed::new(&Lab::default(), host::HV_A);
    let (ours, theirs) = (udp4(WEB1, WEB2, b"x"), udp4(DB1, WEB1, b"x"));
    let sent = bed.receive_one(port::BLUE_WEB1, &packets::tagged(&ours, 0x8100, 0xe000));
    assert_eq!(sent, Ok(vec![(port::BLUE_WEB2, ours)]));
    let inner = packets::tagged(&theirs, 0x8100, 0x2000);
    let sent = bed.receive_one(port::UPLINK, &from_fabric(host::HV_B, BLUE, &inner));
    assert_eq!(sent, Ok(vec![(port::BLUE_WEB1, theirs)]));
}
