//! The packet that an ICMP error quotes: its headers and as much behind them as the sender saw fit.

use core::net::{Ipv4Addr, Ipv6Addr};

use super::{Malformed, icmp, ipv4, ipv6};

/// Bytes of the transport header that every quote has (RFC 792): enough for ports, and for a query's
/// identifier.
pub const LEAST: usize = 8;

/// A quoted packet, with addresses of one family.
///
/// Nothing tells whether it was ever sent: the checksum over it is the error's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quoted<'a, A> {
    /// Who sent it: the one that the error is for.
    pub source: A,
    /// Whom it was sent to.
    pub destination: A,
    /// What its payload is (IANA protocol number).
    pub protocol: u8,
    /// Whether it is a fragment other than the first: then its payload does not start with a transport header.
    pub is_later_fragment: bool,
    /// Its payload as far as it is quoted, at least [`LEAST`] bytes.
    pub transport: &'a [u8],
}

impl<'a> Quoted<'a, Ipv4Addr> {
    /// What the ICMP error `message` quotes; it starts with the error's type.
    pub fn by_icmp(message: &'a [u8]) -> Result<Self, Malformed> {
        let quote = message.get(icmp::LEN..).ok_or(Malformed)?;
        let (ip, payload) = ipv4::Ipv4::split_cut(quote)?;
        Ok(Self {
            source: ip.source(),
            destination: ip.destination(),
            protocol: ip.protocol(),
            is_later_fragment: ip.fragment_offset() != 0,
            transport: long_enough(payload)?,
        })
    }
}

impl<'a> Quoted<'a, Ipv6Addr> {
    /// What the ICMPv6 error `message` quotes; it starts with the error's type.
    pub fn by_icmpv6(message: &'a [u8]) -> Result<Self, Malformed> {
        // Behind the header there is a word of its own in each error (RFC 4443, section 3): 8 bytes as in ICMP.
        let quote = message.get(icmp::LEN..).ok_or(Malformed)?;
        let (ip, payload) = ipv6::Ipv6::split_cut(quote)?;
        let upper = ipv6::upper(ip.next_header(), payload)?;
        Ok(Self {
            source: ip.source(),
            destination: ip.destination(),
            protocol: upper.protocol,
            is_later_fragment: upper.fragment.is_some_and(|fragment| fragment.offset != 0),
            transport: long_enough(upper.payload)?,
        })
    }
}

fn long_enough(transport: &[u8]) -> Result<&[u8], Malformed> {
    if transport.len() < LEAST { Err(Malformed) } else { Ok(transport) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::packets::{
        self, Shape, extended, extension, fragment, icmp as icmp_message, icmpv6, ipv4_with,
    };
    use crate::wire::ipv4::protocol;
    use proptest::prelude::*;

    const A: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
    const B: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
    const C: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1);
    const D: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2);

    fn error4(quote: &[u8]) -> Vec<u8> {
        icmp_message(3, 1, &[&[0; 4], quote].concat())
    }

    fn error6(quote: &[u8]) -> Vec<u8> {
        icmpv6((D.into(), C.into()), 1, &[&[0; 4], quote].concat())
    }

    #[test]
    fn reads_a_quote_that_is_cut_behind_eight_bytes() {
        let datagram = packets::udp((A.into(), B.into()), 1000, 53, &[7; 100]);
        let options = [1; 8];
        for (shape, is_later_fragment) in [
            (Shape::default(), false),
            (Shape { options: &options, ..Shape::default() }, false),
            (Shape { more: true, ..Shape::default() }, false),
            (Shape { offset: 5, ..Shape::default() }, true),
        ] {
            let packet = ipv4_with(A, B, protocol::UDP, &datagram, shape);
            let whole = packet.len() - datagram.len() + LEAST;
            let message = error4(&packet[..whole]);
            let expected = Quoted {
                source: A,
                destination: B,
                protocol: protocol::UDP,
                is_later_fragment,
                transport: &datagram[..8],
            };
            assert_eq!(Quoted::by_icmp(&message), Ok(expected), "{shape:?}");
            for len in 0..whole {
                assert_eq!(Quoted::by_icmp(&error4(&packet[..len])), Err(Malformed), "{len} bytes");
            }
        }
    }

    #[test]
    fn what_stands_behind_the_quoted_packet_is_not_of_it() {
        let packet = ipv4_with(A, B, protocol::UDP, &[9; 12], Shape::default());
        // Extensions follow the quote (RFC 4884).
        let message = error4(&[&packet[..], &[0; 100]].concat());
        assert_eq!(Quoted::by_icmp(&message).map(|quoted| quoted.transport), Ok(&[9; 12][..]));
        // A packet that was too short for a transport header.
        let short = ipv4_with(A, B, protocol::UDP, &[9; 7], Shape::default());
        assert_eq!(Quoted::by_icmp(&error4(&[&short[..], &[0; 100]].concat())), Err(Malformed));
    }

    #[test]
    fn reads_a_quote_behind_extension_headers() {
        let datagram = packets::udp((C.into(), D.into()), 1000, 53, &[7; 100]);
        let udp = protocol::UDP;
        for (next, payload, is_later_fragment) in [
            (udp, datagram.clone(), false),
            (extension::DESTINATION, extended(udp, &datagram), false),
            (extension::FRAGMENT, fragment(udp, 0, true, &datagram), false),
            (extension::FRAGMENT, fragment(udp, 9, true, &datagram), true),
        ] {
            let packet = packets::ipv6(C, D, next, &payload);
            let whole = packet.len() - datagram.len() + LEAST;
            let message = error6(&packet[..whole]);
            let expected = Quoted {
                source: C,
                destination: D,
                protocol: udp,
                is_later_fragment,
                transport: &datagram[..8],
            };
            assert_eq!(Quoted::by_icmpv6(&message), Ok(expected), "{next}");
            for len in 0..whole {
                assert_eq!(Quoted::by_icmpv6(&error6(&packet[..len])), Err(Malformed), "{len} bytes");
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(mut message in prop::collection::vec(any::<u8>(), 0..120)) {
            for (version, family) in [(0x45, 4), (0x60, 6)] {
                if let Some(first) = message.get_mut(icmp::LEN) {
                    *first = version;
                }
                let len = match family {
                    4 => Quoted::by_icmp(&message).map(|quoted| quoted.transport.len()),
                    _ => Quoted::by_icmpv6(&message).map(|quoted| quoted.transport.len()),
                };
                prop_assert!(len.is_err() || len.is_ok_and(|len| (LEAST..message.len()).contains(&len)));
            }
        }
    }
}
