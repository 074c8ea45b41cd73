//! The commands.

pub mod doctor;
pub mod show;
