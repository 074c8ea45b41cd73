//! The records of a switch that may end and come back.

use std::path::{Path, PathBuf};

use super::{say, unix};
use crate::flows::{Flows, Told};
use crate::report::FlowReport;
use crate::shm::{Found, ReadError, Reader, State};

/// A heartbeat that is older, of a process that is not seen, says that the switch has ended.
const STALE_NS: u64 = 10_000_000_000;

/// Follows the records of the switch of one place, whichever run of it.
#[derive(Debug)]
pub struct Follow {
    path: PathBuf,
    now: Option<Run>,
    /// The run that has ended: its file may stay behind.
    ended: Option<u64>,
    /// Whether it was said that there is none.
    waits: bool,
    /// Whether records of before the start count as any other.
    all: bool,
    /// When this began, in nanoseconds of UNIX time.
    since: u64,
    is_first: bool,
}

/// A run of the switch.
#[derive(Debug)]
struct Run {
    flows: Flows,
    instance: u64,
    pid: u64,
    /// How many records each worker had written before this began.
    past: Vec<u64>,
    /// Whether records of before have not all been seen.
    is_in_past: bool,
    /// Flows of before this moment, in nanoseconds of UNIX time, are of the past.
    since: Option<u64>,
    was_seen: bool,
}

/// What came of asking for the next record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A record.
    Record(Found),
    /// One that was there before this began, or is of a flow of before that.
    Past(Found),
    /// So many were overwritten before they were read.
    Lost(u64),
    /// There is none for now.
    Nothing,
    /// Another run of the switch begins: flows are others.
    Begins,
}

impl Follow {
    /// That of the statistics file at `path`, which need not be there yet. Records that are there are of the past, unless
    /// `all` count.
    pub fn new(path: &Path, all: bool) -> Self {
        let path = path.to_owned();
        Self { path, now: None, ended: None, waits: false, all, since: unix(), is_first: true }
    }

    /// What comes next. To be asked again after a while when there is nothing.
    #[expect(clippy::should_implement_trait, reason = "it never ends")]
    pub fn next(&mut self) -> Event {
        let Some(run) = &mut self.now else { return self.open() };
        match run.flows.next_record() {
            Ok(Told::Flow(found)) => {
                let is_past = run.past.get(found.worker).is_some_and(|past| found.number < *past);
                run.is_in_past &= is_past;
                return if is_past { Event::Past(found) } else { Event::Record(found) };
            }
            // Nobody has missed what was overwritten before this began.
            Ok(Told::Lost(lost)) => return Event::Lost(if run.is_in_past { 0 } else { lost }),
            Ok(Told::Nothing | Told::Ended) => run.is_in_past = false,
            // The file in which it goes on has gone meanwhile, or is being made.
            Err(error) => self.wait(&error.to_string()),
        }
        self.look()
    }

    /// The file that is read now.
    pub fn reader(&self) -> Option<&Reader> {
        self.now.as_ref().map(|run| run.flows.reader())
    }

    /// A record that was just read, with its names.
    ///
    /// # Errors
    ///
    /// When the names can't be read.
    pub fn report(&mut self, found: &Found) -> Result<Option<FlowReport>, ReadError> {
        self.now.as_mut().map(|run| run.flows.report(found)).transpose()
    }

    /// When this began, in nanoseconds of UNIX time, if flows of before that are of the past.
    pub fn since(&self) -> Option<u64> {
        self.now.as_ref().and_then(|run| run.since)
    }

    /// Sees whether the run goes on.
    fn look(&mut self) -> Event {
        let Some(run) = &mut self.now else { return Event::Nothing };
        let reader = run.flows.reader();
        if reader.instance() != run.instance {
            (run.instance, run.past) = (reader.instance(), Vec::new());
            if reader.pid() != run.pid {
                (run.pid, run.since) = (reader.pid(), None);
                self.waits = false;
                return Event::Begins;
            }
        }
        let is_stale = || reader.unix(reader.heartbeat()).saturating_add(STALE_NS) < unix();
        let has_ended = match reader.state() {
            State::Running if reader.alive() => {
                run.was_seen = true;
                false
            }
            // A process of another PID namespace is never seen.
            State::Running => run.was_seen || is_stale(),
            State::Superseded => false,
            State::Ended | State::Unknown => true,
        };
        if has_ended {
            self.ended = Some(run.instance);
            self.now = None;
            self.wait("the switch has ended");
        }
        Event::Nothing
    }

    fn open(&mut self) -> Event {
        let opened = Reader::open(&self.path).and_then(|reader| {
            if self.ended == Some(reader.instance()) {
                return Ok(None);
            }
            // What is written after this look is no past.
            let past = reader.new_records().cursors().iter().map(|cursor| cursor.position()).collect();
            Flows::open(&self.path, false).map(|flows| Some((flows, past)))
        });
        let (flows, past): (_, Vec<u64>) = match opened {
            Ok(Some(opened)) => opened,
            Ok(None) => return Event::Nothing,
            Err(error) => {
                self.is_first = false;
                self.wait(&error.to_string());
                return Event::Nothing;
            }
        };
        let is_in_past = self.is_first && !self.all;
        let past = if is_in_past { past } else { Vec::new() };
        let since = is_in_past.then_some(self.since);
        let (instance, pid) = (flows.reader().instance(), flows.reader().pid());
        if self.waits {
            say(format_args!("the switch is there: {}", self.path.display()));
        }
        (self.waits, self.is_first) = (false, false);
        self.now = Some(Run { flows, instance, pid, past, is_in_past, since, was_seen: false });
        Event::Begins
    }

    /// Says once that there is nothing to read.
    fn wait(&mut self, why: &str) {
        if !self.waits {
            say(format_args!("{why}; waiting for it"));
        }
        self.waits = true;
    }
}

#[cfg(test)]
mod tests;
