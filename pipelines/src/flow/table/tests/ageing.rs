//! When sessions end.

use super::*;

const SECOND: u64 = 1_000_000_000;

/// A table with a session of each state in turn, opened a millisecond after each other, and when each ends.
fn sessions(count: u32) -> (Table<Key4>, Vec<Tick>) {
    let mut table = table(count, 1);
    let open = |n: u32| {
        let state = State::ALL[n as usize % State::ALL.len()];
        let slot =
            open(&mut table, Key4::numbered(n), 0, state, Tick(u64::from(n) * SECOND / 1000)).0.unwrap();
        table.session(slot).deadline(&Timeouts::default())
    };
    let deadlines = (0..count).map(open).collect();
    (table, deadlines)
}

fn number(key: &Key4) -> usize {
    // As `numbered` has it: the ports, and the client's address.
    let (address, port) = key.low();
    (address.to_bits() as usize & 0xff_ffff) << 14 | (port & 0x3fff) as usize
}

#[test]
fn each_ends_after_its_deadline_and_within_a_span() {
    let (mut table, mut deadlines) = sessions(5000);
    let step = SPAN / 3;
    let mut now = Tick(5 * SECOND);
    while !table.is_empty() {
        now.0 += step;
        let all = table.age(now, &Timeouts::default(), usize::MAX, |session, _| {
            let deadline = core::mem::replace(&mut deadlines[number(session.key())], Tick(0));
            assert!(deadline <= now && now.0 < deadline.0 + SPAN + step, "{deadline:?} {now:?}");
        });
        assert!(all);
    }
    assert_eq!(now.0 / SECOND, 7440 + 4 + 1, "the last is an established one");
    assert_eq!(table.stats().expired, 5000);
}

#[test]
fn a_budget_bounds_each_call_and_the_next_goes_on() {
    let (mut table, _) = sessions(5000);
    let now = Tick(10_000 * SECOND);
    for call in 1..=50 {
        let mut ended = 0;
        let all = table.age(now, &Timeouts::default(), 100, |_, _| ended += 1);
        assert!(ended <= 100);
        assert_eq!(all, table.is_empty(), "{call}");
    }
    assert!(table.is_empty());
}

#[test]
fn after_a_long_pause_each_is_looked_at_twice_at_most() {
    let (mut table, _) = sessions(5000);
    // All had a packet just before the end of the pause of 30 days.
    let now = Tick(30 * 86_400 * SECOND);
    table.visit(&mut 0, 5000, |_, session, _| {
        session.last = Tick(now.0 - SECOND);
        true
    });
    let mut calls = 1;
    while !table.age(now, &Timeouts::default(), 100, |session, _| panic!("early: {session:?}")) {
        calls += 1;
    }
    assert!(calls <= 2 * 50 + 1, "{calls}");
    assert_eq!(table.len(), 5000);
    assert!(table.age(now + core::time::Duration::from_secs(8000), &Timeouts::default(), 20_000, |_, _| {}));
    assert!(table.is_empty());
}

#[test]
fn traffic_keeps_a_session_and_silence_ends_it() {
    let mut table = table(10, 1);
    let slot = open(&mut table, Key6::numbered(0), 0, State::UdpReplied, Tick(0)).0.unwrap();
    let timeouts = Timeouts::default();
    for second in 0..3600 {
        let now = Tick(second * SECOND);
        table.session_mut(slot).last = now;
        assert!(table.age(now, &timeouts, 10, |_, _| panic!("it is in use")));
        assert!(!table.is_expired(slot, now, &timeouts));
    }
    let silent = |seconds: u64| Tick((3599 + seconds) * SECOND);
    table.age(silent(179), &timeouts, 10, |_, _| panic!("not yet"));
    assert!(
        !table.is_expired(slot, silent(179), &timeouts) && table.is_expired(slot, silent(180), &timeouts)
    );
    table.age(silent(181), &timeouts, 10, |_, _| {});
    assert!(table.is_empty());
}

#[test]
fn a_shorter_time_counts_from_the_change() {
    let mut table = table(10, 1);
    let timeouts = Timeouts::default();
    for (n, end) in [(0, State::TcpClosed), (1, State::TcpTimeWait), (2, State::TcpEstablished)] {
        let slot = open(&mut table, Key4::numbered(n), 0, State::TcpEstablished, Tick(0)).0.unwrap();
        let session = table.session_mut(slot);
        (session.last, session.state) = (Tick(SECOND), end);
        table.changed(slot, State::TcpEstablished, &timeouts);
    }
    let mut ended = Vec::new();
    for tenth in 10..1000 {
        let now = Tick(tenth * SECOND / 10);
        table.age(now, &timeouts, 10, |session, _| ended.push((session.state, tenth / 10)));
    }
    assert_eq!(ended, [(State::TcpClosed, 11), (State::TcpTimeWait, 61)]);
}

#[test]
fn a_clock_may_start_anywhere() {
    for start in [0, 1, SPAN * 12_345, 1_700_000_000 * SECOND, u64::MAX - 20 * HORIZON] {
        let mut table = table(10, 1);
        open(&mut table, Key4::numbered(0), 0, State::UdpNew, Tick(start)).0.unwrap();
        for second in 0..=32 {
            let now = Tick(start + second * SECOND);
            table.age(now, &Timeouts::default(), 10, |_, _| assert!(second >= 30));
        }
        assert!(table.is_empty(), "{start}");
    }
}
