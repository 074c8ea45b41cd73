//! Sessions and policy on whole ways: what passes, what does not, and how it is counted.

mod flows;
mod service;

use std::net::IpAddr;
use std::time::Duration;

use weft_pipelines::flow::{Limits, Settings, State, Tracking};
use weft_pipelines::policy::{Action, Rule, Rules, Service, Side};
use weft_pipelines::testing::frames::{ends4, ends6, from_fabric};
use weft_pipelines::testing::lab::endpoint::{DB1, WEB1, WEB2};
use weft_pipelines::testing::lab::{self, BLUE, host, mac, port};
use weft_pipelines::testing::packets::{self, Ends, Shape, arp, extension};
use weft_pipelines::testing::policies::{DB, WEB, allow_tcp, allow_udp, policy, rule};
use weft_pipelines::testing::{Bed, Lab, policies};
use weft_pipelines::wire::ipv4::protocol;
use weft_pipelines::wire::{Mac, icmp, icmpv6, tcp};
use weft_pipelines::{PortId, Reason, Snapshot};

const SYN: u8 = tcp::flag::SYN;
const ACK: u8 = tcp::flag::ACK;
const RST: u8 = tcp::flag::RST;
const FIN: u8 = tcp::flag::FIN;
const PSH: u8 = tcp::flag::PSH;

fn bed(policy: Rules) -> Bed {
    Bed::new(&policies::lab(policy), host::HV_A)
}

fn deny_but(rules: impl IntoIterator<Item = Rule>) -> Bed {
    bed(policy(Action::Deny, rules))
}

/// A packet between two endpoints of blue.
fn packet(from: u8, to: u8, ends: Ends, protocol: u8, payload: &[u8]) -> Vec<u8> {
    packets::frame(mac(to), mac(from), ends, protocol, payload)
}

fn udp(from: u8, to: u8, ports: (u16, u16)) -> Vec<u8> {
    let ends = ends4(from, to);
    packet(from, to, ends, protocol::UDP, &packets::udp(ends, ports.0, ports.1, b"data"))
}

fn udp6(from: u8, to: u8, ports: (u16, u16)) -> Vec<u8> {
    let ends = ends6(from, to);
    packet(from, to, ends, protocol::UDP, &packets::udp(ends, ports.0, ports.1, b"data"))
}

/// A TCP segment: ports, sequence and acknowledgement numbers, flags, bytes of data.
fn tcp(from: u8, to: u8, ports: (u16, u16), numbers: (u32, u32), flags: u8, data: usize) -> Vec<u8> {
    let ends = ends4(from, to);
    packet(from, to, ends, protocol::TCP, &packets::tcp_at(ends, ports, numbers, flags, &vec![0; data]))
}

fn syn(from: u8, to: u8, ports: (u16, u16)) -> Vec<u8> {
    tcp(from, to, ports, (1000, 0), SYN, 0)
}

/// What becomes of a frame from web1: the ports that it leaves by.
fn out(bed: &mut Bed, frame: &[u8]) -> Result<Vec<PortId>, Reason> {
    let sent = bed.receive_one(port::BLUE_WEB1, frame)?;
    Ok(sent.into_iter().map(|(port, _)| port).collect())
}

/// What becomes of a frame from db1, on the other host.
fn back(bed: &mut Bed, frame: &[u8]) -> Result<Vec<PortId>, Reason> {
    let sent = bed.receive_one(port::UPLINK, &from_fabric(host::HV_B, BLUE, frame))?;
    Ok(sent.into_iter().map(|(port, _)| port).collect())
}

fn passes(result: Result<Vec<PortId>, Reason>) -> bool {
    result.is_ok_and(|ports| !ports.is_empty())
}

/// Opens a TCP connection from web1 to db1.
fn connect(bed: &mut Bed, ports: (u16, u16)) {
    let back_ports = (ports.1, ports.0);
    assert!(passes(out(bed, &syn(WEB1, DB1, ports))));
    assert!(passes(back(bed, &tcp(DB1, WEB1, back_ports, (5000, 1001), SYN | ACK, 0))));
    assert!(passes(out(bed, &tcp(WEB1, DB1, ports, (1001, 5001), ACK, 0))));
}

