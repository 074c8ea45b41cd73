//! The driver's side of a split virtqueue (virtio 1.2, section 2.7) with static descriptors: descriptor *n* always
//! is buffer *n*, and only the two index rings move.
//!
//! The switch is checked, not believed: a descriptor that was not given to it, or is given back twice, is an error.

use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use super::shared::Region;

/// Descriptor: the device may write to the buffer.
const WRITE: u16 = 2;
/// Available ring: the driver polls and wants no interrupts.
const NO_INTERRUPT: u16 = 1;
/// Used ring: the device polls and wants no notifications.
const NO_NOTIFY: u16 = 1;

/// Bytes of a descriptor and of an element of the used ring.
const DESCRIPTOR: usize = 16;
const ELEMENT: usize = 8;
/// The two words before either index ring: flags and index.
const HEADER: usize = 4;

/// Which way the buffers of a queue go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The device reads from them.
    ToDevice,
    /// The device writes to them.
    FromDevice,
}

/// Where the parts of a queue lie in its region, as offsets.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// The descriptor table.
    pub descriptors: usize,
    /// The ring of what the driver makes available.
    pub available: usize,
    /// The ring of what the device has used.
    pub used: usize,
    /// The buffers.
    pub buffers: usize,
    /// Bytes from one buffer to the next.
    pub stride: usize,
    /// How many descriptors, a power of two.
    pub size: u16,
}

impl Place {
    /// A queue from `start` on, and where it ends.
    pub fn at(start: usize, size: u16, stride: usize) -> (Self, usize) {
        assert!(
            size.is_power_of_two() && stride.is_multiple_of(LINE),
            "{size} descriptors, {stride} bytes each"
        );
        let entries = usize::from(size);
        let descriptors = start.next_multiple_of(LINE);
        let available = (descriptors + entries * DESCRIPTOR).next_multiple_of(LINE);
        // The two rings have no line in common: one is written by the driver, one by the device.
        let used = (available + HEADER + 2 * entries + 2).next_multiple_of(2 * LINE);
        let buffers = (used + HEADER + ELEMENT * entries + 2).next_multiple_of(2 * LINE);
        (Self { descriptors, available, used, buffers, stride, size }, buffers + entries * stride)
    }
}

/// What a device did that no device may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// It gave back a descriptor that there is not.
    #[error("the switch gave back descriptor {0} of a queue that has not so many")]
    NoSuchDescriptor(u32),
    /// It gave back a descriptor that it did not have.
    #[error("the switch gave back descriptor {0}, which it did not have")]
    NotOutstanding(u16),
    /// It claims to have used more descriptors than it had.
    #[error("the switch gave back {0} descriptors of {1} that it had")]
    TooMany(u16, u16),
    /// It claims to have written more than the buffer holds, or not even the header.
    #[error("the switch says that it wrote {0} bytes to a buffer of {1}")]
    Length(u32, usize),
}

/// A queue, seen by the driver.
#[derive(Debug)]
pub struct Ring {
    region: Arc<Region>,
    place: Place,
    mask: u16,
    /// The driver's index: how many buffers were made available, modulo 2^16.
    added: u16,
    /// How much of `added` the device was told of.
    published: u16,
    /// The device's index, as far as it was followed.
    seen: u16,
    /// By descriptor: whether the device has it.
    outstanding: Box<[bool]>,
}

impl Ring {
    /// Lays the queue out in memory that nobody else uses yet.
    pub fn new(region: Arc<Region>, place: Place, way: Way) -> Self {
        let base = region.address();
        for id in 0..usize::from(place.size) {
            let at = place.descriptors + id * DESCRIPTOR;
            region.u64(at).store(base + (place.buffers + id * place.stride) as u64, Ordering::Relaxed);
            region.u32(at + 8).store(place.stride as u32, Ordering::Relaxed);
            region.u16(at + 12).store(if way == Way::FromDevice { WRITE } else { 0 }, Ordering::Relaxed);
        }
        region.u16(place.available).store(NO_INTERRUPT, Ordering::Release);
        let outstanding = vec![false; usize::from(place.size)].into();
        Self { region, place, mask: place.size - 1, added: 0, published: 0, seen: 0, outstanding }
    }

