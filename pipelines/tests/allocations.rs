//! No way allocates, whatever the packets: counted by an allocator that counts.
//!
//! Only what this thread allocates counts: the one that waits for the test allocates when it likes.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use weft_pipelines::Tick;
use weft_pipelines::qos::{Class, Classes, Colour, Settings, Shaper, Share};
use weft_pipelines::testing::Treadmill;
use weft_pipelines::testing::entry::{guest_frames, underlay_frames};
use weft_pipelines::testing::frames::{flows, from_fabric, udp4_to};
use weft_pipelines::testing::lab::endpoint::{DB1, DB2, WEB1, WEB2};
use weft_pipelines::testing::lab::{BLUE, host, port};
use weft_pipelines::wire::Mac;

#[global_allocator]
static COUNTING: Counting = Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn allocations() -> u64 {
    ALLOCATIONS.get()
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
        let before = allocations();
        let packets: usize = (0..100).map(|_| treadmill.burst()).sum();
        let count = allocations() - before;
        assert!(packets > 1000, "{name}: {packets}");
        assert_eq!(count, 0, "{name}");
    }
    no_wait_allocates();
}

/// A shaper whose queues run full and empty, in which bounds open and close and packets are marked and dropped.
fn no_wait_allocates() {
    let (mut shaper, share) = (Shaper::new(&Settings::default()), |rate| Share {
        rate,
        ceil: 2 * rate,
        burst: 20_000,
        pps: 100_000,
        ..Share::default()
    });
    shaper.root(1_000_000_000, 150_000, Tick(0));
    shaper.group(0, &share(100_000_000), None, Tick(0));
    for leaf in 0..16 {
        shaper.leaf(leaf, 0, &share(1_000_000 << leaf), &Classes::default(), Tick(0));
    }
    let before = allocations();
    let (mut refused, mut fates) = (0, [0; 3]);
    for step in 0..100_000u32 {
        let (leaf, now) = (step as usize % 16, Tick(u64::from(step) * 40_000));
        if !shaper.pass(leaf, 1000, now) {
            let put = shaper.enqueue(leaf, Class(step as u8 % 4), Colour::Green, 1000, step, now);
            refused += u32::from(put.is_err());
        }
        if step % 1000 == 0 {
            shaper.stall(leaf);
        }
        if step % 1000 == 500 {
            (0..16).for_each(|leaf| shaper.resume(leaf));
        }
        while let Some(left) = shaper.dequeue(now, |item| item.is_multiple_of(8)) {
            fates[left.fate as usize] += 1;
        }
    }
    let count = allocations() - before;
    assert!(refused > 0 && fates.iter().all(|&count| count > 0), "{refused} {fates:?}");
    assert_eq!(count, 0, "what waits");
}
