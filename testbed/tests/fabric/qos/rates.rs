//! Rates: shared, assured, bound.

use testbed::{Lab, Result};

use super::{Transfer, at_best, guest, measure, spec};
use crate::settle;

const MBIT: f64 = 1e6;
/// Preamble, frame check sequence and gap; and what a tunnel adds.
const WIRE: u64 = 24;
const OUTER: u64 = 50;

fn off(is: f64, due: f64) -> f64 {
    (is - due) / due * 100.0
}

fn within(what: &str, is: f64, due: f64, percent: f64) {
    let off = off(is, due);
    assert!(off.abs() <= percent, "{what}: {is:.0} instead of {due:.0}, {off:+.1} %");
}

/// The rates of all, which have to be `due` together, within some percent. More is never right.
fn measured(
    lab: &Lab,
    transfers: &[&Transfer],
    (bytes, overhead): (u64, u64),
    (due, percent): (f64, f64),
) -> Result<Vec<f64>> {
    let all = |rates: &Vec<f64>| rates.iter().sum::<f64>();
    let measure = || {
        let seen = measure(lab, transfers, bytes)?;
        let rates = seen.iter().map(|(before, now)| now.rate_since(before, overhead)).collect();
        assert!(off(all(&rates), due) <= percent, "{rates:.0?}, more than {due:.0}");
        Ok(rates)
    };
    let rates = at_best(measure, |rates| off(all(rates), due) >= -percent)?;
    within("all together", all(&rates), due, percent);
    Ok(rates)
}

/// What two tenants get of an uplink on which both send all they can.
fn shares(tenants: [&str; 2]) -> Result<[f64; 2]> {
    let mut spec = spec(Some("20Mbit"), tenants);
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
    let rates = measured(&lab, &[&blue, &red], (10_000_000, WIRE + OUTER), (20.0 * MBIT, 2.0))?;
    drop((blue, red));
    settle(&lab)?;
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
    let [blue, red] = shares(["qos: { weight: 9 }", "qos: { rate: 12Mbit, ceil: 20Mbit, weight: 1 }"])?;
    within("red", red, 12.8 * MBIT, 5.0);
    within("blue", blue, 7.2 * MBIT, 10.0);
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
    let mut lab = Lab::up(with("{ rate: 20Mbit }", free))?;
    let transfer = Transfer::start(&lab, "blue/a", ("blue/b", "10.1.0.12"), "")?;
    measured(&lab, &[&transfer], (8_000_000, WIRE + OUTER), (20.0 * MBIT, 2.0))?;
    lab.apply(&with(free, "{ rate: 12Mbit }"))?;
    measured(&lab, &[&transfer], (6_000_000, WIRE), (12.0 * MBIT, 2.0))?;
    drop(transfer);
    settle(&lab)?;
    Ok(())
}