fn sessions(bed: &Bed) -> usize {
    bed.planes.iter().map(|plane| plane.sessions.v4.len() + plane.sessions.v6.len()).sum()
}

#[test]
fn what_a_rule_allows_passes_with_its_replies_and_nothing_else() {
    let mut bed = deny_but([allow_tcp(WEB, DB, 5432..=5432)]);
    connect(&mut bed, (40_000, 5432));
    assert!(passes(out(&mut bed, &tcp(WEB1, DB1, (40_000, 5432), (1001, 5001), ACK | PSH, 100))));
    assert!(passes(back(&mut bed, &tcp(DB1, WEB1, (5432, 40_000), (5001, 1101), ACK | PSH, 1000))));
    // Another port, the other direction, another protocol.
    assert_eq!(out(&mut bed, &syn(WEB1, DB1, (40_000, 5433))), Err(Reason::PolicyDenied));
    assert_eq!(back(&mut bed, &syn(DB1, WEB1, (40_000, 5432))), Err(Reason::PolicyDenied));
    assert_eq!(out(&mut bed, &udp(WEB1, DB1, (40_000, 5432))), Err(Reason::PolicyDenied));
    assert_eq!(out(&mut bed, &syn(WEB1, WEB2, (40_000, 5432))), Err(Reason::PolicyDenied));
    assert_eq!(sessions(&bed), 1);
    let counters = bed.counters();
    // The rule opened one connection; the default refused four packets.
    assert_eq!((counters.rules[0].hits, counters.rules[0].denied), (1, 0));
    assert_eq!((counters.rules[1].hits, counters.rules[1].denied), (4, 4));
    assert_eq!(bed.drops(port::BLUE_WEB1, Reason::PolicyDenied), 3);
    assert_eq!(bed.drops(port::UPLINK, Reason::PolicyDenied), 1);
    assert_eq!(counters.tenants[0].drops.count(Reason::PolicyDenied), 4);
}

#[test]
fn the_first_rule_that_matches_decides() {
    let service = || Service::Tcp(20..=30);
    let mut bed = bed(policy(
        Action::Allow,
        [rule(Side::Any, DB, Action::Deny, Service::Tcp(23..=23)), rule(WEB, DB, Action::Allow, service())],
    ));
    for (dport, allowed) in [(22, true), (23, false), (24, true), (31, true)] {
        assert_eq!(passes(out(&mut bed, &syn(WEB1, DB1, (1000, dport)))), allowed, "{dport}");
    }
    assert_eq!(bed.counters().rules.iter().map(|rule| rule.hits).collect::<Vec<_>>(), [1, 2, 1]);
}

#[test]
fn audit_lets_pass_and_counts() {
    let audited = Rule { audit: true, ..rule(WEB, DB, Action::Deny, Service::Udp(53..=53)) };
    let mut bed = bed(policy(Action::Allow, [audited]));
    assert!(passes(out(&mut bed, &udp(WEB1, DB1, (4000, 53)))));
    assert!(passes(out(&mut bed, &udp(WEB1, DB1, (4000, 54)))));
    let rules = bed.counters().rules;
    assert_eq!((rules[0].would_deny, rules[0].hits, rules[1].hits), (1, 0, 2));
    // A policy under audit denies nothing, and tells what it would.
    let mut rules = policy(Action::Deny, []);
    rules.default_audit = true;
    let mut bed = self::bed(rules);
    assert!(passes(out(&mut bed, &udp(WEB1, DB1, (4000, 53)))));
    assert_eq!(bed.counters().rules[0].would_deny, 1);
}

