//! The commands.

pub mod apply;
pub mod capture;
pub mod check;
pub mod doctor;
pub mod explain;
pub mod export;
pub mod flows;
mod incoming;
pub mod plan;
pub mod replay;
#[cfg(feature = "dpdk")]
pub mod run;
pub mod schema;
pub mod show;
pub mod suggest;
pub mod test;
pub mod top;
pub mod trace;

use std::fmt;
use std::io::{self, Write};

use serde::Serialize;

/// Says something on standard error, line by line as it is. That nobody reads it is no reason to end.
fn say(what: impl fmt::Display) {
    let _ = write!(io::stderr(), "{what}");
}

/// Prints a command's answer. A reader that has seen enough, `head` say, is no failure.
fn print(text: &str) -> io::Result<()> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        printed => printed,
    }
}

/// A command's answer as JSON.
fn json(answer: &impl Serialize) -> serde_json::Result<String> {
    Ok(serde_json::to_string_pretty(answer)? + "\n")
}
