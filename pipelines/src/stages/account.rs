//! Counts what came in and what goes no further.

use crate::batch::Batch;
use crate::context::Context;
use crate::frame::Frame;
use crate::ids::{PortId, SegmentId, TenantId, TunnelId};
use crate::overlay::template;
use crate::sink::Sink;
use crate::verdict::Reason;

/// Counts the packets that `port` received.
pub fn received<F: Frame, S: Sink<F>>(context: &mut Context<'_, F, S>, port: PortId, batch: &Batch<F>) {
    let rx = &mut context.counters.port(port).rx;
    batch.frames().iter().for_each(|frame| rx.add(frame.data().len()));
}

/// Counts a packet, with its outer headers, that goes into `tunnel`.
pub fn encapsulated<F: Frame, S: Sink<F>>(
    context: &mut Context<'_, F, S>,
    tunnel: TunnelId,
    tenant: Option<TenantId>,
    frame: &F,
) {
    let bytes = frame.data().len();
    context.counters.tunnel(tunnel).tx.add(bytes);
    if let Some(tenant) = tenant {
        context.counters.tenant(tenant).to_fabric.add(bytes - template::LEN);
    }
}

/// Counts the passing packets, without their outer headers, that came through tunnels.
pub fn decapsulated<F: Frame, S: Sink<F>>(context: &mut Context<'_, F, S>, batch: &Batch<F>) {
    for i in batch.passing() {
        let bytes = batch.frame(i).data().len();
        context.counters.tunnel(batch.tunnels[i]).rx.add(bytes + template::LEN);
        if let Some(tenant) = tenant_of(context, batch.segments[i]) {
            context.counters.tenant(tenant).from_fabric.add(bytes);
        }
    }
}

/// Counts a packet that was received from `port`, or was on its way out by it, and gives its buffer back.
pub fn dropped<F: Frame, S: Sink<F>>(
    context: &mut Context<'_, F, S>,
    port: PortId,
    tenant: Option<TenantId>,
    reason: Reason,
    frame: F,
) {
    context.counters.port(port).drops.add(reason, 1);
    if let Some(tenant) = tenant {
        context.counters.tenant(tenant).drops.add(reason, 1);
    }
    context.sink.discard(frame);
}

/// Counts a copy of a packet from `port` for which there was no buffer: made, and dropped at once.
pub fn not_copied<F: Frame, S: Sink<F>>(
    context: &mut Context<'_, F, S>,
    port: PortId,
    tenant: Option<TenantId>,
) {
    context.counters.port(port).drops.add(Reason::PoolEmpty, 1);
    if let Some(tenant) = tenant {
        context.counters.tenant(tenant).drops.add(Reason::PoolEmpty, 1);
    }
}

/// The tenant of a packet, if it is known by then: a packet from the fabric has a segment only after decap.
pub fn tenant_of<F: Frame, S: Sink<F>>(context: &Context<'_, F, S>, segment: SegmentId) -> Option<TenantId> {
    context.snapshot.segments.get(segment.index()).map(|segment| segment.tenant)
}
