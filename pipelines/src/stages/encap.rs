//! Puts the outer headers in front of a frame.

use crate::batch::Batch;
use crate::counters::Traffic;
use crate::frame::Frame;
use crate::ids::TunnelId;
use crate::overlay::template;
use crate::qos::Dscp;
use crate::snapshot::{Guest, Snapshot};
use crate::stages::account::Run;
use crate::stages::forward::Destination;
use crate::stages::parse::{Headers, Network};
use crate::verdict::Reason;
use crate::wire::tos::ECN;

/// Encapsulates every passing frame, which `guest` has sent, for its tunnel; only the outer destination MAC stays to be
/// filled in. Gives `count` what goes into each tunnel, without outer headers.
///
/// The outer ECN is the inner's (RFC 6040, section 4.1); the outer DSCP is the inner's or, of the sender's classes, the
/// traffic class's (RFC 2983). ARP has neither, and both are 0.
pub fn encap<F: Frame>(
    batch: &mut Batch<F>,
    snapshot: &Snapshot,
    guest: &Guest,
    mut count: impl FnMut(TunnelId, Traffic),
) {
    let (vni, classes) = (snapshot.segment(guest.segment).vni, &*guest.classes);
    let mut run = Run::default();
    for i in batch.passing() {
        let Destination::Tunnel(id) = batch.destinations[i] else { continue };
        let (headers, hash) = (&batch.headers[i], batch.headers[i].hash(batch.frame(i).data()));
        let Headers { network, tos, .. } = *headers;
        let tos = match snapshot.qos.dscp {
            _ if network == Network::Arp => 0,
            Dscp::Uniform => tos,
            Dscp::Pipe => classes.outer[classes.of(tos).index()] << 2 | tos & ECN,
        };
        let tunnel = snapshot.tunnel(id);
        let frame = batch.frame_mut(i);
        let inner = frame.size();
        if inner > usize::from(tunnel.max_inner) {
            batch.drop(i, Reason::ExceedsUnderlayMtu);
            continue;
        }
        if !frame.prepend(template::LEN) {
            batch.drop(i, Reason::NoHeadroom);
            continue;
        }
        if let Some(headers) = frame.data_mut().first_chunk_mut() {
            tunnel.template.write(headers, vni, inner as u16, tos, hash);
        }
        run.add(id, inner, &mut count);
    }
    run.end(count);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::frames::{ends4, tcp4, udp4, udp6};
    use crate::testing::lab::endpoint::{DB1, WEB1};
    use crate::testing::lab::{BLUE, host, mac, port, tunnel, vtep};
    use crate::testing::{Bed, Lab, packets};
    use crate::wire::{Ethernet, Ipv4, Udp, Vxlan};

    fn bed() -> Bed {
        Bed::new(&Lab::default(), host::HV_A)
    }

    #[test]
    fn puts_the_tunnel_s_headers_in_front() {
        let mut bed = bed();
        let inner = tcp4(WEB1, DB1, b"select 1");
        let sent = bed.receive_one(port::BLUE_WEB1, &inner).unwrap();
        let [(to, frame)] = sent.as_slice() else { panic!("{sent:?}") };
        assert_eq!(*to, port::UPLINK);
        let (ethernet, packet) = Ethernet::split(frame).unwrap();
        let ((ours, our_mac), (theirs, their_mac)) = (vtep(0), vtep(1));
        assert_eq!((ethernet.source(), ethernet.destination()), (our_mac, their_mac));
        let (ip, datagram) = Ipv4::split(packet).unwrap();
        assert!(ip.checksum_holds());
        assert_eq!((ip.source(), ip.destination(), ip.total_len()), (ours, theirs, packet.len()));
        let (udp, data) = Udp::split(datagram).unwrap();
        assert_eq!((udp.destination_port(), udp.length()), (4789, datagram.len()));
        assert!(udp.source_port() >= 49_152);
        let (vxlan, rest) = Vxlan::split(data).unwrap();
        assert_eq!((vxlan.flags(), vxlan.vni().unwrap().value()), (8, BLUE));
        assert_eq!(rest, inner);
        let (counters, bytes) = (bed.counters(), inner.len() as u64);
        assert_eq!(counters.tunnels[tunnel::HV_B.index()].tx.bytes, bytes + 50);
        assert_eq!(counters.tenants[0].to_fabric.bytes, bytes);
    }

    #[test]
    fn what_fits_the_underlay_s_mtu_to_the_byte_goes_and_one_more_does_not() {
        let mut bed = bed();
        // The uplink's MTU of 1600 less 36 bytes of IPv4, UDP and VXLAN; of these 42 are the inner headers.
        let data = [0; 1600 - 36 - 42 + 1];
        let sent = bed.receive_one(port::BLUE_WEB1, &udp4(WEB1, DB1, &data[1..])).unwrap();
        assert_eq!(sent[0].1.len(), 14 + 1600);
        let larger = udp4(WEB1, DB1, &data);
        assert_eq!(bed.receive_one(port::BLUE_WEB1, &larger), Err(Reason::ExceedsUnderlayMtu));
    }

    #[test]
    fn needs_fifty_bytes_of_headroom() {
        for (headroom, expected) in
            [(50, None), (49, Some(Reason::NoHeadroom)), (0, Some(Reason::NoHeadroom))]
        {
            let mut bed = bed();
            bed.headroom = headroom;
            let sent = bed.receive_one(port::BLUE_WEB1, &udp4(WEB1, DB1, b"x"));
            assert_eq!(sent.err(), expected, "{headroom}");
        }
    }

    #[test]
    fn both_directions_of_a_conversation_have_the_same_source_port() {
        let hosts = [host::HV_A, host::HV_B].map(|index| Bed::new(&Lab::default(), index));
        let source_port = |bed: &mut Bed, frame: &[u8]| {
            let sent = bed.receive_one(port::BLUE_WEB1, frame).unwrap();
            u16::from_be_bytes([sent[0].1[34], sent[0].1[35]])
        };
        let [mut a, mut b] = hosts;
        let answer = |frame: fn(u8, u8, &[u8]) -> Vec<u8>, ports: usize| {
            let mut answer = frame(DB1, WEB1, b"x");
            answer[ports..ports + 4].rotate_left(2);
            answer
        };
        for (frame, ports) in [(udp4 as fn(u8, u8, &[u8]) -> _, 34), (tcp4, 34), (udp6, 54)] {
            let there = source_port(&mut a, &frame(WEB1, DB1, b"x"));
            assert_eq!(there, source_port(&mut b, &answer(frame, ports)));
        }
    }

    #[test]
    fn all_fragments_of_a_datagram_have_the_same_source_port() {
        let mut bed = bed();
        let datagram = packets::udp(ends4(WEB1, DB1), 5000, 7, &[1; 40]);
        let (core::net::IpAddr::V4(from), core::net::IpAddr::V4(to)) = ends4(WEB1, DB1) else { return };
        let ports: Vec<_> =
            [(0, true, &datagram[..24]), (3, true, &datagram[24..40]), (5, false, &datagram[40..])]
                .into_iter()
                .map(|(offset, more, part)| {
                    let shape = packets::Shape { offset, more, ..Default::default() };
                    let packet = packets::ipv4_with(from, to, 17, part, shape);
                    let frame = packets::ethernet(mac(DB1), mac(WEB1), 0x0800, &packet);
                    bed.receive_one(port::BLUE_WEB1, &frame).unwrap()[0].1[34..36].to_vec()
                })
                .collect();
        assert!(ports.iter().all(|port| *port == ports[0]), "{ports:?}");
    }
}
