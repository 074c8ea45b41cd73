//! Another document for switches that carry traffic: what keeps its rule is not touched, what is forbidden ends, what is
//! refused changes nothing, guests come and go.

use std::fs;
use std::time::Duration;

use testbed::scope::Watch;
use testbed::{GuestKind, GuestSpec, HostSpec, Lab, LabSpec, PolicySpec, Result, Underlay, wait_for};

use super::streams::Stream;
use super::traffic::{Attempt, at, exchange, is_alone, listener, on, pair, write};
use super::{assert_none_false, denied, drops, sessions};
use crate::{SOON, ping, ping_in_vain, settle};

const WEB: (&str, &str) = ("blue/web", "10.1.0.11");
/// On the other host.
const FAR: (&str, &str) = ("blue/far", "10.1.0.12");
/// On the same host.
const NEAR: (&str, &str) = ("blue/near", "10.1.0.13");
/// Guests that come later: on the other host, and on the same.
const LATE: [(&str, &str, &str); 2] =
    [("blue/late1", "hv-b", "10.1.0.14"), ("blue/late2", "hv-a", "10.1.0.15")];

const HOSTS: [&str; 2] = ["hv-a", "hv-b"];

/// How long a forbidden connection may stay that nobody uses: a second by the switch's word, and a busy machine.
const IDLE_ENDS: Duration = Duration::from_secs(2);

/// Connections go on from beginning to end, while policies come and go that allow them all, by one rule or another, documents
/// are refused, and guests come and go.
pub fn what_is_kept() -> Result<()> {
    let mut lab = Lab::up(spec(policy()))?;
    let mut streams = Vec::new();
    for (peer, port) in [(FAR, 5000), (NEAR, 5001)] {
        let listener = listener(&lab, peer.0, at(peer.1, port))?;
        let [client, server] = pair(&lab, WEB.0, at(peer.1, port), &listener)?;
        streams.push(Stream::start(client, server, port.into())?);
    }
    let others = PolicySpec::deny_all()
        .deny("no-telnet", "any", "any", &["tcp/23"])
        .allow("one", "web", "db", &["tcp/5000", "icmp/8"])
        .allow("other", "any", "any", &["tcp/5001"]);
    for round in 0..20 {
        let policy = if round % 2 == 0 { others.clone() } else { policy() };
        lab.apply(&spec(policy))?;
        streams.iter().try_for_each(Stream::wait_for_more)?;
    }
    refused(&lab)?;
    streams.iter().try_for_each(Stream::wait_for_more)?;
    let in_vain = guests_come_and_go(&mut lab, &streams)?;
    for stream in streams {
        let bytes = stream.finish()?;
        assert!(bytes > 100_000, "{bytes}");
    }
    let ledgers = settle(&lab)?;
    assert_none_false(&ledgers);
    assert_eq!(denied(&ledgers), in_vain, "{ledgers:?}");
    Ok(())
}

/// Each is refused whole: no port, no rule, no epoch changes.
fn refused(lab: &Lab) -> Result<()> {
    let document = lab.document()?;
    let next = lab.dir().join("next.yaml");
    let state = |host: &str| -> Result<_> {
        let epoch = lab.host(host).show("workers")?[0]["epoch"].clone();
        Ok((epoch, lab.host(host).show("ports")?.as_array().map(Vec::len)))
    };
    let (no_yaml, other_memory) = (format!("{document}  ]"), document.replace("128MiB", "160MiB"));
    let no_rule = document.replace("[tcp/5000-5999", "[tcp/5000-4999");
    for host in HOSTS {
        let before = state(host)?;
        for (text, status, said) in
            [(&no_yaml, 2, "error"), (&no_rule, 2, "5000-4999"), (&other_memory, 1, "started anew")]
        {
            assert_ne!(*text, document);
            on("writing a document", fs::write(&next, text))?;
            let output = lab.host(host).apply(&next)?;
            assert!(output.status == status && output.stdout.contains(said), "{host}: {output:?}");
        }
        assert_eq!(state(host)?, before, "{host}");
    }
    Ok(())
}

/// Returns how many pings of a guest that was gone were denied.
fn guests_come_and_go(lab: &mut Lab, streams: &[Stream]) -> Result<u64> {
    let mut in_vain = 0;
    let late = || {
        LATE.into_iter().fold(spec(policy()), |spec, (name, host, address)| {
            spec.with(GuestSpec::new(name, "front", host, address, GuestKind::Netns).groups(&["db"]))
        })
    };
    for _ in 0..2 {
        lab.apply(&late())?;
        for (name, _, address) in LATE {
            ping(lab.guest(WEB.0), address)?;
            let listener = listener(lab, name, at(address, 5002))?;
            exchange(&pair(lab, WEB.0, at(address, 5002), &listener)?, 50_000, 7)?;
        }
        lab.apply(&LATE.into_iter().fold(late(), |spec, (name, ..)| spec.without(name)))?;
        let before = drops(lab, "hv-a", Some(WEB.0), "policy_denied")?;
        ping_in_vain(lab.guest(WEB.0), LATE[0].2)?;
        // Two, or fewer when nobody answers for its address any more.
        let denied = drops(lab, "hv-a", Some(WEB.0), "policy_denied")? - before;
        assert!(denied <= 2, "{denied}");
        in_vain += denied;
        streams.iter().try_for_each(Stream::wait_for_more)?;
    }
    Ok(in_vain)
}

