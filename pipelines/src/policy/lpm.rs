//! Longest-prefix match: networks that nest, cut into ranges that do not, each with what its addresses are.

use super::search::{Line, Tree};

/// The ranges of an address family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ranges<A, const LINE: usize> {
    tree: Tree,
    /// The last addresses before each range.
    lines: Vec<Line<A, LINE>>,
    /// What the addresses of each range are.
    values: Box<[u32]>,
}

/// A range's first address, and what the addresses from there on are.
pub(super) type Cut = (u128, u32);

impl<A: Copy + Ord + TryFrom<u128>, const LINE: usize> Ranges<A, LINE> {
    /// The ranges that begin at `cuts`, in order; the first at 0. `largest` is the family's largest address.
    pub fn new(cuts: &[Cut], largest: A) -> Self {
        let before = cuts.iter().map(|(start, _)| A::try_from(start.saturating_sub(1)).unwrap_or(largest));
        let mut lines = Vec::new();
        let tree = Tree::new(&before.collect::<Vec<_>>(), largest, &mut lines);
        Self { tree, lines, values: cuts.iter().map(|(_, value)| *value).collect() }
    }

    /// What `address` is; 0 if there are no ranges.
    #[inline(never)]
    pub fn find(&self, address: A) -> u32 {
        self.values.get(self.tree.find(&self.lines, address)).copied().unwrap_or(0)
    }

    /// The bytes that they take.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.lines) + size_of_val(&*self.values)
    }
}
