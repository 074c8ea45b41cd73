//! A guest that claims to be another.

use testbed::{GuestKind, HostSpec, Lab, LabSpec, Result, Underlay};

use super::{SOON, ping, ping_in_vain, run, settle};

pub fn mac_ip_and_arp() -> Result<()> {
    let spec = LabSpec::new(Underlay::Veth)
        .host(HostSpec::new("hv-a", "198.51.100.1"))
        .host(HostSpec::new("hv-b", "198.51.100.2"))
        .segment("blue", "front", 1001, "10.1.0.0/24")
        .guest("blue", "front", "a", "hv-a", "10.1.0.11", GuestKind::Netns)
        .guest("blue", "front", "b", "hv-b", "10.1.0.12", GuestKind::Netns);
    let lab = Lab::up(spec)?;
    let guest = lab.guest("blue/a");
    ping(guest, "10.1.0.12")?;

    // Another's address, with the neighbour known so that no ARP stands before it.
    let mac = run(lab.guest("blue/b"), "cat /sys/class/net/eth0/address")?;
    run(guest, &format!("ip neigh replace 10.1.0.12 lladdr {} dev eth0", mac.trim()))?;
    run(guest, "ip addr add 10.1.0.99/24 dev eth0")?;
    guest.run("ping -c 2 -W 1 -I 10.1.0.99 10.1.0.12", SOON)?;
    // The same address announced.
    guest.run("busybox arping -c 2 -U -I eth0 -s 10.1.0.99 10.1.0.99", SOON)?;
    run(guest, "ip addr del 10.1.0.99/24 dev eth0")?;
    // Another's MAC.
    let own = run(guest, "cat /sys/class/net/eth0/address")?;
    run(
        guest,
        "ip link set dev eth0 down && ip link set dev eth0 address 02:00:00:00:00:77 && ip link set dev eth0 up",
    )?;
    ping_in_vain(guest, "10.1.0.12")?;
    // Itself again.
    run(
        guest,
        &format!(
            "ip link set dev eth0 down && ip link set dev eth0 address {} && ip link set dev eth0 up",
            own.trim()
        ),
    )?;
    ping(guest, "10.1.0.12")?;

    let ledger = &settle(&lab)?["hv-a"];
    let drops = &ledger.ports["blue/a"].drops;
    for reason in ["spoofed_ip", "spoofed_arp", "spoofed_mac"] {
        assert!(drops.get(reason).is_some_and(|count| *count >= 2), "{reason}: {drops:?}");
    }
    Ok(())
}
