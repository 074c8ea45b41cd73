//! From a guest: its transmit ring.

use std::ptr::{self, NonNull};

use arrayvec::ArrayVec;

use super::buffer::{Packet, Source};
use super::copy::copy;
use super::ring::{INDIRECT, NEXT, Ring, WRITE, prefetch};
use crate::dpdk::BURST;

/// Bytes of the longest frame that is taken from a guest. No segmentation is offered, so an honest guest's is shorter.
const LONGEST: usize = 65_536;
/// Buffers that such a frame may fill: more than it needs, as buffers hold 2 KiB or more.
const SEGMENTS: usize = 128;

/// Bytes of a cache line. Of what is longer than two the processor sees by itself where it goes.
const LINE: usize = 64;

/// A chain whose packet lies in one piece.
#[derive(Clone, Copy)]
struct Piece {
    /// `None`: the chain has to be walked.
    start: Option<NonNull<u8>>,
    len: usize,
    head: u16,
}

/// Appends what the guest has sent to `burst`, `limit` packets at most and as many as fit it; returns how many.
///
/// A chain that is no packet (its addresses are not the guest's, it has no end, it is longer than a frame can be or
/// shorter than its header) is a packet without a byte: whoever takes it drops it, and counts that.
pub(super) fn receive<P: Packet>(
    ring: &mut Ring,
    source: &impl Source<P>,
    burst: &mut ArrayVec<P, BURST>,
    limit: usize,
) -> usize {
    let count = usize::from(ring.available()).min(limit).min(burst.remaining_capacity());
    if count == 0 {
        return 0;
    }
    let heads = ring.heads(count);
    let first = burst.len();
    if !source.supply(burst, heads.len()) {
        return 0;
    }
    let mut pieces = ArrayVec::<Piece, BURST>::new();
    for head in heads {
        let piece = piece(ring, head);
        if let Some(start) = piece.start {
            prefetch(start.as_ptr());
            prefetch(start.as_ptr().wrapping_add(piece.len.min(LINE)));
        }
        pieces.push(piece);
    }
    let mut taken = 0;
    for (piece, packet) in pieces.iter().zip(&mut burst[first..]) {
        if !take(ring, source, piece, packet) {
            break;
        }
        ring.put_used(taken as u16, piece.head, 0);
        taken += 1;
    }
    burst.truncate(first + taken);
    ring.release(taken as u16);
    taken
}

/// Looks where the chain's packet is: the shapes that drivers use, which are one descriptor, or one for the header
/// and one for the rest.
#[inline]
fn piece(ring: &mut Ring, head: u16) -> Piece {
    let header = ring.agreed.header;
    let walked = Piece { start: None, len: 0, head };
    let Some(mut descriptor) = ring.descriptor(head) else { return walked };
    let mut skip = header;
    if descriptor.flags & NEXT != 0 && descriptor.len as usize == header {
        let Some(next) = ring.descriptor(descriptor.next) else { return walked };
        // The header says nothing of interest: no offload is offered.
        descriptor = next;
        skip = 0;
    }
    let whole = descriptor.flags & (NEXT | WRITE | INDIRECT) == 0;
    let Some(len) = (descriptor.len as usize).checked_sub(skip).filter(|_| whole) else { return walked };
    let Some(start) = ring.memory.find(descriptor.addr, descriptor.len) else { return walked };
    // SAFETY: `skip` is not more than the bytes that were found.
    Piece { start: Some(unsafe { start.add(skip) }), len, head }
}

/// Copies a chain's packet. Returns whether it has come: else there is no buffer for it yet.
#[inline]
fn take<P: Packet>(ring: &mut Ring, source: &impl Source<P>, piece: &Piece, packet: &mut P) -> bool {
    if let Some(start) = piece.start {
        let space = packet.space();
        if piece.len <= space.len() {
            // SAFETY: as many bytes were found in the guest's memory, which is mapped; they may change meanwhile, and any
            // bytes will do. The buffer has room for them, and is not the guest's.
            unsafe { copy(start.as_ptr(), space.as_mut_ptr(), piece.len) };
            packet.fill(piece.len);
            return true;
        }
    }
    match walk(ring, source, piece.head) {
        Walk::Packet(walked) => *packet = walked,
        Walk::Bad => packet.fill(0),
        Walk::NoBuffer => return false,
    }
    true
}

enum Walk<P> {
    Packet(P),
    /// It is no packet.
    Bad,
    NoBuffer,
}

/// Copies a packet descriptor by descriptor, into as many buffers as it needs.
#[cold]
fn walk<P: Packet>(ring: &mut Ring, source: &impl Source<P>, head: u16) -> Walk<P> {
    let Some(mut filling) = source.supply_one() else { return Walk::NoBuffer };
    let mut full = ArrayVec::<P, SEGMENTS>::new();
    let (mut filled, mut total) = (0, 0);
    let mut skip = ring.agreed.header;
    let mut index = head;
    // A chain has no more descriptors than the ring; one that goes round in circles would.
    for _ in 0..ring.size() {
        let Some(descriptor) = ring.descriptor(index) else { return Walk::Bad };
        let found = ring.memory.find(descriptor.addr, descriptor.len);
        let Some(start) = found.filter(|_| descriptor.flags & (WRITE | INDIRECT) == 0) else {
            return Walk::Bad;
        };
        let skipped = skip.min(descriptor.len as usize);
        skip -= skipped;
        let mut left = descriptor.len as usize - skipped;
        // SAFETY: not more than the bytes that were found.
        let mut from = unsafe { start.add(skipped) };
        total += left;
        if total > LONGEST {
            return Walk::Bad;
        }
        while left > 0 {
            let space = filling.space();
            if filled == space.len() {
                let Some(next) = source.supply_one() else { return Walk::NoBuffer };
                let mut before = std::mem::replace(&mut filling, next);
                before.fill(filled);
                filled = 0;
                if full.try_push(before).is_err() {
                    return Walk::Bad;
                }
                continue;
            }
            let part = left.min(space.len() - filled);
            // SAFETY: `part` bytes are left of those found, and of the buffer's space; both as in `take`.
            unsafe {
                ptr::copy_nonoverlapping(from.as_ptr(), space.as_mut_ptr().add(filled), part);
                from = from.add(part);
            }
            filled += part;
            left -= part;
        }
        if descriptor.flags & NEXT == 0 {
            if skip > 0 {
                return Walk::Bad;
            }
            filling.fill(filled);
            let mut rest = full.into_iter().chain([filling]);
            let Some(mut packet) = rest.next() else { return Walk::Bad };
            rest.for_each(|segment| packet.append(segment));
            return Walk::Packet(packet);
        }
        index = descriptor.next;
    }
    Walk::Bad
}
