//! Builders of packets, from the inside out, with the lengths and checksums that belong into them.
//!
//! Each takes the layer above as bytes, so that a test can also build what no honest sender would.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub use crate::wire::arp::Operation;
use crate::wire::ipv4::protocol;
use crate::wire::{Mac, Vni, arp as wire_arp, checksum, ethernet as wire_ethernet, vxlan as wire_vxlan};

/// Source and destination, of one family.
pub type Ends = (IpAddr, IpAddr);

/// Extension headers of IPv6 (RFC 8200).
pub mod extension {
    /// Hop-by-hop options.
    pub const HOP_BY_HOP: u8 = 0;
    /// Routing.
    pub const ROUTING: u8 = 43;
    /// Fragment.
    pub const FRAGMENT: u8 = 44;
    /// Authentication header.
    pub const AUTHENTICATION: u8 = 51;
    /// Destination options.
    pub const DESTINATION: u8 = 60;
}

/// An Ethernet frame.
pub fn ethernet(destination: Mac, source: Mac, ethertype: u16, payload: &[u8]) -> Vec<u8> {
    let mut header = [0; wire_ethernet::LEN];
    wire_ethernet::write(&mut header, destination, source, wire_ethernet::EtherType(ethertype));
    [&header, payload].concat()
}

/// `frame` behind a tag: `kind` is 0x8100 or 0x88a8, `control` its priority and VLAN.
pub fn tagged(frame: &[u8], kind: u16, control: u16) -> Vec<u8> {
    let (addresses, rest) = frame.split_at(12);
    [addresses, &kind.to_be_bytes(), &control.to_be_bytes(), rest].concat()
}

/// `frame` filled up with zeros to the least that goes on a wire.
pub fn padded(mut frame: Vec<u8>) -> Vec<u8> {
    frame.resize(frame.len().max(wire_ethernet::MIN_FRAME), 0);
    frame
}

/// An ARP packet in a frame from its sender: a request is broadcast, a reply goes to its target.
pub fn arp(operation: Operation, sender: (Mac, Ipv4Addr), target: (Mac, Ipv4Addr)) -> Vec<u8> {
    let to = if operation == Operation::Request { Mac::BROADCAST } else { target.0 };
    ethernet(to, sender.0, 0x0806, &arp_packet(operation, sender, target))
}

/// An ARP packet alone.
pub fn arp_packet(operation: Operation, sender: (Mac, Ipv4Addr), target: (Mac, Ipv4Addr)) -> Vec<u8> {
    let mut packet = [0; wire_arp::LEN];
    wire_arp::write(&mut packet, operation, sender, target);
    packet.to_vec()
}

/// An IP packet in a frame; the family is that of `ends`.
pub fn frame(destination: Mac, source: Mac, ends: Ends, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let packet = ip(ends, protocol, payload);
    ethernet(destination, source, if ends.0.is_ipv4() { 0x0800 } else { 0x86dd }, &packet)
}

/// An IP packet; the family is that of `ends`.
pub fn ip(ends: Ends, protocol: u8, payload: &[u8]) -> Vec<u8> {
    match ends {
        (IpAddr::V4(source), IpAddr::V4(destination)) => ipv4(source, destination, protocol, payload),
        (IpAddr::V6(source), IpAddr::V6(destination)) => ipv6(source, destination, protocol, payload),
        _ => panic!("ends of two families: {ends:?}"),
    }
}

/// An IPv4 packet.
pub fn ipv4(source: Ipv4Addr, destination: Ipv4Addr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    ipv4_with(source, destination, protocol, payload, Shape::default())
}

/// What an IPv4 packet may have beside the usual.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shape<'a> {
    /// Options: a multiple of 4 bytes, at most 40.
    pub options: &'a [u8],
    /// Where the fragment's payload stands, in units of 8 bytes.
    pub offset: u16,
    /// Whether more fragments follow.
    pub more: bool,
    /// What fragments of one packet share.
    pub id: u16,
    /// DSCP and ECN.
    pub tos: u8,
}

/// An IPv4 packet of a given shape.
pub fn ipv4_with(
    source: Ipv4Addr,
    destination: Ipv4Addr,
    protocol: u8,
    payload: &[u8],
    shape: Shape<'_>,
) -> Vec<u8> {
    let header_len = 20 + shape.options.len();
    let total = (header_len + payload.len()) as u16;
    let fragment = shape.offset | u16::from(shape.more) << 13;
    let mut header = vec![0x40 | (header_len / 4) as u8, shape.tos];
    header.extend(total.to_be_bytes());
    header.extend(shape.id.to_be_bytes());
    header.extend(fragment.to_be_bytes());
    header.extend([64, protocol, 0, 0]);
    header.extend(source.octets());
    header.extend(destination.octets());
    header.extend(shape.options);
    let sum = checksum::fold(checksum::sum(&header));
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    [&header, payload].concat()
}

/// Sets the checksum of the IPv4 header behind an Ethernet header, if there is one.
pub fn mend_ipv4(frame: &mut [u8]) {
    if frame.len() < 34 || frame[14] >> 4 != 4 {
        return;
    }
    let end = 14 + usize::from(frame[14] & 0xf) * 4;
    if let Some(header) = frame.get_mut(14..end).filter(|header| header.len() >= 20) {
        header[10..12].fill(0);
        let sum = checksum::fold(checksum::sum(header));
        header[10..12].copy_from_slice(&sum.to_be_bytes());
    }
}

