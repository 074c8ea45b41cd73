//! Guests: what sits behind a port of the switch.

mod initramfs;
mod kernel;
mod netns;
mod qemu;
pub mod smol;
mod station;

use std::net::IpAddr;
use std::time::Duration;

pub use kernel::Kernel;
pub use netns::NetnsGuest;
pub use qemu::{Machine, Nic, QemuGuest};
pub use station::{Job, Output, Station, Transfer, transfer};

use crate::Result;

/// What kind of guest a lab puts behind a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GuestKind {
    /// A Linux machine under QEMU, on vhost-user. Needs no root.
    Qemu,
    /// A network namespace on a virtual wire. Needs root.
    Netns,
    /// An IP stack (smoltcp's) on vhost-user, all of a lab's in one process. Needs no root; runs no commands.
    Smol,
}

/// A guest of a lab.
#[derive(Debug)]
#[non_exhaustive]
pub enum Guest {
    /// A Linux machine under QEMU.
    Qemu(Box<QemuGuest>),
    /// A network namespace.
    Netns(NetnsGuest),
}

impl Guest {
    /// The machine, if it is one.
    pub fn qemu(&mut self) -> Option<&mut QemuGuest> {
        match self {
            Self::Qemu(guest) => Some(guest),
            Self::Netns(_) => None,
        }
    }

    fn station(&self) -> &dyn Station {
        match self {
            Self::Qemu(guest) => guest.as_ref(),
            Self::Netns(guest) => guest,
        }
    }
}

impl Station for Guest {
    fn name(&self) -> &str {
        self.station().name()
    }

    fn address(&self) -> IpAddr {
        self.station().address()
    }

    fn run(&self, command: &str, deadline: Duration) -> Result<Output> {
        self.station().run(command, deadline)
    }

    fn start(&self, command: &str) -> Result<Job> {
        self.station().start(command)
    }

    fn finish(&self, job: Job, deadline: Duration) -> Result<Output> {
        self.station().finish(job, deadline)
    }
}
