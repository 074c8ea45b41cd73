//! The switch's main job, end to end: real guests of tenants on two hosts, over a VXLAN underlay.
//!
//! Every lab ends with the ledgers of its hosts: each packet that came in was sent, dropped by name, or consumed.

mod export;
mod flows;
mod hosts;
mod linux_peer;
mod machines;
mod policy;
mod program;
mod qos;
mod quality;
mod service;
mod spoofing;
mod tenants;

use std::collections::BTreeMap;
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};
use testbed::host::Ledger;
use testbed::{Lab, Result, Station, scope, transfer};

fn main() {
    let mut arguments = Arguments::from_args();
    // Each lab has two switches and several guests on few processors: one at a time unless asked otherwise.
    arguments.test_threads = arguments.test_threads.or(Some(1));
    let mut trials = vec![
        any("the demo holds what it claims", program::demo),
        any("a lab is brought up, looked at and taken down", program::up_and_down),
        any("qemu guests of two hosts ping each other and transfer 64 MiB", machines::two_hosts),
        any("a qemu guest killed and restarted comes back", machines::killed_and_back),
        root("linux's vxlan device is the other host, both directions", linux_peer::both_directions),
        root("the underlay gets answers to arp and ping", linux_peer::underlay_is_answered),
        root("a vtep that is no peer is not heard", linux_peer::strangers_are_not_heard),
        root("tenants with equal addresses never see each other", tenants::equal_addresses),
        root("a guest that spoofs is dropped and counted", spoofing::mac_ip_and_arp),
        root("ipv6 guests find each other", tenants::ipv6),
        root("ports of two workers reach each other and the fabric", hosts::two_workers),
        root("a switch killed and restarted serves its guests again", hosts::killed_and_back),
    ];
    trials.extend(policy::trials());
    trials.extend(qos::trials());
    trials.extend(flows::trials());
    trials.extend(quality::trials());
    trials.extend(export::trials());
    trials.extend(service::trials());
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
    run(from, &format!("busybox ping -c 3 -W 5 {address}")).map(drop)
}

/// Pings `address` from a guest; no echo may come back.
fn ping_in_vain(from: &dyn Station, address: &str) -> Result<()> {
    let output = from.run(&format!("busybox ping -c 2 -W 1 {address}"), SOON)?;
    assert!(output.stdout.contains(" 0 packets received"), "{}: {}", from.name(), output.stdout);
    Ok(())
}

/// Runs a command that has to succeed.
fn run(at: &dyn Station, command: &str) -> Result<String> {
    at.run(command, SOON)?.success(&format!("{}: {command}", at.name()))
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
