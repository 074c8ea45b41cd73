//! The VXLAN header (RFC 7348, section 5).

use super::Vni;

/// Bytes of a header.
pub const LEN: usize = 8;

/// The flags of a header that has a VNI and nothing else.
pub const FLAGS: u8 = 0x08;

/// A VXLAN header.
#[derive(Clone, Copy, Debug)]
pub struct Vxlan<'a>(&'a [u8; LEN]);

impl<'a> Vxlan<'a> {
    /// The header at the start of `data`, and the frame behind it.
    pub fn split(data: &'a [u8]) -> Option<(Self, &'a [u8])> {
        data.split_first_chunk().map(|(header, rest)| (Self(header), rest))
    }

    /// The flags: [`FLAGS`] in a plain VXLAN packet.
    pub const fn flags(self) -> u8 {
        self.0[0]
    }

    /// The network identifier, if it is one that a segment may have.
    pub const fn vni(self) -> Option<Vni> {
        Vni::new(u32::from_be_bytes([0, self.0[4], self.0[5], self.0[6]]))
    }
}

/// Writes a header.
pub fn write(header: &mut [u8; LEN], vni: Vni) {
    let [_, high, middle, low] = vni.value().to_be_bytes();
    *header = [FLAGS, 0, 0, 0, high, middle, low, 0];
}
