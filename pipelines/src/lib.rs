//! Weft's packet logic: what happens to a packet between the queue it came from and the queue it leaves by.
//!
//! Pure: no device, no clock, no thread, no file. Time, randomness, memory and capacity are arguments, so
//! the same code runs in the switch, under `weft replay` in virtual time, in tests, fuzzers and benches.
#![forbid(unsafe_code)]

pub mod frame;
pub mod wire;

pub use frame::{Frame, TestFrame};
pub use wire::{Mac, Vni};
