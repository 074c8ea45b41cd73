//! The compiled policy, and how it decides.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::addresses::Addresses;
use super::cells::{CellRef, Cells, Key, Leaf, Mark, key};
use super::pairs::{Ends, FROM, Few, Pairs, TO};
use super::rules::{Action, Decision, Question, Side};

/// A tenant's rules, compiled: it answers as [`linear::decide`](super::linear::decide) does, in bounded time.
///
/// The addresses of a question are resolved to classes, sets of groups. Rules say something about a pair of groups,
/// where any counts as a group: so the cells of all pairs of the two classes are looked at, and the first rule of
/// all of them decides. The default is open: no rule, and everything passes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Policy {
    pub(super) rules: Vec<Counted>,
    pub(super) default: Counted,
    pub(super) default_action: Action,
    pub(super) default_audit: bool,
    pub(super) networks: usize,
    // Parts that a change does not touch are shared with the policy before it.
    pub(super) addresses: Arc<Addresses>,
    pub(super) ends: Arc<Ends>,
    pub(super) pairs: Arc<Pairs>,
    pub(super) cells: Arc<Cells>,
}

/// How a rule is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counted {
    pub slot: u32,
    pub log: bool,
}

/// How large a policy is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Rules.
    pub rules: usize,
    /// Groups that have members or rules.
    pub groups: usize,
    /// Different sets of groups that addresses are in.
    pub classes: usize,
    /// Groups of addresses.
    pub networks: usize,
    /// Pairs of groups that have rules.
    pub cells: usize,
    /// Intervals of ports in them.
    pub intervals: usize,
    /// The memory of it all.
    pub bytes: usize,
}

impl Policy {
    /// Answers `question`.
    #[inline]
    pub fn decide(&self, question: &Question) -> Decision {
        let leaf = self.leaf(question);
        let default = if self.default_audit { Action::Allow } else { self.default_action };
        let told = |mark: Mark, default| match mark.rule() {
            Some((rule, action)) => (action, Some(rule)),
            None => (default, None),
        };
        let (action, rule) = told(leaf.rule, default);
        let (would, would_rule) = told(leaf.would, self.default_action);
        Decision { action, rule, would, would_rule }
    }

    /// Whether nothing is ever refused, nor would be: there is no rule, and the default is to allow.
    pub fn is_open(&self) -> bool {
        self.rules.is_empty() && self.default_action == Action::Allow
    }

    /// The counter of a rule, or of the default.
    pub fn slot(&self, rule: Option<u32>) -> u32 {
        self.counted(rule).slot
    }

    /// Whether what a rule decides is logged.
    pub fn logs(&self, rule: Option<u32>) -> bool {
        self.counted(rule).log
    }

    /// How many rules there are.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// How large it is.
    pub fn size(&self) -> Size {
        Size {
            rules: self.rules.len(),
            groups: self.groups(),
            classes: self.addresses.classes.len(),
            networks: self.networks,
            cells: self.cells.len(),
            intervals: self.cells.intervals(),
            bytes: size_of_val(&*self.rules)
                + self.addresses.bytes()
                + self.ends.bytes()
                + self.pairs.bytes()
                + self.cells.bytes(),
        }
    }

    /// How many groups rules name or addresses are in.
    fn groups(&self) -> usize {
        let named = self.pairs.list.iter().flat_map(|pair| [pair.0, pair.1]).filter_map(|side| match side {
            Side::Group(group) => Some(group),
            Side::Any => None,
        });
        named.chain(self.addresses.classes.iter().flatten().copied()).collect::<BTreeSet<_>>().len()
    }

    /// What the first of all rules that match say.
    #[inline]
    fn leaf(&self, question: &Question) -> Leaf {
        let key = key(question.protocol, question.port);
        let find = |cell, sofar| self.cells.find(cell, key, sofar);
        let from = self.ends.of(self.addresses.class(question.vni, question.from), FROM);
        let to = self.ends.of(self.addresses.class(question.vni, question.to), TO);
        let mut leaf = find(self.pairs.any, Leaf::NONE);
        leaf = find(from.first.any, leaf);
        leaf = find(to.first.any, leaf);
        leaf = find(self.pair(from, to), leaf);
        if from.len.max(to.len) > 1 {
            leaf = self.more(from, to, key, leaf);
        }
        leaf
    }

    /// The cell of the first groups of both sides. If a side has none, its first is not meant.
    #[inline(always)]
    fn pair(&self, from: Few, to: Few) -> CellRef {
        let cell = self.pairs.cell(from.first.group, to.first.group);
        if (from.len != 0) & (to.len != 0) { cell } else { CellRef::EMPTY }
    }

    /// What is said besides where a side has several groups.
    #[inline(never)]
    fn more(&self, from: Few, to: Few, key: Key, mut leaf: Leaf) -> Leaf {
        let (more_from, more_to) = (self.ends.more(from), self.ends.more(to));
        for end in more_from {
            leaf = self.cells.find(end.any, key, leaf);
            let other = from.starting(*end);
            leaf = self.cells.find(self.pair(other, to), key, leaf);
        }
        for end in more_to {
            leaf = self.cells.find(end.any, key, leaf);
            leaf = self.cells.find(self.pair(from, to.starting(*end)), key, leaf);
            for other in more_from {
                leaf = self.cells.find(self.pairs.cell(other.group, end.group), key, leaf);
            }
        }
        leaf
    }

    fn counted(&self, rule: Option<u32>) -> &Counted {
        rule.and_then(|rule| self.rules.get(rule as usize)).unwrap_or(&self.default)
    }
}
