//! Weft's packet logic: what happens to a packet between the queue it came from and the queue it leaves by.
//!
//! Pure: no device, no clock, no thread, no file. Time, randomness, memory and capacity are arguments, so
//! the same code runs in the switch, under `weft replay` in virtual time, in tests, fuzzers and benches.
//!
//! A packet goes one of three ways, each a list of [`stages`]: [`vm_to_vm`], [`vm_to_fabric`] and
//! [`fabric_to_vm`]; what another worker received goes the end of it by [`worker_to_vm`]. [`Plane`] holds what one worker keeps between bursts; [`Snapshot`] is the configuration it
//! reads; a [`Sink`] takes the packets that leave.
#![forbid(unsafe_code)]

pub mod batch;
pub mod context;
pub mod counters;
pub mod egress;
pub mod fabric_to_vm;
pub mod flow;
pub mod frame;
pub mod ids;
pub mod overlay;
pub mod plane;
pub mod policy;
pub mod qos;
pub mod service;
pub mod sink;
pub mod snapshot;
pub mod stages;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod verdict;
pub mod vm_to_fabric;
pub mod vm_to_vm;
pub mod wire;
pub mod witness;
pub mod worker_to_vm;

pub use batch::{BURST, Batch, Burst};
pub use context::Context;
pub use counters::Counters;
pub use frame::{Frame, TestFrame};
pub use ids::{Epoch, HopId, PortId, SegmentId, TenantId, Tick, TunnelId, WorkerId};
pub use plane::Plane;
pub use sink::{Handed, Sink};
pub use snapshot::Snapshot;
pub use verdict::{Reason, Verdict};
pub use wire::{Mac, Vni};
pub use witness::{Direction, Eyes, Witness};
