//! The one place of the testbed where memory is shared with a switch: a memfd as words.
//!
//! The switch writes to it at any moment and is not believed, so nothing of it is ever seen as plain bytes: all access
//! is by atomic words within the bounds. On x86-64 relaxed and acquire loads and release stores of them are plain moves.

use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// The pages that shared memory is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pages {
    /// The machine's ordinary ones.
    #[default]
    Small,
    /// Hugepages of 2 MiB, which have to be reserved (`/proc/sys/vm/nr_hugepages`).
    Huge,
}

impl Pages {
    /// Their size in bytes.
    pub fn bytes(self) -> usize {
        match self {
            Self::Small => 4 << 10,
            Self::Huge => 2 << 20,
        }
    }
}

/// Memory that a switch is given, all zero at first.
#[derive(Debug)]
pub struct Region {
    at: NonNull<u8>,
    len: usize,
    file: File,
}

impl Region {
    /// At least `len` bytes, in whole pages.
    ///
    /// # Errors
    ///
    /// When the system refuses: there are no hugepages left, say.
    pub fn new(len: usize, pages: Pages) -> io::Result<Self> {
        let len = len.max(1).next_multiple_of(pages.bytes());
        let size = match pages {
            Pages::Small => MemfdFlags::empty(),
            Pages::Huge => MemfdFlags::HUGETLB | MemfdFlags::HUGE_2MB,
        };
        let file = File::from(memfd_create("weft-load", MemfdFlags::CLOEXEC | size)?);
        ftruncate(&file, len as u64)?;
        let (access, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED | MapFlags::POPULATE);
        // SAFETY: no address is asked for, so nothing that is mapped already is replaced.
        let at = unsafe { mmap(ptr::null_mut(), len, access, flags, &file, 0) }?;
        let at = NonNull::new(at.cast()).ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok(Self { at, len, file })
    }

    /// How many bytes it has.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has none, which never is so.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Where it begins in this process, which is how a switch is told of places in it.
    pub fn address(&self) -> u64 {
        self.at.as_ptr() as u64
    }

    /// The memfd.
    pub fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// The word of 16 bits at this offset. Panics where there is none: offsets are the driver's own.
    #[inline]
    pub fn u16(&self, offset: usize) -> &AtomicU16 {
        self.check(offset, size_of::<u16>());
        // SAFETY: checked to be within the mapping, which lives as long as `self`, and aligned. Whoever else looks at it
        // in this process does so by atomic words.
        unsafe { &*self.at.as_ptr().add(offset).cast() }
    }

    /// The word of 32 bits at this offset. Panics where there is none.
    #[inline]
    pub fn u32(&self, offset: usize) -> &AtomicU32 {
        self.check(offset, size_of::<u32>());
        // SAFETY: as above.
        unsafe { &*self.at.as_ptr().add(offset).cast() }
    }

    /// The word of 64 bits at this offset. Panics where there is none.
    #[inline]
    pub fn u64(&self, offset: usize) -> &AtomicU64 {
        self.check(offset, size_of::<u64>());
        // SAFETY: as above.
        unsafe { &*self.at.as_ptr().add(offset).cast() }
    }

    /// Writes bytes at an even offset; a last odd one brings a zero with it.
    pub fn write(&self, offset: usize, bytes: &[u8]) {
        for (at, pair) in (offset..).step_by(2).zip(bytes.chunks(2)) {
            let word = u16::from_ne_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]);
            self.u16(at).store(word, Ordering::Relaxed);
        }
    }

    /// Reads bytes at an even offset.
    pub fn read(&self, offset: usize, bytes: &mut [u8]) {
        for (at, pair) in (offset..).step_by(2).zip(bytes.chunks_mut(2)) {
            let word = self.u16(at).load(Ordering::Relaxed).to_ne_bytes();
            pair.copy_from_slice(&word[..pair.len()]);
        }
    }

    #[inline]
    fn check(&self, offset: usize, size: usize) {
        // The mapping begins at a page, so offsets are aligned as addresses are.
        assert!(
            offset <= self.len - size && offset.is_multiple_of(size),
            "{offset} is no place of the region"
        );
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: it is what `mmap` gave, mapped since, and no reference into it outlives `self`.
        let unmapped = unsafe { munmap(self.at.as_ptr().cast(), self.len) };
        debug_assert!(unmapped.is_ok());
    }
}

// SAFETY: memory belongs to the process, not to a thread; it is only reached as atomic words.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[test]
    fn words_and_bytes_are_the_same_memory() {
        let region = Region::new(100, Pages::Small).unwrap();
        assert_eq!((region.len(), region.is_empty()), (4096, false));
        region.write(8, &[1, 2, 3, 4, 5]);
        assert_eq!(region.u32(8).load(Ordering::Relaxed), u32::from_ne_bytes([1, 2, 3, 4]));
        assert_eq!(region.u64(8).load(Ordering::Relaxed), u64::from_ne_bytes([1, 2, 3, 4, 5, 0, 0, 0]));
        let mut back = [9; 5];
        region.read(8, &mut back);
        assert_eq!(back, [1, 2, 3, 4, 5]);
    }

    #[test]
    fn what_is_outside_or_between_words_is_refused() {
        let region = Region::new(4096, Pages::Small).unwrap();
        region.u64(4088).store(1, Ordering::Relaxed);
        let refused = |reach: fn(&Region)| catch_unwind(AssertUnwindSafe(|| reach(&region))).is_err();
        assert!(refused(|region| _ = region.u16(4096)));
        assert!(refused(|region| _ = region.u64(4090)));
        assert!(refused(|region| _ = region.u32(6)));
        assert!(refused(|region| _ = region.u16(usize::MAX - 1)));
    }
}
