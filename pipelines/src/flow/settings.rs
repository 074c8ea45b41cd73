//! What can be set of sessions.

use super::state::Timeouts;

/// How sessions are kept, on the whole host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long they last without packets.
    pub timeouts: Timeouts,
    /// What happens to TCP segments outside the window.
    pub tcp: Tracking,
    /// Whether a TCP connection that is first seen in mid-stream is taken up.
    pub pick_up: bool,
    /// How many sessions a worker has room for, of each family.
    pub capacity: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { timeouts: Timeouts::default(), tcp: Tracking::Strict, pick_up: true, capacity: 1 << 18 }
    }
}

/// What happens to TCP segments outside the window. Neither changes a session's state or keeps it alive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tracking {
    /// They are dropped.
    #[default]
    Strict,
    /// They pass.
    Liberal,
}

/// What one port may take of its worker's sessions, of each family.
///
/// A session counts for the guest that opened it, if that is of this worker, else for the guest that it is opened to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Sessions.
    pub sessions: u32,
    /// Of these, those that nobody has answered yet. One more takes the place of the port's oldest.
    pub embryonic: u32,
    /// Sessions that may be opened in a second, in each direction (by the guest, and to it). 0: any number.
    pub rate: u32,
    /// Sessions that may be opened at once after silence.
    pub burst: u32,
}

impl Default for Limits {
    /// No more than the table itself has.
    fn default() -> Self {
        Self { sessions: u32::MAX, embryonic: u32::MAX, rate: 0, burst: 0 }
    }
}
