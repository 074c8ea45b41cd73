//! The 802.1Q tag.

use super::ethernet::EtherType;

/// Bytes of a tag, counted from behind the type field that announces it.
pub const LEN: usize = 4;

/// The part of a tag behind its type: control information, then the type of what follows.
#[derive(Clone, Copy, Debug)]
pub struct Vlan<'a>(&'a [u8; LEN]);

impl<'a> Vlan<'a> {
    /// The tag at the start of `data`, which begins behind the Ethernet header, and what follows it.
    pub fn split(data: &'a [u8]) -> Option<(Self, &'a [u8])> {
        data.split_first_chunk().map(|(tag, rest)| (Self(tag), rest))
    }

    /// The VLAN's number; 0 marks a frame that carries a priority and belongs to no VLAN.
    pub const fn id(self) -> u16 {
        u16::from_be_bytes([self.0[0], self.0[1]]) & 0xfff
    }

    /// What follows.
    pub const fn ethertype(self) -> EtherType {
        EtherType(u16::from_be_bytes([self.0[2], self.0[3]]))
    }
}