#[test]
fn without_neighbours_there_is_nothing_to_allow() {
    let mut bed = deny_but([]);
    let (web1, db1) = ((mac(WEB1), lab::ipv4(WEB1)), (Mac::ZERO, lab::ipv4(DB1)));
    assert!(passes(out(&mut bed, &arp(packets::Operation::Request, web1, db1))));
    let ends = ends6(WEB1, DB1);
    let solicitation = packets::discovery(lab::ipv6(DB1), &packets::link_layer(1, mac(WEB1)));
    let message = packets::icmpv6(ends, icmpv6::kind::NEIGHBOR_SOLICITATION, &solicitation);
    assert!(passes(out(&mut bed, &packet(WEB1, DB1, ends, protocol::ICMPV6, &message))));
    assert_eq!(sessions(&bed), 0);
}

#[test]
fn ipv6_is_held_to_the_same() {
    let mut bed = deny_but([allow_udp(WEB, DB, 53..=53)]);
    assert_eq!(back(&mut bed, &udp6(DB1, WEB1, (53, 4000))), Err(Reason::PolicyDenied));
    assert!(passes(out(&mut bed, &udp6(WEB1, DB1, (4000, 53)))));
    assert!(passes(back(&mut bed, &udp6(DB1, WEB1, (53, 4000)))));
    assert_eq!(out(&mut bed, &udp6(WEB1, DB1, (4000, 54))), Err(Reason::PolicyDenied));
}

fn echo(from: u8, to: u8, kind: u8, id: u16) -> Vec<u8> {
    let message = packets::icmp(kind, 0, &[&id.to_be_bytes()[..], &[0, 1], b"ping"].concat());
    packet(from, to, ends4(from, to), protocol::ICMP, &message)
}

#[test]
fn an_echo_is_answered_and_an_answer_needs_an_echo() {
    let mut bed = deny_but([rule(WEB, DB, Action::Allow, Service::Icmp(0x0800..=0x08ff))]);
    assert_eq!(back(&mut bed, &echo(DB1, WEB1, icmp::kind::ECHO_REPLY, 7)), Err(Reason::IcmpUnsolicited));
    assert!(passes(out(&mut bed, &echo(WEB1, DB1, icmp::kind::ECHO, 7))));
    assert!(passes(back(&mut bed, &echo(DB1, WEB1, icmp::kind::ECHO_REPLY, 7))));
    assert_eq!(back(&mut bed, &echo(DB1, WEB1, icmp::kind::ECHO_REPLY, 8)), Err(Reason::IcmpUnsolicited));
    assert_eq!(back(&mut bed, &echo(DB1, WEB1, icmp::kind::ECHO, 7)), Err(Reason::PolicyDenied));
    // A timestamp with the identifier of an echo is something else.
    assert_eq!(out(&mut bed, &echo(WEB1, DB1, 13, 7)), Err(Reason::PolicyDenied));
}

/// An ICMP error from `from` about `quoted`, a whole frame.
fn unreachable(from: u8, to: u8, quoted: &[u8]) -> Vec<u8> {
    let message = packets::icmp(3, 3, &[&[0; 4], &quoted[14..14 + 28]].concat());
    packet(from, to, ends4(from, to), protocol::ICMP, &message)
}

#[test]
fn an_error_passes_that_is_about_a_session() {
    let mut bed = deny_but([allow_udp(WEB, DB, 53..=53)]);
    let query = udp(WEB1, DB1, (4000, 53));
    assert_eq!(back(&mut bed, &unreachable(DB1, WEB1, &query)), Err(Reason::IcmpUnrelated));
    assert!(passes(out(&mut bed, &query)));
    assert!(passes(back(&mut bed, &unreachable(DB1, WEB1, &query))));
    // About a packet that its receiver did not send, or of another flow.
    assert_eq!(
        back(&mut bed, &unreachable(DB1, WEB1, &udp(DB1, WEB1, (53, 4000)))),
        Err(Reason::IcmpUnrelated)
    );
    assert_eq!(
        back(&mut bed, &unreachable(DB1, WEB1, &udp(WEB1, DB1, (4001, 53)))),
        Err(Reason::IcmpUnrelated)
    );
}

