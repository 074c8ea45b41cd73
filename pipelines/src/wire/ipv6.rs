//! The IPv6 header and the walk over its extension headers (RFC 8200).

use core::net::Ipv6Addr;

use super::Malformed;

/// Bytes of the fixed header.
pub const LEN: usize = 40;

/// Extension headers that are walked over before a packet is called malformed: each may stand once,
/// destination options twice (RFC 8200, section 4.1), and none is longer than the packet.
pub const MAX_EXTENSIONS: usize = 8;

/// The fixed header.
#[derive(Clone, Copy, Debug)]
pub struct Ipv6<'a>(&'a [u8; LEN]);

/// What stands behind the extension headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upper<'a> {
    /// What the payload is (IANA protocol number).
    pub protocol: u8,
    /// Whether it is one of several fragments, and if so whether it is a later one than the first.
    pub fragment: Option<Fragment>,
    /// The payload.
    pub payload: &'a [u8],
}

/// What a fragment header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// Where the payload stands in the packet that was fragmented, in bytes.
    pub offset: u16,
    /// Whether more fragments follow.
    pub more: bool,
    /// What fragments of one packet share.
    pub identification: u32,
    /// Bytes of its part of the packet: all behind the fragment header.
    pub len: usize,
}

impl<'a> Ipv6<'a> {
    /// The header at the start of `packet` and its payload, without padding behind it.
    ///
    /// A jumbogram (payload length 0 with more following; RFC 2675) is not recognised: its payload is empty.
    pub fn split(packet: &'a [u8]) -> Result<(Self, &'a [u8]), Malformed> {
        let (header, rest) = Self::first(packet)?;
        rest.get(..header.payload_len()).map(|payload| (header, payload)).ok_or(Malformed)
    }

    /// The header at the start of a packet of which the end may be missing, and the payload that is there.
    pub fn split_cut(packet: &'a [u8]) -> Result<(Self, &'a [u8]), Malformed> {
        let (header, rest) = Self::first(packet)?;
        Ok((header, rest.get(..header.payload_len()).unwrap_or(rest)))
    }

    fn first(packet: &'a [u8]) -> Result<(Self, &'a [u8]), Malformed> {
        let (header, rest) = packet.split_first_chunk().ok_or(Malformed)?;
        if header[0] >> 4 == 6 { Ok((Self(header), rest)) } else { Err(Malformed) }
    }

    /// DSCP and ECN.
    pub const fn traffic_class(self) -> u8 {
        self.0[0] << 4 | self.0[1] >> 4
    }

    /// Bytes behind the fixed header.
    pub const fn payload_len(self) -> usize {
        u16::from_be_bytes([self.0[4], self.0[5]]) as usize
    }

    /// What follows the fixed header: an extension header or the upper layer.
    pub const fn next_header(self) -> u8 {
        self.0[6]
    }

    /// The source.
    pub fn source(self) -> Ipv6Addr {
        self.address::<8>()
    }

    /// The destination.
    pub fn destination(self) -> Ipv6Addr {
        self.address::<24>()
    }

    fn address<const AT: usize>(self) -> Ipv6Addr {
        let mut octets = [0; 16];
        octets.copy_from_slice(&self.0[AT..AT + 16]);
        Ipv6Addr::from(octets)
    }
}

/// Walks the extension headers at the start of `payload`, the first of which is `next`.
pub fn upper(mut next: u8, mut payload: &[u8]) -> Result<Upper<'_>, Malformed> {
    const HOP_BY_HOP: u8 = 0;
    const ROUTING: u8 = 43;
    const FRAGMENT: u8 = 44;
    const AUTHENTICATION: u8 = 51;
    const DESTINATION: u8 = 60;

    let mut fragment = None;
    for _ in 0..=MAX_EXTENSIONS {
        let len = match next {
            HOP_BY_HOP | ROUTING | DESTINATION => 8 + usize::from(*payload.get(1).ok_or(Malformed)?) * 8,
            AUTHENTICATION => 8 + usize::from(*payload.get(1).ok_or(Malformed)?) * 4,
            FRAGMENT => {
                let [_, _, high, low, identification @ ..] = *payload.first_chunk::<8>().ok_or(Malformed)?;
                let field = u16::from_be_bytes([high, low]);
                // An atomic fragment (offset 0, no more; RFC 6946) is a whole packet.
                if field & 0xfff9 != 0 {
                    fragment = Some(Fragment {
                        offset: field & 0xfff8,
                        more: field & 1 != 0,
                        identification: u32::from_be_bytes(identification),
                        len: payload.len() - 8,
                    });
                }
                8
            }
            protocol => return Ok(Upper { protocol, fragment, payload }),
        };
        let protocol = *payload.first().ok_or(Malformed)?;
        payload = payload.get(len..).ok_or(Malformed)?;
        next = protocol;
        if fragment.is_some_and(|fragment| fragment.offset != 0) {
            // What follows in a later fragment is payload, whatever its first bytes look like.
            return Ok(Upper { protocol, fragment, payload });
        }
    }
    Err(Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAGMENT: u8 = 44;

    fn fragment_of(payload: &[u8]) -> Option<Fragment> {
        upper(FRAGMENT, payload).unwrap().fragment
    }

    #[test]
    fn tells_what_a_fragment_header_says() {
        let header = |field: u16| {
            let [high, low] = field.to_be_bytes();
            [17, 0, high, low, 0xde, 0xad, 0xbe, 0xef, 1, 2, 3, 4, 5, 6, 7, 8]
        };
        let identification = 0xdead_beef;
        for (field, expected) in [
            (1, Some(Fragment { offset: 0, more: true, identification, len: 8 })),
            (8 | 1, Some(Fragment { offset: 8, more: true, identification, len: 8 })),
            (0xfff8, Some(Fragment { offset: 0xfff8, more: false, identification, len: 8 })),
            // The reserved bits do not count.
            (6, None),
            (0, None),
        ] {
            assert_eq!(fragment_of(&header(field)), expected, "{field:#x}");
        }
    }
}
