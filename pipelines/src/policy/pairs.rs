//! Which pairs of groups have a cell, and which of them concern a class.

use super::addresses::{Class, Sets};
use super::cells::Pair;
use super::rules::{GroupId, Side};
use super::table::Table;

/// Stands for no cell.
pub(super) const NO_CELL: u32 = u32::MAX;

/// The pairs that rules name. Each has the cell of its place in the list.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(super) struct Pairs {
    /// In order; so any to any is the first.
    pub list: Vec<Pair>,
    /// The cells of those that are two groups.
    cells: Table<u64>,
}

impl Pairs {
    /// Of a list in order.
    pub fn new(list: Vec<Pair>) -> Self {
        let groups = list.iter().zip(0..).filter_map(|(pair, cell)| match pair {
            (Side::Group(from), Side::Group(to)) => Some((key(*from, *to), cell)),
            _ => None,
        });
        let cells = Table::new(&groups.collect::<Vec<_>>());
        Self { list, cells }
    }

    /// The cell of two groups.
    #[inline(always)]
    pub fn cell(&self, from: GroupId, to: GroupId) -> Option<u32> {
        self.cells.find(key(from, to))
    }

    /// The cell of any to any.
    pub fn any(&self) -> u32 {
        if self.list.first() == Some(&(Side::Any, Side::Any)) { 0 } else { NO_CELL }
    }

    /// The bytes that they take.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.list) + self.cells.bytes()
    }

    /// For each group that rules name on the left, its cell to any; and those on the right.
    fn sides(&self) -> [Table<u64>; 2] {
        let (mut from, mut to) = (Vec::new(), Vec::new());
        for (pair, cell) in self.list.iter().zip(0..) {
            // In order, so a group's cell with any comes before its others; and the first stands.
            if let Side::Group(group) = pair.0 {
                from.push((group.0.into(), if pair.1 == Side::Any { cell } else { NO_CELL }));
            }
            if let Side::Group(group) = pair.1 {
                to.push((group.0.into(), if pair.0 == Side::Any { cell } else { NO_CELL }));
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
    pub any: u32,
}

/// For each class its groups that rules name, by side.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(super) struct Ends {
    classes: Vec<[Few; 2]>,
    /// Those that are not the first of their class and side.
    more: Vec<End>,
}

/// The ends of a class on one side: the first is here, for most have one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Few {
    len: u32,
    first: End,
    /// Where the others start.
    more: u32,
}

/// The side that opens a connection.
pub(super) const FROM: usize = 0;
/// The other.
pub(super) const TO: usize = 1;

impl Ends {
    /// Of these classes where these pairs have rules.
    pub fn new(classes: &Sets, pairs: &Pairs) -> Self {
        let sides = pairs.sides();
        let mut ends = Self { classes: Vec::with_capacity(classes.len()), more: Vec::new() };
        for groups in classes.iter() {
            let few = sides.each_ref().map(|side| ends.few(groups, side));
            ends.classes.push(few);
        }
        ends
    }

    /// The groups of `class` that rules name on `side`.
    #[inline(always)]
    pub fn of(&self, class: Class, side: usize) -> impl Iterator<Item = End> + Clone {
        let few = self.classes.get(class as usize).map_or(Few::NONE, |class| class[side]);
        let more = few.more as usize..(few.more + few.len.saturating_sub(1)) as usize;
        let first = (few.len > 0).then_some(few.first);
        first.into_iter().chain(self.more.get(more).unwrap_or(&[]).iter().copied())
    }

    /// The bytes that they take.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.classes) + size_of_val(&*self.more)
    }

    fn few(&mut self, groups: &[GroupId], side: &Table<u64>) -> Few {
        let mut few = Few { more: self.more.len() as u32, ..Few::NONE };
        for group in groups {
            let Some(any) = side.find(group.0.into()) else { continue };
            let end = End { group: *group, any };
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
    const NONE: Self = Self { len: 0, first: End { group: GroupId(0), any: NO_CELL }, more: 0 };
}
