//! A timing wheel that holds nodes, not packets: those that wait for a bound to open.

use super::list::{self, NIL, Node, WHEEL};
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
    heads: Box<[u32; SLOTS]>,
    /// By slot: whether it has any.
    used: [u64; WORDS],
    /// By word of `used`: whether it has any.
    words: [u64; WORDS / 64],
    /// How many nodes are in.
    len: usize,
    /// The granule up to which all have come out.
    base: u64,
}

impl Wheel {
    /// An empty one.
    pub(super) fn new() -> Self {
        Self { heads: Box::new([NIL; SLOTS]), used: [0; WORDS], words: [0; WORDS / 64], len: 0, base: 0 }
    }

    /// Has node `i` come out at `at`, or as soon after as can be; instead of when it would have before.
    #[inline]
    pub(super) fn insert(&mut self, nodes: &mut [Node], i: u32, at: Tick) {
        let granule = at.0.div_ceil(1 << SHIFT).clamp(self.base + 1, self.base + SLOTS as u64 - 1);
        let slot = granule as usize % SLOTS;
        if nodes[i as usize].slot == slot as u16 {
            return;
        }
        self.remove(nodes, i);
        nodes[i as usize].slot = slot as u16;
        let head = &mut self.heads[slot];
        if *head == NIL {
            self.used[slot / 64] |= 1 << (slot % 64);
            self.words[slot / 4096] |= 1 << (slot / 64 % 64);
        }
        list::push::<WHEEL>(nodes, head, i);
        self.len += 1;
    }

    /// Takes node `i` out, if it is in.
    #[inline]
    pub(super) fn remove(&mut self, nodes: &mut [Node], i: u32) {
        let slot = usize::from(nodes[i as usize].slot);
        if slot >= SLOTS {
            return;
        }
        nodes[i as usize].slot = Node::NOWHERE;
        let head = &mut self.heads[slot];
        list::remove::<WHEEL>(nodes, head, i);
        self.len -= 1;
        if *head == NIL {
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

    /// Takes a node out whose time has come, and says which is to come out next, if that is soon.
    pub(super) fn pop(&mut self, nodes: &mut [Node], now: Tick) -> Option<(u32, u32)> {
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
                let slot = granule as usize % SLOTS;
                let i = self.heads[slot];
                self.remove(nodes, i);
                Some((i, self.heads[slot]))
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
    #[inline]
    fn next(&self) -> Option<u64> {
        if self.len == 0 {
            return None;
        }
        let from = (self.base + 1) as usize % SLOTS;
        // Most often it is in the same word.
        let here = self.used[from / 64] >> (from % 64);
        if here != 0 {
            return Some(self.base + 1 + u64::from(here.trailing_zeros()));
        }
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn each_comes_out_once_never_early_and_a_slot_late_at_most() {
        const NODES: u64 = 200;
        let mut nodes = vec![Node::new(); NODES as usize];
        let (mut wheel, mut due, mut now) = (Wheel::new(), BTreeMap::new(), 0u64);
        let mut state = 1u64;
        let mut below = |bound: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((u128::from(state) * u128::from(bound)) >> 64) as u64
        };
        let mut out = 0;
        for _ in 0..200_000 {
            let node = below(NODES) as u32;
            match below(10) {
                0..4 => {
                    // Within the horizon: 33.5 ms but for a slot.
                    let span = [10_000, 1_000_000, 33_000_000][below(3) as usize];
                    let at = now + below(span);
                    wheel.insert(&mut nodes, node, Tick(at));
                    due.insert(node, at);
                }
                4 => {
                    wheel.remove(&mut nodes, node);
                    due.remove(&node);
                }
                _ => {
                    let pause = [1_000, 10_000, 100_000, 50_000_000][(below(40) as usize).saturating_sub(36)];
                    now += below(pause);
                    let next = wheel.due();
                    let mut first = None;
                    while let Some((node, _)) = wheel.pop(&mut nodes, Tick(now)) {
                        let at = due.remove(&node).expect("it was in");
                        assert!(at <= now, "{node} came out at {now}, not {at}");
                        first = first.or(Some(node));
                        out += 1;
                    }
                    assert!(first.is_none() || next.is_some_and(|next| next.0 <= now));
                    assert!(wheel.is_done(Tick(now)));
                    let floor = now >> SHIFT << SHIFT;
                    assert!(due.values().all(|&at| at > floor), "one is late at {now}");
                    assert_eq!((wheel.len, wheel.due().is_some()), (due.len(), !due.is_empty()));
                }
            }
        }
        assert!(out > 10_000, "{out}");
    }

    #[test]
    fn what_is_farther_than_the_wheel_is_looked_at_again_in_time() {
        let mut nodes = vec![Node::new(); 1];
        let mut wheel = Wheel::new();
        let at = Tick(1_000_000_000);
        wheel.insert(&mut nodes, 0, at);
        let mut looks = 0;
        while let Some(due) = wheel.due() {
            assert_eq!(wheel.pop(&mut nodes, Tick(due.0 - 1)), None);
            assert_eq!(wheel.pop(&mut nodes, due), Some((0, NIL)));
            looks += 1;
            if due >= at {
                assert!(due.0 < at.0 + (1 << SHIFT) && (29..=31).contains(&looks), "{due:?} {looks}");
                return;
            }
            wheel.insert(&mut nodes, 0, at);
        }
        unreachable!("it came out before its time for good");
    }
}
