//! Asks the processor to bring memory into its cache before it is needed.
//!
//! A crate of its own, because the packet logic forbids `unsafe` and the standard library has no safe way to ask.

/// Asks for the cache line where `value` starts. It changes nothing but how soon a later access is served.
#[inline(always)]
pub fn read<T>(value: &T) {
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
