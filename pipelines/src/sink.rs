//! Where the ways put packets: the seam to the worker, to a replay or to a test.

use crate::ids::{PortId, TenantId, Tick, TunnelId, WorkerId};
use crate::policy::{Decision, Question};

/// Takes the packets that leave a way, and has the buffers for new ones.
///
/// What a sink takes it accounts for: it counts each packet as sent by its port or dropped with a reason.
pub trait Sink<F> {
    /// Sends `frame` by `port`, which this worker owns. Frames of one port leave in the order they came in.
    fn transmit(&mut self, port: PortId, frame: F);

    /// Gives `frame` to `worker`, which owns where it goes, in the order given.
    fn hand_over(&mut self, worker: WorkerId, handed: Handed<F>);

    /// An empty frame with headroom, if one is to be had.
    fn allocate(&mut self) -> Option<F>;

    /// Takes back the buffer of a packet that is already accounted for.
    fn discard(&mut self, frame: F) {
        drop(frame);
    }

    /// Is told of a connection that policy decided; `log` says that somebody wants to read of it.
    fn decided(&mut self, decided: &Decided, log: bool) {
        let _ = (decided, log);
    }
}

/// A connection that policy decided: opened, refused, or ended because it is not allowed any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decided {
    /// When.
    pub at: Tick,
    /// Whose it is.
    pub tenant: TenantId,
    /// The port that it counts for.
    pub port: PortId,
    /// Who, to whom, and what for.
    pub question: Question,
    /// The source port, of protocols that have one.
    pub source: u16,
    /// What was decided.
    pub decision: Decision,
}

/// A packet for another worker, with where it goes.
#[derive(Debug)]
pub enum Handed<F> {
    /// To a port.
    Deliver(PortId, F),
    /// Encapsulated, all but the destination MAC, to a tunnel.
    IntoTunnel(TunnelId, F),
}

impl<F> Handed<F> {
    /// The packet.
    pub fn frame(&self) -> &F {
        match self {
            Self::Deliver(_, frame) | Self::IntoTunnel(_, frame) => frame,
        }
    }
}
