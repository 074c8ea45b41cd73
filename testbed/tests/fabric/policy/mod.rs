//! Policy and sessions between real Linux guests on two hosts.

mod apply;
mod bad_wires;
mod hostile;
mod machines;
mod reach;
mod streams;
pub mod traffic;

use std::collections::BTreeMap;

use libtest_mimic::Trial;
use serde_json::Value;
use testbed::host::Ledger;
use testbed::{Error, Lab, Result};
use weft::report::RuleReport;

use crate::{any, root};

pub fn trials() -> Vec<Trial> {
    vec![
        root(
            "policy: what is allowed passes with its replies, and nothing else does",
            reach::what_is_allowed,
        ),
        root("policy: over bad wires nothing that is allowed is dropped", bad_wires::no_false_drop),
        root("policy: ports are used again for the next connection", bad_wires::ports_used_again),
        root("policy: connections that stay allowed outlast every change", apply::what_is_kept),
        root("policy: connections that are forbidden end, used or not", apply::what_is_forbidden),
        root("policy: a guest that floods and scans costs others nothing", hostile::floods_and_scans),
        any("policy: qemu guests of two hosts are held to it", machines::two_hosts),
    ]
}

/// How many packets a host has dropped for this reason, at this port or, with none given, at all.
fn drops(lab: &Lab, host: &str, port: Option<&str>, reason: &str) -> Result<u64> {
    let shown = lab.host(host).show("drops")?;
    let row = shown.as_array().into_iter().flatten().find(|row| row["reason"] == reason);
    let count = row.map(|row| port.map_or(&row["packets"], |port| &row["by_port"][port]));
    Ok(count.and_then(Value::as_u64).unwrap_or_default())
}

/// How many TCP sessions a host has.
fn sessions(lab: &Lab, host: &str) -> Result<u64> {
    let shown = lab.host(host).show("sessions --protocol tcp --limit 1")?;
    Ok(shown["matched"].as_u64().unwrap_or(u64::MAX))
}

/// What a host says of a rule of a tenant.
fn rule(lab: &Lab, host: &str, tenant: &str, name: &str) -> Result<RuleReport> {
    let shown = lab.host(host).show(&format!("rules {tenant}"))?;
    let row = shown.as_array().into_iter().flatten().find(|row| row["name"] == name);
    let report = row.and_then(|row| serde_json::from_value(row.clone()).ok());
    report.ok_or_else(|| Error::failed(format!("{host} has no rule {tenant}/{name}"), shown.to_string()))
}

/// Drops for these reasons would be of what is allowed. Not `fragment_orphan`: fragments that overtake the first of
/// their datagram have nothing to follow yet.
const FALSE: [&str; 9] = [
    "tcp_flags",
    "tcp_no_session",
    "tcp_out_of_window",
    "icmp_unsolicited",
    "icmp_unrelated",
    "fragment_length",
    "fragment_excess",
    "session_rate",
    "session_quota",
];

/// No host has dropped a packet of an allowed connection, echo or datagram on its way.
fn assert_none_false(ledgers: &BTreeMap<String, Ledger>) {
    let all = |reason| ledgers.values().map(|ledger| ledger.drops(reason)).sum::<u64>();
    for reason in FALSE {
        assert_eq!(all(reason), 0, "{reason}: {ledgers:?}");
    }
}

/// How many packets policy refused, on all hosts.
fn denied(ledgers: &BTreeMap<String, Ledger>) -> u64 {
    ledgers.values().map(|ledger| ledger.drops("policy_denied")).sum()
}
