//! What is told of flows.

use weft_pipelines::flow::{End, Event, Flags, FlowRecord};

use super::*;

/// What was told since this was asked last.
fn told(bed: &mut Bed) -> Vec<FlowRecord> {
    bed.sinks.iter_mut().flat_map(|sink| std::mem::take(&mut sink.flows)).collect()
}

fn events(bed: &mut Bed) -> Vec<Event> {
    told(bed).iter().map(|record| record.event).collect()
}

fn counted(record: &FlowRecord) -> [(u64, u64); 2] {
    record.traffic.map(|traffic| (traffic.packets, traffic.bytes))
}

#[test]
fn a_connection_is_told_of_from_its_first_packet_to_its_end() {
    let mut bed = deny_but([allow_tcp(WEB, DB, 5432..=5432)]);
    let ports = (40_000, 5432);
    bed.wait(Duration::from_secs(1));
    connect(&mut bed, ports);
    let [start] = told(&mut bed)[..] else { panic!("one record") };
    assert_eq!((start.event, start.serial, start.told), (Event::Started, 1, 0));
    assert_eq!((start.started, start.last, start.at), (start.at, start.at, start.at));
    assert_eq!(start.initiator, (lab::ipv4(WEB1).into(), 40_000));
    assert_eq!(start.responder, (lab::ipv4(DB1).into(), 5432));
    assert_eq!((start.protocol, start.state), (6, State::TcpSynSent));
    assert_eq!(start.ports, [Some(port::BLUE_WEB1), None]);
    assert_eq!((start.vni.value(), start.tenant), (BLUE, Some(weft_pipelines::TenantId(0))));
    assert_eq!((start.rule, start.tcp_flags), (0, [SYN, 0]));
    assert_eq!(counted(&start), [(1, 54), (0, 0)]);

    assert!(passes(back(&mut bed, &tcp(DB1, WEB1, (5432, 40_000), (5001, 1001), ACK | PSH, 10))));
    assert!(passes(out(&mut bed, &tcp(WEB1, DB1, ports, (1001, 5011), FIN | ACK, 0))));
    assert!(passes(back(&mut bed, &tcp(DB1, WEB1, (5432, 40_000), (5011, 1002), FIN | ACK, 0))));
    assert_eq!(events(&mut bed), []);
    // Both have closed: that is known before its time is over.
    assert!(passes(out(&mut bed, &tcp(WEB1, DB1, ports, (1002, 5012), ACK, 0))));
    let [closed] = told(&mut bed)[..] else { panic!("one record") };
    assert_eq!((closed.event, closed.state, closed.told), (Event::Active, State::TcpTimeWait, 1));
    assert_eq!(closed.tcp_flags, [SYN | ACK | FIN, SYN | ACK | PSH | FIN]);
    bed.wait(Settings::default().timeouts.of(State::TcpTimeWait) + Duration::from_secs(1));
    let [end] = told(&mut bed)[..] else { panic!("one record") };
    assert_eq!((end.event, end.serial, end.told), (Event::Ended(End::Closed), 1, 2));
    assert_eq!((end.started, end.last), (start.at, start.at));
    assert_eq!(counted(&end), [(4, 4 * 54), (3, 3 * 54 + 10)]);
    bed.stop();
    assert_eq!(events(&mut bed), []);
}

#[test]
fn one_that_goes_on_is_told_of_every_nine_seconds() {
    let mut bed = deny_but([allow_udp(WEB, DB, 53..=53)]);
    for _ in 0..600 {
        assert!(passes(out(&mut bed, &udp(WEB1, DB1, (4000, 53)))));
        bed.wait(Duration::from_millis(100));
    }
    let told = told(&mut bed);
    assert!(told[1..].iter().all(|record| record.event == Event::Active));
    assert!((7..=8).contains(&told.len()), "{told:?}");
    assert!(told.is_sorted_by_key(|record| (record.told, record.traffic[0].packets)));
    assert!(told.windows(2).all(|two| two[1].at.since(two[0].at) < Duration::from_secs(9)));
}

#[test]
fn those_that_go_on_are_told_of_together() {
    let mut bed = deny_but([allow_udp(WEB, DB, 53..=53)]);
    let send = |bed: &mut Bed, count: u16| {
        (0..count).for_each(|n| assert!(passes(out(bed, &udp(WEB1, DB1, (4000 + n, 53))))));
    };
    send(&mut bed, 100);
    assert_eq!(events(&mut bed), [Event::Started; 100]);
    // All are due with their next packets.
    bed.wait(Duration::from_secs(9));
    send(&mut bed, 100);
    let mut all = told(&mut bed);
    assert_eq!(all.len(), 96, "sixteen at a time");
    // What they send until then is told too; and once is enough.
    send(&mut bed, 100);
    assert_eq!(events(&mut bed), []);
    bed.wait(Duration::from_millis(1));
    let late = told(&mut bed);
    assert!(late.iter().all(|record| record.traffic[0].packets == 3), "{late:?}");
    all.extend(late);
    let mut serials: Vec<u64> = all.iter().map(|record| record.serial).collect();
    serials.sort_unstable();
    assert!(serials.into_iter().eq(1..=100));
    assert!(all.iter().all(|record| record.event == Event::Active));
}

