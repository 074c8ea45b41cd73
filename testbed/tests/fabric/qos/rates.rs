//! Rates: shared, assured, bound.

use testbed::{Lab, Result};

use super::{Transfer, guest, measure, spec};
use crate::settle;

const MBIT: f64 = 1e6;
/// Preamble, frame check sequence and gap; and what a tunnel adds.
const WIRE: u64 = 24;
const OUTER: u64 = 50;

fn within(what: &str, is: f64, due: f64, percent: f64) {
    let off = (is - due) / due * 100.0;
    assert!(off.abs() <= percent, "{what}: {is:.0} instead of {due:.0}, {off:+.1} %");
}

/// What two tenants get of an uplink on which both send all they can.
fn shares(tenants: [&str; 2]) -> Result<[f64; 2]> {
    let mut spec = spec(Some("60Mbit"), tenants);
    for tenant in ["blue", "red"] {
        spec = spec.with(guest(&format!("{tenant}/a"), "hv-a", "10.1.0.11"));
        spec = spec.with(guest(&format!("{tenant}/b"), "hv-b", "10.1.0.12"));
    }
    let lab = Lab::up(spec)?;
    let transfers = ["blue", "red"].map(|tenant| {
        Transfer::start(&lab, &format!("{tenant}/a"), (&format!("{tenant}/b"), "10.1.0.12"), "")
    });
    let [blue, red] = transfers;
    let (blue, red) = (blue?, red?);
    let seen = measure(&lab, &[&blue, &red], 30_000_000)?;
    let rates: Vec<f64> = seen.iter().map(|(before, now)| now.rate_since(before, WIRE + OUTER)).collect();
    drop((blue, red));
    settle(&lab)?;
    within("the uplink", rates[0] + rates[1], 60.0 * MBIT, 2.0);
    Ok([rates[0], rates[1]])
}

/// Two to one.
pub fn by_weight() -> Result<()> {
    let [blue, red] = shares(["qos: { weight: 2 }", "qos: { weight: 1 }"])?;
    within("blue by red", blue / red, 2.0, 5.0);
    Ok(())
}

/// Whoever is assured a rate has it, whatever others weigh, and its part of the rest.
pub fn what_is_assured() -> Result<()> {
    let [blue, red] = shares(["qos: { weight: 9 }", "qos: { rate: 40Mbit, ceil: 60Mbit, weight: 1 }"])?;
    within("red", red, 42.0 * MBIT, 5.0);
    within("blue", blue, 18.0 * MBIT, 10.0);
    Ok(())
}

/// On the way out a guest is left alone when it has sent its rate; on the way in what is beyond it waits and is dropped.
/// Another rate is in force at once, and costs no connection.
pub fn an_endpoint_s() -> Result<()> {
    let with = |sender: &str, receiver: &str| {
        spec(None, ["", ""])
            .with(guest("blue/a", "hv-a", "10.1.0.11").qos(sender))
            .with(guest("blue/b", "hv-b", "10.1.0.12").qos(receiver))
    };
    let free = "{ weight: 1 }";
    let mut lab = Lab::up(with("{ rate: 40Mbit }", free))?;
    let transfer = Transfer::start(&lab, "blue/a", ("blue/b", "10.1.0.12"), "")?;
    let seen = measure(&lab, &[&transfer], 20_000_000)?;
    within("what it sends", seen[0].1.rate_since(&seen[0].0, WIRE + OUTER), 40.0 * MBIT, 2.0);
    lab.apply(&with(free, "{ rate: 25Mbit }"))?;
    let seen = measure(&lab, &[&transfer], 15_000_000)?;
    within("what it is sent", seen[0].1.rate_since(&seen[0].0, WIRE), 25.0 * MBIT, 2.0);
    drop(transfer);
    settle(&lab)?;
    Ok(())
}
