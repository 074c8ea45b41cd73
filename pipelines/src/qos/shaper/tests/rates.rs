//! What is bound gets its rate, neither more nor less.

use super::*;

/// Nanoseconds that a bound may be noticed late: a slot of the wheel.
const GRANULE: u64 = 4096;

#[test]
fn each_leaf_gets_its_rate_to_the_packet() {
    const RATES: [u64; 7] =
        [64_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000, 10_000_000_000, 100_000_000_000];
    const COSTS: [(u32, u32); 5] = [(64, 64), (576, 576), (1538, 1538), (9000, 9000), (64, 9000)];
    for rate in RATES {
        for leaves in [1, 100, 10_000] {
            for costs in COSTS {
                saturated(rate, leaves, costs);
            }
        }
    }
}

/// Leaves of about `rate` each, which always have packets of `costs`, over 100 ms; less where that were too many.
fn saturated(rate: u64, leaves: usize, costs: (u32, u32)) {
    const PACKETS: u64 = 150_000;
    let rates = |leaf: usize| rate + rate / 10 * (leaf as u64 % 4);
    let bits = PACKETS * u64::from(costs.0 + costs.1) * 4;
    let time = (bits as u128 * SECOND as u128 / rate as u128 / leaves as u128).min(100 * MS as u128) as u64;
    let mut bed = Bed::new();
    bed.step = (time / 100).clamp(1_000, 20_000);
    // What lateness gathers fits in it.
    let late = bed.step + GRANULE;
    let burst = |leaf: usize| (rates(leaf) * late / SECOND / 8 + 1).max(3_000);
    bed.group(0, Share::default());
    for leaf in 0..leaves {
        bed.leaf(0, share(0, rates(leaf), burst(leaf)), costs);
    }
    let (start, polls) = (bed.now, bed.packets);
    bed.run(time);
    for leaf in 0..leaves {
        let gained = |time: u64| (rates(leaf) as u128 * time as u128 / SECOND as u128 / 8) as u64;
        let (sent, most) = (bed.bytes(leaf), burst(leaf) + gained(time) + u64::from(costs.1));
        let least = burst(leaf) + gained(time.saturating_sub(late));
        assert!(
            (least.saturating_sub(1)..=most).contains(&sent),
            "{rate} bit/s, {leaves} leaves, {costs:?}: leaf {leaf} sent {sent} of {least}..={most} in {time} ns"
        );
    }
    assert!(bed.packets > polls && bed.now == start + time);
}

#[test]
fn a_second_shows_a_percent_of_any_rate() {
    for (rate, costs) in [(64_000, (64, 256)), (3_333_333, (64, 1538)), (250_000_000, (9000, 9000))] {
        let mut bed = Bed::new();
        bed.group(0, Share::default());
        let leaves: Vec<_> = (0..20).map(|_| bed.leaf(0, share(0, rate, 16_000), costs)).collect();
        bed.run(4 * SECOND);
        bed.measure(4 * SECOND);
        for leaf in leaves {
            assert!(about(bed.rate(leaf, 4 * SECOND), rate, 10), "{rate}: {}", bed.rate(leaf, 4 * SECOND));
        }
    }
}

#[test]
fn packets_are_bound_as_bits_are() {
    let mut bed = Bed::new();
    bed.group(0, Share::default());
    let bound = Share { pps: 10_000, packet_burst: 50, ..Share::default() };
    let leaf = bed.leaf(0, bound, (64, 9000));
    bed.run(SECOND);
    assert!((10_049..=10_051).contains(&bed.packets), "{}", bed.packets);
    assert!(bed.bytes(leaf) > 10_000 * 4_000);
}

#[test]
fn a_group_and_the_root_are_bound_as_a_leaf_is() {
    let mut bed = Bed::new().root(900_000_000);
    bed.group(0, share(0, 300_000_000, 30_000));
    bed.group(1, Share::default());
    let (a, b) = (bed.leaf(0, Share::default(), (64, 1538)), bed.leaf(0, Share::default(), (64, 1538)));
    let c = bed.leaf(1, Share::default(), (64, 1538));
    bed.run(50 * MS);
    bed.measure(SECOND);
    let [a, b, c] = [a, b, c].map(|leaf| bed.rate(leaf, SECOND));
    assert!(about(a + b, 300_000_000, 2) && about(a, b, 10), "{a} {b}");
    assert!(about(a + b + c, 900_000_000, 2), "{a} {b} {c}");
}

