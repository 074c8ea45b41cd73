//! Finds the headers, and that they hold together.

use core::net::Ipv4Addr;

use crate::batch::Batch;
use crate::frame::Frame;
use crate::overlay::hash;
use crate::stages::untag;
use crate::verdict::Reason;
use crate::wire::ethernet::{self, EtherType};
use crate::wire::ipv4::{self, protocol};
use crate::wire::{Arp, End4, Ethernet, Icmp, Icmpv6, Ipv4, Ipv6, Tcp, Udp, ipv6, tcp, udp};

/// What a packet is, and where its headers stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    /// What follows the Ethernet header.
    pub network: Network,
    /// What follows the network header (IANA protocol number); 0 in ARP.
    pub protocol: u8,
    /// Whether the packet is whole.
    pub fragment: Fragment,
    /// DSCP and ECN: IPv4's TOS, IPv6's traffic class; 0 in ARP.
    pub tos: u8,
    /// Where the transport header starts, in bytes from the start of the frame.
    pub transport: u16,
    /// The sender's end, of IPv4.
    pub source: End4,
    /// The receiver's end, of IPv4.
    pub destination: End4,
}

/// Which packets of a burst are TCP or UDP, whole, behind a network header without options or extensions: a bit for each. The
/// stages have a short way for these, and look closely at all others, some of which may be such too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Plain {
    /// Over IPv4.
    pub v4: u32,
    /// Over IPv6.
    pub v6: u32,
}

/// Whom a frame is from and to, by MAC: as integers, see [`Mac::to_bits`](crate::wire::Mac::to_bits).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Where it goes.
    pub destination: u64,
    /// Who sent it.
    pub source: u64,
}

impl Link {
    /// Those of this header.
    #[inline]
    pub fn of(header: Ethernet<'_>) -> Self {
        Self { destination: header.destination_bits(), source: header.source_bits() }
    }
}

impl Headers {
    /// A hash of the conversation that `frame`, whose headers these are, is of; the same in both directions. Only what goes
    /// into a tunnel needs it.
    #[inline]
    pub fn hash(&self, frame: &[u8]) -> u32 {
        match self.network {
            Network::Ipv4 => hash::symmetric(self.source.word(), self.destination.word(), self.protocol),
            Network::Ipv6 => self.hash_v6(frame).unwrap_or_default(),
            Network::Arp => hash_arp(frame).unwrap_or_default(),
        }
    }

    #[inline(never)]
    fn hash_v6(&self, frame: &[u8]) -> Option<u32> {
        let has_ports =
            self.fragment == Fragment::Whole && matches!(self.protocol, protocol::TCP | protocol::UDP);
        let [a, b, c, d] = match frame.get(usize::from(self.transport)..)?.first_chunk() {
            Some(ports) if has_ports => *ports,
            _ => [0; 4],
        };
        let end = |at: usize, port: [u8; 2]| {
            let bits = u128::from_be_bytes(*frame.get(at..)?.first_chunk()?);
            Some(hash::mix((bits >> 64) as u64, bits as u64 ^ u64::from(u16::from_be_bytes(port))))
        };
        let ends = (end(ethernet::LEN + 8, [a, b])?, end(ethernet::LEN + 24, [c, d])?);
        Some(hash::symmetric(ends.0, ends.1, self.protocol))
    }
}

#[inline(never)]
fn hash_arp(frame: &[u8]) -> Option<u32> {
    let arp = Arp::parse(frame.get(ethernet::LEN..)?).ok()?;
    let end = |address: Ipv4Addr| u64::from(address.to_bits());
    Some(hash::symmetric(end(arp.sender_ip()), end(arp.target_ip()), 0))
}

/// What follows the Ethernet header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Network {
    /// ARP for IPv4.
    #[default]
    Arp,
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

/// Whether a packet is whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fragment {
    /// It is.
    #[default]
    Whole,
    /// The first of several fragments: it has the transport header.
    First,
    /// A later one: it has none.
    Later,
}

/// Parses every passing frame; drops what is malformed or of a kind that segments don't carry. Takes off the tags of
/// those that have one, see [`untag`](untag::untag).
pub fn parse<F: Frame>(batch: &mut Batch<F>) {
    let mut plain = Plain::default();
    for i in batch.passing() {
        let (frame, headers, link) = batch.frame_and_headers(i);
        if frame.is_linear() {
            if read_plain(frame.data(), headers, link) {
                plain.v4 |= 1 << i;
                continue;
            }
            if read_plain_v6(frame.data(), headers, link) {
                plain.v6 |= 1 << i;
                continue;
            }
        }
        look_closely(batch, i);
    }
    batch.plain = plain;
}

/// Reads the headers of a frame that is not what most are, without its tag if it has one.
#[inline(never)]
fn look_closely<F: Frame>(batch: &mut Batch<F>, i: usize) {
    let (frame, headers, link) = batch.frame_and_headers(i);
    let found =
        if frame.is_linear() { read_any(frame.data(), headers, link) } else { Err(Reason::NotLinear) };
    let found = match found {
        Err(Reason::EthertypeUnsupported) => untag::untag(batch.frame_mut(i)).and_then(|()| {
            let (frame, headers, link) = batch.frame_and_headers(i);
            read(frame.data(), headers, link)
        }),
        found => found,
    };
    if let Err(reason) = found {
        batch.drop(i, reason);
    }
}

