//! Chains of sessions, with the links in an array of their own, so that they do not take room in the sessions' lines.
//!
//! A chain is a ring through its head. A link names a session by its index, or a head by its number and the highest
//! bit, so a session leaves its chain without being told which it is.

/// The links of one session: in the wheel or in the list of free ones, and in its port's queue.
pub(super) type Node = [Link; 2];

/// The chains of the wheel, in a [`Node`].
pub(super) const WHEEL: usize = 0;
/// The queues of the ports, in a [`Node`].
pub(super) const QUEUE: usize = 1;

/// Marks the number of a head.
const HEAD: u32 = 1 << 31;

/// Before and after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub next: u32,
    pub previous: u32,
}

impl Link {
    /// In no chain.
    pub const ALONE: Self = Self { next: u32::MAX, previous: u32::MAX };
}

/// Chains that go through the links at place `WHICH` of the nodes.
#[derive(Debug)]
pub(super) struct Chains<const WHICH: usize>(Vec<Link>);

impl<const WHICH: usize> Chains<WHICH> {
    /// So many, empty.
    pub fn new(count: usize) -> Self {
        let mut chains = Self(Vec::new());
        chains.grow(count);
        chains
    }

    /// So many in all, if there were less.
    pub fn grow(&mut self, count: usize) {
        for chain in self.0.len()..count {
            let head = chain as u32 | HEAD;
            self.0.push(Link { next: head, previous: head });
        }
    }

    /// The first of a chain.
    pub fn first(&self, chain: usize) -> Option<u32> {
        self.0.get(chain).map(|head| head.next).filter(|next| next & HEAD == 0)
    }

    /// The one after `index` in its chain.
    pub fn after(nodes: &[Node], index: u32) -> Option<u32> {
        Some(nodes[index as usize][WHICH].next).filter(|next| next & HEAD == 0)
    }

    /// Whether `index` is in a chain.
    pub fn holds(nodes: &[Node], index: u32) -> bool {
        nodes[index as usize][WHICH] != Link::ALONE
    }

    /// Puts `index`, which is in no chain, at the end of one.
    pub fn push(&mut self, nodes: &mut [Node], chain: usize, index: u32) {
        let head = chain as u32 | HEAD;
        let last = self.0[chain].previous;
        nodes[index as usize][WHICH] = Link { next: head, previous: last };
        self.link(nodes, last).next = index;
        self.0[chain].previous = index;
    }

    /// Takes `index` out of its chain, if it is in one.
    pub fn remove(&mut self, nodes: &mut [Node], index: u32) {
        let link = core::mem::replace(&mut nodes[index as usize][WHICH], Link::ALONE);
        if link != Link::ALONE {
            self.link(nodes, link.previous).next = link.next;
            self.link(nodes, link.next).previous = link.previous;
        }
    }

    fn link<'a>(&'a mut self, nodes: &'a mut [Node], name: u32) -> &'a mut Link {
        match name & HEAD {
            0 => &mut nodes[name as usize][WHICH],
            _ => &mut self.0[(name ^ HEAD) as usize],
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use proptest::prelude::*;

    const CHAINS: usize = 3;
    const NODES: usize = 12;

    proptest! {
        #[test]
        fn agree_with_queues(moves in prop::collection::vec((0..CHAINS + 1, 0..NODES as u32), 0..200)) {
            let mut nodes = [[Link::ALONE; 2]; NODES];
            let mut chains = Chains::<QUEUE>::new(CHAINS);
            let mut model = vec![VecDeque::new(); CHAINS];
            for (to, index) in moves {
                chains.remove(&mut nodes, index);
                model.iter_mut().for_each(|queue| queue.retain(|other| *other != index));
                if let Some(queue) = model.get_mut(to) {
                    chains.push(&mut nodes, to, index);
                    queue.push_back(index);
                }
                for (chain, queue) in model.iter().enumerate() {
                    let walk = core::iter::successors(chains.first(chain), |index| Chains::<QUEUE>::after(&nodes, *index));
                    prop_assert!(walk.eq(queue.iter().copied()));
                }
                let holds = Chains::<QUEUE>::holds(&nodes, index);
                prop_assert_eq!(holds, to < CHAINS);
            }
            prop_assert!(nodes.iter().all(|node| node[WHEEL] == Link::ALONE));
        }
    }
}
