//! A split virtqueue, from the device's side (Virtual I/O Device 1.2, section 2.7).
//!
//! All that the guest writes is read once, into a local, and checked there; it may change at any moment. What cannot
//! be right breaks the ring: it is not touched again until the guest sets it up anew.

use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU16, Ordering, fence};

use arrayvec::ArrayVec;
use rustix::fd::BorrowedFd;

use super::memory::Memory;
use crate::dpdk::BURST;

/// The buffer goes on in the descriptor `next` (2.7.5).
pub(super) const NEXT: u16 = 1;
/// The device may write to the buffer, and not read it.
pub(super) const WRITE: u16 = 2;
/// The buffer holds a table of descriptors: not offered to guests.
pub(super) const INDIRECT: u16 = 4;
/// The guest is not to notify the device, which polls (2.7.10).
const NO_NOTIFY: u16 = 1;
/// The device is not to interrupt the guest, which polls (2.7.7).
const NO_INTERRUPT: u16 = 1;
/// Descriptors that a ring can have.
pub(super) const LARGEST: u16 = 32_768;

/// A descriptor.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(super) struct Descriptor {
    /// Where the guest has the buffer.
    pub addr: u64,
    /// Bytes of it.
    pub len: u32,
    /// [`NEXT`], [`WRITE`], [`INDIRECT`].
    pub flags: u16,
    /// The descriptor that follows.
    pub next: u16,
}

/// An entry of the used ring.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
struct Used {
    /// The first descriptor of the chain.
    id: u32,
    /// Bytes that were written.
    len: u32,
}

/// What is wrong with a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[repr(u8)]
pub enum Fault {
    /// More buffers than the ring has descriptors.
    #[error("it says that it has more buffers available than the ring holds")]
    Index = 1,
    /// A descriptor beyond the ring's end.
    #[error("it names a descriptor beyond the end of the ring")]
    Descriptor = 2,
    /// A buffer to be written to that cannot be.
    #[error("it gives a buffer for received packets that is not in its memory, or not one to write to")]
    Buffer = 3,
}

impl Fault {
    /// The fault of this number.
    pub(super) fn from_number(number: u8) -> Option<Self> {
        [Self::Index, Self::Descriptor, Self::Buffer].into_iter().find(|fault| *fault as u8 == number)
    }
}

/// Where a ring is, and how far it has come.
#[derive(Debug)]
pub(super) struct Layout {
    /// The descriptor table.
    pub descriptors: u64,
    /// The available ring, which the guest writes.
    pub available: u64,
    /// The used ring, which the device writes.
    pub used: u64,
    /// Where the guest has the used ring, to log changes of it; 0 if it is not to be logged.
    pub used_guest: u64,
    /// Descriptors, a power of two.
    pub size: u16,
    /// The next entry of the available ring to be read.
    pub next_available: u16,
    /// The next entry of the used ring to be written.
    pub next_used: u16,
}

/// What was agreed with the guest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Agreed {
    /// Bytes of the header before each packet.
    pub header: usize,
    /// Whether a packet for the guest may fill several buffers.
    pub mergeable: bool,
    /// Whether indices say when an interrupt is wanted, not flags.
    pub event_index: bool,
}

/// A virtqueue, with the memory that it is about.
#[derive(Debug)]
pub(super) struct Ring {
    descriptors: NonNull<Descriptor>,
    available: NonNull<u16>,
    used: NonNull<u16>,
    used_guest: u64,
    size: u16,
    next_available: u16,
    next_used: u16,
    pub agreed: Agreed,
    pub memory: Memory,
    /// Interrupts the guest when written to.
    call: Option<BorrowedFd<'static>>,
    fault: Option<Fault>,
}

// SAFETY: the pointers are to memory that is mapped for the whole process, and nobody else has them.
unsafe impl Send for Ring {}