/// A datagram of web1 to db1 in three fragments.
fn fragments(dport: u16, id: u16) -> [Vec<u8>; 3] {
    let ends = ends4(WEB1, DB1);
    let datagram = packets::udp(ends, 4000, dport, &[1; 40]);
    let (IpAddr::V4(from), IpAddr::V4(to)) = ends else { panic!() };
    [(0, true, &datagram[..24]), (3, true, &datagram[24..40]), (5, false, &datagram[40..])].map(
        |(offset, more, part)| {
            let shape = Shape { offset, more, id, ..Default::default() };
            packets::ethernet(
                mac(DB1),
                mac(WEB1),
                0x0800,
                &packets::ipv4_with(from, to, protocol::UDP, part, shape),
            )
        },
    )
}

#[test]
fn later_fragments_follow_the_first() {
    let mut bed = deny_but([allow_udp(WEB, DB, 53..=53)]);
    let [first, second, third] = fragments(53, 1);
    assert_eq!(out(&mut bed, &second), Err(Reason::FragmentOrphan));
    for fragment in [&first, &third, &second] {
        assert!(passes(out(&mut bed, fragment)));
    }
    // The datagram is whole: what comes now is of none.
    assert_eq!(out(&mut bed, &second), Err(Reason::FragmentOrphan));
    // Of a datagram that may not pass none does.
    let [first, second, third] = fragments(54, 2);
    assert_eq!(out(&mut bed, &first), Err(Reason::PolicyDenied));
    assert_eq!(out(&mut bed, &second), Err(Reason::FragmentOrphan));
    assert_eq!(out(&mut bed, &third), Err(Reason::FragmentOrphan));
    // All are counted in the session.
    let session = {
        let slot = bed.only_session();
        bed.planes[0].sessions.v4.session(slot)
    };
    assert_eq!((session.traffic[0].packets, session.traffic[1].packets), (3, 0));
}

#[test]
fn fragments_that_overlap_are_dropped() {
    let mut bed = deny_but([allow_udp(WEB, DB, 53..=53)]);
    let [first, second, _] = fragments(53, 1);
    assert!(passes(out(&mut bed, &first)));
    let mut overlapping = second.clone();
    overlapping[14 + 7] = 2;
    packets::mend_ipv4(&mut overlapping);
    assert_eq!(out(&mut bed, &overlapping), Err(Reason::FragmentOverlap));
    assert_eq!(out(&mut bed, &second), Err(Reason::FragmentOverlap));
}

#[test]
fn fragments_of_ipv6_follow_the_first_too() {
    let mut bed = deny_but([allow_udp(WEB, DB, 53..=53)]);
    let ends = ends6(WEB1, DB1);
    let datagram = packets::udp(ends, 4000, 53, &[1; 40]);
    let part = |offset: u16, more, bytes: &[u8]| {
        let payload = packets::fragment(protocol::UDP, offset, more, bytes);
        packet(WEB1, DB1, ends, extension::FRAGMENT, &payload)
    };
    assert_eq!(out(&mut bed, &part(3, false, &datagram[24..])), Err(Reason::FragmentOrphan));
    assert!(passes(out(&mut bed, &part(0, true, &datagram[..24]))));
    assert!(passes(out(&mut bed, &part(3, false, &datagram[24..]))));
}

#[test]
fn an_endpoint_is_reached_at_its_own_addresses() {
    let mut bed = deny_but([allow_udp(WEB, WEB, 53..=53), allow_udp(WEB, DB, 53..=53)]);
    assert!(passes(out(&mut bed, &udp(WEB1, WEB2, (4000, 53)))));
    // db1's address is allowed; but it is web2's MAC.
    let ends = ends4(WEB1, DB1);
    let datagram = packets::udp(ends, 4000, 53, b"x");
    let frame = packets::frame(mac(WEB2), mac(WEB1), ends, protocol::UDP, &datagram);
    assert_eq!(out(&mut bed, &frame), Err(Reason::WrongAddress));
}

