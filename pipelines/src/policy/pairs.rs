//! Which pairs of groups have a cell, and which of them concern a class.

use super::addresses::{Class, Sets};
use super::cells::{CellRef, Moves, Pair};
use super::rules::{GroupId, Side};
use super::table::Table;

/// The pairs that rules name, in order.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(super) struct Pairs {
    /// Each has the cell of its place in the list.
    pub list: Vec<Pair>,
    /// The cell of any to any.
    pub any: CellRef,
    /// Those of two groups.
    groups: Table<u64, 5>,
}

impl Pairs {
    /// Of a list, and where their cells are.
    pub fn new(list: Vec<Pair>, cells: &[CellRef]) -> Self {
        let groups = list.iter().zip(cells).filter_map(|(pair, cell)| Some((key_of(*pair)?, cell.0)));
        let groups = Table::new(&groups.collect::<Vec<_>>());
        Self::of(list, cells, groups)
    }

    /// Of a list that came from this one: the cells have been moved, those of the pairs that `changed` are new.
    pub fn changed(&self, list: Vec<Pair>, cells: &[CellRef], changed: &[Pair], moves: &Moves) -> Self {
        let new = changed.iter().filter_map(|pair| {
            let place = list.binary_search(pair).ok()?;
            Some((key_of(*pair)?, cells.get(place)?.0))
        });
        let groups = self.groups.changed(|cell| moves.of(CellRef(cell)).0, &new.collect::<Vec<_>>());
        Self::of(list, cells, groups)
    }

    fn of(list: Vec<Pair>, cells: &[CellRef], groups: Table<u64, 5>) -> Self {
        let any = if list.first() == Some(&(Side::Any, Side::Any)) { cells.first() } else { None };
        Self { any: any.copied().unwrap_or_default(), list, groups }
    }

    /// The cell of two groups.
    #[inline(always)]
    pub fn cell(&self, from: GroupId, to: GroupId) -> CellRef {
        CellRef(self.groups.find(key(from, to)))
    }

    /// The bytes that they take.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.list) + self.groups.bytes()
    }

    /// Whether the same groups are named on the same sides as in `before`, which differs in these pairs.
    fn names_as(&self, before: &Self, changed: &[Pair]) -> bool {
        let named = |pairs: &Self, pair: &Pair| {
            let left = pairs.list.partition_point(|of| of.0 < pair.0);
            let right = pairs.list.iter().any(|of| of.1 == pair.1);
            // Any is no group.
            (
                pair.0 == Side::Any || pairs.list.get(left).is_some_and(|of| of.0 == pair.0),
                pair.1 == Side::Any || right,
            )
        };
        // Each look at the right sides goes through the whole list.
        changed.len() <= 4 && changed.iter().all(|pair| named(self, pair) == named(before, pair))
    }

    /// The cell of a pair in the list.
    fn cell_of(&self, pair: Pair, cells: &[CellRef]) -> CellRef {
        let place = self.list.binary_search(&pair).ok();
        place.and_then(|place| cells.get(place)).copied().unwrap_or_default()
    }

    /// The group as the side that opens a connection.
    fn from(&self, group: GroupId, cells: &[CellRef]) -> End {
        let left = self.list.partition_point(|of| of.0 < Side::Group(group));
        let of_group = self.list[left..].iter().take_while(|of| of.0 == Side::Group(group));
        let peers = of_group.filter_map(|of| side_group(of.1)).fold(0, |peers, group| peers | bit(group));
        End { group, any: self.cell_of((Side::Group(group), Side::Any), cells), peers }
    }

    /// The group as the other side.
    fn to(&self, group: GroupId, cells: &[CellRef]) -> End {
        End { group, any: self.cell_of((Side::Any, Side::Group(group)), cells), peers: bit(group) }
    }

    /// The groups that rules name on the left, and those on the right.
    fn sides(&self, cells: &[CellRef]) -> [Named; 2] {
        let groups = |side: fn(&Pair) -> Side| {
            let mut groups: Vec<_> = self.list.iter().filter_map(|pair| side_group(side(pair))).collect();
            groups.sort_unstable();
            groups.dedup();
            groups.into_iter()
        };
        [
            Named::new(groups(|pair| pair.0).map(|group| self.from(group, cells)).collect()),
            Named::new(groups(|pair| pair.1).map(|group| self.to(group, cells)).collect()),
        ]
    }
}

fn side_group(side: Side) -> Option<GroupId> {
    match side {
        Side::Group(group) => Some(group),
        Side::Any => None,
    }
}

/// One of 64 bits that stands for a group, and for some others.
fn bit(group: GroupId) -> u64 {
    1 << (group.0.wrapping_mul(0x9e37_79b1) >> 26)
}

