//! Brings a packet to its port, or to the worker that owns it.

use crate::context::Context;
use crate::frame::Frame;
use crate::ids::PortId;
use crate::qos::Tag;
use crate::sink::{Handed, Sink};

/// Sends `frame` to the guest of `port`, now or when it may.
#[inline(always)]
pub fn deliver<F: Frame, S: Sink<F>>(context: &mut Context<'_, F, S>, port: PortId, tag: Tag, frame: F) {
    if let Some(frame) = context.gather(port, frame) {
        not_straight(context, port, tag, frame);
    }
}

#[inline(never)]
fn not_straight<F: Frame, S: Sink<F>>(context: &mut Context<'_, F, S>, port: PortId, tag: Tag, frame: F) {
    let owner = context.snapshot.port(port).worker;
    if owner == context.worker {
        context.queue_to_guest(port, tag, frame);
    } else {
        context.sink.hand_over(owner, Handed::Deliver(port, tag, frame));
    }
}