impl Ring {
    /// The ring at `layout` in `memory`; `None` where it does not lie in it, or cannot be a ring.
    ///
    /// # Safety
    ///
    /// `call` stays open as long as what is made here is there.
    pub(super) unsafe fn new(
        layout: &Layout,
        agreed: Agreed,
        memory: Memory,
        call: Option<BorrowedFd<'static>>,
    ) -> Option<Self> {
        let size = u64::from(layout.size);
        let index = if agreed.event_index { 2 } else { 0 };
        let fits = layout.size.is_power_of_two()
            && layout.size <= LARGEST
            && memory.holds(layout.descriptors, 16 * size)
            && memory.holds(layout.available, 4 + 2 * size + index)
            && memory.holds(layout.used, 4 + 8 * size + index);
        let aligned = layout.descriptors.is_multiple_of(16)
            && layout.available.is_multiple_of(2)
            && layout.used.is_multiple_of(4);
        if !(fits && aligned) {
            return None;
        }
        let ring = Self {
            descriptors: NonNull::new(layout.descriptors as *mut Descriptor)?,
            available: NonNull::new(layout.available as *mut u16)?,
            used: NonNull::new(layout.used as *mut u16)?,
            used_guest: layout.used_guest,
            size: layout.size,
            next_available: layout.next_available,
            next_used: layout.next_used,
            agreed,
            memory,
            call,
            fault: None,
        };
        // With event indices the guest looks at the index instead, and notifies once in 65,536 buffers.
        ring.used_word(0).store(NO_NOTIFY, Ordering::Relaxed);
        Some(ring)
    }

    /// The next entries of the available and the used ring.
    pub(super) fn position(&self) -> (u16, u16) {
        (self.next_available, self.next_used)
    }

    /// What is wrong with the ring, if it is broken.
    pub(super) fn fault(&self) -> Option<Fault> {
        self.fault
    }

    /// The ring is not to be touched again.
    #[cold]
    pub(super) fn fail(&mut self, fault: Fault) {
        self.fault = self.fault.or(Some(fault));
    }

    /// How many chains of descriptors are there for the device: none of a broken ring.
    #[inline]
    pub(super) fn available(&mut self) -> u16 {
        if self.fault.is_some() {
            return 0;
        }
        // The entries are wanted next, and come while the index does.
        let slot = self.next_available & (self.size - 1);
        prefetch(self.available_word(2 + usize::from(slot)).as_ptr().cast());
        // Acquire: what the guest wrote before it, entries and descriptors, is there to be read.
        let count = self.available_word(1).load(Ordering::Acquire).wrapping_sub(self.next_available);
        if count > self.size {
            self.fail(Fault::Index);
            return 0;
        }
        count
    }

    /// The first descriptor of the chain that is `ahead` of the next one; `None`, and a broken ring, if it is none.
    #[inline]
    pub(super) fn head(&mut self, ahead: u16) -> Option<u16> {
        let slot = self.next_available.wrapping_add(ahead) & (self.size - 1);
        let head = self.available_word(2 + usize::from(slot)).load(Ordering::Relaxed);
        if head >= self.size {
            self.fail(Fault::Descriptor);
            return None;
        }
        Some(head)
    }

    /// The first descriptors of the next `count` chains, as far as they are there, a burst at most. Asks for their cache lines,
    /// and for those of as many used entries.
    #[inline]
    pub(super) fn heads(&mut self, count: usize) -> ArrayVec<u16, BURST> {
        let mut heads = ArrayVec::new();
        for ahead in 0..count.min(BURST) {
            let Some(head) = self.head(ahead as u16) else { break };
            self.prefetch(head);
            heads.push(head);
        }
        self.prefetch_used(heads.len() as u16);
        heads
    }

    /// Asks for the cache line of a descriptor.
    #[inline]
    fn prefetch(&self, index: u16) {
        // SAFETY: heads and what follows them are checked against the size.
        prefetch(unsafe { self.descriptors.as_ptr().add(index.into()) }.cast());
    }

    /// A descriptor as it is at this moment; `None` beyond the end of the ring.
    #[inline]
    pub(super) fn descriptor(&self, index: u16) -> Option<Descriptor> {
        if index >= self.size {
            return None;
        }
        // SAFETY: the table of `size` descriptors lies in the guest's memory, which is mapped, and is aligned. The guest
        // may write to it meanwhile: each field is read once, and any value of it is one.
        Some(unsafe { ptr::read_volatile(self.descriptors.as_ptr().add(index.into())) })
    }

