//! Counts what came in and what goes no further.

use crate::batch::Batch;
use crate::context::Context;
use crate::counters::{Counters, Traffic};
use crate::frame::Frame;
use crate::ids::{PortId, SegmentId, TenantId, TunnelId};
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

/// Counts what goes into `tunnel`: `inner`, without outer headers, which is `tenant`'s.
pub fn encapsulated<F: Frame, S: Sink<F>>(
    context: &mut Context<'_, F, S>,
    tenant: TenantId,
    tunnel: TunnelId,
    inner: Traffic,
) {
    context.counters.tunnel(tunnel).tx += with_outer(inner);
    context.counters.tenant(tenant).to_fabric += inner;
}

/// Counts what came through `tunnel` for `segment`: `inner`, without outer headers.
pub fn decapsulated<F: Frame, S: Sink<F>>(
    context: &mut Context<'_, F, S>,
    tunnel: TunnelId,
    segment: SegmentId,
    inner: Traffic,
) {
    context.counters.tunnel(tunnel).rx += with_outer(inner);
    if let Some(tenant) = tenant_of(context, segment) {
        context.counters.tenant(tenant).from_fabric += inner;
    }
}

fn with_outer(inner: Traffic) -> Traffic {
    Traffic { bytes: inner.bytes + inner.packets * template::LEN as u64, ..inner }
}

/// The sum of packets that follow each other with the same key: mostly a burst is one run.
#[derive(Debug, Default)]
pub struct Run<K> {
    key: K,
    sum: Traffic,
}

impl<K: Copy + PartialEq> Run<K> {
    /// Adds a packet. Gives `count` the run before, if it is over.
    #[inline(always)]
    pub fn add(&mut self, key: K, bytes: usize, count: &mut impl FnMut(K, Traffic)) {
        if self.key != key {
            let before = core::mem::replace(self, Self { key, sum: Traffic::default() });
            before.end(count);
        }
        self.sum.add(bytes);
    }

    /// Gives `count` the last run.
    pub fn end(self, mut count: impl FnMut(K, Traffic)) {
        if self.sum.packets > 0 {
            count(self.key, self.sum);
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