#[test]
fn tenants_without_a_policy_are_not_held_to_anything() {
    let mut bed = Bed::new(&Lab::default(), host::HV_A);
    let [_, second, _] = fragments(53, 1);
    for frame in [
        second,
        tcp(WEB1, DB1, (1, 2), (0, 0), SYN | FIN, 0),
        tcp(WEB1, DB1, (1, 2), (0, 0), RST, 0),
        echo(WEB1, DB1, icmp::kind::ECHO_REPLY, 7),
        unreachable(WEB1, DB1, &udp(DB1, WEB1, (1, 2))),
    ] {
        assert!(passes(out(&mut bed, &frame)));
    }
}

#[test]
fn both_workers_hold_a_packet_to_policy() {
    // web1's is worker 0, web2's worker 1.
    let lab = Lab { workers: 2, ..policies::lab(policy(Action::Deny, [allow_udp(WEB, WEB, 53..=53)])) };
    let mut bed = Bed::new(&lab, host::HV_A);
    assert_eq!(out(&mut bed, &udp(WEB1, WEB2, (4000, 53))), Ok(vec![port::BLUE_WEB2]));
    assert_eq!(bed.planes.iter().map(|plane| plane.sessions.v4.len()).collect::<Vec<_>>(), [1, 1]);
    let reply = bed.receive_one(port::BLUE_WEB2, &udp(WEB2, WEB1, (53, 4000)));
    assert_eq!(reply.map(|sent| sent[0].0), Ok(port::BLUE_WEB1));
    assert_eq!(out(&mut bed, &udp(WEB1, WEB2, (4000, 54))), Err(Reason::PolicyDenied));
    // The other worker asks for itself: what comes from the fabric is handed over unasked.
    let frame = from_fabric(host::HV_B, BLUE, &udp(DB1, WEB1, (4000, 53)));
    let refused = bed.receive_one(port::UPLINK, &frame);
    assert_eq!(refused, Err(Reason::PolicyDenied));
    assert_eq!(bed.drops(port::BLUE_WEB1, Reason::PolicyDenied), 2);
}

/// The next configuration, with this policy.
fn next(bed: &Bed, policy: Rules) -> Snapshot {
    let mut snapshot = policies::lab(policy).snapshot(host::HV_A);
    snapshot.epoch.0 = bed.snapshot.epoch.0 + 1;
    snapshot
}

#[test]
fn a_session_ends_that_a_new_policy_does_not_allow() {
    let both = || [allow_tcp(WEB, DB, 5432..=5432), allow_udp(WEB, DB, 53..=53)];
    let mut bed = deny_but(both());
    connect(&mut bed, (40_000, 5432));
    assert!(passes(out(&mut bed, &udp(WEB1, DB1, (4000, 53)))));
    assert!(passes(back(&mut bed, &udp(DB1, WEB1, (53, 4000)))));
    // What stays allowed goes on; what does not ends with its next packet, from whichever side.
    bed.adopt(next(&bed, policy(Action::Deny, [allow_tcp(WEB, DB, 5432..=5432)])));
    assert!(passes(out(&mut bed, &tcp(WEB1, DB1, (40_000, 5432), (1001, 5001), ACK | PSH, 100))));
    assert_eq!(back(&mut bed, &udp(DB1, WEB1, (53, 4000))), Err(Reason::PolicyDenied));
    assert_eq!(bed.counters().revoked, 1);
    // Idle ones end within a second.
    bed.adopt(next(&bed, policy(Action::Deny, both())));
    assert!(passes(out(&mut bed, &udp(WEB1, DB1, (4000, 53)))));
    bed.adopt(next(&bed, policy(Action::Deny, [allow_udp(WEB, DB, 53..=53)])));
    assert_eq!(sessions(&bed), 2);
    for _ in 0..10 {
        bed.wait(Duration::from_millis(100));
    }
    assert_eq!((sessions(&bed), bed.counters().revoked), (1, 2));
    assert!(passes(back(&mut bed, &udp(DB1, WEB1, (53, 4000)))));
}

