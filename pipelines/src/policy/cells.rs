//! Cells: what the rules between one pair of groups say, by protocol and port.
//!
//! Every rule is in exactly one cell, that of its two sides, so no two cells are equal. A cell's intervals do not
//! overlap: in each the first enforced rule and the first rule of all are known. Most cells have few intervals and
//! are one cache line; the others are searched.

use core::ops::Range;

use super::rules::{Action, Service, Side};
use super::search::{Line, Tree};

/// The two sides that a cell's rules have.
pub(super) type Pair = (Side, Side);

/// A rule by its place and its action: the place above, the action in the lowest bit. The smaller comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Mark(u32);

impl Mark {
    /// No rule; comes after all others.
    pub const NONE: Self = Self(u32::MAX);

    /// Of the rule at `place`.
    pub fn new(place: u32, action: Action) -> Self {
        Self(place << 1 | u32::from(action == Action::Deny))
    }

    /// The rule's place and action.
    #[inline(always)]
    pub fn rule(self) -> Option<(u32, Action)> {
        let action = if self.0 & 1 == 0 { Action::Allow } else { Action::Deny };
        (self != Self::NONE).then_some((self.0 >> 1, action))
    }

    /// The same rule at another place.
    fn moved(self, places: &[u32]) -> Self {
        match places.get((self.0 >> 1) as usize) {
            Some(place) => Self(place << 1 | self.0 & 1),
            None => self,
        }
    }
}

/// What is said of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Leaf {
    /// The first enforced rule.
    pub rule: Mark,
    /// The first rule, also of those that are only counted; never after `rule`.
    pub would: Mark,
}

impl Leaf {
    /// Nothing is said.
    pub const NONE: Self = Self { rule: Mark::NONE, would: Mark::NONE };

    /// What is said by either.
    #[inline(always)]
    pub fn min(self, other: Self) -> Self {
        Self { rule: self.rule.min(other.rule), would: self.would.min(other.would) }
    }

    fn moved(self, places: &[u32]) -> Self {
        Self { rule: self.rule.moved(places), would: self.would.moved(places) }
    }
}

/// A protocol and port as one number: cells know five protocols with ports, or types and codes, and one for all
/// that have none.
pub(super) type Key = i32;

/// How many ports a protocol has.
const PORTS: Key = 1 << 16;
/// The end of the keys.
pub(super) const END: Key = 6 * PORTS;

/// The key of a question.
#[inline(always)]
pub(super) fn key(protocol: u8, port: u16) -> Key {
    /// By the protocol's IANA number.
    const LANES: [u8; 256] = {
        let mut lanes = [5; 256];
        (lanes[6], lanes[17], lanes[132], lanes[1], lanes[58]) = (0, 1, 2, 3, 4);
        lanes
    };
    Key::from(LANES[usize::from(protocol)]) * PORTS + Key::from(port)
}

/// The keys that a service means, from the first to behind the last.
pub(super) fn keys(service: &Service) -> Range<Key> {
    let (lane, ports) = match service {
        Service::Any => return 0..END,
        Service::Tcp(ports) => (0, ports),
        Service::Udp(ports) => (1, ports),
        Service::Sctp(ports) => (2, ports),
        Service::Icmp(types) => (3, types),
        Service::Icmpv6(types) => (4, types),
    };
    if ports.is_empty() {
        return 0..0;
    }
    lane * PORTS + Key::from(*ports.start())..lane * PORTS + Key::from(*ports.end()) + 1
}

/// Keys of which all the same is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Interval {
    /// The first key.
    pub start: Key,
    /// The one behind the last.
    pub end: Key,
    /// What is said.
    pub leaf: Leaf,
}

/// Where a cell is: among the small ones, or, with [`LARGE`], among the large ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct CellRef(pub u32);

const LARGE: u32 = 1 << 31;

impl CellRef {
    /// The cell that says nothing.
    pub const EMPTY: Self = Self(0);
}

/// Where cells have been moved to.
#[derive(Debug)]
pub(super) struct Moves {
    small: Vec<CellRef>,
    large: Vec<CellRef>,
}

