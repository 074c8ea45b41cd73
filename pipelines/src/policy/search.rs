//! The search for a place among sorted numbers.
//!
//! Above the numbers lie levels of the first number of every cache line of the level below, until one line is left.
//! So a search reads as many lines as there are levels, and in each counts the smaller numbers: nothing in it has to
//! be guessed.

/// Where the levels are in a list of lines that several trees may share, the coarsest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) struct Tree {
    levels: [u32; LEVELS],
    depth: u32,
}

/// Enough for all that fits into memory, at eight a line.
const LEVELS: usize = 8;

/// A cache line of numbers, or two; unused places hold the largest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(align(64))]
pub(super) struct Line<N, const LINE: usize>([N; LINE]);

impl Tree {
    /// The tree of `numbers`, in order, in lines that are added to `lines`.
    pub fn new<N: Copy, const LINE: usize>(
        numbers: &[N],
        largest: N,
        lines: &mut Vec<Line<N, LINE>>,
    ) -> Self {
        let line = |chunk: &[N]| Line(core::array::from_fn(|n| chunk.get(n).copied().unwrap_or(largest)));
        let mut levels: Vec<Vec<Line<N, LINE>>> = vec![numbers.chunks(LINE).map(line).collect()];
        while let Some(last) = levels.last().filter(|last| last.len() > 1) {
            let firsts: Vec<_> = last.iter().map(|line| line.0[0]).collect();
            levels.push(firsts.chunks(LINE).map(line).collect());
        }
        let mut tree = Self { levels: [0; LEVELS], depth: levels.len() as u32 };
        for (start, level) in tree.levels.iter_mut().zip(levels.into_iter().rev()) {
            *start = lines.len() as u32;
            lines.extend(level);
        }
        tree
    }

    /// How many numbers are smaller than `number`, less one; but never less than none.
    #[inline(always)]
    pub fn find<N: Copy + Ord, const LINE: usize>(&self, lines: &[Line<N, LINE>], number: N) -> usize {
        let mut place = 0;
        for start in self.levels.get(..self.depth as usize).unwrap_or(&[]) {
            let Some(line) = lines.get(*start as usize + place) else { break };
            let smaller: u32 = line.0.iter().map(|of| u32::from(*of < number)).sum();
            place = place * LINE + smaller.saturating_sub(1) as usize;
        }
        place
    }

    /// Where its lines start.
    pub fn start(&self) -> u32 {
        self.levels[0]
    }

    /// The same tree where its lines have been moved by so many.
    pub fn moved(self, by: u32) -> Self {
        let mut tree = self;
        tree.levels.iter_mut().take(self.depth as usize).for_each(|start| *start = start.wrapping_add(by));
        tree
    }
}
