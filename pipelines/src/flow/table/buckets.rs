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
pub(super) const LOOKS: usize = 64;

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

    /// Asks for the line of the first bucket.
    #[inline]
    pub fn prefetch(&self, hash: Hash) {
        weft_prefetch::read(self.line(self.first(hash)));
    }

    /// The first entry with the tag of `hash`, where it is most likely.
    #[inline]
    pub fn candidate(&self, hash: Hash) -> Option<u32> {
        let (tag, first) = (hash.tag(), self.first(hash));
        let line = self.line(first);
        if let Some(lane) = lanes(line, tag).next() {
            return Some(index(line, lane));
        }
        let line = self.line(self.other(first, tag));
        lanes(line, tag).next().map(|lane| index(line, lane))
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

    /// The other bucket of an entry with `tag`; the other's other is `bucket` again.
    fn other(&self, bucket: u32, tag: u16) -> u32 {
        // Fibonacci hashing spreads the tag; the lowest bit makes that the two are not the same.
        let spread = (u64::from(tag).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32 | 1;
        bucket ^ (spread & self.mask)
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

/// A bucket looked at: the other one of the entry at `lane` of the bucket that was looked at before as number `from`.
#[derive(Clone, Copy)]
struct Step {
    bucket: u32,
    from: Option<u8>,
    lane: u8,
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

/// The lanes whose tag is `tag`, four at a time in a word: a lane of the difference is 0 exactly where adding to its
/// lower 15 bits does not carry into the highest, nor was that set.
#[inline]
fn lanes(line: &Line, tag: u16) -> Lanes {
    const ONES: u64 = 0x0001_0001_0001_0001;
    const LOW: u64 = 0x7fff * ONES;
    let equal = |half: usize| {
        let tags = u64::from(line[half]) | u64::from(line[half + 1]) << 32;
        let difference = tags ^ (ONES * u64::from(tag));
        !(((difference & LOW) + LOW) | difference | LOW)
    };
    // The first half's at bits 0, 16, 32 and 48, the second's next to them.
    Lanes(equal(0) >> 15 | equal(2) >> 14)
}

struct Lanes(u64);

impl Iterator for Lanes {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        if self.0 == 0 {
            return None;
        }
        let bit = self.0.trailing_zeros() as usize;
        self.0 &= self.0 - 1;
        Some(bit / 16 + bit % 2 * 4)
    }
}
