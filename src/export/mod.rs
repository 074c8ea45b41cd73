//! What a switch counts and tells, for the systems that keep such things: metrics by HTTP and
//! OTLP, and flows as JSON and IPFIX.
//!
//! All of it is read from the switch's statistics file, of which there may be any number of readers; the switch knows of
//! none. Each exporter has a thread and a place among the records of its own, so one that has to wait holds up no other.
//! What it has to wait with stays in the switch's memory until it is overwritten there: no queue is kept here.

pub mod follow;
pub mod http;
pub mod ipfix;
pub mod json;
pub mod metrics;
pub mod otlp;
pub mod text;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Between two looks where there is nothing new.
const LOOK: Duration = Duration::from_millis(20);

/// How far one exporter of flows has come.
#[derive(Debug)]
pub struct Progress {
    /// Its name.
    pub name: &'static str,
    /// Records read.
    pub read: AtomicU64,
    /// Records overwritten before they were read.
    pub lost: AtomicU64,
    /// Records exported.
    pub exported: AtomicU64,
}

impl Progress {
    /// That of an exporter which has not begun.
    pub const fn new(name: &'static str) -> Self {
        Self { name, read: AtomicU64::new(0), lost: AtomicU64::new(0), exported: AtomicU64::new(0) }
    }
}

/// Says on standard error what whoever runs the exporter should know. What several exporters have to say of the switch
/// stands there once.
fn say(what: impl std::fmt::Display) {
    use std::io::Write;
    static LAST: Mutex<String> = Mutex::new(String::new());
    let (text, mut last) = (what.to_string(), LAST.lock().unwrap_or_else(PoisonError::into_inner));
    if *last != text {
        // That nobody reads it is no reason to end.
        let _ = writeln!(std::io::stderr(), "weft: {text}");
        *last = text;
    }
}

/// Whether the exporters are to end.
fn is_over(stop: &AtomicBool) -> bool {
    stop.load(Ordering::Relaxed)
}

/// Nanoseconds of UNIX time.
fn unix() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
