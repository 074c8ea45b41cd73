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

    /// For each group that rules name on the left, and for each on the right, its cell with any, and 1 more.
    fn sides(&self, cells: &[CellRef]) -> [Table<u64, 5>; 2] {
        let table = |mut groups: Vec<GroupId>, with_any: &dyn Fn(GroupId) -> Pair| {
            groups.sort_unstable();
            groups.dedup();
            let cell = |group| self.cell_of(with_any(group), cells).0;
            Table::new(&groups.iter().map(|group| (group.0.into(), cell(*group) + 1)).collect::<Vec<_>>())
        };
        let group = |side| if let Side::Group(group) = side { Some(group) } else { None };
        [
            table(self.list.iter().filter_map(|pair| group(pair.0)).collect(), &|group| {
                (Side::Group(group), Side::Any)
            }),
            table(self.list.iter().filter_map(|pair| group(pair.1)).collect(), &|group| {
                (Side::Any, Side::Group(group))
            }),
        ]
    }
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
        for end in ends.classes.iter_mut().flatten().map(|few| &mut few.first).chain(&mut ends.more) {
            end.any = moves.of(end.any);
        }
        for pair in changed {
            let cell = pairs.cell_of(*pair, cells);
            match *pair {
                (Side::Group(group), Side::Any) => ends.set_any(FROM, End { group, any: cell }),
                (Side::Any, Side::Group(group)) => ends.set_any(TO, End { group, any: cell }),
                _ => {}
            }
        }
        Some(ends)
    }

    /// Gives a group on one side another cell with any.
    fn set_any(&mut self, side: usize, end: End) {
        for few in self.classes.iter_mut().map(|class| &mut class[side]).filter(|few| few.len > 0) {
            let more = &mut self.more[few.more as usize..(few.more + few.len - 1) as usize];
            for of in core::iter::once(&mut few.first).chain(more).filter(|of| of.group == end.group) {
                *of = end;
            }
        }
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
