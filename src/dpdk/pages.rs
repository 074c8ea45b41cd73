//! Transparent large pages for memory that is ours and not DPDK's.

use std::io;

use rustix::mm::{Advice, madvise};

/// Bytes of a page.
const PAGE: usize = 4096;

/// Asks the kernel to back `(start, bytes)` with large pages where it can (`madvise(MADV_HUGEPAGE)`): a table larger than
/// the processor's reach of small ones otherwise costs a walk through page tables with each look.
///
/// It is advice: without support, and for memory that is not whole pages, everything stays as it is.
pub fn prefer_large_pages((start, bytes): (*const u8, usize)) {
    let skipped = start.align_offset(PAGE);
    let Some(whole) = bytes.checked_sub(skipped).map(|left| left / PAGE * PAGE).filter(|whole| *whole > 0)
    else {
        return;
    };
    let start = start.wrapping_add(skipped).cast_mut().cast();
    // SAFETY: this advice changes neither what is in the memory nor who may use it, only the size of its pages; of
    // addresses that are not mapped the kernel answers with an error.
    let advised = unsafe { madvise(start, whole, Advice::LinuxHugepage) };
    if let Err(error) = advised {
        tracing::debug!(%error, "no large pages for sessions");
    }
}

/// Backs the pages that `(start, bytes)` lies on, now, as writing to each would (`MADV_POPULATE_WRITE`, Linux 5.14).
///
/// # Errors
///
/// When the kernel is older, no memory is left, or none is mapped there.
pub fn back_with_pages((start, bytes): (usize, usize)) -> io::Result<()> {
    let first = start / PAGE * PAGE;
    let whole = (start + bytes).next_multiple_of(PAGE) - first;
    let first = std::ptr::without_provenance_mut(first);
    // SAFETY: nothing that is in memory changes, whoever uses it and for what; where none is mapped the kernel answers
    // with an error.
    Ok(unsafe { madvise(first, whole, Advice::LinuxPopulateWrite) }?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_the_memory_stays() {
        let memory: Vec<u32> = (0..3 << 20).collect();
        prefer_large_pages((memory.as_ptr().cast(), size_of_val(&*memory)));
        prefer_large_pages((memory.as_ptr().cast(), 100));
        back_with_pages((memory.as_ptr().addr(), size_of_val(&*memory))).unwrap();
        assert!((0..3 << 20).eq(memory));
    }
}
