//! Mixing of bits, for hash tables and for the entropy of the outer source port.

/// Mixes two words into one: the halves of their 128-bit product, xored (Lemire's multiply-fold).
pub const fn mix(a: u64, b: u64) -> u64 {
    // Odd constants from the digits of pi keep a zero operand from swallowing the other.
    let product = (a ^ 0x243f_6a88_85a3_08d3) as u128 * (b ^ 0x1319_8a2e_0370_7345) as u128;
    product as u64 ^ (product >> 64) as u64
}

/// A hash of a conversation that is the same in both directions: sum and difference of the two ends do not tell which
/// is which, and together hardly leave a choice what they are.
#[inline]
pub const fn symmetric(end: u64, other_end: u64, protocol: u8) -> u32 {
    let (sum, difference) = (end.wrapping_add(other_end), end ^ other_end);
    (mix(sum ^ (protocol as u64) << 56, difference) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn both_directions_hash_alike(a: u64, b: u64, protocol: u8) {
            prop_assert_eq!(symmetric(a, b, protocol), symmetric(b, a, protocol));
        }
    }

    #[test]
    fn conversations_spread_over_the_source_ports() {
        let mut used = vec![0u32; 1 << 14];
        for client in 0..1u64 << 16 {
            used[symmetric(0x0a01_000b_0000 | client, 0x0a01_000c_0050, 6) as usize & 0x3fff] += 1;
        }
        // 4 expected in each of 16,384; Poisson leaves about 2 % empty.
        assert!(used.iter().filter(|n| **n == 0).count() < 700);
        assert!(used.iter().all(|n| *n < 20));
    }
}