#[test]
fn sessions_end_when_their_time_is_over() {
    let mut bed = deny_but([allow_udp(WEB, DB, 53..=53)]);
    assert!(passes(out(&mut bed, &udp(WEB1, DB1, (4000, 53)))));
    let timeout = Settings::default().timeouts.of(State::UdpNew);
    bed.wait(timeout - Duration::from_millis(1));
    assert!(passes(back(&mut bed, &udp(DB1, WEB1, (53, 4000)))));
    let timeout = Settings::default().timeouts.of(State::UdpReplied);
    bed.wait(timeout);
    assert_eq!(back(&mut bed, &udp(DB1, WEB1, (53, 4000))), Err(Reason::PolicyDenied));
    assert_eq!(sessions(&bed), 0);
}

#[test]
fn blind_segments_change_nothing() {
    let mut bed = deny_but([allow_tcp(WEB, DB, 5432..=5432)]);
    connect(&mut bed, (40_000, 5432));
    let data = || tcp(WEB1, DB1, (40_000, 5432), (1001, 5001), ACK | PSH, 100);
    for injected in [
        tcp(DB1, WEB1, (5432, 40_000), (5001 + 1_000_000_000, 0), RST, 0),
        tcp(DB1, WEB1, (5432, 40_000), (5001 + 1_000_000_000, 1001), ACK | PSH, 10),
        tcp(DB1, WEB1, (5432, 40_000), (5001, 1001 + 1_000_000_000), ACK | PSH, 10),
    ] {
        assert_eq!(back(&mut bed, &injected), Err(Reason::TcpOutOfWindow));
        assert!(passes(out(&mut bed, &data())));
    }
    assert_eq!(
        back(&mut bed, &tcp(DB1, WEB1, (5432, 40_000), (5001, 1001), SYN | FIN, 0)),
        Err(Reason::TcpFlags)
    );
    // A liberal host lets them pass; they change nothing either.
    let mut lab = policies::lab(policy(Action::Deny, [allow_tcp(WEB, DB, 5432..=5432)]));
    lab.sessions.tcp = Tracking::Liberal;
    let mut bed = Bed::new(&lab, host::HV_A);
    connect(&mut bed, (40_000, 5432));
    assert!(passes(back(&mut bed, &tcp(DB1, WEB1, (5432, 40_000), (5001 + 1_000_000_000, 0), RST, 0))));
    assert!(passes(out(&mut bed, &data())));
    assert_eq!(
        {
            let slot = bed.only_session();
            bed.planes[0].sessions.v4.session(slot)
        }
        .state,
        State::TcpEstablished
    );
}

#[test]
fn connections_in_mid_stream_are_taken_up_if_they_may() {
    let rules = || policy(Action::Deny, [allow_tcp(WEB, DB, 5432..=5432)]);
    let mut bed = bed(rules());
    // The server speaks first; the connection is allowed the other way.
    assert!(passes(back(&mut bed, &tcp(DB1, WEB1, (5432, 40_000), (5001, 1001), ACK | PSH, 10))));
    assert!(passes(out(&mut bed, &tcp(WEB1, DB1, (40_000, 5432), (1001, 5011), ACK, 0))));
    assert_eq!(out(&mut bed, &tcp(WEB1, DB1, (40_000, 5433), (1, 1), ACK, 0)), Err(Reason::PolicyDenied));
    let mut lab = policies::lab(rules());
    lab.sessions.pick_up = false;
    let mut bed = Bed::new(&lab, host::HV_A);
    assert_eq!(out(&mut bed, &tcp(WEB1, DB1, (40_000, 5432), (1, 1), ACK, 0)), Err(Reason::TcpNoSession));
    assert_eq!(out(&mut bed, &tcp(WEB1, DB1, (40_000, 5432), (1, 1), RST, 0)), Err(Reason::TcpNoSession));
}