/// A connection in use ends with its next packet, one that nobody uses soon after; others do not.
pub fn what_is_forbidden() -> Result<()> {
    let mut lab = Lab::up(spec(policy()))?;
    let connect = |peer: (&str, &str), port: u16| -> Result<_> {
        pair(&lab, WEB.0, at(peer.1, port), &listener(&lab, peer.0, at(peer.1, port))?)
    };
    let kept = [connect(FAR, 5000)?, connect(NEAR, 5000)?];
    let used = [connect(FAR, 5001)?, connect(NEAR, 5001)?];
    let unused = [connect(FAR, 5002)?, connect(NEAR, 5002)?];
    for ([client, server], seed) in kept.iter().chain(&used).chain(&unused).zip(1..) {
        write(client, 1000, seed)?;
        super::traffic::read(server, 1000, seed)?;
    }
    assert_eq!(sessions(&lab, "hv-a")?, 6);
    assert_eq!(sessions(&lab, "hv-b")?, 3);
    let stricter = PolicySpec::deny_all().allow("only", "web", "db", &["tcp/5000"]);
    let before = drops(&lab, "hv-a", Some(WEB.0), "policy_denied")?;
    lab.apply(&spec(stricter.clone()))?;
    let watch = Watch::new(IDLE_ENDS);
    // Their next packets: none comes to the other end.
    for [client, server] in &used {
        write(client, 1000, 9)?;
        on("a stream", server.set_nonblocking(true))?;
    }
    wait_for(SOON, "the next packets to be denied", || {
        Ok((drops(&lab, "hv-a", Some(WEB.0), "policy_denied")? >= before + 2).then_some(()))
    })?;
    for host in HOSTS {
        let left = if host == "hv-a" { 2 } else { 1 };
        wait_for(watch.left(), format!("what nobody uses to end on {host}"), || {
            Ok((sessions(&lab, host)? == left).then_some(()))
        })?;
    }
    for [_, server] in &used {
        let came = std::io::Read::read(&mut &*server, &mut [0; 16]);
        assert!(came.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock));
    }
    // New ones are not let in either, and the others are as they were.
    let shut = listener(&lab, FAR.0, at(FAR.1, 5003))?;
    let before = drops(&lab, "hv-a", Some(WEB.0), "policy_denied")?;
    let attempt = Attempt::begin(&lab, WEB.0, at(FAR.1, 5003))?;
    wait_for(SOON, "a connection to be denied", || {
        Ok((drops(&lab, "hv-a", Some(WEB.0), "policy_denied")? > before).then_some(()))
    })?;
    attempt.assert_unanswered()?;
    assert!(is_alone(&shut));
    kept.iter().try_for_each(|pair| exchange(pair, 100_000, 10))?;
    // Allowed again, they go on where they were: nobody has told their ends.
    lab.apply(&spec(policy()))?;
    for ([client, server], seed) in unused.iter().zip(20..) {
        write(client, 1000, seed)?;
        super::traffic::read(server, 1000, seed)?;
    }
    let ledgers = settle(&lab)?;
    for reason in ["tcp_out_of_window", "tcp_flags", "tcp_no_session"] {
        assert!(ledgers.values().all(|ledger| ledger.drops(reason) == 0), "{reason}: {ledgers:?}");
    }
    Ok(())
}

fn policy() -> PolicySpec {
    PolicySpec::deny_all().allow("web-to-db", "web", "db", &["tcp/5000-5999", "icmp/8"])
}

fn spec(policy: PolicySpec) -> LabSpec {
    let guest = |(name, address): (&str, &str), host, group| {
        GuestSpec::new(name, "front", host, address, GuestKind::Netns).groups(&[group])
    };
    LabSpec::new(Underlay::Veth)
        .host(HostSpec::new("hv-a", "198.51.100.1"))
        .host(HostSpec::new("hv-b", "198.51.100.2"))
        .segment("blue", "front", 1001, "10.1.0.0/24")
        .policy("blue", policy)
        .with(guest(WEB, "hv-a", "web"))
        .with(guest(FAR, "hv-b", "db"))
        .with(guest(NEAR, "hv-a", "db"))
}
