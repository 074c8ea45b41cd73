//! What a packet buffer can do for the stages, and a plain buffer that does it without any device.

/// A packet in a buffer, starting at its Ethernet header, with room before it to grow into.
///
/// DPDK's mbuf is one in the switch; [`TestFrame`] is one in tests, replay and benches. A frame
/// owns its buffer: dropping it gives the buffer back.
pub trait Frame: Sized {
    /// The packet's bytes, from the Ethernet header to the last byte received (no FCS).
    ///
    /// For a packet of several segments these are the first segment's bytes: see [`is_linear`](Self::is_linear).
    fn data(&self) -> &[u8];

    /// How many bytes those are.
    #[inline]
    fn size(&self) -> usize {
        self.data().len()
    }

    /// The same bytes, to be written.
    fn data_mut(&mut self) -> &mut [u8];

    /// Whether [`data`](Self::data) is the whole packet. The stages drop, by name, one that is not.
    fn is_linear(&self) -> bool;

    /// Grows the packet at its front by `n` bytes of headroom, whose content is undefined.
    ///
    /// Returns whether there was room; without room the frame stays as it was.
    #[must_use]
    fn prepend(&mut self, n: usize) -> bool;

    /// Shortens the packet at its front by `n` bytes; they become headroom.
    ///
    /// Returns whether the packet had that many; otherwise the frame stays as it was.
    #[must_use]
    fn trim_front(&mut self, n: usize) -> bool;

    /// Shortens the packet to its first `len` bytes; a packet that is not longer stays as it was.
    fn truncate(&mut self, len: usize);

    /// A copy of the packet in a buffer of its own, with the same headroom or more.
    ///
    /// `None` when the pool that this frame came from is empty.
    fn duplicate(&self) -> Option<Self>;
}

/// A frame in plain memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestFrame {
    buffer: Vec<u8>,
    start: usize,
}

impl TestFrame {
    /// Bytes before a new frame's packet: as many as DPDK's default (`RTE_PKTMBUF_HEADROOM`).
    pub const HEADROOM: usize = 128;

    /// A frame that holds a copy of `packet`.
    pub fn new(packet: &[u8]) -> Self {
        Self::with_headroom(packet, Self::HEADROOM)
    }

    /// A frame that holds a copy of `packet` after `headroom` free bytes.
    pub fn with_headroom(packet: &[u8], headroom: usize) -> Self {
        let mut buffer = vec![0; headroom + packet.len()];
        buffer[headroom..].copy_from_slice(packet);
        Self { buffer, start: headroom }
    }
}

impl Frame for TestFrame {
    fn data(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    fn data_mut(&mut self) -> &mut [u8] {
        &mut self.buffer[self.start..]
    }

    fn is_linear(&self) -> bool {
        true
    }

    fn prepend(&mut self, n: usize) -> bool {
        match self.start.checked_sub(n) {
            Some(start) => {
                self.start = start;
                true
            }
            None => false,
        }
    }

    fn trim_front(&mut self, n: usize) -> bool {
        let fits = n <= self.data().len();
        if fits {
            self.start += n;
        }
        fits
    }

    fn truncate(&mut self, len: usize) {
        self.buffer.truncate(self.start + len);
    }

    fn duplicate(&self) -> Option<Self> {
        Some(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_into_headroom_and_no_further() {
        let mut frame = TestFrame::with_headroom(b"abc", 4);
        assert!(!frame.prepend(5));
        assert_eq!(frame.data(), b"abc");
        assert!(frame.prepend(4));
        assert_eq!(&frame.data()[4..], b"abc");
        assert!(!frame.prepend(1));
    }

    #[test]
    fn trims_at_both_ends() {
        let mut frame = TestFrame::new(b"abcdef");
        assert!(frame.trim_front(2));
        frame.truncate(3);
        assert_eq!(frame.data(), b"cde");
        frame.truncate(9);
        assert_eq!(frame.data(), b"cde");
        assert!(!frame.trim_front(4));
        assert_eq!(frame.data(), b"cde");
        assert!(frame.prepend(2));
        assert_eq!(frame.data(), b"abcde");
    }
}
