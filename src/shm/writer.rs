//! The writing side: the file, which control has, and for each worker what it writes.

use core::num::NonZeroUsize;
use core::sync::atomic::AtomicU64;
use std::fs::{File, Permissions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FallocateFlags, fallocate};
use thiserror::Error;
use weft_pipelines::counters::Sizes;
use weft_pipelines::{Epoch, Tick};

use super::labels::{self, Label, Region, TooMany};
use super::layout::{self, Capacity, Kind, Layout, Section, State, head, section};
use super::map::{Shared, WORD};
use super::word::{Load, Store};
use super::worker::WorkerStats;

/// Who may read the file, besides its owner: the group.
const MODE: u32 = 0o640;
/// Bytes between words of which each makes sure that its page is there.
const PAGE: usize = 4096;

/// What a file is made for.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How many workers there are.
    pub workers: NonZeroUsize,
    /// For how many of each there is room.
    pub capacity: Capacity,
    /// A number that no other run of a switch has.
    pub instance: u64,
    /// The rate of the counter that cycles are counted by.
    pub cycles_per_second: u64,
    /// The configuration that is in force.
    pub epoch: Epoch,
    /// What there is of each now.
    pub sizes: Sizes,
    /// The time.
    pub now: Tick,
    /// The same as nanoseconds of UNIX time.
    pub unix: u64,
}

/// The statistics file, as control has it. When it is dropped, readers are told that it has ended.
#[derive(Debug)]
pub struct StatsFile {
    file: File,
    map: Arc<Shared>,
    layout: Layout,
    capacity: Capacity,
}

impl StatsFile {
    /// Makes a file at `path`, in place of what may be there, and what each worker writes to it.
    ///
    /// All that workers write is reserved on the device and brought into memory first: they never wait for a page, and
    /// never meet a full device. The file belongs into a file system in memory, as `/run` is; on others the kernel
    /// writes pages out, and who writes to them waits meanwhile.
    ///
    /// To make another one in place of a file that has become too small: make it, give the workers theirs, and when
    /// all have taken them call [`superseded`](Self::superseded) on the old one. In the new one a row is all zeros
    /// until its worker has come to it.
    ///
    /// # Errors
    ///
    /// When the system refuses, or there is no room.
    pub fn create(path: &Path, settings: &Settings) -> Result<(Self, Vec<WorkerStats>), StatsError> {
        let failed = |source| StatsError::Io { path: path.to_path_buf(), source };
        let capacity =
            Capacity { records: settings.capacity.records.next_power_of_two().max(2), ..settings.capacity };
        let layout = Layout::new(settings.workers.get(), &capacity);
        let temporary = beside(path);
        let made = (|| {
            let file = new_file(&temporary)?;
            let this = Self::fill(file, layout, capacity, settings)?;
            std::fs::rename(&temporary, path)?;
            Ok(this)
        })();
        if made.is_err() {
            // What went wrong is told; that nothing is left behind is all that is wanted here.
            let _ = std::fs::remove_file(&temporary);
        }
        let this: Self = made.map_err(failed)?;
        let workers = (0..settings.workers.get()).map(|worker| this.worker(worker)).collect();
        Ok((this, workers))
    }

    fn fill(file: File, layout: Layout, capacity: Capacity, settings: &Settings) -> io::Result<Self> {
        let len = layout.file_len();
        // Whatever the umask is.
        file.set_permissions(Permissions::from_mode(MODE))?;
        file.set_len(len as u64)?;
        reserve(&file, 0..layout.header_len())?;
        for section in layout.sections.iter().filter(|section| section.kind != Kind::Labels) {
            reserve(&file, section.range())?;
        }
        let map = Arc::new(Shared::map(&file, len)?);
        for section in layout.sections.iter().filter(|section| section.kind != Kind::Labels) {
            let words = section.range().start / WORD..section.range().end / WORD;
            for word in map.words()[words].iter().step_by(PAGE / WORD) {
                Store::store(word, 0);
            }
        }
        let mut this = Self { file, map, layout, capacity };
        this.write_header(settings);
        this.labels([]).map_err(io::Error::other)?;
        Ok(this)
    }

    fn write_header(&self, settings: &Settings) {
        let layout = &self.layout;
        let tables = layout.tables();
        for (at, word) in self.map.words()[layout::HEADER / WORD..].iter().zip(&tables) {
            Store::store(at, *word);
        }
        let fields: usize = layout.sections.iter().map(|section| section.fields.len()).sum();
        let sections = layout.sections.len();
        for (word, value) in [
            (head::MAGIC, layout::MAGIC),
            (head::BYTE_ORDER, layout::BYTE_ORDER),
            (head::MAJOR, layout::MAJOR),
            (head::MINOR, layout::MINOR),
            (head::HASH, layout::HASH),
            (head::HEADER_LEN, layout.header_len() as u64),
            (head::FILE_LEN, layout.file_len() as u64),
            (head::SECTIONS_AT, layout::HEADER as u64),
            (head::SECTIONS, sections as u64),
            (head::SECTION_LEN, layout::ENTRY as u64),
            (head::FIELDS_AT, (layout::HEADER + sections * layout::ENTRY) as u64),
            (head::FIELDS, fields as u64),
            (head::FIELD_LEN, layout::ENTRY as u64),
            (head::WORKERS, settings.workers.get() as u64),
            (head::PID, std::process::id().into()),
            (head::INSTANCE, settings.instance),
            (head::CYCLES, settings.cycles_per_second),
            (head::STATE, State::Running.code()),
        ] {
            self.set(word, value);
        }
        self.in_force(settings.epoch, settings.sizes);
        self.heartbeat(settings.now, settings.unix);
    }

