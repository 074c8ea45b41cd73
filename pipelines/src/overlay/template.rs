//! The outer headers of a tunnel, made once: 50 bytes that a packet gets in front, then the few that differ.

use core::net::Ipv4Addr;

use crate::wire::ethernet::{self, EtherType};
use crate::wire::{Mac, Vni, checksum, ipv4, udp, vxlan};

/// Bytes of the outer headers: Ethernet, IPv4, UDP and VXLAN.
pub const LEN: usize = ethernet::LEN + ipv4::LEN + udp::LEN + vxlan::LEN;

/// Bytes that the outer IPv4 packet has beyond the inner frame.
pub const IP_OVERHEAD: usize = LEN - ethernet::LEN;

/// The outer TTL: what hosts send with (RFC 1700).
const TTL: u8 = 64;

const IPV4: usize = ethernet::LEN;
const UDP: usize = IPV4 + ipv4::LEN;
const VXLAN: usize = UDP + udp::LEN;

/// The outer headers towards one VTEP.
#[derive(Clone, Debug)]
pub struct Template {
    bytes: [u8; LEN],
    /// Sum of the IPv4 header with length and TOS zero.
    header_sum: u32,
}

impl Template {
    /// The headers from `source`, whose uplink has `mac`, to UDP port `port` of `destination`.
    pub fn new(mac: Mac, source: Ipv4Addr, destination: Ipv4Addr, port: u16) -> Self {
        let mut bytes = [0; LEN];
        if let Some(header) = ethernet::header_mut(&mut bytes) {
            ethernet::write(header, Mac::ZERO, mac, EtherType::IPV4);
        }
        let ip = &mut bytes[IPV4..UDP];
        // Version and header length; identification 0, which an atomic datagram may have (RFC 6864).
        ip[0] = 0x45;
        ip[6] = 0x40; // Don't fragment.
        ip[8] = TTL;
        ip[9] = ipv4::protocol::UDP;
        ip[12..16].copy_from_slice(&source.octets());
        ip[16..20].copy_from_slice(&destination.octets());
        let header_sum = checksum::sum(ip);
        // The UDP checksum stays zero, as RFC 7348 section 5 recommends.
        bytes[UDP + 2..UDP + 4].copy_from_slice(&port.to_be_bytes());
        bytes[VXLAN] = vxlan::FLAGS;
        Self { bytes, header_sum }
    }

    /// Writes the headers for an inner frame of `inner` bytes; the destination MAC stays to be filled in. `tos` is DSCP
    /// and ECN.
    ///
    /// `hash` is of the inner conversation: the source port carries it, so that the underlay spreads
    /// conversations over its paths and keeps each on one.
    pub fn write(&self, headers: &mut [u8; LEN], vni: Vni, inner: u16, tos: u8, hash: u32) {
        *headers = self.bytes;
        let udp_len = inner + (udp::LEN + vxlan::LEN) as u16;
        let ip_len = udp_len + ipv4::LEN as u16;
        let ip_checksum = checksum::fold(self.header_sum + u32::from(ip_len) + u32::from(tos));
        headers[IPV4 + 1] = tos;
        headers[IPV4 + 2..IPV4 + 4].copy_from_slice(&ip_len.to_be_bytes());
        headers[IPV4 + 10..IPV4 + 12].copy_from_slice(&ip_checksum.to_be_bytes());
        headers[UDP..UDP + 2].copy_from_slice(&source_port(hash).to_be_bytes());
        headers[UDP + 4..UDP + 6].copy_from_slice(&udp_len.to_be_bytes());
        headers[VXLAN + 4..].copy_from_slice(&(vni.value() << 8).to_be_bytes());
    }
}

/// A port of the dynamic range, 49152 to 65535 (RFC 7348, section 5).
const fn source_port(hash: u32) -> u16 {
    0xc000 | (hash & 0x3fff) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Ethernet, Ipv4, Udp, Vxlan};

    #[test]
    fn writes_headers_that_hold() {
        let (ours, theirs) = (Ipv4Addr::new(198, 51, 100, 1), Ipv4Addr::new(198, 51, 100, 2));
        let mac = Mac([2, 0, 0, 0, 0, 1]);
        let template = Template::new(mac, ours, theirs, 4789);
        let mut packet = vec![0; LEN + 60];
        let vni = Vni::new(0x12_3456).unwrap();
        template.write(packet.first_chunk_mut().unwrap(), vni, 60, 0xb9, 0xffff_ffff);

        let (outer, rest) = Ethernet::split(&packet).unwrap();
        assert_eq!((outer.source(), outer.ethertype()), (mac, EtherType::IPV4));
        let (ip, rest) = Ipv4::split(rest).unwrap();
        assert!(ip.checksum_holds());
        assert_eq!(ip.tos(), 0xb9);
        assert!(!ip.is_fragment());
        assert_eq!((ip.source(), ip.destination(), ip.ttl(), ip.protocol()), (ours, theirs, 64, 17));
        assert_eq!(packet[IPV4 + 6], 0x40);
        let (udp, rest) = Udp::split(rest).unwrap();
        assert_eq!((udp.source_port(), udp.destination_port()), (65535, 4789));
        assert_eq!(&packet[UDP + 6..UDP + 8], [0, 0]);
        let (vxlan, inner) = Vxlan::split(rest).unwrap();
        assert_eq!((vxlan.flags(), vxlan.vni(), inner.len()), (0x08, Some(vni), 60));
    }
}
