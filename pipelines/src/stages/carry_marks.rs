//! Carries what the underlay marked on the outer header into the inner one: ECN (RFC 6040), and DSCP where the tunnel is
//! uniform (RFC 2983).

use crate::batch::Batch;
use crate::frame::Frame;
use crate::qos::Dscp;
use crate::verdict::Reason;
use crate::wire::tos::{self, CE, ECN, ECT_0, ECT_1, NOT_ECT};

/// Marks every passing packet as its outer header was.
pub fn carry_marks<F: Frame>(batch: &mut Batch<F>, dscp: Dscp) {
    // In a pipe only ECT(1) and CE change anything, which have this bit. What an earlier burst has left in the lane does
    // no harm.
    let is_marked = batch.outer_tos.iter().fold(0, |all, tos| all | tos) & ECT_1 != 0;
    if dscp == Dscp::Pipe && !is_marked {
        return;
    }
    for i in batch.passing() {
        let (inner, outer) = (batch.headers[i].tos, batch.outer_tos[i]);
        let Some(ecn) = ecn(inner, outer) else {
            // ARP has no such octet, and an underlay that marks it has nobody to tell.
            if tos::of(batch.frame(i).data()).is_some() {
                batch.drop(i, Reason::NotEcnCapable);
            }
            continue;
        };
        let of = match dscp {
            Dscp::Pipe => inner,
            Dscp::Uniform => outer,
        };
        let new = of & !ECN | ecn;
        if new != inner && tos::set(batch.frame_mut(i).data_mut(), new) {
            batch.headers[i].tos = new;
        }
    }
}

