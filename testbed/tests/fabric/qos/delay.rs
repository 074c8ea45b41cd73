//! How long packets wait where more is sent than may leave.

use testbed::{Lab, Result};

use super::{Transfer, guest, measure, spec};
use crate::{SOON, run, settle};

/// The mean of what pings take beside a transfer, in milliseconds. At 20 Mbit a second the full queue of 512 frames
/// would take 300 ms; CoDel's target is 5 ms.
fn beside_a_transfer(lab: &Lab) -> Result<f64> {
    let transfer = Transfer::start(lab, "blue/a", ("blue/b", "10.1.0.12"), "--parallel 1")?;
    measure(lab, &[&transfer], 5_000_000)?;
    let said = lab.namespace("blue/a").run("ping -q -c 50 -i 0.1 -W 5 10.1.0.12", SOON)?;
    let said = said.success("pinging beside a transfer")?;
    // rtt min/avg/max/mdev = 0.1/0.2/0.3/0.4 ms
    let mean = said.rsplit('=').next().and_then(|times| times.trim().split('/').nth(1)?.parse().ok());
    Ok(mean.unwrap_or(f64::INFINITY))
}

pub fn near_the_target() -> Result<()> {
    let spec = spec(None, ["", ""])
        .with(guest("blue/a", "hv-a", "10.1.0.11"))
        .with(guest("blue/b", "hv-b", "10.1.0.12").qos("{ rate: 20Mbit }"));
    let lab = Lab::up(spec)?;
    let without = beside_a_transfer(&lab)?;
    for guest in ["blue/a", "blue/b"] {
        run(lab.guest(guest), "sysctl -q -w net.ipv4.tcp_ecn=1")?;
    }
    let with = beside_a_transfer(&lab)?;
    println!("a ping takes {without:.1} ms beside TCP, {with:.1} ms beside TCP with ECN");
    assert!(without < 25.0 && with < 25.0, "{without} ms, with ECN {with} ms");
    let ledgers = settle(&lab)?;
    assert!(ledgers["hv-b"].drops("congested") > 0, "{ledgers:?}");
    Ok(())
}
