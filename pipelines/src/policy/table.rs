//! A hash table that is built whole and then only read.
//!
//! Open addressing at no more than half load. The longest probe is known when the table is built and bounds every
//! lookup, also of keys that are not there. What is put in is configuration, but its addresses may be of a guest's
//! choice: where they collide too much for one seed of the hash, another is taken.

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
impl Key for (u32, u128) {
    #[inline(always)]
    fn hash(self, seed: u64) -> u64 {
        mix(mix((self.1 >> 64) as u64, seed), mix(self.1 as u64, u64::from(self.0)))
    }
}

/// Keys to small numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Table<K> {
    /// A power of two of slots; one without a value is free.
    slots: Box<[(K, Option<u32>)]>,
    /// How many slots a lookup reads at most.
    probes: usize,
    seed: u64,
}

/// A longest probe that is good enough: at half load a fair hash passes it about once in a million tables.
const FAIR: usize = 64;
/// How many seeds are tried for it.
const SEEDS: u64 = 8;

impl<K: Key> Table<K> {
    /// The table of `entries`; of two with the same key the first stands.
    pub fn new(entries: &[(K, u32)]) -> Self {
        let tables = (0..SEEDS).map(|seed| Self::seeded(entries, seed));
        let mut best: Option<Self> = None;
        for table in tables {
            if best.as_ref().is_none_or(|best| table.probes < best.probes) {
                best = Some(table);
            }
            if best.as_ref().is_some_and(|best| best.probes <= FAIR) {
                break;
            }
        }
        best.unwrap_or_default()
    }

    /// The value of `key`.
    #[inline(always)]
    pub fn find(&self, key: K) -> Option<u32> {
        let mask = self.slots.len().wrapping_sub(1);
        let start = key.hash(self.seed) as usize;
        for probe in 0..self.probes {
            let (found, value) = self.slots.get(start.wrapping_add(probe) & mask)?;
            if *found == key || value.is_none() {
                return *value;
            }
        }
        None
    }

    /// The bytes that it takes.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.slots)
    }

    fn seeded(entries: &[(K, u32)], seed: u64) -> Self {
        let size = (entries.len() * 2).next_power_of_two().max(2);
        let mut table = Self { slots: vec![(K::default(), None); size].into(), probes: 0, seed };
        for (key, value) in entries {
            table.insert(*key, *value);
        }
        table
    }

    fn insert(&mut self, key: K, value: u32) {
        let mask = self.slots.len() - 1;
        let start = key.hash(self.seed) as usize;
        for probe in 0..self.slots.len() {
            let slot = &mut self.slots[start.wrapping_add(probe) & mask];
            if slot.1.is_none() {
                *slot = (key, Some(value));
                self.probes = self.probes.max(probe + 1);
                return;
            }
            if slot.0 == key {
                return;
            }
        }
    }
}

impl<K> Default for Table<K> {
    fn default() -> Self {
        Self { slots: Box::new([]), probes: 0, seed: 0 }
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

    proptest! {
        #[test]
        fn agrees_with_a_hash_map(
            entries in prop::collection::vec((0u64..100, any::<u32>()), 0..200),
            shift in prop::sample::select(vec![0, 32, 57]),
        ) {
            let entries: Vec<_> = entries.into_iter().map(|(key, value)| (key << shift, value)).collect();
            let mut map = HashMap::new();
            for (key, value) in &entries {
                map.entry(*key).or_insert(*value);
            }
            let table = Table::new(&entries);
            let wide: Vec<_> = entries.iter().map(|(key, value)| ((3, u128::from(*key) << 7), *value)).collect();
            let wide = Table::new(&wide);
            for key in (0..101).map(|key| key << shift) {
                prop_assert_eq!(table.find(key), map.get(&key).copied());
                prop_assert_eq!(wide.find((3, u128::from(key) << 7)), map.get(&key).copied());
                prop_assert_eq!(wide.find((4, u128::from(key) << 7)), None);
            }
        }
    }

    #[test]
    fn regular_keys_spread() {
        let subnets: Vec<_> = (0..1 << 17).map(|n| (1001 << 32 | 0x0a00_0000 | n << 8, n as u32)).collect();
        let pairs: Vec<_> = (0..1 << 17).map(|n: u64| ((n >> 8) << 32 | (n & 255), n as u32)).collect();
        for entries in [subnets, pairs] {
            let table = Table::new(&entries);
            assert!(table.probes <= FAIR, "{}", table.probes);
            assert!(entries.iter().all(|(key, value)| table.find(*key) == Some(*value)));
        }
    }

    /// Keys made to collide under the first seed find another.
    #[test]
    fn another_seed_parts_what_collides() {
        let colliding = (0..u64::MAX).filter(|key| key.hash(0) & 0x3ff == 0).map(|key| (key, 7)).take(500);
        let entries: Vec<_> = colliding.collect();
        assert!(Table::seeded(&entries, 0).probes >= 500);
        assert!(Table::new(&entries).probes <= FAIR);
    }
}
