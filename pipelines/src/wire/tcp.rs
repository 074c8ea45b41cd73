//! The TCP header (RFC 9293).

use super::Malformed;

/// Bytes of a header without options.
pub const LEN: usize = 20;

/// Flags, as [`Tcp::flags`] has them.
pub mod flag {
    /// No more data from the sender.
    pub const FIN: u8 = 0x01;
    /// Synchronise sequence numbers.
    pub const SYN: u8 = 0x02;
    /// Reset the connection.
    pub const RST: u8 = 0x04;
    /// Push.
    pub const PSH: u8 = 0x08;
    /// The acknowledgement counts.
    pub const ACK: u8 = 0x10;
    /// The urgent pointer counts.
    pub const URG: u8 = 0x20;
    /// ECN echo (RFC 3168).
    pub const ECE: u8 = 0x40;
    /// Congestion window reduced (RFC 3168).
    pub const CWR: u8 = 0x80;
}

/// Option kinds (IANA).
pub mod option {
    /// Nothing follows.
    pub const END: u8 = 0;
    /// Padding of one byte, without a length.
    pub const NO_OPERATION: u8 = 1;
    /// Window scale (RFC 7323, section 2).
    pub const WINDOW_SCALE: u8 = 3;
    /// Timestamps (RFC 7323, section 3).
    pub const TIMESTAMPS: u8 = 8;
}

/// A TCP header.
#[derive(Clone, Copy, Debug)]
pub struct Tcp<'a> {
    header: &'a [u8; LEN],
    options: &'a [u8],
}

impl<'a> Tcp<'a> {
    /// The header at the start of `segment`, and its data.
    pub fn split(segment: &'a [u8]) -> Result<(Self, &'a [u8]), Malformed> {
        let (header, rest) = segment.split_first_chunk::<LEN>().ok_or(Malformed)?;
        let header_len = usize::from(header[12] >> 4) * 4;
        let options_len = header_len.checked_sub(LEN).ok_or(Malformed)?;
        let (options, data) = rest.split_at_checked(options_len).ok_or(Malformed)?;
        Ok((Self { header, options }, data))
    }

    /// The source port.
    pub const fn source_port(self) -> u16 {
        u16::from_be_bytes([self.header[0], self.header[1]])
    }

    /// The destination port.
    pub const fn destination_port(self) -> u16 {
        u16::from_be_bytes([self.header[2], self.header[3]])
    }

    /// The sequence number of the first byte of data, or of the SYN.
    pub const fn seq(self) -> u32 {
        u32::from_be_bytes([self.header[4], self.header[5], self.header[6], self.header[7]])
    }

    /// The sequence number that the sender expects next; counts only with [`flag::ACK`].
    pub const fn ack(self) -> u32 {
        u32::from_be_bytes([self.header[8], self.header[9], self.header[10], self.header[11]])
    }

    /// Bytes of the header with its options.
    pub const fn header_len(self) -> usize {
        LEN + self.options.len()
    }

    /// The flags CWR to FIN, FIN lowest.
    pub const fn flags(self) -> u8 {
        self.header[13]
    }

    /// The window field, not scaled.
    pub const fn window(self) -> u16 {
        u16::from_be_bytes([self.header[14], self.header[15]])
    }

    /// The options, each with its kind and its data, up to the end of the list or one that does not hold
    /// together.
    pub fn options(self) -> impl Iterator<Item = (u8, &'a [u8])> {
        Options(self.options)
    }
}

/// At most 40 bytes, so at most as many steps.
struct Options<'a>(&'a [u8]);

impl<'a> Iterator for Options<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        loop {
            match *self.0 {
                [option::NO_OPERATION, ref rest @ ..] => self.0 = rest,
                [] | [option::END, ..] => return None,
                [kind, ref rest @ ..] => {
                    // The length counts kind and length too.
                    let len = usize::from(*rest.first()?).checked_sub(2)?;
                    let (data, rest) = rest[1..].split_at_checked(len)?;
                    self.0 = rest;
                    return Some((kind, data));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
        let mut segment = vec![0; LEN];
        segment[12] = ((LEN + bytes.len()) / 4) as u8 * 16;
        segment.extend(bytes);
        let (tcp, data) = Tcp::split(&segment).unwrap();
        assert!(data.is_empty());
        tcp.options().map(|(kind, data)| (kind, data.to_vec())).collect()
    }

    #[test]
    fn walks_the_options_and_no_further_than_they_hold_together() {
        let scale = (option::WINDOW_SCALE, vec![7]);
        for (bytes, expected) in [
            (&[][..], vec![]),
            (&[1, 3, 3, 7], vec![scale.clone()]),
            (&[2, 4, 5, 180, 1, 3, 3, 7], vec![(2, vec![5, 180]), scale.clone()]),
            // Behind the end there is none.
            (&[0, 3, 3, 7], vec![]),
            // Lengths that cannot be, or that are not there.
            (&[3, 0, 7, 0], vec![]),
            (&[3, 1, 7, 0], vec![]),
            (&[1, 1, 3, 3], vec![]),
            (&[1, 1, 1, 3], vec![]),
            (&[3, 3, 7, 8], vec![scale.clone()]),
            (&[1; 40], vec![]),
        ] {
            assert_eq!(options(bytes), expected, "{bytes:?}");
        }
    }

    #[test]
    fn reads_the_fields_where_they_are() {
        let bytes = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 5 << 4, 0x12, 15, 16, 0, 0, 0, 0, 21];
        let (tcp, data) = Tcp::split(&bytes).unwrap();
        assert_eq!((tcp.seq(), tcp.ack(), tcp.window()), (0x0506_0708, 0x090a_0b0c, 0x0f10));
        assert_eq!((tcp.flags(), tcp.header_len(), data), (flag::SYN | flag::ACK, LEN, &[21][..]));
        assert_eq!(Tcp::split(&bytes[..19]).err(), Some(Malformed));
        for words in [4, 6] {
            let mut wrong = bytes;
            wrong[12] = words << 4;
            assert_eq!(Tcp::split(&wrong).err(), Some(Malformed));
        }
    }
}