/// The headers of one frame.
pub fn headers(frame: &[u8]) -> Result<Headers, Reason> {
    let (mut headers, mut link) = (Headers::default(), Link::default());
    read(frame, &mut headers, &mut link).map(|()| headers)
}

/// Reads the headers of `frame` straight into their lanes: by way of a result they would be stored in parts and
/// loaded whole, and the load would wait for the stores.
fn read(frame: &[u8], headers: &mut Headers, link: &mut Link) -> Result<(), Reason> {
    let is_plain = read_plain(frame, headers, link) || read_plain_v6(frame, headers, link);
    if is_plain { Ok(()) } else { read_any(frame, headers, link) }
}

/// Reads what most packets are: TCP or UDP, whole, over IPv4 without options. Returns whether it is one and holds
/// together; [`read_any`] reads the others, and would read these no other way.
#[inline(always)]
fn read_plain(frame: &[u8], lane: &mut Headers, link: &mut Link) -> bool {
    const TRANSPORT: usize = ethernet::LEN + ipv4::LEN;
    let Some(bytes) = frame.first_chunk::<{ TRANSPORT + udp::LEN }>() else { return false };
    let Some((ethernet, _)) = Ethernet::split(bytes) else { return false };
    let half = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
    let word = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    // Ethertype, version and header length, TOS.
    let kind = word(ethernet::LEN - 2);
    // All but "don't fragment" and the reserved bit: whether it is a fragment.
    let fragment = half(ethernet::LEN + 6) & 0x3fff;
    let total = usize::from(half(ethernet::LEN + 2));
    if kind >> 8 != 0x08_0045 || fragment != 0 || total < ipv4::LEN || frame.len() < ethernet::LEN + total {
        return false;
    }
    let (protocol, payload) = (bytes[ethernet::LEN + 9], total - ipv4::LEN);
    if !holds_together(frame, TRANSPORT, protocol, payload) {
        return false;
    }
    let source = End4::new(word(ethernet::LEN + 12), half(TRANSPORT));
    let destination = End4::new(word(ethernet::LEN + 16), half(TRANSPORT + 2));
    *lane = Headers {
        network: Network::Ipv4,
        protocol,
        fragment: Fragment::Whole,
        tos: kind as u8,
        transport: TRANSPORT as u16,
        source,
        destination,
    };
    *link = Link::of(ethernet);
    true
}

/// Whether UDP or TCP, whose header stands there and which has so many bytes with it, is as long as it says.
#[inline(always)]
fn holds_together(frame: &[u8], transport: usize, protocol: u8, payload: usize) -> bool {
    match protocol {
        protocol::UDP => frame
            .get(transport + 4..)
            .and_then(|rest| rest.first_chunk())
            .is_some_and(|length| (udp::LEN..=payload).contains(&usize::from(u16::from_be_bytes(*length)))),
        protocol::TCP => frame
            .get(transport + 12)
            .is_some_and(|offset| (tcp::LEN..=payload).contains(&(usize::from(offset >> 4) * 4))),
        _ => false,
    }
}

/// The same over IPv6 without extension headers.
#[inline(always)]
fn read_plain_v6(frame: &[u8], lane: &mut Headers, link: &mut Link) -> bool {
    const TRANSPORT: usize = ethernet::LEN + ipv6::LEN;
    let Some(bytes) = frame.first_chunk::<{ TRANSPORT + udp::LEN }>() else { return false };
    let Some((ethernet, _)) = Ethernet::split(bytes) else { return false };
    let half = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
    // Ethertype, version, traffic class, the start of the flow label.
    let kind = u32::from(half(ethernet::LEN - 2)) << 16 | u32::from(half(ethernet::LEN));
    let payload = usize::from(half(ethernet::LEN + 4));
    if kind >> 12 != 0x86dd6 || frame.len() < TRANSPORT + payload {
        return false;
    }
    let protocol = bytes[ethernet::LEN + 6];
    if !holds_together(frame, TRANSPORT, protocol, payload) {
        return false;
    }
    *lane = Headers {
        network: Network::Ipv6,
        protocol,
        fragment: Fragment::Whole,
        tos: (kind >> 4) as u8,
        transport: TRANSPORT as u16,
        ..Headers::default()
    };
    *link = Link::of(ethernet);
    true
}

fn read_any(frame: &[u8], lane: &mut Headers, link: &mut Link) -> Result<(), Reason> {
    let (ethernet, packet) = Ethernet::split(frame).ok_or(Reason::Truncated)?;
    *link = Link::of(ethernet);
    match ethernet.ethertype() {
        EtherType::IPV4 => read_ipv4(packet, lane),
        EtherType::IPV6 => read_ipv6(packet, lane),
        EtherType::ARP => read_arp(packet, lane),
        _ => Err(Reason::EthertypeUnsupported),
    }
}

