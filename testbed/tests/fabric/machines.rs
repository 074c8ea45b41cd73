//! Linux machines under QEMU, on vhost-user ports; no root.

use testbed::{GuestKind, HostSpec, Lab, LabSpec, Result, Underlay};

use super::{ping, send, settle};

pub fn two_hosts() -> Result<()> {
    let lab = Lab::up(two_machines())?;
    let (a, b) = (lab.guest("blue/a"), lab.guest("blue/b"));
    ping(a, "10.1.0.12")?;
    ping(b, "10.1.0.11")?;
    send(a, b)?;
    send(b, a)?;
    settle(&lab).map(drop)
}

pub fn killed_and_back() -> Result<()> {
    let mut lab = Lab::up(two_machines())?;
    ping(lab.guest("blue/a"), "10.1.0.12")?;
    let machine = lab.machine("blue/b");
    machine.kill9()?;
    machine.restart()?;
    machine.wait_ready(super::LATER)?;
    ping(lab.guest("blue/a"), "10.1.0.12")?;
    ping(lab.guest("blue/b"), "10.1.0.11")?;
    settle(&lab).map(drop)
}

fn two_machines() -> LabSpec {
    LabSpec::new(Underlay::Memif)
        .host(HostSpec::new("hv-a", "198.51.100.1"))
        .host(HostSpec::new("hv-b", "198.51.100.2"))
        .segment("blue", "front", 1001, "10.1.0.0/24")
        .guest("blue", "front", "a", "hv-a", "10.1.0.11", GuestKind::Qemu)
        .guest("blue", "front", "b", "hv-b", "10.1.0.12", GuestKind::Qemu)
}
