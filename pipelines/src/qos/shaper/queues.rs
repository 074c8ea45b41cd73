//! The packets that wait: a slab of them, and the queues of a leaf that link them.

use super::codel::Target;
use super::level::{FRAME, less};
use super::list::NIL;
use crate::ids::Tick;
use crate::qos::{Class, Classes, Share};

/// Where packets wait, of all queues.
#[derive(Debug)]
pub(super) struct Slab<T> {
    slots: Vec<Slot<T>>,
    /// The first one that is free.
    free: u32,
    /// How many are not.
    pub(super) used: usize,
}

#[derive(Debug)]
struct Slot<T> {
    item: Option<T>,
    /// When it came.
    at: Tick,
    cost: u32,
    /// Who comes after it, in its queue or among the free.
    next: u32,
}

impl<T> Slab<T> {
    pub(super) const fn new() -> Self {
        Self { slots: Vec::new(), free: NIL, used: 0 }
    }

    /// Has room for `room` packets at least.
    pub(super) fn grow(&mut self, room: usize) {
        let room = room.min(NIL as usize);
        self.slots.reserve_exact(room.saturating_sub(self.slots.len()));
        while self.slots.len() < room {
            let slot = Slot { item: None, at: Tick(0), cost: 0, next: self.free };
            self.free = self.slots.len() as u32;
            self.slots.push(slot);
        }
    }

    /// Puts a packet in; gives it back if there is no room.
    #[inline]
    fn put(&mut self, item: T, cost: u32, at: Tick) -> Result<u32, T> {
        let n = self.free;
        let Some(slot) = self.slots.get_mut(n as usize) else { return Err(item) };
        self.free = slot.next;
        *slot = Slot { item: Some(item), at, cost, next: NIL };
        self.used += 1;
        Ok(n)
    }

    /// Takes a packet out, and says who comes after it.
    #[inline]
    fn take(&mut self, n: u32) -> Option<(T, u32)> {
        let slot = self.slots.get_mut(n as usize)?;
        let item = slot.item.take()?;
        let next = std::mem::replace(&mut slot.next, self.free);
        self.free = n;
        self.used -= 1;
        Some((item, next))
    }
}

/// One traffic class of a leaf.
#[derive(Clone, Debug)]
struct Queue {
    head: u32,
    tail: u32,
    len: u32,
    /// What waits costs so much.
    bytes: u32,
    /// As of a node: what it may still send in this round.
    deficit: i32,
    /// What it may send in a round.
    quantum: i32,
}

/// The queues of a leaf. Two cache lines.
#[derive(Clone, Debug)]
#[repr(C, align(128))]
pub(super) struct Queues {
    /// Packets of all of them.
    pub(super) waiting: u32,
    /// Whose turn it is among those that are not strict.
    turn: u8,
    /// How many are strict.
    strict: u8,
    /// Of which CoDel knows something, by bit.
    pub(super) watched: u8,
    /// What they are held to.
    pub(super) target: Target,
    queues: [Queue; Class::MAX],
}

/// The packet that would leave next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Next {
    pub(super) class: usize,
    pub(super) cost: u32,
    pub(super) at: Tick,
    /// What waits behind it costs so much.
    pub(super) behind: u32,
}

impl Queues {
    pub(super) fn new() -> Self {
        let queue = Queue { head: NIL, tail: NIL, len: 0, bytes: 0, deficit: 0, quantum: FRAME as i32 };
        let queues = std::array::from_fn(|_| queue.clone());
        let target = Target::of(&Share::default());
        Self { waiting: 0, turn: 0, strict: 0, watched: 0, target, queues }
    }

    /// Takes other weights and another number of strict ones.
    pub(super) fn set(&mut self, classes: &Classes) {
        self.strict = classes.strict.min(Class::MAX as u8);
        let weights = classes.weights.map(|weight| u64::from(weight.max(1)));
        let least = weights.iter().skip(usize::from(self.strict)).min().copied().unwrap_or(1);
        for (queue, weight) in self.queues.iter_mut().zip(weights) {
            queue.quantum = (u64::from(FRAME) * weight / least).min(1 << 27) as i32;
            // What a class sent while it was strict it does not owe the others.
            queue.deficit = queue.deficit.clamp(-queue.quantum, queue.quantum);
        }
    }

    /// Packets that wait in `class`.
    #[inline]
    pub(super) fn len(&self, class: usize) -> u32 {
        self.queues[class % Class::MAX].len
    }

