//! The way of a packet from another host to a guest of this one.

use crate::batch::Batch;
use crate::context::Context;
use crate::frame::Frame;
use crate::ids::PortId;
use crate::qos::Tag;
use crate::sink::Sink;
use crate::snapshot::Uplink;
use crate::stages::check_policy::{self, Opener};
use crate::stages::forward::{self, Destination};
use crate::stages::{account, answer, carry_marks, decap, deliver, lookup_flow, parse, replicate};
use crate::verdict::Verdict;

/// Takes the burst in `batch` from `port`, which is `uplink`.
pub fn fabric_to_vm<F: Frame, S: Sink<F>>(
    context: &mut Context<'_, F, S>,
    port: PortId,
    uplink: &Uplink,
    batch: &mut Batch<F>,
) {
    account::received(context, port, batch);
    decap::decap(batch, context.snapshot, uplink, |(tunnel, segment), inner| {
        account::decapsulated(context, tunnel, segment, inner);
    });
    context.see("decap", batch);
    parse::parse(batch);
    context.see("parse", batch);
    carry_marks::carry_marks(batch, context.snapshot.qos.dscp);
    context.see("carry_marks", batch);
    forward::from_fabric(batch, context.snapshot);
    context.see("forward", batch);
    let (snapshot, worker) = (context.snapshot, context.worker);
    let mut last = (Destination::Everyone, true);
    let ours = |to| {
        if to != last.0 {
            last = (to, !matches!(to, Destination::Port(port) if snapshot.port(port).worker != worker));
        }
        last.1
    };
    lookup_flow::lookup_flow(batch, snapshot, context.sessions, ours);
    context.see("lookup_flow", batch);
    check_policy::check_policy(context, batch, Opener::Other(port));
    context.see("check_policy", batch);
    part(context, port, uplink, batch);
}

/// Delivers to the guests; answers what was for the switch.
fn part<F: Frame, S: Sink<F>>(
    context: &mut Context<'_, F, S>,
    port: PortId,
    uplink: &Uplink,
    batch: &mut Batch<F>,
) {
    for (i, frame) in batch.take().into_iter().enumerate() {
        let segment = batch.segments[i];
        let tag = Tag { tos: batch.headers[i].tos, ..Tag::default() };
        match (batch.verdict(i), batch.destinations[i]) {
            (Verdict::Drop(reason), _) => {
                let tenant = account::tenant_of(context, segment);
                account::dropped(context, port, tenant, reason, frame);
            }
            (Verdict::ForSwitch, _) => answer::answer(context, port, uplink, frame),
            (Verdict::Pass, Destination::Port(to)) => deliver::deliver(context, to, tag, frame),
            (Verdict::Pass, Destination::Everyone | Destination::Tunnel(_)) => {
                let ports = context.snapshot.segment(segment).ports.iter().copied();
                replicate::replicate(context, (port, segment), frame, ports, |context, to, frame| {
                    deliver::deliver(context, to, tag, frame);
                });
            }
        }
    }
}
