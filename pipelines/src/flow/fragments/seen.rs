//! What was seen of one packet.

use arrayvec::ArrayVec;

use super::{RUNS, Refused};

/// No packet is longer, in bytes.
const MAX_LEN: usize = 65_535;

/// A fragment, in units of 8 bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    from: u16,
    to: u16,
    /// Where the packet ends, in bytes, if this is its last fragment.
    end: Option<u16>,
}

impl Piece {
    pub(super) fn new(offset: usize, len: usize, more: bool) -> Result<Self, Refused> {
        let end = offset.checked_add(len).filter(|end| *end <= MAX_LEN).ok_or(Refused::BadLength)?;
        if len == 0 || !offset.is_multiple_of(8) || more && !len.is_multiple_of(8) {
            return Err(Refused::BadLength);
        }
        let units = |bytes: usize| bytes.div_ceil(8) as u16;
        Ok(Self { from: units(offset), to: units(end), end: (!more).then_some(end as u16) })
    }

    const fn len(self) -> u16 {
        self.to - self.from
    }
}

/// What was seen of a packet: runs that do not overlap, in no order.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    runs: [Run; RUNS],
    used: u8,
    /// Units of all runs.
    covered: u16,
    /// Where the packet ends, in bytes, once the last fragment was seen.
    end: Option<u16>,
}

/// Fragments of one size that follow each other, in units of 8 bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    from: u16,
    to: u16,
    /// The size of each; 0 if they differ.
    size: u16,
}

impl Seen {
    /// Adds a fragment; whether the packet is complete.
    pub(super) fn add(&mut self, piece: Piece) -> Result<bool, Refused> {
        if self.has(piece) {
            return Ok(false);
        }
        let runs = self.runs.get(..usize::from(self.used)).unwrap_or_default();
        if runs.iter().any(|run| run.from < piece.to && piece.from < run.to) {
            return Err(Refused::Overlap);
        }
        let highest = runs.iter().map(|run| run.to).max().unwrap_or(0).max(piece.to);
        let end = match (self.end, piece.end) {
            (Some(_), Some(_)) => return Err(Refused::BadLength),
            (known, this) => known.or(this),
        };
        if end.is_some_and(|end| highest > end.div_ceil(8)) {
            return Err(Refused::BadLength);
        }
        self.insert(Run { from: piece.from, to: piece.to, size: piece.len() })?;
        self.end = end;
        self.covered += piece.len();
        Ok(end.is_some_and(|end| self.covered == end.div_ceil(8)))
    }

    /// Whether the very fragment was seen before, as far as sizes were kept.
    pub(super) fn has(&self, piece: Piece) -> bool {
        let is_last = self.end.is_some_and(|end| piece.to == end.div_ceil(8));
        let same_end = if is_last { piece.end == self.end } else { piece.end.is_none() };
        same_end
            && self.runs.iter().take(self.used.into()).any(|run| {
                let within = run.from <= piece.from && piece.to <= run.to && run.size == piece.len();
                within && (piece.from - run.from).is_multiple_of(run.size)
            })
    }

    /// Puts a run with those of its size that it touches; if there is no place left, with any.
    fn insert(&mut self, mut run: Run) -> Result<(), Refused> {
        let mut runs: ArrayVec<Run, RUNS> = self.runs.into_iter().take(self.used.into()).collect();
        let touches = |run: &Run, other: &Run| run.from == other.to || run.to == other.from;
        let join = |run: &mut Run, other: Run| {
            *run = Run {
                from: run.from.min(other.from),
                to: run.to.max(other.to),
                size: if run.size == other.size { run.size } else { 0 },
            };
        };
        while let Some(at) = runs.iter().position(|other| other.size == run.size && touches(&run, other)) {
            join(&mut run, runs.swap_remove(at));
        }
        if runs.is_full() {
            let at = runs.iter().position(|other| touches(&run, other)).ok_or(Refused::TooMany)?;
            join(&mut run, runs.swap_remove(at));
        }
        runs.push(run);
        self.used = runs.len() as u8;
        for (place, run) in self.runs.iter_mut().zip(runs) {
            *place = run;
        }
        Ok(())
    }
}