/// An IPv6 packet; `next` is what `payload` starts with.
pub fn ipv6(source: Ipv6Addr, destination: Ipv6Addr, next: u8, payload: &[u8]) -> Vec<u8> {
    let mut header = vec![0x60, 0, 0, 0];
    header.extend((payload.len() as u16).to_be_bytes());
    // Neighbour discovery is believed with this hop limit only (RFC 4861, section 7.1).
    header.extend([next, 255]);
    header.extend(source.octets());
    header.extend(destination.octets());
    header.extend(payload);
    header
}

/// An extension header of 8 bytes before `payload`, which is `next`; for any kind but fragment.
pub fn extended(next: u8, payload: &[u8]) -> Vec<u8> {
    // PadN of 4 bytes (RFC 8200, section 4.2).
    [&[next, 0, 1, 4, 0, 0, 0, 0], payload].concat()
}

/// A fragment header before `payload`, which is part of a packet of `next` at `offset` (in units of 8 bytes).
pub fn fragment(next: u8, offset: u16, more: bool, payload: &[u8]) -> Vec<u8> {
    let field = (offset << 3 | u16::from(more)).to_be_bytes();
    [&[next, 0, field[0], field[1], 0, 0, 0, 7], payload].concat()
}

/// A UDP datagram.
pub fn udp(ends: Ends, source: u16, destination: u16, data: &[u8]) -> Vec<u8> {
    let mut datagram = [source, destination, (8 + data.len()) as u16, 0].map(u16::to_be_bytes).concat();
    datagram.extend(data);
    seal(ends, protocol::UDP, &mut datagram, 6);
    datagram
}

/// A TCP segment with `flags` (CWR to FIN).
pub fn tcp(ends: Ends, source: u16, destination: u16, flags: u8, data: &[u8]) -> Vec<u8> {
    tcp_at(ends, (source, destination), (1, 0), flags, data)
}

/// A TCP segment with these ports, sequence and acknowledgement numbers.
pub fn tcp_at(ends: Ends, ports: (u16, u16), numbers: (u32, u32), flags: u8, data: &[u8]) -> Vec<u8> {
    let mut segment = [ports.0, ports.1].map(u16::to_be_bytes).concat();
    segment.extend([numbers.0, numbers.1].map(u32::to_be_bytes).concat());
    segment.extend([5 << 4, flags, 0xff, 0xff, 0, 0, 0, 0]);
    segment.extend(data);
    seal(ends, protocol::TCP, &mut segment, 16);
    segment
}

/// An ICMP message of which `rest` begins behind the checksum.
pub fn icmp(kind: u8, code: u8, rest: &[u8]) -> Vec<u8> {
    let mut message = vec![kind, code, 0, 0];
    message.extend(rest);
    let sum = checksum::fold(checksum::sum(&message));
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    message
}

/// An ICMPv6 message of which `rest` begins behind the checksum.
pub fn icmpv6(ends: Ends, kind: u8, rest: &[u8]) -> Vec<u8> {
    let mut message = vec![kind, 0, 0, 0];
    message.extend(rest);
    seal(ends, protocol::ICMPV6, &mut message, 2);
    message
}

/// What follows the checksum of a neighbour solicitation or advertisement for `target`: then options.
pub fn discovery(target: Ipv6Addr, options: &[u8]) -> Vec<u8> {
    [&[0, 0, 0, 0], &target.octets()[..], options].concat()
}

/// The option that says the link-layer address of the source (`kind` 1) or the target (2).
pub fn link_layer(kind: u8, mac: Mac) -> Vec<u8> {
    [&[kind, 1], &mac.0[..]].concat()
}

/// A VXLAN packet: `flags`, `vni`, then a frame.
pub fn vxlan(flags: u8, vni: u32, inner: &[u8]) -> Vec<u8> {
    let mut header = [0; wire_vxlan::LEN];
    wire_vxlan::write(&mut header, Vni::new(1).expect("1 is in range"));
    header[0] = flags;
    header[4..7].copy_from_slice(&vni.to_be_bytes()[1..]);
    [&header, inner].concat()
}

/// Writes the checksum over pseudo header and `message` at `field`.
fn seal(ends: Ends, protocol: u8, message: &mut [u8], field: usize) {
    let length = message.len() as u16;
    let pseudo = match ends {
        (IpAddr::V4(a), IpAddr::V4(b)) => checksum::pseudo_header(&a.octets(), &b.octets(), protocol, length),
        (IpAddr::V6(a), IpAddr::V6(b)) => checksum::pseudo_header(&a.octets(), &b.octets(), protocol, length),
        _ => panic!("ends of two families: {ends:?}"),
    };
    message[field..field + 2].fill(0);
    let sum = checksum::fold(pseudo + checksum::sum(message));
    // A UDP checksum that comes out as zero is sent as all ones (RFC 768): zero says that there is none.
    let sum = if sum == 0 && protocol == protocol::UDP { 0xffff } else { sum };
    message[field..field + 2].copy_from_slice(&sum.to_be_bytes());
}

/// Writes the traffic class octet (IPv4's TOS) of an untagged IP packet's frame.
pub fn set_tos(frame: &mut [u8], tos: u8) {
    let ip = &mut frame[14..];
    if ip[0] >> 4 == 6 {
        ip[0] = 0x60 | tos >> 4;
        ip[1] = tos << 4 | (ip[1] & 0x0f);
        return;
    }
    ip[1] = tos;
    ip[10..12].fill(0);
    let len = usize::from(ip[0] & 0x0f) * 4;
    let sum = checksum::fold(checksum::sum(&ip[..len]));
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
}
