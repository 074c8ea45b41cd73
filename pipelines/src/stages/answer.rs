//! Answers what the underlay asks the switch itself: ARP and ping for our addresses.

use core::net::Ipv4Addr;

use crate::context::Context;
use crate::frame::Frame;
use crate::ids::PortId;
use crate::sink::Sink;
use crate::snapshot::{Snapshot, Uplink};
use crate::stages::{account, resolve};
use crate::verdict::Reason;
use crate::wire::arp::{self, Operation};
use crate::wire::ethernet::{self, EtherType};
use crate::wire::icmp::{self, kind};
use crate::wire::{Arp, Ethernet, Icmp, Ipv4, Mac, ipv4};
use crate::witness::Direction;

/// Time to live of a reply (RFC 1700).
const TTL: u8 = 64;

/// Answers `frame`, which `port`, an uplink, received and decap found to be for the switch.
pub fn answer<F: Frame, S: Sink<F>>(
    context: &mut Context<'_, F, S>,
    port: PortId,
    uplink: &Uplink,
    mut frame: F,
) {
    let is_arp =
        Ethernet::split(frame.data()).is_some_and(|(header, _)| header.ethertype() == EtherType::ARP);
    let done = if is_arp {
        take_arp(context, port, uplink, &mut frame)
    } else {
        reply_to_echo(uplink, frame.data_mut())
    };
    match done {
        Ok(Answer::Reply) => {
            context.counters.of_no_flow.add(frame.data().len());
            context.originate(port, frame);
        }
        Ok(Answer::Nothing) => {
            context.counters.consumed += 1;
            context.sink.discard(frame);
        }
        Err(reason) => {
            context.sink.eyes().lose(port, Direction::In, reason, &frame);
            account::dropped(context, port, None, reason, frame);
        }
    }
}

enum Answer {
    /// The frame has become the reply.
    Reply,
    /// The packet has told us what it had to.
    Nothing,
}

fn take_arp<F: Frame, S: Sink<F>>(
    context: &mut Context<'_, F, S>,
    port: PortId,
    uplink: &Uplink,
    frame: &mut F,
) -> Result<Answer, Reason> {
    let packet = frame.data().get(ethernet::LEN..).unwrap_or_default();
    let arp = Arp::parse(packet).map_err(|_| Reason::MalformedArp)?;
    let (operation, sender, target) = (arp.operation(), (arp.sender_mac(), arp.sender_ip()), arp.target_ip());
    // No interface has such a MAC: a reply to it would reach many, and a next hop believed to have it too.
    if !sender.0.is_unicast() {
        return Err(Reason::MalformedArp);
    }
    let for_us = uplink.addresses.contains(&target);
    // RFC 826: a sender that is in the table is brought up to date, whatever the packet asks. Our table has only
    // the next hops; they are believed on their own link only.
    if let Some(hop) = context.snapshot.neighbors.find(Snapshot::address_key(sender.1))
        && context.snapshot.hop(hop).uplink == port
    {
        resolve::learn(context, hop, sender.0);
    }
    match operation {
        Operation::Request if for_us => {
            let frame = frame.data_mut();
            if let Some((header, rest)) = frame.split_first_chunk_mut()
                && let Some(packet) = rest.first_chunk_mut()
            {
                ethernet::write(header, sender.0, uplink.mac, EtherType::ARP);
                arp::write(packet, Operation::Reply, (uplink.mac, target), sender);
            }
            Ok(Answer::Reply)
        }
        Operation::Reply if for_us => Ok(Answer::Nothing),
        _ => Err(Reason::UnderlayNotForUs),
    }
}

