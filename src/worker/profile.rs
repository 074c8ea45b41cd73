//! Where a worker's cycles go, stage by stage: for as long as somebody asks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use weft_pipelines::flow::Sessions;
use weft_pipelines::{Batch, Frame, PortId, Tick, Witness};

use super::Clock;

/// What cycles are counted for, in the order in which packets come by; the last is all that is none of the others.
pub const STAGES: [&str; 13] = [
    RECEIVE,
    "decap",
    "parse",
    "carry_marks",
    "spoof_check",
    "forward",
    "lookup_flow",
    "check_policy",
    "meter",
    "encap",
    DELIVER,
    SEND,
    REST,
];

/// From the round's begin, or from the port before, until a port's packets are there.
const RECEIVE: &str = "receive";
/// From the last stage until packets leave: the burst parts, next hops are found, what may not leave waits.
const DELIVER: &str = "deliver";
/// Until the port has taken them.
const SEND: &str = "send";
/// Timers, counters, records, mail, rounds without a packet.
const REST: &str = "rest";

/// What one worker has counted; it writes, others read.
#[derive(Debug, Default)]
pub struct Sums([Sum; STAGES.len()]);

/// What was counted of a stage.
#[derive(Debug, Default)]
struct Sum {
    bursts: AtomicU64,
    packets: AtomicU64,
    cycles: AtomicU64,
}

/// What was counted of a stage, at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spent {
    /// The stage.
    pub stage: &'static str,
    /// Bursts that it went over.
    pub bursts: u64,
    /// Packets of these bursts.
    pub packets: u64,
    /// Cycles that it took.
    pub cycles: u64,
}

impl Sums {
    /// By stage.
    pub fn spent(&self) -> impl Iterator<Item = Spent> + '_ {
        STAGES.iter().zip(&self.0).map(|(stage, sum)| Spent {
            stage,
            bursts: sum.bursts.load(Ordering::Relaxed),
            packets: sum.packets.load(Ordering::Relaxed),
            cycles: sum.cycles.load(Ordering::Relaxed),
        })
    }

    /// A stage without a place of its own counts as the rest, so that no cycle is lost.
    fn add(&self, stage: &str, packets: usize, cycles: u64) {
        let place = STAGES.iter().position(|of| *of == stage).unwrap_or(STAGES.len() - 1);
        let Sum { bursts, packets: all, cycles: spent } = &self.0[place];
        for (counter, more) in [(bursts, u64::from(packets > 0)), (all, packets as u64), (spent, cycles)] {
            // The only writer: nothing is lost between the two.
            counter.store(counter.load(Ordering::Relaxed) + more, Ordering::Relaxed);
        }
    }
}

/// Reads the clock between the stages. What that itself takes is counted for none of them, but for the reading: some 25
/// cycles a stage and burst.
#[derive(Debug)]
pub struct Profile {
    clock: Clock,
    sums: Arc<Sums>,
    /// When the last stage ended; nothing yet.
    since: Option<u64>,
    /// Frames that leave now.
    leaving: usize,
}

impl Profile {
    /// One that counts, and what it counts.
    pub fn new(clock: Clock) -> (Self, Arc<Sums>) {
        let sums = Arc::<Sums>::default();
        (Self { clock, sums: sums.clone(), since: None, leaving: 0 }, sums)
    }

    fn spend(&mut self, stage: &str, packets: usize) {
        if let Some(since) = self.since {
            self.sums.add(stage, packets, self.clock.cycles().wrapping_sub(since));
        }
        self.since = Some(self.clock.cycles());
    }
}

impl<F: Frame> Witness<F> for Profile {
    fn begins(&mut self, _: Tick) {
        self.spend(REST, 0);
    }

    fn received(&mut self, _: PortId, batch: &Batch<F>, _: Tick) {
        self.spend(RECEIVE, batch.len());
    }

    fn saw(&mut self, stage: &'static str, batch: &Batch<F>, _: &Sessions) {
        self.spend(stage, batch.len());
    }

    fn leaves(&mut self, _: PortId, frames: &[F]) {
        self.leaving = frames.len();
        self.spend(DELIVER, frames.len());
    }

