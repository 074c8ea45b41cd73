//! Takes the outer headers off what a known VTEP sent us, and refuses all else by name.

use crate::batch::Batch;
use crate::counters::Traffic;
use crate::frame::Frame;
use crate::ids::{SegmentId, TunnelId};
use crate::snapshot::{Snapshot, Uplink};
use crate::stages::account::Run;
use crate::verdict::{Reason, Verdict};
use crate::wire::ethernet::{self, EtherType};
use crate::wire::ipv4::{self, protocol};
use crate::wire::{Ethernet, Ipv4, Mac, Udp, Vxlan, checksum, udp, vxlan};

/// Decapsulates every passing packet that `uplink` received; what is for the switch itself is settled as such. Gives `count`
/// what came through each tunnel for each segment, without outer headers.
pub fn decap<F: Frame>(
    batch: &mut Batch<F>,
    snapshot: &Snapshot,
    uplink: &Uplink,
    mut count: impl FnMut((TunnelId, SegmentId), Traffic),
) {
    let (ours, mut known, mut run) = (Ours::of(snapshot, uplink), Known::NOBODY, Run::default());
    for i in batch.passing() {
        let frame = batch.frame(i);
        let found = match frame.is_linear().then(|| plain(frame.data(), &ours)).flatten() {
            // Mostly it is from where the packet before was.
            Some((from, tos, inner_len)) if from == known.from => Some((tos, OUTER, inner_len)),
            _ => look_closely(batch, i, snapshot, uplink, &mut known),
        };
        let Some((tos, inner_start, inner_len)) = found else { continue };
        let frame = batch.frame_mut(i);
        // Padding behind the inner frame goes too.
        frame.truncate(inner_start + inner_len);
        let trimmed = frame.trim_front(inner_start);
        debug_assert!(trimmed);
        batch.segments[i] = known.segment;
        batch.tunnels[i] = known.tunnel;
        batch.outer_tos[i] = tos;
        run.add((known.tunnel, known.segment), inner_len, &mut count);
    }
    run.end(count);
}

/// Bytes of outer headers without options.
const OUTER: usize = ethernet::LEN + ipv4::LEN + udp::LEN + vxlan::LEN;

/// Reads all that the outer headers may be. Settles what is no frame for a segment; of others tells the outer TOS, and where
/// the inner frame starts and how long it is, and who sent it in `known`.
#[inline(never)]
fn look_closely<F: Frame>(
    batch: &mut Batch<F>,
    i: usize,
    snapshot: &Snapshot,
    uplink: &Uplink,
    known: &mut Known,
) -> Option<(u8, usize, usize)> {
    let frame = batch.frame(i);
    let found =
        if frame.is_linear() { outer(frame.data(), snapshot, uplink) } else { Err(Reason::NotLinear) };
    match found {
        Ok(Outer::Vxlan(it)) => {
            *known = it.known;
            return Some((it.tos, it.inner_start, it.inner_len));
        }
        Ok(Outer::ForSwitch) => batch.settle(i, Verdict::ForSwitch),
        Err(reason) => batch.drop(i, reason),
    }
    None
}

/// What the outer headers say.
#[derive(Debug, PartialEq, Eq)]
enum Outer {
    /// A frame for a segment of ours.
    Vxlan(Encapsulated),
    /// ARP or ICMP for the switch.
    ForSwitch,
}

#[derive(Debug, PartialEq, Eq)]
struct Encapsulated {
    known: Known,
    tos: u8,
    inner_start: usize,
    inner_len: usize,
}

/// Who sent a packet, and into which network; and what that is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Known {
    from: From,
    tunnel: TunnelId,
    segment: SegmentId,
}

impl Known {
    /// Nobody: VNIs have 24 bits.
    const NOBODY: Self =
        Self { from: From { vtep: 0, vni: u32::MAX }, tunnel: TunnelId(0), segment: SegmentId::NONE };
}

/// The sending VTEP, and a VNI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct From {
    vtep: u32,
    vni: u32,
}

/// What the outer headers of most packets have to say for us to be meant.
struct Ours {
    mac: u64,
    /// More than any address if we are no VTEP.
    vtep: u64,
    port: u16,
}

impl Ours {
    fn of(snapshot: &Snapshot, uplink: &Uplink) -> Self {
        let vtep = snapshot.vtep.map_or(u64::MAX, |vtep| vtep.to_bits().into());
        Self { mac: uplink.mac.to_bits(), vtep, port: snapshot.vxlan_port }
    }
}

