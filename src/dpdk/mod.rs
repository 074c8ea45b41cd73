//! DPDK behind safe, owned types: the environment, packet buffers, ports and worker threads.
//!
//! Everything keeps the [`Eal`] it came from alive, so order of dropping is no concern of the
//! caller: the environment is cleaned up when the last pool, port, queue and worker is gone.
//! This is the only module that names `dpdk_sys`.

mod device;
mod eal;
mod error;
mod ethdev;
mod hugepages;
mod lcore;
mod log;
mod mbuf;
mod mempool;
mod pages;
mod vhost;

/// Devices that a process can have ports on, as DPDK was built. Guests' sockets are none.
pub const MAX_DEVICES: usize = dpdk_sys::RTE_MAX_ETHPORTS as usize;

/// Guests' sockets that a process can serve.
///
/// DPDK's vhost library waits for 1,024 files (`MAX_FDS` in its `fd_man.h`): one of its own, and of each guest the
/// socket and the connection.
pub const MAX_SOCKETS: usize = 511;

pub use eal::{Eal, EalOptions, LogLevel};
pub use error::Error;
pub use ethdev::{Port, PortOptions, PortStats, RxQueue, TxQueue};
pub use hugepages::Hugepages;
pub use lcore::{LcoreGuard, keep_to, pin_and_register, register, tsc, tsc_hz, usable_cores};
pub use mbuf::{BURST, Burst, Mbuf, free_bulk};
pub use mempool::Mempool;
pub use pages::{back_with_pages, prefer_large_pages};
pub use vhost::{Fault, VhostMode, VhostUser};
