//! When the guest is interrupted, and what is told of changes of its memory.

use std::sync::atomic::Ordering;

use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};

use super::driver::{Driver, Guest};
use super::{BURST, Burst, Plain, Plenty, content, receive, transmit};

struct Call(OwnedFd);

impl Call {
    fn new() -> Self {
        Self(eventfd(0, EventfdFlags::NONBLOCK).unwrap())
    }

    /// For as long as the ring lives, which is not longer than the test.
    fn borrowed(&self) -> BorrowedFd<'static> {
        use rustix::fd::AsRawFd;
        // SAFETY: every test drops its ring first.
        unsafe { BorrowedFd::borrow_raw(self.0.as_raw_fd()) }
    }

    /// Interrupts since it was last asked.
    fn count(&self) -> u64 {
        let mut bytes = [0; 8];
        rustix::io::read(self.0.as_fd(), &mut bytes).map_or(0, |_| u64::from_ne_bytes(bytes))
    }
}

#[test]
fn the_guest_says_by_its_flag_whether_it_wants_interrupts() {
    let (guest, call) = (Guest::new(16), Call::new());
    let mut driver = Driver::new(&guest);
    let mut ring = guest.ring_that_calls(true, false, Some(call.borrowed()));
    // The device polls.
    assert_eq!(guest.word(guest.used()).load(Ordering::Relaxed), 1);
    for (flag, interrupts) in [(0, 1), (1, 0), (0, 1)] {
        guest.word(guest.available()).store(flag, Ordering::Relaxed);
        driver.send(&content(60, 0), &[72]).unwrap();
        driver.send(&content(60, 1), &[72]).unwrap();
        assert_eq!(receive(&mut ring, &Plenty::of(2048), &mut Burst::new(), BURST), 2);
        assert_eq!(call.count(), interrupts, "once for both");
        driver.offer(1, &[2000]).unwrap();
        // Nothing was given back, so there is nothing to tell of.
        assert_eq!(transmit(&mut ring, &Burst::new()), 0);
        assert_eq!(call.count(), 0);
        let burst: Burst = [Plain::of(&content(60, 2), 2048)].into_iter().collect();
        assert_eq!(transmit(&mut ring, &burst), 1);
        assert_eq!(call.count(), interrupts);
        driver.reap();
    }
}

#[test]
fn or_by_the_entry_that_it_waits_for() {
    // Around the end of the indices as well.
    for start in [0u16, 65_530] {
        let (guest, call) = (Guest::starting(16, start), Call::new());
        let mut driver = Driver::new(&guest);
        let mut ring = guest.ring_that_calls(true, true, Some(call.borrowed()));
        // Flags say nothing then.
        guest.word(guest.available()).store(1, Ordering::Relaxed);
        let event = guest.available() + 4 + 2 * usize::from(guest.size);
        for (wait, count, interrupts) in [(0u16, 1, 1), (3, 2, 0), (3, 1, 1), (3, 8, 0), (12, 1, 1)] {
            guest.word(event).store(start.wrapping_add(wait), Ordering::Relaxed);
            for n in 0..count {
                driver.send(&content(60, n), &[72]).unwrap();
            }
            receive(&mut ring, &Plenty::of(2048), &mut Burst::new(), BURST);
            driver.reap();
            assert_eq!(call.count(), interrupts, "{start} {wait} {count}");
        }
    }
}
