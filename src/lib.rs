//! Weft.

pub mod cli;
pub mod control;
pub mod doctor;
pub mod report;
