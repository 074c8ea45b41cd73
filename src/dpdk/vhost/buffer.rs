//! What packets are copied into and out of: DPDK's buffers, and plain ones in tests.

use arrayvec::ArrayVec;

use crate::dpdk::{BURST, Mbuf, Mempool};

/// A packet in one buffer or several.
pub(super) trait Packet: Sized {
    /// What an empty buffer has room for.
    fn space(&mut self) -> &mut [u8];

    /// Says that an empty buffer holds the first `len` bytes of its space.
    fn fill(&mut self, len: usize);

    /// Puts `more`, one buffer, behind the packet.
    fn append(&mut self, more: Self);

    /// Bytes of the packet.
    fn len(&self) -> usize;

    /// All of a packet in one buffer; `None` if it is in several.
    fn linear(&self) -> Option<&[u8]>;

    /// Hands each buffer's bytes to `take`, in order.
    fn each_segment(&self, take: impl FnMut(&[u8]));
}

/// Where empty buffers come from.
pub(super) trait Source<P> {
    /// Appends `n` empty buffers to `burst`, which has room for them: all or none.
    fn supply(&self, burst: &mut ArrayVec<P, BURST>, n: usize) -> bool;

    /// One empty buffer.
    fn supply_one(&self) -> Option<P>;
}

impl Packet for Mbuf {
    #[inline]
    fn space(&mut self) -> &mut [u8] {
        self.spare_mut()
    }

    #[inline]
    fn fill(&mut self, len: usize) {
        self.fill_spare(len);
    }

    fn append(&mut self, more: Self) {
        self.chain(more);
    }

    #[inline]
    fn len(&self) -> usize {
        self.packet_len()
    }

    #[inline]
    fn linear(&self) -> Option<&[u8]> {
        use weft_pipelines::Frame;
        self.is_linear().then(|| self.data())
    }

    fn each_segment(&self, take: impl FnMut(&[u8])) {
        self.segments().for_each(take);
    }
}

impl Source<Mbuf> for Mempool {
    #[inline]
    fn supply(&self, burst: &mut ArrayVec<Mbuf, BURST>, n: usize) -> bool {
        self.alloc_bulk(burst, n)
    }

    fn supply_one(&self) -> Option<Mbuf> {
        self.alloc()
    }
}
