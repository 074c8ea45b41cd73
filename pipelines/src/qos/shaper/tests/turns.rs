//! Who is in turn, and when: bounds that open, stalls, other settings, and what the clock does.

use super::*;

fn packets(shaper: &mut Shaper<u64>, leaf: usize, count: u64, now: u64) {
    for n in 0..count {
        shaper.enqueue(leaf, Class(0), Colour::Green, 1000, n, Tick(now)).expect("there is room");
    }
}

/// How many leave now, marked or not.
fn leave(shaper: &mut Shaper<u64>, now: u64) -> usize {
    std::iter::from_fn(|| shaper.dequeue(Tick(now), |_| true)).count()
}

/// A leaf of 8 Mbit/s: a packet of 1,000 bytes each millisecond, and a burst of one.
fn one() -> Shaper<u64> {
    let mut shaper = Shaper::new(&Settings::default());
    shaper.group(0, &Share::default(), None, Tick(SECOND));
    shaper.leaf(0, 0, &share(0, 8_000_000, 1_000), &Classes::default(), Tick(SECOND));
    shaper
}

#[test]
fn what_is_bound_waits_and_leaves_in_order() {
    let (mut shaper, mut now) = (one(), Tick(SECOND));
    assert!(shaper.pass(0, 1_000, now));
    assert!(shaper.pass(0, 1_000, now));
    assert!(!shaper.pass(0, 1_000, now), "in debt");
    packets(&mut shaper, 0, 10, now.0);
    assert_eq!((shaper.waiting(), shaper.waiting_of(0)), (10, 10));
    let mut seen = Vec::new();
    while shaper.waiting() > 0 {
        let due = shaper.due();
        assert!(due > now && due.0 - now.0 <= MS + 4096, "{now:?} {due:?}");
        assert!(shaper.dequeue(Tick(due.0 - 1), no).is_none());
        now = due;
        while let Some(left) = shaper.dequeue(now, no) {
            assert_eq!((left.leaf, left.cost, left.fate), (0, 1_000, Fate::Sent));
            assert_eq!(left.waited, now.0 - SECOND);
            seen.push(left.item);
        }
    }
    assert_eq!(seen, (0..10).collect::<Vec<_>>());
    // The debt, and ten times what a packet takes but for the last.
    assert!((SECOND + 10 * MS..SECOND + 10 * MS + 4096).contains(&now.0), "{now:?}");
    assert_eq!(shaper.due(), Tick(u64::MAX));
}

#[test]
fn numbers_of_nobody_are_nothing() {
    let mut shaper = one();
    shaper.leaf(5, 3, &Share::default(), &Classes::default(), Tick(0));
    assert_eq!(shaper.leaves(), 6);
    for leaf in [1, 4, 6, 70_000, usize::MAX] {
        assert!(!shaper.pass(leaf, 1, Tick(0)));
        let refused = shaper.enqueue(leaf, Class(0), Colour::Green, 1, 7, Tick(0)).expect_err("it is nobody");
        assert_eq!((refused.item, refused.why), (7, Refusal::Full));
        shaper.stall(leaf);
        shaper.resume(leaf);
        assert!(!shaper.is_stalled(leaf));
        assert_eq!((shaper.drain(leaf), shaper.waiting_of(leaf)), (None, 0));
    }
    shaper.leaf(70_000, 0, &Share::default(), &Classes::default(), Tick(0));
    shaper.leaf(0, 70_000, &Share::default(), &Classes::default(), Tick(0));
    shaper.group(70_000, &Share::default(), None, Tick(0));
    assert_eq!(shaper.leaves(), 6);
    assert!(shaper.pass(5, u32::MAX, Tick(0)));
    shaper.enqueue(5, Class(255), Colour::Green, u32::MAX, 9, Tick(0)).expect("there is room");
    assert_eq!(shaper.dequeue(Tick(0), no).map(|left| left.item), Some(9));
}

#[test]
fn a_stalled_leaf_holds_up_nobody() {
    let mut shaper = one();
    shaper.leaf(1, 0, &Share::default(), &Classes::default(), Tick(SECOND));
    packets(&mut shaper, 0, 3, SECOND);
    shaper.stall(0);
    assert!(shaper.is_stalled(0) && !shaper.is_stalled(1));
    assert_eq!((leave(&mut shaper, SECOND), shaper.due()), (0, Tick(u64::MAX)));
    packets(&mut shaper, 1, 3, SECOND);
    assert!(!shaper.pass(0, 1, Tick(SECOND)));
    assert_eq!(leave(&mut shaper, SECOND), 3);
    // It takes in what waits for it all the same.
    packets(&mut shaper, 0, 1, SECOND);
    assert_eq!(shaper.waiting_of(0), 4);
    shaper.resume(0);
    assert_eq!(leave(&mut shaper, SECOND), 2);
    shaper.stall(0);
    assert_eq!(leave(&mut shaper, 3 * SECOND), 0);
    shaper.resume(0);
    shaper.resume(0);
    assert_eq!(leave(&mut shaper, 3 * SECOND), 2);
    shaper.stall(0);
    shaper.resume(0);
    assert_eq!(leave(&mut shaper, 4 * SECOND), 0);
    assert!(shaper.pass(0, 1, Tick(4 * SECOND)));
}

