//! The way of a packet that a guest sends, and of one that stays on this host.
//!
//! What goes to another host branches off into [`vm_to_fabric`](crate::vm_to_fabric) after `forward`.

use crate::batch::Batch;
use crate::context::Context;
use crate::frame::Frame;
use crate::ids::PortId;
use crate::sink::Sink;
use crate::snapshot::{Guest, Target};
use crate::stages::check_policy::{self, Opener};
use crate::stages::forward::{self, Destination};
use crate::stages::{account, deliver, lookup_flow, meter, parse, replicate, spoof_check};
use crate::verdict::Verdict;
use crate::vm_to_fabric;

/// Takes the burst in `batch` from `port`, which is `guest`'s. `leaving` is an empty batch to work with.
pub fn vm_to_vm<F: Frame, S: Sink<F>>(
    context: &mut Context<'_, F, S>,
    port: PortId,
    guest: &Guest,
    batch: &mut Batch<F>,
    leaving: &mut Batch<F>,
) {
    account::received(context, port, batch);
    parse::parse(batch);
    context.see("parse", batch);
    spoof_check::spoof_check(batch, guest);
    context.see("spoof_check", batch);
    forward::from_vm(batch, context.snapshot, port, guest.segment);
    context.see("forward", batch);
    lookup_flow::lookup_flow(batch, context.snapshot, context.sessions, |_| true);
    context.see("lookup_flow", batch);
    check_policy::check_policy(context, batch, Opener::Guest(port));
    context.see("check_policy", batch);
    meter::meter(context, port, guest, batch);
    context.see("meter", batch);
    // Mostly all packets of a burst stay here, or all leave. What was dropped does not: it is not to be seen there again.
    if batch.all_pass() && batch.passing().all(|i| matches!(batch.destinations[i], Destination::Tunnel(_))) {
        return vm_to_fabric::vm_to_fabric(context, port, guest, batch);
    }
    part(context, port, guest, batch, leaving);
    vm_to_fabric::vm_to_fabric(context, port, guest, leaving);
}

/// Delivers what stays here; gathers what leaves.
fn part<F: Frame, S: Sink<F>>(
    context: &mut Context<'_, F, S>,
    port: PortId,
    guest: &Guest,
    batch: &mut Batch<F>,
    leaving: &mut Batch<F>,
) {
    for (i, frame) in batch.take().into_iter().enumerate() {
        let headers = &batch.headers[i];
        let tag = batch.tags[i];
        let mut leave = |context: &mut Context<'_, F, S>, tunnel, frame| {
            if leaving.is_full() {
                vm_to_fabric::vm_to_fabric(context, port, guest, leaving);
            }
            leaving.push(frame, guest.segment, headers, tunnel, tag);
        };
        match (batch.verdict(i), batch.destinations[i]) {
            (Verdict::Drop(reason), _) => account::dropped(context, port, Some(guest.tenant), reason, frame),
            (_, Destination::Port(to)) => deliver::deliver(context, to, tag, frame),
            (_, Destination::Tunnel(tunnel)) => leave(context, tunnel, frame),
            (_, Destination::Everyone) => {
                let targets = context.snapshot.segment(guest.segment).everyone_but(port);
                replicate::replicate(
                    context,
                    (port, guest.segment),
                    frame,
                    targets,
                    |context, target, frame| match target {
                        Target::Port(to) => deliver::deliver(context, to, tag, frame),
                        Target::Tunnel(tunnel) => leave(context, tunnel, frame),
                    },
                );
            }
        }
    }
}