fn reply_to_echo(uplink: &Uplink, frame: &mut [u8]) -> Result<Answer, Reason> {
    let (ethernet, packet) = Ethernet::split(frame).ok_or(Reason::UnderlayMalformed)?;
    let (ip, message) = Ipv4::split(packet).map_err(|_| Reason::UnderlayMalformed)?;
    let (icmp, _) = Icmp::split(message).ok_or(Reason::UnderlayMalformed)?;
    if icmp.kind() != kind::ECHO {
        return Err(Reason::UnderlayUnwanted);
    }
    if !icmp::checksum_holds(message) {
        return Err(Reason::UnderlayChecksum);
    }
    let (asker, header_len): (Mac, usize) = (ethernet.source(), ip.header_len());
    if !asker.is_unicast() || !may_ask(ip.source(), uplink) {
        return Err(Reason::UnderlayMalformed);
    }
    if let Some((header, packet)) = frame.split_first_chunk_mut() {
        ethernet::write(header, asker, uplink.mac, EtherType::IPV4);
        if let Some(header) = packet.first_chunk_mut() {
            ipv4::turn_round(header, TTL);
        }
        if let Some(header) = packet.get_mut(header_len..).and_then(|message| message.first_chunk_mut()) {
            icmp::echo_to_reply(header);
        }
    }
    Ok(Answer::Reply)
}

/// Whether `source` is a host's address, another's than ours (RFC 1122, section 3.2.1.3): only such are answered.
fn may_ask(source: Ipv4Addr, uplink: &Uplink) -> bool {
    let of_no_host =
        source.is_unspecified() || source.is_broadcast() || source.is_multicast() || source.is_loopback();
    !of_no_host && !uplink.addresses.contains(&source)
}

#[cfg(test)]
mod tests {
    use core::net::IpAddr;

    use super::*;
    use crate::testing::frames::Outer;
    use crate::testing::lab::{host, port, vtep};
    use crate::testing::packets::{self, Operation::*, arp, padded};
    use crate::testing::{Bed, Lab};
    use crate::wire::ipv4::protocol;

    fn bed() -> Bed {
        Bed::new(&Lab::default(), host::HV_A)
    }

    /// What hv-a's uplink sends back.
    fn answered(frame: &[u8]) -> Result<Option<Vec<u8>>, Reason> {
        let sent = bed().receive_one(port::UPLINK, frame)?;
        assert!(sent.len() <= 1 && sent.iter().all(|(to, _)| *to == port::UPLINK), "{sent:?}");
        Ok(sent.into_iter().next().map(|(_, frame)| frame))
    }

    fn swapped((mac, ip): (Ipv4Addr, Mac)) -> (Mac, Ipv4Addr) {
        (ip, mac)
    }

    fn ping(outer: &Outer, data: &[u8]) -> Vec<u8> {
        outer.before(protocol::ICMP, &packets::icmp(kind::ECHO, 0, &[&[0, 7, 0, 1], data].concat()))
    }

    #[test]
    fn answers_arp_for_our_address() {
        let (us, them) = (swapped(vtep(0)), swapped(vtep(1)));
        let request = padded(arp(Request, them, (Mac::ZERO, us.1)));
        assert_eq!(answered(&request), Ok(Some(padded(arp(Reply, us, them)))));
        // A probe: RFC 5227 wants it answered, so that nobody takes our address.
        let probe = (them.0, Ipv4Addr::UNSPECIFIED);
        let request = arp(Request, probe, (Mac::ZERO, us.1));
        assert_eq!(answered(&request), Ok(Some(arp(Reply, us, probe))));
    }

    #[test]
    fn leaves_other_arp_unanswered() {
        let (us, them, third) = (swapped(vtep(0)), swapped(vtep(1)), swapped(vtep(2)));
        let broken = packets::ethernet(us.0, them.0, 0x0806, &[0; 28]);
        for (name, frame, expected) in [
            ("for another", arp(Request, them, (Mac::ZERO, third.1)), Err(Reason::UnderlayNotForUs)),
            ("gratuitous", arp(Request, them, (Mac::ZERO, them.1)), Err(Reason::UnderlayNotForUs)),
            ("reply", arp(Reply, them, us), Ok(None)),
            ("reply to another", arp(Reply, them, (us.0, third.1)), Err(Reason::UnderlayNotForUs)),
            ("malformed", broken, Err(Reason::MalformedArp)),
        ] {
            assert_eq!(answered(&frame), expected, "{name}");
        }
        let mut bed = bed();
        bed.receive(port::UPLINK, &[arp(Reply, them, us)]);
        assert_eq!(bed.counters().consumed, 1);
    }

