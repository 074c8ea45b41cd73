//! The stages: one verb a file. The ways put them in order; they know nothing of each other.

pub mod account;
pub mod answer;
pub mod carry_marks;
pub mod check_policy;
pub mod decap;
pub mod deliver;
pub mod encap;
pub mod follow;
pub mod forward;
pub mod identify;
pub mod lookup_flow;
pub mod meter;
pub mod parse;
pub mod replicate;
pub mod resolve;
pub mod review;
pub mod spoof_check;
pub mod tell;
pub mod untag;
