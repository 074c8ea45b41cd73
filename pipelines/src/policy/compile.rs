//! Compiling: a policy from rules, and a new one from the old one and what has changed.

use std::sync::Arc;

use super::addresses::Addresses;
use super::cells::{Cells, Moves, Pair};
use super::compiled::{Counted, Policy};
use super::diff::{Diff, diff};
use super::paint::Painter;
use super::pairs::{Ends, Pairs};
use super::rules::{Rule, Rules};

impl Policy {
    /// Compiles rules.
    pub fn compile(rules: &Rules) -> Self {
        let (pairs, cells) = all_cells(&rules.rules);
        let pairs = Pairs::new(pairs, &cells.refs);
        let addresses = Addresses::new(&rules.members, &rules.networks);
        let ends = Ends::new(&addresses.classes, &pairs, &cells.refs);
        Self::of(rules, addresses.into(), ends.into(), pairs.into(), cells.into())
    }

    /// Compiles `new` rules with what can stay of this policy, which must be that of the `old` ones. The outcome is
    /// equal to what [`compile`](Self::compile) makes of the new ones.
    pub fn update(&self, old: &Rules, new: &Rules) -> Self {
        debug_assert_eq!(self.rules.len(), old.rules.len(), "the policy of other rules");
        let addresses = if (&old.members, &old.networks) == (&new.members, &new.networks) {
            Arc::clone(&self.addresses)
        } else {
            Addresses::new(&new.members, &new.networks).into()
        };
        let diff = diff(&old.rules, &new.rules);
        let (ends, pairs, cells) = if diff.changed.is_empty() {
            (None, Arc::clone(&self.pairs), Arc::clone(&self.cells))
        } else if diff.changed.len() > self.pairs.list.len() / 8 {
            let (list, cells) = all_cells(&new.rules);
            (None, Pairs::new(list, &cells.refs).into(), cells.into())
        } else {
            let (list, cells, moves) = self.changed_cells(&diff, &new.rules);
            if (&list, &cells.refs) == (&self.pairs.list, &self.cells.refs) {
                (None, Arc::clone(&self.pairs), cells.into())
            } else {
                let pairs = self.pairs.changed(list, &cells.refs, &diff.changed, &moves);
                let now = (&pairs, &*cells.refs);
                let ends = self.ends.changed(&self.pairs, now, &diff.changed, &moves);
                (ends, pairs.into(), cells.into())
            }
        };
        let same = Arc::ptr_eq(&addresses, &self.addresses);
        let ends = match ends {
            _ if same && Arc::ptr_eq(&pairs, &self.pairs) => Arc::clone(&self.ends),
            Some(ends) if same => ends.into(),
            _ => Ends::new(&addresses.classes, &pairs, &cells.refs).into(),
        };
        Self::of(new, addresses, ends, pairs, cells)
    }

    fn of(
        rules: &Rules,
        addresses: Arc<Addresses>,
        ends: Arc<Ends>,
        pairs: Arc<Pairs>,
        cells: Arc<Cells>,
    ) -> Self {
        Self {
            rules: rules.rules.iter().map(|rule| Counted { slot: rule.slot, log: rule.log }).collect(),
            default: Counted { slot: rules.default_slot, log: false },
            default_action: rules.default,
            default_audit: rules.default_audit,
            networks: rules.networks.len(),
            addresses,
            ends,
            pairs,
            cells,
        }
    }

    /// The cells after a change: those of the pairs that changed are painted, all others only moved.
    fn changed_cells(&self, diff: &Diff, rules: &[Rule]) -> (Vec<Pair>, Cells, Moves) {
        let old = &self.pairs.list;
        let changed = by_pair(rules, |pair| diff.changed.binary_search(&pair).is_ok());
        let mut of_changed = changed.chunk_by(|a, b| a.0 == b.0).peekable();
        let (mut list, mut cells) = (Vec::with_capacity(old.len() + diff.changed.len()), Cells::default());
        let (mut moves, mut painter) = (Moves::new(&self.cells), Painter::default());
        let mut done = 0;
        for pair in &diff.changed {
            let until = old.partition_point(|of| of < pair);
            list.extend_from_slice(&old[done..until]);
            cells.extend(&self.cells, done..until, &diff.places, &mut moves);
            if let Some(of_pair) = of_changed.next_if(|of_pair| of_pair[0].0 == *pair) {
                list.push(*pair);
                painter.paint(rules, of_pair, &mut cells);
            }
            done = until + usize::from(old.get(until) == Some(pair));
        }
        list.extend_from_slice(&old[done..]);
        cells.extend(&self.cells, done..old.len(), &diff.places, &mut moves);
        (list, cells, moves)
    }
}

/// A cell for every pair that rules name, in order.
fn all_cells(rules: &[Rule]) -> (Vec<Pair>, Cells) {
    let (mut pairs, mut cells, mut painter) = (Vec::new(), Cells::default(), Painter::default());
    for of_pair in by_pair(rules, |_| true).chunk_by(|a, b| a.0 == b.0) {
        pairs.push(of_pair[0].0);
        painter.paint(rules, of_pair, &mut cells);
    }
    (pairs, cells)
}

/// The places of the rules of these pairs, by pair and then in order.
fn by_pair(rules: &[Rule], of: impl Fn(Pair) -> bool) -> Vec<(Pair, u32)> {
    let all = rules.iter().zip(0..).map(|(rule, place)| ((rule.from, rule.to), place));
    let mut places: Vec<_> = all.filter(|(pair, _)| of(*pair)).collect();
    places.sort_unstable();
    places
}
