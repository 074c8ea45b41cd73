//! DSCP and ECN across the tunnel, with Linux at its other end.

use testbed::scope::Spawn;
use testbed::{Faults, GuestKind, HostSpec, Lab, LabSpec, Namespace, Result, Underlay};

use crate::{SOON, ping, ping_in_vain, settle};

/// What tcpdump prints of the first packets that match a filter, while something is done.
fn captured(at: &Namespace, device: &str, filter: &str, act: impl FnOnce() -> Result<()>) -> Result<String> {
    let command = format!("exec tcpdump --immediate-mode -l -nn -v -c 3 -i {device} '{filter}'");
    let tcpdump = at.spawn(Spawn::shell(&command).named("tcpdump"))?;
    tcpdump.wait_for_log("listening on", SOON)?;
    act()?;
    tcpdump.wait(SOON)?;
    Ok(tcpdump.log())
}

/// A guest pings the other's address with this octet.
fn echoes(from: &Namespace, tos: u8, to: &str) -> Result<()> {
    let said = from.must(&format!("ping -c 3 -i 0.2 -W 5 -Q {tos:#x} {to}"))?;
    assert!(said.contains(" 3 received"), "{said}");
    Ok(())
}

/// The octets of the outer and of the inner headers, as tcpdump prints them: `IP (tos 0xb8, ECT(0)…`.
fn octets(log: &str) -> Vec<u8> {
    let hex = |text: &str| u8::from_str_radix(text.split([',', ' ']).next()?, 16).ok();
    log.split("(tos 0x").skip(1).filter_map(hex).collect()
}

const EF: u8 = 46 << 2;
const ECT_0: u8 = 2;
const CE: u8 = 3;
const A: &str = "10.1.0.11";
const B: &str = "10.1.0.12";

pub fn to_linux() -> Result<()> {
    let host = HostSpec::new("hv-a", "198.51.100.1");
    let classes = "[{ name: voice, dscp: [ef], strict: true, mark: cs5 }, { name: rest, mark: af11 }]";
    let mut lab = Lab::up(spec(host.clone(), "uniform", ""))?;
    ping(lab.guest("blue/a"), B)?;
    // Encapsulated ICMP from the switch.
    let filter = "udp and src 198.51.100.1 and udp[39] == 1";
    let seen = |lab: &Lab, tos: u8| {
        let echoes = || echoes(lab.namespace("blue/a"), tos, B);
        captured(lab.peer("lx-b").namespace(), "up0", filter, echoes)
    };
    // What is inside is outside.
    let log = seen(&lab, EF | ECT_0)?;
    assert_eq!(octets(&log), [EF | ECT_0; 6], "{log}");
    // The class's mark is outside, with the ECN of the inside.
    lab.apply(&spec(host, "pipe", &format!("qos: {{ classes: {classes} }}")))?;
    let log = seen(&lab, EF | ECT_0)?;
    assert_eq!(octets(&log), [40 << 2 | ECT_0, EF | ECT_0].repeat(3), "{log}");
    let log = seen(&lab, 0)?;
    assert_eq!(octets(&log), [10 << 2, 0].repeat(3), "{log}");
    settle(&lab)?;
    Ok(())
}

/// Over a router that is congested, and says so with another DSCP.
pub fn from_linux() -> Result<()> {
    const ON_THE_WAY: u8 = 10 << 2 | CE;
    let marking = Faults { marked: Some(ON_THE_WAY), ..Faults::default() };
    let host = HostSpec::new("hv-a", "198.51.100.1").faults(marking);
    let mut lab = Lab::up(spec(host.clone(), "pipe", ""))?;
    let seen = |lab: &Lab| {
        let echoes = || echoes(lab.peer("lx-b").port("blue/b")?.namespace(), EF | ECT_0, A);
        captured(lab.namespace("blue/a"), "eth0", "icmp[icmptype] == icmp-echo", echoes)
    };
    let log = seen(&lab)?;
    assert_eq!(octets(&log), [EF | CE; 3], "{log}");
    lab.apply(&spec(host, "uniform", ""))?;
    let log = seen(&lab)?;
    assert_eq!(octets(&log), [ON_THE_WAY; 3], "{log}");
    // Who would not understand the mark is to lose the packet.
    ping_in_vain(lab.guest("blue/b"), A)?;
    let ledger = &settle(&lab)?["hv-a"];
    assert_eq!(ledger.ports["up0"].drops["not_ecn_capable"], 2, "{ledger:?}");
    Ok(())
}

/// A host of the fabric, and Linux as another.
fn spec(host: HostSpec, dscp: &str, qos: &str) -> LabSpec {
    LabSpec::new(Underlay::Veth)
        .dscp(dscp)
        .host(host)
        .host(HostSpec::linux("lx-b", "198.51.100.2"))
        .segment("blue", "front", 1001, "10.1.0.0/24")
        .document("blue", qos)
        .guest("blue", "front", "a", "hv-a", "10.1.0.11", GuestKind::Netns)
        .guest("blue", "front", "b", "lx-b", "10.1.0.12", GuestKind::Netns)
}
