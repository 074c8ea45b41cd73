//! What tests, fuzzers and benches need to put the packet logic to work without a device.
//!
//! [`packets`] builds packets, [`Lab`] describes a fabric, and a [`Bed`] is one of its hosts: it receives frames,
//! returns what was sent, and after every burst checks that no packet and no buffer went missing:
//! `rx + replicated + originated = tx + drops + consumed + held`. [`generators`] make random input for proptest,
//! [`rules`] makes policies,
//! [`oracle`] says plainly where a packet must end up, [`entry`] is what the fuzzers call,
//! [`Treadmill`] what the benches run on.
#![allow(clippy::missing_panics_doc, reason = "panics are how tests fail")]

pub mod bed;
pub mod entry;
pub mod frames;
pub mod generators;
pub mod lab;
pub mod oracle;
pub mod packets;
pub mod policies;
pub mod rules;
pub mod sink;
pub mod traffic;
pub mod treadmill;

pub use bed::Bed;
pub use lab::Lab;
pub use oracle::Oracle;
pub use sink::{Pool, PoolFrame, TestSink};
pub use treadmill::Treadmill;
