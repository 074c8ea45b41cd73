//! Longest-prefix match: networks that nest, cut into ranges that do not, each with what its addresses are.
//!
//! A lookup is a search among sorted starts of ranges. Above them lie levels of every sixteenth start (for IPv6,
//! every fourth) of the level below, so that each step reads one cache line and no step depends on a guess.

/// The ranges of one address family: IPv4 by 16 and IPv6 by 4 starts a cache line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ranges<A, const LINE: usize> {
    /// The starts of the ranges, the coarsest level first. Unused places at a level's end hold the largest address.
    levels: Vec<Box<[[A; LINE]]>>,
    /// What the addresses of each range are.
    values: Box<[u32]>,
}

/// A range's first address, and what the addresses from there on are.
pub(super) type Cut = (u128, u32);

impl<A: Copy + Ord + TryFrom<u128>, const LINE: usize> Ranges<A, LINE> {
    /// The ranges that begin at `cuts`, in order; the first at 0. `largest` is the family's largest address.
    pub fn new(cuts: &[Cut], largest: A) -> Self {
        let mut starts: Vec<A> =
            cuts.iter().map(|(start, _)| A::try_from(*start).unwrap_or(largest)).collect();
        let mut levels = Vec::new();
        while !starts.is_empty() {
            let lines: Box<[[A; LINE]]> = starts
                .chunks(LINE)
                .map(|chunk| core::array::from_fn(|n| chunk.get(n).copied().unwrap_or(largest)))
                .collect();
            starts = if lines.len() > 1 { lines.iter().map(|line| line[0]).collect() } else { Vec::new() };
            levels.push(lines);
        }
        levels.reverse();
        Self { levels, values: cuts.iter().map(|(_, value)| *value).collect() }
    }

    /// What `address` is; `None` if there are no ranges.
    #[inline]
    pub fn find(&self, address: A) -> Option<u32> {
        let mut place = 0;
        for level in &self.levels {
            // The largest address counts the unused places in: those are cut off by `min`.
            let line = &level[place.min(level.len() - 1)];
            let not_above = line.iter().map(|start| usize::from(*start <= address)).sum::<usize>();
            place = place * LINE + not_above.saturating_sub(1);
        }
        self.values.get(place.min(self.values.len().wrapping_sub(1))).copied()
    }

    /// The bytes that they take.
    pub fn bytes(&self) -> usize {
        self.levels.iter().map(|level| size_of_val(&**level)).sum::<usize>() + size_of_val(&*self.values)
    }
}