    /// Puts a packet at the end of `class`.
    #[inline]
    pub(super) fn push<T>(
        &mut self,
        slab: &mut Slab<T>,
        class: usize,
        cost: u32,
        item: T,
        now: Tick,
    ) -> Result<(), T> {
        let n = slab.put(item, cost, now)?;
        let queue = &mut self.queues[class % Class::MAX];
        if queue.head == NIL {
            queue.head = n;
            // It comes last: as of a node.
            queue.deficit = queue.deficit.saturating_add(queue.quantum).min(queue.quantum);
        } else {
            slab.slots[queue.tail as usize].next = n;
        }
        queue.tail = n;
        queue.len += 1;
        queue.bytes = queue.bytes.saturating_add(cost);
        self.waiting += 1;
        Ok(())
    }

    /// Whether CoDel need not be asked about the packet that leaves next of `class`, after so many nanoseconds. What waits
    /// no longer than it may is most, and costs no look at what CoDel knows.
    #[inline]
    pub(super) const fn is_fine(&self, class: usize, waited: u64) -> bool {
        waited < self.target.target as u64 && self.watched & 1 << class == 0
    }

    /// The packet whose turn it is; `busy` are the queues that have any.
    #[inline]
    pub(super) fn next<T>(&mut self, slab: &Slab<T>, busy: u8) -> Option<Next> {
        if busy == 0 {
            return None;
        }
        let class = self.choose(busy);
        let queue = &self.queues[class];
        let slot = slab.slots.get(queue.head as usize)?;
        Some(Next { class, cost: slot.cost, at: slot.at, behind: queue.bytes.saturating_sub(slot.cost) })
    }

    /// Brings it into the cache.
    #[inline]
    pub(super) fn fetch(&self) {
        weft_intrinsics::prefetch(self);
        weft_intrinsics::prefetch(&self.queues[Class::MAX - 1]);
    }

    /// Brings the packet into the cache that is likely to leave next.
    #[inline]
    pub(super) fn fetch_next<T>(&self, slab: &Slab<T>) {
        if let Some(slot) = slab.slots.get(self.queues[usize::from(self.turn) % Class::MAX].head as usize) {
            weft_intrinsics::prefetch(slot);
        }
    }

    /// Charges the packet that leaves next. Whose turn it is then, no processor can guess: it chooses between values, not
    /// ways.
    #[inline]
    pub(super) fn charge(&mut self, class: usize, cost: u32) {
        let queue = &mut self.queues[class % Class::MAX];
        let deficit = less(queue.deficit, cost);
        let is_spent = deficit <= 0 && class >= usize::from(self.strict);
        queue.deficit =
            core::hint::select_unpredictable(is_spent, deficit.saturating_add(queue.quantum), deficit);
        self.turn =
            core::hint::select_unpredictable(is_spent, (class as u8 + 1) % Class::MAX as u8, self.turn);
    }

    /// The first packet of `class`, which stays.
    pub(super) fn first_mut<'a, T>(&self, slab: &'a mut Slab<T>, class: usize) -> Option<&'a mut T> {
        slab.slots.get_mut(self.queues[class % Class::MAX].head as usize)?.item.as_mut()
    }

    /// Takes out the packet that leaves next, and says whether it was the last of its class.
    #[inline]
    pub(super) fn pop<T>(&mut self, slab: &mut Slab<T>, next: Next) -> Option<(T, bool)> {
        let queue = &mut self.queues[next.class % Class::MAX];
        let (item, after) = slab.take(queue.head)?;
        queue.len -= 1;
        queue.bytes = next.behind;
        queue.head = after;
        self.waiting -= 1;
        Some((item, after == NIL))
    }

    /// Whose turn it is of `busy`.
    #[inline]
    fn choose(&mut self, busy: u8) -> usize {
        let first = busy.trailing_zeros() as usize % Class::MAX;
        if first < usize::from(self.strict) || busy & busy.wrapping_sub(1) == 0 {
            return first;
        }
        // As at a node: a queue with a packet far larger than a frame may be served out of turn, and pays later.
        for _ in 0..64 {
            let class = self.first_from_turn(busy);
            self.turn = class as u8;
            if self.queues[class].deficit > 0 {
                return class;
            }
            self.rotate(class);
        }
        first
    }

    /// The first of `busy`, which are not none, from the one on whose turn it is.
    #[inline]
    fn first_from_turn(&self, busy: u8) -> usize {
        let turn = u32::from(self.turn) % Class::MAX as u32;
        let twice = (u32::from(busy) << Class::MAX | u32::from(busy)) >> turn;
        (turn + twice.trailing_zeros()) as usize % Class::MAX
    }

    /// The next one's turn.
    fn rotate(&mut self, class: usize) {
        let queue = &mut self.queues[class];
        queue.deficit = queue.deficit.saturating_add(queue.quantum);
        self.turn = (class as u8 + 1) % Class::MAX as u8;
    }
}
