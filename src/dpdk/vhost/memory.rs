//! A guest's memory as it is mapped here, and the one way to an address in it.

use std::ptr::NonNull;
use std::sync::atomic::{AtomicU8, Ordering};

use arrayvec::ArrayVec;

/// Regions that a vhost-user front-end can share.
pub(super) const REGIONS: usize = 8;
/// Bytes that one bit of the log of dirty memory stands for (vhost-user, "Migration").
const LOG_PAGE: u64 = 4096;

/// A stretch of the guest's memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Region {
    /// Where the guest has it.
    pub guest: u64,
    /// Where it is mapped here.
    pub host: u64,
    /// Bytes of it.
    pub size: u64,
}

impl Region {
    /// Where the guest's `len` bytes at `addr` are, if all of them lie in the region.
    #[inline]
    fn find(&self, addr: u64, len: u64) -> Option<NonNull<u8>> {
        let offset = addr.wrapping_sub(self.guest);
        let inside = offset < self.size && len <= self.size - offset;
        // The region is mapped as a whole, so the sum is an address.
        if inside { NonNull::new((self.host + offset) as *mut u8) } else { None }
    }

    /// Whether `len` bytes at the address `start` of this process lie in the region.
    fn holds(&self, start: u64, len: u64) -> bool {
        let offset = start.wrapping_sub(self.host);
        offset < self.size && len <= self.size - offset
    }
}

/// What a guest shares of its memory.
#[derive(Debug)]
pub(super) struct Memory {
    /// The region that was hit last: a guest's buffers lie beside each other.
    last: Region,
    regions: ArrayVec<Region, REGIONS>,
    /// Where to write down what is changed, while the guest is being migrated.
    log: Option<Log>,
}

/// The log of dirty memory: a bit for each page.
#[derive(Clone, Copy, Debug)]
pub(super) struct Log {
    /// Where it is mapped here.
    pub start: NonNull<u8>,
    /// Bytes of it.
    pub size: u64,
}

// SAFETY: the log is shared with another process as it is, and changed by atomic instructions only.
unsafe impl Send for Log {}

impl Memory {
    /// These regions.
    ///
    /// # Safety
    ///
    /// All of them, and the log, stay mapped for reading and writing as long as what is made here is there.
    pub(super) unsafe fn new(regions: ArrayVec<Region, REGIONS>, log: Option<Log>) -> Self {
        let none = Region { guest: 0, host: 0, size: 0 };
        Self { last: regions.first().copied().unwrap_or(none), regions, log }
    }

    /// Where the guest's `len` bytes at `addr` are mapped; `None` where some of them are not the guest's.
    #[inline]
    pub(super) fn find(&mut self, addr: u64, len: u32) -> Option<NonNull<u8>> {
        match self.last.find(addr, len.into()) {
            Some(start) => Some(start),
            None => self.find_anew(addr, len),
        }
    }

    #[cold]
    fn find_anew(&mut self, addr: u64, len: u32) -> Option<NonNull<u8>> {
        let (region, start) =
            self.regions.iter().find_map(|region| Some((*region, region.find(addr, len.into())?)))?;
        self.last = region;
        Some(start)
    }

    /// Whether `len` bytes at the address `start` of this process are the guest's.
    pub(super) fn holds(&self, start: u64, len: u64) -> bool {
        self.regions.iter().any(|region| region.holds(start, len))
    }

    /// Whether changes are to be written down.
    #[inline]
    pub(super) fn is_logged(&self) -> bool {
        self.log.is_some()
    }

    /// Writes down, where that is wanted, that the guest's `len` bytes at `addr` have changed.
    #[inline]
    pub(super) fn changed(&self, addr: u64, len: u64) {
        if let Some(log) = self.log {
            log.mark(addr, len);
        }
    }
}

impl Log {
    #[cold]
    fn mark(self, addr: u64, len: u64) {
        let Some(last) = len.checked_sub(1).and_then(|rest| addr.checked_add(rest)) else { return };
        for page in addr / LOG_PAGE..=last / LOG_PAGE {
            if page / 8 >= self.size {
                return;
            }
            // SAFETY: the byte lies in the log, which is mapped (see `Memory::new`), and everybody changes it atomically.
            let byte = unsafe { AtomicU8::from_ptr(self.start.as_ptr().add((page / 8) as usize)) };
            // Release: whoever sees the bit and copies the page sees what was written to it.
            byte.fetch_or(1 << (page % 8), Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(regions: &[(u64, u64, u64)]) -> Memory {
        let regions =
            regions.iter().map(|(guest, host, size)| Region { guest: *guest, host: *host, size: *size });
        // SAFETY: nothing here follows what is found.
        unsafe { Memory::new(regions.collect(), None) }
    }

    #[test]
    fn addresses_are_found_in_the_region_that_has_all_of_them() {
        let mut memory = memory(&[(0, 0x10_000, 0x1000), (0x10_0000, 0x80_000, 0x2000)]);
        let mut find = |addr, len| memory.find(addr, len).map(|start| start.as_ptr() as u64);
        assert_eq!(find(0, 1), Some(0x10_000));
        assert_eq!(find(0xfff, 1), Some(0x10_fff));
        assert_eq!(find(0x10_0010, 0x1ff0), Some(0x80_010));
        // Back in the first.
        assert_eq!(find(0x10, 0xff0), Some(0x10_010));
        for (addr, len) in [
            (0xfff, 2),
            (0x1000, 0),
            (0x1000, 1),
            (0x10_0000, 0x2001),
            (0x10_2000, 1),
            (u64::MAX, 1),
            (u64::MAX, u32::MAX),
            (0, u32::MAX),
        ] {
            assert_eq!(find(addr, len), None, "{addr:#x} {len:#x}");
        }
    }

    #[test]
    fn a_region_at_the_end_of_all_addresses_does_not_wrap() {
        let mut memory = memory(&[(u64::MAX - 0xfff, 0x10_000, 0x1000)]);
        assert!(memory.find(u64::MAX, 1).is_some());
        assert!(memory.find(u64::MAX, 2).is_none());
        assert!(memory.find(0, 1).is_none());
    }

    #[test]
    fn what_lies_in_no_region_is_not_held() {
        let memory = memory(&[(0, 0x10_000, 0x1000)]);
        assert!(memory.holds(0x10_000, 0x1000));
        assert!(!memory.holds(0x10_000, 0x1001));
        assert!(!memory.holds(0xffff, 2));
        assert!(!memory.holds(0, 0));
    }

    #[test]
    fn a_change_marks_its_pages() {
        let mut bits = [0u8; 4];
        let log = Log { start: NonNull::new(bits.as_mut_ptr()).unwrap(), size: 2 };
        log.mark(4096 * 3 + 10, 4096);
        log.mark(4096 * 15 + 4095, 1);
        // Beyond the log, or nothing.
        log.mark(4096 * 16, 9000);
        log.mark(0, 0);
        log.mark(u64::MAX, 2);
        assert_eq!(bits, [0b0001_1000, 0b1000_0000, 0, 0]);
    }
}
