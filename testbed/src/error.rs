//! What can go wrong in a lab, said so that the message alone is enough to start looking.

use std::io;
use std::time::Duration;

/// The result of most of what a lab does.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a lab could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused.
    #[error("{what}: {source}")]
    Io {
        /// What was being done, and to what.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// Something awaited did not happen.
    #[error("waited {} s for {what}, in vain{}", .waited.as_secs_f32(), indented(.detail))]
    TimedOut {
        /// What was awaited.
        what: String,
        /// For how long.
        waited: Duration,
        /// The last that is known of it: the end of a log, say.
        detail: String,
    },
    /// A command, a process or a guest did something other than what was wanted.
    #[error("{what}{}", indented(.detail))]
    Failed {
        /// What failed.
        what: String,
        /// The last that is known of it.
        detail: String,
    },
    /// It can only be done by root.
    #[error("{0} needs root")]
    NeedsRoot(String),
}

impl Error {
    /// A failure with its particulars; `detail` may be empty.
    pub fn failed(what: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::Failed { what: what.into(), detail: detail.into() }
    }
}

/// Says what was being done when the system refused.
pub(crate) trait Doing<T> {
    /// The result, with the error told apart by what was being done.
    fn doing(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<io::Error>> Doing<T> for Result<T, E> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| Error::Io { what: what(), source: source.into() })
    }
}

fn indented(detail: &str) -> String {
    if detail.is_empty() {
        String::new()
    } else {
        format!("\n    {}", detail.trim_end().replace('\n', "\n    "))
    }
}