    fn left(&mut self, _: PortId, _: usize) {
        self.spend(SEND, self.leaving);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::collections::BTreeSet;
    use std::sync::Mutex;

    use weft_pipelines::flow::{Secret, Settings};
    use weft_pipelines::testing::entry::{guest_frames, underlay_frames, with_policies};
    use weft_pipelines::testing::frames::{ends4, from_fabric, tcp4, udp4, udp6};
    use weft_pipelines::testing::lab::endpoint::{DB1, WEB1, WEB2};
    use weft_pipelines::testing::lab::{BLUE, Lab, host, mac, port};
    use weft_pipelines::testing::{Bed, Treadmill, packets};
    use weft_pipelines::{BURST, TestFrame};

    use super::*;

    thread_local!(static NOW: Cell<u64> = const { Cell::new(0) });

    /// Ten cycles go by with every look.
    fn ten() -> u64 {
        NOW.replace(NOW.get() + 10)
    }

    #[test]
    fn cycles_are_counted_for_what_they_were_spent_on() {
        let (mut profile, sums) = Profile::new(Clock::new(ten, 1_000_000_000));
        let mut batch = Batch::default();
        batch.load(|frames| frames.extend([TestFrame::new(&[0; 60]), TestFrame::new(&[0; 60])]));
        let frames = [TestFrame::new(&[0; 60])];
        let sessions = Sessions::new(&Settings::default(), &Secret::from_seed(0));
        let profile: &mut dyn Witness<TestFrame> = &mut profile;
        // What was before the first look is not known.
        profile.begins(Tick(0));
        profile.received(PortId(0), &batch, Tick(0));
        profile.saw("parse", &batch, &sessions);
        NOW.set(NOW.get() + 500);
        profile.saw("check_policy", &batch, &sessions);
        profile.saw("a stage that has no place", &batch, &sessions);
        profile.leaves(PortId(1), &frames);
        profile.left(PortId(1), 1);
        profile.begins(Tick(1));
        let spent: Vec<_> = sums.spent().filter(|spent| spent.cycles > 0).collect();
        let of = |stage, packets, cycles| Spent { stage, bursts: u64::from(packets > 0), packets, cycles };
        assert_eq!(
            spent,
            [
                of(RECEIVE, 2, 10),
                of("parse", 2, 10),
                of("check_policy", 2, 510),
                of(DELIVER, 1, 10),
                of(SEND, 1, 10),
                Spent { stage: REST, bursts: 1, packets: 2, cycles: 20 }
            ]
        );
        assert_eq!(STAGES.last(), Some(&REST));
    }

    /// The stages that it was shown.
    #[derive(Clone, Default)]
    struct Seen(Arc<Mutex<BTreeSet<&'static str>>>);

    impl<F: Frame> Witness<F> for Seen {
        fn saw(&mut self, stage: &'static str, _: &Batch<F>, _: &Sessions) {
            self.0.lock().unwrap().insert(stage);
        }
    }

    /// What guests and the uplink receive: every kind of frame, near and far, asked for by name and denied.
    fn all_kinds() -> [(PortId, Vec<Vec<u8>>); 2] {
        let query =
            packets::udp(ends4(WEB1, DB1), 5353, 53, b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x01a\0\0\x01\0\x01");
        let query = packets::frame(mac(DB1), mac(WEB1), ends4(WEB1, DB1), 17, &query);
        let near =
            [udp4(WEB1, WEB2, b"near"), udp6(WEB1, WEB2, b"near"), tcp4(WEB1, WEB2, b"near"), query.clone()];
        let back = from_fabric(host::HV_B, BLUE, &udp4(DB1, WEB2, b"to the other worker"));
        [
            (port::BLUE_WEB1, guest_frames().into_iter().chain(near).collect()),
            (port::UPLINK, underlay_frames().into_iter().chain([back]).collect()),
        ]
    }

    #[test]
    fn every_stage_of_every_way_has_a_place() {
        let seen = Seen::default();
        for lab in with_policies(1).into_iter().chain([Lab::default()]) {
            let mut treadmill = Treadmill::of(&lab, host::HV_A);
            treadmill.watch(Box::new(seen.clone()));
            for (port, frames) in all_kinds() {
                let belt = treadmill.receive(port, &frames);
                for _ in 0..frames.len().div_ceil(BURST) {
                    assert!(treadmill.turn(belt, |_| {}) > 0);
                }
            }
        }
        // The treadmill ends where another worker begins.
        let mut bed = Bed::new(&Lab::on_workers(2), host::HV_A);
        let over = Seen::default();
        for sink in &mut bed.sinks {
            assert!(sink.eyes.open(0, Box::new(over.clone())).is_ok());
        }
        for (port, frames) in all_kinds() {
            bed.receive(port, &frames);
        }
        assert!(bed.handed_over() > 0);
        let between = [RECEIVE, DELIVER, SEND, REST];
        let stages: BTreeSet<_> = STAGES.into_iter().filter(|stage| !between.contains(stage)).collect();
        assert_eq!(*seen.0.lock().unwrap(), stages);
        assert_eq!(*over.0.lock().unwrap(), stages);
    }
}
