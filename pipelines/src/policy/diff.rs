//! What of the old rules is still there among the new.

use super::cells::Pair;
use super::rules::Rule;

/// How new rules came from old ones.
#[derive(Debug)]
pub(super) struct Diff {
    /// For each old rule the place of the equal new one; of those that are gone some place.
    pub places: Vec<u32>,
    /// The pairs that have lost or won a rule, in order. All rules of all others are there, in the same order.
    pub changed: Vec<Pair>,
}

/// How far the search looks on both sides for where old and new rules agree again.
const LOOK: usize = 16;
/// After so many searches in vain the rest counts as changed.
const PATIENCE: usize = 64;

/// Compares the rules, as far as cells are concerned.
pub(super) fn diff(old: &[Rule], new: &[Rule]) -> Diff {
    let ahead = old.iter().zip(new).take_while(|(old, new)| same(old, new)).count();
    let (old_rest, new_rest) = (&old[ahead..], &new[ahead..]);
    let behind =
        old_rest.iter().rev().zip(new_rest.iter().rev()).take_while(|(old, new)| same(old, new)).count();
    let mut diff = Diff { places: Vec::with_capacity(old.len()), changed: Vec::new() };
    diff.places.extend(0..ahead as u32);
    diff.middle(&old_rest[..old_rest.len() - behind], &new_rest[..new_rest.len() - behind], ahead);
    diff.places.extend((new.len() - behind) as u32..new.len() as u32);
    diff.changed.sort_unstable();
    diff.changed.dedup();
    diff
}

impl Diff {
    /// Goes through both; where they part it looks for the nearest place where they meet again.
    fn middle(&mut self, mut old: &[Rule], mut new: &[Rule], ahead: usize) {
        let mut patience = PATIENCE;
        let end = ahead + new.len();
        while let ([first, ..], [second, ..]) = (old, new) {
            let (mut gone, mut come) = (0, 0);
            if !same(first, second) {
                (gone, come) = match meet(old, new) {
                    Some(steps) => steps,
                    None if patience > 0 => {
                        patience -= 1;
                        (1, 1)
                    }
                    None => break,
                };
            }
            self.gone(&old[..gone], end - new.len());
            self.come(&new[..come]);
            (old, new) = (&old[gone..], &new[come..]);
            if gone + come == 0 {
                self.places.push((end - new.len()) as u32);
                (old, new) = (&old[1..], &new[1..]);
            }
        }
        self.gone(old, end - new.len());
        self.come(new);
    }

    fn gone(&mut self, rules: &[Rule], place: usize) {
        self.places.extend(rules.iter().map(|_| place as u32));
        self.come(rules);
    }

    fn come(&mut self, rules: &[Rule]) {
        self.changed.extend(rules.iter().map(|rule| (rule.from, rule.to)));
    }
}

/// How many old and new rules to pass so that the next of both are the same.
fn meet(old: &[Rule], new: &[Rule]) -> Option<(usize, usize)> {
    let steps = (1..=LOOK).flat_map(|steps| (0..=steps).map(move |gone| (gone, steps - gone)));
    let mut meet = steps.filter(|(gone, come)| match (old.get(*gone), new.get(*come)) {
        (Some(old), Some(new)) => same(old, new),
        _ => false,
    });
    meet.next()
}

/// Whether two rules paint the same.
fn same(old: &Rule, new: &Rule) -> bool {
    let of = |rule: &Rule| (rule.from, rule.to, rule.action, rule.audit);
    of(old) == of(new) && old.services == new.services
}
