//! Connections between Linux guests over wires that lose, repeat, delay and reorder: policy never drops a packet of what
//! is allowed, with TCP held to its windows.

use std::io::Read;
use std::net::Shutdown;
use std::thread;
use std::time::Duration;

use rustix::net::sockopt;
use testbed::{Faults, GuestKind, GuestSpec, HostSpec, Lab, LabSpec, PolicySpec, Result, Underlay, wait_for};

use super::traffic::{
    accept, at, connection, connection_from, exchange, kernel_counter, listener, listener_with, on, pair,
    read, receive, send, write,
};
use super::{assert_none_false, denied};
use crate::{SOON, run, settle};

const WEB: (&str, &str) = ("blue/web", "10.1.0.11");
/// On the other host, over the bad wire between hosts.
const FAR: (&str, &str) = ("blue/far", "10.1.0.12");
/// On the same host, behind a bad wire of its own.
const NEAR: (&str, &str) = ("blue/near", "10.1.0.13");

pub fn no_false_drop() -> Result<()> {
    let lab = Lab::up(spec())?;
    side_by_side(&lab)?;
    zero_windows(&lab)?;
    half_closed(&lab)?;
    kept_alive(&lab)?;
    many_short(&lab)?;
    echoes(&lab)?;
    let ledgers = settle(&lab)?;
    assert_none_false(&ledgers);
    assert_eq!(denied(&ledgers), 0, "{ledgers:?}");
    for carried in lab.cut_wires()? {
        assert!(carried.lost > 0 && carried.repeated > 0 && carried.overtook > 100, "{carried:?}");
        assert_eq!(carried.crowded, 0, "{carried:?}");
    }
    Ok(())
}

/// Without bad wires: what a late repetition of the connection before does to the next of the same ports is another matter.
pub fn ports_used_again() -> Result<()> {
    let lab = Lab::up(good())?;
    for peer in [FAR, NEAR] {
        let (from, to) = (at(WEB.1, 40_000), at(peer.1, 5000));
        let listener = listener(&lab, peer.0, to)?;
        for round in 0..10 {
            let client = connection_from(&lab, WEB.0, from, to)?;
            let server = accept(&listener)?;
            // The server closes first: its end waits for what may still come, and is taken up again from there.
            send(&server, 20_000, round)?;
            receive(&client, 20_000, round)?;
            send(&client, 20_000, round)?;
            receive(&server, 20_000, round)?;
        }
        assert!(kernel_counter(&lab, peer.0, "TW")? + kernel_counter(&lab, peer.0, "TWRecycled")? > 0);
    }
    // One end is reset with bytes that nobody has read, and the port is used again at once.
    let (from, to) = (at(WEB.1, 40_001), at(FAR.1, 5001));
    let listener = listener(&lab, FAR.0, to)?;
    for round in 0..5 {
        let client = connection_from(&lab, WEB.0, from, to)?;
        let server = accept(&listener)?;
        write(&client, 1000, round)?;
        on("a byte", (&server).read_exact(&mut [0]))?;
        drop(server);
        let reset = on("the end", client.set_read_timeout(Some(SOON))).map(|()| (&client).read(&mut [0]))?;
        assert!(reset.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset));
    }
    let ledgers = settle(&lab)?;
    assert_none_false(&ledgers);
    assert_eq!(denied(&ledgers), 0, "{ledgers:?}");
    Ok(())
}

fn spec() -> LabSpec {
    let (delay, jitter) = (Duration::from_millis(5), Duration::from_millis(4));
    let wire = Faults { delay, jitter, hurried: 25.0, lost: 1.0, repeated: 1.0, ..Faults::default() };
    labelled(Some(wire), Some(Faults { lost: 3.0, seed: 2, ..wire }))
}

fn good() -> LabSpec {
    labelled(None, None)
}

fn labelled(between: Option<Faults>, near: Option<Faults>) -> LabSpec {
    let guest = |(name, address): (&str, &str), host, group| {
        GuestSpec::new(name, "front", host, address, GuestKind::Netns).groups(&[group])
    };
    let host = HostSpec::new("hv-a", "198.51.100.1");
    let behind = guest(NEAR, "hv-a", "db");
    LabSpec::new(Underlay::Veth)
        .host(between.into_iter().fold(host, HostSpec::faults))
        .host(HostSpec::new("hv-b", "198.51.100.2"))
        .sessions("{ tcp: strict, pick-up: false }")
        .segment("blue", "front", 1001, "10.1.0.0/24")
        .policy("blue", PolicySpec::deny_all().allow("web-to-db", "web", "db", &["tcp/5000-5999", "icmp/8"]))
        .with(guest(WEB, "hv-a", "web"))
        .with(guest(FAR, "hv-b", "db"))
        .with(near.into_iter().fold(behind, GuestSpec::faults))
}

/// Bulk both ways, on several connections to each of two peers at once.
fn side_by_side(lab: &Lab) -> Result<()> {
    let mut pairs = Vec::new();
    for (peer, count) in [(FAR, 3), (NEAR, 2)] {
        let listener = listener(lab, peer.0, at(peer.1, 5000))?;
        for _ in 0..count {
            pairs.push(pair(lab, WEB.0, at(peer.1, 5000), &listener)?);
        }
    }
    thread::scope(|scope| {
        let exchanges: Vec<_> =
            (0..).zip(&pairs).map(|(seed, pair)| scope.spawn(move || exchange(pair, BULK, seed))).collect();
        exchanges.into_iter().try_for_each(|exchange| exchange.join().expect("no panic"))
    })
}

