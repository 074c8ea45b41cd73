//! A hash table that is built whole and then only read.
//!
//! A bucket is a cache line: all its keys are compared at once, without a branch that has to be guessed. What a full
//! bucket has no room for stands in the next that has, and the bucket says so. The longest way from bucket to
//! bucket is known when the table is built and bounds every lookup, also of keys that are not there. What is put in
//! is configuration, but its addresses may be of a guest's choice: where they collide too much under one seed of
//! the hash, another is taken.

use core::hint::select_unpredictable;

/// What the table finds by.
pub(super) trait Key: Copy + Eq + Default {
    /// A hash, another one for each seed.
    fn hash(self, seed: u64) -> u64;
}

/// A pair of groups, or a VNI and an IPv4 address.
impl Key for u64 {
    #[inline(always)]
    fn hash(self, seed: u64) -> u64 {
        mix(self, seed)
    }
}

/// A VNI and an IPv6 address.
impl Key for [u64; 3] {
    #[inline(always)]
    fn hash(self, seed: u64) -> u64 {
        mix(mix(self[1], seed), mix(self[2], self[0]))
    }
}

/// Keys to numbers above 0, in buckets of so many. Two tables are equal if they find the same, wherever it stands.
#[derive(Clone, Debug)]
pub(super) struct Table<K, const BUCKET: usize> {
    buckets: Box<[Bucket<K, BUCKET>]>,
    /// How many keys there are.
    len: usize,
    /// How many buckets a lookup reads at most.
    probes: usize,
    seed: u64,
}

#[derive(Clone, Debug)]
#[repr(align(64))]
struct Bucket<K, const BUCKET: usize> {
    keys: [K; BUCKET],
    /// 0 where none is.
    values: [u32; BUCKET],
    /// Whether some of its keys are in the next bucket, or behind that.
    more: bool,
}

/// A longest way that is good enough: with buckets half full a fair hash hardly ever passes it.
const FAIR: usize = 16;
/// The seeds that are tried for it: any that differ in many bits.
const SEEDS: [u64; 6] = [
    0,
    0xa409_3822_299f_31d0,
    0x082e_fa98_ec4e_6c89,
    0x4528_21e6_38d0_1377,
    0xbe54_66cf_34e9_0c6c,
    0xc0ac_29b7_c97c_50dd,
];

impl<K: Key, const BUCKET: usize> Table<K, BUCKET> {
    /// The table of `entries`; of two with the same key the first stands.
    pub fn new(entries: &[(K, u32)]) -> Self {
        let mut best = Self::seeded(entries, SEEDS[0]);
        for seed in SEEDS {
            if best.probes <= FAIR {
                break;
            }
            let table = Self::seeded(entries, seed);
            if table.probes < best.probes {
                best = table;
            }
        }
        best
    }

    /// The value of `key`, 0 if it has none.
    #[inline(always)]
    pub fn find(&self, key: K) -> u32 {
        let mut at = self.home(key);
        for _ in 0..self.probes {
            let Some(bucket) = self.buckets.get(at) else { break };
            let value = bucket.find(key);
            if !bucket.more || value != 0 {
                return value;
            }
            at = self.next(at);
        }
        0
    }

    /// The bytes that it takes.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.buckets)
    }

    /// The same table with other values, and then these entries besides; where a value becomes 0, the key is gone.
    pub fn changed(&self, value: impl Fn(u32) -> u32, entries: &[(K, u32)]) -> Self {
        let mut table = self.clone();
        for bucket in &mut table.buckets {
            for of in bucket.values.iter_mut().filter(|of| **of != 0) {
                *of = value(*of);
                table.len -= usize::from(*of == 0);
            }
        }
        // It gets fuller up to four fifths, with longer ways, and is then built anew.
        if (table.len + entries.len()) * 5 > table.buckets.len() * BUCKET * 4 {
            let all: Vec<_> = table.entries().chain(entries.iter().copied()).collect();
            return Self::new(&all);
        }
        entries.iter().for_each(|(key, value)| table.insert(*key, *value));
        table
    }

    fn entries(&self) -> impl Iterator<Item = (K, u32)> {
        let all = self.buckets.iter().flat_map(|bucket| bucket.keys.into_iter().zip(bucket.values));
        all.filter(|(_, value)| *value != 0)
    }

    fn seeded(entries: &[(K, u32)], seed: u64) -> Self {
        let free = Bucket { keys: [K::default(); BUCKET], values: [0; BUCKET], more: false };
        let buckets = vec![free; (entries.len() * 2).div_ceil(BUCKET)].into();
        let mut table = Self { buckets, len: 0, probes: 0, seed };
        entries.iter().for_each(|(key, value)| table.insert(*key, *value));
        table
    }

    /// Puts in a key that is not there yet; there is a free place.
    fn insert(&mut self, key: K, value: u32) {
        if value == 0 || self.find(key) != 0 {
            return;
        }
        let mut at = self.home(key);
        for probe in 1..=self.buckets.len() {
            let bucket = &mut self.buckets[at];
            if let Some(free) = bucket.values.iter().position(|value| *value == 0) {
                (bucket.keys[free], bucket.values[free]) = (key, value);
                self.probes = self.probes.max(probe);
                self.len += 1;
                return;
            }
            bucket.more = true;
            at = self.next(at);
        }
    }

    /// The bucket where `key` belongs: the hash, scaled to the number of buckets (Lemire).
    #[inline(always)]
    fn home(&self, key: K) -> usize {
        ((u128::from(key.hash(self.seed)) * self.buckets.len() as u128) >> 64) as usize
    }

    #[inline(always)]
    fn next(&self, at: usize) -> usize {
        if at + 1 < self.buckets.len() { at + 1 } else { 0 }
    }
}

