//! The compiled policy, and how it decides.

use std::sync::Arc;

use super::addresses::Addresses;
use super::cells::{Cells, Leaf, Mark, lane};
use super::pairs::{Ends, FROM, Pairs, TO};
use super::rules::{Action, Decision, Question};

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
    /// How many groups there are, and how many networks.
    pub(super) groups: usize,
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
            groups: self.groups,
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

    /// What the first of all rules that match say.
    #[inline]
    fn leaf(&self, question: &Question) -> Leaf {
        let from = self.addresses.class(question.vni, question.from);
        let to = self.addresses.class(question.vni, question.to);
        let (from, to) = (self.ends.of(from, FROM), self.ends.of(to, TO));
        let lane = lane(question.protocol);
        let find = |cell, sofar| self.cells.find(cell, lane, question.port, sofar);
        let mut leaf = find(self.pairs.any(), Leaf::NONE);
        for end in from.clone().chain(to.clone()) {
            leaf = find(end.any, leaf);
        }
        for from in from {
            for to in to.clone() {
                if let Some(cell) = self.pairs.cell(from.group, to.group) {
                    leaf = find(cell, leaf);
                }
            }
        }
        leaf
    }

    fn counted(&self, rule: Option<u32>) -> &Counted {
        rule.and_then(|rule| self.rules.get(rule as usize)).unwrap_or(&self.default)
    }
}
