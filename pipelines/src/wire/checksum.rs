//! The Internet checksum (RFC 1071).

/// The sum of `bytes` as big-endian 16-bit words, carries kept; an odd last byte is padded with zero.
pub fn sum(bytes: &[u8]) -> u32 {
    let (words, rest) = bytes.as_chunks::<2>();
    // 65,535 bytes hold 32,768 words of at most 0xffff: the sum stays below 2^32.
    let mut total: u32 = words.iter().map(|word| u32::from(u16::from_be_bytes(*word))).sum();
    if let [last] = rest {
        total += u32::from(*last) << 8;
    }
    total
}

/// Whether an IPv4 header without options holds its checksum.
///
/// The order of bytes does not matter to that (RFC 1071, section 2 (B)), and words of any size can be summed first (C).
#[inline]
pub fn holds(header: &[u8; 20]) -> bool {
    let words = header.as_chunks::<4>().0.iter().map(|word| u64::from(u32::from_ne_bytes(*word)));
    let sum: u64 = words.sum();
    let sum = (sum & 0xffff_ffff) + (sum >> 32);
    let sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
    let sum = (sum & 0xffff) + (sum >> 16);
    sum == 0xffff
}

/// The checksum field for a `sum`: folded to 16 bits, complemented.
pub const fn fold(sum: u32) -> u16 {
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    !(sum as u16)
}

/// The sum of the pseudo header of TCP, UDP and ICMPv6 (RFC 9293 section 3.1, RFC 8200 section 8.1).
///
/// `source` and `destination` are both of 4 or both of 16 bytes; `length` is the upper layer's, in bytes.
pub fn pseudo_header(source: &[u8], destination: &[u8], protocol: u8, length: u16) -> u32 {
    sum(source) + sum(destination) + u32::from(protocol) + u32::from(length)
}

/// `checksum` after one 16-bit word that it covers went from `old` to `new` (RFC 1624, equation 3).
pub const fn update(checksum: u16, old: u16, new: u16) -> u16 {
    fold((!checksum) as u32 + (!old) as u32 + new as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_header_of_one_bits_or_none() {
        assert!(!holds(&[0; 20]));
        assert!(holds(&[0xff; 20]) && fold(sum(&[0xff; 20])) == 0);
    }

    #[test]
    fn agrees_with_the_example_of_rfc_1071() {
        // Section 3: 0001 f203 f4f5 f6f7 sums to 2ddf0, folded ddf2.
        assert_eq!(fold(sum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7])), !0xddf2);
        assert_eq!(sum(&[0x12]), 0x1200);
    }

    proptest! {
        #[test]
        fn a_header_holds_when_its_sum_is_all_ones(header: [u8; 20], mend: bool) {
            let mut header = header;
            if mend {
                header[10..12].fill(0);
                let field = fold(sum(&header));
                header[10..12].copy_from_slice(&field.to_be_bytes());
            }
            prop_assert_eq!(holds(&header), fold(sum(&header)) == 0);
        }

        #[test]
        fn an_update_is_as_good_as_a_new_sum(mut words in prop::collection::vec(any::<u16>(), 2..20), new: u16) {
            let bytes = |words: &[u16]| words.iter().flat_map(|w| w.to_be_bytes()).collect::<Vec<_>>();
            // A sum of zero words only has two representations; a header never sums to it.
            words[1] |= 1;
            let before = fold(sum(&bytes(&words)));
            let old = words[0];
            words[0] = new;
            prop_assert_eq!(update(before, old, new), fold(sum(&bytes(&words))));
        }
    }
}
