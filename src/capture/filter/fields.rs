//! Where things are in a packet, for a filter: as `tcpdump` finds them, without asking whether they make sense.

use std::net::{Ipv4Addr, Ipv6Addr};

use weft_pipelines::wire::ethernet::EtherType;
use weft_pipelines::wire::ipv4::protocol;
use weft_pipelines::{Mac, Vni};

use super::Carrier;

/// Bytes of an Ethernet header, after which all else begins.
const ETHERNET: usize = 14;
/// Reverse ARP (RFC 903), which has addresses where ARP has them.
const RARP: u16 = 0x8035;
/// IPv6's fragment header (RFC 8200, section 4.5).
const FRAGMENT: u8 = 44;

/// A packet's fields.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields<'a> {
    data: &'a [u8],
    ethertype: u16,
    pub carrier: Option<Carrier>,
}

impl<'a> Fields<'a> {
    pub fn of(data: &'a [u8]) -> Self {
        let ethertype = u16_at(data, 12).unwrap_or_default();
        let carrier = match EtherType(ethertype) {
            EtherType::IPV4 => Some(Carrier::Ip),
            EtherType::IPV6 => Some(Carrier::Ip6),
            EtherType::ARP => Some(Carrier::Arp),
            _ => None,
        };
        Self { data, ethertype, carrier }
    }

    pub const fn ethertype(&self) -> u16 {
        self.ethertype
    }

    /// The protocol (IANA number) of an IP packet; of IPv6 what follows the first header.
    pub fn protocol(&self) -> Option<u8> {
        match self.carrier? {
            Carrier::Ip => byte_at(self.data, ETHERNET + 9),
            Carrier::Ip6 => byte_at(self.data, ETHERNET + 6),
            Carrier::Arp => None,
        }
    }

    /// What a rule's service is compared with, and what tells several of these apart: of protocols that have ports the
    /// destination's and the source's, of ICMP type and code, and the identifier of echoes.
    pub fn service(&self) -> Option<(u16, Option<u16>)> {
        let protocol = self.protocol()?;
        let (first, second) = self.ports(Some(protocol))?;
        let third = || u16_at(self.data, self.transport()? + 4);
        match (protocol, first >> 8) {
            (protocol::ICMP, 0 | 8) | (protocol::ICMPV6, 128 | 129) => Some((first, third())),
            (protocol::ICMP | protocol::ICMPV6, _) => Some((first, None)),
            (protocol::TCP | protocol::UDP | protocol::SCTP, _) => Some((second, Some(first))),
            _ => None,
        }
    }

    /// Where the header after IP's begins.
    fn transport(&self) -> Option<usize> {
        match self.carrier? {
            Carrier::Ip => Some(ETHERNET + 4 * usize::from(byte_at(self.data, ETHERNET)? & 0x0f)),
            Carrier::Ip6 => Some(ETHERNET + 40),
            Carrier::Arp => None,
        }
    }

    pub const fn len(&self) -> usize {
        self.data.len()
    }

    /// Source and destination.
    pub fn macs(&self) -> Option<(Mac, Mac)> {
        Some((Mac(bytes_at(self.data, 6)?), Mac(bytes_at(self.data, 0)?)))
    }

    /// Source and destination; of ARP sender and target.
    pub fn v4(&self) -> Option<(Ipv4Addr, Ipv4Addr)> {
        let (source, destination) = match self.carrier {
            Some(Carrier::Ip) => (12, 16),
            Some(Carrier::Arp) => (14, 24),
            None if self.ethertype == RARP => (14, 24),
            _ => return None,
        };
        let ip = |at| bytes_at::<4>(self.data, ETHERNET + at).map(Ipv4Addr::from);
        Some((ip(source)?, ip(destination)?))
    }

    /// Source and destination.
    pub fn v6(&self) -> Option<(Ipv6Addr, Ipv6Addr)> {
        let ip = |at| bytes_at::<16>(self.data, ETHERNET + at).map(Ipv6Addr::from);
        (self.carrier == Some(Carrier::Ip6)).then_some(())?;
        Some((ip(8)?, ip(24)?))
    }

    /// Whether it carries this protocol. Of IPv6 the first header is asked, and what follows a fragment header.
    pub fn is_of(&self, protocol: u8) -> bool {
        let is = |at| byte_at(self.data, ETHERNET + at) == Some(protocol);
        match self.carrier {
            Some(Carrier::Ip) => is(9),
            Some(Carrier::Ip6) => is(6) || (byte_at(self.data, ETHERNET + 6) == Some(FRAGMENT) && is(40)),
            _ => false,
        }
    }

    /// Source and destination of a protocol that has ports; later fragments have none.
    pub fn ports(&self, wanted: Option<u8>) -> Option<(u16, u16)> {
        let (of, start) = match self.carrier {
            Some(Carrier::Ip) => {
                let offset = u16_at(self.data, ETHERNET + 6)? & 0x1fff;
                let words = byte_at(self.data, ETHERNET)? & 0x0f;
                (offset == 0).then_some(())?;
                (byte_at(self.data, ETHERNET + 9)?, ETHERNET + 4 * usize::from(words))
            }
            Some(Carrier::Ip6) => (byte_at(self.data, ETHERNET + 6)?, ETHERNET + 40),
            _ => return None,
        };
        let has_ports = match wanted {
            Some(wanted) => of == wanted,
            None => matches!(of, protocol::TCP | protocol::UDP | protocol::SCTP),
        };
        has_ports.then_some(())?;
        Some((u16_at(self.data, start)?, u16_at(self.data, start + 2)?))
    }

    /// What is within VXLAN, and its VNI (RFC 7348, section 5).
    pub fn vxlan(&self, port: u16) -> Option<(Vni, &'a [u8])> {
        let (_, to) = self.ports(Some(protocol::UDP))?;
        (to == port).then_some(())?;
        let start = match self.carrier {
            Some(Carrier::Ip) => ETHERNET + 4 * usize::from(byte_at(self.data, ETHERNET)? & 0x0f),
            _ => ETHERNET + 40,
        };
        let header: [u8; 8] = bytes_at(self.data, start + 8)?;
        // The flag says that there is a VNI.
        (header[0] & 0x08 != 0).then_some(())?;
        let vni = Vni::new(u32::from_be_bytes([0, header[4], header[5], header[6]]))?;
        Some((vni, self.data.get(start + 16..)?))
    }
}

fn byte_at(data: &[u8], at: usize) -> Option<u8> {
    data.get(at).copied()
}

fn u16_at(data: &[u8], at: usize) -> Option<u16> {
    bytes_at(data, at).map(u16::from_be_bytes)
}

fn bytes_at<const N: usize>(data: &[u8], at: usize) -> Option<[u8; N]> {
    data.get(at..)?.first_chunk().copied()
}
