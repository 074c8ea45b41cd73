//! Weft.

pub mod control;
pub mod report;
