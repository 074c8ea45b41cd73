//! The shaper in virtual time.

use super::*;

/// Marks nothing.
fn no<T>(_: &mut T) -> bool {
    false
}

fn share(rate: u64, ceil: u64, burst: u64) -> Share {
    Share { rate, ceil, burst, ..Share::default() }
}

#[test]
fn what_is_bound_waits_and_leaves_in_order() {
    let mut shaper = Shaper::new(&Settings::default());
    shaper.group(0, &Share::default(), None, Tick(0));
    shaper.leaf(0, 0, &share(0, 8_000_000, 1_000), &Classes::default(), Tick(0));
    let mut now = Tick(1_000_000_000);
    assert!(shaper.pass(0, 1_000, now));
    assert!(shaper.pass(0, 1_000, now));
    assert!(!shaper.pass(0, 1_000, now), "in debt");
    for n in 0..10 {
        shaper.enqueue(0, Class(0), Colour::Green, 1_000, n, now).expect("there is room");
    }
    assert_eq!((shaper.waiting(), shaper.waiting_of(0)), (10, 10));
    let mut seen = Vec::new();
    while shaper.waiting() > 0 {
        assert!(shaper.due() > now && shaper.due().0 - now.0 <= 1_004_096, "{:?} {:?}", now, shaper.due());
        now = shaper.due();
        while let Some(left) = shaper.dequeue(now, no) {
            assert_eq!(left.fate, Fate::Sent);
            seen.push(left.item);
        }
    }
    assert_eq!(seen, (0..10).collect::<Vec<_>>());
    assert!((1_010_000_000..1_010_050_000).contains(&now.0), "{now:?}");
    assert_eq!(shaper.due(), Tick(u64::MAX));
}
