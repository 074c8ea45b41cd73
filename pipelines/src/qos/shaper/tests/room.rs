//! How much waits, and whose.

use super::*;

fn bed(backlog: u32, queue: u32, leaves: usize) -> Shaper<u32> {
    let mut shaper = Shaper::new(&Settings { backlog, queue, ..Settings::default() });
    shaper.group(0, &Share::default(), None, Tick(0));
    shaper.group(1, &Share::default(), None, Tick(0));
    for leaf in 0..leaves {
        shaper.leaf(leaf, 0, &share(0, 8_000, 1), &Classes::default(), Tick(0));
    }
    shaper
}

/// Sends until there is no more room, and says how many went in.
fn fill(shaper: &mut Shaper<u32>, leaf: usize, class: u8, colour: Colour) -> (usize, Refusal) {
    for n in 0.. {
        if let Err(refused) = shaper.enqueue(leaf, Class(class), colour, 1000, n, Tick(0)) {
            assert_eq!(refused.item, n);
            return (n as usize, refused.why);
        }
    }
    unreachable!("it has a bound")
}

#[test]
fn a_queue_has_its_room_and_no_more() {
    let mut shaper = bed(1000, 100, 2);
    assert_eq!(fill(&mut shaper, 0, 0, Colour::Green), (100, Refusal::Full));
    assert_eq!(fill(&mut shaper, 0, 1, Colour::Green), (100, Refusal::Full));
    assert_eq!(fill(&mut shaper, 1, 0, Colour::Green), (100, Refusal::Full));
    assert_eq!((shaper.waiting(), shaper.waiting_of(0), shaper.waiting_of(1)), (300, 200, 100));
}

#[test]
fn what_is_yellow_is_refused_first() {
    let mut shaper = bed(1000, 100, 5);
    assert_eq!(fill(&mut shaper, 0, 0, Colour::Yellow), (51, Refusal::Early));
    assert_eq!(fill(&mut shaper, 0, 0, Colour::Green), (49, Refusal::Full));
    // Half of all the room, as of a queue's.
    for (leaf, class) in [(1, 0), (1, 1), (2, 0), (2, 1), (3, 0)] {
        assert_eq!(fill(&mut shaper, leaf, class, Colour::Green).0, 100);
    }
    assert_eq!(fill(&mut shaper, 4, 0, Colour::Yellow), (0, Refusal::Early));
    assert_eq!(fill(&mut shaper, 4, 0, Colour::Green), (100, Refusal::Full));
}

#[test]
fn no_leaf_and_no_group_takes_all_the_room() {
    let mut shaper = bed(1000, 1000, 200);
    assert_eq!(fill(&mut shaper, 0, 0, Colour::Green), (500, Refusal::Full));
    assert_eq!(fill(&mut shaper, 0, 1, Colour::Green).0, 0);
    for leaf in 1..200 {
        fill(&mut shaper, leaf, 0, Colour::Green);
    }
    assert_eq!(shaper.waiting(), 800);
    // Another tenant has room still.
    shaper.leaf(200, 1, &Share::default(), &Classes::default(), Tick(0));
    assert_eq!(fill(&mut shaper, 200, 0, Colour::Green).0, 100);
    // And the first one has again what it leaves.
    while shaper.drain(0).is_some() {}
    assert_eq!(fill(&mut shaper, 0, 0, Colour::Green).0, 300);
}

#[test]
fn all_the_room_is_used_by_many() {
    let mut shaper = Shaper::new(&Settings { backlog: 1000, queue: 1000, ..Settings::default() });
    for n in 0..100 {
        shaper.group(n, &Share::default(), None, Tick(0));
        shaper.leaf(n, n, &Share::default(), &Classes::default(), Tick(0));
        assert_eq!(fill(&mut shaper, n, 0, Colour::Green).1, Refusal::Full);
    }
    assert_eq!(shaper.waiting(), 1000);
    let mut seen = vec![0; 100];
    while let Some(left) = shaper.dequeue(Tick(0), no) {
        assert_eq!(left.item, seen[left.leaf], "in order");
        seen[left.leaf] += 1;
    }
    assert_eq!(seen.iter().sum::<u32>(), 1000);
}

#[test]
fn more_room_and_less_keep_what_waits() {
    let mut shaper = bed(8, 8, 2);
    assert_eq!(fill(&mut shaper, 0, 0, Colour::Green).0, 4);
    shaper.resize(&Settings { backlog: 1000, queue: 100, ..Settings::default() });
    assert_eq!(fill(&mut shaper, 0, 0, Colour::Green).0, 96);
    shaper.resize(&Settings { backlog: 50, queue: 10, ..Settings::default() });
    assert_eq!((shaper.waiting(), fill(&mut shaper, 1, 0, Colour::Green)), (100, (0, Refusal::Full)));
    for n in (0..4).chain(0..96) {
        assert_eq!(shaper.drain(0), Some(n));
    }
    assert_eq!(fill(&mut shaper, 1, 0, Colour::Green).0, 10);
    shaper.resize(&Settings { backlog: 0, queue: 0, ..Settings::default() });
    assert_eq!(fill(&mut shaper, 0, 0, Colour::Green).0, 0);
    assert_eq!(shaper.waiting(), 10);
}

#[test]
fn what_waits_is_dropped_with_the_shaper() {
    let item = std::sync::Arc::new(());
    let mut shaper = Shaper::new(&Settings::default());
    shaper.leaf(0, 0, &Share::default(), &Classes::default(), Tick(0));
    for _ in 0..10 {
        shaper.enqueue(0, Class(0), Colour::Green, 1, item.clone(), Tick(0)).expect("there is room");
    }
    drop(shaper.dequeue(Tick(0), no));
    assert_eq!(std::sync::Arc::strong_count(&item), 10);
    drop(shaper);
    assert_eq!(std::sync::Arc::strong_count(&item), 1);
}
