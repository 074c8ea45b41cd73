//! What is allowed passes with its replies, and nothing else does: TCP, UDP, ICMP and fragments, of both families,
//! on one host and across hosts; also what comes from a host that enforces nothing.

use std::net::{SocketAddr, TcpListener};

use testbed::{GuestKind, GuestSpec, HostSpec, Lab, LabSpec, PolicySpec, Result, Underlay, wait_for};

use super::traffic::{Attempt, accept, at, connection, datagrams, exchange, is_alone, listener, on, pair};
use super::{drops, rule};
use crate::{SOON, run, settle};

/// A guest and its addresses.
struct Member {
    name: &'static str,
    host: &'static str,
    addresses: [&'static str; 2],
}

const WEB: Member = Member { name: "blue/web", host: "hv-a", addresses: ["10.1.0.11", "fd00:1::11"] };
/// On the other host.
const DB: Member = Member { name: "blue/db", host: "hv-b", addresses: ["10.1.0.12", "fd00:1::12"] };
/// On the same.
const DB2: Member = Member { name: "blue/db2", host: "hv-a", addresses: ["10.1.0.13", "fd00:1::13"] };
/// On a host that is Linux: it enforces nothing.
const OUT: &str = "blue/out";

/// Two guests of a tenant whose policy is only counted.
const AUDITED: [&str; 2] = ["10.2.0.11", "10.2.0.12"];

pub fn what_is_allowed() -> Result<()> {
    let lab = Lab::up(spec())?;
    for to in [&DB, &DB2] {
        for family in [0, 1] {
            tcp_and_udp_pass(&lab, to, family)?;
            echoes_pass(&lab, to, family)?;
            a_closed_port_says_so(&lab, to, family)?;
        }
    }
    what_is_audited_passes(&lab)?;
    denied(&lab)?;
    fragments_of_what_is_denied(&lab)?;
    from_a_host_that_enforces_nothing(&lab)?;
    for (name, is_denied) in [("web-to-db", false), ("no-telnet", true), ("default", true)] {
        let said = rule(&lab, "hv-a", "blue", name)?;
        assert!(said.hits > 0 && (said.denied > 0) == is_denied, "{said:?}");
    }
    let ledgers = settle(&lab)?;
    for ledger in ledgers.values() {
        for reason in
            ["tcp_flags", "tcp_no_session", "tcp_out_of_window", "icmp_unsolicited", "icmp_unrelated"]
        {
            assert_eq!(ledger.drops(reason), 0, "{reason}: {ledger:?}");
        }
    }
    for port in [&ledgers["hv-a"].ports["red/one"], &ledgers["hv-b"].ports["red/two"]] {
        assert!(port.drops.is_empty() && port.rx > 10, "{port:?}");
    }
    // What a sender's host has dropped did not come to the other.
    assert_eq!(ledgers["hv-b"].ports["up0"].drops.get("policy_denied"), None, "{ledgers:?}");
    Ok(())
}

fn spec() -> LabSpec {
    let guest = |member: Member, group: &str| {
        let [v4, v6] = member.addresses;
        GuestSpec::new(member.name, "front", member.host, v4, GuestKind::Netns).also(v6).groups(&[group])
    };
    let policy = PolicySpec::deny_all()
        .deny("no-telnet", "any", "any", &["tcp/23"])
        .allow("web-to-db", "web", "db", &["tcp/20-29", "tcp/5000-5999", "udp/53-54", "icmp/8", "icmpv6/128"])
        .allow("out-to-web", "out", "web", &["tcp/80"]);
    LabSpec::new(Underlay::Veth)
        .host(HostSpec::new("hv-a", "198.51.100.1"))
        .host(HostSpec::new("hv-b", "198.51.100.2"))
        .host(HostSpec::linux("lx-c", "198.51.100.3"))
        .segment("blue", "front", 1001, "10.1.0.0/24")
        .subnet("blue", "fd00:1::/64")
        .policy("blue", policy)
        .segment("red", "front", 2001, "10.2.0.0/24")
        .policy(
            "red",
            PolicySpec::deny_all()
                .allow("ping", "any", "any", &["icmp/8"])
                .deny("web", "any", "any", &["tcp/80"])
                .audit(),
        )
        .with(guest(WEB, "web"))
        .with(guest(DB, "db"))
        .with(guest(DB2, "db"))
        .with(GuestSpec::new(OUT, "front", "lx-c", "10.1.0.14", GuestKind::Netns).groups(&["out"]))
        .guest("red", "front", "one", "hv-a", AUDITED[0], GuestKind::Netns)
        .guest("red", "front", "two", "hv-b", AUDITED[1], GuestKind::Netns)
}

fn tcp_and_udp_pass(lab: &Lab, to: &Member, family: usize) -> Result<()> {
    let (service, own) = (at(to.addresses[family], 5432), at(WEB.addresses[family], 0));
    let listener = listener(lab, to.name, service)?;
    let client = connection(lab, WEB.name, service)?;
    exchange(&[client, accept(&listener)?], 100_000, 1)?;

    let names = at(to.addresses[family], 53);
    let (server, client) = (datagrams(lab, to.name, names)?, datagrams(lab, WEB.name, own)?);
    on("asking", client.send_to(b"question", names))?;
    let (_, from) = on("a question", server.recv_from(&mut [0; 16]))?;
    on("answering", server.send_to(b"answer", from))?;
    let mut answer = [0; 16];
    let (length, from) = on("an answer", client.recv_from(&mut answer))?;
    assert_eq!((&answer[..length], from), (&b"answer"[..], names));
    Ok(())
}

/// What a rule denies and what none allows, under audit.
fn what_is_audited_passes(lab: &Lab) -> Result<()> {
    for port in [80, 81] {
        let service = at(AUDITED[1], port);
        exchange(&pair(lab, "red/one", service, &listener(lab, "red/two", service)?)?, 10_000, 3)?;
    }
    let service = at(AUDITED[1], 53);
    let (server, client) =
        (datagrams(lab, "red/two", service)?, datagrams(lab, "red/one", at(AUDITED[0], 0))?);
    on("asking", client.send_to(b"question", service))?;
    on("a question", server.recv_from(&mut [0; 16]))?;
    run(lab.guest("red/one"), &format!("ping -c 1 -W 5 {}", AUDITED[1]))?;
    // Both hosts say which rule would have denied what: the one for port 80, the default for the two others.
    for host in ["hv-a", "hv-b"] {
        let counts = |name| rule(lab, host, "red", name).map(|rule| (rule.would_deny, rule.denied));
        assert_eq!([counts("ping")?, counts("web")?, counts("default")?], [(0, 0), (1, 0), (2, 0)], "{host}");
    }
    Ok(())
}

/// Small, and in fragments.
fn echoes_pass(lab: &Lab, to: &Member, family: usize) -> Result<()> {
    for size in [56, 4000] {
        run(lab.guest(WEB.name), &format!("ping -c 2 -i 0.2 -W 5 -s {size} {}", to.addresses[family]))?;
    }
    Ok(())
}

/// Its ICMP error comes to who asked.
fn a_closed_port_says_so(lab: &Lab, to: &Member, family: usize) -> Result<()> {
    let client = datagrams(lab, WEB.name, at(WEB.addresses[family], 0))?;
    on("a peer", client.connect(at(to.addresses[family], 54)))?;
    on("asking", client.send(b"anybody?"))?;
    let refused = client.recv(&mut [0; 16]).expect_err("nobody listens");
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused, "{refused}");
    Ok(())
}

