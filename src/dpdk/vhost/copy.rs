//! Copying of packets, most of which are a cache line or two.

use std::ptr;

/// Copies `len` bytes.
///
/// # Safety
///
/// `from` can be read, and `to` written to, for as many bytes; they do not overlap. Others may write to `from` meanwhile.
#[inline(always)]
pub(super) unsafe fn copy(from: *const u8, to: *mut u8, len: usize) {
    const PART: usize = 32;
    if !(PART..=4 * PART).contains(&len) {
        // SAFETY: as promised.
        unsafe { ptr::copy_nonoverlapping(from, to, len) };
        return;
    }
    // Whole parts, and one that ends where the packet does: it overlaps the one before.
    let last = len - PART;
    let mut done = 0;
    // SAFETY: every part begins at `last` or before it, so it ends within the `len` bytes.
    unsafe {
        while done < last {
            ptr::copy_nonoverlapping(
                from.add(done).cast::<[u8; PART]>(),
                to.add(done).cast::<[u8; PART]>(),
                1,
            );
            done += PART;
        }
        ptr::copy_nonoverlapping(from.add(last).cast::<[u8; PART]>(), to.add(last).cast::<[u8; PART]>(), 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_as_many_bytes_as_it_is_told() {
        let from: Vec<u8> = (0..300u32).map(|i| i.to_le_bytes()[0] | 1).collect();
        for len in 0..300 {
            let mut to = vec![0; 301];
            // SAFETY: both are longer.
            unsafe { copy(from.as_ptr(), to.as_mut_ptr(), len) };
            assert_eq!(to[..len], from[..len]);
            assert!(to[len..].iter().all(|byte| *byte == 0), "{len}");
        }
    }
}
