//! The compiled policy, and how it decides.

use core::hint::select_unpredictable;
use core::net::IpAddr;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::addresses::Addresses;
use super::cells::{CellRef, Cells, Key, Leaf, Mark, key};
use super::pairs::{End, Ends, FROM, Few, Pairs, TO};
use super::rules::{Action, Decision, GroupId, Question, Side};
use crate::wire::Vni;

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
        self.decide_between(self.classes_of(question.vni, [question.from, question.to]), question)
    }

    /// Answers `question`, of whose two ends these are the classes.
    #[inline]
    pub fn decide_between(&self, classes: [u32; 2], question: &Question) -> Decision {
        let leaf = self.leaf(classes, question);
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

    /// The number of the set of groups that an address is in.
    pub fn class(&self, vni: Vni, address: IpAddr) -> u32 {
        self.addresses.class(vni, address)
    }

    /// The same of two.
    #[inline]
    pub fn classes_of(&self, vni: Vni, [from, to]: [IpAddr; 2]) -> [u32; 2] {
        [self.class(vni, from), self.class(vni, to)]
    }

    /// All sets of groups, by their numbers.
    pub fn classes(&self) -> impl Iterator<Item = &[GroupId]> {
        self.addresses.classes.iter()
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
    fn leaf(&self, classes: [u32; 2], question: &Question) -> Leaf {
        let key = key(question.protocol, question.port);
        let find = |cell, sofar| self.cells.find(cell, key, sofar);
        let (from, to) = (self.ends.of(classes[0], FROM), self.ends.of(classes[1], TO));
        let mut leaf = find(self.pairs.any, Leaf::NONE);
        leaf = find(from.first.any, leaf);
        leaf = find(to.first.any, leaf);
        // Looked for also if it is not there: that is no slower than to guess wrong.
        let cell = self.pairs.cell(from.first.group, to.first.group);
        let meets = from.first.peers & to.first.peers != 0;
        leaf = find(select_unpredictable(meets, cell, CellRef::EMPTY), leaf);
        if from.len.max(to.len) > 1 {
            leaf = self.more(from, to, key, leaf);
        }
        leaf
    }

    /// What is said besides where a side has several groups.
    #[inline(never)]
    fn more(&self, from: Few, to: Few, key: Key, mut leaf: Leaf) -> Leaf {
        let (more_from, more_to) = (self.ends.more(from), self.ends.more(to));
        for end in more_from.iter().chain(more_to) {
            leaf = self.cells.find(end.any, key, leaf);
        }
        let mut meets = Meets::default();
        let mut meet = |from: &End, to: &End| {
            if meets.add(from, to) {
                leaf = self.all(&mut meets, key, leaf);
            }
        };
        more_to.iter().for_each(|to| meet(&from.first, to));
        for from in more_from {
            meet(from, &to.first);
            more_to.iter().for_each(|to| meet(from, to));
        }
        self.all(&mut meets, key, leaf)
    }

    /// What the cells of the pairs that may have one say.
    #[inline(always)]
    fn all(&self, meets: &mut Meets, key: Key, mut leaf: Leaf) -> Leaf {
        for (from, to) in meets.pairs.iter().take(meets.len) {
            leaf = self.cells.find(self.pairs.cell(*from, *to), key, leaf);
        }
        meets.len = 0;
        leaf
    }

    fn counted(&self, rule: Option<u32>) -> &Counted {
        rule.and_then(|rule| self.rules.get(rule as usize)).unwrap_or(&self.default)
    }
}

/// Pairs of groups that may have a cell, noted before they are looked for: so there is nothing to guess for each.
#[derive(Default)]
struct Meets {
    pairs: [(GroupId, GroupId); 16],
    len: usize,
}

impl Meets {
    /// Notes a pair if it may have a cell. Whether there is no room for another.
    #[inline(always)]
    fn add(&mut self, from: &End, to: &End) -> bool {
        if let Some(pair) = self.pairs.get_mut(self.len) {
            *pair = (from.group, to.group);
        }
        self.len += usize::from(from.peers & to.peers != 0);
        self.len == self.pairs.len()
    }
}
