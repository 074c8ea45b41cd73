//! How long packets wait where more is sent than may leave.

use testbed::{Lab, Result};

use super::{Transfer, at_best, guest, measure, spec};
use crate::{SOON, run, settle};

/// The mean of what pings take beside a transfer, in milliseconds. At 20 Mbit a second the full queue of 512 frames
/// would take 300 ms; CoDel's target is 5 ms.
fn beside_a_transfer(lab: &Lab) -> Result<f64> {
    let transfer = Transfer::start(lab, "blue/a", ("blue/b", "10.1.0.12"), "--parallel 1")?;
    measure(lab, &[&transfer], 5_000_000)?;
    at_best(|| echoes(lab, 0), |mean| *mean < LONG)
}

/// Milliseconds beyond which a queue is long.
const LONG: f64 = 25.0;

/// The mean of what pings with this octet take, in milliseconds.
fn echoes(lab: &Lab, tos: u8) -> Result<f64> {
    let command = format!("ping -q -c 50 -i 0.1 -W 5 -Q {tos:#x} 10.1.0.12");
    let said = lab.namespace("blue/a").run(&command, SOON)?;
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
    assert!(without < LONG && with < LONG, "{without} ms, with ECN {with} ms");
    let ledgers = settle(&lab)?;
    assert!(ledgers["hv-b"].drops("congested") > 0, "{ledgers:?}");
    Ok(())
}

/// Many transfers at once make a queue that is longer than CoDel would like; what is urgent overtakes it.
pub fn a_strict_class() -> Result<()> {
    let classes = "classes: [{ name: urgent, dscp: [ef], strict: true }, { name: rest }]";
    let spec = spec(None, ["", ""])
        .with(guest("blue/a", "hv-a", "10.1.0.11"))
        .with(guest("blue/b", "hv-b", "10.1.0.12").qos(&format!("{{ rate: 20Mbit, {classes} }}")));
    let lab = Lab::up(spec)?;
    let transfer = Transfer::start(&lab, "blue/a", ("blue/b", "10.1.0.12"), "--parallel 8")?;
    measure(&lab, &[&transfer], 5_000_000)?;
    let both = || Ok((echoes(&lab, 0)?, echoes(&lab, 46 << 2)?));
    let is_good = |(usual, urgent): &(f64, f64)| *urgent < 5.0 && urgent * 2.0 < *usual;
    let means = at_best(both, is_good)?;
    println!("beside TCP a ping takes {:.1} ms, and {:.1} ms as urgent", means.0, means.1);
    assert!(is_good(&means), "{means:?} ms");
    drop(transfer);
    settle(&lab)?;
    Ok(())
}
