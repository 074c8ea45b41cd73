//! Guests reach those that they may, by all protocols, in both families.

use std::net::IpAddr;
use std::time::Duration;

use testbed::Result;
use testbed::guest::smol::protocol::{TcpOutcome, TcpState};

use crate::fabric::{Fabric, Place, SOON, v4, v6};

pub fn one_host() -> Result<()> {
    let fabric = Fabric::up(&[Place("blue/a", 0, 11), Place("blue/b", 0, 12)])?;
    everything(&fabric, "blue/a", 11, "blue/b", 12)?;
    capture(&fabric)?;
    fabric.assert_no_leaks()?;
    fabric.settle_exactly().map(drop)
}

pub fn two_hosts() -> Result<()> {
    let fabric = Fabric::up(&[Place("blue/a", 0, 11), Place("blue/b", 1, 12)])?;
    everything(&fabric, "blue/a", 11, "blue/b", 12)?;
    fabric.assert_no_leaks()?;
    fabric.settle_exactly().map(drop)
}

pub fn refusals() -> Result<()> {
    let fabric = Fabric::up(&[Place("blue/a", 0, 11), Place("blue/b", 0, 12)])?;
    let refused = fabric.guests.tcp_send("blue/a", (v4(12), 81), 1, 0, SOON)?;
    assert_eq!((refused.outcome, refused.bytes), (TcpOutcome::Refused, 0));
    let short = Duration::from_millis(300);
    let absent = fabric.guests.tcp_send("blue/a", (v4(99), 80), 1, 0, short)?;
    assert_eq!(absent.outcome, TcpOutcome::NoAnswer);
    let absent = fabric.guests.ping("blue/a", v6(99), 3, short)?;
    assert_eq!((absent.sent, absent.received, absent.lost), (3, 0, 3));
    let unknown = fabric.guests.ping("blue/c", v4(11), 1, short).expect_err("nobody of this name");
    assert!(unknown.to_string().contains("no guest blue/c"), "{unknown}");
    fabric.settle_exactly().map(drop)
}

/// As many guests as a switch's process has ports for: DPDK's limit of 32 holds for it, too.
pub fn many() -> Result<()> {
    let names: Vec<&'static str> = (0..31).map(|number| &*format!("blue/g{number}").leak()).collect();
    let places: Vec<Place> = names.iter().zip(11..).map(|(name, number)| Place(name, 0, number)).collect();
    let fabric = Fabric::up(&places)?;
    for (index, name) in names.iter().enumerate() {
        let next = 11 + (index + 1) % names.len();
        let pings = fabric.guests.ping(name, v4(next as u8), 3, SOON)?;
        assert_eq!(pings.lost, 0, "{name}: {pings:?}");
    }
    fabric.assert_no_leaks()?;
    fabric.settle_exactly().map(drop)
}

/// What a guest receives is in the file that it was told to write.
fn capture(fabric: &Fabric) -> Result<()> {
    let file = tempfile::NamedTempFile::new().expect("a file of our own");
    fabric.guests.capture("blue/b", Some(file.path().to_owned()))?;
    assert_eq!(fabric.guests.ping("blue/a", v4(12), 5, SOON)?.received, 5);
    fabric.guests.capture("blue/b", None)?;
    let mut reader = pcap_file::pcap::PcapReader::new(file.reopen().expect("the file")).expect("a pcap file");
    let mut frames = 0;
    while let Some(packet) = reader.next_packet() {
        assert_eq!(packet.expect("a packet").data[6..12], crate::fabric::mac(11));
        frames += 1;
    }
    // The requests, and what asked for the neighbour.
    assert!(frames > 5, "{frames} frames");
    Ok(())
}

/// Both guests ping each other, send datagrams and 64 MiB.
fn everything(fabric: &Fabric, a: &str, number_a: u8, b: &str, number_b: u8) -> Result<()> {
    for (from, to) in [(a, number_b), (b, number_a)] {
        for address in [v4(to), v6(to)] {
            let pings = fabric.guests.ping(from, address, 10, SOON)?;
            assert_eq!((pings.sent, pings.received), (10, 10), "{from} to {address}");
            println!("{from} to {address}: {:?}", pings.rtt_us);
        }
        // To the largest packet that the MTU lets through.
        let pings = fabric.guests.ping_sized(from, v4(to), 3, 1550 - 28, SOON)?;
        assert_eq!(pings.lost, 0, "large pings from {from}");
    }
    datagrams(fabric, a, v4(number_b), b)?;
    datagrams(fabric, b, v6(number_a), a)?;
    for guest in [a, b] {
        fabric.guests.tcp_listen(guest, 80)?;
    }
    stream(fabric, a, v4(number_b), b)?;
    stream(fabric, b, v4(number_a), a)?;
    stream(fabric, a, v6(number_b), b)
}

fn datagrams(fabric: &Fabric, from: &str, to: IpAddr, receiver: &str) -> Result<()> {
    fabric.guests.udp_listen(receiver, 53)?;
    let sent = fabric.guests.udp_send(from, (to, 53), 200, 1000, SOON)?;
    let received = fabric.guests.udp_received(receiver, 53, 200, SOON)?;
    assert_eq!((sent.datagrams, received.datagrams, received.bytes), (200, 200, 200_000), "{received:?}");
    assert_eq!((received.duplicates, received.from.len()), (0, 1));
    Ok(())
}

fn stream(fabric: &Fabric, from: &str, to: IpAddr, receiver: &str) -> Result<()> {
    let before = fabric.guests.tcp_received(receiver, 80, 0, SOON)?.len();
    let sent = fabric.guests.tcp_send(from, (to, 80), 64 << 20, before as u64, SOON)?;
    assert_eq!((sent.outcome, sent.bytes), (TcpOutcome::Delivered, 64 << 20), "{from} to {to}");
    let received = fabric.guests.tcp_received(receiver, 80, before + 1, SOON)?;
    let last = &received[before];
    assert_eq!((last.bytes, &last.sha256, last.state), (64 << 20, &sent.sha256, TcpState::Complete));
    println!("{from} to {to}: 64 MiB in {:.2} s", sent.seconds);
    Ok(())
}