#[test]
fn draining_asks_no_bound_and_charges_none() {
    let mut shaper = one();
    shaper.leaf(1, 0, &Share::default(), &Classes::default(), Tick(SECOND));
    packets(&mut shaper, 0, 5, SECOND);
    packets(&mut shaper, 1, 2, SECOND);
    shaper.enqueue(0, Class(3), Colour::Green, 1, 99, Tick(SECOND)).expect("there is room");
    shaper.stall(0);
    let mut drained: Vec<_> = std::iter::from_fn(|| shaper.drain(0)).collect();
    drained.sort_unstable();
    assert_eq!(drained, [0, 1, 2, 3, 4, 99]);
    assert_eq!((shaper.waiting(), shaper.waiting_of(0)), (2, 0));
    shaper.resume(0);
    assert_eq!(leave(&mut shaper, SECOND), 2);
    packets(&mut shaper, 0, 5, SECOND);
    assert_eq!(leave(&mut shaper, SECOND), 2, "the burst is there still, and one goes into debt");
    assert_eq!(std::iter::from_fn(|| shaper.drain(0)).count(), 3);
    assert_eq!(shaper.due(), Tick(u64::MAX));
}

#[test]
fn other_settings_keep_what_waits_and_give_no_burst() {
    let mut shaper = one();
    packets(&mut shaper, 0, 40, SECOND);
    assert_eq!(leave(&mut shaper, SECOND), 2);
    for n in 0..100 {
        // Larger bursts, other groups, other classes.
        let group = n % 3;
        let classes = Classes { strict: n as u8 % 4, ..Classes::default() };
        shaper.leaf(0, group, &share(1_000_000, 8_000_000, 50_000 + n as u64), &classes, Tick(SECOND));
        shaper.group(group, &share(0, 8_000_000_000, 1_000_000), None, Tick(SECOND));
        assert_eq!((leave(&mut shaper, SECOND), shaper.waiting_of(0)), (0, 38));
    }
    let left: Vec<_> = [SECOND + MS, SECOND + 10 * MS].map(|now| leave(&mut shaper, now + 4096)).into();
    assert_eq!(left, [1, 9]);
    // A bound that is lifted holds nobody up.
    shaper.leaf(0, 1, &Share::default(), &Classes::default(), Tick(SECOND + 11 * MS));
    assert_eq!(leave(&mut shaper, SECOND + 11 * MS), 28);
}

#[test]
fn a_group_whose_bound_is_lifted_is_in_turn_at_once() {
    let mut shaper = one();
    shaper.leaf(0, 0, &Share::default(), &Classes::default(), Tick(SECOND));
    shaper.group(0, &share(0, 8_000, 1_000), None, Tick(SECOND));
    packets(&mut shaper, 0, 10, SECOND);
    assert_eq!(leave(&mut shaper, SECOND), 2);
    shaper.group(0, &share(0, 8_000_000, 1_000), None, Tick(SECOND));
    assert_eq!((leave(&mut shaper, SECOND), leave(&mut shaper, SECOND + MS + 4096)), (0, 1));
    shaper.group(0, &Share::default(), None, Tick(SECOND + 2 * MS));
    assert_eq!(leave(&mut shaper, SECOND + 2 * MS), 7);
    // So is the root.
    shaper.root(8_000, 3_076, Tick(2 * SECOND));
    packets(&mut shaper, 0, 10, 2 * SECOND);
    assert!(leave(&mut shaper, 2 * SECOND) < 6);
    assert!(shaper.due() > Tick(2 * SECOND) && shaper.due() < Tick(4 * SECOND));
    shaper.root(0, 0, Tick(2 * SECOND));
    assert!(leave(&mut shaper, 2 * SECOND) > 4);
}

#[test]
fn pauses_and_jumps_of_the_clock_give_no_more_than_the_burst() {
    let mut shaper = one();
    let mut now = SECOND;
    packets(&mut shaper, 0, 400, now);
    assert_eq!(leave(&mut shaper, now), 2);
    for pause in [50 * MS, SECOND, 86_400 * SECOND, 1 << 50, 1] {
        now += pause;
        assert!(leave(&mut shaper, now) <= 2, "{pause}");
    }
    // Back: nothing leaves until it is as late as it was.
    let waiting = shaper.waiting();
    assert_eq!(leave(&mut shaper, now - SECOND), 0);
    assert_eq!(leave(&mut shaper, 0), 0);
    assert_eq!(shaper.waiting(), waiting);
    assert_eq!(leave(&mut shaper, now + 2 * MS), 2);
    assert!(leave(&mut shaper, u64::MAX) <= 2);
    assert_eq!(leave(&mut shaper, u64::MAX), 0);
}

#[test]
fn leased_bounds_hold_over_shapers() {
    let settings = Settings::default();
    let bound = share(10_000_000, 20_000_000, 65_536);
    let tenant = crate::qos::TenantShare::new(bound, 2, None);
    let pools = tenant.received.expect("there are two workers");
    let mut shapers = [(); 2].map(|()| {
        let mut shaper = Shaper::new(&settings);
        shaper.group(0, &bound, Some(&pools), Tick(SECOND));
        shaper.leaf(0, 0, &Share::default(), &Classes::default(), Tick(SECOND));
        shaper
    });
    let (mut sent, mut whim, mut now) = ([0; 2], Whim(3), SECOND);
    while now < 2 * SECOND {
        now += 1 + whim.below(20_000);
        for (n, shaper) in shapers.iter_mut().enumerate() {
            if shaper.waiting() < 4 {
                packets(shaper, 0, 4, now);
            }
            sent[n] += leave(shaper, now) * 8_000;
        }
    }
    let all = sent[0] + sent[1];
    let most = 20_000_000 + 65_536 * 8 + 2 * 8_000;
    // Each may have a lease in hand.
    assert!((most - 4 * 32_768 * 8..=most).contains(&all), "{sent:?}");
    // Its own after all, and leased again: what was had stays had.
    for pools in [None, Some(&*pools), None, Some(&*pools)] {
        shapers[0].group(0, &bound, pools, Tick(now));
        packets(&mut shapers[0], 0, 4, now);
        assert!(leave(&mut shapers[0], now) <= 1 + 32_768 / 1000);
    }
}
