//! The commands.

pub mod check;
pub mod doctor;
pub mod replay;
#[cfg(feature = "dpdk")]
pub mod run;
pub mod schema;
pub mod show;
