//! Who wants to see what the stages make of a burst: `weft explain`, tests.

use core::fmt;

use crate::batch::Batch;

/// Is shown each burst after each stage. With nobody looking it costs a predicted branch a stage and burst.
pub trait Witness<F>: Send {
    /// The stage of that name has gone over `batch`.
    fn saw(&mut self, stage: &'static str, batch: &Batch<F>);
}

/// Somebody who looks, or nobody.
pub struct Eyes<F>(Option<Box<dyn Witness<F>>>);

impl<F> Default for Eyes<F> {
    fn default() -> Self {
        Self(None)
    }
}

impl<F> fmt::Debug for Eyes<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Eyes(open)" } else { "Eyes(closed)" })
    }
}

impl<F> Eyes<F> {
    /// Shows all from now on to `witness`.
    pub fn open(&mut self, witness: Box<dyn Witness<F>>) {
        self.0 = Some(witness);
    }

    /// Shows nothing any more.
    pub fn close(&mut self) -> Option<Box<dyn Witness<F>>> {
        self.0.take()
    }

    /// Shows `batch` after `stage`.
    #[inline]
    pub fn see(&mut self, stage: &'static str, batch: &Batch<F>) {
        if let Some(witness) = &mut self.0 {
            witness.saw(stage, batch);
        }
    }
}
