//! How services do, by pair of groups.

use weft_pipelines::service::{Outcomes, Row, Service, Time};
use weft_pipelines::wire::dns;
use weft_pipelines::{TenantId, Vni};

use super::*;

/// The row of two endpoints of blue.
fn row(bed: &Bed, client: u8, server: u8) -> Row {
    let (vni, policy) = (Vni::new(BLUE).expect("in range"), bed.snapshot.policy(TenantId(0)));
    let class = |n: u8| policy.class(vni, lab::ipv4(n).into());
    bed.snapshot.service.find(TenantId(0), [class(client), class(server)])
}

fn outcomes(bed: &Bed, row: Row) -> Outcomes {
    *bed.service().outcomes(row.index()).expect("a row")
}

/// Samples, and the milliseconds of all together.
fn times(bed: &Bed, row: Row, time: Time) -> (u64, u64) {
    let head = bed.service().times().head(Service::place(row.index(), time));
    (head.samples, (head.sum + 500_000) / 1_000_000)
}

fn ms(bed: &mut Bed, ms: u64) {
    bed.wait(Duration::from_millis(ms));
}

#[test]
fn a_connection_counts_and_is_timed_for_its_groups() {
    let mut bed = deny_but([allow_tcp(WEB, DB, 5432..=5440)]);
    let (web_db, other) = (row(&bed, WEB1, DB1), row(&bed, WEB1, WEB2));
    assert!(web_db != other && web_db != Row::NONE && other != Row::NONE);
    assert_eq!(web_db, row(&bed, WEB2, DB1));
    ms(&mut bed, 1);
    let (ports, back_ports) = ((40_000, 5432), (5432, 40_000));
    assert!(passes(out(&mut bed, &syn(WEB1, DB1, ports))));
    ms(&mut bed, 30);
    assert!(passes(back(&mut bed, &tcp(DB1, WEB1, back_ports, (5000, 1001), SYN | ACK, 0))));
    ms(&mut bed, 10);
    assert!(passes(out(&mut bed, &tcp(WEB1, DB1, ports, (1001, 5001), ACK | PSH, 10))));
    assert_eq!(times(&bed, web_db, Time::Connect), (1, 40));
    assert_eq!(
        (times(&bed, web_db, Time::ServerRtt), times(&bed, web_db, Time::ClientRtt)),
        ((1, 30), (1, 10))
    );
    ms(&mut bed, 35);
    assert!(passes(back(&mut bed, &tcp(DB1, WEB1, back_ports, (5001, 1011), ACK | PSH, 10))));
    assert_eq!(
        (times(&bed, web_db, Time::Response), times(&bed, web_db, Time::ServerRtt)),
        ((1, 35), (2, 65))
    );
    assert_eq!(outcomes(&bed, web_db), Outcomes { accepted: 1, ..Outcomes::default() });
    // Reset, refused, denied, and never answered.
    assert!(passes(back(&mut bed, &tcp(DB1, WEB1, back_ports, (5011, 1011), RST | ACK, 0))));
    assert!(passes(out(&mut bed, &syn(WEB1, DB1, (40_000, 5433)))));
    assert!(passes(back(&mut bed, &tcp(DB1, WEB1, (5433, 40_000), (0, 1001), RST | ACK, 0))));
    assert_eq!(out(&mut bed, &syn(WEB1, DB1, (40_000, 22))), Err(Reason::PolicyDenied));
    assert_eq!(out(&mut bed, &udp(WEB1, DB1, (40_000, 22))), Err(Reason::PolicyDenied));
    assert!(passes(out(&mut bed, &syn(WEB1, DB1, (40_000, 5434)))));
    bed.wait(Settings::default().timeouts.of(State::TcpSynSent) + Duration::from_secs(1));
    let wanted =
        Outcomes { accepted: 1, reset: 1, refused: 1, denied: 1, timed_out: 1, ..Outcomes::default() };
    assert_eq!((outcomes(&bed, web_db), outcomes(&bed, other)), (wanted, Outcomes::default()));
}

/// A DNS message over either family.
fn message(from: u8, to: u8, ports: (u16, u16), (id, flags): (u16, u16), is_v6: bool) -> Vec<u8> {
    let mut message = [0; 12];
    message[..2].copy_from_slice(&id.to_be_bytes());
    message[2..4].copy_from_slice(&flags.to_be_bytes());
    message[5] = 1;
    datagram(from, to, ports, &message, is_v6)
}

fn datagram(from: u8, to: u8, ports: (u16, u16), data: &[u8], is_v6: bool) -> Vec<u8> {
    let ends = if is_v6 { ends6(from, to) } else { ends4(from, to) };
    packet(from, to, ends, protocol::UDP, &packets::udp(ends, ports.0, ports.1, data))
}

