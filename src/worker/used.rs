//! How much of its sessions' memory a worker has used.

use std::sync::atomic::{AtomicU32, Ordering};

use weft_pipelines::flow::Sessions;

/// Places of a worker's tables that were ever used: written by the worker, read by who backs more of them.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct Used([AtomicU32; 2]);

/// One of a worker's two tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Of IPv4.
    V4,
    /// Of IPv6.
    V6,
}

impl Used {
    /// Writes how much of `sessions` is used.
    #[inline]
    pub fn take(&self, sessions: &Sessions) {
        self.set([sessions.v4.places(), sessions.v6.places()]);
    }

    /// Places of a table.
    pub fn get(&self, family: Family) -> u32 {
        self.0[family as usize].load(Ordering::Relaxed)
    }

    /// Writes them, by family.
    #[inline]
    pub fn set(&self, places: [u32; 2]) {
        for (used, places) in self.0.iter().zip(places) {
            used.store(places, Ordering::Relaxed);
        }
    }
}
