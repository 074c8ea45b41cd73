//! Nodes, and rings of them that are linked through the nodes themselves: whoever has the head has the ring.

/// No node.
pub(super) const NIL: u32 = u32::MAX;

/// Its output has no room.
pub(super) const STALLED: u8 = 1;
/// It has not been set up.
pub(super) const UNKNOWN: u8 = 2;
/// Why a node is out of turn whatever its bounds.
pub(super) const OUT: u8 = STALLED | UNKNOWN;
/// Its bits are bound.
pub(super) const BITS: u8 = 4;
/// Its packets are.
pub(super) const PACKETS: u8 = 8;
/// It is promised a rate.
pub(super) const PROMISED: u8 = 16;

/// The ring of siblings that are in turn.
pub(super) const TURN: usize = 0;
/// The ring of those of them that are within their assured rate.
pub(super) const ASSURED: usize = 1;
/// The ring of a slot of the wheel.
pub(super) const WHEEL: usize = 2;

/// A node's neighbours in each of the rings, and what decides its turn: a cache line, apart from the buckets, for
/// neighbours are touched that have no packet to send, and most have no bucket.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub(super) struct Node {
    pairs: [Pair; 3],
    /// Bytes that it may still send in this round; less than none is what it has sent of the next ones.
    pub(super) deficit: i32,
    /// As `deficit`, among the assured.
    pub(super) assured: i32,
    /// The share of what is left over.
    pub(super) weight: u16,
    /// The wheel's slot that it is in, or [`Node::NOWHERE`].
    pub(super) slot: u16,
    /// Of a leaf, its group.
    pub(super) parent: u16,
    /// By bit: why it is out of turn, and which of its bounds there are. The others are not touched.
    pub(super) state: u8,
    /// Of a leaf, its queues that are not empty, by bit.
    pub(super) busy: u8,
}

#[derive(Clone, Copy, Debug)]
struct Pair {
    prev: u32,
    next: u32,
}

impl Node {
    /// The slot of what is in none.
    pub(super) const NOWHERE: u16 = u16::MAX;

    /// In no ring, and not set up.
    pub(super) const fn new() -> Self {
        Self {
            pairs: [Pair { prev: NIL, next: NIL }; 3],
            deficit: 0,
            assured: 0,
            weight: 1,
            slot: Self::NOWHERE,
            parent: 0,
            state: UNKNOWN,
            busy: 0,
        }
    }

    /// Whether it is in a ring of this kind.
    #[inline]
    pub(super) const fn is_in<const RING: usize>(&self) -> bool {
        self.pairs[RING].next != NIL
    }

    /// Who comes after it in the ring.
    #[inline]
    pub(super) const fn next<const RING: usize>(&self) -> u32 {
        self.pairs[RING].next
    }

    /// Whether it is out of turn whatever its bounds.
    #[inline]
    pub(super) const fn is_out(&self) -> bool {
        self.state & OUT != 0
    }

    /// Whether it has a bound.
    #[inline]
    pub(super) const fn is_bound(&self) -> bool {
        self.state & (BITS | PACKETS) != 0
    }

    /// Whether it has a bound, or is promised a rate.
    #[inline]
    pub(super) const fn has_buckets(&self) -> bool {
        self.state & (BITS | PACKETS | PROMISED) != 0
    }
}

/// Puts `i`, which is in no ring of this kind, at the end of the ring.
#[inline]
pub(super) fn push<const RING: usize>(nodes: &mut [Node], head: &mut u32, i: u32) {
    if *head == NIL {
        *head = i;
        nodes[i as usize].pairs[RING] = Pair { prev: i, next: i };
        return;
    }
    let last = nodes[*head as usize].pairs[RING].prev;
    nodes[i as usize].pairs[RING] = Pair { prev: last, next: *head };
    nodes[last as usize].pairs[RING].next = i;
    nodes[*head as usize].pairs[RING].prev = i;
}

/// Takes `i` out of the ring, which it is in.
#[inline]
pub(super) fn remove<const RING: usize>(nodes: &mut [Node], head: &mut u32, i: u32) {
    let Pair { prev, next } = nodes[i as usize].pairs[RING];
    nodes[i as usize].pairs[RING] = Pair { prev: NIL, next: NIL };
    if next == i {
        *head = NIL;
        return;
    }
    nodes[prev as usize].pairs[RING].next = next;
    nodes[next as usize].pairs[RING].prev = prev;
    if *head == i {
        *head = next;
    }
}