    /// Where it lies.
    pub fn place(&self) -> Place {
        self.place
    }

    /// How many buffers the device has.
    #[inline]
    pub fn outstanding(&self) -> u16 {
        self.added.wrapping_sub(self.seen)
    }

    /// Where the buffer of this descriptor begins.
    #[inline]
    pub fn buffer(&self, id: u16) -> usize {
        self.place.buffers + usize::from(id & self.mask) * self.place.stride
    }

    /// Sets how many bytes of its buffer this descriptor is, while the device does not have it.
    pub fn resize(&self, id: u16, bytes: u32) {
        debug_assert!(!self.outstanding[usize::from(id)]);
        let at = self.place.descriptors + usize::from(id & self.mask) * DESCRIPTOR;
        self.region.u32(at + 8).store(bytes, Ordering::Relaxed);
    }

    /// Gives a buffer to the device, which sees it once it is [published](Self::publish).
    #[inline]
    pub fn add(&mut self, id: u16) {
        debug_assert!(self.outstanding() < self.place.size);
        self.outstanding[usize::from(id & self.mask)] = true;
        let slot = self.place.available + HEADER + 2 * usize::from(self.added & self.mask);
        let entry = self.region.u16(slot);
        // Devices give back in order, so the entry mostly is what it was, and its line stays shared.
        if entry.load(Ordering::Relaxed) != id {
            entry.store(id, Ordering::Relaxed);
        }
        self.added = self.added.wrapping_add(1);
    }

    /// Lets the device see what was added. Whether it wants to be told of it.
    #[inline]
    pub fn publish(&mut self) -> bool {
        if self.published == self.added {
            return false;
        }
        self.published = self.added;
        self.region.u16(self.place.available + 2).store(self.added, Ordering::Release);
        // The index has to be out before the flag is read (section 2.7.13.4.1).
        fence(Ordering::SeqCst);
        self.region.u16(self.place.used).load(Ordering::Relaxed) & NO_NOTIFY == 0
    }

    /// How many buffers the device has used that were not taken back yet.
    ///
    /// # Errors
    ///
    /// When these are more than it had.
    #[inline]
    pub fn used(&self) -> Result<u16, Violation> {
        let index = self.region.u16(self.place.used + 2).load(Ordering::Acquire);
        let used = index.wrapping_sub(self.seen);
        let had = self.published.wrapping_sub(self.seen);
        if used > had { Err(Violation::TooMany(used, had)) } else { Ok(used) }
    }

    /// Takes back the next buffer of those that [`used`](Self::used) tells of: its descriptor, and what was written.
    ///
    /// # Errors
    ///
    /// When the device gives back what it did not have.
    #[inline]
    pub fn take(&mut self) -> Result<(u16, u32), Violation> {
        let at = self.place.used + HEADER + ELEMENT * usize::from(self.seen & self.mask);
        let id = self.region.u32(at).load(Ordering::Relaxed);
        let written = self.region.u32(at + 4).load(Ordering::Relaxed);
        if id >= u32::from(self.place.size) {
            return Err(Violation::NoSuchDescriptor(id));
        }
        let had = &mut self.outstanding[id as usize];
        if !*had {
            return Err(Violation::NotOutstanding(id as u16));
        }
        *had = false;
        self.seen = self.seen.wrapping_add(1);
        Ok((id as u16, written))
    }
}

/// The processor's cache line.
pub const LINE: usize = 64;

#[cfg(test)]
mod tests {
    use super::super::shared::Pages;
    use super::*;

    /// The device's side, as plain as the standard says it.
    struct Device {
        region: Arc<Region>,
        place: Place,
        seen: u16,
        used: u16,
    }

    impl Device {
        fn next(&mut self) -> Option<u16> {
            let index = self.region.u16(self.place.available + 2).load(Ordering::Acquire);
            if index == self.seen {
                return None;
            }
            let slot = usize::from(self.seen & (self.place.size - 1));
            self.seen = self.seen.wrapping_add(1);
            Some(self.region.u16(self.place.available + 4 + 2 * slot).load(Ordering::Relaxed))
        }

