//! A tap allocates nothing while it looks, whatever the packets: counted by an allocator that counts.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

use weft::capture::tap::{Wanted, tap};
use weft::trace::tap as trace;
use weft_pipelines::testing::Treadmill;
use weft_pipelines::testing::entry::{guest_frames, underlay_frames};
use weft_pipelines::testing::frames::udp4_to;
use weft_pipelines::testing::lab::endpoint::{WEB1, WEB2};
use weft_pipelines::testing::lab::{host, port};
use weft_pipelines::wire::Mac;

#[global_allocator]
static COUNTING: Counting = Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call goes on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps the contract that the system's allocator has.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above; the pointer came from the system's allocator.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[test]
fn a_tap_of_a_trace_allocates_nothing() {
    let flood = vec![udp4_to(Mac::BROADCAST, WEB1, WEB2, b"x"); 40];
    for (name, port, frames) in [
        ("every kind", port::BLUE_WEB1, guest_frames()),
        ("every kind from the fabric", port::UPLINK, underlay_frames()),
        ("flood", port::BLUE_WEB1, flood),
    ] {
        for filter in ["", "drop", "not drop"] {
            let wanted = trace::Wanted {
                ports: None,
                filter: filter.parse().unwrap(),
                vnis: Vec::new(),
                vxlan_port: 4789,
                left: 100_000.into(),
            };
            let (mut taps, mut trays) = trace::taps(&Arc::new(wanted), 1);
            let mut treadmill = Treadmill::new(host::HV_A, port, &frames);
            treadmill.watch(Box::new(taps.remove(0)));
            let before = ALLOCATIONS.get();
            let packets: usize = (0..200).map(|_| treadmill.burst()).sum();
            let count = ALLOCATIONS.get() - before;
            assert_eq!(count, 0, "{name}, {filter}");
            assert!(packets > 1000, "{name}: {packets}");
            assert!(std::iter::from_fn(|| trays[0].take()).count() > 0 || !filter.is_empty(), "{name}");
        }
    }
}

#[test]
fn a_tap_allocates_nothing() {
    let flood = vec![udp4_to(Mac::BROADCAST, WEB1, WEB2, b"x"); 40];
    for (name, port, frames) in [
        ("every kind", port::BLUE_WEB1, guest_frames()),
        ("every kind from the fabric", port::UPLINK, underlay_frames()),
        ("flood", port::BLUE_WEB1, flood),
    ] {
        for filter in ["", "drop", "udp and (port 53 or host 10.1.0.12) or inner arp or drop spoofed_mac"] {
            let wanted = Wanted {
                ports: None,
                inward: true,
                outward: true,
                filter: filter.parse().unwrap(),
                snap: 65_535,
                vnis: Vec::new(),
                vxlan_port: 4789,
            };
            // Too little for all of them.
            let (tap, mut tray) = tap(Arc::new(wanted), 100_000, 4);
            let mut treadmill = Treadmill::new(host::HV_A, port, &frames);
            treadmill.watch(Box::new(tap));
            let before = ALLOCATIONS.get();
            let packets: usize = (0..200).map(|_| treadmill.burst()).sum();
            let count = ALLOCATIONS.get() - before;
            assert_eq!(count, 0, "{name}, {filter}");
            assert!(packets > 1000, "{name}: {packets}");
            assert!(std::iter::from_fn(|| tray.take()).count() > 0 || !filter.is_empty(), "{name}");
        }
    }
}
