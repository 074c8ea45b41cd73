//! The reading side: counters, names and records of a switch, without its help.

use core::ops::Range;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, test_kill_process};
use thiserror::Error;
use weft_pipelines::{Epoch, Tick};

use super::field::{Field, Merge};
use super::labels::{Labels, Region};
use super::layout::{Kind, Layout, Section, State, head};
use super::map::{View, WORD};
use super::parse::{self, Malformed};
use super::record::{PAYLOAD, Record};
use super::ring::{Cursor, Next, Ring};
use super::seqlock;
use super::word::{Load, Seen};

/// How often something is looked at that is being written each time, at once and then after a pause: its writer may
/// have to wait for a core. After that, some 0.2 s, it has stopped in the middle.
const TRIES: (usize, usize) = (100, 2_000);
const PAUSE: Duration = Duration::from_micros(50);

/// A statistics file, mapped to be read.
///
/// The file is input: whatever is in it, reading gives numbers or an error. Only one thing cannot be caught: who cuts
/// the file short while it is mapped ends the reader with `SIGBUS`. Weft never does, and who does not trust the writer
/// can read a copy ([`of_copy`](Self::of_copy)).
#[derive(Clone, Debug)]
pub struct Reader {
    memory: Arc<Memory>,
    layout: Arc<Layout>,
    path: PathBuf,
    /// Which file it is, whatever its name: device and inode.
    file: Option<(u64, u64)>,
}

#[derive(Debug)]
enum Memory {
    Mapped(View),
    Copied(Box<[Seen]>),
}

impl Memory {
    fn words(&self) -> &[Seen] {
        match self {
            Self::Mapped(view) => view.words(),
            Self::Copied(words) => words,
        }
    }
}