/// Reads what VTEPs send, at a glance: VXLAN over UDP over IPv4 without options, to our VTEP's address. Who sent it, the outer
/// TOS, and how long the inner frame is. `None` if it is not just that; [`outer`] says then what it is, and says of these
/// nothing else.
#[inline(always)]
fn plain(frame: &[u8], ours: &Ours) -> Option<(From, u8, usize)> {
    const UDP: usize = ethernet::LEN + ipv4::LEN;
    const VXLAN: usize = UDP + udp::LEN;
    let bytes = frame.first_chunk::<OUTER>()?;
    let half = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
    let word = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let (header, _) = Ethernet::split(bytes)?;
    let (total, length) = (usize::from(half(ethernet::LEN + 2)), usize::from(half(UDP + 4)));
    // Ethertype, version and header length; not a fragment; UDP, to the port; the flags of VXLAN alone.
    let is_plain = header.destination_bits() == ours.mac
        && word(ethernet::LEN - 2) >> 8 == 0x08_0045
        && half(ethernet::LEN + 6) & 0x3fff == 0
        && bytes[ethernet::LEN + 9] == protocol::UDP
        && u64::from(word(ethernet::LEN + 16)) == ours.vtep
        && half(UDP + 2) == ours.port
        && bytes[VXLAN] == vxlan::FLAGS;
    let fits = frame.len() >= ethernet::LEN + total
        && total >= ipv4::LEN + length
        && length >= udp::LEN + vxlan::LEN;
    let ip = bytes[ethernet::LEN..].first_chunk()?;
    if !(is_plain && fits && checksum::holds(ip)) {
        return None;
    }
    let from = From { vtep: word(ethernet::LEN + 12), vni: word(VXLAN + 4) >> 8 };
    Some((from, bytes[ethernet::LEN + 1], length - udp::LEN - vxlan::LEN))
}

fn outer(frame: &[u8], snapshot: &Snapshot, uplink: &Uplink) -> Result<Outer, Reason> {
    let (ethernet, packet) = Ethernet::split(frame).ok_or(Reason::UnderlayMalformed)?;
    let (to, ethertype) = (ethernet.destination(), ethernet.ethertype());
    // Only ARP asks all: a packet to our address in a broadcast is not for us (RFC 1122, section 3.3.6).
    let for_us = to == uplink.mac || (to == Mac::BROADCAST && ethertype == EtherType::ARP);
    match ethertype {
        _ if !for_us => Err(Reason::UnderlayNotForUs),
        EtherType::ARP => Ok(Outer::ForSwitch),
        EtherType::IPV4 => outer_ipv4(packet, snapshot, uplink),
        _ => Err(Reason::UnderlayNotIp),
    }
}

fn outer_ipv4(packet: &[u8], snapshot: &Snapshot, uplink: &Uplink) -> Result<Outer, Reason> {
    let (ip, payload) = Ipv4::split(packet).map_err(|_| Reason::UnderlayMalformed)?;
    let header_len = ip.header_len();
    // Without options, as nearly always, the sum is over a fixed length, and short. split has seen that all is there.
    let holds = if header_len == ipv4::LEN {
        ip.checksum_holds()
    } else {
        checksum::fold(checksum::sum(packet.get(..header_len).unwrap_or_default())) == 0
    };
    if !holds {
        return Err(Reason::UnderlayChecksum);
    }
    let is_vtep = Some(ip.destination()) == snapshot.vtep;
    if !is_vtep && !uplink.addresses.contains(&ip.destination()) {
        return Err(Reason::UnderlayNotForUs);
    }
    if ip.is_fragment() {
        return Err(Reason::UnderlayFragment);
    }
    match ip.protocol() {
        protocol::ICMP => return Ok(Outer::ForSwitch),
        protocol::UDP => {}
        _ => return Err(Reason::UnderlayUnwanted),
    }
    let (datagram, data) = Udp::split(payload).map_err(|_| Reason::UnderlayMalformed)?;
    if datagram.destination_port() != snapshot.vxlan_port || !is_vtep {
        return Err(Reason::UnderlayUnwanted);
    }
    let peer = Snapshot::address_key(ip.source());
    let tunnel = snapshot.peers.find(peer).ok_or(Reason::UnknownPeer)?;
    let (header, inner) = Vxlan::split(data).ok_or(Reason::UnderlayMalformed)?;
    if header.flags() != vxlan::FLAGS {
        return Err(Reason::VxlanFlags);
    }
    let vni = header.vni().ok_or(Reason::UnknownVni)?;
    let segment = snapshot.vnis.find(u64::from(vni.value())).ok_or(Reason::UnknownVni)?;
    let inner_start = ethernet::LEN + header_len + udp::LEN + vxlan::LEN;
    let known = Known { from: From { vtep: ip.source().to_bits(), vni: vni.value() }, tunnel, segment };
    Ok(Outer::Vxlan(Encapsulated { known, tos: ip.tos(), inner_start, inner_len: inner.len() }))
}

