//! Weft: a userspace virtual switch for hypervisor hosts.
//!
//! The packet logic is the crate `weft_pipelines`; here is the machine round it: the fabric document ([`config`]),
//! what turns it into a running switch ([`control`], [`worker`], [`dpdk`]), and the commands ([`cli`]).

pub mod capture;
pub mod cases;
pub mod cli;
pub mod config;
pub mod control;
pub mod doctor;
#[cfg(feature = "dpdk")]
pub mod dpdk;
pub mod explain;
pub mod export;
pub mod flows;
pub mod replay;
pub mod report;
pub mod service;
pub mod shm;
pub mod suggest;
pub mod tenancy;
pub mod top;
pub mod trace;
pub mod worker;

/// The version of this build: the package's, and what it was built from.
pub const VERSION: &str = env!("WEFT_VERSION");
