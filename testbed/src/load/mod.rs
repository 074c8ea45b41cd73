//! Load: a virtio-net driver of its own that sends and receives by millions of packets a second on one core, and
//! counts them exactly.
//!
//! It speaks vhost-user as a guest's hypervisor does (either side may make the socket), shares a memfd with the switch,
//! and keeps split virtqueues with static descriptors. Frames are laid into the buffers once and rewritten in place.
//! One thread drives all ports; it polls and never sleeps, so it wants a core for itself.

mod driver;
mod frames;
mod plan;
mod port;
mod ring;
mod shared;

pub use driver::{Driver, Passed, PortReport, Report, StreamReport};
pub use frames::{Kind, LONGEST, TUNNEL, Template, Traffic, Tunnel};
pub use plan::{Flows, Pace, Plan, Size, Stream};
pub use port::{Port, PortOptions, Role, Waiting};
pub use ring::Violation;
pub use shared::{Pages, Region};
