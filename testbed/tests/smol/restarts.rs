//! Guests and switches that are killed, and what is left of them.

use testbed::guest::smol::protocol::TcpOutcome;
use testbed::{Result, wait_for};

use crate::fabric::{Fabric, Place, SOON, v4, v6};

/// The switches go on through it; each time a transfer is under way.
pub fn guests_killed() -> Result<()> {
    let mut fabric = Fabric::up(&[Place("blue/a", 0, 11), Place("blue/b", 0, 12), Place("blue/c", 1, 13)])?;
    let switches: Vec<u32> = fabric.hosts.iter().map(|host| host.process().pid()).collect();
    for round in 0..4 {
        for guest in ["blue/b", "blue/c"] {
            fabric.guests.tcp_listen(guest, 80)?;
        }
        let under_way: Vec<_> = [("blue/a", v4(12)), ("blue/b", v6(13)), ("blue/b", v4(13))]
            .into_iter()
            .map(|(from, to)| fabric.guests.tcp_send_start(from, (to, 80), 4 << 30, round, SOON))
            .collect::<Result<_>>()?;
        for guest in ["blue/b", "blue/c"] {
            wait_for(SOON, format!("bytes at {guest}"), || {
                let received = fabric.guests.tcp_received(guest, 80, 0, SOON)?;
                Ok(received.iter().any(|one| one.bytes > 4 << 20).then_some(()))
            })?;
        }
        fabric.guests.restart()?;
        drop(under_way);
        fabric.wait_up()?;
        for (from, to) in [("blue/a", v4(12)), ("blue/a", v6(13)), ("blue/c", v4(12)), ("blue/b", v6(11))] {
            assert_eq!(fabric.guests.ping(from, to, 5, SOON)?.lost, 0, "round {round}, {from} to {to}");
        }
        fabric.assert_conserved()?;
    }
    fabric.guests.tcp_listen("blue/c", 80)?;
    let sent = fabric.guests.tcp_send("blue/a", (v4(13), 80), 8 << 20, 1, SOON)?;
    assert_eq!(sent.outcome, TcpOutcome::Delivered);
    assert_eq!(fabric.guests.tcp_received("blue/c", 80, 1, SOON)?[0].sha256, sent.sha256);
    let running: Vec<u32> = fabric.hosts.iter().map(|host| host.process().pid()).collect();
    assert!(switches == running && fabric.hosts.iter().all(|host| host.process().exited().is_none()));
    fabric.settle().map(drop)
}

/// Each switch in turn.
pub fn switch_killed() -> Result<()> {
    let mut fabric = Fabric::up(&[Place("blue/a", 0, 11), Place("blue/b", 0, 12), Place("blue/c", 1, 13)])?;
    for host in [0, 1] {
        let guest = if host == 0 { "blue/b" } else { "blue/c" };
        assert_eq!(fabric.guests.ping("blue/a", v4(13), 3, SOON)?.lost, 0);
        let connects = fabric.guests.stats(guest)?.connects;
        fabric.restart_host(host)?;
        wait_for(SOON, format!("{guest} to find its switch again"), || {
            Ok((fabric.guests.stats(guest)?.connects > connects).then_some(()))
        })?;
        fabric.wait_up()?;
        for (from, to) in [("blue/a", v4(12)), ("blue/a", v6(13)), ("blue/c", v4(11))] {
            assert_eq!(fabric.guests.ping(from, to, 5, SOON)?.lost, 0, "{from} to {to}");
        }
        fabric.assert_conserved()?;
    }
    fabric.settle().map(drop)
}
