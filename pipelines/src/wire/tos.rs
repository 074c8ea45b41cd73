//! The octet with DSCP and ECN: TOS in IPv4, traffic class in IPv6 (RFC 2474, RFC 3168).

use super::checksum;
use super::ethernet::{self, EtherType};

/// The two bits of ECN.
pub const ECN: u8 = 0b11;
/// The ends do not know ECN.
pub const NOT_ECT: u8 = 0b00;
/// ECT(1) (RFC 9331 gives it a meaning of its own).
pub const ECT_1: u8 = 0b01;
/// ECT(0).
pub const ECT_0: u8 = 0b10;
/// Congestion experienced.
pub const CE: u8 = 0b11;

/// The octet of an untagged frame; `None` where there is none.
pub fn of(frame: &[u8]) -> Option<u8> {
    let [a, b] = *frame.get(ethernet::LEN..)?.first_chunk::<2>()?;
    match (ethertype(frame)?, a >> 4) {
        (EtherType::IPV4, 4) => Some(b),
        (EtherType::IPV6, 6) => Some(a << 4 | b >> 4),
        _ => None,
    }
}

/// Writes the octet of an untagged frame, with the checksum that covers it (RFC 1624). Returns whether there is one.
pub fn set(frame: &mut [u8], tos: u8) -> bool {
    let Some(ethertype) = ethertype(frame) else { return false };
    let Some(packet) = frame.get_mut(ethernet::LEN..) else { return false };
    if ethertype == EtherType::IPV6 {
        let Some([a, b]) = packet.first_chunk_mut::<2>().filter(|bytes| bytes[0] >> 4 == 6) else {
            return false;
        };
        (*a, *b) = (0x60 | tos >> 4, tos << 4 | *b & 0x0f);
        return true;
    }
    let Some(header) = packet.first_chunk_mut::<12>() else { return false };
    if ethertype != EtherType::IPV4 || header[0] >> 4 != 4 {
        return false;
    }
    let word = |low: u8| u16::from_be_bytes([header[0], low]);
    let sum = checksum::update(u16::from_be_bytes([header[10], header[11]]), word(header[1]), word(tos));
    header[1] = tos;
    [header[10], header[11]] = sum.to_be_bytes();
    true
}

/// Marks congestion on an untagged frame whose ends know ECN. Returns whether they do; if not it stays as it was.
pub fn mark(frame: &mut [u8]) -> bool {
    match of(frame) {
        Some(tos) if tos & ECN == CE => true,
        Some(tos) if tos & ECN != NOT_ECT => set(frame, tos | CE),
        _ => false,
    }
}

fn ethertype(frame: &[u8]) -> Option<EtherType> {
    Some(super::Ethernet::split(frame)?.0.ethertype())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::frames::{udp4, udp6};
    use crate::testing::lab::endpoint::{DB1, WEB1};
    use crate::wire::Ipv4;

    #[test]
    fn each_octet_is_written_and_read_with_a_checksum_that_holds() {
        for tos in 0..=255 {
            for mut frame in [udp4(WEB1, DB1, b"x"), udp6(WEB1, DB1, b"x")] {
                let before = frame.clone();
                assert!(set(&mut frame, tos));
                assert_eq!(of(&frame), Some(tos));
                let v4 = Ipv4::split(&frame[ethernet::LEN..]);
                assert!(v4.is_err() || v4.is_ok_and(|(ip, _)| ip.checksum_holds()));
                // Nothing else changes: written back it is what it was.
                assert!(set(&mut frame, 0));
                assert_eq!(frame, before);
            }
        }
    }

    #[test]
    fn marks_those_that_know_ecn() {
        for (ecn, marked) in [(NOT_ECT, None), (ECT_0, Some(CE)), (ECT_1, Some(CE)), (CE, Some(CE))] {
            for mut frame in [udp4(WEB1, DB1, b"x"), udp6(WEB1, DB1, b"x")] {
                set(&mut frame, 46 << 2 | ecn);
                assert_eq!(mark(&mut frame), marked.is_some());
                assert_eq!(of(&frame), Some(46 << 2 | marked.unwrap_or(ecn)));
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_fine(mut frame in prop::collection::vec(any::<u8>(), 0..40), tos: u8) {
            let before = frame.clone();
            if !set(&mut frame, tos) {
                prop_assert_eq!(&frame, &before);
            }
            mark(&mut frame);
        }
    }
}