impl Moves {
    /// None of these cells is anywhere yet.
    pub fn new(cells: &Cells) -> Self {
        Self {
            small: vec![CellRef::EMPTY; cells.small.len()],
            large: vec![CellRef::EMPTY; cells.large.len()],
        }
    }

    /// Where `cell` is now; empty if it is gone.
    pub fn of(&self, cell: CellRef) -> CellRef {
        let moves = if cell.0 & LARGE == 0 { &self.small } else { &self.large };
        moves.get((cell.0 & !LARGE) as usize).copied().unwrap_or(CellRef::EMPTY)
    }
}

/// Intervals in a small cell.
const SMALL: usize = 4;

/// A cell of few intervals; unused ones contain no key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[repr(align(64))]
struct Small {
    starts: [Key; SMALL],
    ends: [Key; SMALL],
    rule: [Mark; SMALL],
    would: [Mark; SMALL],
}

impl Small {
    const EMPTY: Self =
        Self { starts: [0; SMALL], ends: [0; SMALL], rule: [Mark::NONE; SMALL], would: [Mark::NONE; SMALL] };

    /// At most one interval contains the key: with all bits of the others set, *and* picks it. No branch to guess.
    #[inline(always)]
    fn find(&self, key: Key) -> Leaf {
        let (mut rule, mut would) = (u32::MAX, u32::MAX);
        for n in 0..SMALL {
            let inside = (self.starts[n] <= key) & (key < self.ends[n]);
            let outside = u32::from(inside).wrapping_sub(1);
            rule &= self.rule[n].0 | outside;
            would &= self.would[n].0 | outside;
        }
        Leaf { rule: Mark(rule), would: Mark(would) }
    }
}

/// A cell of many intervals. The first starts at 0, if only to end there.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Large {
    /// Of the last keys before each interval.
    tree: Tree,
    /// Where its intervals start.
    parts: u32,
    /// The first rule of all.
    first: Mark,
}

/// An interval of a large cell, but for its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    end: Key,
    leaf: Leaf,
}

/// Cells, one behind the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cells {
    /// Where the cell of each pair is.
    pub refs: Vec<CellRef>,
    /// The first is empty.
    small: Vec<Small>,
    large: Vec<Large>,
    /// What is searched in the large cells, and what is found there.
    lines: Vec<Line<Key, 16>>,
    parts: Vec<Part>,
}

impl Cells {
    /// What a cell says of a key, or what is said `sofar`, whichever is first.
    #[inline(always)]
    pub fn find(&self, cell: CellRef, key: Key, sofar: Leaf) -> Leaf {
        if cell.0 & LARGE != 0 {
            return self.find_large(cell, key, sofar);
        }
        let Some(cell) = self.small.get(cell.0 as usize) else { return sofar };
        sofar.min(cell.find(key))
    }

    /// Apart, so that the usual way stays short.
    #[inline(never)]
    fn find_large(&self, cell: CellRef, key: Key, sofar: Leaf) -> Leaf {
        let Some(cell) = self.large.get((cell.0 & !LARGE) as usize) else { return sofar };
        // `would` is never after `rule`: what comes after `rule` comes after both.
        if cell.first > sofar.rule {
            return sofar;
        }
        match self.parts.get(cell.parts as usize + cell.tree.find(&self.lines, key)) {
            Some(part) if key < part.end => sofar.min(part.leaf),
            _ => sofar,
        }
    }

    /// Adds a cell of these intervals, in order.
    pub fn push(&mut self, intervals: &[Interval]) {
        if intervals.len() > SMALL {
            self.push_large(intervals);
            return;
        }
        let mut cell = Small::EMPTY;
        for (n, interval) in intervals.iter().enumerate() {
            (cell.starts[n], cell.ends[n]) = (interval.start, interval.end);
            (cell.rule[n], cell.would[n]) = (interval.leaf.rule, interval.leaf.would);
        }
        self.refs.push(CellRef(self.small.len() as u32));
        self.small.push(cell);
    }

