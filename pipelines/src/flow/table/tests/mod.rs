mod ageing;
mod crafted;
mod limits;
mod model;

use core::net::{Ipv4Addr, Ipv6Addr};

use super::super::key::{Key, Key4, Key6};
use super::*;
use crate::wire::Vni;

/// Keys by number.
trait Numbered: Key {
    fn numbered(n: u32) -> Self;
}

impl Numbered for Key4 {
    fn numbered(n: u32) -> Self {
        let (client, port) = (0x0a00_0000 | n >> 14, n as u16 & 0x3fff | 0x8000);
        Self::new(
            Vni::LOWEST,
            6,
            (Ipv4Addr::from_bits(client), port),
            (Ipv4Addr::from_bits(0x0b00_0001), 443),
        )
        .0
    }
}

impl Numbered for Key6 {
    fn numbered(n: u32) -> Self {
        let (client, port) = (0x2001_0db8 << 96 | u128::from(n >> 14), n as u16 & 0x3fff | 0x8000);
        Self::new(Vni::LOWEST, 6, (Ipv6Addr::from_bits(client), port), (Ipv6Addr::LOCALHOST, 443)).0
    }
}

/// A table in which each of `ports` ports has all it wants.
fn table<K: Key>(capacity: u32, ports: usize) -> Table<K> {
    let mut table = Table::new(capacity, &Secret::from_seed(11));
    table.set_ports(&vec![Limits::default(); ports]);
    table
}

/// Opens the session with `key` for `port`. Returns those that made way besides.
fn open<K: Key>(
    table: &mut Table<K>,
    key: K,
    port: u16,
    state: State,
    now: Tick,
) -> (Result<Slot, Refused>, Vec<K>) {
    let opening = Opening { port: PortId(port), state, ..Opening::default() };
    let mut evicted = Vec::new();
    let tell = |session: &Session<K>, _: &mut Notes| evicted.push(*session.key());
    let result = table.open(table.hash(&key), &key, &opening, now, &Timeouts::default(), tell);
    (result, evicted)
}

/// The slot of `key`.
fn find<K: Key>(table: &Table<K>, key: &K) -> Option<Slot> {
    table.find(table.hash(key), key)
}

#[test]
fn a_walk_meets_each_session_that_lives_throughout_once() {
    let mut table = table::<Key4>(1000, 1);
    for n in 0..600 {
        open(&mut table, Key4::numbered(n), 0, State::UdpReplied, Tick(0)).0.unwrap();
    }
    let (mut cursor, mut met, mut turn) = (0, vec![0; 2000], 0);
    while !table.visit(&mut cursor, 7, |slot, session, _| {
        let n = (0..2000).find(|n| Key4::numbered(*n) == *session.key()).unwrap();
        assert!(slot.index() < 1000);
        met[n as usize] += 1;
        n % 5 != 1
    }) {
        // Meanwhile some end and others start in their places.
        if let Some(slot) = find(&table, &Key4::numbered(turn * 5)) {
            table.close(slot);
        }
        open(&mut table, Key4::numbered(1000 + turn), 0, State::UdpNew, Tick(0)).0.unwrap();
        turn += 1;
    }
    assert_eq!(cursor, 0);
    assert!((0..600).all(|n| met[n] == 1 || n % 5 == 0 && met[n] == 0));
    assert!(met.iter().all(|times| *times <= 1));
    let left = (0..600).filter(|n| find(&table, &Key4::numbered(*n)).is_some()).count();
    assert_eq!(left, 600 * 4 / 5 - turn as usize);
}

#[test]
fn nothing_moves_in_memory_while_a_table_fills() {
    let memory = Memory::<Key6>::new(500);
    let regions = memory.regions();
    let mut table = Table::within(memory, &Secret::from_seed(1));
    table.set_ports(&[Limits::default()]);
    for round in 0..3 {
        for n in 0..500 {
            open(&mut table, Key6::numbered(n), 0, State::New, Tick(round)).0.unwrap();
        }
        let full = open(&mut table, Key6::numbered(500), 0, State::Replied, Tick(round));
        assert_eq!(full.1, [Key6::numbered(0)]);
        assert_eq!((table.len(), table.capacity()), (500, 500));
        table.visit(&mut 0, 500, |_, _, _| false);
        assert!(table.is_empty());
    }
    let Table { sessions, nodes, .. } = table;
    assert_eq!((sessions.as_ptr().cast(), sessions.capacity() * 128), regions[1]);
    assert_eq!((nodes.as_ptr().cast(), nodes.capacity() * 16), regions[2]);
}

#[test]
fn a_candidate_of_another_key_is_told_from_it() {
    let mut table = table::<Key4>(7, 1);
    let key = Key4::numbered(0);
    let hash = table.hash(&key);
    let slot = open(&mut table, key, 0, State::New, Tick(0)).0.unwrap();
    let other = Key4::numbered(1);
    // As if both had one hash.
    assert_eq!(table.lookup().candidate(hash), Some(slot));
    assert!(table.is(slot, &key) && !table.is(slot, &other));
    assert_eq!(table.find(hash, &other), None);
    table.close(slot);
    assert!(!table.is(slot, &key));
    assert_eq!((table.lookup().candidate(hash), table.find(hash, &key)), (None, None));
}