fn read_arp(packet: &[u8], lane: &mut Headers) -> Result<(), Reason> {
    Arp::parse(packet).map_err(|_| Reason::MalformedArp)?;
    *lane = Headers { network: Network::Arp, ..Headers::default() };
    Ok(())
}

fn read_ipv4(packet: &[u8], lane: &mut Headers) -> Result<(), Reason> {
    let (ip, payload) = Ipv4::split(packet).map_err(|_| Reason::MalformedIpv4)?;
    let fragment = match (ip.fragment_offset(), ip.more_fragments()) {
        (0, false) => Fragment::Whole,
        (0, true) => Fragment::First,
        _ => Fragment::Later,
    };
    let ports = transport(ip.protocol(), fragment, payload)?;
    let source = End4::new(ip.source().to_bits(), ports.source);
    let destination = End4::new(ip.destination().to_bits(), ports.destination);
    *lane = Headers {
        network: Network::Ipv4,
        protocol: ip.protocol(),
        fragment,
        tos: ip.tos(),
        transport: (ethernet::LEN + ip.header_len()) as u16,
        source,
        destination,
    };
    Ok(())
}

fn read_ipv6(packet: &[u8], lane: &mut Headers) -> Result<(), Reason> {
    let (ip, payload) = Ipv6::split(packet).map_err(|_| Reason::MalformedIpv6)?;
    let upper = ipv6::upper(ip.next_header(), payload).map_err(|_| Reason::MalformedIpv6)?;
    let fragment = match upper.fragment {
        None => Fragment::Whole,
        Some(ipv6::Fragment { offset: 0, .. }) => Fragment::First,
        Some(_) => Fragment::Later,
    };
    transport(upper.protocol, fragment, upper.payload)?;
    let extensions = payload.len() - upper.payload.len();
    *lane = Headers {
        network: Network::Ipv6,
        protocol: upper.protocol,
        fragment,
        tos: ip.traffic_class(),
        transport: (ethernet::LEN + ipv6::LEN + extensions) as u16,
        ..Headers::default()
    };
    Ok(())
}

/// The ports that tell conversations of the same two addresses apart; 0 where there are none.
#[derive(Clone, Copy, Default)]
struct Ports {
    source: u16,
    destination: u16,
}

fn transport(protocol: u8, fragment: Fragment, payload: &[u8]) -> Result<Ports, Reason> {
    let ports = match (fragment, protocol) {
        // Only the first fragment has ports: without them all fragments of a packet go the same way.
        (Fragment::Later, _) => return Ok(Ports::default()),
        (_, protocol::TCP) => {
            let (tcp, _) = Tcp::split(payload).map_err(|_| Reason::MalformedTcp)?;
            Ports { source: tcp.source_port(), destination: tcp.destination_port() }
        }
        (Fragment::Whole, protocol::UDP) => {
            let (udp, _) = Udp::split(payload).map_err(|_| Reason::MalformedUdp)?;
            Ports { source: udp.source_port(), destination: udp.destination_port() }
        }
        // The length of a datagram in fragments exceeds the first of them.
        (Fragment::First, protocol::UDP) if payload.len() < udp::LEN => {
            return Err(Reason::MalformedUdp);
        }
        (_, protocol::ICMP) => {
            let (_, _) = Icmp::split(payload).ok_or(Reason::MalformedIcmp)?;
            Ports::default()
        }
        (_, protocol::ICMPV6) => {
            let (_, _) = Icmpv6::split(payload).ok_or(Reason::MalformedIcmp)?;
            Ports::default()
        }
        _ => Ports::default(),
    };
    Ok(if fragment == Fragment::Whole { ports } else { Ports::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::entry::guest_frames;
    use crate::testing::generators::{changed, changes};
    use proptest::prelude::*;
    use proptest::sample::select;

    /// What is read at a glance has to be what is read in full.
    fn agree(frame: &[u8]) -> bool {
        let mut glance = <(Headers, Link)>::default();
        let is_plain = read_plain(frame, &mut glance.0, &mut glance.1)
            || read_plain_v6(frame, &mut glance.0, &mut glance.1);
        if is_plain {
            let mut full = <(Headers, Link)>::default();
            assert_eq!(read_any(frame, &mut full.0, &mut full.1), Ok(()));
            assert_eq!(glance, full);
        }
        is_plain
    }

    #[test]
    fn most_is_read_at_a_glance() {
        let plain = guest_frames().into_iter().filter(|frame| agree(frame)).count();
        assert!(plain >= 2, "TCP and UDP over IPv4: {plain}");
    }

    proptest! {
        #[test]
        fn a_glance_and_a_full_reading_agree(frame in select(guest_frames()), changes in changes()) {
            agree(&changed(frame, &changes));
        }

        #[test]
        fn so_they_do_where_lengths_lie(frame in select(guest_frames()), at in 14usize..48, byte: u8, cut: u8) {
            let mut frame = frame;
            if let Some(changed) = frame.get_mut(at) {
                *changed = byte;
            }
            frame.truncate(frame.len().saturating_sub(usize::from(cut)));
            agree(&frame);
        }
    }
}
