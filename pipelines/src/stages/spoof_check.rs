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
use crate::wire::{Arp, Ethernet, Icmpv6, Ipv4, Ipv6, Udp, ethernet, ipv6};

/// Drops every passing packet that claims to be from another than `guest`.
pub fn spoof_check<F: Frame>(batch: &mut Batch<F>, guest: &Guest) {
    // Most packets are IPv4, from the guest's first address.
    let (plain, mac, address) = (batch.plain, guest.mac.to_bits(), guest.ipv4.first().copied());
    for i in batch.passing() {
        let (headers, link) = (&batch.headers[i], &batch.links[i]);
        if link.source == mac {
            if headers.network == Network::Ipv4 && address == Some(headers.source.address()) {
                continue;
            }
            if plain.v6 >> i & 1 != 0 && is_from_v6(batch.frame(i).data(), guest) {
                continue;
            }
        }
        if let Err(reason) = check(batch.frame(i).data(), headers, guest) {
            batch.drop(i, reason);
        }
    }
}

/// Whether an IPv6 packet is from an address of `guest`'s.
fn is_from_v6(frame: &[u8], guest: &Guest) -> bool {
    const SOURCE: usize = ethernet::LEN + 8;
    let source = frame.get(SOURCE..).and_then(|rest| rest.first_chunk::<16>());
    source.is_some_and(|source| guest.ipv6.iter().any(|address| address.octets() == *source))
}

#[inline(never)]
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
    if guest.ipv4.contains(&headers.source.address()) { Ok(()) } else { check_unspecified(packet, headers) }
}

#[cold]
fn check_unspecified(packet: &[u8], headers: &Headers) -> Result<(), Reason> {
    let (ip, payload) = Ipv4::split(packet).map_err(|_| Reason::MalformedIpv4)?;
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
    let is_icmp = headers.protocol == protocol::ICMPV6 && headers.fragment != Fragment::Later;
    let message = if is_icmp { icmp_message(frame, headers, ip) } else { &[] };
    let may_be_unspecified = || ip.source().is_unspecified() && needs_no_address(message);
    if !(guest.ipv6.contains(&ip.source()) || may_be_unspecified()) {
        return Err(Reason::SpoofedIp);
    }
    if is_icmp { check_discovery(message, headers.fragment, guest) } else { Ok(()) }
}

fn icmp_message<'a>(frame: &'a [u8], headers: &Headers, ip: Ipv6<'_>) -> &'a [u8] {
    let end = ethernet::LEN + ipv6::LEN + ip.payload_len();
    frame.get(usize::from(headers.transport)..end).unwrap_or_default()
}

