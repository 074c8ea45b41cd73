//! The flows of a running switch: the records of its statistics file, with the names of what they are of.
//!
//! Reads on from one file to the next when the switch makes another, and knows how many records it has missed.

pub mod names;

use std::path::{Path, PathBuf};

use crate::report::FlowReport;
use crate::shm::{Found, Next, ReadError, Reader, Records, State};
use names::Names;

/// Follows the records of a switch.
#[derive(Debug)]
pub struct Flows {
    path: PathBuf,
    reader: Reader,
    records: Records,
    names: Names,
    /// Of the files before.
    before: Missed,
}

/// What came of asking for the next record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told<T = Box<FlowReport>> {
    /// A record.
    Flow(T),
    /// So many were overwritten before they were read.
    Lost(u64),
    /// There is none for now.
    Nothing,
    /// There is none, and none will come: the switch has stopped, or was killed.
    Ended,
}

/// How many records were read, and how many missed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Missed {
    /// Read.
    pub read: u64,
    /// Overwritten before they were read.
    pub lost: u64,
}

impl Flows {
    /// Those of the statistics file at `path`: the ones that are there, then those that come; or only these.
    ///
    /// # Errors
    ///
    /// When it can't be read.
    pub fn open(path: &Path, only_new: bool) -> Result<Self, ReadError> {
        let reader = Reader::open(path)?;
        let records = if only_new { reader.new_records() } else { reader.records() };
        let names = Names::new(&reader)?;
        Ok(Self { path: path.to_owned(), reader, records, names, before: Missed::default() })
    }

    /// What comes next. To be asked again after a while when there is nothing.
    ///
    /// # Errors
    ///
    /// When the file can't be read, or the one that the switch goes on in.
    #[expect(clippy::should_implement_trait, reason = "it never ends by itself")]
    pub fn next(&mut self) -> Result<Told, ReadError> {
        Ok(match self.next_record()? {
            Told::Flow(found) => Told::Flow(Box::new(self.report(&found)?)),
            Told::Lost(lost) => Told::Lost(lost),
            Told::Nothing => Told::Nothing,
            Told::Ended => Told::Ended,
        })
    }

    /// A record that was just read, with its names.
    ///
    /// # Errors
    ///
    /// When the names can't be read.
    pub fn report(&mut self, found: &Found) -> Result<FlowReport, ReadError> {
        // Whoever names something new does so before packets of it come.
        self.names.refresh(&self.reader)?;
        Ok(self.names.report(found.worker, &found.record, |tick| self.reader.unix(tick)))
    }

    /// What comes next, as it stands in the file.
    ///
    /// # Errors
    ///
    /// As of [`next`](Self::next).
    pub fn next_record(&mut self) -> Result<Told<Found>, ReadError> {
        // Looked at first: what is written before is there then.
        let (state, is_alive) = (self.reader.state(), self.reader.alive());
        match self.records.next() {
            Next::Record(found) => return Ok(Told::Flow(found)),
            Next::Lost(lost) => return Ok(Told::Lost(lost)),
            Next::Nothing => {}
        }
        match state {
            State::Superseded => {
                let next = match Reader::open(&self.path) {
                    Ok(next) => next,
                    // The switch has ended meanwhile, and taken that file along.
                    Err(error) if error.is_gone() => return Ok(Told::Ended),
                    Err(error) => return Err(error),
                };
                self.before = self.missed();
                self.records = next.records();
                self.names = Names::new(&next)?;
                self.reader = next;
                Ok(Told::Nothing)
            }
            State::Running if is_alive => Ok(Told::Nothing),
            _ => Ok(Told::Ended),
        }
    }

    /// How many records were read so far, and how many missed.
    pub fn missed(&self) -> Missed {
        let Missed { read, lost } = self.before;
        Missed { read: read + self.records.read(), lost: lost + self.records.lost() }
    }

    /// The file that is read now.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }
}

#[cfg(test)]
mod tests;