/// The key of a pair, if it is one of groups.
fn key_of(pair: Pair) -> Option<u64> {
    match pair {
        (Side::Group(from), Side::Group(to)) => Some(key(from, to)),
        _ => None,
    }
}

#[inline(always)]
fn key(from: GroupId, to: GroupId) -> u64 {
    u64::from(from.0) << 32 | u64::from(to.0)
}

/// A group on one side of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    /// The group.
    pub group: GroupId,
    /// Its cell with any on the other side.
    pub any: CellRef,
    /// Its bit, or, of the side that opens a connection, the bits of all groups that it has a cell with: where two
    /// ends have no bit in common, there is no cell to look for.
    pub peers: u64,
}

/// The groups that rules name on one side, each to be found by its number.
struct Named {
    places: Table<u64, 5>,
    ends: Vec<End>,
}

impl Named {
    fn new(ends: Vec<End>) -> Self {
        let places = ends.iter().zip(1..).map(|(end, place)| (end.group.0.into(), place));
        Self { places: Table::new(&places.collect::<Vec<_>>()), ends }
    }

    fn find(&self, group: GroupId) -> Option<End> {
        let place = self.places.find(group.0.into()).checked_sub(1)?;
        self.ends.get(place as usize).copied()
    }

    /// The ends of a class; those that are not the first go to `more`.
    fn few(&self, groups: &[GroupId], more: &mut Vec<End>) -> Few {
        let mut few = Few { more: more.len() as u32, ..Few::NONE };
        for end in groups.iter().filter_map(|group| self.find(*group)) {
            if few.len == 0 {
                few.first = end;
            } else {
                more.push(end);
            }
            few.len += 1;
        }
        few
    }
}

/// For each class its groups that rules name, by side.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(super) struct Ends {
    /// For each side by class.
    sides: [Vec<Few>; 2],
    /// Those that are not the first of their class and side.
    more: Vec<End>,
}

/// The ends of a class on one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(align(32))]
pub(super) struct Few {
    /// The first, for most have one. If there is none, a group without cells.
    pub first: End,
    /// How many there are.
    pub len: u32,
    /// Where the others start.
    more: u32,
}

/// The side that opens a connection.
pub(super) const FROM: usize = 0;
/// The other.
pub(super) const TO: usize = 1;

impl Ends {
    /// Of these classes where these pairs have rules.
    pub fn new(classes: &Sets, pairs: &Pairs, cells: &[CellRef]) -> Self {
        let mut more = Vec::new();
        let sides =
            pairs.sides(cells).map(|named| classes.iter().map(|of| named.few(of, &mut more)).collect());
        Self { sides, more }
    }

    /// Those of the same classes after a change of the pairs, if the same groups are named as before.
    pub fn changed(
        &self,
        before: &Pairs,
        (pairs, cells): (&Pairs, &[CellRef]),
        changed: &[Pair],
        moves: &Moves,
    ) -> Option<Self> {
        if !pairs.names_as(before, changed) {
            return None;
        }
        let mut ends = self.clone();
        for end in ends.sides.iter_mut().flatten().map(|few| &mut few.first).chain(&mut ends.more) {
            end.any = moves.of(end.any);
        }
        for pair in changed {
            if let Some(group) = side_group(pair.0) {
                ends.set(FROM, pairs.from(group, cells));
            }
            if let Some(group) = side_group(pair.1) {
                ends.set(TO, pairs.to(group, cells));
            }
        }
        Some(ends)
    }

    /// Puts an end in the place of what its group was on that side.
    fn set(&mut self, side: usize, end: End) {
        for few in self.sides[side].iter_mut().filter(|few| few.len > 0) {
            let more = &mut self.more[few.more as usize..(few.more + few.len - 1) as usize];
            for of in core::iter::once(&mut few.first).chain(more).filter(|of| of.group == end.group) {
                *of = end;
            }
        }
    }

    /// The groups of `class` that rules name on `side`.
    #[inline(always)]
    pub fn of(&self, class: Class, side: usize) -> Few {
        self.sides[side].get(class as usize).copied().unwrap_or(Few::NONE)
    }

    /// Those that are not the first.
    pub fn more(&self, few: Few) -> &[End] {
        let len = few.len.saturating_sub(1);
        self.more.get(few.more as usize..(few.more + len) as usize).unwrap_or(&[])
    }

    /// The bytes that they take.
    pub fn bytes(&self) -> usize {
        self.sides.iter().map(|few| size_of_val(&**few)).sum::<usize>() + size_of_val(&*self.more)
    }
}

impl Few {
    const NONE: Self =
        Self { first: End { group: GroupId(0), any: CellRef::EMPTY, peers: 0 }, len: 0, more: 0 };
}
