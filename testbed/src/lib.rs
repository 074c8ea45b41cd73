//! Labs for Weft: hosts that run the switch, guests behind its ports, peers that speak VXLAN by other means, and
//! the wire between them, all on one machine.
//!
//! A lab is a value. Whatever it starts or makes (processes, network namespaces, directories) it owns, and it is
//! gone when the value is dropped, when a test panics, when the lab is interrupted, and, of what the
//! kernel lets outlive a `SIGKILL`, when the next lab starts.
//!
//! ```no_run
//! use testbed::{Guest, GuestKind, HostSpec, Lab, LabSpec, Underlay, transfer};
//! use std::time::Duration;
//!
//! let spec = LabSpec::new(Underlay::Vhost)
//!     .host(HostSpec::new("hv-a", "198.51.100.1"))
//!     .host(HostSpec::new("hv-b", "198.51.100.2"))
//!     .segment("blue", "front", 1001, "10.1.0.0/24")
//!     .guest("blue", "front", "web1", "hv-a", "10.1.0.11", GuestKind::Qemu)
//!     .guest("blue", "front", "db1", "hv-b", "10.1.0.12", GuestKind::Qemu);
//! let lab = Lab::up(spec)?;
//! let (web, db) = (lab.guest("blue/web1"), lab.guest("blue/db1"));
//! let done = transfer(web, db, 4, Duration::from_secs(60))?;
//! assert_eq!(done.sent, done.received);
//! # Ok::<(), testbed::Error>(())
//! ```

mod bench;
pub mod bench_peers;
pub mod bench_scale;
pub mod demo;
mod error;
pub mod guest;
pub mod host;
pub mod lab;
pub mod load;
pub mod peer;
pub mod scope;
pub mod tcp;
pub mod underlay;
pub mod up;
pub mod wire;

pub use error::{Error, Result};
pub use guest::{Guest, GuestKind, Output, Station, transfer};
pub use host::Host;
pub use lab::{GuestSpec, HostSpec, Lab, LabSpec, PolicySpec};
pub use scope::{Namespace, Process, Spawn, WorkDir, wait_for};
pub use underlay::Underlay;
pub use wire::Faults;
