//! Counts what came in and what goes no further.

use crate::batch::Batch;
use crate::context::Context;
use crate::counters::{Counters, Traffic};
use crate::frame::Frame;
use crate::ids::{PortId, SegmentId, TenantId};
use crate::overlay::template;
use crate::sink::Sink;
use crate::snapshot::Snapshot;
use crate::verdict::Reason;
use crate::wire::ethernet::EtherType;
use crate::wire::ipv4::protocol;
use crate::wire::{Ethernet, Ipv4, Udp, Vxlan};
use crate::witness::Direction;

/// Counts the packets that `port` received.
pub fn received<F: Frame, S: Sink<F>>(context: &mut Context<'_, F, S>, port: PortId, batch: &Batch<F>) {
    let bytes = batch.frames().iter().map(|frame| frame.size() as u64).sum();
    context.counters.port(port).rx += Traffic { packets: batch.len() as u64, bytes };
}

/// Counts the passing packets, with their outer headers, that go into tunnels; they are `tenant`'s.
pub fn encapsulated<F: Frame, S: Sink<F>>(
    context: &mut Context<'_, F, S>,
    tenant: TenantId,
    batch: &Batch<F>,
) {
    let mut all = Traffic::default();
    runs(
        batch,
        |i| batch.tunnels[i],
        |tunnel, traffic| {
            context.counters.tunnel(tunnel).tx += traffic;
            all += traffic;
        },
    );
    all.bytes -= all.packets * template::LEN as u64;
    context.counters.tenant(tenant).to_fabric += all;
}

/// Counts the passing packets, without their outer headers, that came through tunnels.
pub fn decapsulated<F: Frame, S: Sink<F>>(context: &mut Context<'_, F, S>, batch: &Batch<F>) {
    runs(
        batch,
        |i| (batch.tunnels[i], batch.segments[i]),
        |(tunnel, segment), inner| {
            let outer = Traffic { bytes: inner.bytes + inner.packets * template::LEN as u64, ..inner };
            context.counters.tunnel(tunnel).rx += outer;
            if let Some(tenant) = tenant_of(context, segment) {
                context.counters.tenant(tenant).from_fabric += inner;
            }
        },
    );
}

/// Sums up the passing packets that follow each other with the same key: mostly the burst is one run.
#[inline]
fn runs<F: Frame, K: Copy + PartialEq>(
    batch: &Batch<F>,
    key: impl Fn(usize) -> K,
    mut count: impl FnMut(K, Traffic),
) {
    let mut passing = batch.passing();
    let Some(first) = passing.next() else { return };
    let mut run = (key(first), Traffic::of(batch.frame(first).size()));
    for i in passing {
        let key = key(i);
        if key != run.0 {
            count(run.0, run.1);
            run = (key, Traffic::default());
        }
        run.1.add(batch.frame(i).size());
    }
    count(run.0, run.1);
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

/// Counts a packet that another worker handed over for what this worker does not know, and gives its buffer back.
pub fn astray<F: Frame, S: Sink<F>>(context: &mut Context<'_, F, S>, port: PortId, reason: Reason, frame: F) {
    // A port that is not there yet has no counter yet; there is always one.
    let port = if port.index() < context.counters.ports.len() { port } else { PortId(0) };
    context.sink.eyes().lose(port, Direction::Out, reason, &frame);
    dropped(context, port, None, reason, frame);
}

/// Counts a packet that was on its way out by `port` and did not get there: its buffer is the caller's to give back.
///
/// The tenant is the guest's; of an uplink's packet, that of the segment that its outer headers name.
pub fn lost<F: Frame>(snapshot: &Snapshot, counters: &mut Counters, port: PortId, reason: Reason, frame: &F) {
    counters.port(port).drops.add(reason, 1);
    let tenant = snapshot.tenant(port).or_else(|| tenant_inside(snapshot, frame.data()));
    if let Some(tenant) = tenant {
        counters.tenant(tenant).drops.add(reason, 1);
    }
}

/// The tenant of an encapsulated packet; `None` of one that is the switch's own, as ARP.
fn tenant_inside(snapshot: &Snapshot, frame: &[u8]) -> Option<TenantId> {
    let (outer, packet) = Ethernet::split(frame)?;
    let (ip, payload) = Ipv4::split(packet).ok().filter(|_| outer.ethertype() == EtherType::IPV4)?;
    let (datagram, data) = Udp::split(payload).ok().filter(|_| ip.protocol() == protocol::UDP)?;
    let (header, _) = Vxlan::split(data).filter(|_| datagram.destination_port() == snapshot.vxlan_port)?;
    let segment = snapshot.vnis.find(u64::from(header.vni()?.value()))?;
    Some(snapshot.segment(segment).tenant)
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