/// The inner ECN after decapsulation (RFC 6040, figure 4); `None`: the packet is to be dropped, for its ends would not
/// understand that there is congestion.
const fn ecn(inner: u8, outer: u8) -> Option<u8> {
    match (inner & ECN, outer & ECN) {
        (NOT_ECT, CE) => None,
        (NOT_ECT, _) => Some(NOT_ECT),
        (_, CE) | (CE, _) => Some(CE),
        (ECT_0, ECT_1) => Some(ECT_1),
        (inner, _) => Some(inner),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::PortId;
    use crate::qos::{Class, Classes, Share};
    use crate::testing::frames::{from_fabric, tcp4, udp4, udp6};
    use crate::testing::lab::endpoint::{DB1, WEB1};
    use crate::testing::lab::{BLUE, host, ipv4, mac, port};
    use crate::testing::{Bed, Lab, packets};
    use crate::wire::{Ipv4, ethernet};

    const EF: u8 = 46 << 2;
    const AF11: u8 = 10 << 2;

    fn lab(dscp: Dscp) -> Lab {
        let mut lab = Lab::default();
        lab.qos.settings.dscp = dscp;
        lab
    }

    fn with_tos(mut frame: Vec<u8>, tos: u8) -> Vec<u8> {
        packets::set_tos(&mut frame, tos);
        frame
    }

    /// What web1 gets of a packet from db1 with these octets.
    fn received(bed: &mut Bed, inner: &[u8], outer: u8) -> Result<u8, Reason> {
        let frame = with_tos(from_fabric(host::HV_B, BLUE, inner), outer);
        let sent = bed.receive_one(port::UPLINK, &frame)?;
        let [(to, frame)] = sent.as_slice() else { panic!("{sent:?}") };
        assert_eq!(*to, port::BLUE_WEB1);
        assert!(Ipv4::split(&frame[ethernet::LEN..]).map_or(true, |(ip, _)| ip.checksum_holds()));
        Ok(tos::of(frame).unwrap())
    }

    #[test]
    fn ecn_comes_out_as_rfc_6040_says() {
        let figure_4 = [
            (NOT_ECT, [Some(NOT_ECT), Some(NOT_ECT), Some(NOT_ECT), None]),
            (ECT_0, [Some(ECT_0), Some(ECT_0), Some(ECT_1), Some(CE)]),
            (ECT_1, [Some(ECT_1), Some(ECT_1), Some(ECT_1), Some(CE)]),
            (CE, [Some(CE), Some(CE), Some(CE), Some(CE)]),
        ];
        let mut bed = Bed::new(&lab(Dscp::Pipe), host::HV_A);
        for (inner, row) in figure_4 {
            for (outer, expected) in [NOT_ECT, ECT_0, ECT_1, CE].into_iter().zip(row) {
                for frame in [udp4(DB1, WEB1, b"x"), udp6(DB1, WEB1, b"x")] {
                    let frame = with_tos(frame, AF11 | inner);
                    let got = received(&mut bed, &frame, EF | outer);
                    let expected = expected.map(|ecn| AF11 | ecn).ok_or(Reason::NotEcnCapable);
                    assert_eq!(got, expected, "inner {inner}, outer {outer}");
                }
            }
        }
    }

    #[test]
    fn a_uniform_tunnel_brings_the_outer_dscp_and_a_pipe_does_not() {
        for (dscp, expected) in [(Dscp::Pipe, AF11), (Dscp::Uniform, EF)] {
            let mut bed = Bed::new(&lab(dscp), host::HV_A);
            let frame = with_tos(udp4(DB1, WEB1, b"x"), AF11 | ECT_0);
            assert_eq!(received(&mut bed, &frame, EF | CE), Ok(expected | CE));
            let frame = with_tos(udp6(DB1, WEB1, b"x"), AF11);
            assert_eq!(received(&mut bed, &frame, EF), Ok(expected));
        }
    }

    #[test]
    fn what_has_no_such_octet_passes_whatever_the_outer_says() {
        let mut bed = Bed::new(&lab(Dscp::Uniform), host::HV_A);
        let ends = [DB1, WEB1].map(|n| (mac(n), ipv4(n)));
        let inner = packets::arp(packets::Operation::Reply, ends[0], ends[1]);
        let frame = with_tos(from_fabric(host::HV_B, BLUE, &inner), EF | CE);
        assert!(
            bed.receive_one(port::UPLINK, &frame).is_ok_and(|sent| sent.iter().all(|(_, got)| *got == inner))
        );
    }

    #[test]
    fn a_priority_tag_is_no_hindrance() {
        let mut bed = Bed::new(&lab(Dscp::Uniform), host::HV_A);
        let mut tagged = with_tos(udp4(DB1, WEB1, b"x"), ECT_0);
        tagged.splice(12..12, [0x81, 0, 0xe0, 0]);
        assert_eq!(received(&mut bed, &tagged, EF | CE), Ok(EF | CE));
    }

    #[test]
    fn the_outer_octet_is_the_inner_s_or_the_class_s_with_the_inner_ecn() {
        let mut classes = Classes { outer: [0, 34, 8, 0], ..Classes::default() };
        classes.of[46] = Class(1);
        for (dscp, inner, expected) in [
            (Dscp::Uniform, EF | ECT_0, EF | ECT_0),
            (Dscp::Uniform, AF11 | CE, AF11 | CE),
            (Dscp::Pipe, EF | ECT_1, 34 << 2 | ECT_1),
            (Dscp::Pipe, AF11 | CE, CE),
        ] {
            let mut lab = lab(dscp);
            lab.qos.endpoints = vec![(PortId(0), Share::default(), classes.clone())];
            let mut bed = Bed::new(&lab, host::HV_A);
            for frame in [udp6(WEB1, DB1, b"x"), tcp4(WEB1, DB1, b"x")] {
                let frame = with_tos(frame, inner);
                let sent = bed.receive_one(port::BLUE_WEB1, &frame).unwrap();
                let (outer, got) = sent[0].1.split_at(50);
                assert_eq!((outer[15], got), (expected, frame.as_slice()));
                assert!(Ipv4::split(&sent[0].1[ethernet::LEN..]).unwrap().0.checksum_holds());
            }
        }
    }

    #[test]
    fn congestion_on_the_way_arrives() {
        let hosts = [host::HV_A, host::HV_B];
        let [mut a, mut b] = hosts.map(|index| Bed::new(&lab(Dscp::Pipe), index));
        let frame = with_tos(tcp4(WEB1, DB1, b"x"), EF | ECT_0);
        let mut outer = a.receive_one(port::BLUE_WEB1, &frame).unwrap().remove(0).1;
        assert!(tos::mark(&mut outer));
        let uplink = lab(Dscp::Pipe).uplink(host::HV_B);
        let got = b.receive_one(uplink, &outer).unwrap();
        assert_eq!(got[0].1, with_tos(frame, EF | CE));
    }
}
