//! The TCP header (RFC 9293).

use super::Malformed;

/// Bytes of a header without options.
pub const LEN: usize = 20;

/// A TCP header, without its options.
#[derive(Clone, Copy, Debug)]
pub struct Tcp<'a>(&'a [u8; LEN]);

impl<'a> Tcp<'a> {
    /// The header at the start of `segment`, and its data.
    pub fn split(segment: &'a [u8]) -> Result<(Self, &'a [u8]), Malformed> {
        let header = Self(segment.first_chunk().ok_or(Malformed)?);
        let len = header.header_len();
        if len < LEN {
            return Err(Malformed);
        }
        segment.get(len..).map(|data| (header, data)).ok_or(Malformed)
    }

    /// The source port.
    pub const fn source_port(self) -> u16 {
        u16::from_be_bytes([self.0[0], self.0[1]])
    }

    /// The destination port.
    pub const fn destination_port(self) -> u16 {
        u16::from_be_bytes([self.0[2], self.0[3]])
    }

    /// Bytes of the header with its options.
    pub const fn header_len(self) -> usize {
        (self.0[12] >> 4) as usize * 4
    }

    /// The flags CWR to FIN, FIN lowest.
    pub const fn flags(self) -> u8 {
        self.0[13]
    }
}
