//! Rings of nodes, linked through the nodes themselves: whoever has the head has the ring.

/// No node.
pub(super) const NIL: u32 = u32::MAX;

/// The ring of siblings that are in turn.
pub(super) const TURN: usize = 0;
/// The ring of those of them that are within their assured rate.
pub(super) const ASSURED: usize = 1;
/// The ring of a slot of the wheel.
pub(super) const WHEEL: usize = 2;

/// A node's neighbours in each of the rings, and what decides its turn. Half a cache line, apart from the buckets:
/// neighbours are touched that have no packet to send.
#[derive(Clone, Debug)]
pub(super) struct Links {
    pairs: [Pair; 3],
    /// Bytes that it may still send in this round; less than none is what it has sent of the next ones.
    pub(super) deficit: i32,
    /// The share of what is left over.
    pub(super) weight: u16,
    /// The wheel's slot that it is in, or [`Links::NOWHERE`].
    pub(super) slot: u16,
}

#[derive(Clone, Copy, Debug)]
struct Pair {
    prev: u32,
    next: u32,
}

impl Links {
    /// The slot of what is in none.
    pub(super) const NOWHERE: u16 = u16::MAX;

    /// In no ring.
    pub(super) const fn new() -> Self {
        Self { pairs: [Pair { prev: NIL, next: NIL }; 3], deficit: 0, weight: 1, slot: Self::NOWHERE }
    }

    /// Whether it is in a ring of this kind.
    #[inline]
    pub(super) const fn is_in<const RING: usize>(&self) -> bool {
        self.pairs[RING].next != NIL
    }
}

/// Who comes after `i`.
#[inline]
pub(super) fn next<const RING: usize>(links: &[Links], i: u32) -> u32 {
    links[i as usize].pairs[RING].next
}

/// Puts `i`, which is in no ring of this kind, at the end of the ring.
#[inline]
pub(super) fn push<const RING: usize>(links: &mut [Links], head: &mut u32, i: u32) {
    if *head == NIL {
        *head = i;
        links[i as usize].pairs[RING] = Pair { prev: i, next: i };
        return;
    }
    let last = links[*head as usize].pairs[RING].prev;
    links[i as usize].pairs[RING] = Pair { prev: last, next: *head };
    links[last as usize].pairs[RING].next = i;
    links[*head as usize].pairs[RING].prev = i;
}

/// Takes `i` out of the ring, which it is in.
#[inline]
pub(super) fn remove<const RING: usize>(links: &mut [Links], head: &mut u32, i: u32) {
    let Pair { prev, next } = links[i as usize].pairs[RING];
    links[i as usize].pairs[RING] = Pair { prev: NIL, next: NIL };
    if next == i {
        *head = NIL;
        return;
    }
    links[prev as usize].pairs[RING].next = next;
    links[next as usize].pairs[RING].prev = prev;
    if *head == i {
        *head = next;
    }
}
