//! What can go wrong with DPDK, where, and what to do about it.

use std::ffi::CStr;
use std::fmt;
use std::path::PathBuf;

use super::log;

/// A failure of the environment, a pool, a port or a worker thread.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The environment was started before in this process.
    #[error("DPDK's environment starts once in a process, and it was started before")]
    AlreadyStarted,
    /// An option cannot be passed on to DPDK.
    #[error("{option} {value:?}: {problem}")]
    Option {
        /// Which option.
        option: &'static str,
        /// What it was.
        value: String,
        /// Why it cannot be.
        problem: &'static str,
    },
    /// Hugepages are required and there are not enough of them.
    #[error(
        "{wanted_mib} MiB of hugepages are required, {free_mib} MiB are free: reserve more \
         (sysctl vm.nr_hugepages), ask for less memory, or set hugepages to auto or off"
    )]
    Hugepages {
        /// Memory asked for.
        wanted_mib: u64,
        /// Memory in free hugepages.
        free_mib: u64,
    },
    /// More memory is asked for than the machine has.
    #[error(
        "{wanted_mib} MiB of memory are asked for, and this machine gives {total_mib} MiB at most: ask for less"
    )]
    Memory {
        /// Memory asked for.
        wanted_mib: u64,
        /// Memory that the machine has, or the control group gets.
        total_mib: u64,
    },
    /// The folder for DPDK's own files can't be given to it.
    #[error(
        "DPDK takes the folder for its own files from the environment, which is changed only before there are other threads"
    )]
    Threads,
    /// The environment did not start.
    #[error("DPDK's environment did not start: {0}")]
    Start(Reason),
    /// No thread could be made for the environment.
    #[error("no thread for DPDK's environment: {0}")]
    Thread(#[source] std::io::Error),
    /// A pool of packet buffers could not be made.
    #[error(
        "no pool {pool:?} of {count} buffers of {room} bytes: {reason}; give the switch more memory, or ask for fewer"
    )]
    Pool {
        /// Its name.
        pool: String,
        /// Buffers asked for.
        count: u32,
        /// Bytes of a buffer.
        room: usize,
        /// What DPDK said.
        reason: Reason,
    },
    /// A port is open on this device already.
    #[error("device {0:?} is in use by another port: a device serves one port, and vdev names are unique")]
    InUse(String),
    /// No driver takes the device for its own.
    #[error(
        "device {0:?} is none of DPDK's: a PCI address is written as 0000:3b:00.0, and other devices begin with their driver's name, as net_tap0, net_af_packet0 or net_memif0"
    )]
    NoDriver(String),
    /// There is no such PCI device.
    #[error("there is no PCI device {0} (`lspci -D` shows those that are there)")]
    NoPci(String),
    /// A PCI device that was not allowed when the environment started.
    #[error(
        "PCI device {0} is unknown to DPDK: it must be listed when the switch starts, and be bound to vfio-pci (dpdk-devbind.py --bind=vfio-pci {0}) unless its driver is bifurcated"
    )]
    NotAllowed(String),
    /// A port could not be opened.
    #[error("device {device:?}: cannot {step}: {reason}")]
    Device {
        /// The device as it was given.
        device: String,
        /// What was being done.
        step: &'static str,
        /// What DPDK said.
        reason: Reason,
    },
    /// More queues were asked for than the device has.
    #[error("device {device:?} has {rx} receive and {tx} send queues at most")]
    Queues {
        /// The device as it was given.
        device: String,
        /// Receive queues that it has.
        rx: u16,
        /// Send queues that it has.
        tx: u16,
    },
    /// Somebody listens on the socket of a vhost-user port.
    #[error("socket {0} is served by another process: stop it, or choose another path")]
    SocketServed(PathBuf),
    /// The socket's folder cannot be used.
    #[error("socket {path}: its folder cannot be written to: {source}")]
    SocketFolder {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// What is at the path of a vhost-user port's socket is no socket.
    #[error("{0} exists and is no socket: it is left alone; choose another path")]
    NoSocket(PathBuf),
    /// The socket of a vhost-user port cannot be made or looked at.
    #[error("socket {path}: {source}")]
    Socket {
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A worker's thread could not be pinned.
    #[error(
        "cannot run on core {0} alone: it does not exist, or this process may not use it (see taskset -p)"
    )]
    Pin(usize),
    /// A worker's thread could not be made known to DPDK.
    #[error("cannot make this thread known to DPDK: {0}")]
    Register(Reason),
}

/// An error number, with the first error that DPDK logged on the way.
#[derive(Debug)]
pub struct Reason {
    errno: i32,
    said: Option<String>,
}

impl Reason {
    /// Of a call that returned `-errno` or, where it returned -1, left it in `rte_errno`.
    pub(super) fn returned(ret: i32) -> Self {
        if ret == -1 { Self::last() } else { Self { errno: ret.wrapping_neg(), said: log::first_error() } }
    }

    /// Of a call that left its error in `rte_errno`.
    pub(super) fn last() -> Self {
        // SAFETY: reads a thread-local variable.
        let errno = unsafe { dpdk_sys::dpdk_sys_errno() };
        Self { errno, said: log::first_error() }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // SAFETY: any number is fine; the text is this thread's until its next call.
        let text = unsafe { CStr::from_ptr(dpdk_sys::rte_strerror(self.errno)) };
        match &self.said {
            Some(said) => write!(f, "{said} ({})", text.to_string_lossy()),
            None => write!(f, "{}", text.to_string_lossy()),
        }
    }
}
