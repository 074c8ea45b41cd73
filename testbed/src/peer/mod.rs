//! Peers: other implementations of the fabric's protocol, to prove that Weft speaks it and not a dialect.

mod linux_vxlan;

pub use linux_vxlan::{Endpoint, LinuxVxlan, Remote};
