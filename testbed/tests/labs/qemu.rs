use std::fs;
use std::sync::Arc;
use std::time::Duration;

use testbed::guest::{Machine, Nic, QemuGuest};
use testbed::{Error, Result, Station, WorkDir, transfer};

use crate::testpmd::Testpmd;

pub fn guests_reach_each_other() -> Result<()> {
    let dir = Arc::new(WorkDir::new()?);
    let sockets = [dir.join("a.sock"), dir.join("b.sock")];
    let port = |index: usize| format!("net_vhost{index},iface={}", sockets[index].display());
    let switch = Testpmd::between([port(0), port(1)]);
    let running = switch.start(&dir)?;
    let guest = |index: usize, name: &str| {
        let address = [10, 1, 0, 11 + index as u8].into();
        let nic = Nic::new(&sockets[index], &format!("02:00:00:00:01:1{index}"), address, 24);
        QemuGuest::start(&dir, Machine::new(name, nic))
    };
    let (a, mut b) = (guest(0, "a")?, guest(1, "b")?);
    a.wait_ready(BOOT)?;
    b.wait_ready(BOOT)?;
    reach(&a, &b)?;
    let done = transfer(&a, &b, 4, Duration::from_secs(60))?;
    assert_eq!(done.sent, done.received);

    // The switch dies and comes again: the machines find it by themselves.
    running.kill9()?;
    for socket in &sockets {
        drop(fs::remove_file(socket));
    }
    let _running = switch.start(&dir)?;
    testbed::wait_for(Duration::from_secs(20), "guests to find the new switch", || {
        Ok(a.pings(b.address(), 1, Duration::from_secs(10))?.then_some(()))
    })?;
    reach(&b, &a)?;

    // A machine dies and comes again, on the same socket.
    b.restart()?;
    b.wait_ready(BOOT)?;
    reach(&a, &b)?;
    let done = transfer(&b, &a, 4, Duration::from_secs(60))?;
    assert_eq!(done.sent, done.received);
    Ok(())
}

pub fn commands_are_framed_and_bounded() -> Result<()> {
    let dir = Arc::new(WorkDir::new()?);
    let machine = Machine { name: "lone".into(), memory: 128, nics: Vec::new() };
    let guest = QemuGuest::start(&dir, machine)?;
    guest.wait_ready(BOOT)?;
    let soon = Duration::from_secs(20);
    assert_eq!(guest.run("echo one; echo two >&2; exit 7", soon)?.status, 7);
    assert_eq!(guest.run("printf 'no newline'", soon)?.stdout, "no newline");
    // A kernel message in the midst of it goes to the other port.
    let output = guest
        .run("echo before; echo noise > /dev/kmsg; dmesg -n 8; echo noise > /dev/kmsg; echo after", soon)?;
    assert_eq!(output.stdout, "before\nafter\n");
    assert_eq!(guest.run("seq 20000 | sha256sum", soon)?.status, 0);
    assert_eq!(guest.run("seq 20000", soon)?.stdout.lines().count(), 20_000);
    let late = guest.run("echo begun; sleep 60", Duration::from_secs(2));
    assert!(matches!(&late, Err(Error::TimedOut { .. })), "{late:?}");
    assert_eq!(guest.run("echo still here", soon)?.stdout, "still here\n");
    Ok(())
}

fn reach(from: &QemuGuest, to: &QemuGuest) -> Result<()> {
    let output = from.run(&format!("ping -c 3 -i 0.2 -W 3 {}", to.address()), Duration::from_secs(20))?;
    assert!(output.stdout.contains("3 packets received"), "{}", output.stdout);
    Ok(())
}

const BOOT: Duration = Duration::from_secs(60);