#[cfg(test)]
mod tests {
    use core::net::{IpAddr, Ipv4Addr};

    use super::*;
    use crate::testing::entry::underlay_frames;
    use crate::testing::frames::{Outer, from_fabric, udp4};
    use crate::testing::generators::{changed, changes};
    use crate::testing::lab::endpoint::{DB1, WEB1};
    use crate::testing::lab::{BLUE, GREEN, host, port, tunnel};
    use crate::testing::packets::{self, Shape, padded, vxlan};
    use crate::testing::{Bed, Lab};
    use Reason::{SpoofedFabric, UnknownVni};
    use proptest::prelude::*;
    use proptest::sample::select;

    fn bed() -> Bed {
        Bed::new(&Lab::default(), host::HV_A)
    }

    fn inner() -> Vec<u8> {
        udp4(DB1, WEB1, b"answer")
    }

    /// What becomes of a frame that hv-a's uplink receives.
    fn received(frame: &[u8]) -> Result<Vec<u8>, Reason> {
        let sent = bed().receive_one(port::UPLINK, frame)?;
        let [(to, frame)] = sent.as_slice() else { panic!("{sent:?}") };
        assert_eq!(*to, port::BLUE_WEB1);
        Ok(frame.clone())
    }

    fn outer() -> Outer {
        Outer::new(host::HV_B)
    }

    #[test]
    fn leaves_the_inner_frame_alone() {
        let mut bed = bed();
        let sent = bed.receive_one(port::UPLINK, &from_fabric(host::HV_B, BLUE, &inner()));
        assert_eq!(sent, Ok(vec![(port::BLUE_WEB1, inner())]));
        let counters = bed.counters();
        assert_eq!(counters.tunnels[tunnel::HV_B.index()].rx.bytes, inner().len() as u64 + 50);
        assert_eq!(counters.tenants[0].from_fabric.packets, 1);
    }

