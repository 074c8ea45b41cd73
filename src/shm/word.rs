//! What the protocols ask of memory: words of 64 bits, and fences.
//!
//! A reader only loads, and only relaxed: its mapping is read-only, and of all atomic operations only relaxed loads are
//! promised to do no more than read there. What a load has to wait for is said by a fence after it.

use core::sync::atomic::{AtomicU64, Ordering, fence};

/// A word that can be loaded.
pub trait Load {
    /// Its value.
    fn load(&self) -> u64;

    /// What this thread loads or stores from here on comes after its loads before (an acquire fence).
    fn acquire();
}

/// A word that can be stored too.
pub trait Store: Load {
    /// Sets it.
    fn store(&self, value: u64);

    /// Sets it, after all that this thread stored before.
    fn publish(&self, value: u64);

    /// What this thread stores from here on comes after its loads and stores before (a release fence).
    fn release();
}

impl Load for AtomicU64 {
    #[inline]
    fn load(&self) -> u64 {
        self.load(Ordering::Relaxed)
    }

    #[inline]
    fn acquire() {
        fence(Ordering::Acquire);
    }
}

impl Store for AtomicU64 {
    #[inline]
    fn store(&self, value: u64) {
        self.store(value, Ordering::Relaxed);
    }

    #[inline]
    fn publish(&self, value: u64) {
        self.store(value, Ordering::Release);
    }

    #[inline]
    fn release() {
        fence(Ordering::Release);
    }
}

/// A word that this side cannot store to.
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct Seen(AtomicU64);

impl Seen {
    /// A word of this process's own memory.
    pub const fn new(value: u64) -> Self {
        Self(AtomicU64::new(value))
    }
}

impl Load for Seen {
    #[inline]
    fn load(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    #[inline]
    fn acquire() {
        fence(Ordering::Acquire);
    }
}
