//! When sessions end: a lazy timing wheel.
//!
//! A packet only writes the time into its session. The wheel has a chain for each half second to come; a session is
//! in that of its deadline as it was when last looked at, or in the last one if that is beyond the wheel. When the
//! time of a chain has passed, each session in it is looked at: it has ended, or it goes where its deadline is now.

use super::links::{Chains, Node, WHEEL};
use crate::ids::Tick;

/// How long one chain is for: 2^29 ns, 537 ms.
const SPAN_SHIFT: u32 = 29;
/// How many chains there are. All sessions are looked at within that many spans (9 min).
const SPANS: u64 = 1024;

/// The time of one chain, in nanoseconds: a session ends no later than that after its deadline (or after a change of
/// its state that brought the deadline there), if the table is aged as often.
pub const SPAN: u64 = 1 << SPAN_SHIFT;
/// How far ahead the wheel reaches, in nanoseconds. Timeouts that were set shorter are followed within that time.
pub const HORIZON: u64 = SPAN * SPANS;

/// The chains, and where in time they are.
#[derive(Debug)]
pub(super) struct Wheel {
    chains: Chains<WHEEL>,
    /// The span whose chain is looked through next. Every session is in one of the spans from here to the horizon.
    current: u64,
}

impl Wheel {
    pub fn new() -> Self {
        Self { chains: Chains::new(SPANS as usize), current: 0 }
    }

    /// Starts at `now`. Only for a wheel without sessions.
    pub fn start(&mut self, now: Tick) {
        self.current = now.0 >> SPAN_SHIFT;
    }

    /// Puts `index` where it is looked at after `deadline`.
    pub fn push(&mut self, nodes: &mut [Node], index: u32, deadline: Tick) {
        let span = (deadline.0 >> SPAN_SHIFT).clamp(self.current, self.current + SPANS - 1);
        self.chains.push(nodes, (span % SPANS) as usize, index);
    }

    /// Takes `index` out.
    pub fn remove(&mut self, nodes: &mut [Node], index: u32) {
        self.chains.remove(nodes, index);
    }

    /// The next session to be looked at, if there is one at `now`. It has to be taken out or put elsewhere.
    pub fn due(&mut self, now: Tick) -> Option<u32> {
        let passed = now.0 >> SPAN_SHIFT;
        // After a long pause all spans have passed, and no session is in more than one.
        self.current = self.current.max(passed.saturating_sub(SPANS));
        while self.current < passed {
            if let Some(index) = self.chains.first((self.current % SPANS) as usize) {
                return Some(index);
            }
            self.current += 1;
        }
        None
    }

    /// The session that will be looked at after `index`.
    pub fn after(nodes: &[Node], index: u32) -> Option<u32> {
        Chains::<WHEEL>::after(nodes, index)
    }
}
