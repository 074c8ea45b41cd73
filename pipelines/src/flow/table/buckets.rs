//! Which session has which hash: buckets of one cache line, two for each hash.
//!
//! A bucket has eight places, each with a tag of 16 bits and the session's index. A hash says which bucket is its
//! first; which the second is follows from the first and the tag, so an entry can move to its other bucket without
//! its key being read. Where both are full, entries on the way are moved to their other buckets (cuckoo hashing),
//! found breadth first within a bound.

use arrayvec::ArrayVec;

use crate::flow::hash::Hash;

/// Places of a bucket.
pub(super) const LANES: usize = 8;
/// How many buckets are looked at to find a place: the two of the hash, and others where entries could move to.
pub(super) const LOOKS: usize = 128;

/// A bucket: tags, two in each of the first four words; indices; four words unused.
pub(super) type Line = [u32; 16];
/// The first word with an index.
const INDICES: usize = 4;

/// No place was found.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Crowded;

/// The buckets.
#[derive(Debug)]
pub(super) struct Buckets {
    words: Vec<u32>,
    /// The first word that starts a cache line.
    start: usize,
    /// Their number, a power of two, less one.
    mask: u32,
}

impl Buckets {
    /// `count` buckets in `words`, which are 0, and one bucket more.
    pub fn new(words: Vec<u32>, count: usize) -> Self {
        // An allocation starts anywhere in a line, and no safe one both starts at a line and is zeroed lazily.
        let start = words.as_ptr().align_offset(size_of::<Line>()).min(size_of::<Line>() / size_of::<u32>());
        Self { words, start, mask: (count - 1) as u32 }
    }

    /// The buckets as a burst reads them.
    #[inline]
    pub fn lines(&self) -> Lines<'_> {
        Lines { lines: self.words[self.start..].as_chunks().0, mask: self.mask }
    }

    /// Asks for the line of the first bucket.
    #[inline]
    pub fn prefetch(&self, hash: Hash) {
        self.lines().prefetch(hash);
    }

    /// All entries with the tag of `hash`: at most 16.
    pub fn candidates(&self, hash: Hash) -> impl Iterator<Item = u32> + '_ {
        self.both(hash).flat_map(move |bucket| {
            let line = self.line(bucket);
            lanes(line, hash.tag()).map(|lane| index(line, lane))
        })
    }

    /// All entries that stand in the way of `hash`: at most 16.
    pub fn neighbours(&self, hash: Hash) -> impl Iterator<Item = u32> + '_ {
        self.both(hash).flat_map(|bucket| {
            let line = self.line(bucket);
            (0..LANES).filter(|lane| tag(line, *lane) != 0).map(|lane| index(line, lane))
        })
    }

    /// Puts `index` where `hash` is looked for. Returns how many entries had to be moved.
    pub fn insert(&mut self, hash: Hash, index: u32) -> Result<u32, Crowded> {
        let free = self.both(hash).find_map(|bucket| Some((bucket, self.free_lane(bucket)?)));
        let ((bucket, lane), moved) = match free {
            Some(place) => (place, 0),
            None => self.displace(hash)?,
        };
        set(self.line_mut(bucket), lane, hash.tag(), index);
        Ok(moved)
    }

    /// Takes out `index`, which was put in with `hash`.
    pub fn remove(&mut self, hash: Hash, session: u32) {
        for bucket in self.both(hash) {
            let line = self.line_mut(bucket);
            if let Some(lane) = lanes(line, hash.tag()).find(|lane| index(line, *lane) == session) {
                set(line, lane, 0, 0);
                return;
            }
        }
    }

    fn first(&self, hash: Hash) -> u32 {
        hash.low() & self.mask
    }

    fn other(&self, bucket: u32, tag: u16) -> u32 {
        other(bucket, tag, self.mask)
    }

    fn both(&self, hash: Hash) -> impl Iterator<Item = u32> + use<> {
        let first = self.first(hash);
        let second = self.other(first, hash.tag());
        // The same if there is only one bucket.
        core::iter::once(first).chain((second != first).then_some(second))
    }

    fn free_lane(&self, bucket: u32) -> Option<usize> {
        lanes(self.line(bucket), 0).next()
    }

    fn line(&self, bucket: u32) -> &Line {
        &self.words[self.start..].as_chunks().0[bucket as usize]
    }

    fn line_mut(&mut self, bucket: u32) -> &mut Line {
        &mut self.words[self.start..].as_chunks_mut().0[bucket as usize]
    }

    /// Makes a place in one of the full buckets of `hash`. Returns it, and how many entries moved.
    #[cold]
    fn displace(&mut self, hash: Hash) -> Result<((u32, usize), u32), Crowded> {
        let mut steps: ArrayVec<Step, LOOKS> = ArrayVec::new();
        steps.extend(self.both(hash).map(|bucket| Step { bucket, from: None, lane: 0 }));
        let mut next = 0;
        while let Some(&Step { bucket, .. }) = steps.get(next) {
            for lane in 0..LANES {
                let other = self.other(bucket, tag(self.line(bucket), lane));
                // Each bucket is on the way once, or an entry could be moved that is no longer there.
                if steps.iter().any(|step| step.bucket == other) {
                    continue;
                }
                let step = Step { bucket: other, from: Some(next as u8), lane: lane as u8 };
                if let Some(free) = self.free_lane(other) {
                    return Ok(self.shift(&steps, step, free));
                }
                if steps.try_push(step).is_err() {
                    return Err(Crowded);
                }
            }
            next += 1;
        }
        Err(Crowded)
    }

    /// Moves entries one step each, from the last, to whose bucket's `free` place the first goes.
    fn shift(&mut self, steps: &[Step], last: Step, free: usize) -> ((u32, usize), u32) {
        let (mut step, mut hole, mut moved) = (last, (last.bucket, free), 0);
        while let Some(from) = step.from.and_then(|from| steps.get(from as usize)) {
            let lane = step.lane as usize;
            let line = self.line(from.bucket);
            let entry = (tag(line, lane), index(line, lane));
            set(self.line_mut(hole.0), hole.1, entry.0, entry.1);
            hole = (from.bucket, lane);
            step = *from;
            moved += 1;
        }
        (hole, moved)
    }
}

