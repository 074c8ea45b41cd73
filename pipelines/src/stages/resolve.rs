//! Finds the MAC of the underlay's next hop for an encapsulated packet, and sends it.

use crate::context::Context;
use crate::frame::Frame;
use crate::ids::{HopId, PortId, TunnelId};
use crate::overlay::neighbor::Ask;
use crate::qos::Tag;
use crate::sink::{Handed, Sink};
use crate::stages::account;
use crate::verdict::Reason;
use crate::wire::Mac;
use crate::wire::arp::{self, Operation};
use crate::wire::ethernet::{self, EtherType};
use crate::witness::Direction;

/// The way that a tunnel's packets take, once it is known: for a burst at most.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    tunnel: TunnelId,
    uplink: PortId,
    mac: Mac,
}

/// Sends `frame`, encapsulated for `tunnel`, to the tunnel's next hop, through the worker that owns the uplink. `way` is
/// the way that an earlier packet of the burst took, to begin with none.
#[inline]
pub fn resolve<F: Frame, S: Sink<F>>(
    context: &mut Context<'_, F, S>,
    way: &mut Option<Way>,
    tunnel: TunnelId,
    tag: Tag,
    frame: F,
) {
    match way {
        Some(known) if known.tunnel == tunnel => send(context, known.uplink, known.mac, tag, frame),
        _ => *way = find(context, tunnel, tag, frame),
    }
}

/// Finds the way, and sends the first packet. Returns the way, if others can take it without being looked at.
#[inline(never)]
fn find<F: Frame, S: Sink<F>>(
    context: &mut Context<'_, F, S>,
    tunnel: TunnelId,
    tag: Tag,
    frame: F,
) -> Option<Way> {
    let hop = context.snapshot.tunnel(tunnel).hop;
    let uplink = context.snapshot.hop(hop).uplink;
    let owner = context.snapshot.port(uplink).worker;
    if owner != context.worker {
        context.sink.hand_over(owner, Handed::IntoTunnel(tunnel, tag, frame));
        return None;
    }
    let Some((mac, confirm)) = context.neighbors.find(hop, context.now) else {
        hold(context, uplink, hop, tag, frame);
        return None;
    };
    send(context, uplink, mac, tag, frame);
    if confirm && let Some(question) = context.neighbors.confirm(hop, context.now) {
        ask(context, question);
    }
    Some(Way { tunnel, uplink, mac })
}

/// Keeps a packet for a hop that has to be asked first.
#[inline(never)]
fn hold<F: Frame, S: Sink<F>>(
    context: &mut Context<'_, F, S>,
    uplink: PortId,
    hop: HopId,
    tag: Tag,
    frame: F,
) {
    let (held, question) = context.neighbors.hold(hop, (tag, frame), context.now);
    if let Err((_, frame)) = held {
        account::lost(context.snapshot, context.counters, uplink, Reason::NeighborQueueFull, &frame);
        context.sink.eyes().lose(uplink, Direction::Out, Reason::NeighborQueueFull, &frame);
        context.sink.discard(frame);
    }
    if let Some(question) = question {
        ask(context, question);
    }
}

/// Takes what is learnt of `hop`, and sends what waited for it.
pub fn learn<F: Frame, S: Sink<F>>(context: &mut Context<'_, F, S>, hop: HopId, mac: Mac) {
    let uplink = context.snapshot.hop(hop).uplink;
    for (tag, frame) in context.neighbors.learn(hop, mac, context.now) {
        // A static hop has nothing waiting, so the MAC is the one that was learnt.
        send(context, uplink, mac, tag, frame);
    }
}