impl<K: Key, const BUCKET: usize> PartialEq for Table<K, BUCKET> {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.entries().all(|(key, value)| other.find(key) == value)
    }
}

impl<K: Key, const BUCKET: usize> Eq for Table<K, BUCKET> {}

impl<K: Key, const BUCKET: usize> Bucket<K, BUCKET> {
    #[inline(always)]
    fn find(&self, key: K) -> u32 {
        // Free places have some key too, but no value.
        (0..BUCKET).fold(0, |found, n| found | select_unpredictable(self.keys[n] == key, self.values[n], 0))
    }
}

impl<K: Key, const BUCKET: usize> Default for Table<K, BUCKET> {
    fn default() -> Self {
        Self::new(&[])
    }
}

/// Mixes two words into one: the halves of their 128-bit product, xored (Lemire's multiply-fold).
#[inline(always)]
fn mix(a: u64, b: u64) -> u64 {
    let product = u128::from(a ^ 0x9e37_79b9_7f4a_7c15) * u128::from(b ^ 0xd1b5_4a32_d192_ed03);
    product as u64 ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use proptest::prelude::*;

    type Pairs = Table<u64, 5>;

    proptest! {
        #[test]
        fn agrees_with_a_hash_map(
            entries in prop::collection::vec((0u64..100, 1..u32::MAX), 0..200),
            shift in prop::sample::select(vec![0, 32, 57]),
        ) {
            let entries: Vec<_> = entries.into_iter().map(|(key, value)| (key << shift, value)).collect();
            let mut map = HashMap::new();
            for (key, value) in &entries {
                map.entry(*key).or_insert(*value);
            }
            let table = Pairs::new(&entries);
            let wide: Vec<_> = entries.iter().map(|(key, value)| ([3, *key, !*key], *value)).collect();
            let wide = Table::<_, 2>::new(&wide);
            for key in (0..101).map(|key| key << shift) {
                let value = map.get(&key).copied().unwrap_or(0);
                prop_assert_eq!(table.find(key), value);
                prop_assert_eq!(wide.find([3, key, !key]), value);
                prop_assert_eq!(wide.find([4, key, !key]), 0);
            }
        }
    }

    proptest! {
        #[test]
        fn a_change_is_equal_to_a_new_table(
            entries in prop::collection::vec((0u64..100, 1..u32::MAX), 0..100),
            more in prop::collection::vec((0u64..200, 1..u32::MAX), 0..100),
        ) {
            let gone = |value: u32| if value.is_multiple_of(3) { 0 } else { value ^ 1 << 31 };
            let changed = Pairs::new(&entries).changed(gone, &more);
            let mut seen = std::collections::BTreeSet::new();
            let first = entries.iter().filter(|(key, _)| seen.insert(*key));
            let stay: Vec<_> = first.map(|(key, value)| (*key, gone(*value))).filter(|entry| entry.1 != 0).collect();
            let all = Pairs::new(&[stay, more].concat());
            prop_assert_eq!(&changed, &all);
            prop_assert_eq!(all.entries().count(), all.len);
            let other = Pairs::new(&all.entries().map(|(key, value)| (key, value ^ 1)).collect::<Vec<_>>());
            prop_assert_eq!(all.len == 0, all == other);
        }
    }

    #[test]
    fn regular_keys_spread() {
        let subnets: Vec<_> =
            (0..1 << 17).map(|n| (1001 << 32 | 0x0a00_0000 | n << 8, n as u32 + 1)).collect();
        let pairs: Vec<_> = (0..1 << 17).map(|n: u64| ((n >> 8) << 32 | (n & 255), n as u32 + 1)).collect();
        for entries in [subnets, pairs] {
            let table = Pairs::new(&entries);
            assert_eq!(table.seed, 0);
            assert!(entries.iter().all(|(key, value)| table.find(*key) == *value));
        }
    }

    /// Keys made to collide under the first seed find another.
    #[test]
    fn another_seed_parts_what_collides() {
        let colliding = (0..u64::MAX).filter(|key| key.hash(0) >> 54 == 0).map(|key| (key, 7)).take(500);
        let entries: Vec<_> = colliding.collect();
        assert!(Pairs::seeded(&entries, 0).probes >= 90);
        let table = Pairs::new(&entries);
        assert!(table.probes <= FAIR);
        assert!(entries.iter().all(|(key, _)| table.find(*key) == 7));
    }
}
