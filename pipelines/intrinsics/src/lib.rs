//! What the packet logic asks of the processor beyond what the language has: to bring memory into its cache before it
//! is needed, and to compare many small numbers at once.
//!
//! A crate of its own, because the packet logic forbids `unsafe` and the standard library has no safe way to ask.

/// Asks for the cache line where `value` starts. It changes nothing but how soon a later access is served.
#[inline(always)]
pub fn prefetch<T>(value: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch reads nothing as far as the program can tell and never faults; the address is a
        // reference's besides.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(core::ptr::from_ref(value).cast()) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = value;
}

/// Which of eight numbers of 16 bits are `number`: bit 2 *n* for number *n*. They stand two in a word, the first in the
/// low half.
#[inline(always)]
pub fn equal_halves(words: &[u32; 4], number: u16) -> u32 {
    #[cfg(target_arch = "x86_64")]
    {
        use core::arch::x86_64::{_mm_cmpeq_epi16, _mm_loadu_si128, _mm_movemask_epi8, _mm_set1_epi16};
        // SAFETY: every x86-64 has SSE2; 16 bytes are read, as many as `words` has, and need not be aligned.
        let bytes = unsafe {
            let words = _mm_loadu_si128(words.as_ptr().cast());
            _mm_movemask_epi8(_mm_cmpeq_epi16(words, _mm_set1_epi16(number as i16)))
        };
        bytes as u32 & 0x5555
    }
    #[cfg(not(target_arch = "x86_64"))]
    one_by_one(words, number)
}

/// The same without the processor's help.
#[cfg(any(test, not(target_arch = "x86_64")))]
fn one_by_one(words: &[u32; 4], number: u16) -> u32 {
    let half = |n: usize| (words[n / 2] >> (n % 2 * 16)) as u16;
    (0..8).map(|n| u32::from(half(n) == number) << (2 * n)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_each_number_at_its_place() {
        for n in 0..8 {
            let mut words = [0x0001_ffff, 7 << 16, 0x8000_0000, 3];
            words[n / 2] = words[n / 2] & !(0xffff << (n % 2 * 16)) | 0xabcd << (n % 2 * 16);
            assert_eq!(equal_halves(&words, 0xabcd), 1 << (2 * n));
            for number in [0, 1, 3, 7, 0x8000, 0xabcd, 0xffff] {
                assert_eq!(equal_halves(&words, number), one_by_one(&words, number));
            }
        }
        assert_eq!(equal_halves(&[0; 4], 0), 0x5555);
    }
}
