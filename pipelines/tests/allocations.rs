//! No way allocates, whatever the packets: counted by an allocator that counts.
//!
//! Alone in its file, because the count is the process's.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use weft_pipelines::testing::Treadmill;
use weft_pipelines::testing::entry::{guest_frames, underlay_frames};
use weft_pipelines::testing::frames::{flows, from_fabric, udp4_to};
use weft_pipelines::testing::lab::endpoint::{DB1, DB2, WEB1, WEB2};
use weft_pipelines::testing::lab::{BLUE, host, port};
use weft_pipelines::wire::Mac;

#[global_allocator]
static COUNTING: Counting = Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

struct Counting;

// SAFETY: every call goes on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        // SAFETY: the caller keeps the contract that the system's allocator has.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above; the pointer came from the system's allocator.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[test]
fn no_way_allocates() {
    let flood = |from, to| vec![udp4_to(Mac::BROADCAST, from, to, b"x"); 40];
    let tunnelled = |frames: Vec<Vec<u8>>| -> Vec<_> {
        frames.iter().map(|frame| from_fabric(host::HV_B, BLUE, frame)).collect()
    };
    for (name, port, frames) in [
        ("vm to vm", port::BLUE_WEB1, flows(WEB1, WEB2, 64, 64)),
        ("vm to fabric", port::BLUE_WEB1, flows(WEB1, DB1, 64, 64)),
        ("vm to a hop that does not answer", port::BLUE_WEB1, flows(WEB1, DB2, 64, 64)),
        ("flood", port::BLUE_WEB1, flood(WEB1, WEB2)),
        ("fabric to vm", port::UPLINK, tunnelled(flows(DB1, WEB1, 64, 64))),
        ("flood from the fabric", port::UPLINK, tunnelled(flood(DB1, WEB1))),
        ("every kind", port::BLUE_WEB1, guest_frames()),
        ("every kind from the fabric", port::UPLINK, underlay_frames()),
    ] {
        let mut treadmill = Treadmill::new(host::HV_A, port, &frames);
        let before = ALLOCATIONS.load(Relaxed);
        let packets: usize = (0..100).map(|_| treadmill.burst()).sum();
        let allocations = ALLOCATIONS.load(Relaxed) - before;
        assert!(packets > 1000, "{name}: {packets}");
        assert_eq!(allocations, 0, "{name}");
    }
}
