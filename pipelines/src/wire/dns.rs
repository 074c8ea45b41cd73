//! The header of a DNS message (RFC 1035, section 4.1.1).

use super::Malformed;

/// Bytes of a header.
pub const LEN: usize = 12;
/// The port that servers listen at.
pub const PORT: u16 = 53;

/// Codes of responses (RFC 1035, section 4.1.1).
pub mod rcode {
    /// No error.
    pub const NOERROR: u8 = 0;
    /// The server could not.
    pub const SERVFAIL: u8 = 2;
    /// There is no such name.
    pub const NXDOMAIN: u8 = 3;
    /// The server would not.
    pub const REFUSED: u8 = 5;
}

/// The header of a DNS message.
#[derive(Clone, Copy, Debug)]
pub struct Dns<'a>(&'a [u8; LEN]);

impl<'a> Dns<'a> {
    /// The header at the start of `message`.
    pub fn new(message: &'a [u8]) -> Result<Self, Malformed> {
        message.first_chunk().map(Self).ok_or(Malformed)
    }

    /// What tells a response which query it is to.
    pub const fn id(self) -> u16 {
        u16::from_be_bytes([self.0[0], self.0[1]])
    }

    /// Whether it is a response.
    pub const fn is_response(self) -> bool {
        self.0[2] & 0x80 != 0
    }

    /// The kind of query: 0 is a standard one.
    pub const fn opcode(self) -> u8 {
        self.0[2] >> 3 & 0xf
    }

    /// The code of a response, without the bits that EDNS adds (RFC 6891, section 6.1.3).
    pub const fn rcode(self) -> u8 {
        self.0[3] & 0xf
    }

    /// How many questions there are.
    pub const fn questions(self) -> u16 {
        u16::from_be_bytes([self.0[4], self.0[5]])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_where_the_rfc_says() {
        let response = [0x12, 0x34, 0x81, 0x83, 0, 1, 0, 0, 0, 0, 0, 0, 7];
        let header = Dns::new(&response).unwrap();
        assert_eq!((header.id(), header.is_response(), header.opcode()), (0x1234, true, 0));
        assert_eq!((header.rcode(), header.questions()), (rcode::NXDOMAIN, 1));
        let update = Dns::new(&[0, 0, 0x28, 0, 0, 1, 0, 0, 0, 0, 0, 0]).unwrap();
        assert_eq!((update.is_response(), update.opcode()), (false, 5));
        assert!(Dns::new(&response[..11]).is_err());
    }
}
