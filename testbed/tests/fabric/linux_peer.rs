//! Linux with its own VXLAN device as the other host; guests in namespaces.

use testbed::{GuestKind, HostSpec, Lab, LabSpec, Result, Underlay};

use super::{ping, send, settle};

pub fn both_directions() -> Result<()> {
    let spec = LabSpec::new(Underlay::Veth)
        .host(HostSpec::new("hv-a", "198.51.100.1"))
        .host(HostSpec::linux("lx-b", "198.51.100.2"))
        .segment("blue", "front", 1001, "10.1.0.0/24")
        .guest("blue", "front", "a", "hv-a", "10.1.0.11", GuestKind::Netns)
        .guest("blue", "front", "b", "lx-b", "10.1.0.12", GuestKind::Netns);
    let lab = Lab::up(spec)?;
    let (a, b) = (lab.guest("blue/a"), lab.guest("blue/b"));
    ping(a, "10.1.0.12")?;
    ping(b, "10.1.0.11")?;
    send(a, b)?;
    send(b, a)?;
    settle(&lab).map(drop)
}