#[test]
fn an_answer_whose_connection_had_to_make_way_is_taken_up() {
    let mut lab = policies::lab(policy(Action::Deny, [allow_tcp(WEB, DB, 5432..=5432)]));
    lab.limits = Limits { embryonic: 50, ..Limits::default() };
    let mut bed = Bed::new(&lab, host::HV_A);
    let ports = (40_000, 5432);
    let answer = tcp(DB1, WEB1, (5432, 40_000), (5000, 1001), SYN | ACK, 0);
    assert!(passes(out(&mut bed, &syn(WEB1, DB1, ports))));
    assert!(passes(back(&mut bed, &answer)));
    // The acknowledgement is lost, and others take the place before the answer is repeated. The client, for
    // whom the connection is open, may not have anything to say before the server does.
    for n in 0..50 {
        assert!(passes(out(&mut bed, &syn(WEB1, DB1, (10_000 + n, 5432)))));
    }
    assert!(passes(back(&mut bed, &answer)));
    assert!(passes(out(&mut bed, &tcp(WEB1, DB1, ports, (1001, 5001), ACK, 0))));
    assert!(passes(back(&mut bed, &tcp(DB1, WEB1, (5432, 40_000), (5001, 1001), ACK | PSH, 100))));
    assert_eq!(bed.drops(port::UPLINK, Reason::PolicyDenied), 0);
    // An answer to what may not be asked is not.
    let other = tcp(DB1, WEB1, (5433, 40_000), (5000, 1001), SYN | ACK, 0);
    assert_eq!(back(&mut bed, &other), Err(Reason::PolicyDenied));
}

#[test]
fn a_flood_costs_only_who_sends_it() {
    let mut lab =
        policies::lab(policy(Action::Deny, [rule(Side::Any, Side::Any, Action::Allow, Service::Any)]));
    lab.limits = Limits { sessions: 100, embryonic: 50, ..Limits::default() };
    let mut bed = Bed::new(&lab, host::HV_A);
    connect(&mut bed, (1, 5432));
    // web2 has a connection of its own.
    let web2 = |bed: &mut Bed, frame: &[u8]| bed.receive_one(port::BLUE_WEB2, frame).map(|sent| sent.len());
    assert_eq!(web2(&mut bed, &udp(WEB2, WEB1, (4000, 53))), Ok(1));
    for n in 0..1000 {
        assert!(passes(out(&mut bed, &syn(WEB1, DB1, (10_000 + n, 80)))));
    }
    // The connection is not lost for it, and web2 opens as many as it may.
    assert!(passes(out(&mut bed, &tcp(WEB1, DB1, (1, 5432), (1001, 5001), ACK | PSH, 100))));
    assert_eq!(sessions(&bed), 1 + 1 + 50);
    assert_eq!(web2(&mut bed, &udp(WEB2, WEB1, (4001, 53))), Ok(1));
    assert_eq!(bed.planes[0].sessions.v4.stats().evicted, 950);
}

#[test]
fn sessions_are_opened_at_the_rate_that_is_allowed() {
    let mut lab =
        policies::lab(policy(Action::Deny, [rule(Side::Any, Side::Any, Action::Allow, Service::Any)]));
    lab.limits = Limits { rate: 10, burst: 5, ..Limits::default() };
    let mut bed = Bed::new(&lab, host::HV_A);
    let tries = |bed: &mut Bed, from: u16| {
        (from..from + 100).filter(|n| passes(out(bed, &udp(WEB1, DB1, (*n, 53))))).count()
    };
    assert_eq!(tries(&mut bed, 1000), 5);
    assert_eq!(bed.drops(port::BLUE_WEB1, Reason::SessionRate), 95);
    bed.wait(Duration::from_secs(1));
    assert_eq!(tries(&mut bed, 2000), 5);
    // What is open goes on, and others are not held to it.
    assert!(passes(out(&mut bed, &udp(WEB1, DB1, (1000, 53)))));
    assert!(bed.receive_one(port::BLUE_WEB2, &udp(WEB2, DB1, (1, 53))).is_ok());
}
