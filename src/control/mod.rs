//! The control side of the switch: off the workers' cores, and never in a packet's way.

pub mod api;
pub mod buffers;
pub mod compile;
pub mod decisions;
pub mod diff;
pub mod labels;
pub mod observe;
pub mod runtime_dir;
#[cfg(feature = "dpdk")]
mod runway;
pub mod sessions;
#[cfg(feature = "dpdk")]
pub mod stats;
#[cfg(feature = "dpdk")]
pub mod switch;
pub mod words;
