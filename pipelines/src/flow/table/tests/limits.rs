//! Who makes way for whom.

use super::*;

const ALICE: u16 = 0;
const MALLORY: u16 = 1;

fn limits(sessions: u32, embryonic: u32) -> Limits {
    Limits { sessions, embryonic, ..Limits::default() }
}

fn key(n: u32) -> Key4 {
    Key4::numbered(n)
}

fn confirm(table: &mut Table<Key4>, n: u32) {
    let slot = find(table, &key(n)).unwrap();
    let before = core::mem::replace(&mut table.session_mut(slot).state, State::TcpEstablished);
    table.changed(slot, before, &Timeouts::default());
}

#[test]
fn over_its_share_a_port_loses_its_oldest_embryonic_session() {
    let mut table = table(100, 2);
    table.set_ports(&[limits(100, 3), limits(100, 100)]);
    for n in 0..3 {
        assert_eq!(open(&mut table, key(n), ALICE, State::TcpSynSent, Tick(0)).1, []);
    }
    open(&mut table, key(50), MALLORY, State::TcpSynSent, Tick(0)).0.unwrap();
    confirm(&mut table, 0);
    assert_eq!(open(&mut table, key(3), ALICE, State::UdpNew, Tick(0)).1, []);
    assert_eq!(open(&mut table, key(4), ALICE, State::UdpNew, Tick(0)).1, [key(1)]);
    assert_eq!(table.book(PortId(ALICE)), Book { sessions: 4, embryonic: 3 });
    // What is not embryonic when it starts does not count for the share.
    assert_eq!(open(&mut table, key(5), ALICE, State::TcpEstablished, Tick(0)).1, []);
}

#[test]
fn at_its_limit_a_port_is_refused_what_none_makes_way_for() {
    let mut table = table(100, 2);
    table.set_ports(&[limits(3, 100), limits(100, 0)]);
    for n in 0..3 {
        open(&mut table, key(n), ALICE, State::UdpNew, Tick(0)).0.unwrap();
    }
    assert_eq!(open(&mut table, key(3), ALICE, State::UdpReplied, Tick(0)).1, [key(0)]);
    confirm(&mut table, 1);
    confirm(&mut table, 2);
    assert_eq!(open(&mut table, key(4), ALICE, State::UdpNew, Tick(0)), (Err(Refused::Quota), vec![]));
    assert_eq!(open(&mut table, key(5), MALLORY, State::UdpNew, Tick(0)), (Err(Refused::Quota), vec![]));
    assert!(open(&mut table, key(5), MALLORY, State::TcpEstablished, Tick(0)).0.is_ok());
    assert_eq!((table.stats().refused_quota, table.stats().evicted), (2, 1));
}

#[test]
fn a_port_that_fills_the_table_takes_nothing_from_another() {
    let mut table = table(100, 2);
    for n in 0..10 {
        open(&mut table, key(n), ALICE, State::TcpSynSent, Tick(0)).0.unwrap();
    }
    for n in 100..1000 {
        let (result, evicted) = open(&mut table, key(n), MALLORY, State::TcpSynSent, Tick(1));
        let expected = if n < 190 { vec![] } else { vec![key(n - 90)] };
        assert_eq!((result.is_ok(), evicted), (true, expected));
    }
    assert_eq!(table.book(PortId(ALICE)), Book { sessions: 10, embryonic: 10 });
    // Of the own it takes those that wait, and only these.
    for n in 910..1000 {
        confirm(&mut table, n);
    }
    assert_eq!(
        open(&mut table, key(1000), MALLORY, State::TcpSynSent, Tick(1)),
        (Err(Refused::TableFull), vec![])
    );
    assert_eq!(open(&mut table, key(1001), ALICE, State::TcpSynSent, Tick(1)).1, [key(0)]);
    assert_eq!((table.stats().refused_full, table.len()), (1, 100));
}

#[test]
fn lower_limits_are_reached_by_and_by() {
    let mut table = table(100, 1);
    for n in 0..50 {
        open(&mut table, key(n), ALICE, State::UdpNew, Tick(0)).0.unwrap();
    }
    table.set_ports(&[limits(20, 20)]);
    for n in 50..80 {
        assert_eq!(open(&mut table, key(n), ALICE, State::UdpNew, Tick(0)).1.len(), 2);
    }
    assert_eq!(open(&mut table, key(80), ALICE, State::UdpNew, Tick(0)).1.len(), 1);
    assert_eq!(table.book(PortId(ALICE)).sessions, 20);
    // One alone makes way for one.
    (1..20).for_each(|n| confirm(&mut table, 80 - n));
    table.set_ports(&[limits(5, 5)]);
    assert_eq!(open(&mut table, key(81), ALICE, State::UdpNew, Tick(0)).1, [key(80)]);
    assert_eq!(table.book(PortId(ALICE)).sessions, 20);
}

#[test]
fn a_port_without_limits_opens_nothing() {
    let mut table = table(100, 1);
    assert_eq!(open(&mut table, key(0), 1, State::UdpNew, Tick(0)).0, Err(Refused::Quota));
    assert!(open(&mut table, key(0), 0, State::UdpNew, Tick(0)).0.is_ok());
    // One that is named no more keeps what it has.
    table.set_ports(&[]);
    assert_eq!(table.book(PortId(0)).sessions, 1);
    assert_eq!(open(&mut table, key(1), 0, State::UdpReplied, Tick(0)).0, Err(Refused::Quota));
    let slot =
        find(&table, &key(0)).unwrap_or_else(|| open(&mut table, key(0), 0, State::New, Tick(0)).0.unwrap());
    table.close(slot);
    assert_eq!(table.book(PortId(0)), Book::default());
}
