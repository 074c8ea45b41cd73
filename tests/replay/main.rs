//! Replays: what a host's packet logic makes of recorded packets.

#![allow(clippy::unwrap_used)]

mod against;
mod command;
mod conversation;
mod hostile;
mod lab;
mod quality;
mod recordings;
mod tshark;
mod ways;
