//! Histograms of times, in cells that grow with what they hold: log-linear, as those of HdrHistogram.
//!
//! Each power of two of nanoseconds is cut into 16 cells of one width, so a time is known to 6.25 % of itself at most, and
//! the middle of its cell is not off by more than 3.1 %. Below 1 µs cells are 64 ns wide. What lasts 68.7 s or longer is in the
//! last cell. To add a time is three additions, none of which depends on what was there.

use core::ops::Range;

/// log2 of the cells of a power of two.
pub const CUT: u32 = 4;
/// log2 of the nanoseconds of the narrowest cells: 64 ns.
pub const FINEST: u32 = 6;
/// log2 of the nanoseconds at which cells end: 68.7 s.
pub const TOP: u32 = 36;
/// How many cells there are.
pub const CELLS: usize = ((TOP - FINEST - CUT + 1) << CUT) as usize;

/// The cell of a time.
#[inline]
pub const fn cell(nanos: u64) -> usize {
    let units = nanos >> FINEST;
    let shift = (u64::BITS - 1 - CUT).saturating_sub(units.leading_zeros());
    let cell = ((shift as u64) << CUT) + (units >> shift);
    if cell < CELLS as u64 { cell as usize } else { CELLS - 1 }
}

/// The times of a cell, in nanoseconds; what is longer than the last one's is in that too.
pub const fn span(cell: usize) -> Range<u64> {
    let (octave, part) = ((cell >> CUT) as u32, (cell as u64) & ((1 << CUT) - 1));
    let (shift, part) = if octave == 0 { (0, part) } else { (octave - 1, part + (1 << CUT)) };
    let width = 1 << (shift + FINEST);
    part * width..(part + 1) * width
}

/// What is known of all times of a histogram together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// How many there are.
    pub samples: u64,
    /// Their sum in nanoseconds.
    pub sum: u64,
    /// The longest in nanoseconds.
    pub longest: u64,
}

/// Histograms whose memory is taken when they are first used.
const CHUNK: usize = 64;

/// Histograms by number.
///
/// Their cells are allocated in large pieces, all zeros, which the system gives when they are touched: one that nothing is
/// added to takes no memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histograms {
    heads: Vec<Head>,
    chunks: Vec<Box<[u64]>>,
}

impl Histograms {
    /// So many.
    pub fn new(len: usize) -> Self {
        let mut histograms = Self::default();
        histograms.grow(len);
        histograms
    }

    /// How many there are.
    pub const fn len(&self) -> usize {
        self.heads.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    /// Makes room for so many; those that there are stay as they are and where they are.
    pub fn grow(&mut self, len: usize) {
        let len = len.max(self.heads.len());
        self.heads.resize(len, Head::default());
        let chunks = len.div_ceil(CHUNK);
        self.chunks.resize_with(chunks, || vec![0; CHUNK * CELLS].into());
    }

    /// Adds a time to histogram `index`, if there is one.
    #[inline]
    pub fn add(&mut self, index: usize, nanos: u64) {
        let Some(head) = self.heads.get_mut(index) else { return };
        let cell = (index % CHUNK) * CELLS + cell(nanos);
        let Some(cell) = self.chunks.get_mut(index / CHUNK).and_then(|chunk| chunk.get_mut(cell)) else {
            return;
        };
        *cell += 1;
        head.samples += 1;
        head.sum = head.sum.wrapping_add(nanos);
        head.longest = head.longest.max(nanos);
    }

    /// What is known of all times of histogram `index` together.
    pub fn head(&self, index: usize) -> Head {
        self.heads.get(index).copied().unwrap_or_default()
    }

    /// The cells of histogram `index`; none where there is no such.
    pub fn cells(&self, index: usize) -> &[u64] {
        let start = (index % CHUNK) * CELLS;
        let chunk = self.chunks.get(index / CHUNK).filter(|_| index < self.heads.len());
        chunk.and_then(|chunk| chunk.get(start..start + CELLS)).unwrap_or_default()
    }

    /// Adds those of `other`, as far as there is room.
    pub fn merge(&mut self, other: &Self) {
        for index in 0..self.len().min(other.len()) {
            let (mine, more) = (&mut self.heads[index], other.heads[index]);
            mine.samples += more.samples;
            mine.sum = mine.sum.wrapping_add(more.sum);
            mine.longest = mine.longest.max(more.longest);
            let start = (index % CHUNK) * CELLS;
            let cells = &mut self.chunks[index / CHUNK][start..start + CELLS];
            cells.iter_mut().zip(other.cells(index)).for_each(|(cell, more)| *cell += more);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn cells_follow_each_other_without_a_gap() {
        let mut end = 0;
        for index in 0..CELLS {
            let span = span(index);
            assert_eq!(span.start, end);
            assert_eq!((cell(span.start), cell(span.end - 1)), (index, index));
            assert!(span.end - span.start <= (span.start >> CUT).max(1 << FINEST), "{span:?}");
            end = span.end;
        }
        assert_eq!(end, 1 << TOP);
        assert_eq!([1 << TOP, u64::MAX].map(cell), [CELLS - 1; 2]);
        // A microsecond is known to 6.25 % already, and powers of two from there on are where cells meet.
        assert!(span(cell(1_000)).end - span(cell(1_000)).start <= 64);
        (10..TOP).for_each(|power| assert_eq!(span(cell(1 << power)).start, 1 << power));
    }

    #[test]
    fn what_there_is_no_room_for_is_left_out() {
        let mut histograms = Histograms::new(65);
        histograms.add(64, 2_000);
        histograms.add(65, 2_000);
        histograms.add(usize::MAX, 2_000);
        assert_eq!(histograms.head(64), Head { samples: 1, sum: 2_000, longest: 2_000 });
        assert_eq!((histograms.head(65), histograms.cells(65)), (Head::default(), &[] as &[u64]));
        histograms.grow(200);
        histograms.grow(3);
        assert_eq!((histograms.len(), histograms.cells(64)[cell(2_000)]), (200, 1));
    }

    proptest! {
        #[test]
        fn several_workers_are_as_one(times in prop::collection::vec((0..3usize, any::<u64>()), 0..200)) {
            let mut all = Histograms::new(2);
            let mut workers = [(); 3].map(|()| Histograms::new(2));
            for (worker, nanos) in times {
                let nanos = nanos >> (nanos % 60);
                all.add(worker % 2, nanos);
                workers[worker].add(worker % 2, nanos);
            }
            let mut sum = Histograms::new(2);
            workers.iter().for_each(|worker| sum.merge(worker));
            prop_assert_eq!(sum, all);
        }
    }
}
