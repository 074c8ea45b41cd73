//! Finds the headers, and that they hold together.

use crate::batch::Batch;
use crate::frame::Frame;
use crate::overlay::hash;
use crate::verdict::Reason;
use crate::wire::ethernet::{self, EtherType};
use crate::wire::ipv4::protocol;
use crate::wire::{Arp, Ethernet, Icmp, Icmpv6, Ipv4, Ipv6, Tcp, Udp, ipv6, udp};

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
    /// A hash of the conversation, the same in both directions.
    pub hash: u32,
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

/// Parses every passing frame; drops what is malformed or of a kind that segments don't carry.
pub fn parse<F: Frame>(batch: &mut Batch<F>) {
    for i in batch.passing() {
        let (frame, lane) = batch.frame_and_headers(i);
        let read = if frame.is_linear() { read(frame.data(), lane) } else { Err(Reason::NotLinear) };
        if let Err(reason) = read {
            batch.drop(i, reason);
        }
    }
}

/// The headers of one frame.
pub fn headers(frame: &[u8]) -> Result<Headers, Reason> {
    let mut headers = Headers::default();
    read(frame, &mut headers).map(|()| headers)
}

/// Reads the headers of `frame` straight into their lane: by way of a result they would be stored in parts and
/// loaded whole, and the load would wait for the stores.
fn read(frame: &[u8], lane: &mut Headers) -> Result<(), Reason> {
    let (ethernet, packet) = Ethernet::split(frame).ok_or(Reason::Truncated)?;
    match ethernet.ethertype() {
        EtherType::IPV4 => read_ipv4(packet, lane),
        EtherType::IPV6 => read_ipv6(packet, lane),
        EtherType::ARP => read_arp(packet, lane),
        _ => Err(Reason::EthertypeUnsupported),
    }
}

fn read_arp(packet: &[u8], lane: &mut Headers) -> Result<(), Reason> {
    let arp = Arp::parse(packet).map_err(|_| Reason::MalformedArp)?;
    let ends = (u64::from(arp.sender_ip().to_bits()), u64::from(arp.target_ip().to_bits()));
    let hash = hash::symmetric(ends.0, ends.1, 0);
    *lane = Headers { network: Network::Arp, hash, ..Headers::default() };
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
    let end = |address: core::net::Ipv4Addr, port: u16| u64::from(address.to_bits()) << 16 | u64::from(port);
    let ends = (end(ip.source(), ports.source), end(ip.destination(), ports.destination));
    *lane = Headers {
        network: Network::Ipv4,
        protocol: ip.protocol(),
        fragment,
        tos: ip.tos(),
        transport: (ethernet::LEN + ip.header_len()) as u16,
        hash: hash::symmetric(ends.0, ends.1, ip.protocol()),
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
    let ports = transport(upper.protocol, fragment, upper.payload)?;
    let end = |address: core::net::Ipv6Addr, port: u16| {
        let bits = address.to_bits();
        hash::mix((bits >> 64) as u64, bits as u64 ^ u64::from(port))
    };
    let ends = (end(ip.source(), ports.source), end(ip.destination(), ports.destination));
    let extensions = payload.len() - upper.payload.len();
    *lane = Headers {
        network: Network::Ipv6,
        protocol: upper.protocol,
        fragment,
        tos: ip.traffic_class(),
        transport: (ethernet::LEN + ipv6::LEN + extensions) as u16,
        hash: hash::symmetric(ends.0, ends.1, upper.protocol),
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
