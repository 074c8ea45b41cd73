//! What the ways work with.

use crate::counters::Counters;
use crate::flow::Sessions;
use crate::ids::{Tick, WorkerId};
use crate::overlay::Neighbors;
use crate::snapshot::Snapshot;
use crate::witness::Eyes;

/// All that a way reads and writes beside the packets.
#[derive(Debug)]
pub struct Context<'a, F, S> {
    /// The configuration.
    pub snapshot: &'a Snapshot,
    /// What is counted.
    pub counters: &'a mut Counters,
    /// The underlay's neighbours.
    pub neighbors: &'a mut Neighbors<F>,
    /// What is known of flows.
    pub sessions: &'a mut Sessions,
    /// Who looks.
    pub eyes: &'a mut Eyes<F>,
    /// Where packets leave to.
    pub sink: &'a mut S,
    /// Who we are.
    pub worker: WorkerId,
    /// When this is.
    pub now: Tick,
}
