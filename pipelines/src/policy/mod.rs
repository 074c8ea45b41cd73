//! Policy: a tenant's rules, compiled so that a connection is decided in bounded time.

pub mod rules;

pub use rules::{Action, Decision, GroupId, Member, Network, Question, Rule, Rules, Service, Side};