/// A receiver with next to no room that reads only when its window is shut.
fn zero_windows(lab: &Lab) -> Result<()> {
    let listener = listener_with(lab, FAR.0, at(FAR.1, 5001), Some(1))?;
    let [client, server] = &pair(lab, WEB.0, at(FAR.1, 5001), &listener)?;
    on("a small buffer", sockopt::set_socket_send_buffer_size(client, 1))?;
    let shut = || kernel_counter(lab, FAR.0, "TCPToZeroWindowAdv");
    thread::scope(|scope| {
        let sender = scope.spawn(move || send(client, 60_000, 1));
        // Noise goes on from one read to the next only in whole blocks: so all is read at once in the end.
        let mut came = Vec::new();
        for _ in 0..4 {
            let before = shut()?;
            if came.is_empty() {
                wait_for(SOON, "the window to shut", || Ok((shut()? > 0).then_some(())))?;
            }
            let mut some = [0; 2000];
            on("some bytes", { server }.read_exact(&mut some))?;
            came.extend(some);
            wait_for(SOON, "the window to shut again", || Ok((shut()? > before).then_some(())))?;
        }
        on("the rest", { server }.read_to_end(&mut came))?;
        let mut expected = vec![0; 60_000];
        super::traffic::fill(&mut expected, 1);
        assert!(came == expected, "{} bytes came", came.len());
        sender.join().expect("no panic")
    })
}

/// One end has long ceased to send when the other begins.
fn half_closed(lab: &Lab) -> Result<()> {
    let listener = listener(lab, NEAR.0, at(NEAR.1, 5002))?;
    let [client, server] = pair(lab, WEB.0, at(NEAR.1, 5002), &listener)?;
    send(&client, 1000, 1)?;
    receive(&server, 1000, 1)?;
    thread::scope(|scope| {
        let reply = scope.spawn(|| send(&server, BULK, 2));
        receive(&client, BULK, 2)?;
        reply.join().expect("no panic")
    })
}

/// Probes of a byte that was acknowledged long ago, and their answers.
fn kept_alive(lab: &Lab) -> Result<()> {
    let listener = listener(lab, FAR.0, at(FAR.1, 5003))?;
    let [client, server] = pair(lab, WEB.0, at(FAR.1, 5003), &listener)?;
    let second = Duration::from_secs(1);
    on("keep-alive", sockopt::set_tcp_keepidle(&client, second))?;
    on("keep-alive", sockopt::set_tcp_keepintvl(&client, second))?;
    write(&client, 1000, 1)?;
    read(&server, 1000, 1)?;
    on("keep-alive", sockopt::set_socket_keepalive(&client, true))?;
    let before = kernel_counter(lab, WEB.0, "TCPKeepAlive")?;
    wait_for(SOON, "two keep-alive probes", || {
        Ok((kernel_counter(lab, WEB.0, "TCPKeepAlive")? >= before + 2).then_some(()))
    })?;
    exchange(&[client, server], 10_000, 2)
}

/// Connections of one question and one answer, several at a time, closed by either end.
fn many_short(lab: &Lab) -> Result<()> {
    let listeners = [FAR, NEAR].map(|peer| listener(lab, peer.0, at(peer.1, 5004)));
    thread::scope(|scope| {
        let mut work = Vec::new();
        for (peer, listener) in [FAR, NEAR].into_iter().zip(listeners) {
            let listener = listener?;
            work.push(scope.spawn(move || {
                (0..SHORT * CLIENTS).try_for_each(|_| {
                    let server = accept(&listener)?;
                    let mut number = [0];
                    on("a question", (&server).read_exact(&mut number))?;
                    send(&server, 3000, number[0].into())
                })
            }));
            for _ in 0..CLIENTS {
                work.push(scope.spawn(move || {
                    (0..SHORT).try_for_each(|number| {
                        let client = connection(lab, WEB.0, at(peer.1, 5004))?;
                        on("a question", std::io::Write::write_all(&mut &client, &[number]))?;
                        if number % 2 == 0 {
                            on("closing", client.shutdown(Shutdown::Write))?;
                        }
                        receive(&client, 3000, number.into())
                    })
                }));
            }
        }
        work.into_iter().try_for_each(|thread| thread.join().expect("no panic"))
    })
}

/// Echoes, small and in fragments; those that a wire loses do not come back.
fn echoes(lab: &Lab) -> Result<()> {
    for peer in [FAR, NEAR] {
        for (size, count) in [(56, 100), (4000, 200)] {
            let command = format!("ping -q -c {count} -i 0.01 -W 1 -s {size} {}", peer.1);
            let shown = run(lab.guest(WEB.0), &command)?;
            assert!(shown.contains("received"), "{shown}");
        }
    }
    Ok(())
}

/// Bytes of a transfer, each way.
const BULK: u64 = 1 << 20;

/// Short connections of each client to each peer.
const SHORT: u8 = 25;
const CLIENTS: u8 = 4;
