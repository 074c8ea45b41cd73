//! Frames as a guest's stack would not send them, to be injected; checksums are right.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, HardwareAddress, Icmpv6Packet, Icmpv6Repr, IpProtocol,
    IpRepr, NdiscNeighborFlags, NdiscRepr, UdpPacket, UdpRepr,
};

/// A MAC address.
pub type Mac = [u8; 6];

/// To everybody.
pub const BROADCAST: Mac = [0xff; 6];

/// An Ethernet frame round `payload`, without padding.
pub fn ethernet(from: Mac, to: Mac, ethertype: u16, payload: &[u8]) -> Vec<u8> {
    [&to[..], &from, &ethertype.to_be_bytes(), payload].concat()
}

/// An ARP request to everybody, from the port of `from`, in which `sender` asks for `target`.
pub fn arp_request(from: Mac, sender: (Mac, Ipv4Addr), target: Ipv4Addr) -> Vec<u8> {
    let packet = arp(ArpOperation::Request, sender, ([0; 6], target));
    ethernet(from, BROADCAST, ARP, &packet)
}

/// An ARP reply from the port of `from`, in which `sender` tells `target` where it is.
pub fn arp_reply(from: Mac, sender: (Mac, Ipv4Addr), target: (Mac, Ipv4Addr)) -> Vec<u8> {
    ethernet(from, target.0, ARP, &arp(ArpOperation::Reply, sender, target))
}

/// A neighbour solicitation from an address, for `target`, that says the sender's MAC address is `claimed`.
pub fn neighbor_solicit(from: (Mac, Ipv6Addr), claimed: Mac, target: Ipv6Addr) -> Vec<u8> {
    let [.., a, b, c] = target.octets();
    let group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(a), u16::from_be_bytes([b, c]));
    let message = NdiscRepr::NeighborSolicit { target_addr: target, lladdr: Some(hardware(claimed)) };
    // RFC 2464, section 7: the multicast's last four bytes.
    ndisc(from, ([0x33, 0x33, 0xff, a, b, c], group), message)
}

/// A neighbour advertisement from an address to another, that says `target` is at the MAC address `claimed`.
pub fn neighbor_advert(
    from: (Mac, Ipv6Addr),
    to: (Mac, Ipv6Addr),
    target: Ipv6Addr,
    claimed: Mac,
) -> Vec<u8> {
    let flags = NdiscNeighborFlags::OVERRIDE | NdiscNeighborFlags::SOLICITED;
    ndisc(from, to, NdiscRepr::NeighborAdvert { flags, target_addr: target, lladdr: Some(hardware(claimed)) })
}

/// A datagram between two addresses of the same family, given with their MAC addresses.
///
/// # Panics
/// When the families differ.
pub fn udp(from: (Mac, IpAddr), to: (Mac, IpAddr), ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
    let header = UdpRepr { src_port: ports.0, dst_port: ports.1 };
    let mut packet = vec![0; header.header_len() + payload.len()];
    let (source, destination) = (from.1.into(), to.1.into());
    let write = |bytes: &mut [u8]| bytes.copy_from_slice(payload);
    let mut view = UdpPacket::new_unchecked(&mut packet[..]);
    header.emit(&mut view, &source, &destination, payload.len(), write, &ChecksumCapabilities::default());
    ip(from, to, IpProtocol::Udp, HOPS, &packet)
}

fn arp(operation: ArpOperation, sender: (Mac, Ipv4Addr), target: (Mac, Ipv4Addr)) -> Vec<u8> {
    let message = ArpRepr::EthernetIpv4 {
        operation,
        source_hardware_addr: EthernetAddress(sender.0),
        source_protocol_addr: sender.1,
        target_hardware_addr: EthernetAddress(target.0),
        target_protocol_addr: target.1,
    };
    let mut packet = vec![0; message.buffer_len()];
    message.emit(&mut ArpPacket::new_unchecked(&mut packet));
    packet
}

fn ndisc(from: (Mac, Ipv6Addr), to: (Mac, Ipv6Addr), message: NdiscRepr<'_>) -> Vec<u8> {
    let message = Icmpv6Repr::Ndisc(message);
    let mut packet = vec![0; message.buffer_len()];
    let mut view = Icmpv6Packet::new_unchecked(&mut packet[..]);
    message.emit(&from.1, &to.1, &mut view, &ChecksumCapabilities::default());
    // RFC 4861, section 7.1: what was forwarded is not believed.
    ip((from.0, from.1.into()), (to.0, to.1.into()), IpProtocol::Icmpv6, 255, &packet)
}

fn ip(from: (Mac, IpAddr), to: (Mac, IpAddr), protocol: IpProtocol, hops: u8, payload: &[u8]) -> Vec<u8> {
    let header = IpRepr::new(from.1.into(), to.1.into(), protocol, payload.len(), hops);
    let mut packet = vec![0; header.header_len()];
    header.emit(&mut packet[..], &ChecksumCapabilities::default());
    packet.extend_from_slice(payload);
    ethernet(from.0, to.0, if from.1.is_ipv4() { 0x0800 } else { 0x86dd }, &packet)
}

fn hardware(mac: Mac) -> smoltcp::wire::RawHardwareAddress {
    HardwareAddress::Ethernet(EthernetAddress(mac)).into()
}

const ARP: u16 = 0x0806;

/// As ordinary hosts send.
const HOPS: u8 = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_solicitation_goes_to_the_groups_of_its_target() {
        let (own, target) = ("fd00::1".parse().unwrap(), "fd00::12:3456".parse().unwrap());
        let frame = neighbor_solicit(([2, 0, 0, 0, 0, 1], own), [2, 0, 0, 0, 0, 1], target);
        assert_eq!(frame[..6], [0x33, 0x33, 0xff, 0x12, 0x34, 0x56]);
        assert_eq!((frame[20], frame[21], frame.len()), (58, 255, 14 + 40 + 32));
        assert_eq!(frame[38..54], "ff02::1:ff12:3456".parse::<Ipv6Addr>().unwrap().octets());
    }
}
