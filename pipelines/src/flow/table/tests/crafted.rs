//! Keys that someone chose so that they meet.

use super::*;

/// What is read for one lookup: buckets and sessions.
fn reads(table: &Table<Key4>, key: &Key4) -> usize {
    let (buckets, sessions) = table.buckets.reads(table.hash(key), |index| table.is(Slot(index), key));
    assert!(buckets <= 2 && sessions <= 16, "{buckets} {sessions}");
    buckets + sessions
}

/// `count` keys that have the same two buckets in `table`.
fn crafted(table: &Table<Key4>, count: usize) -> Vec<Key4> {
    let ways = |key: &Key4| table.buckets.ways(table.hash(key));
    let target = ways(&Key4::numbered(0));
    (0..).map(Key4::numbered).filter(|key| ways(key) == target).take(count).collect()
}

fn with(secret: &Secret) -> Table<Key4> {
    // 64 buckets.
    let mut table = Table::new(486, secret);
    table.set_ports(&[Limits::default(); 2]);
    table
}

#[test]
fn who_knows_the_secret_is_refused_and_stays_bounded() {
    let mut table = with(&Secret::from_seed(1));
    let keys = crafted(&table, 64);
    for key in &keys[..16] {
        open(&mut table, *key, 0, State::TcpEstablished, Tick(0)).0.unwrap();
    }
    for key in &keys[16..] {
        assert_eq!(
            open(&mut table, *key, 0, State::TcpEstablished, Tick(0)),
            (Err(Refused::TableFull), vec![])
        );
        reads(&table, key);
    }
    assert!(keys[..16].iter().all(|key| find(&table, key).is_some()));
    assert_eq!((table.len(), table.stats().refused_full), (16, 48));
}

#[test]
fn in_a_crowd_an_embryonic_session_of_the_same_port_makes_way() {
    let mut table = with(&Secret::from_seed(1));
    let keys = crafted(&table, 20);
    for (n, key) in keys[..16].iter().enumerate() {
        let (port, state) = if n % 2 == 0 { (0, State::TcpSynSent) } else { (1, State::TcpEstablished) };
        open(&mut table, *key, port, state, Tick(n as u64)).0.unwrap();
    }
    // It is older than all, but does not stand in the way.
    let outside = (0..).map(Key4::numbered).find(|key| !keys.contains(key)).unwrap();
    open(&mut table, outside, 0, State::TcpSynSent, Tick(0)).0.unwrap();
    let established = open(&mut table, keys[16], 1, State::TcpEstablished, Tick(99));
    assert_eq!(established, (Err(Refused::TableFull), vec![]));
    assert_eq!(open(&mut table, keys[17], 0, State::TcpEstablished, Tick(99)).1, [keys[0]]);
    assert_eq!(open(&mut table, keys[18], 0, State::TcpEstablished, Tick(99)).1, [keys[2]]);
    assert_eq!(table.book(PortId(0)), Book { sessions: 9, embryonic: 7 });
    assert!(find(&table, &keys[17]).is_some() && find(&table, &keys[0]).is_none());
}

#[test]
fn keys_crafted_for_another_secret_are_keys_like_any() {
    let keys = crafted(&with(&Secret::from_seed(1)), 64);
    let (mut cost, mut common) = (0, 0);
    for seed in 2..34 {
        let mut table = with(&Secret::from_seed(seed));
        let others: Vec<_> = (0..)
            .map(|n| Key4::numbered(n << 8 | 0xff))
            .filter(|key| !keys.contains(key))
            .take(422)
            .collect();
        for key in keys.iter().chain(&others) {
            open(&mut table, *key, 0, State::TcpEstablished, Tick(0)).0.unwrap();
        }
        cost += keys.iter().map(|key| reads(&table, key)).sum::<usize>();
        // As many that came first as well, so that they are as likely in their first bucket.
        let mut table = with(&Secret::from_seed(seed));
        for key in others[..64].iter().chain(&keys).chain(&others[64..]) {
            open(&mut table, *key, 0, State::TcpEstablished, Tick(0)).0.unwrap();
        }
        common += others[..64].iter().map(|key| reads(&table, key)).sum::<usize>();
    }
    assert!(cost <= 2 * common && common <= 2 * cost, "{cost} beside {common}");
}

#[test]
fn keys_with_one_tag_are_all_found() {
    let mut table = table::<Key4>(15, 1);
    let tag = |key: &Key4| table.hash(key).tag();
    let target = tag(&Key4::numbered(0));
    let keys: Vec<_> = (0..).map(Key4::numbered).filter(|key| tag(key) == target).take(16).collect();
    for key in &keys[..15] {
        open(&mut table, *key, 0, State::TcpEstablished, Tick(0)).0.unwrap();
    }
    assert!(keys[..15].iter().all(|key| find(&table, key).is_some_and(|slot| table.is(slot, key))));
    assert_eq!(find(&table, &keys[15]), None);
    assert!(keys.iter().any(|key| reads(&table, key) > 8), "they do meet");
}
