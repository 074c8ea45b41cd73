//! The memory of a table.

use super::buckets::{LANES, Line};
use super::links::Node;
use crate::flow::notes::Notes;
use crate::flow::session::Session;

/// The most sessions that a table can have.
pub const MOST: u32 = 1 << 28;

/// Memory for a table: all that it takes, whose size depends on the capacity.
///
/// It is reserved, not touched: the kernel gives pages when sessions come to lie on them. A large table wants large
/// pages; who can ask for them finds the [`regions`](Self::regions) before the table is made.
#[derive(Debug)]
pub struct Memory<K> {
    /// Lines of buckets, with one to spare for the alignment.
    pub(super) words: Vec<u32>,
    pub(super) sessions: Vec<Session<K>>,
    pub(super) nodes: Vec<Node>,
    pub(super) notes: Vec<Notes>,
    pub(super) capacity: u32,
}

impl<K> Memory<K> {
    /// Memory for `capacity` sessions, at least 1 and at most [`MOST`].
    pub fn new(capacity: u32) -> Self {
        let capacity = capacity.clamp(1, MOST);
        Self {
            words: vec![0; (buckets(capacity) + 1) * size_of::<Line>() / size_of::<u32>()],
            sessions: Vec::with_capacity(capacity as usize),
            nodes: Vec::with_capacity(capacity as usize),
            notes: Vec::with_capacity(capacity as usize),
            capacity,
        }
    }

    /// Where it lies: each region's first byte and its length.
    pub fn regions(&self) -> [(*const u8, usize); 4] {
        [
            (self.words.as_ptr().cast(), size_of_val(self.words.as_slice())),
            (self.sessions.as_ptr().cast(), self.sessions.capacity() * size_of::<Session<K>>()),
            (self.nodes.as_ptr().cast(), self.nodes.capacity() * size_of::<Node>()),
            (self.notes.as_ptr().cast(), self.notes.capacity() * size_of::<Notes>()),
        ]
    }
}

/// How many buckets `capacity` sessions need, so that they fill no more than 95 % of the places: a power of two.
pub(super) const fn buckets(capacity: u32) -> usize {
    (capacity as usize * 100).div_ceil(95 * LANES).next_power_of_two()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::key::Key4;

    #[test]
    fn the_places_are_never_full() {
        for capacity in (1..5000).chain([1 << 18, 1_000_000, 8_000_000, MOST]) {
            let places = buckets(capacity) * LANES;
            assert!(u64::from(capacity) * 100 <= places as u64 * 95, "{capacity} of {places}");
            assert!(places as u64 * 95 <= 2 * (u64::from(capacity) * 100 + 95 * 8), "{capacity} of {places}");
        }
    }

    #[test]
    fn all_of_it_is_told() {
        let memory = Memory::<Key4>::new(1000);
        let sizes = memory.regions().map(|(_, bytes)| bytes);
        assert!(sizes[0] >= 256 * 64 && sizes[1] >= 1000 * 128 && sizes[2] >= 1000 * 16, "{sizes:?}");
        assert_eq!(Memory::<Key4>::new(0).capacity, 1);
    }
}
