//! A driver of a split virtqueue, and the memory that it shares.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU16, Ordering, fence};

use rustix::fd::BorrowedFd;

use crate::dpdk::vhost::memory::{Memory, Region};
use crate::dpdk::vhost::ring::{Agreed, Layout, NEXT, Ring, WRITE};

/// Bytes before each packet.
pub const HEADER: usize = 12;
/// Bytes of each descriptor's buffer.
const BUFFER: usize = 8192;
/// Where the guest has its memory.
pub const BASE: u64 = 0x1_0000_0000;
/// Bytes on either side that are not the guest's.
const GUARD: usize = 4096;
const GUARDED: u8 = 0xa5;

/// A guest's memory: a descriptor table, an available ring, a used ring, and a buffer for each descriptor.
pub struct Guest {
    /// Words, so that it is aligned. Both sides reach it by pointer only.
    memory: *mut u64,
    words: usize,
    pub size: u16,
    start: u16,
}

impl Guest {
    pub fn new(size: u16) -> Self {
        Self::starting(size, 0)
    }

    /// One whose rings have come as far as `start` already.
    pub fn starting(size: u16, start: u16) -> Self {
        let bytes = 2 * GUARD + Self::rings(size) + usize::from(size) * BUFFER;
        let mut memory = vec![u64::from_ne_bytes([GUARDED; 8]); bytes.div_ceil(16) * 2].into_boxed_slice();
        memory[GUARD / 8..bytes.div_ceil(16) * 2 - GUARD / 8].fill(0);
        let words = memory.len();
        let guest = Self { memory: Box::into_raw(memory).cast(), words, size, start };
        guest.word(guest.available() + 2).store(start, Ordering::Relaxed);
        guest.word(guest.used() + 2).store(start, Ordering::Relaxed);
        guest
    }

    fn rings(size: u16) -> usize {
        (usize::from(size) * (16 + 2 + 8) + 64).next_multiple_of(4096)
    }

    pub fn available(&self) -> usize {
        16 * usize::from(self.size)
    }

    pub fn used(&self) -> usize {
        (18 * usize::from(self.size) + 6).next_multiple_of(16)
    }

    /// Bytes that are the guest's.
    pub fn len(&self) -> usize {
        self.words * 8 - 2 * GUARD
    }

    /// Where a descriptor's buffer is, as the guest sees it.
    pub fn buffer(&self, index: u16) -> u64 {
        BASE + (Self::rings(self.size) + usize::from(index) * BUFFER) as u64
    }

    /// Where an offset of the guest's is here.
    fn place(&self, offset: usize) -> *mut u8 {
        assert!(offset < self.len());
        // SAFETY: the memory is longer by the guards.
        unsafe { self.memory.cast::<u8>().add(GUARD + offset) }
    }

    pub fn write(&self, offset: usize, bytes: &[u8]) {
        assert!(offset + bytes.len() <= self.len());
        // SAFETY: it lies within the memory.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.place(offset), bytes.len()) };
    }

    pub fn read(&self, offset: usize, len: usize) -> Vec<u8> {
        assert!(offset + len <= self.len());
        // SAFETY: it lies within the memory, which nobody changes at this moment.
        unsafe { std::slice::from_raw_parts(self.place(offset), len) }.to_vec()
    }

    pub fn word(&self, offset: usize) -> &AtomicU16 {
        assert!(offset.is_multiple_of(2));
        // SAFETY: it lies within the memory and is aligned.
        unsafe { AtomicU16::from_ptr(self.place(offset).cast()) }
    }

    /// The device's view of the ring.
    pub fn ring(&self, mergeable: bool, event_index: bool) -> Ring {
        self.ring_that_calls(mergeable, event_index, None)
    }