/// Another port, a rule above, the other direction, those of one group among each other; none comes through, and each
/// is counted where it was sent.
fn denied(lab: &Lab) -> Result<()> {
    let mut attempts = Vec::new();
    let mut listeners: Vec<TcpListener> = Vec::new();
    let cases = [(&WEB, &DB, 80), (&WEB, &DB2, 80), (&WEB, &DB, 23), (&DB, &WEB, 5432), (&DB, &DB2, 5432)];
    let before = [WEB, DB].map(|member| denied_at(lab, &member));
    let sent = |by: &Member| cases.iter().filter(|(from, ..)| from.name == by.name).count() as u64 * 2;
    for family in [0, 1] {
        for (from, to, port) in cases {
            let service: SocketAddr = at(to.addresses[family], port);
            if !listeners.iter().any(|listener| listener.local_addr().is_ok_and(|address| address == service))
            {
                listeners.push(listener(lab, to.name, service)?);
            }
            attempts.push(Attempt::begin(lab, from.name, service)?);
        }
    }
    for (member, before) in [WEB, DB].iter().zip(before) {
        let (before, all) = (before?, sent(member));
        wait_for(SOON, format!("{all} attempts of {} to be denied", member.name), || {
            Ok((denied_at(lab, member)? >= before + all).then_some(()))
        })?;
    }
    attempts.iter().try_for_each(Attempt::assert_unanswered)?;
    assert!(listeners.iter().all(is_alone));
    drop(attempts);

    for family in [0, 1] {
        let silent = datagrams(lab, DB.name, at(DB.addresses[family], 55))?;
        let client = datagrams(lab, WEB.name, at(WEB.addresses[family], 0))?;
        let before = denied_at(lab, &WEB)?;
        on("asking", client.send_to(b"anybody?", at(DB.addresses[family], 55)))?;
        wait_for(SOON, "a datagram to be denied", || Ok((denied_at(lab, &WEB)? > before).then_some(())))?;
        on("a socket", silent.set_nonblocking(true))?;
        assert!(silent.recv(&mut [0; 16]).is_err());
    }
    Ok(())
}

