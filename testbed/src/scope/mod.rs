//! Owned resources: each is undone when its value is dropped, and, should the lab be interrupted before that, by the
//! ledger's signal handler.

mod ledger;
mod namespace;
mod process;
mod setting;
mod sweep;
mod wait;
mod workdir;

pub use namespace::Namespace;
pub use process::{Exit, Process, Spawn};
pub use setting::Setting;
pub use sweep::sweep;
pub use wait::{Watch, wait_for};
pub use workdir::WorkDir;

/// Whether this process may make network namespaces and raw sockets.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
