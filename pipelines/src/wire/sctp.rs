//! The SCTP common header (RFC 9260, section 3.1).

use super::Malformed;

/// Bytes of the common header.
pub const LEN: usize = 12;

/// An SCTP common header.
#[derive(Clone, Copy, Debug)]
pub struct Sctp<'a>(&'a [u8; LEN]);

impl<'a> Sctp<'a> {
    /// The header at the start of `packet`, and its chunks.
    pub fn split(packet: &'a [u8]) -> Result<(Self, &'a [u8]), Malformed> {
        packet.split_first_chunk().map(|(header, chunks)| (Self(header), chunks)).ok_or(Malformed)
    }

    /// The source port.
    pub const fn source_port(self) -> u16 {
        u16::from_be_bytes([self.0[0], self.0[1]])
    }

    /// The destination port.
    pub const fn destination_port(self) -> u16 {
        u16::from_be_bytes([self.0[2], self.0[3]])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_ports_and_twelve_bytes() {
        let packet = [1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0, 0, 13];
        let (sctp, chunks) = Sctp::split(&packet).unwrap();
        assert_eq!((sctp.source_port(), sctp.destination_port(), chunks), (0x0102, 0x0304, &[13][..]));
        assert_eq!(Sctp::split(&packet[..11]).err(), Some(Malformed));
    }
}
