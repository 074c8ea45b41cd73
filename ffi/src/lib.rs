//! Raw bindings to DPDK, made from the installed headers: nothing here is safe, and nothing is added.
//!
//! The functions, types and constants are those that `build.rs` lists. Static inlines are compiled
//! into a small library of their own, so that a burst costs one call. Nothing wraps a packet's fields:
//! [`rte_mbuf`] is laid out here as in C.

// The bindings keep C's names, and DPDK's headers carry its documentation.
#![allow(non_camel_case_types, non_upper_case_globals, non_snake_case, missing_docs)]
// Generated code does not explain its unsafe blocks (bit fields), nor does it read like Rust.
#![allow(clippy::all, clippy::undocumented_unsafe_blocks, unsafe_op_in_unsafe_fn, unnecessary_transmutes)]

mod mbuf;

pub use mbuf::rte_mbuf;

include!(concat!(env!("OUT_DIR"), "/bindings.rs"));