    pub fn ring_that_calls(
        &self,
        mergeable: bool,
        event_index: bool,
        call: Option<BorrowedFd<'static>>,
    ) -> Ring {
        let host = self.place(0) as u64;
        let region = Region { guest: BASE, host, size: self.len() as u64 };
        let layout = Layout {
            descriptors: host,
            available: host + self.available() as u64,
            used: host + self.used() as u64,
            used_guest: BASE + self.used() as u64,
            size: self.size,
            next_available: self.start,
            next_used: self.start,
        };
        let agreed = Agreed { header: HEADER, mergeable, event_index };
        // SAFETY: the tests keep the memory, and the file, longer than the ring.
        unsafe {
            let memory = Memory::new([region].into_iter().collect(), None);
            Ring::new(&layout, agreed, memory, call).unwrap()
        }
    }

    /// Whether nothing was written beyond the guest's memory.
    pub fn is_guarded(&self) -> bool {
        // SAFETY: all of the memory, which nobody changes at this moment.
        let bytes = unsafe { std::slice::from_raw_parts(self.memory.cast::<u8>(), self.words * 8) };
        let (before, after) = (&bytes[..GUARD], &bytes[bytes.len() - GUARD..]);
        before.iter().chain(after).all(|byte| *byte == GUARDED)
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let slice = std::ptr::slice_from_raw_parts_mut(self.memory, self.words);
        // SAFETY: it came out of a box of as many words.
        drop(unsafe { Box::from_raw(slice) });
    }
}

/// An honest driver.
pub struct Driver<'a> {
    guest: &'a Guest,
    free: VecDeque<u16>,
    /// By head: the descriptors of its chain.
    chains: Vec<Vec<u16>>,
    next_available: u16,
    next_used: u16,
}

impl<'a> Driver<'a> {
    pub fn new(guest: &'a Guest) -> Self {
        Self {
            guest,
            free: (0..guest.size).collect(),
            chains: vec![Vec::new(); guest.size.into()],
            next_available: guest.start,
            next_used: guest.start,
        }
    }

    /// Sends a packet after a header, in pieces of these lengths; `None` if there are not as many descriptors.
    pub fn send(&mut self, packet: &[u8], layout: &[usize]) -> Option<u16> {
        let bytes = [&[0x5a; HEADER][..], packet].concat();
        assert_eq!(layout.iter().sum::<usize>(), bytes.len());
        let indices = self.allocate(layout.len())?;
        let mut rest = &bytes[..];
        for (index, len) in indices.iter().zip(layout) {
            let (part, after) = rest.split_at(*len);
            self.guest.write((self.guest.buffer(*index) - BASE) as usize, part);
            rest = after;
        }
        let parts: Vec<_> = indices.iter().map(|index| self.guest.buffer(*index)).collect();
        let parts: Vec<_> = parts.into_iter().zip(layout).map(|(addr, len)| (addr, *len as u32, 0)).collect();
        Some(self.put(indices, &parts))
    }

    /// Makes a chain of these available: address, length, flags.
    pub fn send_raw(&mut self, parts: &[(u64, u32, u16)]) {
        let indices = self.allocate(parts.len()).unwrap();
        self.put(indices, parts);
    }

    /// A chain whose last descriptor is followed by its first.
    pub fn send_in_circles(&mut self) {
        let indices = self.allocate(2).unwrap();
        let (first, last) = (indices[0], indices[1]);
        let part = (self.guest.buffer(first), 4, NEXT);
        self.put(indices, &[part, part]);
        self.guest.word(16 * usize::from(last) + 14).store(first, Ordering::Relaxed);
    }

    /// Gives `count` chains of buffers of these lengths; `None` if there are not as many descriptors.
    pub fn offer(&mut self, count: usize, layout: &[usize]) -> Option<()> {
        for _ in 0..count {
            let indices = self.allocate(layout.len())?;
            let parts = indices.iter().zip(layout);
            let parts: Vec<_> =
                parts.map(|(index, len)| (self.guest.buffer(*index), *len as u32, WRITE)).collect();
            self.put(indices, &parts);
        }
        Some(())
    }

    fn allocate(&mut self, count: usize) -> Option<Vec<u16>> {
        (self.free.len() >= count).then(|| self.free.drain(..count).collect())
    }

