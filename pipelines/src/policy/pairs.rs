//! Which pairs of groups have a cell, and which of them concern a class.

use super::addresses::{Class, Sets};
use super::cells::{CellRef, Pair};
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
        let groups = list.iter().zip(cells).filter_map(|(pair, cell)| match pair {
            (Side::Group(from), Side::Group(to)) => Some((key(*from, *to), cell.0)),
            _ => None,
        });
        let groups = Table::new(&groups.collect::<Vec<_>>());
        let any = list.first().zip(cells.first()).filter(|(pair, _)| **pair == (Side::Any, Side::Any));
        Self { any: any.map_or(CellRef::EMPTY, |(_, cell)| *cell), list, groups }
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

    /// For each group that rules name on the left, and for each on the right, its cell with any, and 1 more.
    fn sides(&self, cells: &[CellRef]) -> [Table<u64, 5>; 2] {
        let (mut from, mut to) = (Vec::new(), Vec::new());
        for (pair, cell) in self.list.iter().zip(cells) {
            // In order, so a group's cell with any comes before its others; and the first stands.
            let with = |other| if other == Side::Any { cell.0 + 1 } else { CellRef::EMPTY.0 + 1 };
            if let Side::Group(group) = pair.0 {
                from.push((group.0.into(), with(pair.1)));
            }
            if let Side::Group(group) = pair.1 {
                to.push((group.0.into(), with(pair.0)));
            }
        }
        from.dedup_by_key(|(group, _)| *group);
        [Table::new(&from), Table::new(&to)]
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
}

/// For each class its groups that rules name, by side.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(super) struct Ends {
    classes: Vec<[Few; 2]>,
    /// Those that are not the first of their class and side.
    more: Vec<End>,
}

/// The ends of a class on one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Few {
    /// The first, for most have one. If there is none, some group without rules for all.
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
        let sides = pairs.sides(cells);
        let mut ends = Self { classes: Vec::with_capacity(classes.len()), more: Vec::new() };
        for groups in classes.iter() {
            let few = sides.each_ref().map(|side| ends.few(groups, side));
            ends.classes.push(few);
        }
        ends
    }

    /// The groups of `class` that rules name on `side`.
    #[inline(always)]
    pub fn of(&self, class: Class, side: usize) -> Few {
        self.classes.get(class as usize).map_or(Few::NONE, |class| class[side])
    }

    /// Those that are not the first.
    pub fn more(&self, few: Few) -> &[End] {
        let len = few.len.saturating_sub(1);
        self.more.get(few.more as usize..(few.more + len) as usize).unwrap_or(&[])
    }

    /// The bytes that they take.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.classes) + size_of_val(&*self.more)
    }

    fn few(&mut self, groups: &[GroupId], side: &Table<u64, 5>) -> Few {
        let mut few = Few { more: self.more.len() as u32, ..Few::NONE };
        for group in groups {
            let Some(any) = side.find(group.0.into()).checked_sub(1) else { continue };
            let end = End { group: *group, any: CellRef(any) };
            if few.len == 0 {
                few.first = end;
            } else {
                self.more.push(end);
            }
            few.len += 1;
        }
        few
    }
}

impl Few {
    /// The same with another one as the first.
    #[inline(always)]
    pub fn starting(self, first: End) -> Self {
        Self { first, ..self }
    }

    const NONE: Self = Self { first: End { group: GroupId(0), any: CellRef::EMPTY }, len: 0, more: 0 };
}