impl Reader {
    /// The file at `path`.
    ///
    /// # Errors
    ///
    /// When it cannot be opened, is no statistics file, is cut short, is of another version, or is damaged.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        let failed = |source| ReadError::Io { path: path.into(), source };
        let file = File::open(path).map_err(failed)?;
        let meta = file.metadata().map_err(failed)?;
        let len = usize::try_from(meta.len()).unwrap_or(usize::MAX);
        if !meta.is_file() || len < WORD {
            return Err(ReadError::Malformed { path: path.into(), why: Malformed::NotWeft });
        }
        let view = View::map(&file, len).map_err(failed)?;
        Self::of(Memory::Mapped(view), path, Some((meta.dev(), meta.ino())))
    }

    /// A copy of a file that nobody writes to any more, as `copy` gives it: for what a switch has left behind. Of a
    /// file that is written meanwhile, rows may be mixed.
    ///
    /// # Errors
    ///
    /// As of [`open`](Self::open).
    pub fn of_copy(path: &Path, copy: &mut impl Read) -> Result<Self, ReadError> {
        let mut bytes = Vec::new();
        copy.read_to_end(&mut bytes).map_err(|source| ReadError::Io { path: path.into(), source })?;
        Self::of_bytes(path, &bytes)
    }

    /// The same of bytes; bytes beyond the last whole word are left out.
    ///
    /// # Errors
    ///
    /// As of [`open`](Self::open).
    pub fn of_bytes(path: &Path, bytes: &[u8]) -> Result<Self, ReadError> {
        let words =
            bytes.as_chunks::<WORD>().0.iter().map(|word| Seen::new(u64::from_ne_bytes(*word))).collect();
        Self::of(Memory::Copied(words), path, None)
    }

    fn of(memory: Memory, path: &Path, file: Option<(u64, u64)>) -> Result<Self, ReadError> {
        match parse::layout(memory.words()) {
            Ok(layout) => Ok(Self { memory: memory.into(), layout: layout.into(), path: path.into(), file }),
            Err(why) => Err(ReadError::Malformed { path: path.into(), why }),
        }
    }

    /// What is in the file, and where.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// How many workers write to it.
    pub fn workers(&self) -> usize {
        self.layout
            .sections
            .iter()
            .find(|section| section.kind != Kind::Labels)
            .map_or(0, |section| section.instances)
    }

    /// What the writer says of itself.
    pub fn state(&self) -> State {
        State::from_code(self.head(head::STATE))
    }

    /// Whether the writer still writes here: it says so, and its process exists. A process of another PID namespace is
    /// not seen from here, and a number may be another's by now: the [`heartbeat`](Self::heartbeat) moves only while the
    /// switch lives.
    pub fn alive(&self) -> bool {
        let exists = |pid: i32| Pid::from_raw(pid).map(test_kill_process);
        let exists = i32::try_from(self.pid()).ok().filter(|pid| *pid > 0).and_then(exists);
        // That the process is another user's, it has to exist to be refused.
        self.state() == State::Running && exists.is_some_and(|found| found != Err(rustix::io::Errno::SRCH))
    }

    /// Whether there is another file of this name by now, to be opened instead.
    pub fn replaced(&self) -> bool {
        let now = std::fs::metadata(&self.path).ok().map(|meta| (meta.dev(), meta.ino()));
        self.file.is_some() && now.is_some() && now != self.file
    }

    /// The process that writes.
    pub fn pid(&self) -> u64 {
        self.head(head::PID)
    }

    /// A number that no other run of a switch has; numbers of flows are unique in it.
    pub fn instance(&self) -> u64 {
        self.head(head::INSTANCE)
    }

    /// The configuration that is in force.
    pub fn epoch(&self) -> Epoch {
        Epoch(self.head(head::EPOCH))
    }

    /// When the writer last said that it lives.
    pub fn heartbeat(&self) -> Tick {
        Tick(self.head(head::HEARTBEAT))
    }

    /// `tick` in nanoseconds of UNIX time.
    pub fn unix(&self, tick: Tick) -> u64 {
        self.head(head::WALL_CLOCK).wrapping_add(tick.0)
    }

    /// The rate of the counter that cycles are counted by.
    pub fn cycles_per_second(&self) -> u64 {
        self.head(head::CYCLES)
    }

    /// The counters of section `name` of all workers together: a row for each port, or what else it is of. None when
    /// the file has no such counters.
    ///
    /// # Errors
    ///
    /// When a row's writer has stopped in the middle of it.
    pub fn counters(&self, name: &str) -> Result<Option<Table>, ReadError> {
        let Some(section) = self.section(name) else { return Ok(None) };
        let mut table = Table { fields: section.fields.clone(), rows: Vec::new() };
        for instance in 0..section.instances {
            self.add(&mut table, section, instance)?;
        }
        Ok(Some(table))
    }

    /// The counters of section `name` of one worker.
    ///
    /// # Errors
    ///
    /// When a row's writer has stopped in the middle of it.
    pub fn counters_of(&self, name: &str, worker: usize) -> Result<Option<Table>, ReadError> {
        let Some(section) = self.section(name) else { return Ok(None) };
        let mut table = Table { fields: section.fields.clone(), rows: Vec::new() };
        if worker < section.instances {
            self.add(&mut table, section, worker)?;
        }
        Ok(Some(table))
    }

    /// How often names were written: they are others when this is another number.
    pub fn generation(&self) -> u64 {
        let section = self.layout.sections.iter().find(|section| section.kind == Kind::Labels);
        section.and_then(|section| self.words(section, 0).first()).map_or(0, Load::load)
    }

    /// All names at this moment.
    ///
    /// # Errors
    ///
    /// When they are damaged, or replaced all the time.
    pub fn labels(&self) -> Result<Labels, ReadError> {
        let Some(section) = self.layout.sections.iter().find(|section| section.kind == Kind::Labels) else {
            return Ok(Labels::default());
        };
        let damaged = |what| self.malformed(Malformed::Damaged { what });
        let words = self.words(section, 0);
        let region = Region::new(words, section.lead / WORD, section.row_len / WORD);
        let region = region.ok_or_else(|| damaged("the place of the names"))?;
        let copy = || region.read().transpose();
        let (generation, words) =
            self.until("names", copy)?.map_err(|_| damaged("the length of the names"))?;
        Labels::decode(generation, &words).map_err(|_| damaged("a name"))
    }

    /// The records of all workers: those that are there, and then those that come. What was overwritten before counts
    /// as lost.
    pub fn records(&self) -> Records {
        self.cursors(|_| Cursor::default())
    }

    /// The records that come from now on.
    pub fn new_records(&self) -> Records {
        self.cursors(|ring| Cursor::at(ring.written()))
    }

    fn cursors(&self, start: impl Fn(&Ring<'_, Seen>) -> Cursor) -> Records {
        let reader = self.clone();
        let section = self.layout.sections.iter().position(|section| section.kind == Kind::Records);
        let workers = section.map_or(0, |section| self.layout.sections[section].instances);
        let cursor = |worker| self.ring(section, worker).map_or(Cursor::default(), |ring| start(&ring));
        let cursors = (0..workers).map(cursor).collect();
        Records { reader, section, cursors, turn: 0 }
    }

    fn ring(&self, section: Option<usize>, worker: usize) -> Option<Ring<'_, Seen>> {
        let section = self.layout.sections.get(section?)?;
        Ring::new(self.words(section, worker), section.lead / WORD, section.row_len / WORD, section.capacity)
    }

    fn add(&self, table: &mut Table, section: &Section, instance: usize) -> Result<(), ReadError> {
        let rows = self.head(section.rows_at).min(section.capacity as u64) as usize;
        let (row_len, words) = (section.row_len / WORD, self.words(section, instance));
        let mut values = vec![0; row_len.saturating_sub(1)];
        table.rows.resize(table.rows.len().max(rows), vec![0; values.len()]);
        let words = words.get(section.lead / WORD..).unwrap_or_default();
        for (row, sum) in words.chunks_exact(row_len).zip(&mut table.rows) {
            // One that was never written is all zeros.
            if row.first().is_some_and(|sequence| sequence.load() == 0) {
                continue;
            }
            self.until("counters", || seqlock::read(row, &mut values).ok())?;
            merge(&table.fields, sum, &values);
        }
        Ok(())
    }

    /// Looks until there is something to be seen.
    fn until<T>(&self, what: &'static str, mut look: impl FnMut() -> Option<T>) -> Result<T, ReadError> {
        // A copy stays as it is.
        let tries = if self.file.is_some() { TRIES } else { (1, 0) };
        let at_once = (0..tries.0).find_map(|_| look());
        let later = || {
            (0..tries.1).find_map(|_| {
                thread::sleep(PAUSE);
                look()
            })
        };
        at_once.or_else(later).ok_or_else(|| ReadError::Busy { path: self.path.clone(), what })
    }

    fn section(&self, name: &str) -> Option<&Section> {
        self.layout.sections.iter().find(|section| section.name == name && section.kind == Kind::Counters)
    }

    fn words(&self, section: &Section, instance: usize) -> &[Seen] {
        let bytes = section.instance(instance);
        self.memory.words().get(bytes.start / WORD..bytes.end / WORD).unwrap_or_default()
    }

    fn head(&self, word: usize) -> u64 {
        self.memory.words().get(word).map(Load::load).unwrap_or_default()
    }

    fn malformed(&self, why: Malformed) -> ReadError {
        ReadError::Malformed { path: self.path.clone(), why }
    }
}

