//! Painting: from rules that overlap to intervals that do not.
//!
//! Each rule paints, first rule first, what no rule before it has painted. Next to every place stands where the
//! next unpainted one is (a union-find), so that painted places are passed in almost no time, however many rules
//! lie on top of each other.

use core::ops::Range;

use super::cells::{Cells, END, Interval, Key, Leaf, Mark, Pair, keys};
use super::rules::{Rule, Service};

/// The memory that painting needs, used again for every cell.
#[derive(Debug, Default)]
pub(super) struct Painter {
    strokes: Vec<Stroke>,
    canvas: Canvas,
    painted: Vec<Interval>,
}

/// What one service of a rule paints.
#[derive(Clone, Debug)]
struct Stroke {
    keys: Range<Key>,
    mark: Mark,
    audit: bool,
}

impl Painter {
    /// Adds the cell of the rules at the places of a pair to `cells`.
    pub fn paint(&mut self, rules: &[Rule], of_pair: &[(Pair, u32)], cells: &mut Cells) {
        self.strokes.clear();
        for (_, place) in of_pair {
            let rule = &rules[*place as usize];
            let stroke = |service| Stroke {
                keys: keys(service),
                mark: Mark::new(*place, rule.action),
                audit: rule.audit,
            };
            self.strokes.extend(rule.services.iter().map(stroke).filter(|stroke| !stroke.keys.is_empty()));
            // It hides all that come after it.
            if !rule.audit && rule.services.contains(&Service::Any) {
                break;
            }
        }
        self.painted.clear();
        match &*self.strokes {
            [] => {}
            [stroke] => self.painted.push(stroke.interval()),
            strokes => self.canvas.paint(strokes, &mut self.painted),
        }
        cells.push(&self.painted);
    }
}

impl Stroke {
    fn interval(&self) -> Interval {
        let rule = if self.audit { Mark::NONE } else { self.mark };
        Interval { start: self.keys.start, end: self.keys.end, leaf: Leaf { rule, would: self.mark } }
    }
}

/// For more strokes it is faster to take every key for a piece than to sort and to search.
const MANY: usize = 8192;

/// The keys, cut where a stroke starts or ends.
#[derive(Debug, Default)]
struct Canvas {
    /// Where the pieces start; the last one is past the last stroke.
    starts: Vec<Key>,
    leaves: Vec<Leaf>,
    /// For each piece, one at or behind it before which all is painted, by enforced rules and by any.
    next_rule: Vec<u32>,
    next_would: Vec<u32>,
}

impl Canvas {
    fn paint(&mut self, strokes: &[Stroke], painted: &mut Vec<Interval>) {
        self.cut(strokes);
        for stroke in strokes {
            let (from, to) = (self.piece(stroke.keys.start), self.piece(stroke.keys.end));
            fill(&mut self.next_would, from, to, |piece| self.leaves[piece].would = stroke.mark);
            if !stroke.audit {
                fill(&mut self.next_rule, from, to, |piece| self.leaves[piece].rule = stroke.mark);
            }
        }
        self.collect(painted);
    }

    /// Cuts the canvas anew.
    fn cut(&mut self, strokes: &[Stroke]) {
        self.starts.clear();
        if strokes.len() > MANY {
            self.starts.extend(0..=END);
        } else {
            self.starts.extend(strokes.iter().flat_map(|of| [of.keys.start, of.keys.end]));
            self.starts.sort_unstable();
            self.starts.dedup();
        }
        let pieces = self.starts.len();
        self.leaves.clear();
        self.leaves.resize(pieces, Leaf::NONE);
        for next in [&mut self.next_rule, &mut self.next_would] {
            next.clear();
            next.extend(0..pieces as u32);
        }
    }

    /// The piece that starts at a place where a stroke starts or ends.
    fn piece(&self, start: Key) -> u32 {
        let every = self.starts.len() > END as usize;
        if every { start as u32 } else { self.starts.partition_point(|of| *of < start) as u32 }
    }

    /// The intervals: neighbours of which the same is said are one.
    fn collect(&self, painted: &mut Vec<Interval>) {
        for (ends, leaf) in self.starts.windows(2).zip(&self.leaves) {
            match painted.last_mut() {
                _ if *leaf == Leaf::NONE => {}
                Some(before) if before.leaf == *leaf && before.end == ends[0] => before.end = ends[1],
                _ => painted.push(Interval { start: ends[0], end: ends[1], leaf: *leaf }),
            }
        }
    }
}

/// Paints the unpainted of the pieces `from..to`.
fn fill(next: &mut [u32], from: u32, to: u32, mut paint: impl FnMut(usize)) {
    let mut piece = unpainted(next, from);
    while piece < to {
        paint(piece as usize);
        next[piece as usize] = piece + 1;
        piece = unpainted(next, piece + 1);
    }
}

/// The first unpainted piece from `piece` on; the way there is halved for who comes next.
fn unpainted(next: &mut [u32], mut piece: u32) -> u32 {
    while next[piece as usize] != piece {
        let over = next[next[piece as usize] as usize];
        next[piece as usize] = over;
        piece = over;
    }
    piece
}
