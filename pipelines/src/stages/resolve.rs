//! Finds the MAC of the underlay's next hop for an encapsulated packet, and sends it.

use crate::context::Context;
use crate::frame::Frame;
use crate::ids::{HopId, TunnelId};
use crate::overlay::neighbor::{Ask, Resolution};
use crate::sink::{Handed, Sink};
use crate::stages::account;
use crate::verdict::Reason;
use crate::wire::Mac;
use crate::wire::arp::{self, Operation};
use crate::wire::ethernet::{self, EtherType};

/// Sends `frame`, encapsulated for `tunnel`, to the tunnel's next hop, through the worker that owns the uplink.
pub fn resolve<F: Frame, S: Sink<F>>(context: &mut Context<'_, F, S>, tunnel: TunnelId, frame: F) {
    let hop = context.snapshot.tunnel(tunnel).hop;
    let uplink = context.snapshot.hop(hop).uplink;
    let owner = context.snapshot.port(uplink).worker;
    if owner != context.worker {
        return context.sink.hand_over(owner, Handed::IntoTunnel(tunnel, frame));
    }
    let (resolution, question) = context.neighbors.resolve(hop, tunnel, frame, context.now);
    match resolution {
        Resolution::Send(frame, mac) => send(context, hop, mac, frame),
        Resolution::Held => {}
        Resolution::Full(frame) => account::dropped(context, uplink, None, Reason::NeighborQueueFull, frame),
    }
    if let Some(question) = question {
        ask(context, question);
    }
}

/// Takes what is learnt of `hop`, and sends what waited for it.
pub fn learn<F: Frame, S: Sink<F>>(context: &mut Context<'_, F, S>, hop: HopId, mac: Mac) {
    for (_, frame) in context.neighbors.learn(hop, mac, context.now) {
        // A static hop has nothing waiting, so the MAC is the one that was learnt.
        send(context, hop, mac, frame);
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
    context.sink.transmit(hop.uplink, frame);
}

fn send<F: Frame, S: Sink<F>>(context: &mut Context<'_, F, S>, hop: HopId, mac: Mac, mut frame: F) {
    if let Some(destination) = frame.data_mut().first_chunk_mut::<6>() {
        *destination = mac.0;
    }
    context.sink.transmit(context.snapshot.hop(hop).uplink, frame);
}
