//! What a switch tells whoever may read its memory: counters, names, and a record of every flow.
//!
//! A running switch keeps one file, `stats`, in its host's runtime folder. It writes there without looking who reads;
//! readers map the file read-only and need no help of the switch. Control makes the file and writes the names
//! ([`StatsFile`]); each worker writes its own counters and records ([`WorkerStats`]); [`Reader`] reads. Programs in
//! other languages find what they need in the file's own tables ([`layout`]), or in `weft_stats.h`.
//!
//! - Counters are rows of words with a sequence ([`seqlock`]): a worker writes some at a time, a reader sees each row
//!   whole. Rows of one port are not of one moment; each says when it was written.
//! - Records overwrite each other in a ring for each worker ([`ring`]). Who reads too slowly knows how many it missed;
//!   as records count from a session's start, only freshness is lost.
//! - Names are written by control when the configuration changes ([`labels`]).
//!
//! What a worker writes is reserved when the file is made, for a store to a page that a full device cannot give would
//! end the switch. When more is needed than there is room for, another file is made in its place, and the old one says
//! so: a reader that sees [`State::Superseded`] reads on in the old one until there is
//! nothing more, and opens the new one. A switch that ends says so too; of one that could not, the heartbeat stands
//! still and the process is gone.

pub mod field;
pub mod labels;
pub mod layout;
mod map;
pub mod parse;
pub mod reader;
pub mod record;
pub mod ring;
pub mod rows;
pub mod seqlock;
pub mod word;
pub mod worker;
pub mod writer;

pub use labels::{Label, Labels, What};
pub use layout::{Capacity, State};
pub use reader::{Found, ReadError, Reader, Records, Table};
pub use record::Record;
pub use ring::Next;
pub use worker::WorkerStats;
pub use writer::{LabelsError, Settings, StatsError, StatsFile};

/// The file's name in the host's runtime folder.
pub const FILE: &str = "stats";

#[cfg(test)]
mod tests;