#[test]
fn what_passes_without_waiting_is_bound_at_both_levels() {
    let mut bed = Bed::new();
    let now = bed.now;
    bed.group(0, share(0, 30_000_000, 10_000));
    for _ in 0..4 {
        bed.leaf(0, share(5_000_000, 10_000_000, 5_000), (0, 0));
    }
    let (mut passed, mut all) = ([0; 4], 0);
    while bed.now < now + SECOND {
        bed.now += 1 + bed.whim.below(20_000);
        let first = bed.whim.below(4) as usize;
        for leaf in (first..4).chain(0..first) {
            let cost = bed.whim.between((64, 1538));
            if bed.shaper.pass(leaf, cost, Tick(bed.now)) {
                passed[leaf] += u64::from(cost) * 8;
                all += u64::from(cost) * 8;
            }
        }
    }
    let most = |rate: u64, burst: u64| rate + (burst + 1538) * 8;
    assert!((29_990_000..=most(30_000_000, 10_000)).contains(&all), "{all}");
    assert!(passed.iter().all(|&passed| passed <= most(10_000_000, 5_000)), "{passed:?}");
}

#[test]
fn what_passes_and_what_waits_have_one_bound() {
    let mut bed = Bed::new();
    bed.group(0, Share::default());
    let leaf = bed.leaf(0, share(0, 8_000_000, 2_000), (0, 0));
    let start = bed.now;
    let mut sent = 0;
    while bed.now < start + SECOND {
        bed.now += 1 + bed.whim.below(200_000);
        let now = Tick(bed.now);
        while let Some(left) = bed.shaper.dequeue(now, no) {
            sent += u64::from(left.cost);
        }
        for _ in 0..bed.whim.below(3) {
            if bed.shaper.pass(leaf, 1000, now) {
                assert_eq!(bed.shaper.waiting_of(leaf), 0);
                sent += 1000;
            } else if bed.shaper.waiting() < 4 {
                let packet = Packet { class: Class(0), number: 0 };
                bed.shaper.enqueue(leaf, Class(0), Colour::Green, 1000, packet, now).expect("there is room");
            }
        }
    }
    assert!((998_000..=1_003_000).contains(&sent), "{sent}");
}

#[test]
fn packets_in_a_run_pass_as_one_by_one() {
    let at = |bits: u64| [0, 8, 80, 800][bits as usize % 4] * 1_000_000;
    let mut passed = 0;
    for seed in 0..200 {
        let mut whim = Whim(seed);
        let mut share = || {
            let (rate, ceil) = (at(whim.next()), at(whim.next()));
            let rate = if ceil == 0 { rate } else { rate.min(ceil) };
            let pps = [0, 0, 1_000, 100_000][whim.below(4) as usize];
            Share { pps, packet_burst: 20, ..self::share(rate, ceil, 3_000 + whim.below(30_000)) }
        };
        let (group, leaves, root) = (share(), [share(), share()], share().ceil);
        let is_leased = seed % 2 == 0;
        // The second one's runs are of one packet: another one's comes between, which may not pass.
        let mut shapers = [(); 2].map(|()| {
            let mut shaper = Shaper::new(&Settings::default());
            let pools = crate::qos::TenantShare::new(group, 2, None).received.filter(|_| is_leased);
            shaper.root(root, 5_000, Tick(SECOND));
            shaper.group(0, &group, pools.as_deref(), Tick(SECOND));
            for (leaf, share) in leaves.iter().enumerate() {
                shaper.leaf(leaf, 0, share, &Classes::default(), Tick(SECOND));
            }
            shaper
        });
        let mut now = SECOND;
        for _ in 0..500 {
            now += whim.below(3) * whim.below(100_000);
            let (leaf, packets, waits) = (whim.below(2) as usize, whim.below(40), whim.below(20) == 0);
            for _ in 0..packets {
                let cost = whim.between((64, 1538));
                let [many, single] = shapers.each_mut().map(|shaper| shaper.pass(leaf, cost, Tick(now)));
                assert_eq!(many, single, "{seed}");
                assert!(!shapers[1].pass(usize::MAX, cost, Tick(now)));
                passed += u64::from(many);
            }
            let left = shapers.each_mut().map(|shaper| {
                if waits {
                    packets_of(shaper, leaf, now);
                }
                std::iter::from_fn(|| shaper.dequeue(Tick(now), no)).map(|left| left.item.number).sum::<u64>()
            });
            assert_eq!(left[0], left[1], "{seed}");
        }
    }
    assert!(passed > 20_000, "{passed}");
}

/// Some of a leaf that wait.
fn packets_of(shaper: &mut Shaper<Packet>, leaf: usize, now: u64) {
    for number in 1..4 {
        let packet = Packet { class: Class(0), number };
        shaper.enqueue(leaf, Class(0), Colour::Green, 1000, packet, Tick(now)).expect("there is room");
    }
}
