//! A hash table that is built whole and then only read.
//!
//! Open addressing at no more than half load. The longest probe is known when the table is built and bounds
//! every lookup, also of keys that are not there.

use super::hash::mix;

/// Keys of 64 bits, all but [`u64::MAX`], to values.
#[derive(Clone, Debug)]
pub struct Table<V> {
    /// A power of two of slots.
    slots: Box<[(u64, Option<V>)]>,
    /// How many slots a lookup reads at most.
    probes: usize,
}

/// The key of a slot that has no value.
const FREE: u64 = u64::MAX;

impl<V: Copy> Table<V> {
    /// The table of `entries`; of two with the same key the first stands.
    pub fn new(entries: impl IntoIterator<Item = (u64, V), IntoIter: ExactSizeIterator>) -> Self {
        let entries = entries.into_iter();
        let size = (entries.len() * 2).next_power_of_two().max(2);
        let mut table = Self { slots: vec![(FREE, None); size].into(), probes: 0 };
        for (key, value) in entries {
            debug_assert_ne!(key, FREE);
            table.insert(key, value);
        }
        table
    }

    /// The value of `key`.
    #[inline]
    pub fn find(&self, key: u64) -> Option<V> {
        let mask = self.slots.len().wrapping_sub(1);
        let start = mix(key, 0) as usize;
        for probe in 0..self.probes {
            let (found, value) = self.slots.get(start.wrapping_add(probe) & mask)?;
            if *found == key || *found == FREE {
                return *value;
            }
        }
        None
    }

    fn insert(&mut self, key: u64, value: V) {
        let mask = self.slots.len() - 1;
        let start = mix(key, 0) as usize;
        for probe in 0..self.slots.len() {
            let slot = &mut self.slots[start.wrapping_add(probe) & mask];
            if slot.0 == FREE {
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

impl<V: Copy> Default for Table<V> {
    fn default() -> Self {
        Self::new([])
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn agrees_with_a_hash_map(
            entries in prop::collection::vec((0u64..100, any::<u16>()), 0..200),
            asked in prop::collection::vec(0u64..120, 0..200),
        ) {
            let mut model = HashMap::new();
            for (key, value) in &entries {
                model.entry(*key).or_insert(*value);
            }
            let table = Table::new(entries);
            for key in asked {
                prop_assert_eq!(table.find(key), model.get(&key).copied());
            }
        }
    }

    #[test]
    fn probes_stay_few_in_a_large_table() {
        let table = Table::new((0..100_000u64).map(|n| (n << 48 | n, ())).collect::<Vec<_>>());
        assert!(table.probes < 40, "{}", table.probes);
    }

    #[test]
    fn an_empty_table_finds_nothing() {
        assert_eq!(Table::<()>::default().find(0), None);
        assert_eq!(Table::<()>::default().find(u64::MAX), None);
    }
}