#[cfg(test)]
impl Buckets {
    /// The buckets of `hash`, in order of their numbers.
    pub fn ways(&self, hash: Hash) -> [u32; 2] {
        let first = self.first(hash);
        let second = self.other(first, hash.tag());
        [first.min(second), first.max(second)]
    }

    /// How many buckets and sessions are read until a session is found that is the one asked for, or all were.
    pub fn reads(&self, hash: Hash, is: impl Fn(u32) -> bool) -> (usize, usize) {
        let (mut buckets, mut sessions) = (0, 0);
        for bucket in self.both(hash) {
            buckets += 1;
            let line = self.line(bucket);
            for lane in lanes(line, hash.tag()) {
                sessions += 1;
                if is(index(line, lane)) {
                    return (buckets, sessions);
                }
            }
        }
        (buckets, sessions)
    }
}

/// A bucket looked at: the other one of the entry at `lane` of the bucket that was looked at before as number `from`.
#[derive(Clone, Copy)]
struct Step {
    bucket: u32,
    from: Option<u8>,
    lane: u8,
}

/// The buckets, found once for many looks at them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lines<'a> {
    lines: &'a [Line],
    mask: u32,
}

impl Lines<'_> {
    /// Asks for the line of the first bucket.
    #[inline(always)]
    pub fn prefetch(self, hash: Hash) {
        weft_intrinsics::prefetch(&self.lines[(hash.low() & self.mask) as usize]);
    }

    /// The first entry with the tag of `hash`, where it is most likely.
    #[inline(always)]
    pub fn candidate(self, hash: Hash) -> Option<u32> {
        let (tag, first) = (hash.tag(), hash.low() & self.mask);
        let line = &self.lines[first as usize];
        if let Some(lane) = lanes(line, tag).next() {
            return Some(index(line, lane));
        }
        let line = &self.lines[other(first, tag, self.mask) as usize];
        lanes(line, tag).next().map(|lane| index(line, lane))
    }
}

