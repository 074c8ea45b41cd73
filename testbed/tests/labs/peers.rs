use std::time::Duration;

use testbed::guest::NetnsGuest;
use testbed::peer::{Endpoint, LinuxVxlan, Remote};
use testbed::underlay::Bridge;
use testbed::{Result, Spawn, Station, transfer};

/// Two tenants on each of two peers, with the same addresses and the same MACs.
pub fn tenants_with_equal_addresses() -> Result<()> {
    let mut bridge = Bridge::new()?;
    let mut host =
        |name: &str, last: u8| LinuxVxlan::new(name, &mut bridge, [198, 51, 100, last].into(), 24, 4789);
    let (mut a, mut b) = (host("lx-a", 1)?, host("lx-b", 2)?);
    for (tenant, vni) in [("blue", 1001), ("red", 1002)] {
        attach(&mut a, &format!("{tenant}/one"), vni, 1, 2)?;
        attach(&mut b, &format!("{tenant}/two"), vni, 2, 1)?;
    }
    for tenant in ["blue", "red"] {
        let (one, two) = (a.port(&format!("{tenant}/one"))?, b.port(&format!("{tenant}/two"))?);
        assert!(one.pings(two.address(), 3, SOON)?);
        let done = transfer(one, two, 4, SOON)?;
        assert_eq!(done.sent, done.received);
        by_own_program(two, one)?;
    }
    // Not across: an address that only the other tenant has.
    a.port("blue/one")?.namespace().must("ip addr add 10.1.0.77/24 dev eth0")?;
    assert!(!b.port("red/two")?.pings([10, 1, 0, 77].into(), 1, SOON)?);
    Ok(())
}

fn attach(peer: &mut LinuxVxlan, name: &str, vni: u32, here: u8, there: u8) -> Result<()> {
    let (mac, address) = (mac(here), [10, 1, 0, here].into());
    let remote = Remote { vtep: [198, 51, 100, there].into(), mac: self::mac(there) };
    peer.attach(Endpoint { name, vni, mac: &mac, address, prefix: 24, mtu: 1500 }, &[remote]).map(drop)
}

fn mac(last: u8) -> String {
    format!("02:00:00:00:00:{last:02x}")
}

/// The same transfer by `testbed tcp-send` and `tcp-recv`.
fn by_own_program(from: &NetnsGuest, to: &NetnsGuest) -> Result<()> {
    let there = format!("{}:7000", to.address());
    let receiver = to.namespace().spawn(Spawn::new(BINARY).args(["tcp-recv", &there]))?;
    receiver.wait_for_log("listening", SOON)?;
    let sender =
        from.namespace().spawn(Spawn::new(BINARY).args(["tcp-send", &there, "--bytes", "3000000"]))?;
    assert_eq!((sender.wait(SOON)?.code(), receiver.wait(SOON)?.code()), (0, 0), "{}", sender.log());
    let hash = |log: String| log.split_once("\"sha256\":").map(|(_, rest)| rest[1..65].to_owned());
    assert_eq!(hash(sender.log()).ok_or("no hash"), hash(receiver.log()).ok_or("no hash there"));
    Ok(())
}

const BINARY: &str = env!("CARGO_BIN_EXE_testbed");
const SOON: Duration = Duration::from_secs(30);
