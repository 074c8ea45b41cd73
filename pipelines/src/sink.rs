//! Where the ways put packets: the seam to the worker, to a replay or to a test.

use crate::batch::Burst;
use crate::flow::FlowRecord;
use crate::ids::{PortId, TenantId, Tick, TunnelId, WorkerId};
use crate::policy::{Decision, Question};
use crate::qos::Tag;
use crate::witness::Eyes;

/// Takes the packets that leave, and has the buffers for new ones.
pub trait Sink<F> {
    /// Sends frames from the front of `burst` by `port`, which this worker owns, and removes them; those that are left
    /// did not go out.
    fn send(&mut self, port: PortId, burst: &mut Burst<F>);

    /// Whether somebody is at the other end of `port`. Asked only when frames did not go out.
    fn is_connected(&self, port: PortId) -> bool {
        let _ = port;
        true
    }

    /// Gives a packet to `worker`, which owns where it goes, in the order given. What the sink takes here it accounts
    /// for: if it can't hand it over it counts it as dropped, with a reason.
    fn hand_over(&mut self, worker: WorkerId, handed: Handed<F>);

    /// An empty frame with headroom, if one is to be had.
    fn allocate(&mut self) -> Option<F>;

    /// Takes back the buffer of a packet that is already accounted for.
    fn discard(&mut self, frame: F) {
        drop(frame);
    }

    /// Who looks at packets.
    fn eyes(&mut self) -> &mut Eyes<F>;

    /// Is told of a flow.
    fn flow(&mut self, record: &FlowRecord) {
        let _ = record;
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
    Deliver(PortId, Tag, F),
    /// Encapsulated, all but the destination MAC, to a tunnel.
    IntoTunnel(TunnelId, Tag, F),
}

impl<F> Handed<F> {
    /// The packet.
    pub fn frame(&self) -> &F {
        match self {
            Self::Deliver(.., frame) | Self::IntoTunnel(.., frame) => frame,
        }
    }
}
