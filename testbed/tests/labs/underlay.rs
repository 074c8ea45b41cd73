use std::fs;
use std::sync::Arc;
use std::time::Duration;

use testbed::guest::{Machine, Nic, QemuGuest};
use testbed::{Process, Result, Station, Underlay, WorkDir, transfer, wait_for};

use crate::testpmd::Testpmd;

/// Two cross-connects for hosts, a machine behind each, and the vhost-user underlay between them.
pub fn vhost_survives() -> Result<()> {
    let dir = Arc::new(WorkDir::new()?);
    let wiring = Underlay::Vhost.join(&dir, &["a", "b"])?;
    let sockets = [dir.join("a.sock"), dir.join("b.sock")];
    let host = |index: usize, name: &'static str| {
        let uplink = wiring.uplink(name).map(|uplink| uplink.device.clone()).unwrap_or_default();
        Testpmd::between([format!("net_vhost0,iface={}", sockets[index].display()), uplink]).named(name)
    };
    let start = |index: usize, name: &'static str| -> Result<Process> {
        drop(fs::remove_file(&sockets[index]));
        wiring.uplink(name).into_iter().for_each(|uplink| uplink.clear());
        host(index, name).start(&dir)
    };
    let (a, b) = (start(0, "a")?, start(1, "b")?);
    let guest = |index: usize, name: &str| {
        let address = [10, 1, 0, 11 + index as u8].into();
        let nic = Nic::new(&sockets[index], &format!("02:00:00:00:01:1{index}"), address, 24);
        QemuGuest::start(&dir, Machine::new(name, Nic { mtu: 1600, ..nic }))
    };
    let (one, two) = (guest(0, "one")?, guest(1, "two")?);
    one.wait_ready(BOOT)?;
    two.wait_ready(BOOT)?;
    let large = format!("ping -s 1572 -c 3 -i 0.2 -W 3 {}", two.address());
    assert!(one.run(&large, SOON)?.stdout.contains("3 packets received"));
    let done = transfer(&one, &two, 2, BOOT)?;
    assert_eq!(done.sent, done.received);

    let mut hosts = [(0, "a", a), (1, "b", b)];
    for (index, name, process) in &mut hosts {
        process.kill9()?;
        *process = start(*index, name)?;
        wait_for(SOON, format!("traffic after the death of {name}"), || {
            Ok(one.pings(two.address(), 1, SOON)?.then_some(()))
        })?;
    }
    Ok(())
}

const BOOT: Duration = Duration::from_secs(90);
const SOON: Duration = Duration::from_secs(30);
