//! To a guest: its receive ring.

use std::ptr::{self, NonNull};

use arrayvec::ArrayVec;

use super::buffer::Packet;
use super::copy::copy;
use super::ring::{Fault, INDIRECT, NEXT, Ring, WRITE, prefetch, prefetch_to_write};
use crate::dpdk::BURST;

/// Buffers of the guest, and pieces of them, that one packet may fill: enough for 64 KiB in usual ones.
const PARTS: usize = 64;
/// Bytes of the largest header (5.1.6): without offloads all of it is zero but the number of buffers, its last field.
const HEADER: usize = 12;

/// Bytes of a cache line. Of what is longer than two the processor sees by itself where it goes.
const LINE: usize = 64;

/// A buffer of the guest in one piece, for a packet.
#[derive(Clone, Copy)]
struct Place {
    start: NonNull<u8>,
    addr: u64,
    head: u16,
}

/// Copies packets from the front of `burst` to the guest as long as it has buffers; returns how many.
pub(super) fn transmit<P: Packet>(ring: &mut Ring, burst: &ArrayVec<P, BURST>) -> usize {
    let available = ring.available();
    let count = usize::from(available).min(burst.len());
    if count == 0 {
        return 0;
    }
    let heads = ring.heads(count);
    let mut places = ArrayVec::<Place, BURST>::new();
    for (head, packet) in heads.into_iter().zip(burst) {
        let Some(place) = place(ring, head, packet) else { break };
        let second = (packet.len() + ring.agreed.header).min(LINE);
        prefetch_to_write(place.start.as_ptr());
        prefetch_to_write(place.start.as_ptr().wrapping_add(second));
        places.push(place);
    }
    let header = ring.agreed.header;
    for (ahead, (place, packet)) in places.iter().zip(burst).enumerate() {
        let Some(bytes) = packet.linear() else { break };
        // SAFETY: the header and the packet were found to fit in the guest's memory, which is mapped; the buffer is not
        // the guest's.
        unsafe {
            put_header(place.start.as_ptr(), header, 1);
            copy(bytes.as_ptr(), place.start.as_ptr().add(header), bytes.len());
        }
        let written = header + bytes.len();
        ring.memory.changed(place.addr, written as u64);
        ring.put_used(ahead as u16, place.head, written as u32);
    }
    let (mut sent, mut used) = (places.len(), places.len() as u16);
    while let Some(packet) = burst.get(sent) {
        match spread(ring, packet, used, available - used) {
            Some(chains) => used += chains,
            None => break,
        }
        sent += 1;
    }
    ring.release(used);
    sent
}

/// Looks whether the packet, in one piece, goes into the chain, of one descriptor: as drivers lay out their buffers.
#[inline]
fn place<P: Packet>(ring: &mut Ring, head: u16, packet: &P) -> Option<Place> {
    let bytes = packet.linear()?;
    prefetch(bytes.as_ptr());
    let descriptor = ring.descriptor(head)?;
    let needed = ring.agreed.header + bytes.len();
    let fits = descriptor.flags & (NEXT | WRITE | INDIRECT) == WRITE && descriptor.len as usize >= needed;
    if !fits {
        return None;
    }
    let start = ring.memory.find(descriptor.addr, descriptor.len)?;
    Some(Place { start, addr: descriptor.addr, head })
}

/// Writes a header that says nothing but how many buffers the packet fills.
///
/// # Safety
///
/// `header` bytes, 10 or 12, can be written at `to`.
#[inline]
unsafe fn put_header(to: *mut u8, header: usize, buffers: u16) {
    // SAFETY: as promised.
    unsafe {
        to.cast::<u64>().write_unaligned(0);
        if header == HEADER {
            to.add(8).cast::<[u16; 2]>().write_unaligned([0, buffers]);
        } else {
            to.add(8).cast::<u16>().write_unaligned(0);
        }
    }
}

/// A stretch of the guest's memory that a packet is to fill.
#[derive(Clone, Copy)]
struct Part {
    start: NonNull<u8>,
    addr: u64,
    len: usize,
}

/// What a packet is to fill.
#[derive(Default)]
struct Parts {
    parts: ArrayVec<Part, PARTS>,
    /// By chain: its head, and the bytes that it has room for.
    chains: ArrayVec<(u16, usize), PARTS>,
    room: usize,
}

