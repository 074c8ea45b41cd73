//! Hosts: more than one worker, and a switch that dies.

use serde_json::Value;
use testbed::{GuestKind, HostSpec, Lab, LabSpec, Result, Underlay};

use super::{ping, send, settle};

/// Two guests on one host, one on the other; with two workers, not both guests' ports are the uplink's worker's.
fn three_guests(cores: &[u32]) -> LabSpec {
    LabSpec::new(Underlay::Veth)
        .host(HostSpec::new("hv-a", "198.51.100.1").cores(cores))
        .host(HostSpec::new("hv-b", "198.51.100.2"))
        .segment("blue", "front", 1001, "10.1.0.0/24")
        .guest("blue", "front", "a", "hv-a", "10.1.0.11", GuestKind::Netns)
        .guest("blue", "front", "b", "hv-a", "10.1.0.12", GuestKind::Netns)
        .guest("blue", "front", "c", "hv-b", "10.1.0.13", GuestKind::Netns)
}

pub fn two_workers() -> Result<()> {
    let lab = Lab::up(three_guests(&[0, 1]))?;
    let ports = lab.host("hv-a").show("ports")?;
    let worker = |name: &str| {
        let port = ports.as_array().into_iter().flatten().find(|port| port["name"] == name);
        port.map(|port| port["worker"].clone()).unwrap_or(Value::Null)
    };
    assert_ne!(worker("blue/a"), worker("blue/b"));
    assert_ne!(worker("blue/a"), worker("up0"));
    ping(lab.guest("blue/a"), "10.1.0.12")?;
    ping(lab.guest("blue/a"), "10.1.0.13")?;
    send(lab.guest("blue/a"), lab.guest("blue/b"))?;
    send(lab.guest("blue/c"), lab.guest("blue/a"))?;
    let workers = lab.host("hv-a").show("workers")?;
    for worker in workers.as_array().into_iter().flatten() {
        assert!(worker["handed_over"].as_u64() > Some(1_000), "{worker}");
        assert!(worker["received_over"].as_u64() > Some(1_000), "{worker}");
        assert!(worker["busy_cycles_per_packet"].as_f64() > Some(1.0), "{worker}");
    }
    settle(&lab).map(drop)
}

pub fn killed_and_back() -> Result<()> {
    let mut lab = Lab::up(three_guests(&[0]))?;
    ping(lab.guest("blue/c"), "10.1.0.11")?;
    lab.restart_host("hv-a")?;
    ping(lab.guest("blue/c"), "10.1.0.11")?;
    ping(lab.guest("blue/a"), "10.1.0.12")?;
    settle(&lab).map(drop)
}