/// The other bucket of an entry with `tag`; the other's other is `bucket` again.
fn other(bucket: u32, tag: u16, mask: u32) -> u32 {
    // Fibonacci hashing spreads the tag; the lowest bit makes that the two are not the same.
    let spread = (u64::from(tag).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32 | 1;
    bucket ^ (spread & mask)
}

fn tag(line: &Line, lane: usize) -> u16 {
    (line[lane / 2 % INDICES] >> (lane % 2 * 16)) as u16
}

fn index(line: &Line, lane: usize) -> u32 {
    line[INDICES + lane % LANES]
}

fn set(line: &mut Line, lane: usize, tag: u16, index: u32) {
    let (word, shift) = (lane / 2 % INDICES, lane % 2 * 16);
    line[word] = line[word] & !(0xffff << shift) | u32::from(tag) << shift;
    line[INDICES + lane % LANES] = index;
}

/// The lanes whose tag is `tag`.
#[inline(always)]
fn lanes(line: &Line, tag: u16) -> Lanes {
    let [a, b, c, d, ..] = *line;
    Lanes(weft_intrinsics::equal_halves(&[a, b, c, d], tag))
}

/// Two bits for each lane, the lower of them set or not.
struct Lanes(u32);

impl Iterator for Lanes {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        if self.0 == 0 {
            return None;
        }
        let bit = self.0.trailing_zeros() as usize;
        self.0 &= self.0 - 1;
        Some(bit / 2)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use super::*;
    use crate::flow::hash::Secret;
    use crate::flow::key::{Key, Key4};
    use crate::wire::Vni;
    use proptest::prelude::*;

    fn empty(count: usize) -> Buckets {
        Buckets::new(vec![0; (count + 1) * 16], count)
    }

    /// Hashes as the table has them.
    fn hashes() -> impl Iterator<Item = Hash> {
        let secret = Secret::from_seed(5);
        (0..).map(move |n: u32| secret.hash(&Key4::new(Vni::LOWEST, 17, (n.into(), 1), (n.into(), 2)).0))
    }

    #[test]
    fn a_bucket_is_a_cache_line() {
        let buckets = empty(4);
        for bucket in 0..4 {
            assert_eq!(buckets.line(bucket).as_ptr() as usize % 64, 0);
        }
    }

    #[test]
    fn the_other_of_the_other_is_the_first() {
        let buckets = empty(1 << 10);
        for tag in 1..=u16::MAX {
            let other = buckets.other(77, tag);
            assert_ne!(other, 77);
            assert_eq!(buckets.other(other, tag), 77);
        }
        let others: HashSet<u32> = (1..=u16::MAX).map(|tag| buckets.other(77, tag)).collect();
        assert_eq!(others.len(), 1 << 9, "any at an odd distance");
    }

    /// Fills `count` buckets to 95 % of their places, then takes out and puts in `churn` times. How many were moved.
    fn fill(count: usize, churn: usize) -> u64 {
        let mut buckets = empty(count);
        let full = count * LANES * 95 / 100;
        let mut hashes = hashes();
        let mut held: Vec<Hash> = hashes.by_ref().take(full).collect();
        let mut moved = 0;
        let mut insert =
            |buckets: &mut Buckets, hash: Hash, index: usize| match buckets.insert(hash, index as u32) {
                Ok(moves) => moved += u64::from(moves),
                Err(Crowded) => panic!("no place for {index} in {count} buckets"),
            };
        for (index, hash) in held.iter().enumerate() {
            insert(&mut buckets, *hash, index);
        }
        for (turn, hash) in hashes.take(churn).enumerate() {
            let index = turn * 7919 % full;
            buckets.remove(held[index], index as u32);
            insert(&mut buckets, hash, index);
            held[index] = hash;
        }
        for (index, hash) in held.iter().enumerate() {
            assert!(buckets.candidates(*hash).any(|other| other == index as u32));
        }
        moved
    }

    #[test]
    fn nineteen_of_twenty_places_are_filled_within_the_bound() {
        for (count, churn) in [(1, 100), (2, 100), (4, 100), (128, 20_000), (1 << 12, 200_000), (1 << 17, 0)]
        {
            let moved = fill(count, churn);
            let inserted = count * LANES * 95 / 100 + churn;
            assert!(moved as usize <= inserted, "{count}: {moved} of {inserted}");
        }
    }

    /// Whether each of `hashes` can have a place of its own in its two buckets: by augmenting paths, without a bound.
    fn places(buckets: &Buckets, hashes: &[Hash]) -> bool {
        fn place(
            of: usize,
            ways: &[Vec<u32>],
            seen: &mut HashSet<u32>,
            rows: &mut HashMap<u32, Vec<usize>>,
        ) -> bool {
            ways[of].iter().any(|&bucket| {
                if !seen.insert(bucket) {
                    return false;
                }
                let row = rows.entry(bucket).or_default();
                if row.len() < LANES {
                    row.push(of);
                    return true;
                }
                for (lane, other) in row.clone().into_iter().enumerate() {
                    if place(other, ways, seen, rows) {
                        rows.get_mut(&bucket).unwrap()[lane] = of;
                        return true;
                    }
                }
                false
            })
        }
        let ways: Vec<Vec<u32>> = hashes.iter().map(|hash| buckets.both(*hash).collect()).collect();
        let mut rows = HashMap::new();
        (0..hashes.len()).all(|of| place(of, &ways, &mut HashSet::new(), &mut rows))
    }

    #[test]
    fn a_place_is_found_as_long_as_there_is_one() {
        // Fewer buckets than are looked at. They come to be all but full.
        let mut buckets = empty(64);
        let mut held = Vec::new();
        for hash in hashes() {
            held.push(hash);
            if buckets.insert(hash, held.len() as u32) == Err(Crowded) {
                break;
            }
        }
        assert!(held.len() > 64 * LANES * 98 / 100, "{}", held.len());
        assert!(!places(&buckets, &held));
        held.pop();
        for (index, hash) in (1..).zip(&held) {
            assert!(buckets.candidates(*hash).any(|other| other == index));
        }
    }

    /// Hashes that often meet: few buckets, few tags.
    fn crowd() -> impl Strategy<Value = Hash> {
        (0u64..16, 0u64..6).prop_map(|(low, tag)| Hash(tag << 48 | low))
    }

    proptest! {
        #[test]
        fn agree_with_a_list(
            moves in prop::collection::vec((crowd(), any::<bool>(), any::<prop::sample::Index>()), 0..200),
        ) {
            // 16 buckets: fewer than are looked at, so that a place is found if there is any way to have one.
            let mut buckets = empty(16);
            let mut held: Vec<(Hash, u32)> = Vec::new();
            for (number, (hash, take_out, which)) in moves.into_iter().enumerate() {
                if take_out && !held.is_empty() {
                    let (hash, index) = held.swap_remove(which.index(held.len()));
                    buckets.remove(hash, index);
                } else {
                    let all: Vec<_> = held.iter().map(|(held, _)| *held).chain([hash]).collect();
                    let result = buckets.insert(hash, number as u32);
                    prop_assert_eq!(result.is_ok(), places(&buckets, &all));
                    held.extend(result.is_ok().then_some((hash, number as u32)));
                }
                for (hash, index) in &held {
                    let same = |(other, _): &&(Hash, u32)| {
                        other.tag() == hash.tag() && buckets.both(*other).any(|bucket| buckets.both(*hash).any(|b| b == bucket))
                    };
                    let mut found: Vec<_> = buckets.candidates(*hash).collect();
                    let mut expected: Vec<_> = held.iter().filter(same).map(|(_, index)| *index).collect();
                    found.sort_unstable();
                    expected.sort_unstable();
                    prop_assert!(found.contains(index));
                    prop_assert_eq!(found, expected);
                    prop_assert!(buckets.neighbours(*hash).any(|other| other == *index));
                    prop_assert!(buckets.lines().candidate(*hash).is_some());
                }
            }
            for (hash, index) in held {
                buckets.remove(hash, index);
            }
            prop_assert!(buckets.words.chunks(16).all(|line| line[..INDICES] == [0; INDICES]));
        }

        #[test]
        fn lanes_are_those_with_the_tag(tags: [u16; LANES], tag: u16, which in 0..LANES) {
            let mut line = [0; 16];
            for (lane, tag) in tags.into_iter().enumerate() {
                set(&mut line, lane, tag, lane as u32);
            }
            for asked in [tag, tags[which], tags[which] ^ 1, tags[which] ^ 0x8000, 0] {
                let mut found: Vec<_> = lanes(&line, asked).collect();
                found.sort_unstable();
                let expected: Vec<_> = (0..LANES).filter(|lane| tags[*lane] == asked).collect();
                prop_assert_eq!(found, expected);
            }
            prop_assert!((0..LANES).all(|lane| (super::tag(&line, lane), index(&line, lane)) == (tags[lane], lane as u32)));
        }
    }
}
