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
    /// Destination unreachable.
    pub const UNREACHABLE: u8 = 3;
    /// Source quench: nobody sends it since RFC 6633, and nobody acts on it.
    pub const SOURCE_QUENCH: u8 = 4;
    /// Time exceeded.
    pub const TIME_EXCEEDED: u8 = 11;
    /// Parameter problem.
    pub const PARAMETER_PROBLEM: u8 = 12;
    /// Timestamp.
    pub const TIMESTAMP: u8 = 13;
    /// Timestamp reply.
    pub const TIMESTAMP_REPLY: u8 = 14;
    /// Information request (obsolete; RFC 6918).
    pub const INFORMATION: u8 = 15;
    /// Information reply.
    pub const INFORMATION_REPLY: u8 = 16;
    /// Address mask request (RFC 950).
    pub const ADDRESS_MASK: u8 = 17;
    /// Address mask reply.
    pub const ADDRESS_MASK_REPLY: u8 = 18;
}

/// Whether messages of type `kind` tell of a packet that was not delivered, and quote it.
pub const fn is_error(kind: u8) -> bool {
    matches!(kind, kind::UNREACHABLE | kind::SOURCE_QUENCH | kind::TIME_EXCEEDED | kind::PARAMETER_PROBLEM)
}

/// The type of the query that a message of type `kind` is or answers, and whether it is the answer.
pub const fn query_of(kind: u8) -> Option<(u8, bool)> {
    match kind {
        kind::ECHO | kind::TIMESTAMP | kind::INFORMATION | kind::ADDRESS_MASK => Some((kind, false)),
        kind::ECHO_REPLY => Some((kind::ECHO, true)),
        kind::TIMESTAMP_REPLY | kind::INFORMATION_REPLY | kind::ADDRESS_MASK_REPLY => Some((kind - 1, true)),
        _ => None,
    }
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

    /// The identifier of a query or its reply.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_an_error_or_a_query_or_neither() {
        let errors: Vec<u8> = (0..=255).filter(|kind| is_error(*kind)).collect();
        assert_eq!(errors, [3, 4, 11, 12]);
        let queries: Vec<_> = (0..=255).filter_map(|kind| Some((kind, query_of(kind)?))).collect();
        let pairs = [(0, 8), (8, 8), (13, 13), (14, 13), (15, 15), (16, 15), (17, 17), (18, 17)];
        assert_eq!(queries, pairs.map(|(kind, query)| (kind, (query, kind != query))));
    }
}
