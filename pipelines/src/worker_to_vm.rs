//! The end of the way to a guest, for packets that another worker received: the guest's own worker has its sessions.

use crate::batch::Batch;
use crate::context::Context;
use crate::frame::Frame;
use crate::ids::PortId;
use crate::qos::Tag;
use crate::sink::Sink;
use crate::stages::check_policy::{self, Opener};
use crate::stages::forward::Destination;
use crate::stages::{account, deliver, lookup_flow, parse};
use crate::verdict::Verdict;

/// Delivers the packets in `batch`, whose destinations are ports of this worker in the batch's segments.
pub fn worker_to_vm<F: Frame, S: Sink<F>>(context: &mut Context<'_, F, S>, batch: &mut Batch<F>) {
    // Parsed again: it costs less than to carry what was found from one core's cache to another's.
    parse::parse(batch);
    lookup_flow::lookup_flow(batch, context.snapshot, context.sessions, |_| true);
    context.see("lookup_flow", batch);
    // Each has a port; the opener's own is never asked for.
    check_policy::check_policy(context, batch, Opener::Other(PortId(u16::MAX)));
    context.see("check_policy", batch);
    for (i, frame) in batch.take().into_iter().enumerate() {
        let Destination::Port(port) = batch.destinations[i] else {
            debug_assert!(false, "handed over to nobody");
            context.sink.discard(frame);
            continue;
        };
        match batch.verdict(i) {
            Verdict::Drop(reason) => {
                let tenant = account::tenant_of(context, batch.segments[i]);
                account::dropped(context, port, tenant, reason, frame);
            }
            _ => deliver::deliver(context, port, Tag { tos: batch.headers[i].tos, ..batch.tags[i] }, frame),
        }
    }
}