/// Copies a packet into as many chains as it needs, `available` of them at most, `ahead` of the next. Returns how many
/// it took; none if there are too few.
///
/// A packet that has no room in what there can be is taken for sent: the guest gets a buffer with nothing but a header,
/// which it counts as an error.
#[cold]
fn spread<P: Packet>(ring: &mut Ring, packet: &P, ahead: u16, available: u16) -> Option<u16> {
    let needed = ring.agreed.header + packet.len();
    let chains = if ring.agreed.mergeable { available } else { available.min(1) };
    let mut parts = Parts::default();
    for chain in 0..chains {
        let head = ring.head(ahead + chain)?;
        let full = match gather(ring, head, &mut parts) {
            Ok(()) => parts.room < needed && parts.parts.is_full(),
            Err(Gather::Full) => true,
            Err(Gather::Bad) => {
                ring.fail(Fault::Buffer);
                return None;
            }
        };
        if parts.room >= needed {
            return Some(fill(ring, packet, &parts, needed, ahead));
        }
        if full {
            return Some(refuse(ring, ahead, &parts));
        }
    }
    // It waits for more; more than all of the ring there will not be.
    let hopeless = chains > 0 && (!ring.agreed.mergeable || chains == ring.size());
    hopeless.then(|| refuse(ring, ahead, &parts))
}

enum Gather {
    /// It has more parts than are looked at.
    Full,
    /// It is not the guest's memory, or not to be written to.
    Bad,
}

/// Adds a chain's descriptors to the parts.
fn gather(ring: &mut Ring, head: u16, parts: &mut Parts) -> Result<(), Gather> {
    let before = parts.room;
    let mut index = head;
    let mut end = false;
    let mut result = Err(Gather::Bad);
    for _ in 0..ring.size() {
        let descriptor = ring.descriptor(index).ok_or(Gather::Bad)?;
        let start = ring.memory.find(descriptor.addr, descriptor.len).ok_or(Gather::Bad)?;
        if descriptor.flags & (WRITE | INDIRECT) != WRITE {
            return Err(Gather::Bad);
        }
        let len = descriptor.len as usize;
        if parts.parts.try_push(Part { start, addr: descriptor.addr, len }).is_err() {
            result = Err(Gather::Full);
            break;
        }
        parts.room += len;
        end = descriptor.flags & NEXT == 0;
        if end {
            break;
        }
        index = descriptor.next;
    }
    if end {
        result = Ok(());
    }
    if matches!(result, Err(Gather::Bad)) {
        return result;
    }
    parts.chains.try_push((head, parts.room - before)).map_err(|_| Gather::Full)?;
    result
}

/// Copies the packet into its parts, and writes the used entries.
fn fill<P: Packet>(ring: &Ring, packet: &P, parts: &Parts, needed: usize, ahead: u16) -> u16 {
    let mut left = needed;
    let mut chains = 0;
    for (head, room) in &parts.chains {
        let written = left.min(*room);
        ring.put_used(ahead + chains, *head, written as u32);
        left -= written;
        chains += 1;
    }
    let mut header = [0; HEADER];
    // SAFETY: it has room for the largest.
    unsafe { put_header(header.as_mut_ptr(), ring.agreed.header, chains) };
    let mut rest = parts.parts.iter();
    let mut part: Option<Part> = None;
    let mut put = |mut bytes: &[u8]| {
        while !bytes.is_empty() {
            let Some(current) = part.as_mut().filter(|part| part.len > 0) else {
                part = rest.next().copied();
                if part.is_none() {
                    return;
                }
                continue;
            };
            let n = bytes.len().min(current.len);
            // SAFETY: as many bytes are left of a part that was found in the guest's memory, which is mapped; a buffer of
            // this process does not overlap it.
            unsafe {
                ptr::copy_nonoverlapping(bytes.as_ptr(), current.start.as_ptr(), n);
                current.start = current.start.add(n);
            }
            ring.memory.changed(current.addr, n as u64);
            current.addr += n as u64;
            current.len -= n;
            bytes = &bytes[n..];
        }
    };
    put(&header[..ring.agreed.header]);
    packet.each_segment(&mut put);
    chains
}

/// Gives the guest its first chain back with a header, as far as that goes in, and nothing else.
fn refuse(ring: &Ring, ahead: u16, parts: &Parts) -> u16 {
    let (Some((head, _)), Some(part)) = (parts.chains.first(), parts.parts.first()) else { return 0 };
    let written = ring.agreed.header.min(part.len);
    let mut header = [0; HEADER];
    // SAFETY: it has room for the largest; and as many bytes were found in the guest's memory, which is mapped.
    unsafe {
        put_header(header.as_mut_ptr(), ring.agreed.header, 1);
        ptr::copy_nonoverlapping(header.as_ptr(), part.start.as_ptr(), written);
    }
    ring.memory.changed(part.addr, written as u64);
    ring.put_used(ahead, *head, written as u32);
    1
}
