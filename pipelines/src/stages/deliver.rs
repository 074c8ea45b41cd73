//! Brings a packet to its port, or to the worker that owns it.

use crate::context::Context;
use crate::frame::Frame;
use crate::ids::PortId;
use crate::sink::{Handed, Sink};

/// Sends `frame` by `port`.
pub fn deliver<F: Frame, S: Sink<F>>(context: &mut Context<'_, F, S>, port: PortId, frame: F) {
    let owner = context.snapshot.port(port).worker;
    if owner == context.worker {
        context.sink.transmit(port, frame);
    } else {
        context.sink.hand_over(owner, Handed::Deliver(port, frame));
    }
}
