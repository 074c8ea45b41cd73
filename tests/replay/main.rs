//! Replays: what a host's packet logic makes of recorded packets.

#![allow(clippy::unwrap_used)]

mod against;
mod command;
mod hostile;
mod lab;
mod recordings;
mod tshark;
mod ways;
