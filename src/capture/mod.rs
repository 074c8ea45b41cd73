//! Packets of a running switch, as they come in and leave, for whoever wants to look at them.
//!
//! A [`Tap`](tap::Tap) is the worker's end: it copies what a [`Filter`](filter::Filter) lets pass into a bounded ring, and
//! counts what finds no room. Control reads the ring's other end, a [`Tray`](tap::Tray), and sends it to the client, who
//! writes a [`file`].

pub mod file;
pub mod filter;
pub mod tap;

/// Bytes of a packet that are copied at most: no packet of a port is longer.
pub const MAX_SNAP: u32 = 65_535;
