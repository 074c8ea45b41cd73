//! Linux with its own VXLAN device as the other host; guests in namespaces.

use testbed::{GuestKind, HostSpec, Lab, LabSpec, Result, Underlay};

use super::{SOON, ping, send, settle};

pub fn both_directions() -> Result<()> {
    let lab = Lab::up(with_linux())?;
    let (a, b) = (lab.guest("blue/a"), lab.guest("blue/b"));
    ping(a, "10.1.0.12")?;
    ping(b, "10.1.0.11")?;
    send(a, b)?;
    send(b, a)?;
    let ledger = &settle(&lab)?["hv-a"];
    assert!(ledger.ports["blue/a"].rx > 1_000 && ledger.ports["up0"].tx > 1_000, "{ledger:?}");
    Ok(())
}

pub fn underlay_is_answered() -> Result<()> {
    let lab = Lab::up(with_linux())?;
    let underlay = lab.peer("lx-b").namespace();
    let pings = underlay.must("ping -c 5 -i 0.2 -s 1200 198.51.100.1")?;
    assert!(pings.contains("5 received"), "{pings}");
    let neighbors = underlay.must("ip neigh show 198.51.100.1")?;
    assert!(neighbors.contains("lladdr"), "{neighbors}");
    // Ports that nobody listens on are not answered, but counted.
    underlay.must("bash -c 'echo x > /dev/udp/198.51.100.1/9999'")?;
    let ledger = &settle(&lab)?["hv-a"];
    assert!(ledger.ports["up0"].drops["underlay_unwanted"] > 0, "{ledger:?}");
    Ok(())
}

pub fn strangers_are_not_heard() -> Result<()> {
    let lab = Lab::up(with_linux())?;
    ping(lab.guest("blue/b"), "10.1.0.11")?;
    let underlay = lab.peer("lx-b").namespace();
    // The same host under an address that the document does not know.
    let device = underlay.must("ip -o -4 addr show to 198.51.100.2")?;
    let device = device.split_whitespace().nth(1).unwrap_or_default();
    underlay.must(&format!("ip addr add 198.51.100.77/24 dev {device}"))?;
    underlay.must(
        "ip link add stranger type vxlan id 1002 local 198.51.100.77 remote 198.51.100.1 dstport 4789 nolearning \
         && ip addr add 10.1.0.12/24 dev stranger && ip link set dev stranger up",
    )?;
    underlay.run("busybox ping -c 2 -W 1 -I stranger 10.1.0.11", SOON)?;
    let ledger = &settle(&lab)?["hv-a"];
    assert!(ledger.ports["up0"].drops["unknown_peer"] > 0, "{ledger:?}");
    Ok(())
}

/// One host with the switch and one with Linux alone, a guest of blue on each.
fn with_linux() -> LabSpec {
    LabSpec::new(Underlay::Veth)
        .host(HostSpec::new("hv-a", "198.51.100.1"))
        .host(HostSpec::linux("lx-b", "198.51.100.2"))
        .segment("blue", "front", 1001, "10.1.0.0/24")
        .guest("blue", "front", "a", "hv-a", "10.1.0.11", GuestKind::Netns)
        .guest("blue", "front", "b", "lx-b", "10.1.0.12", GuestKind::Netns)
}
