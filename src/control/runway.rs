//! Memory for sessions, backed with pages before a worker comes to it.
//!
//! The kernel gives memory when it is first written to, and clears it first: a worker that opens sessions would wait for
//! that, some milliseconds a large page on a virtual machine whose host has to find it too. So a thread on the control
//! thread's cores goes ahead of the workers: what a table has used so far it has once more, within bounds. A switch with
//! few sessions stays small, and one that opens millions a second does not wait.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tracing::debug;
use weft_pipelines::flow::table::Memory;

use crate::dpdk;
use crate::worker::{Family, Used};

/// Sessions that there is always backed memory for, beyond those used: 7 ms of two millions a second.
const LEAST: u32 = 1 << 14;
/// And at most.
const MOST: u32 = 1 << 19;
/// How often it looks how far the workers have come.
const LOOK: Duration = Duration::from_millis(2);
/// Bytes that are backed in one go.
const PIECE: usize = 2 << 20;

/// The memory of one table.
#[derive(Debug)]
pub struct Track {
    used: Arc<Used>,
    family: Family,
    capacity: u32,
    /// What is indexed by hash: all of it is used at once.
    scattered: Strip,
    /// What is used from its front on, with the bytes of each session.
    rows: [(Strip, usize); 3],
}

impl Track {
    /// That of `memory`, of which `used` tells how far it is used.
    pub fn new<K>(memory: &Memory<K>, capacity: u32, (used, family): (Arc<Used>, Family)) -> Self {
        let [words, rows @ ..] = memory.regions();
        let row = |(start, bytes): (*const u8, usize)| {
            (Strip::new((start, bytes)), bytes / capacity.max(1) as usize)
        };
        Self { used, family, capacity, scattered: Strip::new(words), rows: rows.map(row) }
    }

    /// Backs some of what is to be. Returns whether there is more.
    fn advance(&mut self) -> io::Result<bool> {
        if self.scattered.back(usize::MAX)? {
            return Ok(true);
        }
        let used = self.used.get(self.family);
        let ahead = used.saturating_add(used.clamp(LEAST, MOST)).min(self.capacity) as usize;
        let mut more = false;
        for (strip, bytes) in &mut self.rows {
            more |= strip.back(ahead * *bytes)?;
        }
        Ok(more)
    }
}

/// Memory that is backed from its front on.
#[derive(Debug)]
struct Strip {
    /// Its address: what it points to is not looked at here.
    start: usize,
    bytes: usize,
    backed: usize,
}

impl Strip {
    fn new((start, bytes): (*const u8, usize)) -> Self {
        Self { start: start.addr(), bytes, backed: 0 }
    }

    /// Backs the next piece of its first `wanted` bytes. Returns whether there is more to do.
    fn back(&mut self, wanted: usize) -> io::Result<bool> {
        let wanted = wanted.min(self.bytes);
        let piece = wanted.saturating_sub(self.backed).min(PIECE);
        if piece > 0 {
            dpdk::back_with_pages((self.start + self.backed, piece))?;
            self.backed += piece;
        }
        Ok(self.backed < wanted)
    }
}

/// Goes ahead of the workers until it is dropped.
#[derive(Debug)]
pub struct Runway {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Runway {
    /// Starts on `tracks`, on the cores of the calling thread.
    ///
    /// # Errors
    ///
    /// When there is no thread to be had.
    pub fn start(mut tracks: Vec<Track>) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let work = move || {
            while !stopped.load(Ordering::Relaxed) {
                let mut more = false;
                for track in &mut tracks {
                    match track.advance() {
                        Ok(left) => more |= left,
                        Err(error) => {
                            debug!(%error, "memory of sessions is backed when it is first used");
                            return;
                        }
                    }
                }
                if !more {
                    thread::park_timeout(LOOK);
                }
            }
        };
        let thread = thread::Builder::new().name("runway".to_owned()).spawn(work)?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Runway {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It panics nowhere, and what it did not back the workers do.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::FileExt;
    use std::time::Instant;

    use weft_pipelines::flow::{Key4, Session};

    use super::*;

    /// Bytes of `region` that are backed, by the kernel's own word (`proc_pid_pagemap(5)`).
    fn backed(region: (*const u8, usize)) -> usize {
        const PAGE: usize = 4096;
        let mut pages = vec![0; region.1.div_ceil(PAGE) * 8];
        let map = File::open("/proc/self/pagemap").unwrap();
        map.read_exact_at(&mut pages, (region.0.addr() / PAGE * 8) as u64).unwrap();
        let is_there = |page: &&[u8; 8]| u64::from_ne_bytes(**page) >> 63 == 1;
        pages.as_chunks().0.iter().filter(is_there).count() * PAGE
    }

    #[test]
    fn what_is_used_is_there_once_more() {
        let capacity = 1 << 20;
        let memory = Memory::<Key4>::new(capacity);
        let regions = memory.regions();
        let sessions = size_of::<Session<Key4>>();
        let used = Arc::new(Used::default());
        let track = Track::new(&memory, capacity, (used.clone(), Family::V4));
        let runway = Runway::start(vec![track]).unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        let wait_for = |places: u32| {
            let wanted = places as usize * sessions;
            while backed(regions[1]) < wanted {
                assert!(Instant::now() < deadline, "{} of {wanted}", backed(regions[1]));
                thread::yield_now();
            }
        };
        wait_for(LEAST);
        used.set([100_000, 0]);
        wait_for(200_000);
        // And not all of it: a large page more at most.
        assert!(backed(regions[1]) <= 200_000 * sessions + PIECE);
        used.set([capacity, 0]);
        wait_for(capacity);
        drop(runway);
    }
}
