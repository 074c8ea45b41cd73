//! Policy: a tenant's rules, compiled so that a connection is decided in bounded time.
//!
//! [`linear`] says what a decision is; [`Policy`] finds it without reading the rules one by one. On the way from
//! [`Rules`] to a [`Policy`], addresses become classes (sets of groups), and the rules of each pair of groups become a
//! cell: intervals of ports, each with the first rule for it.

mod addresses;
mod cells;
mod compile;
mod compiled;
mod diff;
pub mod linear;
mod lpm;
mod paint;
mod pairs;
pub mod rules;
mod search;
mod table;
#[cfg(test)]
mod tests;

pub use compiled::{Policy, Size};
pub use rules::{Action, Decision, GroupId, Member, Network, Question, Rule, Rules, Service, Side};