fn denied_at(lab: &Lab, member: &Member) -> Result<u64> {
    drops(lab, member.host, Some(member.name), "policy_denied")
}

/// The first fragment is denied, and those that follow have nothing to follow.
fn fragments_of_what_is_denied(lab: &Lab) -> Result<()> {
    let orphans = || drops(lab, DB.host, Some(DB.name), "fragment_orphan");
    for (size, later) in [(56, 0), (4000, 2)] {
        for address in WEB.addresses {
            let before = (denied_at(lab, &DB)?, orphans()?);
            let shown = lab.guest(DB.name).run(&format!("ping -c 1 -W 1 -s {size} {address}"), SOON)?.stdout;
            assert!(shown.contains(" 0 received"), "{shown}");
            let after = (denied_at(lab, &DB)?, orphans()?);
            assert_eq!((after.0 - before.0, after.1 - before.1), (1, later), "{size} bytes to {address}");
        }
    }
    Ok(())
}

/// The receiver's host holds it to policy.
fn from_a_host_that_enforces_nothing(lab: &Lab) -> Result<()> {
    let open = listener(lab, WEB.name, at(WEB.addresses[0], 80))?;
    let closed = listener(lab, WEB.name, at(WEB.addresses[0], 81))?;
    let out = lab.peer("lx-c").port(OUT)?.namespace();
    let client = out.inside(|| {
        on("out: connecting", std::net::TcpStream::connect_timeout(&at(WEB.addresses[0], 80), SOON))
    })?;
    exchange(&[client, accept(&open)?], 100_000, 2)?;
    let before = drops(lab, WEB.host, None, "policy_denied")?;
    let begun = out.spawn(testbed::Spawn::shell("busybox nc -w 30 10.1.0.11 81 < /dev/null"))?;
    wait_for(SOON, "what comes from the other host to be denied", || {
        Ok((drops(lab, WEB.host, None, "policy_denied")? > before).then_some(()))
    })?;
    assert!(begun.exited().is_none() && is_alone(&closed));
    Ok(())
}
