//! The statistics file of a running switch: made, kept true, and given its names.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use tracing::warn;
use weft_pipelines::Tick;

use super::compile::Compiled;
use super::labels::labels;
use crate::config::checked::Fabric;
use crate::shm::{Capacity, Settings, StatsError, StatsFile, WorkerStats};

/// The statistics file of a running switch. When it is dropped the file is removed: who has it open reads on until there is
/// nothing more.
pub struct Stats {
    /// Taken when it goes on in another.
    file: Option<StatsFile>,
    path: PathBuf,
}

impl Stats {
    /// Makes the file at `path` for so many workers. Returns what each of them writes to as well.
    ///
    /// # Errors
    ///
    /// When the system refuses.
    pub fn create(
        path: PathBuf,
        (fabric, compiled): (&Fabric, &Compiled),
        workers: usize,
        cycles_per_second: u64,
        now: Tick,
    ) -> Result<(Self, Vec<WorkerStats>), StatsError> {
        let sizes = compiled.snapshot.sizes();
        let unix = unix();
        let settings = Settings {
            workers: NonZeroUsize::new(workers).unwrap_or(NonZeroUsize::MIN),
            capacity: Capacity::of(sizes),
            // No switch starts twice in a nanosecond, nor two with one process number.
            instance: unix.wrapping_sub(now.0) ^ u64::from(std::process::id()) << 40,
            cycles_per_second,
            epoch: compiled.snapshot.epoch,
            sizes,
            now,
            unix,
        };
        let (file, exports) = StatsFile::create(&path, &settings)?;
        let mut stats = Self { file: Some(file), path };
        stats.in_force(fabric, compiled);
        Ok((stats, exports))
    }

    /// Whether there is room for all that `compiled` has.
    pub fn fits(&self, compiled: &Compiled) -> bool {
        self.file.as_ref().is_some_and(|file| file.fits(compiled.snapshot.sizes()))
    }

    /// Takes up what is in force: how many there are of each, and what they are called.
    pub fn in_force(&mut self, fabric: &Fabric, compiled: &Compiled) {
        let Some(file) = &mut self.file else { return };
        file.in_force(compiled.snapshot.epoch, compiled.snapshot.sizes());
        if let Err(error) = file.labels(labels(fabric, compiled)) {
            warn!(file = %self.path.display(), "{error}; the names in it are those of before");
        }
    }

    /// Says that the switch lives.
    pub fn show_life(&self, now: Tick) {
        if let Some(file) = &self.file {
            file.heartbeat(now, unix());
        }
    }

    /// Says that the switch goes on in another file of the same name.
    pub fn superseded(mut self) {
        if let Some(file) = self.file.take() {
            file.superseded();
        }
    }
}

impl Drop for Stats {
    fn drop(&mut self) {
        // One that goes on in another has left its name to that.
        if self.file.take().is_some()
            && let Err(error) = std::fs::remove_file(&self.path)
        {
            warn!(file = %self.path.display(), "{error}; remove it");
        }
    }
}

/// Nanoseconds of UNIX time.
fn unix() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
