//! A burst on its way: the frames, and beside them, lane by lane, what the stages have found out.

use arrayvec::ArrayVec;

use crate::ids::{PortId, SegmentId, TunnelId};
use crate::qos::Tag;
use crate::stages::check_policy::Outcome;
use crate::stages::forward::Destination;
use crate::stages::lookup_flow::Flows;
use crate::stages::parse::{Headers, Link, Plain};
use crate::verdict::{Reason, Verdict};

/// Frames in a full burst.
pub const BURST: usize = 32;

/// A burst of frames with no lanes: what a port receives and sends.
pub type Burst<F> = ArrayVec<F, BURST>;

/// A burst with its lanes. A lane is defined for a packet once the stage that writes it has run.
#[derive(Debug)]
pub struct Batch<F> {
    frames: Burst<F>,
    /// One bit for each frame with nothing against it.
    passing: u32,
    verdicts: [Verdict; BURST],
    /// Written by parse.
    pub headers: [Headers; BURST],
    /// Written by parse.
    pub links: [Link; BURST],
    /// Written by parse: which packets are what most are.
    pub plain: Plain,
    /// Written by decap, or known by the port.
    pub segments: [SegmentId; BURST],
    /// Written by decap: the tunnel it came through.
    pub tunnels: [TunnelId; BURST],
    /// Written by decap: DSCP and ECN of the outer header.
    pub outer_tos: [u8; BURST],
    /// Written by forward.
    pub destinations: [Destination; BURST],
    /// Written by lookup_flow.
    pub flows: Flows,
    /// Written by check_policy, for packets that pass or that policy refuses.
    pub outcomes: [Outcome; BURST],
    /// Written by meter, of what guests send.
    pub tags: [Tag; BURST],
}

impl<F> Default for Batch<F> {
    fn default() -> Self {
        Self {
            frames: ArrayVec::new(),
            passing: 0,
            verdicts: [Verdict::Pass; BURST],
            headers: [Headers::default(); BURST],
            links: [Link::default(); BURST],
            plain: Plain::default(),
            segments: [SegmentId::default(); BURST],
            tunnels: [TunnelId::default(); BURST],
            outer_tos: [0; BURST],
            destinations: [Destination::default(); BURST],
            flows: Flows::default(),
            outcomes: [Outcome::default(); BURST],
            tags: [Tag::default(); BURST],
        }
    }
}

impl<F> Batch<F> {
    /// Takes in the frames that `receive` puts into the empty burst. Returns what it says of them.
    pub fn load<T>(&mut self, receive: impl FnOnce(&mut Burst<F>) -> T) -> T {
        debug_assert!(self.frames.is_empty());
        let said = receive(&mut self.frames);
        self.passing = ((1u64 << self.frames.len()) - 1) as u32;
        self.verdicts = [Verdict::Pass; BURST];
        self.segments = [SegmentId::NONE; BURST];
        said
    }

    /// How many frames there are, dropped ones included.
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Whether another frame would not fit.
    pub fn is_full(&self) -> bool {
        self.frames.is_full()
    }

    /// The places of the frames with nothing against them.
    pub fn passing(&self) -> Passing {
        Passing(self.passing)
    }

    /// Whether there is nothing against any of the frames.
    pub fn all_pass(&self) -> bool {
        self.passing.count_ones() as usize == self.frames.len()
    }

    /// The frames, dropped ones included.
    pub fn frames(&self) -> &[F] {
        &self.frames
    }

    /// A frame.
    pub fn frame(&self, index: usize) -> &F {
        &self.frames[index]
    }

    /// A frame, to be written.
    pub fn frame_mut(&mut self, index: usize) -> &mut F {
        &mut self.frames[index]
    }

    /// A frame, and the lanes of its headers to be written.
    pub fn frame_and_headers(&mut self, index: usize) -> (&F, &mut Headers, &mut Link) {
        (&self.frames[index], &mut self.headers[index], &mut self.links[index])
    }

    /// A frame and its headers, and the lanes of flows to be written.
    pub fn frame_and_flows(&mut self, index: usize) -> (&F, &Headers, &mut Flows) {
        (&self.frames[index], &self.headers[index], &mut self.flows)
    }

    /// Decides that a packet goes no further.
    pub fn drop(&mut self, index: usize, reason: Reason) {
        self.settle(index, Verdict::Drop(reason));
    }

    /// Decides what happens to a packet in place of the stages that follow.
    pub fn settle(&mut self, index: usize, verdict: Verdict) {
        self.passing &= !(1 << index);
        self.verdicts[index] = verdict;
    }

    /// What was decided for a packet.
    pub fn verdict(&self, index: usize) -> Verdict {
        self.verdicts[index]
    }

    /// Adds a frame with the lanes that the way into the fabric reads. The batch must not be full.
    ///
    /// The headers come by reference: copied on the way they would be stored in parts and loaded whole, which stalls.
    pub(crate) fn push(
        &mut self,
        frame: F,
        segment: SegmentId,
        headers: &Headers,
        tunnel: TunnelId,
        tag: Tag,
    ) {
        let index = self.frames.len();
        self.frames.push(frame);
        self.passing |= 1 << index;
        self.verdicts[index] = Verdict::Pass;
        self.segments[index] = segment;
        self.headers[index] = *headers;
        self.destinations[index] = Destination::Tunnel(tunnel);
        self.tags[index] = tag;
    }

    /// Adds a frame with the lanes that the end of the way to a guest reads. The batch must not be full.
    pub(crate) fn push_for_port(&mut self, frame: F, segment: SegmentId, port: PortId, tag: Tag) {
        let index = self.frames.len();
        self.frames.push(frame);
        self.passing |= 1 << index;
        self.verdicts[index] = Verdict::Pass;
        self.segments[index] = segment;
        self.destinations[index] = Destination::Port(port);
        self.tags[index] = tag;
    }

    /// Takes all frames out, to be walked beside the lanes, which stay.
    pub fn take(&mut self) -> Burst<F> {
        self.passing = 0;
        core::mem::take(&mut self.frames)
    }
}

/// The places of the frames with nothing against them, as they were when it was made.
#[derive(Clone, Copy, Debug)]
pub struct Passing(u32);

impl Passing {
    /// The places whose bits are set.
    pub(crate) const fn of(bits: u32) -> Self {
        Self(bits)
    }
}

impl Iterator for Passing {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let index = self.0.trailing_zeros() as usize;
        // Clears the lowest set bit.
        self.0 &= self.0.wrapping_sub(1);
        // The comparison also tells the compiler that a lane's array is not exceeded.
        (index < BURST).then_some(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn walks_over_what_passes() {
        let mut batch = Batch::default();
        batch.load(|frames| frames.extend(0..BURST as u32));
        batch.drop(0, Reason::Truncated);
        batch.drop(31, Reason::Hairpin);
        assert_eq!(batch.passing().collect::<Vec<_>>(), (1..31).collect::<Vec<_>>());
        assert_eq!(batch.verdict(31), Verdict::Drop(Reason::Hairpin));
        assert_eq!(batch.take().len(), 32);
        assert_eq!(batch.passing().next(), None);
        batch.load(|frames| frames.push(1));
        assert_eq!((batch.len(), batch.verdict(0)), (1, Verdict::Pass));
    }
}
