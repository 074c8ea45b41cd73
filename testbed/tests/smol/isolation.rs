//! What guests must not do, and must not see.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use testbed::Result;
use testbed::guest::smol::frames::{self, BROADCAST};
use testbed::guest::smol::protocol::{Filter, TcpState};

use crate::fabric::{Fabric, Place, SOON, mac, v4, v6};

/// Each kind of forgery as often as its place in the list, so that none is counted for another.
pub fn forgeries() -> Result<()> {
    let fabric = Fabric::up(&[Place("blue/a", 0, 11), Place("blue/b", 0, 12), Place("blue/c", 1, 13)])?;
    let (own, victim, other) = (mac(11), mac(12), mac(66));
    let (own4, victim4) = (four(v4(11)), four(v4(12)));
    let (own6, victim6) = (six(v6(11)), six(v6(12)));
    let datagram = |from, to| frames::udp(from, to, (7, 7), b"forged");
    let mut kinds = vec![
        ("spoofed_mac", vec![datagram((other, v4(11)), (victim, v4(12)))]),
        (
            "spoofed_ip",
            vec![
                datagram((own, v4(13)), (victim, v4(12))),
                datagram((own, v6(13)), (victim, v6(12))),
                // From no port of the segment, and to another host.
                datagram((own, v4(99)), (mac(13), v4(13))),
            ],
        ),
        (
            "spoofed_arp",
            vec![
                frames::arp_request(own, (own, four(v4(13))), victim4),
                frames::arp_request(own, (other, own4), victim4),
                frames::arp_reply(own, (own, four(v4(13))), (victim, victim4)),
            ],
        ),
        (
            "spoofed_nd",
            vec![
                frames::neighbor_solicit((own, own6), other, victim6),
                frames::neighbor_advert((own, own6), (victim, victim6), six(v6(13)), own),
            ],
        ),
        ("malformed_ipv4", vec![frames::ethernet(own, victim, 0x0800, &[0x45; 12])]),
        ("malformed_ipv6", vec![frames::ethernet(own, victim, 0x86dd, &[0x60; 20])]),
        ("malformed_arp", vec![frames::ethernet(own, BROADCAST, 0x0806, &[0, 1, 8, 0])]),
        ("vlan_tagged", vec![frames::ethernet(own, victim, 0x8100, &[0, 5, 8, 0, 0x45])]),
        ("ethertype_unsupported", vec![frames::ethernet(own, BROADCAST, 0x88cc, b"forged")]),
    ];
    let mut injected = 0;
    for (index, (_, frames)) in kinds.iter_mut().enumerate() {
        for frame in frames {
            fabric.guests.inject("blue/a", frame, index as u16 + 1)?;
            injected += index as u64 + 1;
        }
    }
    for (index, (reason, frames)) in kinds.iter().enumerate() {
        fabric.wait_for_drops("blue/a", reason, (index + 1) as u64 * frames.len() as u64)?;
    }
    assert_eq!(fabric.drops("blue/a")?.values().sum::<u64>(), injected, "{:?}", fabric.drops("blue/a")?);
    for guest in ["blue/b", "blue/c"] {
        assert!(fabric.drops(guest)?.is_empty());
        assert_eq!(fabric.guests.stats(guest)?.rx, 0, "{guest} was sent a forgery");
    }
    // The forger's own traffic passes as before, and those it forged are where they were.
    for (from, to) in [("blue/a", v4(12)), ("blue/b", v4(11)), ("blue/b", v6(13)), ("blue/c", v4(11))] {
        assert_eq!(fabric.guests.ping(from, to, 3, SOON)?.lost, 0, "{from} to {to}");
    }
    fabric.assert_no_leaks()?;
    let ledgers = fabric.settle_exactly()?;
    assert_eq!(ledgers["hv-a"].ports["blue/a"].drops.values().sum::<u64>(), injected);
    Ok(())
}