/// What a guest sends that has no address yet: it checks for duplicates and asks for routers (RFC 4862), and
/// joins groups (RFC 3590, RFC 3810 section 5.2.13).
fn needs_no_address(message: &[u8]) -> bool {
    Icmpv6::split(message).is_some_and(|(icmp, _)| {
        matches!(
            icmp.kind(),
            kind::NEIGHBOR_SOLICITATION
                | kind::ROUTER_SOLICITATION
                | kind::MLD_REPORT
                | kind::MLD_DONE
                | kind::MLD_REPORT_V2
        )
    })
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
            let own_mac = discovery.link_layers().all(|mac| mac == guest.mac);
            let own_target = icmp.kind() != kind::NEIGHBOR_ADVERTISEMENT
                || discovery.target.is_some_and(|target| guest.ipv6.contains(&target));
            if own_mac && own_target { Ok(()) } else { Err(Reason::SpoofedNd) }
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use core::net::{IpAddr, Ipv6Addr};

    use super::*;
    use crate::testing::frames::{ends4, icmp6, udp4, udp6};
    use crate::testing::lab::endpoint::{DB1, WEB1, WEB2};
    use crate::testing::lab::{host, ipv4, ipv6, link_local, mac, port};
    use crate::testing::packets::{self, arp, discovery, extension, fragment, frame, link_layer};
    use crate::testing::{Bed, Lab};
    use crate::wire::Mac;
    use crate::wire::icmpv6::kind::*;

    const ALL_NODES: Mac = Mac([0x33, 0x33, 0, 0, 0, 1]);

    /// What becomes of a frame that blue/web1 sends.
    fn sent_by_web1(frame: &[u8]) -> Result<(), Reason> {
        let mut bed = Bed::new(&Lab::default(), host::HV_A);
        bed.receive_one(port::BLUE_WEB1, frame).map(|sent| assert!(!sent.is_empty()))
    }

    fn all_nodes() -> IpAddr {
        Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1).into()
    }

    fn icmp_from(source: impl Into<IpAddr>, kind: u8, rest: &[u8]) -> Vec<u8> {
        icmp6(ALL_NODES, WEB1, (source.into(), all_nodes()), kind, rest)
    }

    fn dhcp(source: &str, destination: &str, from: u16, to: u16) -> Vec<u8> {
        let ends = (source.parse().unwrap(), destination.parse().unwrap());
        frame(Mac::BROADCAST, mac(WEB1), ends, protocol::UDP, &packets::udp(ends, from, to, b"discover"))
    }

    #[test]
    fn holds_a_guest_to_its_mac_and_addresses() {
        let spoofed = |frame: Vec<u8>, source| [&frame[..6], &mac(source).0, &frame[12..]].concat();
        for (frame, expected) in [
            (udp4(WEB1, WEB2, b"x"), Ok(())),
            (udp6(WEB1, WEB2, b"x"), Ok(())),
            (spoofed(udp4(WEB1, WEB2, b"x"), WEB2), Err(Reason::SpoofedMac)),
            (spoofed(udp6(WEB1, WEB2, b"x"), DB1), Err(Reason::SpoofedMac)),
            (spoofed(udp4(WEB2, DB1, b"x"), WEB1), Err(Reason::SpoofedIp)),
            (spoofed(udp6(WEB2, DB1, b"x"), WEB1), Err(Reason::SpoofedIp)),
        ] {
            assert_eq!(sent_by_web1(&frame), expected, "{frame:02x?}");
        }
    }

    #[test]
    fn lets_a_guest_without_an_address_ask_for_one_and_nothing_else() {
        for (frame, expected) in [
            (dhcp("0.0.0.0", "255.255.255.255", 68, 67), Ok(())),
            (dhcp("0.0.0.0", "255.255.255.255", 68, 53), Err(Reason::SpoofedIp)),
            (dhcp("0.0.0.0", "255.255.255.255", 67, 68), Err(Reason::SpoofedIp)),
            (dhcp("0.0.0.0", "10.1.0.12", 68, 67), Err(Reason::SpoofedIp)),
            (dhcp("10.1.0.99", "255.255.255.255", 68, 67), Err(Reason::SpoofedIp)),
        ] {
            assert_eq!(sent_by_web1(&frame), expected, "{frame:02x?}");
        }
    }

    #[test]
    fn holds_arp_to_the_endpoint() {
        use packets::Operation::{Reply, Request};
        let (zero, ours, web2) = (Ipv4Addr::UNSPECIFIED, (mac(WEB1), ipv4(WEB1)), (mac(WEB2), ipv4(WEB2)));
        let claimed = |sender| packets::arp_packet(Request, sender, (Mac::ZERO, ipv4(WEB2)));
        let from_ours = |sender| packets::ethernet(Mac::BROADCAST, mac(WEB1), 0x0806, &claimed(sender));
        for (name, frame, expected) in [
            ("request", arp(Request, ours, (Mac::ZERO, ipv4(WEB2))), Ok(())),
            ("reply", arp(Reply, ours, web2), Ok(())),
            ("gratuitous", arp(Request, ours, (Mac::ZERO, ipv4(WEB1))), Ok(())),
            ("gratuitous reply", arp(Reply, ours, (Mac::BROADCAST, ipv4(WEB1))), Ok(())),
            ("probe", arp(Request, (mac(WEB1), zero), (Mac::ZERO, ipv4(WEB2))), Ok(())),
            ("reply with no address", arp(Reply, (mac(WEB1), zero), web2), Err(Reason::SpoofedArp)),
            ("sender's mac", from_ours((mac(WEB2), ipv4(WEB1))), Err(Reason::SpoofedArp)),
            ("probe with another's mac", from_ours((mac(WEB2), zero)), Err(Reason::SpoofedArp)),
            ("sender's address", from_ours((mac(WEB1), ipv4(WEB2))), Err(Reason::SpoofedArp)),
            ("frame's mac", arp(Request, web2, (Mac::ZERO, ipv4(WEB1))), Err(Reason::SpoofedMac)),
        ] {
            assert_eq!(sent_by_web1(&frame), expected, "{name}");
        }
    }

    #[test]
    fn holds_neighbor_discovery_to_the_endpoint() {
        let (own, other) = (link_layer(2, mac(WEB1)), link_layer(2, mac(WEB2)));
        let advertises = |target, options: &[u8]| {
            icmp_from(ipv6(WEB1), NEIGHBOR_ADVERTISEMENT, &discovery(target, options))
        };
        let solicits =
            |options: &[u8]| icmp_from(ipv6(WEB1), NEIGHBOR_SOLICITATION, &discovery(ipv6(WEB2), options));
        for (name, frame, expected) in [
            ("advertises its own", advertises(ipv6(WEB1), &own), Ok(())),
            ("without an option", advertises(link_local(WEB1), &[]), Ok(())),
            ("another's address", advertises(ipv6(WEB2), &own), Err(Reason::SpoofedNd)),
            ("another's mac", advertises(ipv6(WEB1), &other), Err(Reason::SpoofedNd)),
            ("solicits", solicits(&link_layer(1, mac(WEB1))), Ok(())),
            ("solicits for another", solicits(&link_layer(1, mac(WEB2))), Err(Reason::SpoofedNd)),
            (
                "an unknown option, then its own",
                solicits(&[&[14, 1, 0, 0, 0, 0, 0, 0], &own[..]].concat()),
                Ok(()),
            ),
            ("an option of no length", solicits(&[1, 0, 0, 0, 0, 0, 0, 0]), Err(Reason::MalformedIcmp)),
            ("an option cut short", solicits(&own[..6]), Err(Reason::MalformedIcmp)),
            ("no target", icmp_from(ipv6(WEB1), NEIGHBOR_SOLICITATION, &[0; 10]), Err(Reason::MalformedIcmp)),
            (
                "asks for routers as another",
                icmp_from(ipv6(WEB1), ROUTER_SOLICITATION, &[&[0; 4], &other[..]].concat()),
                Err(Reason::SpoofedNd),
            ),
        ] {
            assert_eq!(sent_by_web1(&frame), expected, "{name}");
        }
    }

    /// Receivers differ in which of two options they believe, so both must be the sender's.
    #[test]
    fn one_honest_link_layer_option_does_not_cover_for_another() {
        let (own, other) = (link_layer(2, mac(WEB1)), link_layer(2, mac(WEB2)));
        let source = link_layer(1, mac(WEB2));
        for options in
            [[&other[..], &own].concat(), [&own[..], &other].concat(), [&source[..], &own].concat()]
        {
            let frame = icmp_from(ipv6(WEB1), NEIGHBOR_ADVERTISEMENT, &discovery(ipv6(WEB1), &options));
            assert_eq!(sent_by_web1(&frame), Err(Reason::SpoofedNd), "{options:02x?}");
        }
    }

    #[test]
    fn a_link_layer_option_of_another_length_is_malformed() {
        let long = [&[2, 2][..], &mac(WEB2).0, &[0; 8]].concat();
        let frame = icmp_from(ipv6(WEB1), NEIGHBOR_ADVERTISEMENT, &discovery(ipv6(WEB1), &long));
        assert_eq!(sent_by_web1(&frame), Err(Reason::MalformedIcmp));
    }

    #[test]
    fn guests_are_no_routers() {
        for kind in [ROUTER_ADVERTISEMENT, REDIRECT] {
            assert_eq!(sent_by_web1(&icmp_from(link_local(WEB1), kind, &[0; 36])), Err(Reason::RogueRouter));
        }
    }

    #[test]
    fn extension_headers_hide_nothing() {
        let ends = (link_local(WEB1).into(), all_nodes());
        let advertisement = packets::icmpv6(ends, ROUTER_ADVERTISEMENT, &[0; 12]);
        let behind = |next, payload: &[u8]| frame(ALL_NODES, mac(WEB1), ends, next, payload);
        let options = packets::extended(protocol::ICMPV6, &advertisement);
        for (name, frame, expected) in [
            ("hop by hop", behind(extension::HOP_BY_HOP, &options), Err(Reason::RogueRouter)),
            ("destination", behind(extension::DESTINATION, &options), Err(Reason::RogueRouter)),
            (
                "two",
                behind(extension::HOP_BY_HOP, &packets::extended(extension::DESTINATION, &options)),
                Err(Reason::RogueRouter),
            ),
            (
                "an atomic fragment",
                behind(extension::FRAGMENT, &fragment(protocol::ICMPV6, 0, false, &advertisement)),
                Err(Reason::RogueRouter),
            ),
            (
                "a first fragment",
                behind(extension::FRAGMENT, &fragment(protocol::ICMPV6, 0, true, &advertisement)),
                Err(Reason::RogueRouter),
            ),
            (
                "a first fragment that ends before the message",
                behind(extension::FRAGMENT, &fragment(extension::DESTINATION, 0, true, &options[..8])),
                Err(Reason::MalformedIcmp),
            ),
        ] {
            assert_eq!(sent_by_web1(&frame), expected, "{name}");
        }
    }

    #[test]
    fn discovery_does_not_come_in_fragments() {
        let ends = (ipv6(WEB1).into(), all_nodes());
        let body = discovery(ipv6(WEB1), &[]);
        let message =
            fragment(protocol::ICMPV6, 0, true, &packets::icmpv6(ends, NEIGHBOR_ADVERTISEMENT, &body));
        let frame = frame(ALL_NODES, mac(WEB1), ends, extension::FRAGMENT, &message);
        assert_eq!(sent_by_web1(&frame), Err(Reason::SpoofedNd));
    }

    /// RFC 4862 section 5.4.2, RFC 4861 section 4.1, RFC 3590 section 4: only these come from `::`.
    #[test]
    fn an_unspecified_source_checks_for_duplicates_asks_for_routers_and_joins_groups() {
        const MLD_QUERY: u8 = 130;
        let solicitation = discovery(ipv6(WEB1), &[]);
        for (kind, rest, expected) in [
            (NEIGHBOR_SOLICITATION, &solicitation[..], Ok(())),
            (ROUTER_SOLICITATION, &[0; 4], Ok(())),
            (MLD_REPORT, &[0; 20], Ok(())),
            (MLD_DONE, &[0; 20], Ok(())),
            (MLD_REPORT_V2, &[0; 4], Ok(())),
            (NEIGHBOR_ADVERTISEMENT, &solicitation, Err(Reason::SpoofedIp)),
            (ECHO_REQUEST, &[0; 4], Err(Reason::SpoofedIp)),
            (MLD_QUERY, &[0; 20], Err(Reason::SpoofedIp)),
        ] {
            assert_eq!(sent_by_web1(&icmp_from(Ipv6Addr::UNSPECIFIED, kind, rest)), expected, "{kind}");
        }
        let ends = (Ipv6Addr::UNSPECIFIED.into(), all_nodes());
        let later = fragment(protocol::ICMPV6, 2, false, &[0; 16]);
        let later = frame(ALL_NODES, mac(WEB1), ends, extension::FRAGMENT, &later);
        assert_eq!(sent_by_web1(&later), Err(Reason::SpoofedIp));
        let datagram = packets::udp(ends, 546, 547, b"x");
        let datagram = frame(ALL_NODES, mac(WEB1), ends, protocol::UDP, &datagram);
        assert_eq!(sent_by_web1(&datagram), Err(Reason::SpoofedIp));
    }

    #[test]
    fn later_fragments_of_its_own_pass() {
        let ends = ends4(WEB1, WEB2);
        let shape = packets::Shape { offset: 3, ..Default::default() };
        let packet = packets::ipv4_with(ipv4(WEB1), ipv4(WEB2), protocol::UDP, &[9; 16], shape);
        assert_eq!(sent_by_web1(&packets::ethernet(mac(WEB2), mac(WEB1), 0x0800, &packet)), Ok(()));
        let whole = packets::udp(ends, 1, 2, &[0; 32]);
        let shape = packets::Shape { more: true, ..Default::default() };
        let packet = packets::ipv4_with(ipv4(WEB1), ipv4(WEB2), protocol::UDP, &whole[..24], shape);
        assert_eq!(sent_by_web1(&packets::ethernet(mac(WEB2), mac(WEB1), 0x0800, &packet)), Ok(()));
    }
}
