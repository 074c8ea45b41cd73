//! A timing wheel that holds nodes, not packets: those that wait for a bound to open.

use super::list::{self, Links, NIL, WHEEL};
use crate::ids::Tick;

/// Nanoseconds of a slot, as a power of two: 4.096 µs. No node comes out early, and none later than this after its
/// time; what its bucket gained meanwhile is not lost.
const SHIFT: u32 = 12;
/// Slots, of 33.5 ms together; what is farther comes out at the end, to be looked at again.
const SLOTS: usize = 8192;
const WORDS: usize = SLOTS / 64;

/// The wheel.
#[derive(Debug)]
pub(super) struct Wheel {
    /// By slot: its first node.
    heads: Box<[u32]>,
    /// By slot: whether it has any.
    used: [u64; WORDS],
    /// By word of `used`: whether it has any.
    words: [u64; WORDS / 64],
    /// How many nodes there are.
    nodes: usize,
    /// The granule up to which all have come out.
    base: u64,
}

impl Wheel {
    /// An empty one.
    pub(super) fn new() -> Self {
        let heads = vec![NIL; SLOTS].into_boxed_slice();
        Self { heads, used: [0; WORDS], words: [0; WORDS / 64], nodes: 0, base: 0 }
    }

    /// Has node `i` come out at `at`, or as soon after as can be; instead of when it would have before.
    pub(super) fn insert(&mut self, links: &mut [Links], i: u32, at: Tick) {
        let granule = at.0.div_ceil(1 << SHIFT).clamp(self.base + 1, self.base + SLOTS as u64 - 1);
        let slot = granule as usize % SLOTS;
        let link = &mut links[i as usize];
        if link.slot == slot as u16 {
            return;
        }
        self.remove(links, i);
        links[i as usize].slot = slot as u16;
        list::push::<WHEEL>(links, &mut self.heads[slot], i);
        self.used[slot / 64] |= 1 << (slot % 64);
        self.words[slot / 4096] |= 1 << (slot / 64 % 64);
        self.nodes += 1;
    }

    /// Takes node `i` out, if it is in.
    pub(super) fn remove(&mut self, links: &mut [Links], i: u32) {
        let slot = usize::from(links[i as usize].slot);
        if slot >= SLOTS {
            return;
        }
        links[i as usize].slot = Links::NOWHERE;
        list::remove::<WHEEL>(links, &mut self.heads[slot], i);
        self.nodes -= 1;
        if self.heads[slot] == NIL {
            self.used[slot / 64] &= !(1 << (slot % 64));
            if self.used[slot / 64] == 0 {
                self.words[slot / 4096] &= !(1 << (slot / 64 % 64));
            }
        }
    }

    /// Whether all that is due by `now` has come out.
    #[inline]
    pub(super) const fn is_done(&self, now: Tick) -> bool {
        now.0 >> SHIFT <= self.base
    }

    /// Takes a node out whose time has come.
    pub(super) fn pop(&mut self, links: &mut [Links], now: Tick) -> Option<u32> {
        let target = now.0 >> SHIFT;
        if target <= self.base {
            return None;
        }
        // After a long silence all are due, wherever they are.
        self.base = self.base.max(target.saturating_sub(SLOTS as u64));
        match self.next() {
            Some(granule) if granule <= target => {
                // The rest of the slot is yet to come.
                self.base = granule - 1;
                let i = self.heads[granule as usize % SLOTS];
                self.remove(links, i);
                Some(i)
            }
            _ => {
                self.base = target;
                None
            }
        }
    }

    /// When the next one comes out.
    pub(super) fn due(&self) -> Option<Tick> {
        self.next().map(|granule| Tick(granule << SHIFT))
    }

    /// The first granule after `base` that has any.
    fn next(&self) -> Option<u64> {
        if self.nodes == 0 {
            return None;
        }
        let from = (self.base + 1) as usize % SLOTS;
        let slot = self.first(from).or_else(|| self.first(0))?;
        Some(self.base + 1 + ((slot + SLOTS - from) % SLOTS) as u64)
    }

    /// The first slot from `from` on that has any.
    fn first(&self, from: usize) -> Option<usize> {
        let word = from / 64;
        let here = self.used[word] & (!0 << (from % 64));
        if here != 0 {
            return Some(word * 64 + here.trailing_zeros() as usize);
        }
        let after = word + 1;
        (after / 64..self.words.len()).find_map(|n| {
            let mask = if n == after / 64 { !0 << (after % 64) } else { !0 };
            let words = self.words[n] & mask;
            (words != 0).then(|| {
                let word = n * 64 + words.trailing_zeros() as usize;
                word * 64 + self.used[word].trailing_zeros() as usize
            })
        })
    }
}
