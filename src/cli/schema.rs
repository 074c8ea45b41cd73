//! `weft schema`: the form of the document, for editors and other checkers.

use std::io::Write;
use std::process::ExitCode;

use crate::config;

/// Prints the JSON schema (draft 2020-12) of the fabric's document.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Prints it on standard output.
pub fn run(_: Args) -> ExitCode {
    // A reader that has seen enough, as `head`, is no error.
    let _ = writeln!(std::io::stdout(), "{:#}", config::schema());
    ExitCode::SUCCESS
}