    #[test]
    fn answers_nobody_whose_mac_is_a_group_s() {
        let (us, them) = (swapped(vtep(0)), swapped(vtep(1)));
        for mac in [Mac::BROADCAST, Mac::ZERO, Mac([0x33, 0x33, 0, 0, 0, 1])] {
            let request = arp(Request, (mac, them.1), (Mac::ZERO, us.1));
            assert_eq!(answered(&request), Err(Reason::MalformedArp), "{mac}");
            let echo = ping(&Outer { from: mac, ..Outer::new(host::HV_B) }, b"x");
            assert_eq!(answered(&echo), Err(Reason::UnderlayMalformed), "{mac}");
        }
    }

    #[test]
    fn answers_ping_byte_for_byte() {
        let outer = Outer::new(host::HV_B);
        for data in [&b""[..], b"0123456789abcdef", b"odd"] {
            let back = Outer { to: outer.from, from: outer.to, ends: (outer.ends.1, outer.ends.0), ..outer };
            let reply = packets::icmp(kind::ECHO_REPLY, 0, &[&[0, 7, 0, 1], data].concat());
            assert_eq!(answered(&ping(&outer, data)), Ok(Some(back.before(protocol::ICMP, &reply))));
        }
    }

    /// RFC 1122 section 3.2.1.7: the reply is a packet of our own, whatever way the echo came.
    #[test]
    fn a_ping_reply_has_a_time_to_live_of_its_own() {
        let mut echo = ping(&Outer::new(host::HV_B), b"traceroute");
        echo[14 + 8] = 1;
        packets::mend_ipv4(&mut echo);
        let reply = answered(&echo).unwrap().unwrap();
        let (ip, _) = Ipv4::split(&reply[14..]).unwrap();
        assert_eq!(ip.ttl(), 64);
        assert!(ip.checksum_holds());
    }

    #[test]
    fn leaves_other_icmp_unanswered() {
        let outer = Outer::new(host::HV_B);
        let source = |ip: [u8; 4]| Outer { ends: (IpAddr::from(ip), outer.ends.1), ..outer.clone() };
        let mut broken = ping(&outer, b"x");
        *broken.last_mut().unwrap() ^= 1;
        let unreachable = packets::icmp(3, 4, &[0; 36]);
        for (name, frame, expected) in [
            ("bad checksum", broken, Reason::UnderlayChecksum),
            (
                "broadcast",
                ping(&Outer { to: Mac::BROADCAST, ..outer.clone() }, b"x"),
                Reason::UnderlayNotForUs,
            ),
            ("unreachable", outer.before(protocol::ICMP, &unreachable), Reason::UnderlayUnwanted),
            ("cut short", outer.before(protocol::ICMP, &[8, 0, 0xf7]), Reason::UnderlayMalformed),
            // RFC 1122, section 3.2.1.3: no host has such an address, and a reply would reach many.
            ("from a broadcast", ping(&source([255; 4]), b"x"), Reason::UnderlayMalformed),
            ("from a group", ping(&source([224, 0, 0, 1]), b"x"), Reason::UnderlayMalformed),
            ("from nobody", ping(&source([0; 4]), b"x"), Reason::UnderlayMalformed),
            ("from ourselves", ping(&source(vtep(0).0.octets()), b"x"), Reason::UnderlayMalformed),
        ] {
            assert_eq!(answered(&frame), Err(expected), "{name}");
        }
    }
}