    #[test]
    fn refuses_what_is_not_for_us_or_not_from_a_peer() {
        use Reason::*;
        let payload = vxlan(8, BLUE, &inner());
        let stranger = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 77));
        let (theirs, ours) = outer().ends;
        for (expected, outer) in [
            (UnderlayNotForUs, Outer { to: Mac([6, 0, 0, 0, 0, 0x77]), ..outer() }),
            (UnderlayNotForUs, Outer { to: Mac([0x01, 0, 0x5e, 0, 0, 1]), ..outer() }),
            (UnderlayNotForUs, Outer { ends: (theirs, stranger), ..outer() }),
            (UnknownPeer, Outer { ends: (stranger, ours), ..outer() }),
            (UnknownPeer, Outer { ends: (ours, ours), ..outer() }),
            (UnderlayUnwanted, Outer { port: 4790, ..outer() }),
            (UnderlayFragment, Outer { shape: Shape { more: true, ..Shape::default() }, ..outer() }),
            (UnderlayFragment, Outer { shape: Shape { offset: 1, ..Shape::default() }, ..outer() }),
        ] {
            assert_eq!(received(&outer.around(&payload)), Err(expected), "{outer:?}");
        }
        assert_eq!(received(&outer().before(protocol::TCP, &payload)), Err(UnderlayUnwanted));
        let datagram = packets::ethernet(outer().to, outer().from, 0x86dd, &[0x60; 40]);
        assert_eq!(received(&datagram), Err(UnderlayNotIp));
    }

    /// RFC 1122 section 3.3.6: a unicast packet in a link-layer broadcast is not for anyone.
    #[test]
    fn a_packet_to_our_address_in_a_broadcast_is_not_for_us() {
        let outer = Outer { to: Mac::BROADCAST, ..outer() };
        assert_eq!(received(&outer.around(&vxlan(8, BLUE, &inner()))), Err(Reason::UnderlayNotForUs));
    }

    #[test]
    fn refuses_a_wrong_header_checksum() {
        let mut frame = from_fabric(host::HV_B, BLUE, &inner());
        frame[14 + 8] ^= 1;
        assert_eq!(received(&frame), Err(Reason::UnderlayChecksum));
    }

    #[test]
    fn takes_plain_vxlan_of_known_segments_only() {
        use Reason::*;
        for (flags, vni, expected) in [
            (0x00, BLUE, Err(VxlanFlags)),
            (0x88, BLUE, Err(VxlanFlags)),
            (0xff, BLUE, Err(VxlanFlags)),
            (0x0c, BLUE, Err(VxlanFlags)),
            (0x08, 0, Err(UnknownVni)),
            (0x08, 0xff_ffff, Err(UnknownVni)),
            (0x08, GREEN, Err(UnknownVni)),
            (0x08, BLUE, Ok(inner())),
        ] {
            assert_eq!(received(&outer().around(&vxlan(flags, vni, &inner()))), expected, "{flags:#x} {vni}");
        }
    }

    #[test]
    fn every_frame_cut_short_is_a_counted_drop() {
        let whole = from_fabric(host::HV_B, BLUE, &inner());
        for len in 0..whole.len() {
            assert_eq!(received(&whole[..len]), Err(Reason::UnderlayMalformed), "{len}");
        }
    }

    #[test]
    fn every_inner_part_cut_short_is_a_counted_drop() {
        use Reason::*;
        let payload = vxlan(8, BLUE, &inner());
        for len in 0..payload.len() {
            let expected = match len {
                0..8 => UnderlayMalformed,
                8..22 => Truncated,
                _ => MalformedIpv4,
            };
            assert_eq!(received(&outer().around(&payload[..len])), Err(expected), "{len}");
        }
    }

    #[test]
    fn reads_over_options_and_drops_padding() {
        let payload = vxlan(8, BLUE, &inner());
        let shape = Shape { options: &[1, 1, 1, 1, 1, 1, 1, 0], ..Shape::default() };
        assert_eq!(received(&Outer { shape, ..outer() }.around(&payload)), Ok(inner()));
        let mut frame = from_fabric(host::HV_B, BLUE, &inner());
        frame.extend([0xaa; 9]);
        assert_eq!(received(&padded(frame)), Ok(inner()));
    }

    #[test]
    fn a_packet_in_several_buffers_is_a_counted_drop() {
        for (port, frame) in [
            (port::UPLINK, from_fabric(host::HV_B, BLUE, &inner())),
            (port::BLUE_WEB1, udp4(WEB1, DB1, b"x")),
        ] {
            let mut bed = bed();
            bed.linear = false;
            assert_eq!(bed.receive_one(port, &frame), Err(Reason::NotLinear));
        }
    }

    /// What is read at a glance has to be what is read in full.
    fn agree(frame: &[u8]) -> bool {
        let snapshot = Lab::default().snapshot(host::HV_A);
        let uplink = snapshot.uplink(port::UPLINK).unwrap();
        let glance = plain(frame, &Ours::of(&snapshot, uplink));
        let is_plain = glance.is_some();
        if let Some((from, tos, inner_len)) = glance {
            match super::outer(frame, &snapshot, uplink) {
                Ok(super::Outer::Vxlan(it)) => {
                    assert_eq!(
                        (from, tos, OUTER, inner_len),
                        (it.known.from, it.tos, it.inner_start, it.inner_len)
                    );
                }
                other => assert!(matches!(other, Err(Reason::UnknownPeer | Reason::UnknownVni)), "{other:?}"),
            }
        }
        is_plain
    }

    #[test]
    fn what_a_vtep_sends_is_read_at_a_glance() {
        assert!(agree(&from_fabric(host::HV_B, BLUE, &inner())));
        let plain = underlay_frames().into_iter().filter(|frame| agree(frame)).count();
        assert!(plain >= 1 && plain < underlay_frames().len());
    }

    #[test]
    fn who_sent_and_whereto_is_looked_up_when_it_changes() {
        let mut bed = bed();
        let frames = [(host::HV_B, BLUE), (host::HV_C, BLUE), (host::HV_B, GREEN), (host::HV_B, BLUE)]
            .map(|(from, vni)| from_fabric(from, vni, &inner()));
        let sent = bed.receive(port::UPLINK, &frames);
        assert_eq!(sent, [(port::BLUE_WEB1, inner()), (port::BLUE_WEB1, inner())]);
        // db1 is on hv-b, and hv-a knows no green.
        assert_eq!(bed.drops(port::UPLINK, SpoofedFabric), 1);
        assert_eq!(bed.drops(port::UPLINK, UnknownVni), 1);
    }

    proptest! {
        #[test]
        fn a_glance_and_a_full_reading_agree(frame in select(underlay_frames()), changes in changes()) {
            agree(&changed(frame, &changes));
        }

        #[test]
        fn so_they_do_where_a_byte_lies(
            frame in select(underlay_frames()), at in 0usize..64, byte: u8, mend: bool, cut: u8,
        ) {
            let mut frame = frame;
            if let Some(changed) = frame.get_mut(at) {
                *changed = byte;
            }
            if mend && frame.len() > 34 {
                frame[24..26].fill(0);
                let sum = checksum::fold(checksum::sum(&frame[14..34]));
                frame[24..26].copy_from_slice(&sum.to_be_bytes());
            }
            frame.truncate(frame.len().saturating_sub(usize::from(cut % 8)));
            agree(&frame);
        }
    }
}
