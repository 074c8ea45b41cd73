//! Painting: from rules that overlap to intervals that do not.
//!
//! Each rule paints, first rule first, what no rule before it has painted. Next to every place stands where the
//! next unpainted one is (a union-find), so that painted places are passed in almost no time, however many rules
//! lie on top of each other.

use super::cells::{Cells, Interval, LANES, Leaf, Mark, OTHER, Pair, lanes};
use super::rules::Rule;

/// The memory that painting needs, used again for every cell.
#[derive(Debug, Default)]
pub(super) struct Painter {
    strokes: [Vec<Stroke>; LANES],
    painted: [Vec<Interval>; LANES],
    canvas: Canvas,
}

/// What one service of a rule paints in a lane.
#[derive(Clone, Copy, Debug)]
struct Stroke {
    first: u16,
    last: u16,
    mark: Mark,
    audit: bool,
}

impl Painter {
    /// Adds the cell of the rules at the places of a pair to `cells`.
    pub fn paint(&mut self, rules: &[Rule], of_pair: &[(Pair, u32)], cells: &mut Cells) {
        self.strokes.iter_mut().for_each(Vec::clear);
        let mut other = Leaf::NONE;
        for &(_, place) in of_pair {
            let rule = &rules[place as usize];
            let mark = Mark::new(place, rule.action);
            for (lane, first, last) in rule.services.iter().flat_map(lanes) {
                if let Some(strokes) = self.strokes.get_mut(lane) {
                    strokes.push(Stroke { first, last, mark, audit: rule.audit });
                }
                if lane == OTHER {
                    let rule = if rule.audit { Mark::NONE } else { mark };
                    other = other.min(Leaf { rule, would: mark });
                }
            }
            // An enforced rule for everything hides all that come after it.
            if other.rule != Mark::NONE {
                break;
            }
        }
        let mut first = other.would;
        for (strokes, painted) in self.strokes.iter().zip(&mut self.painted) {
            painted.clear();
            self.canvas.paint(strokes, painted);
            first = strokes.first().map_or(first, |stroke| first.min(stroke.mark));
        }
        cells.push(&self.painted, other, first);
    }
}

/// A lane's ports, cut where a stroke starts or ends.
#[derive(Debug, Default)]
struct Canvas {
    /// Where the pieces start; the last one is past the last stroke.
    starts: Vec<u32>,
    leaves: Vec<Leaf>,
    /// For each piece, one at or behind it before which all is painted, by enforced rules and by any.
    next_rule: Vec<u32>,
    next_would: Vec<u32>,
}

impl Canvas {
    fn paint(&mut self, strokes: &[Stroke], painted: &mut Vec<Interval>) {
        if let [stroke] = strokes {
            painted.push(Interval { first: stroke.first, last: stroke.last, leaf: stroke.leaf() });
            return;
        }
        self.cut(strokes);
        for stroke in strokes {
            let (from, to) = (self.piece(stroke.first.into()), self.piece(u32::from(stroke.last) + 1));
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
        self.starts.extend(strokes.iter().flat_map(|of| [of.first.into(), u32::from(of.last) + 1]));
        self.starts.sort_unstable();
        self.starts.dedup();
        let pieces = self.starts.len();
        self.leaves.clear();
        self.leaves.resize(pieces, Leaf::NONE);
        for next in [&mut self.next_rule, &mut self.next_would] {
            next.clear();
            next.extend(0..pieces as u32);
        }
    }

    /// The piece that starts at a place where a stroke starts or ends.
    fn piece(&self, start: u32) -> u32 {
        self.starts.partition_point(|of| *of < start) as u32
    }

    /// The intervals: neighbours of which the same is said are one.
    fn collect(&self, painted: &mut Vec<Interval>) {
        for (ends, leaf) in self.starts.windows(2).zip(&self.leaves) {
            let (first, last) = (ends[0] as u16, (ends[1] - 1) as u16);
            if *leaf == Leaf::NONE {
                continue;
            }
            match painted.last_mut() {
                Some(before) if before.leaf == *leaf && u32::from(before.last) + 1 == ends[0] => {
                    before.last = last
                }
                _ => painted.push(Interval { first, last, leaf: *leaf }),
            }
        }
    }
}

impl Stroke {
    fn leaf(&self) -> Leaf {
        Leaf { rule: if self.audit { Mark::NONE } else { self.mark }, would: self.mark }
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
