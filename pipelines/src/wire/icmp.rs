//! ICMP (RFC 792).

use super::checksum;

/// Bytes of the header.
pub const LEN: usize = 8;

/// Message types.
pub mod kind {
    /// Echo reply.
    pub const ECHO_REPLY: u8 = 0;
    /// Echo.
    pub const ECHO: u8 = 8;
}

/// An ICMP header.
#[derive(Clone, Copy, Debug)]
pub struct Icmp<'a>(&'a [u8; LEN]);

impl<'a> Icmp<'a> {
    /// The header at the start of `payload`, and what follows it.
    pub fn split(payload: &'a [u8]) -> Option<(Self, &'a [u8])> {
        payload.split_first_chunk().map(|(header, rest)| (Self(header), rest))
    }

    /// The message's type.
    pub const fn kind(self) -> u8 {
        self.0[0]
    }

    /// The message's code.
    pub const fn code(self) -> u8 {
        self.0[1]
    }

    /// The identifier of an echo or its reply.
    pub const fn identifier(self) -> u16 {
        u16::from_be_bytes([self.0[4], self.0[5]])
    }
}

/// Whether a message's checksum holds.
pub fn checksum_holds(message: &[u8]) -> bool {
    checksum::fold(checksum::sum(message)) == 0
}

/// Makes an echo the reply to it: another type, the checksum brought after.
pub fn echo_to_reply(header: &mut [u8; LEN]) {
    let old = u16::from_be_bytes([header[0], header[1]]);
    header[0] = kind::ECHO_REPLY;
    let new = u16::from_be_bytes([header[0], header[1]]);
    let checksum = checksum::update(u16::from_be_bytes([header[2], header[3]]), old, new);
    header[2..4].copy_from_slice(&checksum.to_be_bytes());
}
