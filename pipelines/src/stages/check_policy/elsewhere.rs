//! Whether a packet goes to the guest that has its destination address.

use core::net::Ipv4Addr;

use crate::context::Context;
use crate::frame::Frame;
use crate::ids::PortId;
use crate::sink::Sink;
use crate::snapshot::{Guest, PortKind};
use crate::stages::forward::Destination;
use crate::stages::parse::{Headers, Network};
use crate::wire::ethernet;

/// Whether a packet goes to a guest of this worker that does not have its destination address.
///
/// Policy is asked about addresses and packets are delivered by MAC: both must mean the same endpoint.
pub(super) fn is_elsewhere<F: Frame, S: Sink<F>>(
    context: &Context<'_, F, S>,
    destination: Destination,
    frame: &F,
    headers: &Headers,
) -> bool {
    let Destination::Port(to) = destination else { return false };
    match headers.network {
        Network::Ipv4 => !has_address(context, to, headers.destination.address()),
        Network::Ipv6 => !has_address_v6(context, to, frame.data()),
        Network::Arp => false,
    }
}

/// Whether this is an address of the guest of `port`; of another worker's that is not to be said here.
#[inline(never)]
pub(super) fn has_address<F, S>(context: &Context<'_, F, S>, port: PortId, address: Ipv4Addr) -> bool {
    guest_here(context, port).is_none_or(|guest| guest.ipv4.contains(&address))
}

/// The same of the destination address of an IPv6 packet.
#[inline(never)]
fn has_address_v6<F, S>(context: &Context<'_, F, S>, port: PortId, frame: &[u8]) -> bool {
    const DESTINATION: usize = ethernet::LEN + 24;
    let address = frame.get(DESTINATION..).and_then(|rest| rest.first_chunk::<16>());
    let is_of = |guest: &Guest| address.is_some_and(|address| guest.ipv6.contains(&(*address).into()));
    guest_here(context, port).is_none_or(is_of)
}

/// The guest of `port`, if it is this worker's.
fn guest_here<'a, F, S>(context: &Context<'a, F, S>, port: PortId) -> Option<&'a Guest> {
    let port = context.snapshot.port(port);
    match &port.kind {
        PortKind::Guest(guest) if port.worker == context.worker => Some(guest),
        _ => None,
    }
}
