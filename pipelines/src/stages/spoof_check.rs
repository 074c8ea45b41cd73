//! Holds a guest to its identity: MAC, addresses, ARP and neighbour discovery.

use core::net::Ipv4Addr;

use crate::batch::Batch;
use crate::frame::Frame;
use crate::snapshot::Guest;
use crate::stages::parse::{Fragment, Headers, Network};
use crate::verdict::Reason;
use crate::wire::arp::Operation;
use crate::wire::icmpv6::{Discovery, kind};
use crate::wire::ipv4::protocol;
use crate::wire::{Arp, Ethernet, Icmpv6, Ipv4, Ipv6, Udp};

/// Drops every passing packet that claims to be from another than `guest`.
pub fn spoof_check<F: Frame>(batch: &mut Batch<F>, guest: &Guest) {
    for i in batch.passing() {
        if let Err(reason) = check(batch.frame(i).data(), &batch.headers[i], guest) {
            batch.drop(i, reason);
        }
    }
}

fn check(frame: &[u8], headers: &Headers, guest: &Guest) -> Result<(), Reason> {
    let (ethernet, packet) = Ethernet::split(frame).ok_or(Reason::Truncated)?;
    if ethernet.source() != guest.mac {
        return Err(Reason::SpoofedMac);
    }
    match headers.network {
        Network::Ipv4 => check_ipv4(packet, headers, guest),
        Network::Ipv6 => check_ipv6(frame, packet, headers, guest),
        Network::Arp => check_arp(packet, guest),
    }
}

fn check_ipv4(packet: &[u8], headers: &Headers, guest: &Guest) -> Result<(), Reason> {
    let (ip, payload) = Ipv4::split(packet).map_err(|_| Reason::MalformedIpv4)?;
    if guest.ipv4.contains(&ip.source()) {
        return Ok(());
    }
    // A guest that has no address yet asks for one (RFC 2131, section 4.1).
    let asks_for_address = ip.source() == Ipv4Addr::UNSPECIFIED
        && ip.destination() == Ipv4Addr::BROADCAST
        && (headers.protocol, headers.fragment) == (protocol::UDP, Fragment::Whole)
        && Udp::split(payload).is_ok_and(|(udp, _)| (udp.source_port(), udp.destination_port()) == (68, 67));
    if asks_for_address { Ok(()) } else { Err(Reason::SpoofedIp) }
}

fn check_arp(packet: &[u8], guest: &Guest) -> Result<(), Reason> {
    let arp = Arp::parse(packet).map_err(|_| Reason::MalformedArp)?;
    // A probe asks whether an address is in use before it claims it (RFC 5227, section 2.1.1).
    let probe = arp.sender_ip() == Ipv4Addr::UNSPECIFIED && arp.operation() == Operation::Request;
    let holds = arp.sender_mac() == guest.mac && (probe || guest.ipv4.contains(&arp.sender_ip()));
    if holds { Ok(()) } else { Err(Reason::SpoofedArp) }
}

fn check_ipv6(frame: &[u8], packet: &[u8], headers: &Headers, guest: &Guest) -> Result<(), Reason> {
    let (ip, _) = Ipv6::split(packet).map_err(|_| Reason::MalformedIpv6)?;
    let source = ip.source();
    // Without an address yet, a guest checks for duplicates, asks for routers and joins groups (RFC 4862, RFC 3810).
    let unspecified = source.is_unspecified() && headers.protocol == protocol::ICMPV6;
    if !unspecified && !guest.ipv6.contains(&source) {
        return Err(Reason::SpoofedIp);
    }
    if headers.protocol == protocol::ICMPV6 && headers.fragment != Fragment::Later {
        let payload = frame.get(usize::from(headers.transport)..).unwrap_or_default();
        let end = crate::wire::ethernet::LEN + crate::wire::ipv6::LEN + ip.payload_len();
        let payload = payload.get(..end - usize::from(headers.transport)).unwrap_or(payload);
        check_discovery(payload, headers.fragment, guest)?;
    }
    Ok(())
}

fn check_discovery(message: &[u8], fragment: Fragment, guest: &Guest) -> Result<(), Reason> {
    let (icmp, rest) = Icmpv6::split(message).ok_or(Reason::MalformedIcmp)?;
    match icmp.kind() {
        kind::ROUTER_ADVERTISEMENT | kind::REDIRECT => Err(Reason::RogueRouter),
        kind::ROUTER_SOLICITATION | kind::NEIGHBOR_SOLICITATION | kind::NEIGHBOR_ADVERTISEMENT => {
            // A fragmented one would hide what it claims; nobody may accept it (RFC 6980, section 5).
            if fragment != Fragment::Whole {
                return Err(Reason::SpoofedNd);
            }
            let discovery = Discovery::parse(icmp.kind(), rest).map_err(|_| Reason::MalformedIcmp)?;
            let own_mac = discovery.link_layer.is_none_or(|mac| mac == guest.mac);
            let own_target = icmp.kind() != kind::NEIGHBOR_ADVERTISEMENT
                || discovery.target.is_some_and(|target| guest.ipv6.contains(&target));
            if own_mac && own_target { Ok(()) } else { Err(Reason::SpoofedNd) }
        }
        _ => Ok(()),
    }
}
