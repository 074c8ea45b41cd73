//! Cells: what the rules between one pair of groups say, by protocol and port.
//!
//! Every rule is in exactly one cell, that of its two sides, so no two cells are equal. A cell's intervals do not
//! overlap: in each the first enforced rule and the first rule of all are known.

use core::array::from_fn;
use core::ops::Range;

use super::rules::{Action, Service, Side};

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
    pub fn moved(self, places: &[u32]) -> Self {
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

/// A protocol as cells know it: its place in their lists, [`OTHER`] for those without ports.
#[inline(always)]
pub(super) fn lane(protocol: u8) -> usize {
    match protocol {
        6 => 0,
        17 => 1,
        132 => 2,
        1 => 3,
        58 => 4,
        _ => OTHER,
    }
}

/// The lanes that have ports, or types and codes.
pub(super) const LANES: usize = 5;
/// The lane of all other protocols.
pub(super) const OTHER: usize = LANES;

/// The lanes and the numbers that a service means; of [`OTHER`] all numbers or none.
pub(super) fn lanes(service: &Service) -> impl Iterator<Item = (usize, u16, u16)> {
    let (lanes, ports) = match service {
        Service::Any => (0..OTHER + 1, &(0..=u16::MAX)),
        Service::Tcp(ports) => (0..1, ports),
        Service::Udp(ports) => (1..2, ports),
        Service::Sctp(ports) => (2..3, ports),
        Service::Icmp(types) => (3..4, types),
        Service::Icmpv6(types) => (4..5, types),
    };
    lanes.filter(|_| !ports.is_empty()).map(|lane| (lane, *ports.start(), *ports.end()))
}

/// The ports of a lane from `first` to `last`, of which all the same is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Interval {
    pub first: u16,
    pub last: u16,
    pub leaf: Leaf,
}

/// A pair's rules, in one cache line: where its intervals are.
#[derive(Clone, Debug, PartialEq, Eq)]
#[repr(align(64))]
pub(super) struct Cell {
    /// Where the intervals of each lane start, and where the last lane's end.
    starts: [u32; LANES + 1],
    /// The jump of each lane that has one.
    jumps: [u16; LANES],
    /// What is said of the other protocols.
    other: Leaf,
    /// The cell's first rule.
    first: Mark,
}

impl Cell {
    /// Where the intervals of a lane are.
    #[inline(always)]
    fn lane(&self, lane: usize) -> Range<usize> {
        self.starts[lane] as usize..self.starts[lane + 1] as usize
    }
}

/// Lanes with more intervals have a jump.
const JUMP_OVER: u32 = 24;
/// No jump.
const NO_JUMP: u16 = u16::MAX;
/// For each high byte of a port, how many intervals of the lane start below it.
type Jump = [u16; 256];

/// Cells, one behind the other, with their intervals.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(super) struct Cells {
    cells: Vec<Cell>,
    intervals: Vec<Interval>,
    jumps: Vec<Jump>,
}

impl Cells {
    /// What `cell` says of a port in a lane. Cells that say nothing earlier than `sofar` are not searched.
    #[inline(always)]
    pub fn find(&self, cell: u32, lane: usize, port: u16, sofar: Leaf) -> Leaf {
        let Some(cell) = self.cells.get(cell as usize) else { return sofar };
        // `would` is never after `rule`: what comes after `rule` comes after both.
        if cell.first > sofar.rule {
            return sofar;
        }
        if lane >= OTHER {
            return sofar.min(cell.other);
        }
        match self.search(cell, lane, port) {
            Some(interval) if port <= interval.last => sofar.min(interval.leaf),
            _ => sofar,
        }
    }

    /// The last interval of a lane that does not start after `port`.
    #[inline(always)]
    fn search(&self, cell: &Cell, lane: usize, port: u16) -> Option<&Interval> {
        let mut intervals = self.intervals.get(cell.lane(lane))?;
        if intervals.len() > JUMP_OVER as usize
            && let Some(jump) = self.jumps.get(usize::from(cell.jumps[lane]))
        {
            let high = usize::from(port >> 8);
            let end = jump.get(high + 1).map_or(intervals.len(), |end| usize::from(*end));
            // The one before may reach into this high byte.
            intervals = intervals.get(usize::from(jump[high]).saturating_sub(1)..end)?;
        }
        let after = intervals.partition_point(|interval| interval.first <= port);
        intervals.get(after.checked_sub(1)?)
    }

    /// Adds a cell: the intervals of its lanes, in order and apart, what it says of other protocols, its first rule.
    pub fn push(&mut self, lanes: &[Vec<Interval>; LANES], other: Leaf, first: Mark) {
        let mut cell = Cell { starts: [0; LANES + 1], jumps: [NO_JUMP; LANES], other, first };
        for (lane, intervals) in lanes.iter().enumerate() {
            cell.starts[lane] = self.intervals.len() as u32;
            cell.jumps[lane] = self.jump(intervals);
            self.intervals.extend_from_slice(intervals);
        }
        cell.starts[LANES] = self.intervals.len() as u32;
        self.cells.push(cell);
    }

    /// Adds cells of `from`, with the rules at other places.
    pub fn extend(&mut self, from: &Self, cells: Range<usize>, places: &[u32]) {
        let cells = &from.cells[cells];
        let (Some(first), Some(last)) = (cells.first(), cells.last()) else { return };
        let (start, end) = (first.starts[0], last.starts[LANES]);
        let moved = self.intervals.len() as u32;
        self.cells.reserve(cells.len());
        for cell in cells {
            let mut jumps = [NO_JUMP; LANES];
            if cell.starts[LANES] - cell.starts[0] > JUMP_OVER {
                jumps = from_fn(|lane| self.jump(&from.intervals[cell.lane(lane)]));
            }
            self.cells.push(Cell {
                starts: cell.starts.map(|at| at - start + moved),
                jumps,
                other: cell.other.moved(places),
                first: cell.first.moved(places),
            });
        }
        let intervals = &from.intervals[start as usize..end as usize];
        self.intervals.extend(intervals.iter().map(|of| Interval { leaf: of.leaf.moved(places), ..*of }));
    }

    /// The number of a new jump, if so many intervals need one and there is room for its number.
    fn jump(&mut self, intervals: &[Interval]) -> u16 {
        if intervals.len() <= JUMP_OVER as usize || self.jumps.len() >= usize::from(NO_JUMP) {
            return NO_JUMP;
        }
        let mut below = 0;
        self.jumps.push(from_fn(|high| {
            let next = &intervals[below..];
            below += next.iter().take_while(|interval| usize::from(interval.first >> 8) < high).count();
            below as u16
        }));
        (self.jumps.len() - 1) as u16
    }

    /// How many cells there are.
    pub fn len(&self) -> usize {
        self.cells.len()
    }

    /// How many intervals they have.
    pub fn intervals(&self) -> usize {
        self.intervals.len()
    }

    /// The bytes that they take.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.cells) + size_of_val(&*self.intervals) + size_of_val(&*self.jumps)
    }
}
