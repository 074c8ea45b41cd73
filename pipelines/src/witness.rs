//! Who wants to see packets, and what the stages make of them: `weft capture`, `weft trace`, `weft explain`, tests.

use core::fmt;
use core::ops::Range;

use arrayvec::ArrayVec;

use crate::batch::Batch;
use crate::flow::Sessions;
use crate::frame::Frame;
use crate::ids::{PortId, Tick, WorkerId};
use crate::verdict::Reason;

/// Witnesses that may look at once.
pub const WITNESSES: usize = 4;

/// Which way a packet goes by a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The switch receives it.
    In,
    /// The switch sends it.
    Out,
}

/// Is shown each burst: as it came in, after each stage, and as it leaves. With nobody looking it costs a predicted branch
/// a burst, and one a stage.
///
/// A frame is known again by where it lies in memory ([`place`]): from one call to the next it grows, shrinks and is rewritten in
/// place, and its buffer is no other's until it has left or was dropped.
pub trait Witness<F>: Send {
    /// A round of the worker begins, or a burst that another worker handed over. What happened before is over.
    fn begins(&mut self, now: Tick) {
        let _ = now;
    }

    /// `port` received `batch`; no stage has gone over it.
    fn received(&mut self, port: PortId, batch: &Batch<F>, now: Tick) {
        let _ = (port, batch, now);
    }

    /// The stage of that name has gone over `batch`. `sessions` are those of this worker, as they are now.
    fn saw(&mut self, stage: &'static str, batch: &Batch<F>, sessions: &Sessions);

    /// `copy` was made of `frame`, which goes to several. Its buffer may have been another's before.
    fn copied(&mut self, frame: &F, copy: &F) {
        let _ = (frame, copy);
    }

    /// `frame` is about to be given to another worker, whose it is from then on.
    fn handed(&mut self, worker: WorkerId, frame: &F) {
        let _ = (worker, frame);
    }

    /// `frame` goes no further, and no stage that shows its burst said so. It was received from `port`, or was on its way
    /// out by it: it is counted there.
    fn lost(&mut self, port: PortId, direction: Direction, reason: Reason, frame: &F) {
        let _ = (port, direction, reason, frame);
    }

    /// `frames` are about to leave by `port`, as many of the first as it takes.
    fn leaves(&mut self, port: PortId, frames: &[F]) {
        let _ = (port, frames);
    }

    /// So many of the frames that were shown last as leaving have left. The others come again, or are lost.
    fn left(&mut self, port: PortId, count: usize) {
        let _ = (port, count);
    }
}

/// Where a frame lies in memory.
pub fn place<F: Frame>(frame: &F) -> Range<usize> {
    let data = frame.data().as_ptr_range();
    data.start.addr()..data.end.addr()
}

/// Those who look, each with the number by which it is sent away again; mostly nobody.
pub struct Eyes<F>(ArrayVec<(u64, Box<dyn Witness<F>>), WITNESSES>);

impl<F> Default for Eyes<F> {
    fn default() -> Self {
        Self(ArrayVec::new())
    }
}

impl<F> fmt::Debug for Eyes<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(id, _)| id)).finish()
    }
}

impl<F> Eyes<F> {
    /// Shows all from now on to `witness`, until it is closed by this number.
    ///
    /// # Errors
    ///
    /// With the witness, when as many look as may.
    pub fn open(&mut self, id: u64, witness: Box<dyn Witness<F>>) -> Result<(), Box<dyn Witness<F>>> {
        self.0.try_push((id, witness)).map_err(|full| full.element().1)
    }

    /// Shows nothing any more to the witness of this number.
    pub fn close(&mut self, id: u64) -> Option<Box<dyn Witness<F>>> {
        let place = self.0.iter().position(|(of, _)| *of == id)?;
        Some(self.0.remove(place).1)
    }

    /// Whether anybody looks.
    #[inline]
    pub fn are_open(&self) -> bool {
        !self.0.is_empty()
    }

    /// Begins a round, or a burst from another worker.
    #[inline]
    pub fn begin(&mut self, now: Tick) {
        if self.are_open() {
            self.each(|witness| witness.begins(now));
        }
    }

    /// Shows what `port` received.
    #[inline]
    pub fn receive(&mut self, port: PortId, batch: &Batch<F>, now: Tick) {
        if self.are_open() {
            self.each(|witness| witness.received(port, batch, now));
        }
    }

    /// Shows `batch` after `stage`, and the worker's sessions.
    #[inline]
    pub fn see(&mut self, stage: &'static str, batch: &Batch<F>, sessions: &Sessions) {
        if self.are_open() {
            self.each(|witness| witness.saw(stage, batch, sessions));
        }
    }

    /// Shows a copy.
    #[inline]
    pub fn copy(&mut self, frame: &F, copy: &F) {
        if self.are_open() {
            self.each(|witness| witness.copied(frame, copy));
        }
    }

    /// Shows what another worker is about to be given.
    #[inline(never)]
    pub fn hand(&mut self, worker: WorkerId, frame: &F) {
        self.each(|witness| witness.handed(worker, frame));
    }

    /// Shows what is dropped behind the last stage that shows its burst.
    #[inline]
    pub fn lose(&mut self, port: PortId, direction: Direction, reason: Reason, frame: &F) {
        if self.are_open() {
            self.each(|witness| witness.lost(port, direction, reason, frame));
        }
    }

    /// Shows what is about to leave.
    #[inline(never)]
    pub fn leave(&mut self, port: PortId, frames: &[F]) {
        self.each(|witness| witness.leaves(port, frames));
    }

    /// Says how many of those have left.
    #[inline(never)]
    pub fn left(&mut self, port: PortId, count: usize) {
        self.each(|witness| witness.left(port, count));
    }

    #[cold]
    #[inline(never)]
    fn each(&mut self, mut show: impl FnMut(&mut dyn Witness<F>)) {
        self.0.iter_mut().for_each(|(_, witness)| show(&mut **witness));
    }
}