        fn give_back(&mut self, id: u32, written: u32) {
            let at = self.place.used + 4 + 8 * usize::from(self.used & (self.place.size - 1));
            self.region.u32(at).store(id, Ordering::Relaxed);
            self.region.u32(at + 4).store(written, Ordering::Relaxed);
            self.used = self.used.wrapping_add(1);
            self.region.u16(self.place.used + 2).store(self.used, Ordering::Release);
        }
    }

    fn queue(size: u16) -> (Ring, Device) {
        let (place, end) = Place::at(100, size, 128);
        let region = Arc::new(Region::new(end, Pages::Small).unwrap());
        let ring = Ring::new(Arc::clone(&region), place, Way::ToDevice);
        (ring, Device { region, place, seen: 0, used: 0 })
    }

    #[test]
    fn parts_of_a_queue_share_no_line() {
        let (place, end) = Place::at(100, 8, 128);
        assert_eq!((place.descriptors, place.available), (128, 256));
        assert!(place.used >= place.available + 4 + 16 + 2 && place.buffers >= place.used + 4 + 64 + 2);
        assert!(
            [place.descriptors, place.available, place.used, place.buffers].iter().all(|at| at % LINE == 0)
        );
        assert_eq!(end, place.buffers + 8 * 128);
    }

    #[test]
    fn buffers_go_round_past_the_end_of_the_index() {
        let (mut ring, mut device) = queue(8);
        for round in 0..20_000_u32 {
            for id in 0..8 {
                assert_eq!(device.next(), None, "not before it is published");
                ring.add(id);
            }
            assert!(ring.publish(), "a device that says nothing wants to be told");
            assert!(!ring.publish(), "of nothing new nobody is told");
            // Not in order: descriptor by descriptor from the other end.
            let got: Vec<_> = std::iter::from_fn(|| device.next()).collect();
            assert_eq!(got, [0, 1, 2, 3, 4, 5, 6, 7]);
            assert_eq!((ring.outstanding(), ring.used()), (8, Ok(0)));
            got.iter().rev().for_each(|id| device.give_back(u32::from(*id), round));
            assert_eq!(ring.used(), Ok(8));
            for id in (0..8).rev() {
                assert_eq!(ring.take(), Ok((id, round)));
            }
            assert_eq!((ring.outstanding(), ring.used()), (0, Ok(0)));
        }
    }

    #[test]
    fn a_device_that_polls_is_not_notified() {
        let (mut ring, device) = queue(8);
        device.region.u16(device.place.used).store(NO_NOTIFY, Ordering::Relaxed);
        ring.add(0);
        assert!(!ring.publish());
        assert_eq!(device.region.u16(device.place.available).load(Ordering::Relaxed), NO_INTERRUPT);
    }

    #[test]
    fn a_device_that_gives_back_wrongly_is_told_of() {
        let (mut ring, mut device) = queue(8);
        ring.add(3);
        ring.publish();
        device.give_back(8, 0);
        assert_eq!(ring.take(), Err(Violation::NoSuchDescriptor(8)));

        let (mut ring, mut device) = queue(8);
        ring.add(3);
        ring.publish();
        device.give_back(2, 0);
        assert_eq!(ring.take(), Err(Violation::NotOutstanding(2)));

        let (mut ring, mut device) = queue(8);
        ring.add(3);
        ring.add(4);
        ring.publish();
        (0..3).for_each(|_| device.give_back(3, 0));
        assert_eq!(ring.used(), Err(Violation::TooMany(3, 2)));
        assert_eq!(ring.take(), Ok((3, 0)));
        assert_eq!(ring.take(), Err(Violation::NotOutstanding(3)));
    }

    #[test]
    fn descriptors_say_where_their_buffers_are() {
        let (ring, device) = queue(8);
        ring.resize(5, 76);
        let at = device.place.descriptors + 5 * DESCRIPTOR;
        let buffer = device.region.address() + ring.buffer(5) as u64;
        assert_eq!(device.region.u64(at).load(Ordering::Relaxed), buffer);
        assert_eq!(device.region.u32(at + 8).load(Ordering::Relaxed), 76);
    }
}