#[test]
fn dns_queries_meet_their_responses() {
    for is_v6 in [false, true] {
        let mut bed = deny_but([allow_udp(WEB, DB, 1..=9_999)]);
        let web_db = row(&bed, WEB1, DB1);
        ms(&mut bed, 1);
        let asked = |bed: &mut Bed, id, server| {
            passes(out(bed, &message(WEB1, DB1, (4000, server), (id, 0x0100), is_v6)))
        };
        let said = |bed: &mut Bed, id, code: u16, server| {
            passes(back(bed, &message(DB1, WEB1, (server, 4000), (id, 0x8180 | code), is_v6)))
        };
        for (id, code) in [(1, 0), (2, 3), (3, 3)] {
            assert!(asked(&mut bed, id, dns::PORT));
            ms(&mut bed, 7);
            assert!(said(&mut bed, id, code, dns::PORT));
        }
        // Not asked, not DNS, and of another port: that of multicast DNS.
        assert!(said(&mut bed, 9, 0, dns::PORT));
        assert!(passes(out(&mut bed, &datagram(WEB1, DB1, (4000, dns::PORT), &[0; 11], is_v6))));
        assert!(asked(&mut bed, 4, 5353) && said(&mut bed, 4, 0, 5353));
        assert!(asked(&mut bed, 5, dns::PORT));
        let wanted = Outcomes { dns_queries: 4, dns_noerror: 1, dns_nxdomain: 2, ..Outcomes::default() };
        assert_eq!((outcomes(&bed, web_db), times(&bed, web_db, Time::Dns)), (wanted, (3, 21)));
        bed.stop();
        assert_eq!(outcomes(&bed, web_db), Outcomes { dns_unanswered: 1, ..wanted });
        let flows = std::mem::take(&mut bed.sinks[0].flows);
        let last = flows.iter().rfind(|flow| flow.responder.1 == dns::PORT).unwrap();
        assert_eq!((last.dns.queries, last.dns.answers, last.dns.code), (4, 3, 3));
    }
}

#[test]
fn any_bytes_to_a_dns_server_pass_as_they_are() {
    let mut bed = deny_but([allow_udp(WEB, DB, 53..=53)]);
    let mut random = 1u32;
    for len in (0..64).cycle().take(2_000) {
        let data: Vec<u8> = (0..len)
            .map(|_| {
                random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (random >> 24) as u8
            })
            .collect();
        assert!(passes(out(&mut bed, &datagram(WEB1, DB1, (4000, 53), &data, false))));
        assert!(passes(back(&mut bed, &datagram(DB1, WEB1, (53, 4000), &data, false))));
    }
    bed.stop();
    let of = outcomes(&bed, row(&bed, WEB1, DB1));
    let answers = of.dns_noerror + of.dns_nxdomain + of.dns_servfail + of.dns_refused + of.dns_other;
    assert_eq!(of.dns_queries, answers + of.dns_unanswered);
}

#[test]
fn a_session_counts_for_the_groups_that_its_ends_are_in_now() {
    let mut bed = deny_but([allow_tcp(WEB, DB, 5432..=5432)]);
    let before = row(&bed, WEB1, DB1);
    connect(&mut bed, (40_000, 5432));
    // Another policy, in which web1 is one of db's group.
    let mut rules = policy(Action::Allow, [allow_tcp(DB, DB, 5432..=5432)]);
    let groups = rules.members.iter().find(|member| member.address == lab::ipv4(DB1)).unwrap().groups.clone();
    let of_web1 = rules.members.iter_mut().filter(|member| member.address == lab::ipv4(WEB1));
    of_web1.for_each(|member| member.groups.clone_from(&groups));
    let snapshot = policies::lab(rules).snapshot(host::HV_A);
    let epoch = weft_pipelines::Epoch(bed.snapshot.epoch.0 + 1);
    bed.adopt(Snapshot { epoch, ..snapshot });
    let after = row(&bed, WEB1, DB1);
    assert_ne!(before, after);
    let samples = |bed: &Bed, row| times(bed, row, Time::ServerRtt).0;
    let (of_before, of_after) = (samples(&bed, before), samples(&bed, after));
    assert!(passes(out(&mut bed, &tcp(WEB1, DB1, (40_000, 5432), (1001, 5001), ACK | PSH, 10))));
    assert!(passes(back(&mut bed, &tcp(DB1, WEB1, (5432, 40_000), (5001, 1011), ACK, 0))));
    assert_eq!((samples(&bed, before), samples(&bed, after)), (of_before, of_after + 1));
}
