//! Flows as IPFIX (RFC 7011): bidirectional (RFC 5103), counted since the last record of each.
//!
//! A message waits until its collector is there, and with it all that follows stays in the switch's memory. So nothing is
//! sent twice, and nothing is lost but what was on its way, or overwritten in the switch's memory meanwhile: of these
//! records the next one of the same flow says the same.

mod collector;
mod deltas;
mod encode;

pub use collector::{Collector, ParseError};
pub use deltas::{Delta, Deltas};
pub use encode::{Batch, LEAST, Name};

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::follow::{Event, Follow};
use super::{LOOK, Progress, is_over, unix};
use crate::shm::record::{End, Kind, Record};
use crate::shm::{Found, Reader, What};
use collector::Session;

/// How many flows it is remembered of what was told, unless said otherwise: some 100 MiB.
pub const FLOWS: usize = 1 << 20;

/// What an exporter is to do.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where to.
    pub collector: Collector,
    /// The observation domain.
    pub domain: u32,
    /// Bytes of a packet, with IP's and UDP's headers.
    pub mtu: usize,
    /// Whether records that are there already are exported.
    pub all: bool,
}

/// Exports until told to `stop`, and then what is there, if the collector is.
pub fn run(path: &Path, settings: Settings, progress: &Progress, stop: &AtomicBool) {
    let mut exporter = Exporter {
        follow: Follow::new(path, settings.all),
        deltas: Deltas::new(FLOWS),
        batch: Batch::new(settings.mtu),
        session: Session::new(settings.collector, settings.domain),
        generation: None,
    };
    loop {
        // Looked at first: what is there when it is told to stop is still sent.
        let ends = is_over(stop);
        if !exporter.session.is_ready() {
            if ends {
                return;
            }
            thread::sleep(LOOK);
            continue;
        }
        let sent = match exporter.follow.next() {
            Event::Record(found) => {
                progress.read.fetch_add(1, Ordering::Relaxed);
                exporter.record(&found, progress, stop)
            }
            Event::Past(found) => {
                exporter.deltas.passed(&found.record);
                true
            }
            Event::Lost(lost) => {
                progress.lost.fetch_add(lost, Ordering::Relaxed);
                true
            }
            Event::Begins => {
                exporter.begin();
                true
            }
            Event::Nothing => {
                let sent = exporter.flush(progress, stop);
                if ends {
                    return;
                }
                thread::sleep(LOOK);
                sent
            }
        };
        if !sent {
            return;
        }
    }
}

struct Exporter {
    follow: Follow,
    deltas: Deltas,
    batch: Batch,
    session: Session,
    /// Of the names that were sent last, and in which session.
    generation: Option<(u64, u64)>,
}

impl Exporter {
    /// Another run of the switch: its flows and names are others.
    fn begin(&mut self) {
        self.deltas.clear();
        self.generation = None;
    }

    /// Takes up a record; whether to go on.
    fn record(&mut self, found: &Found, progress: &Progress, stop: &AtomicBool) -> bool {
        let Some(reader) = self.follow.reader() else { return true };
        let record = &found.record;
        let (base, since) = (reader.unix(weft_pipelines::Tick(0)), self.follow.since());
        let delta = if record.end == End::Denied {
            Some(Delta::of_denied(record))
        } else {
            // What began before this did is counted from where it is first met.
            let is_past = since.is_some_and(|since| reader.unix(record.started) < since);
            self.deltas.take(record, is_past)
        };
        let Some(delta) = delta.filter(|delta| record.kind == Kind::End || !delta.is_nothing()) else {
            return true;
        };
        if self.batch.push(record, &delta, base) {
            return true;
        }
        let sent = self.flush(progress, stop);
        let pushed = self.batch.push(record, &delta, base);
        debug_assert!(pushed, "a record fits an empty message");
        sent
    }

    /// Sends what is gathered, however long that takes; whether to go on.
    fn flush(&mut self, progress: &Progress, stop: &AtomicBool) -> bool {
        let records = self.batch.records();
        if records == 0 {
            return true;
        }
        let now = || (unix() / 1_000_000_000) as u32;
        while !self.send_names(now()) || !self.session.send(&self.batch, now()) {
            if is_over(stop) {
                return false;
            }
            while !self.session.is_ready() {
                if is_over(stop) {
                    return false;
                }
                thread::sleep(LOOK);
            }
        }
        progress.exported.fetch_add(u64::from(records), Ordering::Relaxed);
        self.batch.clear();
        true
    }

    /// Sends what tenants and ports are called, where the collector has not heard it; whether that worked.
    fn send_names(&mut self, now: u32) -> bool {
        let Some(reader) = self.follow.reader() else { return true };
        let current = (reader.generation(), self.session.announced());
        if self.generation == Some(current) {
            return true;
        }
        for batch in names(reader, self.batch.len()) {
            if !self.session.send(&batch, now) {
                return false;
            }
        }
        self.generation = Some(current);
        true
    }
}

/// The names of tenants and ports, in messages.
fn names(reader: &Reader, len: usize) -> Vec<Batch> {
    // Names that are damaged are names that are not sent.
    let labels = reader.labels().unwrap_or_default();
    let tenants = labels.iter_of(What::Tenant).map(|(_, id, name)| Name::Tenant(id, name));
    let ports = labels.iter_of(What::Port).map(|(_, id, name)| Name::Port(id, name));
    let mut batches = vec![Batch::of_len(len)];
    for name in tenants.chain(ports) {
        let last = batches.len() - 1;
        if !batches[last].push_name(&name) {
            let mut next = Batch::of_len(len);
            next.push_name(&name);
            batches.push(next);
        }
    }
    batches.retain(|batch| batch.records() > 0);
    batches
}

/// Why a flow is told of (flowEndReason, IANA's element 136).
const fn end_reason(record: &Record) -> u8 {
    match record.end {
        // Idle.
        End::TimedOut => 1,
        // It goes on.
        End::Open | End::Unknown => 2,
        // Seen to end.
        End::Closed | End::Reset | End::Reused => 3,
        // Ended from outside.
        End::Denied | End::Revoked | End::PortGone | End::Stopped => 4,
        // Lack of resources.
        End::Evicted => 5,
    }
}

/// What policy did (firewallEvent, IANA's element 233).
const fn firewall_event(record: &Record) -> u8 {
    match (record.end, record.kind) {
        (End::Denied | End::Revoked, _) => 3,
        (_, Kind::Start) => 1,
        (_, Kind::End) => 2,
        (_, Kind::Verdict) => 4,
        _ => 5,
    }
}

#[cfg(test)]
mod tests;
