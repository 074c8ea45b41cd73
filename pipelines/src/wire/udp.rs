//! The UDP header (RFC 768).

use super::Malformed;

/// Bytes of a header.
pub const LEN: usize = 8;

/// A UDP header.
#[derive(Clone, Copy, Debug)]
pub struct Udp<'a>(&'a [u8; LEN]);

impl<'a> Udp<'a> {
    /// The header at the start of `datagram` and its data, as long as the header says.
    pub fn split(datagram: &'a [u8]) -> Result<(Self, &'a [u8]), Malformed> {
        let header = Self(datagram.first_chunk().ok_or(Malformed)?);
        datagram.get(LEN..header.length()).map(|data| (header, data)).ok_or(Malformed)
    }

    /// The source port.
    pub const fn source_port(self) -> u16 {
        u16::from_be_bytes([self.0[0], self.0[1]])
    }

    /// The destination port.
    pub const fn destination_port(self) -> u16 {
        u16::from_be_bytes([self.0[2], self.0[3]])
    }

    /// Bytes of header and data.
    pub const fn length(self) -> usize {
        u16::from_be_bytes([self.0[4], self.0[5]]) as usize
    }
}