    fn put(&mut self, indices: Vec<u16>, parts: &[(u64, u32, u16)]) -> u16 {
        for (n, (index, (addr, len, flags))) in indices.iter().zip(parts).enumerate() {
            let next = indices.get(n + 1).copied();
            let flags = flags | if next.is_some() { NEXT } else { 0 };
            let descriptor = [
                &addr.to_ne_bytes()[..],
                &len.to_ne_bytes(),
                &flags.to_ne_bytes(),
                &next.unwrap_or(0xffff).to_ne_bytes(),
            ];
            self.guest.write(16 * usize::from(*index), &descriptor.concat());
        }
        let head = indices[0];
        self.chains[usize::from(head)] = indices;
        self.claim_head(head);
        head
    }

    /// Makes a head available, whatever it is.
    pub fn claim_head(&mut self, head: u16) {
        let slot = usize::from(self.next_available & (self.guest.size - 1));
        self.guest.word(self.guest.available() + 4 + 2 * slot).store(head, Ordering::Relaxed);
        self.claim(1);
    }

    /// Says that so many more are available.
    pub fn claim(&mut self, count: u16) {
        self.next_available = self.next_available.wrapping_add(count);
        self.guest.word(self.guest.available() + 2).store(self.next_available, Ordering::Release);
    }

    /// What the device has given back: heads, and bytes written.
    pub fn reap(&mut self) -> Vec<(u16, u32)> {
        std::iter::from_fn(|| self.take_used()).collect()
    }

    fn take_used(&mut self) -> Option<(u16, u32)> {
        if self.guest.word(self.guest.used() + 2).load(Ordering::Acquire) == self.next_used {
            return None;
        }
        let slot = usize::from(self.next_used & (self.guest.size - 1));
        let entry = self.guest.read(self.guest.used() + 4 + 8 * slot, 8);
        let word = |at: usize| u32::from_ne_bytes(entry[at..at + 4].try_into().unwrap());
        let (head, len) = (u16::try_from(word(0)).unwrap(), word(4));
        self.next_used = self.next_used.wrapping_add(1);
        let chain = std::mem::take(&mut self.chains[usize::from(head)]);
        assert!(!chain.is_empty(), "{head} was not given to the device");
        self.free.extend(chain);
        Some((head, len))
    }

    /// The next packet that the device has sent, and how many chains it fills.
    pub fn take_packet(&mut self) -> Option<(Vec<u8>, usize)> {
        let (mut bytes, mut buffers, mut taken) = (Vec::new(), 1, 0);
        while taken < buffers {
            let chain_of = |driver: &Self, head: u16| driver.chains[usize::from(head)].clone();
            let slot = usize::from(self.next_used & (self.guest.size - 1));
            let entry = self.guest.read(self.guest.used() + 4 + 8 * slot, 2);
            let chain = chain_of(self, u16::from_ne_bytes(entry.try_into().unwrap()));
            let Some((_, len)) = self.take_used() else {
                assert_eq!(taken, 0, "all buffers of a packet come at once");
                return None;
            };
            let mut left = len as usize;
            for index in chain {
                let descriptor = self.guest.read(16 * usize::from(index), 16);
                let room = u32::from_ne_bytes(descriptor[8..12].try_into().unwrap()) as usize;
                let part = left.min(room);
                bytes.extend(self.guest.read((self.guest.buffer(index) - BASE) as usize, part));
                left -= part;
            }
            assert_eq!(left, 0, "more was written than there is room for");
            if taken == 0 && bytes.len() >= HEADER {
                assert_eq!(bytes[..10], [0; 10]);
                buffers = u16::from_ne_bytes([bytes[10], bytes[11]]).into();
            }
            taken += 1;
        }
        Some((bytes.split_off(HEADER.min(bytes.len())), buffers))
    }

    /// Begins anew, with a ring of no buffers.
    pub fn forget_offers(&mut self, ring: &mut Ring) {
        let fresh = Self::new(self.guest);
        for offset in [self.guest.available() + 2, self.guest.used() + 2] {
            self.guest.word(offset).store(self.guest.start, Ordering::Relaxed);
        }
        fence(Ordering::SeqCst);
        *ring = self.guest.ring(ring.agreed.mergeable, ring.agreed.event_index);
        *self = fresh;
    }
}
