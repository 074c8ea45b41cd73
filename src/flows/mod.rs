//! The flows of a running switch: the records of its statistics file, with the names of what they are of.
//!
//! Reads on from one file to the next when the switch makes another, and knows how many records it has missed.

pub mod names;

use std::path::{Path, PathBuf};

use crate::report::FlowReport;
use crate::shm::{Next, ReadError, Reader, Records, State};
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
pub enum Told {
    /// A record.
    Flow(Box<FlowReport>),
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
        // Looked at first: what is written before is there then.
        let (state, is_alive) = (self.reader.state(), self.reader.alive());
        match self.records.next() {
            Next::Record(found) => {
                // Whoever names something new does so before packets of it come.
                self.names.refresh(&self.reader)?;
                let told = self.names.report(&self.reader, &found);
                return Ok(Told::Flow(Box::new(told)));
            }
            Next::Lost(lost) => return Ok(Told::Lost(lost)),
            Next::Nothing => {}
        }
        match state {
            State::Superseded => {
                let next = Reader::open(&self.path)?;
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
