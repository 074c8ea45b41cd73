//! Takes the outer headers off what a known VTEP sent us, and refuses all else by name.

use crate::batch::Batch;
use crate::frame::Frame;
use crate::ids::{SegmentId, TunnelId};
use crate::snapshot::{Snapshot, Uplink};
use crate::verdict::{Reason, Verdict};
use crate::wire::ethernet::{self, EtherType};
use crate::wire::ipv4::protocol;
use crate::wire::{Ethernet, Ipv4, Mac, Udp, Vxlan, checksum, udp, vxlan};

/// Decapsulates every passing packet that `uplink` received; what is for the switch itself is settled as such.
pub fn decap<F: Frame>(batch: &mut Batch<F>, snapshot: &Snapshot, uplink: &Uplink) {
    for i in batch.passing() {
        let frame = batch.frame_mut(i);
        let found =
            if frame.is_linear() { outer(frame.data(), snapshot, uplink) } else { Err(Reason::NotLinear) };
        match found {
            Ok(Outer::Vxlan(vxlan)) => {
                // Padding behind the inner frame goes too.
                frame.truncate(vxlan.inner_start + vxlan.inner_len);
                let trimmed = frame.trim_front(vxlan.inner_start);
                debug_assert!(trimmed);
                batch.segments[i] = vxlan.segment;
                batch.tunnels[i] = vxlan.tunnel;
            }
            Ok(Outer::ForSwitch) => batch.settle(i, Verdict::ForSwitch),
            Err(reason) => batch.drop(i, reason),
        }
    }
}

/// What the outer headers say.
enum Outer {
    /// A frame for a segment of ours.
    Vxlan(Encapsulated),
    /// ARP or ICMP for the switch.
    ForSwitch,
}

struct Encapsulated {
    tunnel: TunnelId,
    segment: SegmentId,
    inner_start: usize,
    inner_len: usize,
}

fn outer(frame: &[u8], snapshot: &Snapshot, uplink: &Uplink) -> Result<Outer, Reason> {
    let (ethernet, packet) = Ethernet::split(frame).ok_or(Reason::UnderlayMalformed)?;
    let to = ethernet.destination();
    match ethernet.ethertype() {
        _ if to != uplink.mac && to != Mac::BROADCAST => Err(Reason::UnderlayNotForUs),
        EtherType::ARP => Ok(Outer::ForSwitch),
        EtherType::IPV4 => outer_ipv4(packet, snapshot, uplink),
        _ => Err(Reason::UnderlayNotIp),
    }
}

fn outer_ipv4(packet: &[u8], snapshot: &Snapshot, uplink: &Uplink) -> Result<Outer, Reason> {
    let (ip, payload) = Ipv4::split(packet).map_err(|_| Reason::UnderlayMalformed)?;
    let header_len = ip.header_len();
    // split has seen that the header is there.
    if checksum::fold(checksum::sum(packet.get(..header_len).unwrap_or_default())) != 0 {
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
    Ok(Outer::Vxlan(Encapsulated { tunnel, segment, inner_start, inner_len: inner.len() }))
}
