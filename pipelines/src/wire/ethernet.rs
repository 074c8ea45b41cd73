//! The Ethernet II header (IEEE 802.3).

use super::Mac;

/// Bytes of an Ethernet header, without tags.
pub const LEN: usize = 14;

/// Bytes of the shortest frame that may go on a wire, without the FCS.
pub const MIN_FRAME: usize = 60;

/// What the header's type field says follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EtherType(pub u16);

impl EtherType {
    /// IPv4 (RFC 894).
    pub const IPV4: Self = Self(0x0800);
    /// ARP (RFC 826).
    pub const ARP: Self = Self(0x0806);
    /// An 802.1Q tag.
    pub const VLAN: Self = Self(0x8100);
    /// An 802.1ad service tag.
    pub const SERVICE_VLAN: Self = Self(0x88a8);
    /// IPv6 (RFC 2464).
    pub const IPV6: Self = Self(0x86dd);
}

/// An Ethernet header.
#[derive(Clone, Copy, Debug)]
pub struct Ethernet<'a>(&'a [u8; LEN]);

impl<'a> Ethernet<'a> {
    /// The header at the start of `frame`, and what follows it; `None` when the frame is too short.
    pub fn split(frame: &'a [u8]) -> Option<(Self, &'a [u8])> {
        frame.split_first_chunk().map(|(header, rest)| (Self(header), rest))
    }

    /// The destination.
    pub const fn destination(self) -> Mac {
        let [a, b, c, d, e, f, ..] = *self.0;
        Mac([a, b, c, d, e, f])
    }

    /// The source.
    pub const fn source(self) -> Mac {
        let [_, _, _, _, _, _, a, b, c, d, e, f, ..] = *self.0;
        Mac([a, b, c, d, e, f])
    }

    /// The destination as an integer, see [`Mac::to_bits`].
    #[inline]
    pub fn destination_bits(self) -> u64 {
        self.eight(0) >> 16
    }

    /// The source as an integer, see [`Mac::to_bits`].
    #[inline]
    pub fn source_bits(self) -> u64 {
        self.eight(4) & 0xffff_ffff_ffff
    }

    /// Eight bytes in one piece; there are so many from the first on, and from the fifth.
    #[inline(always)]
    fn eight(self, at: usize) -> u64 {
        self.0[at..].first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
    }

    /// What follows.
    pub const fn ethertype(self) -> EtherType {
        EtherType(u16::from_be_bytes([self.0[12], self.0[13]]))
    }
}

/// Writes a header.
pub fn write(header: &mut [u8; LEN], destination: Mac, source: Mac, ethertype: EtherType) {
    header[..6].copy_from_slice(&destination.0);
    header[6..12].copy_from_slice(&source.0);
    header[12..].copy_from_slice(&ethertype.0.to_be_bytes());
}

/// The header's bytes at the start of `frame`, to be written; `None` when the frame is too short.
pub fn header_mut(frame: &mut [u8]) -> Option<&mut [u8; LEN]> {
    frame.first_chunk_mut()
}
