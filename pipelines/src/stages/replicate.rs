//! Brings a packet to several: a copy for each but the last, which gets the packet itself.

use crate::context::Context;
use crate::frame::Frame;
use crate::ids::{PortId, SegmentId};
use crate::sink::Sink;
use crate::stages::account;
use crate::verdict::Reason;

/// Calls `send` for each of `targets` with a copy of `frame`, or with `frame`; it came from `from` and is in `segment`.
pub fn replicate<F: Frame, S: Sink<F>, T: Copy>(
    context: &mut Context<'_, F, S>,
    (from, segment): (PortId, SegmentId),
    frame: F,
    mut targets: impl Iterator<Item = T>,
    mut send: impl FnMut(&mut Context<'_, F, S>, T, F),
) {
    let tenant = account::tenant_of(context, segment);
    let Some(mut target) = targets.next() else {
        return account::dropped(context, from, tenant, Reason::NoDestination, frame);
    };
    for next in targets {
        context.counters.replicated += 1;
        match frame.duplicate() {
            Some(copy) => send(context, target, copy),
            None => account::not_copied(context, from, tenant),
        }
        target = next;
    }
    send(context, target, frame);
}
