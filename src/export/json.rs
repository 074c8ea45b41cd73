//! Flows as JSON: a record a line.

use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::follow::{Event, Follow};
use super::{LOOK, Progress, is_over, say};

/// Writes each record to `out` until told to `stop`, and then what is there.
///
/// # Errors
///
/// When it cannot be written.
pub fn run(
    path: &Path,
    all: bool,
    mut out: impl Write,
    progress: &Progress,
    stop: &AtomicBool,
) -> io::Result<()> {
    let mut follow = Follow::new(path, all);
    loop {
        // Looked at first: what is there when it is told to stop is still written.
        let ends = is_over(stop);
        match follow.next() {
            Event::Record(found) => {
                progress.read.fetch_add(1, Ordering::Relaxed);
                match follow.report(&found) {
                    Ok(Some(flow)) => {
                        serde_json::to_writer(&mut out, &flow)?;
                        out.write_all(b"\n")?;
                        progress.exported.fetch_add(1, Ordering::Relaxed);
                    }
                    Ok(None) => {}
                    Err(error) => say(format_args!("a record is left out: {error}")),
                }
            }
            Event::Lost(lost) => drop(progress.lost.fetch_add(lost, Ordering::Relaxed)),
            Event::Past(_) | Event::Begins => {}
            Event::Nothing => {
                out.flush()?;
                if ends {
                    return Ok(());
                }
                thread::sleep(LOOK);
            }
        }
    }
}

#[cfg(test)]
mod tests;