/// Counters, a row for each thing that is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    fields: Vec<Field>,
    /// Each row's words, behind the sequence.
    rows: Vec<Vec<u64>>,
}

impl Table {
    /// How many rows there are.
    pub const fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// What is in a row.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// Field `name` of row `row`; none where there is no such row or field.
    pub fn value(&self, row: usize, name: &str) -> Option<u64> {
        self.values(row, name)?.first().copied()
    }

    /// All values of field `name` of row `row`: as many as the field counts.
    pub fn values(&self, row: usize, name: &str) -> Option<&[u64]> {
        let field = self.fields.iter().find(|field| field.name == name && field.width == WORD)?;
        self.rows.get(row)?.get(words_of(field))
    }

    /// All words of a row, behind the sequence.
    pub fn row(&self, row: usize) -> Option<&[u64]> {
        self.rows.get(row).map(Vec::as_slice)
    }

    /// Which of a row's words are field `name`.
    pub fn place(&self, name: &str) -> Option<Range<usize>> {
        self.fields.iter().find(|field| field.name == name && field.width == WORD).map(words_of)
    }
}

/// The words of `field` among those behind the sequence.
fn words_of(field: &Field) -> Range<usize> {
    let start = field.offset / WORD - 1;
    start..start + field.count
}

/// Adds `values` to `sum`, each field as it is to be.
fn merge(fields: &[Field], sum: &mut [u64], values: &[u64]) {
    for field in fields.iter().filter(|field| field.width == WORD) {
        let words = words_of(field);
        let (Some(sum), Some(values)) = (sum.get_mut(words.clone()), values.get(words)) else { continue };
        for (sum, value) in sum.iter_mut().zip(values) {
            *sum = match field.merge {
                Merge::Sum => sum.wrapping_add(*value),
                Merge::Max => (*sum).max(*value),
                Merge::Apart | Merge::Unknown => *value,
            };
        }
    }
}