/// Two tenants whose guests have the same MAC and IP addresses, on two hosts.
pub fn equal_addresses() -> Result<()> {
    let fabric = Fabric::up(&[
        Place("blue/a", 0, 11),
        Place("blue/b", 0, 12),
        Place("blue/c", 1, 13),
        Place("red/a", 0, 11),
        Place("red/b", 0, 12),
        Place("red/c", 1, 13),
        // Only here.
        Place("red/d", 1, 14),
    ])?;
    for tenant in ["blue", "red"] {
        for (from, to) in [("a", v4(12)), ("a", v4(13)), ("b", v6(13)), ("c", v6(11))] {
            let from = format!("{tenant}/{from}");
            assert_eq!(fabric.guests.ping(&from, to, 5, SOON)?.lost, 0, "{from} to {to}");
        }
        for (number, guest) in [(1, "b"), (2, "c")] {
            fabric.guests.tcp_listen(&format!("{tenant}/{guest}"), 80 + number)?;
            fabric.guests.udp_listen(&format!("{tenant}/{guest}"), 53)?;
        }
    }
    // At the same time, between the same addresses and ports.
    let send = |from: &str, to: IpAddr, port, seed| {
        fabric.guests.tcp_send_start(from, (to, port), 8 << 20, seed, SOON)
    };
    let jobs = [
        (send("blue/a", v4(12), 81, 1)?, "blue/b", 81),
        (send("red/a", v4(12), 81, 2)?, "red/b", 81),
        (send("blue/a", v4(13), 82, 3)?, "blue/c", 82),
        (send("red/a", v4(13), 82, 4)?, "red/c", 82),
    ];
    for (job, receiver, port) in jobs {
        let (sent, received) = (job.finish()?, fabric.guests.tcp_received(receiver, port, 1, SOON)?);
        assert_eq!((received.len(), received[0].state), (1, TcpState::Complete), "{receiver}");
        assert_eq!((received[0].bytes, &received[0].sha256), (8 << 20, &sent.sha256), "{receiver}");
    }
    fabric.guests.udp_send("blue/a", (v4(13), 53), 50, 500, SOON)?;
    assert_eq!(fabric.guests.udp_received("blue/c", 53, 50, SOON)?.datagrams, 50);
    // A flood of the other tenant, with an end that tells that all before it has arrived.
    let shout = frames::udp((mac(11), v4(11)), (BROADCAST, v4(255)), (7, 7), b"weft:blue of blue");
    fabric.guests.inject("blue/a", &shout, 20)?;
    let is_shout = Filter { contains_hex: Some(testbed::guest::smol::hex(b"of blue")), ..Filter::default() };
    for guest in ["blue/b", "blue/c"] {
        let all = || Ok((fabric.guests.captured(guest, is_shout.clone())?.matched == 20).then_some(()));
        testbed::wait_for(SOON, format!("the broadcasts at {guest}"), all)?;
    }
    for guest in ["red/a", "red/b", "red/c", "red/d"] {
        assert_eq!(fabric.guests.captured(guest, is_shout.clone())?.matched, 0, "{guest}");
        if guest == "red/b" || guest == "red/c" {
            assert_eq!(fabric.guests.udp_received(guest, 53, 0, SOON)?.datagrams, 0, "{guest}");
        }
    }
    let short = std::time::Duration::from_millis(500);
    assert_eq!(
        fabric.guests.ping("blue/a", v4(14), 3, short)?.received,
        0,
        "an address of the other tenant only"
    );
    fabric.assert_no_leaks()?;
    fabric.settle_exactly().map(drop)
}

fn four(address: IpAddr) -> Ipv4Addr {
    match address {
        IpAddr::V4(address) => address,
        IpAddr::V6(_) => panic!("{address} is IPv6"),
    }
}

fn six(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V6(address) => address,
        IpAddr::V4(_) => panic!("{address} is IPv4"),
    }
}
