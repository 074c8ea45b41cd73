//! Packet buffers.

use std::ptr::NonNull;
use std::{mem, ptr, slice};

use arrayvec::ArrayVec;
use dpdk_sys::rte_mbuf;
use weft_pipelines::frame::Frame;

/// Packets that a queue is asked for, or given, at once.
pub const BURST: usize = weft_pipelines::BURST;

/// A burst of packets.
pub type Burst = ArrayVec<Mbuf, BURST>;

/// A packet in a buffer of a [`Mempool`](super::Mempool); dropping it gives the buffer back.
///
/// It is one pointer, so a [`Burst`] is what DPDK's burst functions take and fill. Nothing else refers to
/// the buffer: a reference count above one, which DPDK's library can make, is made nowhere here.
#[repr(transparent)]
pub struct Mbuf(NonNull<rte_mbuf>);

// SAFETY: the buffer is owned, and pools take buffers back on any thread.
unsafe impl Send for Mbuf {}

const _: () = assert!(size_of::<Option<Mbuf>>() == size_of::<*mut rte_mbuf>());

/// Gives all buffers of a burst back in one call.
#[inline]
pub fn free_bulk(burst: &mut Burst) {
    let count = burst.len();
    // SAFETY: none of them is owned by the burst from here on; their memory in the burst stays as it is.
    unsafe { burst.set_len(0) };
    // SAFETY: the burst owned `count` buffers, laid out as pointers.
    unsafe { dpdk_sys::rte_pktmbuf_free_bulk(burst.as_mut_ptr().cast(), count as u32) };
}

impl Mbuf {
    /// Takes ownership.
    ///
    /// # Safety
    ///
    /// The buffer, and the segments that follow it, belong to the caller, and to nothing else.
    #[inline]
    pub(super) unsafe fn from_raw(mbuf: NonNull<rte_mbuf>) -> Self {
        Self(mbuf)
    }

    /// Bytes before the packet that it can grow into.
    #[inline]
    pub fn headroom(&self) -> usize {
        self.raw().data_off.into()
    }

    /// Bytes after the packet's first segment that it can grow into.
    #[inline]
    pub fn tailroom(&self) -> usize {
        let raw = self.raw();
        usize::from(raw.buf_len) - usize::from(raw.data_off) - usize::from(raw.data_len)
    }

    /// Bytes of the packet, over all segments.
    #[inline]
    pub fn packet_len(&self) -> usize {
        self.raw().pkt_len as usize
    }

    /// Appends `bytes`; returns whether the packet is linear and they fit.
    #[inline]
    #[must_use]
    pub fn extend_from_slice(&mut self, bytes: &[u8]) -> bool {
        let fits = self.is_linear() && bytes.len() <= self.tailroom();
        if fits {
            let raw = self.raw_mut();
            let end = usize::from(raw.data_off) + usize::from(raw.data_len);
            // Both fit, as the tailroom is at most 65,535 bytes.
            raw.data_len += bytes.len() as u16;
            raw.pkt_len += bytes.len() as u32;
            // SAFETY: the buffer has as many bytes after the packet, and nobody else refers to it.
            unsafe {
                ptr::copy_nonoverlapping(bytes.as_ptr(), raw.buf_addr.cast::<u8>().add(end), bytes.len())
            };
        }
        fits
    }

    /// What an empty buffer has room for, after its headroom.
    #[inline]
    pub(super) fn spare_mut(&mut self) -> &mut [u8] {
        let room = self.tailroom();
        let raw = self.raw_mut();
        // SAFETY: as many bytes of the buffer, which is initialised memory, follow the packet's, and nobody else refers to
        // them.
        unsafe {
            let start = raw.buf_addr.cast::<u8>().add(usize::from(raw.data_off) + usize::from(raw.data_len));
            slice::from_raw_parts_mut(start, room)
        }
    }

    /// Says that an empty buffer holds `len` bytes, no more than there is room for.
    #[inline]
    pub(super) fn fill_spare(&mut self, len: usize) {
        let len = len.min(self.tailroom());
        let raw = self.raw_mut();
        raw.data_len = len as u16;
        raw.pkt_len = len as u32;
    }

    /// Puts `more` behind the packet, as its last segment.
    pub(super) fn chain(&mut self, more: Self) {
        let mut last = self.0.as_ptr();
        // SAFETY: the chain is owned with its first segment; a null `next` ends it.
        let last = unsafe {
            while let Some(next) = NonNull::new((*last).next) {
                last = next.as_ptr();
            }
            &mut *last
        };
        let (segments, len) = (more.raw().nb_segs, more.raw().pkt_len);
        last.next = more.0.as_ptr();
        // It belongs to the chain now.
        mem::forget(more);
        let raw = self.raw_mut();
        raw.nb_segs += segments;
        raw.pkt_len += len;
    }