/// Where a reader is in the records of each worker. There may be any number of them; the switch knows of none.
#[derive(Clone, Debug)]
pub struct Records {
    reader: Reader,
    section: Option<usize>,
    cursors: Vec<Cursor>,
    turn: usize,
}

/// A record, and where it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Who wrote it.
    pub worker: usize,
    /// Its number among those that the worker wrote, from 0.
    pub number: u64,
    /// What it says.
    pub record: Record,
}

impl Records {
    /// The next record of some worker, each in turn.
    #[expect(clippy::should_implement_trait, reason = "that there is nothing now is not the end")]
    pub fn next(&mut self) -> Next<Found> {
        for _ in 0..self.cursors.len() {
            let worker = self.turn % self.cursors.len();
            self.turn = worker + 1;
            match self.next_of(worker) {
                Next::Nothing => {}
                next => return next,
            }
        }
        Next::Nothing
    }

    /// The next record of `worker`.
    pub fn next_of(&mut self, worker: usize) -> Next<Found> {
        let Some(cursor) = self.cursors.get_mut(worker) else { return Next::Nothing };
        let Some(ring) = self.reader.ring(self.section, worker) else { return Next::Nothing };
        let (mut words, number) = ([0; PAYLOAD], cursor.position());
        match cursor.next(&ring, &mut words) {
            Next::Record(()) => Next::Record(Found { worker, number, record: Record::decode(&words) }),
            Next::Lost(lost) => Next::Lost(lost),
            Next::Nothing => Next::Nothing,
        }
    }

    /// Where it is among each worker's.
    pub fn cursors(&self) -> &[Cursor] {
        &self.cursors
    }

    /// How many records all workers have written.
    pub fn written(&self) -> u64 {
        let written = |worker| self.reader.ring(self.section, worker).map_or(0, |ring| ring.written());
        (0..self.cursors.len()).map(written).fold(0, u64::saturating_add)
    }

    /// How many were read.
    pub fn read(&self) -> u64 {
        self.cursors.iter().map(Cursor::read).fold(0, u64::saturating_add)
    }

    /// How many were overwritten before they were read.
    pub fn lost(&self) -> u64 {
        self.cursors.iter().map(Cursor::lost).fold(0, u64::saturating_add)
    }
}

impl ReadError {
    /// Whether there is no such file.
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// Why a file cannot be read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The system refused.
    #[error("{path}: {source}; the switch has to run, and this user to be allowed to read it", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is not what it should be.
    #[error("{path}: {why}", path = path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: Malformed,
    },
    /// What is to be read is being written whenever it is looked at: its writer has ended in the middle.
    #[error("{path}: {what} are being written all the time; the switch has ended meanwhile", path = path.display())]
    Busy {
        /// The file.
        path: PathBuf,
        /// What is.
        what: &'static str,
    },
}
