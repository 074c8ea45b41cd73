//! Records in a ring that overwrites: one writer, which never waits, and any number of readers, of which it knows
//! nothing.
//!
//! The ring's first word counts the records that are written. Record *n*, from 0, is in the slot *n* mod *capacity*;
//! the slot is a row (see [`seqlock`]), and its sequence is 2*n* + 1 while the record is being written and 2*n* + 2
//! when it is there. So a reader knows of each slot which record it has, and of each record that it wanted whether it
//! still was there.

use super::seqlock;
use super::word::{Load, Store};

/// Words of a cache line.
const LINE: usize = 8;

/// A ring in memory.
#[derive(Debug)]
pub struct Ring<'a, W> {
    /// How many records were written.
    written: &'a W,
    /// The slots, one after the other.
    slots: &'a [W],
    /// Words of a slot, its sequence included.
    slot: usize,
    /// Slots less one; their number is a power of two.
    mask: u64,
}

impl<W> Clone for Ring<'_, W> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<W> Copy for Ring<'_, W> {}

impl<'a, W> Ring<'a, W> {
    /// The ring whose slots, of `slot` words each, begin at the word `lead` of `words`; none where they do not fit, or
    /// their number is no power of two.
    #[inline]
    pub fn new(words: &'a [W], lead: usize, slot: usize, capacity: usize) -> Option<Self> {
        let (written, slots) = (words.first()?, words.get(lead.max(1)..)?);
        let fits = capacity.is_power_of_two() && slot > 1 && capacity.checked_mul(slot)? <= slots.len();
        fits.then(|| Self { written, slots, slot, mask: capacity as u64 - 1 })
    }

    /// How many slots it has.
    pub const fn capacity(&self) -> u64 {
        self.mask + 1
    }

    #[inline]
    fn slot(&self, number: u64) -> &'a [W] {
        let at = (number & self.mask) as usize * self.slot;
        self.slots.get(at..at + self.slot).unwrap_or_default()
    }
}

impl<W: Store> Ring<'_, W> {
    /// Writes record `number`, counted from 0, over that which was a lap before.
    #[inline]
    pub fn write(&self, number: u64, record: &[u64]) {
        seqlock::write(self.slot(number), whole(number), record);
        self.written.publish(number + 1);
        // The ring is larger than a cache: the next slot comes near until there is something to write.
        self.slot(number + 1).iter().step_by(LINE).for_each(weft_intrinsics::prefetch);
    }
}

impl<W: Load> Ring<'_, W> {
    /// How many records were written.
    #[inline]
    pub fn written(&self) -> u64 {
        let written = self.written.load();
        W::acquire();
        written
    }
}

/// The sequence of the slot that holds record `number`.
#[inline]
const fn whole(number: u64) -> u64 {
    number.wrapping_mul(2).wrapping_add(2)
}

/// What a reader finds next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next<T> {
    /// A record.
    Record(T),
    /// So many were overwritten before they were read.
    Lost(u64),
    /// There is no more for now.
    Nothing,
}

/// How far a reader has come. What it read and what it lost make up what was written since its start, always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    next: u64,
    read: u64,
    lost: u64,
}

impl Cursor {
    /// One that has seen what came before record `number`, or does not care.
    pub const fn at(number: u64) -> Self {
        Self { next: number, read: 0, lost: 0 }
    }

    /// The number of the record that it comes to next.
    pub const fn position(&self) -> u64 {
        self.next
    }

    /// Records that were read.
    pub const fn read(&self) -> u64 {
        self.read
    }

    /// Records that were overwritten, or were not whole in the file, before they could be read.
    pub const fn lost(&self) -> u64 {
        self.lost
    }

    /// The next record of `ring`, copied to `record`.
    #[inline]
    pub fn next<W: Load>(&mut self, ring: &Ring<'_, W>, record: &mut [u64]) -> Next<()> {
        let written = ring.written();
        if written <= self.next {
            return Next::Nothing;
        }
        if written - self.next > ring.capacity() {
            return self.skip(written, ring.capacity());
        }
        match seqlock::read(ring.slot(self.next), record) {
            Ok(sequence) if sequence == whole(self.next) => {
                self.next += 1;
                self.read += 1;
                Next::Record(())
            }
            // It has another record by now, or is getting one: the writer has come round meanwhile.
            _ => self.skip(ring.written(), ring.capacity()),
        }
    }

    /// Goes on with what is sure to be there for a while: the oldest eighth of what is left may be gone in an instant.
    #[cold]
    fn skip(&mut self, written: u64, capacity: u64) -> Next<()> {
        let oldest = written.saturating_sub(capacity - capacity / 8);
        // What is known to be overwritten is lost, whatever the count says: it may be older than the slot.
        let next = oldest.max(self.next + 1);
        let lost = next - self.next;
        self.next = next;
        self.lost = self.lost.saturating_add(lost);
        Next::Lost(lost)
    }
}
