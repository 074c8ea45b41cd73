//! The keyed hash of sessions.
//!
//! Who sends packets chooses the keys. With a hash that he can compute (a CRC, say, or any without a secret) he can
//! also choose keys that all meet in one bucket, and no connection of anybody else finds a place there any more. So
//! the hash depends on random words that never leave the switch, and it does in a way that can be relied upon:
//!
//! 1. NH, the universal family of UMAC (RFC 4418, section 5.2): of words `m` with secret `k` the sum of
//!    `(m[0] + k[0]) * (m[1] + k[1]) + (m[2] + k[2]) * (m[3] + k[3]) + …`, with products of 128 bits. Two different
//!    keys, chosen without knowing the secret, have equal sums with a probability of 2^-64.
//! 2. The halves of the sum, each with a further word of the secret, are multiplied and the product's halves xored.
//!    NH alone is close to linear: who finds by timing that two keys share a bucket could add their difference to
//!    other keys and find more. After the second product the difference of two keys says nothing of others'.

use core::fmt;

use super::key::Key;

/// Random words, drawn anew at each start of the switch.
#[derive(Clone)]
pub struct Secret([u64; 8]);

impl Secret {
    /// The secret of these words, which have to come from a source that nobody can predict.
    pub const fn new(random: [u64; 8]) -> Self {
        Self(random)
    }

    /// A secret that is the same each time, for tests, benches and replays (SplitMix64 from `seed`).
    pub const fn from_seed(seed: u64) -> Self {
        let mut words = [0; 8];
        let (mut state, mut index) = (seed, 0);
        while index < words.len() {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut word = state;
            word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            words[index] = word ^ word >> 31;
            index += 1;
        }
        Self(words)
    }

    /// A word of it, for tables that are keyed otherwise.
    pub(super) const fn word(&self) -> u64 {
        self.0[5] ^ self.0[7]
    }

    /// The hash of `key`.
    #[inline]
    pub fn hash<K: Key>(&self, key: &K) -> Hash {
        let (m, k) = (key.words(), &self.0);
        let mut sum = product(m[0].wrapping_add(k[0]), m[1].wrapping_add(k[1]));
        // Known when compiled: a short key's other words are 0.
        if size_of::<K>() > 16 {
            sum = sum.wrapping_add(product(m[2].wrapping_add(k[2]), m[3].wrapping_add(k[3])));
            sum = sum.wrapping_add(product(m[4].wrapping_add(k[4]), k[5]));
        }
        let folded = product((sum >> 64) as u64 ^ k[6], sum as u64 ^ k[7]);
        Hash((folded >> 64) as u64 ^ folded as u64)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// A key's hash. Its low bits say which bucket comes first, its highest are the tag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hash(pub(super) u64);

impl Hash {
    /// The low bits.
    #[inline]
    pub(super) const fn low(self) -> u32 {
        self.0 as u32
    }

    /// What is kept of the key in its bucket; never 0, which marks a free place.
    #[inline]
    pub(super) const fn tag(self) -> u16 {
        let tag = (self.0 >> 48) as u16;
        tag + (tag == 0) as u16
    }
}

const fn product(a: u64, b: u64) -> u128 {
    a as u128 * b as u128
}

#[cfg(test)]
mod tests {
    use core::net::{Ipv4Addr, Ipv6Addr};

    use super::super::key::{Key4, Key6};
    use super::*;
    use crate::wire::Vni;

    /// Keys as they come in practice: counted up, in one word at a time.
    fn neighbours<K: Key>(address: impl Fn(u32) -> K::Address) -> Vec<K> {
        let key = |a, p, b, q| K::new(Vni::LOWEST, 17, (address(a), p), (address(b), q)).0;
        let mut keys = Vec::new();
        for n in 0..1 << 14 {
            keys.push(key(1, 1024 + n as u16, 2, 53));
            keys.push(key(1 << 24 | n, 1024, 2, 53));
            keys.push(key(1, 1024, 1 << 25 | n << 8, 53));
        }
        keys
    }

    /// How far the hits on `bins` are from even: chi squared, in deviations from its mean.
    fn unevenness(values: impl Iterator<Item = usize>, bins: usize) -> f64 {
        let mut hits = vec![0u32; bins];
        let mut count = 0.0;
        for value in values {
            hits[value] += 1;
            count += 1.0;
        }
        let expected = count / bins as f64;
        let squared: f64 = hits.iter().map(|n| (f64::from(*n) - expected).powi(2) / expected).sum();
        (squared - bins as f64) / (2.0 * bins as f64).sqrt()
    }

    fn spreads<K: Key>(keys: &[K]) {
        for seed in 0..8 {
            let secret = Secret::from_seed(seed);
            let hashes: Vec<_> = keys.iter().map(|key| secret.hash(key)).collect();
            let low = unevenness(hashes.iter().map(|hash| hash.low() as usize & 0xfff), 0x1000);
            let tags = unevenness(hashes.iter().map(|hash| hash.tag() as usize & 0xfff), 0x1000);
            let both =
                hashes.iter().map(|hash| (hash.low() as usize & 0x3f) << 6 | hash.tag() as usize & 0x3f);
            let both = unevenness(both, 0x1000);
            assert!(low < 5.0 && tags < 5.0 && both < 5.0, "{seed}: {low} {tags} {both}");
        }
    }

    #[test]
    fn keys_that_are_close_spread() {
        spreads(&neighbours::<Key4>(Ipv4Addr::from_bits));
        spreads(&neighbours::<Key6>(|n| Ipv6Addr::from_bits(0x2001_0db8 << 96 | u128::from(n))));
    }

    #[test]
    fn each_bit_of_a_key_moves_half_of_the_hash() {
        let secret = Secret::from_seed(1);
        let hash = |low: u128, high: u128, ports: (u16, u16)| {
            let (key, _) = Key6::by_address(Vni::LOWEST, 6, low.into(), high.into(), ports);
            secret.hash(&key).0
        };
        // The high end's highest bit keeps the ends in order.
        let top = 1 << 127;
        let mut flips = [0u32; 64];
        for sample in 0..64 {
            let base = hash(sample, top, (1, sample as u16));
            for bit in 0..127 {
                for other in [
                    hash(sample ^ 1 << bit, top, (1, sample as u16)),
                    hash(sample, top | 1 << bit, (1, sample as u16)),
                ] {
                    for (output, flips) in flips.iter_mut().enumerate() {
                        *flips += ((base ^ other) >> output & 1) as u32;
                    }
                }
            }
        }
        let trials = 64 * 127 * 2;
        assert!(flips.iter().all(|n| (trials * 48 / 100..trials * 52 / 100).contains(n)), "{flips:?}");
    }

    #[test]
    fn another_secret_is_another_hash() {
        let key = neighbours::<Key4>(Ipv4Addr::from_bits)[0];
        let hashes: Vec<_> = (0..64).map(|seed| Secret::from_seed(seed).hash(&key).0).collect();
        assert!((1..64).all(|n| !hashes[..n].contains(&hashes[n])));
        assert_eq!(format!("{:?}", Secret::from_seed(3)), "Secret", "it is not shown");
    }

    #[test]
    fn a_tag_is_never_that_of_a_free_place() {
        assert_eq!((Hash(0).tag(), Hash(1 << 48).tag(), Hash(u64::MAX).tag()), (1, 1, u16::MAX));
    }
}