/// Sends an ARP request.
pub fn ask<F: Frame, S: Sink<F>>(context: &mut Context<'_, F, S>, question: Ask) {
    let hop = context.snapshot.hop(question.hop);
    let Some(uplink) = context.snapshot.uplink(hop.uplink) else { return };
    // With no buffer to be had the next try asks.
    let Some(mut frame) = context.sink.allocate() else { return };
    if !frame.prepend(ethernet::MIN_FRAME) {
        return context.sink.discard(frame);
    }
    let data = frame.data_mut();
    data.fill(0);
    if let Some((header, rest)) = data.split_first_chunk_mut()
        && let Some(packet) = rest.first_chunk_mut()
    {
        ethernet::write(header, question.mac, uplink.mac, EtherType::ARP);
        arp::write(packet, Operation::Request, (uplink.mac, hop.source), (Mac::ZERO, hop.ip));
    }
    context.counters.originated += 1;
    context.originate(hop.uplink, frame);
}

#[inline(always)]
fn send<F: Frame, S: Sink<F>>(
    context: &mut Context<'_, F, S>,
    uplink: PortId,
    mac: Mac,
    tag: Tag,
    mut frame: F,
) {
    if let Some(destination) = frame.data_mut().first_chunk_mut::<6>() {
        *destination = mac.0;
    }
    if let Some(frame) = context.gather(uplink, frame) {
        context.queue_to_fabric(uplink, tag, frame);
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;
    use crate::overlay::neighbor::HELD;
    use crate::testing::bed::Sent;
    use crate::testing::frames::udp4;
    use crate::testing::lab::endpoint::{DB2, WEB1, WEB2};
    use crate::testing::lab::{host, port, vtep};
    use crate::testing::packets::{self, padded};
    use crate::testing::{Bed, Lab};

    const SECOND: Duration = Duration::from_secs(1);

    fn bed() -> Bed {
        Bed::new(&Lab::default(), host::HV_A)
    }

    /// `count` datagrams to an endpoint of hv-c, told apart by their last byte.
    fn numbered(count: usize) -> Vec<Vec<u8>> {
        (0..count).map(|n| udp4(WEB1, DB2, &[n as u8])).collect()
    }

    fn question() -> (crate::ids::PortId, Vec<u8>) {
        let ((ours, our_mac), (theirs, _)) = (vtep(0), vtep(2));
        let request = packets::arp(packets::Operation::Request, (our_mac, ours), (Mac::ZERO, theirs));
        (port::UPLINK, padded(request))
    }

    fn reply() -> Vec<u8> {
        let ((ours, our_mac), (theirs, their_mac)) = (vtep(0), vtep(2));
        packets::arp(packets::Operation::Reply, (their_mac, theirs), (our_mac, ours))
    }

    fn numbers(sent: &Sent) -> Vec<u8> {
        sent.iter().map(|(_, frame)| *frame.last().unwrap()).collect()
    }

    #[test]
    fn holds_asks_and_releases_in_order() {
        let mut bed = bed();
        assert_eq!(bed.receive(port::BLUE_WEB1, &numbered(3)), [question()]);
        assert_eq!((bed.held(), bed.counters().originated), (3, 1));
        let sent = bed.receive(port::UPLINK, &[reply()]);
        assert_eq!(numbers(&sent), [0, 1, 2]);
        assert!(sent.iter().all(|(to, frame)| *to == port::UPLINK && frame[..6] == vtep(2).1.0));
        assert_eq!(numbers(&bed.receive(port::BLUE_WEB1, &numbered(5)[3..])), [3, 4]);
    }

    #[test]
    fn learns_from_a_request_as_from_a_reply() {
        let mut bed = bed();
        bed.receive(port::BLUE_WEB1, &numbered(1));
        let ((ours, our_mac), (theirs, their_mac)) = (vtep(0), vtep(2));
        let request = packets::arp(packets::Operation::Request, (their_mac, theirs), (Mac::ZERO, ours));
        let sent = bed.receive(port::UPLINK, &[request]);
        let reply = packets::arp(packets::Operation::Reply, (our_mac, ours), (their_mac, theirs));
        assert_eq!(sent.len(), 2);
        assert_eq!((numbers(&sent)[0], &sent[1].1), (0, &reply));
    }

    #[test]
    fn does_not_learn_a_mac_that_no_interface_may_have() {
        let mut bed = bed();
        bed.receive(port::BLUE_WEB1, &numbered(1));
        for mac in [Mac::BROADCAST, Mac::ZERO] {
            let claim = (mac, vtep(2).0);
            let sent = bed.receive(
                port::UPLINK,
                &[packets::arp(packets::Operation::Reply, claim, (vtep(0).1, vtep(0).0))],
            );
            assert!(sent.is_empty());
        }
        assert_eq!(bed.held(), 1);
    }

    /// What the tenant lost that sends: its packets are told apart by the VNI in front of them.
    fn blue_drops(bed: &Bed, reason: Reason) -> u64 {
        let (counters, blue) = (bed.counters(), bed.snapshot.tenant(port::BLUE_WEB1).unwrap());
        counters.tenants[blue.index()].drops.count(reason)
    }

    #[test]
    fn drops_what_finds_the_queue_full() {
        let mut bed = bed();
        bed.receive(port::BLUE_WEB1, &numbered(HELD + 2));
        assert_eq!(bed.held(), HELD as u64);
        assert_eq!(bed.drops(port::UPLINK, Reason::NeighborQueueFull), 2);
        assert_eq!(blue_drops(&bed, Reason::NeighborQueueFull), 2);
        assert_eq!(bed.receive(port::UPLINK, &[reply()]).len(), HELD);
    }

    #[test]
    fn asks_again_and_gives_up_in_the_end() {
        let mut bed = bed();
        bed.receive(port::BLUE_WEB1, &numbered(2));
        assert_eq!(bed.wait(SECOND / 2), []);
        assert_eq!(bed.wait(SECOND / 2), [question()]);
        assert_eq!(bed.wait(SECOND), [question()]);
        assert_eq!(bed.wait(SECOND), []);
        assert_eq!(bed.drops(port::UPLINK, Reason::NeighborUnresolved), 2);
        assert_eq!(blue_drops(&bed, Reason::NeighborUnresolved), 2);
        assert_eq!((bed.held(), bed.counters().originated), (0, 3));
    }

    #[test]
    fn without_a_buffer_the_next_try_asks() {
        let mut bed = bed();
        bed.pool.limit(Some(0));
        assert_eq!(bed.receive(port::BLUE_WEB1, &numbered(1)), []);
        bed.pool.limit(None);
        assert_eq!(bed.wait(SECOND), [question()]);
    }

    #[test]
    fn what_waits_when_the_switch_stops_is_counted() {
        let mut bed = bed();
        bed.receive(port::BLUE_WEB1, &numbered(3));
        assert_eq!(bed.stop(), []);
        assert_eq!(bed.drops(port::UPLINK, Reason::Stopping), 3);
    }

    #[test]
    fn steady_traffic_never_waits_while_the_neighbor_answers() {
        let mut bed = bed();
        bed.receive(port::BLUE_WEB1, &numbered(1));
        bed.receive(port::UPLINK, &[reply()]);
        for _ in 0..200 {
            bed.wait(SECOND);
            let sent = bed.receive(port::BLUE_WEB1, &numbered(1));
            assert_eq!(numbers(&sent)[0], 0);
            if sent.len() > 1 {
                bed.receive(port::UPLINK, &[reply()]);
            }
        }
        assert!(bed.counters().originated < 10);
    }

    #[test]
    fn the_worker_of_the_uplink_resolves() {
        let mut bed = Bed::new(&Lab::on_workers(2), host::HV_A);
        assert_eq!(bed.receive(port::BLUE_WEB1, &numbered(2)), [question()]);
        assert_eq!((bed.handed_over(), bed.planes[1].held()), (2, 2));
        assert_eq!(numbers(&bed.receive(port::UPLINK, &[reply()])), [0, 1]);
        // web2 is the uplink's worker's own.
        bed.receive(port::BLUE_WEB2, &[udp4(WEB2, DB2, b"x")]);
        assert_eq!(bed.handed_over(), 2);
    }
}
