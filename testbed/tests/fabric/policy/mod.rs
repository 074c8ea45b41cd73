//! Policy and sessions between real Linux guests on two hosts.

mod bad_wires;
mod reach;
mod traffic;

use libtest_mimic::Trial;
use serde_json::Value;
use testbed::{Lab, Result};

use crate::root;

pub fn trials() -> Vec<Trial> {
    vec![
        root(
            "policy: what is allowed passes with its replies, and nothing else does",
            reach::what_is_allowed,
        ),
        root("policy: over bad wires nothing that is allowed is dropped", bad_wires::no_false_drop),
        root("policy: ports are used again for the next connection", bad_wires::ports_used_again),
    ]
}

/// How many packets a host has dropped for this reason, at this port or, with none given, at all.
fn drops(lab: &Lab, host: &str, port: Option<&str>, reason: &str) -> Result<u64> {
    let shown = lab.host(host).show("drops")?;
    let row = shown.as_array().into_iter().flatten().find(|row| row["reason"] == reason);
    let count = row.map(|row| port.map_or(&row["packets"], |port| &row["by_port"][port]));
    Ok(count.and_then(Value::as_u64).unwrap_or_default())
}