#[test]
fn who_ends_before_it_is_told_of_is_told_of_once() {
    let mut bed = deny_but([allow_udp(WEB, DB, 53..=53)]);
    let packet = udp(WEB1, DB1, (4000, 53));
    assert!(passes(out(&mut bed, &packet)));
    bed.wait(Duration::from_secs(9));
    assert!(passes(out(&mut bed, &packet)));
    bed.adopt(next(&bed, policy(Action::Deny, [])));
    assert_eq!(out(&mut bed, &packet), Err(Reason::PolicyDenied));
    assert_eq!(events(&mut bed), [Event::Started, Event::Ended(End::Revoked)]);
    bed.wait(Duration::from_millis(1));
    assert_eq!(events(&mut bed), []);
}

#[test]
fn each_end_has_its_name() {
    let open = || [allow_tcp(WEB, DB, 5432..=5432), allow_udp(WEB, DB, 53..=53)];
    let ended = |end: End| vec![Event::Ended(end)];
    let mut bed = deny_but(open());
    // Denied.
    assert_eq!(out(&mut bed, &udp(WEB1, DB1, (4000, 54))), Err(Reason::PolicyDenied));
    let [denied] = told(&mut bed)[..] else { panic!("one record") };
    assert_eq!((denied.event, denied.serial), (Event::Ended(End::Denied), 0));
    assert_eq!((denied.rule, denied.initiator.1, denied.responder.1), (2, 4000, 54));
    assert_eq!(counted(&denied), [(1, 46), (0, 0)]);
    // Timed out.
    assert!(passes(out(&mut bed, &udp(WEB1, DB1, (4000, 53)))));
    assert_eq!(events(&mut bed), [Event::Started]);
    bed.wait(Settings::default().timeouts.of(State::UdpNew) + Duration::from_secs(1));
    assert_eq!(events(&mut bed), ended(End::TimedOut));
    // Reset, and used again.
    connect(&mut bed, (40_000, 5432));
    assert!(passes(out(&mut bed, &tcp(WEB1, DB1, (40_000, 5432), (1001, 0), RST, 0))));
    assert_eq!(events(&mut bed), [Event::Started, Event::Active]);
    assert!(passes(out(&mut bed, &syn(WEB1, DB1, (40_000, 5432)))));
    let [over, again] = told(&mut bed)[..] else { panic!("two records") };
    assert_eq!((over.event, again.event), (Event::Ended(End::Reused), Event::Started));
    assert_eq!((over.initiator, over.serial + 1), (again.initiator, again.serial));
    bed.wait(Settings::default().timeouts.of(State::TcpSynSent) + Duration::from_secs(1));
    assert_eq!(events(&mut bed), ended(End::TimedOut));
    // Not allowed any more: told of by its next packet, or by itself.
    for by_packet in [true, false] {
        assert!(passes(out(&mut bed, &udp(WEB1, DB1, (4000, 53)))));
        bed.adopt(next(&bed, policy(Action::Deny, [])));
        if by_packet {
            assert_eq!(out(&mut bed, &udp(WEB1, DB1, (4000, 53))), Err(Reason::PolicyDenied));
        }
        for _ in 0..10 {
            bed.wait(Duration::from_millis(150));
        }
        assert_eq!(events(&mut bed), [Event::Started, Event::Ended(End::Revoked)]);
        bed.adopt(next(&bed, policy(Action::Deny, open())));
    }
    // The switch stops.
    assert!(passes(out(&mut bed, &udp(WEB1, DB1, (4000, 53)))));
    bed.stop();
    assert_eq!(events(&mut bed), [Event::Started, Event::Ended(End::Stopped)]);
}

#[test]
fn who_makes_way_is_told_of() {
    let mut lab = policies::lab(policy(Action::Deny, [allow_udp(WEB, DB, 53..=53)]));
    lab.limits = Limits { sessions: 10, embryonic: 5, rate: 1_000_000, burst: 1_000 };
    let mut bed = Bed::new(&lab, host::HV_A);
    for source in 1..=20 {
        assert!(passes(out(&mut bed, &udp(WEB1, DB1, (source, 53)))));
    }
    let told = told(&mut bed);
    let evicted: Vec<_> =
        told.iter().filter(|record| record.event == Event::Ended(End::Evicted)).map(|it| it.serial).collect();
    assert_eq!(evicted, (1..=15).collect::<Vec<_>>());
    assert_eq!(told.len(), 35);
}

#[test]
fn another_rule_is_told_of_and_the_same_in_another_place_is_not() {
    let allow = || allow_udp(WEB, DB, 53..=53);
    let mut bed = deny_but([allow()]);
    assert!(passes(out(&mut bed, &udp(WEB1, DB1, (4000, 53)))));
    assert_eq!(events(&mut bed), [Event::Started]);
    let audited = Rule { audit: true, ..rule(WEB, DB, Action::Deny, Service::Udp(53..=53)) };
    bed.adopt(next(&bed, policy(Action::Deny, [allow()])));
    assert!(passes(out(&mut bed, &udp(WEB1, DB1, (4000, 53)))));
    assert_eq!(events(&mut bed), []);
    bed.adopt(next(&bed, policy(Action::Deny, [audited, allow()])));
    assert!(passes(out(&mut bed, &udp(WEB1, DB1, (4000, 53)))));
    let [other] = told(&mut bed)[..] else { panic!("one record") };
    assert_eq!((other.event, other.flags.has(Flags::WOULD_DENY)), (Event::Decided, true));
}
