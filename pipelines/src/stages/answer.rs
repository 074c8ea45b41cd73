//! Answers what the underlay asks the switch itself: ARP and ping for our addresses.

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
use crate::wire::{Arp, Ethernet, Icmp, Ipv4, Mac};

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
        Ok(Answer::Reply) => context.sink.transmit(port, frame),
        Ok(Answer::Nothing) => {
            context.counters.consumed += 1;
            context.sink.discard(frame);
        }
        Err(reason) => account::dropped(context, port, None, reason, frame),
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
    let for_us = uplink.addresses.contains(&target);
    // RFC 826: a sender that is in the table is brought up to date, whatever the packet asks. Our table has only
    // the next hops; they are believed on their own link only, and not with a MAC that no interface may have.
    if let Some(hop) = context.snapshot.neighbors.find(Snapshot::address_key(sender.1))
        && context.snapshot.hop(hop).uplink == port
        && sender.0.is_unicast()
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
    if icmp.kind() != kind::ECHO || ethernet.destination() != uplink.mac {
        return Err(Reason::UnderlayUnwanted);
    }
    if !icmp::checksum_holds(message) {
        return Err(Reason::UnderlayChecksum);
    }
    let (asker, header_len): (Mac, usize) = (ethernet.source(), ip.header_len());
    if let Some((header, packet)) = frame.split_first_chunk_mut() {
        ethernet::write(header, asker, uplink.mac, EtherType::IPV4);
        // Source and destination change places, which the checksum does not notice.
        if let Some(addresses) = packet.get_mut(12..20) {
            addresses.rotate_left(4);
        }
        if let Some(header) = packet.get_mut(header_len..).and_then(|message| message.first_chunk_mut()) {
            icmp::echo_to_reply(header);
        }
    }
    Ok(Answer::Reply)
}
