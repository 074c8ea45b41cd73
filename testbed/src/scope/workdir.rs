//! A directory for one lab, with a path short enough for the unix sockets within.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use super::ledger::{Held, Resource};
use super::sweep;
use crate::Result;
use crate::error::Doing;

/// A directory of its own, removed with all that is in it when dropped.
#[derive(Debug)]
pub struct WorkDir {
    path: PathBuf,
    _held: Held,
}

impl WorkDir {
    /// Makes `/tmp/wt-PID-N` (or below `$WEFT_LAB_DIR`). A unix socket's path may have 107 bytes; this leaves some 90.
    pub fn new() -> Result<Self> {
        sweep();
        let make = || {
            let path = root().join(unique());
            fs::DirBuilder::new().mode(0o755).create(&path).doing(|| format!("making {}", path.display()))?;
            Ok((path.clone(), Resource::Directory(path)))
        };
        let (path, held) = Held::acquire(make)?;
        Ok(Self { path, _held: held })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of something within.
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }
}

/// Where the labs of this machine keep their directories.
pub(super) fn root() -> PathBuf {
    std::env::var_os("WEFT_LAB_DIR").map_or_else(|| PathBuf::from("/tmp"), PathBuf::from)
}

/// A name no other resource of this machine has: `wt-PID-N`. The sweep reads the process id out of it.
pub(super) fn unique() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{PREFIX}{}-{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// How the names of a lab's resources begin.
pub(super) const PREFIX: &str = "wt-";
