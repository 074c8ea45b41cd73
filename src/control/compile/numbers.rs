//! Which numbers the things of a document have, from one document to the next.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::Ipv4Addr;

use super::TooMany;
use crate::config::checked::Attach;

/// The numbers that things have had since the first document.
///
/// A thing that the next document has too keeps its number. One that it does not have is forgotten, and its number is
/// never given again: should it come back, it is another.
#[derive(Clone, Debug, Default)]
pub struct Numbers {
    /// Ports by their names and by what they are attached to; an uplink has no attachment.
    pub(super) ports: Numbering<(String, Option<Attach>)>,
    /// Tenants by their names.
    pub(super) tenants: Numbering<String>,
    /// Tunnels by the names of their hosts.
    pub(super) tunnels: Numbering<String>,
    /// Next hops by their uplinks' names and their addresses.
    pub(super) hops: Numbering<(String, Ipv4Addr)>,
    /// Pairs of groups, and for each tenant one for those that have none.
    pub(super) services: Numbering<super::service::Key>,
    /// How many numbers were given to pairs.
    pub(super) pairs: usize,
    /// The next counter of a rule.
    pub(super) slots: u32,
}

/// Numbers from 0, in the order in which they were first asked for.
#[derive(Clone, Debug)]
pub(super) struct Numbering<K> {
    now: HashMap<K, u16>,
    next: u32,
}

impl<K> Default for Numbering<K> {
    fn default() -> Self {
        Self { now: HashMap::new(), next: 0 }
    }
}

impl<K: Eq + Hash> Numbering<K> {
    /// The numbers of `keys`, which are called `what` where there are too many. Two equal keys have one number.
    pub(super) fn follow(
        &mut self,
        what: &'static str,
        keys: impl IntoIterator<Item = K>,
    ) -> Result<Vec<u16>, TooMany> {
        let before = std::mem::take(&mut self.now);
        let mut numbers = Vec::new();
        for key in keys {
            let next = &mut self.next;
            let kept = before.get(&key).copied();
            let number = *self.now.entry(key).or_insert_with(|| {
                kept.unwrap_or_else(|| {
                    *next += 1;
                    // Too large a one is refused below.
                    (*next - 1) as u16
                })
            });
            numbers.push(number);
        }
        // The last number stands for none.
        let (count, max) = (self.next as usize, usize::from(u16::MAX) - 1);
        if count > max { Err(TooMany { what, count, max }) } else { Ok(numbers) }
    }

    /// Those that have a number.
    pub(super) fn keys(&self) -> impl Iterator<Item = &K> {
        self.now.keys()
    }

    /// How many numbers were given.
    pub(super) fn given(&self) -> usize {
        self.next as usize
    }

    /// Whether a thing of the document has this number.
    pub(super) fn in_use(&self) -> Vec<bool> {
        let mut in_use = vec![false; self.given()];
        self.now.values().for_each(|number| in_use[usize::from(*number)] = true);
        in_use
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_kept_and_never_given_to_another() {
        let mut numbering = Numbering::default();
        let mut follow = |keys: &[&'static str]| numbering.follow("things", keys.iter().copied()).unwrap();
        assert_eq!(follow(&["a", "b", "c"]), [0, 1, 2]);
        assert_eq!(follow(&["c", "d", "a", "d"]), [2, 3, 0, 3]);
        // What comes back is another.
        assert_eq!(follow(&["b", "c"]), [4, 2]);
        assert_eq!(numbering.in_use(), [false, false, true, false, true]);
    }

    #[test]
    fn numbers_end_when_all_were_given() {
        let mut numbering = Numbering::default();
        assert!(numbering.follow("things", 0..40_000).is_ok());
        assert!(numbering.follow("things", 0..65_534).is_ok());
        let error = numbering.follow("things", 1..65_535).unwrap_err();
        assert_eq!(error, TooMany { what: "things", count: 65_535, max: 65_534 });
    }
}
