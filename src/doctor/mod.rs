//! What keeps a switch from starting on this machine, or from being fast there, and what mends it.
//!
//! Nothing here changes the machine. All that is looked at is below the root of a [`Probe`], so that tests
//! can build machines of any kind in a folder.

mod cores;
mod devices;
mod document;
mod dpdk;
#[cfg(test)]
mod fake;
mod limits;
mod memory;
mod probe;
mod processor;
mod sockets;
mod vdevs;

use std::path::PathBuf;

use serde::Serialize;

pub use crate::config::checked::Hugepages;
pub use document::{CheckDocument, Wants, document_findings};
pub use probe::Probe;

/// All findings about a machine, in the order in which a reader wants them.
pub fn examine(case: &Case) -> Vec<Finding> {
    const CHECKS: [fn(&Case) -> Vec<Finding>; 8] = [
        dpdk::check,
        processor::check,
        cores::check,
        memory::check,
        devices::check,
        vdevs::check,
        limits::check,
        sockets::check,
    ];
    CHECKS.iter().flat_map(|check| check(case)).collect()
}

/// Whether `weft run` would start: no finding is an error.
pub fn would_start(findings: &[Finding]) -> bool {
    findings.iter().all(|finding| finding.level < Level::Error)
}

/// What is examined.
#[derive(Clone, Debug)]
pub struct Case {
    /// The machine.
    pub probe: Probe,
    /// The program that would run.
    pub build: Build,
    /// The host whose switch would run, where it is known.
    pub host: Option<String>,
    /// What the document wants of the machine, where there is one.
    pub wants: Option<Wants>,
    /// The folder of the switches' sockets, or why there is none.
    pub runtime_dir: PathBuf,
}

impl Case {
    /// What the document wants; nothing where there is none.
    fn wants(&self) -> Wants {
        self.wants.clone().unwrap_or_default()
    }
}

/// How a program was built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Build {
    /// With DPDK, so that it can run a switch: how many ports a process may have. `None` without DPDK.
    pub dpdk: Option<Room>,
    /// For processors of the level x86-64-v3 (Haswell, Zen) and newer.
    pub x86_64_v3: bool,
}

/// How many ports DPDK has room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// On devices.
    pub devices: usize,
    /// On guests' sockets.
    pub sockets: usize,
}

impl Build {
    /// How this program was built.
    pub const fn of_this_program() -> Self {
        Self {
            #[cfg(feature = "dpdk")]
            dpdk: Some(Room { devices: crate::dpdk::MAX_DEVICES, sockets: crate::dpdk::MAX_SOCKETS }),
            #[cfg(not(feature = "dpdk"))]
            dpdk: None,
            x86_64_v3: cfg!(all(target_arch = "x86_64", target_feature = "avx2")),
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at, in a word: `hugepages`.
    pub check: &'static str,
    /// What it means for `weft run`.
    pub level: Level,
    /// What was seen.
    pub seen: String,
    /// The command, or else the words, that mends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mend: Option<String>,
}

impl Finding {
    /// All is well.
    pub fn ok(check: &'static str, seen: impl Into<String>) -> Self {
        Self { check, level: Level::Ok, seen: seen.into(), mend: None }
    }

    /// Good to know.
    pub fn note(check: &'static str, seen: impl Into<String>) -> Self {
        Self { check, level: Level::Note, seen: seen.into(), mend: None }
    }

    /// It would run, slower or less well than it could.
    pub fn warning(check: &'static str, seen: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { check, level: Level::Warning, seen: seen.into(), mend: Some(mend.into()) }
    }

    /// It would not start.
    pub fn error(check: &'static str, seen: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { check, level: Level::Error, seen: seen.into(), mend: Some(mend.into()) }
    }
}

/// What a finding means for `weft run`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// All is well.
    Ok,
    /// Good to know.
    Note,
    /// It would run, slower or less well than it could.
    Warning,
    /// It would not start.
    Error,
}

#[cfg(test)]
mod tests {
    use super::fake::{Fake, case};
    use super::*;

    #[test]
    fn a_good_machine_has_nothing_to_mend() {
        let fake = Fake::healthy();
        let findings = examine(&case(&fake, Some(fake.wants())));
        let bad: Vec<_> = findings.iter().filter(|finding| finding.level > Level::Note).collect();
        assert!(bad.is_empty(), "{bad:#?}");
        assert!(would_start(&findings));
    }

    #[test]
    fn an_empty_machine_is_examined_without_a_crash() {
        let fake = Fake::empty();
        let findings = examine(&case(&fake, Some(fake.wants())));
        assert!(!would_start(&findings));
        assert!(findings.iter().all(|finding| finding.level <= Level::Note || finding.mend.is_some()));
    }

    #[test]
    fn warnings_do_not_keep_it_from_starting() {
        assert!(would_start(&[Finding::ok("a", ""), Finding::warning("b", "", "")]));
        assert!(!would_start(&[Finding::error("c", "", ""), Finding::ok("d", "")]));
    }
}
