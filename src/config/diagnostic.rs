//! What is wrong with a document, and where.

use std::cell::RefCell;
use std::fmt;

/// Everything that was found in one document, in the order of the document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnostics {
    /// The document's name, as its messages show it: mostly a file's path.
    pub source: String,
    /// The findings.
    pub list: Vec<Diagnostic>,
}

impl Diagnostics {
    /// One error about the document as a whole, as "no such file".
    pub fn whole(source: &str, message: impl Into<String>) -> Self {
        let finding = Diagnostic { at: None, severity: Severity::Error, message: message.into() };
        Self { source: source.to_owned(), list: vec![finding] }
    }

    /// Whether one of the findings forbids the use of the document.
    pub fn has_errors(&self) -> bool {
        self.list.iter().any(|finding| finding.severity == Severity::Error)
    }
}

/// One line a finding: `fabric.yaml:12:7: error: ...`.
impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Diagnostic { at, severity, message } in &self.list {
            match at {
                Some(at) => writeln!(f, "{}:{at}: {severity}: {message}", self.source)?,
                None => writeln!(f, "{}: {severity}: {message}", self.source)?,
            }
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Diagnostic {
    /// Where; `None` is the document as a whole.
    pub at: Option<Location>,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong and what would be right, in one line.
    pub message: String,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The document is refused.
    Error,
    /// The document is used, but does perhaps not what was meant.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// A place in a document.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location {
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// Where something checked came from. It takes no part in comparing: what only moved within its document is equal.
#[derive(Clone, Copy, Debug, Default)]
pub struct At(pub Location);

impl PartialEq for At {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for At {}

/// Where findings are put while a document is read and checked.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    list: RefCell<Vec<Diagnostic>>,
}

impl Notes {
    /// More findings than this do not help; the rest is counted.
    const MOST: usize = 1000;

    pub(crate) fn error(&self, at: Location, message: impl Into<String>) {
        self.add(at, Severity::Error, message.into());
    }

    pub(super) fn warn(&self, at: Location, message: impl Into<String>) {
        self.add(at, Severity::Warning, message.into());
    }

    fn add(&self, at: Location, severity: Severity, message: String) {
        self.list.borrow_mut().push(Diagnostic { at: Some(at), severity, message });
    }

    /// The findings, sorted by place.
    pub(super) fn finish(self, source: &str) -> Diagnostics {
        let mut list = self.list.into_inner();
        // Where both stand, errors are not crowded out by warnings.
        list.sort_by(|a, b| (a.severity, a).cmp(&(b.severity, b)));
        list.dedup();
        let left_out = list.len().saturating_sub(Self::MOST);
        list.truncate(Self::MOST);
        list.sort();
        if left_out > 0 {
            let severity = if list.iter().any(|f| f.severity == Severity::Error) {
                Severity::Error
            } else {
                Severity::Warning
            };
            list.push(Diagnostic { at: None, severity, message: format!("{left_out} more are not shown") });
        }
        Diagnostics { source: source.to_owned(), list }
    }
}