    /// The bytes of each of the packet's segments.
    pub(super) fn segments(&self) -> impl Iterator<Item = &[u8]> {
        let mut segment: *const rte_mbuf = self.0.as_ptr();
        std::iter::from_fn(move || {
            if segment.is_null() {
                return None;
            }
            // SAFETY: the chain is owned with its first segment, and borrowed with it; a segment's bytes lie within its
            // buffer, which is initialised memory.
            unsafe {
                let start = (*segment).buf_addr.cast::<u8>().add((*segment).data_off.into());
                let bytes = slice::from_raw_parts(start, (*segment).data_len.into());
                segment = (*segment).next;
                Some(bytes)
            }
        })
    }

    #[inline]
    fn raw(&self) -> &rte_mbuf {
        // SAFETY: the buffer is owned and initialised; its memory outlives it (see `Mempool`).
        unsafe { self.0.as_ref() }
    }

    #[inline]
    fn raw_mut(&mut self) -> &mut rte_mbuf {
        // SAFETY: as above, and `self` is borrowed for writing.
        unsafe { self.0.as_mut() }
    }

    /// Cuts a packet of several segments to `len` bytes.
    #[cold]
    fn truncate_segments(&mut self, len: usize) {
        if len >= self.packet_len() {
            return;
        }
        let mut left = len;
        let mut segments = 1;
        let mut last = self.0.as_ptr();
        // SAFETY: the chain is owned with its first segment, and `len` lies within it, so the loop ends
        // before the chain does; a null `next` ends it whatever the lengths say.
        let rest = unsafe {
            while left > usize::from((*last).data_len) && !(*last).next.is_null() {
                left -= usize::from((*last).data_len);
                last = (*last).next;
                segments += 1;
            }
            (*last).data_len = (*last).data_len.min(left as u16);
            mem::replace(&mut (*last).next, ptr::null_mut())
        };
        let raw = self.raw_mut();
        raw.pkt_len = len as u32;
        raw.nb_segs = segments;
        // SAFETY: the rest of the chain was cut off and belongs to nobody else; null is fine.
        unsafe { dpdk_sys::rte_pktmbuf_free(rest) };
    }
}

impl Drop for Mbuf {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the buffer is owned, so it is freed once.
        unsafe { dpdk_sys::rte_pktmbuf_free(self.0.as_ptr()) };
    }
}

impl Frame for Mbuf {
    #[inline]
    fn data(&self) -> &[u8] {
        let raw = self.raw();
        // SAFETY: the segment's bytes lie within its buffer, which is initialised memory.
        unsafe {
            let start = raw.buf_addr.cast::<u8>().add(raw.data_off.into());
            slice::from_raw_parts(start, raw.data_len.into())
        }
    }

    fn size(&self) -> usize {
        self.raw().data_len.into()
    }

    #[inline]
    fn data_mut(&mut self) -> &mut [u8] {
        let raw = self.raw_mut();
        // SAFETY: as above, and nobody else refers to the buffer.
        unsafe {
            let start = raw.buf_addr.cast::<u8>().add(raw.data_off.into());
            slice::from_raw_parts_mut(start, raw.data_len.into())
        }
    }

    #[inline]
    fn is_linear(&self) -> bool {
        self.raw().nb_segs == 1
    }

    #[inline]
    fn prepend(&mut self, n: usize) -> bool {
        let raw = self.raw_mut();
        let fits = n <= raw.data_off.into();
        if fits {
            raw.data_off -= n as u16;
            raw.data_len += n as u16;
            raw.pkt_len += n as u32;
        }
        fits
    }

    #[inline]
    fn trim_front(&mut self, n: usize) -> bool {
        let raw = self.raw_mut();
        let fits = n <= raw.data_len.into();
        if fits {
            raw.data_off += n as u16;
            raw.data_len -= n as u16;
            raw.pkt_len -= n as u32;
        }
        fits
    }

    #[inline]
    fn truncate(&mut self, len: usize) {
        if !self.is_linear() {
            self.truncate_segments(len);
            return;
        }
        let raw = self.raw_mut();
        if len < raw.data_len.into() {
            raw.data_len = len as u16;
            raw.pkt_len = len as u32;
        }
    }

    /// A linear copy with DPDK's default headroom. `None` also where the packet is too long for one buffer.
    fn duplicate(&self) -> Option<Self> {
        // SAFETY: a buffer's pool outlives it.
        let copy = NonNull::new(unsafe { dpdk_sys::rte_pktmbuf_alloc(self.raw().pool) })?;
        // SAFETY: freshly allocated.
        let mut copy = unsafe { Self::from_raw(copy) };
        for bytes in self.segments() {
            if !copy.extend_from_slice(bytes) {
                return None;
            }
        }
        Some(copy)
    }
}

impl std::fmt::Debug for Mbuf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mbuf")
            .field("len", &self.packet_len())
            .field("segments", &self.raw().nb_segs)
            .finish()
    }
}
