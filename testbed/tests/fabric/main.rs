//! The switch's main job, end to end: real guests of tenants on two hosts, over a VXLAN underlay.
//!
//! Every lab ends with the ledgers of its hosts: each packet that came in was sent, dropped by name, or consumed.

mod linux_peer;
mod machines;

use std::collections::BTreeMap;
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};
use testbed::host::Ledger;
use testbed::{Lab, Result, Station, scope, transfer};

fn main() {
    let mut arguments = Arguments::from_args();
    // Each lab has two switches and several guests on few processors: one at a time unless asked otherwise.
    arguments.test_threads = arguments.test_threads.or(Some(1));
    let trials = vec![
        any("qemu guests of two hosts ping each other and transfer 64 MiB", machines::two_hosts),
        any("a qemu guest killed and restarted comes back", machines::killed_and_back),
        root("linux's vxlan device is the other host, both directions", linux_peer::both_directions),
    ];
    libtest_mimic::run(&arguments, trials).exit();
}

type Test = fn() -> Result<()>;

fn any(name: &str, test: Test) -> Trial {
    Trial::test(name, move || test().map_err(Failed::from))
}

fn root(name: &str, test: Test) -> Trial {
    any(name, test).with_kind("needs root").with_ignored_flag(!scope::is_root())
}

/// Bytes of a transfer, in MiB.
const TRANSFER: u32 = 64;

/// The longest that a command may take.
const SOON: Duration = Duration::from_secs(30);

/// The longest that a transfer may take, between machines without KVM.
const LATER: Duration = Duration::from_secs(120);

/// Pings `address` from a guest; every echo has to come back.
fn ping(from: &dyn Station, address: &str) -> Result<()> {
    let command = format!("ping -c 3 -i 0.2 -W 5 {address}");
    from.run(&command, SOON)?.success(&format!("{}: {command}", from.name())).map(drop)
}

/// Sends [`TRANSFER`] MiB from one guest to another; what arrives is what was sent.
fn send(from: &dyn Station, to: &dyn Station) -> Result<()> {
    let done = transfer(from, to, TRANSFER, LATER)?;
    assert_eq!(done.sent, done.received, "{} to {}", from.name(), to.name());
    Ok(())
}

/// Stops the hosts; each has to account for every packet.
fn settle(lab: &Lab) -> Result<BTreeMap<String, Ledger>> {
    let ledgers = lab.stop_hosts()?;
    for (host, ledger) in &ledgers {
        assert!(ledger.conserved && ledger.adds_up(), "{host}: {ledger:?}");
    }
    Ok(ledgers)
}