    fn push_large(&mut self, intervals: &[Interval]) {
        let parts = self.parts.len();
        let mut before = Vec::with_capacity(intervals.len() + 1);
        if intervals.first().is_none_or(|interval| interval.start > 0) {
            before.push(-1);
            self.parts.push(Part { end: 0, leaf: Leaf::NONE });
        }
        before.extend(intervals.iter().map(|interval| interval.start - 1));
        self.parts.extend(intervals.iter().map(|interval| Part { end: interval.end, leaf: interval.leaf }));
        let first = intervals.iter().map(|interval| interval.leaf.would).min().unwrap_or(Mark::NONE);
        let tree = Tree::new(&before, Key::MAX, &mut self.lines);
        self.refs.push(CellRef(self.large.len() as u32 | LARGE));
        self.large.push(Large { tree, parts: parts as u32, first });
    }

    /// Adds cells of `from`, with the rules at other places, and notes in `moves` where they are now.
    pub fn extend(&mut self, from: &Self, cells: Range<usize>, places: &[u32], moves: &mut Moves) {
        let refs = &from.refs[cells];
        let (small, large) = (Self::range(refs, 0), Self::range(refs, LARGE));
        let to_small = (self.small.len() as u32..).map(CellRef);
        moves.small[small.clone()].iter_mut().zip(to_small).for_each(|(cell, to)| *cell = to);
        let to_large = (self.large.len() as u32 | LARGE..).map(CellRef);
        moves.large[large.clone()].iter_mut().zip(to_large).for_each(|(cell, to)| *cell = to);
        self.refs.extend(refs.iter().map(|cell| moves.of(*cell)));
        self.small.extend(from.small[small].iter().map(|cell| Small {
            rule: cell.rule.map(|mark| mark.moved(places)),
            would: cell.would.map(|mark| mark.moved(places)),
            ..*cell
        }));
        let (start, end) = (from.searched(large.start), from.searched(large.end));
        let (lines, parts) = (start.0..end.0, start.1..end.1);
        let by_lines = (self.lines.len() as u32).wrapping_sub(lines.start as u32);
        let by_parts = (self.parts.len() as u32).wrapping_sub(parts.start as u32);
        self.large.extend(from.large[large].iter().map(|cell| Large {
            tree: cell.tree.moved(by_lines),
            parts: cell.parts.wrapping_add(by_parts),
            first: cell.first.moved(places),
        }));
        self.lines.extend_from_slice(&from.lines[lines]);
        let moved = |part: &Part| Part { leaf: part.leaf.moved(places), ..*part };
        self.parts.extend(from.parts[parts].iter().map(moved));
    }

    /// Where those of `refs` are that are large, or those that are not: they lie one behind the other.
    fn range(refs: &[CellRef], large: u32) -> Range<usize> {
        let is = |cell: &&CellRef| cell.0 & LARGE == large;
        let place = |cell: &CellRef| (cell.0 & !LARGE) as usize;
        match (refs.iter().find(is), refs.iter().rfind(is)) {
            (Some(first), Some(last)) => place(first)..place(last) + 1,
            _ => 0..0,
        }
    }

    /// Where the lines and intervals of a large cell start, or where those of the last one end.
    fn searched(&self, large: usize) -> (usize, usize) {
        let start = |cell: &Large| (cell.tree.start() as usize, cell.parts as usize);
        self.large.get(large).map_or((self.lines.len(), self.parts.len()), start)
    }

    /// How many cells there are.
    pub fn len(&self) -> usize {
        self.refs.len()
    }

    /// How many intervals they have.
    pub fn intervals(&self) -> usize {
        let small = self.small.iter().flat_map(|cell| cell.would).filter(|mark| *mark != Mark::NONE).count();
        small + self.parts.iter().filter(|part| part.leaf != Leaf::NONE).count()
    }

    /// The bytes that they take.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.refs)
            + size_of_val(&*self.small)
            + size_of_val(&*self.large)
            + size_of_val(&*self.lines)
            + size_of_val(&*self.parts)
    }
}

impl Default for Cells {
    fn default() -> Self {
        Self { refs: vec![], small: vec![Small::EMPTY], large: vec![], lines: vec![], parts: vec![] }
    }
}