    fn worker(&self, worker: usize) -> WorkerStats {
        WorkerStats::new(|section| Part::new(&self.map, self.layout.sections.get(section), worker))
    }

    /// Whether there is room for `sizes`.
    pub const fn fits(&self, sizes: Sizes) -> bool {
        self.capacity.fits(sizes)
    }

    /// Says which configuration is in force, and what there is of each.
    pub fn in_force(&self, epoch: Epoch, sizes: Sizes) {
        for (index, section) in self.layout.sections.iter().enumerate() {
            let rows = match index {
                section::PORTS | section::PORT_DROPS => sizes.ports,
                section::TENANTS | section::TENANT_DROPS => sizes.tenants,
                section::TUNNELS => sizes.tunnels,
                section::RULES => sizes.rules,
                section::SERVICE..section::LATENCY => sizes.pairs,
                _ => section.capacity,
            };
            self.set(section.rows_at, rows.min(section.capacity) as u64);
        }
        self.set(head::EPOCH, epoch.0);
    }

    /// Says that the switch lives, at `now`, which is `unix` nanoseconds of UNIX time. To be called some times a second.
    pub fn heartbeat(&self, now: Tick, unix: u64) {
        self.set(head::WALL_CLOCK, unix.wrapping_sub(now.0));
        self.set(head::HEARTBEAT, now.0);
    }

    /// Puts `labels` in place of those that there are; drop reasons and codes need not be among them.
    ///
    /// # Errors
    ///
    /// When they are too many, or the device is full. Those that there are then stay.
    pub fn labels(&mut self, labels: impl IntoIterator<Item = Label>) -> Result<(), LabelsError> {
        let words = labels::encode(Label::fixed().chain(labels));
        let Some(section) = self.layout.sections.get(section::LABELS) else { return Ok(()) };
        let too_many = TooMany { needed: words.len() * WORD, capacity: section.row_len };
        let lead = section.lead / WORD;
        let part = Part::new(&self.map, Some(section), 0);
        let region = Region::new(part.words(), lead, section.row_len / WORD).ok_or(too_many)?;
        if too_many.needed > too_many.capacity {
            return Err(too_many.into());
        }
        let start = section.offset + section.lead + region.next_buffer() * section.row_len;
        reserve(&self.file, section.offset..section.offset + section.lead)?;
        reserve(&self.file, start..start + too_many.needed)?;
        if region.write(&words) { Ok(()) } else { Err(too_many.into()) }
    }

    /// Says that the switch goes on in another file of the same name, which there is already.
    pub fn superseded(self) {
        self.set(head::STATE, State::Superseded.code());
    }

    /// Sets a word of the header, after all that this thread wrote before.
    fn set(&self, word: usize, value: u64) {
        self.map.words()[word].publish(value);
    }
}

impl Drop for StatsFile {
    fn drop(&mut self) {
        if Load::load(&self.map.words()[head::STATE]) == State::Running.code() {
            self.set(head::STATE, State::Ended.code());
        }
    }
}

/// Some words of a file that is mapped.
#[derive(Clone, Debug)]
pub(super) struct Part {
    map: Arc<Shared>,
    range: Range<usize>,
    /// Words before the first row.
    pub lead: usize,
    /// Words of a row.
    pub row: usize,
    /// How many rows fit.
    pub capacity: usize,
}

impl Part {
    /// An instance of `section`; an empty one where there is none.
    fn new(map: &Arc<Shared>, section: Option<&Section>, instance: usize) -> Self {
        let map = map.clone();
        let Some(section) = section else { return Self { map, range: 0..0, lead: 0, row: 0, capacity: 0 } };
        let bytes = section.instance(instance);
        Self {
            map,
            range: bytes.start / WORD..bytes.end / WORD,
            lead: section.lead / WORD,
            row: section.row_len / WORD,
            capacity: section.capacity,
        }
    }

    /// All of them.
    #[inline]
    pub fn words(&self) -> &[AtomicU64] {
        self.map.words().get(self.range.clone()).unwrap_or_default()
    }

    /// Those of row `index`; none where there is no such row.
    #[inline]
    pub fn row(&self, index: usize) -> &[AtomicU64] {
        if index >= self.capacity {
            return &[];
        }
        let start = self.lead + index * self.row;
        self.words().get(start..start + self.row).unwrap_or_default()
    }
}

/// A file beside `path` that no other process takes.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}", std::process::id()));
    path.with_file_name(name)
}

fn new_file(path: &Path) -> io::Result<File> {
    let make = || File::options().read(true).write(true).create_new(true).mode(MODE).open(path);
    match make() {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            // What a process of our number, long gone, has left.
            std::fs::remove_file(path)?;
            make()
        }
        made => made,
    }
}

/// Makes sure that there is room on the device for these bytes: a store to a page that it cannot give would be a
/// `SIGBUS`.
fn reserve(file: &File, bytes: Range<usize>) -> io::Result<()> {
    if bytes.is_empty() {
        return Ok(());
    }
    Ok(fallocate(file, FallocateFlags::empty(), bytes.start as u64, bytes.len() as u64)?)
}

/// Why there is no file.
#[derive(Debug, Error)]
pub enum StatsError {
    /// The system refused.
    #[error("the statistics file {path}: {source}; without it the switch runs, and nothing can be read from there",
        path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Why labels could not be written.
#[derive(Debug, Error)]
pub enum LabelsError {
    /// There are too many.
    #[error(transparent)]
    TooMany(#[from] TooMany),
    /// The system refused.
    #[error("the names in the statistics file: {0}; make room on its device")]
    Io(#[from] io::Error),
}
