//! The way of a guest's packet to another host, from where it parts from the packets that stay.

use crate::batch::Batch;
use crate::context::Context;
use crate::frame::Frame;
use crate::ids::PortId;
use crate::sink::Sink;
use crate::snapshot::Guest;
use crate::stages::forward::Destination;
use crate::stages::{account, encap, resolve};
use crate::verdict::Verdict;

/// Sends the packets in `batch`, which `port` received, which is `guest`'s, and forward found tunnels for, into the fabric.
pub fn vm_to_fabric<F: Frame, S: Sink<F>>(
    context: &mut Context<'_, F, S>,
    port: PortId,
    guest: &Guest,
    batch: &mut Batch<F>,
) {
    encap::encap(batch, context.snapshot, guest, |tunnel, inner| {
        account::encapsulated(context, guest.tenant, tunnel, inner);
    });
    context.see("encap", batch);
    let mut way = None;
    for (i, frame) in batch.take().into_iter().enumerate() {
        match (batch.verdict(i), batch.destinations[i]) {
            (Verdict::Drop(reason), _) => account::dropped(context, port, Some(guest.tenant), reason, frame),
            (_, Destination::Tunnel(tunnel)) => {
                resolve::resolve(context, &mut way, tunnel, batch.tags[i], frame);
            }
            _ => {
                debug_assert!(false, "it stays here");
                context.sink.discard(frame);
            }
        }
    }
}