    /// Asks for the cache lines of the next used entries, to be written.
    #[inline]
    fn prefetch_used(&self, entries: u16) {
        // 64 bytes are eight entries.
        for ahead in (0..entries).step_by(8) {
            let slot = usize::from(self.next_used.wrapping_add(ahead) & (self.size - 1));
            // SAFETY: as in `put_used`.
            prefetch_to_write(unsafe { self.used.as_ptr().add(2).cast::<Used>().add(slot) }.cast());
        }
    }

    /// Descriptors of the ring.
    pub(super) fn size(&self) -> u16 {
        self.size
    }

    /// Writes the used entry that is `ahead` of the next one: a chain, and the bytes that were written to it.
    #[inline]
    pub(super) fn put_used(&self, ahead: u16, head: u16, len: u32) {
        let slot = usize::from(self.next_used.wrapping_add(ahead) & (self.size - 1));
        let entry = Used { id: head.into(), len };
        // SAFETY: the ring of `size` entries, which start after two words, lies in the guest's memory, which is mapped.
        // The words are aligned to four bytes, as an entry is.
        unsafe { ptr::write_volatile(self.used.as_ptr().add(2).cast::<Used>().add(slot), entry) };
    }

    /// Gives the guest `chains` back, whose used entries are written, and interrupts it if it asked for that.
    #[inline]
    pub(super) fn release(&mut self, chains: u16) {
        if chains == 0 {
            return;
        }
        let before = self.next_used;
        if self.memory.is_logged() {
            self.log_used(chains);
        }
        self.next_available = self.next_available.wrapping_add(chains);
        self.next_used = before.wrapping_add(chains);
        // Release: the guest finds entries and packets where it finds the index.
        self.used_word(1).store(self.next_used, Ordering::Release);
        if self.call.is_some() {
            self.interrupt(before);
        }
    }

    #[cold]
    fn log_used(&self, chains: u16) {
        if self.used_guest == 0 {
            return;
        }
        for ahead in 0..chains {
            let slot = self.next_used.wrapping_add(ahead) & (self.size - 1);
            self.memory.changed(self.used_guest + 4 + 8 * u64::from(slot), 8);
        }
        self.memory.changed(self.used_guest, 4);
    }

    /// Interrupts the guest if it asked for that, the used index having been `before`.
    fn interrupt(&self, before: u16) {
        // The index is out before the guest's wish is read: else the guest might go to sleep in between.
        fence(Ordering::SeqCst);
        let wanted = if self.agreed.event_index {
            // 2.7.10.1: the guest wants to know when the entry at its index is written.
            let event = self.available_word(2 + usize::from(self.size)).load(Ordering::Relaxed);
            self.next_used.wrapping_sub(event).wrapping_sub(1) < self.next_used.wrapping_sub(before)
        } else {
            self.available_word(0).load(Ordering::Relaxed) & NO_INTERRUPT == 0
        };
        if let Some(call) = self.call.filter(|_| wanted) {
            // It does not wait: a full counter has the guest interrupted already.
            let _ = rustix::io::write(call, &1u64.to_ne_bytes());
        }
    }

    /// A word of the available ring: flags, index, entries, and the event index.
    #[inline]
    fn available_word(&self, word: usize) -> &AtomicU16 {
        debug_assert!(word < 3 + usize::from(self.size));
        // SAFETY: the ring's flags, index and `size` entries, and the event index if there is one, lie in the guest's memory, which is mapped, and
        // are aligned. Everybody reads and writes whole words.
        unsafe { AtomicU16::from_ptr(self.available.as_ptr().add(word)) }
    }

    /// The used ring's flags (0) or index (1).
    #[inline]
    fn used_word(&self, word: usize) -> &AtomicU16 {
        debug_assert!(word < 2);
        // SAFETY: as above.
        unsafe { AtomicU16::from_ptr(self.used.as_ptr().add(word)) }
    }
}

/// Asks for the cache line at `place`, and to have it alone: the guest's processor has read it.
#[inline(always)]
pub(super) fn prefetch_to_write(place: *const u8) {
    #[cfg(target_arch = "x86_64")]
    {
        // SAFETY: a prefetch never faults, wherever it points; processors that do not know this one do nothing.
        unsafe {
            std::arch::asm!("prefetchw [{}]", in(reg) place, options(nostack, preserves_flags, readonly));
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}

/// Asks for the cache line at `place`.
#[inline(always)]
pub(super) fn prefetch(place: *const u8) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch never faults, wherever it points.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(place.cast()) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}
