//! Weft.

pub mod cli;
pub mod control;
pub mod report;
