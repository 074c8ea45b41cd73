//! `weft apply`: puts a document in force on a running switch.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use super::plan::{ask, changes, plural, with_document};
use super::show::Target;
use crate::report::Applied;

/// Puts a document in force on a running switch: whole, without a packet lost, or not at all.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The document.
    #[arg(value_name = "FABRIC")]
    pub fabric: PathBuf,
    #[command(flatten)]
    at: Target,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Sends the document to the switch, and prints what has changed.
///
/// Exits with 2 when the document is wrong, and with 1 when the switch refuses it, or is not reached.
pub fn run(args: Args) -> ExitCode {
    with_document(&args.fabric, |text| {
        let applied = ask(&args.at, async |client| client.apply(text).await)?;
        super::print(&if args.json { super::json(&applied)? } else { render(&applied) })?;
        Ok(ExitCode::SUCCESS)
    })
}

fn render(applied: &Applied) -> String {
    let Applied { host, epoch, changes: list, times } = applied;
    let live = milliseconds(times.live_ns());
    let parts = [
        ("compiled", times.compile_ns),
        ("ports opened", times.open_ns),
        ("taken up by the workers", times.publish_ns),
    ];
    let parts = parts.iter().filter(|(_, time)| *time > 0);
    let parts: Vec<String> = parts.map(|(what, time)| format!("{what} {}", milliseconds(*time))).collect();
    let count = list.len();
    let read = milliseconds(times.read_ns);
    format!(
        "{host}: in force (epoch {epoch}), with {count} change{}\n{}read in {read}, then live in {live} ({})\n",
        plural(count as u64),
        changes(list),
        parts.join(", ")
    )
}

fn milliseconds(nanoseconds: u64) -> String {
    format!("{:.1} ms", Duration::from_nanos(nanoseconds).as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples;

    #[test]
    fn what_was_done() {
        insta::assert_snapshot!(render(&samples::applied()));
    }
}
