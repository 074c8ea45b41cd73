//! A bad wire: what is between its two ends loses, repeats, delays and reorders frames.
//!
//! Linux's own `netem` is not in every kernel; and this one draws its chances from a seed, and tells what it did.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use signal_hook::consts::SIGTERM;
use weft::dpdk::{Burst, Eal, EalOptions, Hugepages, LogLevel, Mempool, Port, PortOptions, RxQueue, TxQueue};
use weft_pipelines::BURST;
use weft_pipelines::frame::Frame;
use weft_pipelines::wire::tos;

use crate::error::Doing;
use crate::guest::NetnsGuest;
use crate::scope::Exit;
use crate::tcp::Noise;
use crate::{Error, Namespace, Process, Result, Spawn, WorkDir, host};

/// What a wire does to frames, in both directions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Faults {
    /// How long a frame takes.
    pub delay: Duration,
    /// How much sooner or later than that it may come, each frame by its own chance: so frames overtake each other.
    pub jitter: Duration,
    /// Of 100 frames, how many take no time at all and overtake all that are under way.
    pub hurried: f64,
    /// Of 100 frames, how many are lost.
    pub lost: f64,
    /// Of 100 frames, how many come twice.
    pub repeated: f64,
    /// What DSCP and ECN of all IP packets become, as at a router that remarks them and is congested.
    pub marked: Option<u8>,
    /// What all chances follow from.
    pub seed: u64,
}

impl Faults {
    /// None at all.
    pub const NONE: Self = {
        let (delay, jitter) = (Duration::ZERO, Duration::ZERO);
        Self { delay, jitter, hurried: 0.0, lost: 0.0, repeated: 0.0, marked: None, seed: 1 }
    };
}

impl Default for Faults {
    fn default() -> Self {
        Self::NONE
    }
}

/// What a wire did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Carried {
    /// Frames that were put in, at both ends.
    pub frames: u64,
    /// Of these, those lost on purpose.
    pub lost: u64,
    /// Frames that came twice.
    pub repeated: u64,
    /// Frames that came before one which was put in earlier, at the same end.
    pub overtook: u64,
    /// Frames lost for want of room. There should be none.
    pub crowded: u64,
}

/// A bad wire in the place of a good one. It is gone when dropped, and what it led to stays cut off.
#[derive(Debug)]
pub struct BadWire {
    process: Process,
    _inside: Namespace,
}

impl BadWire {
    /// Puts a bad wire between `device` of this namespace and whatever is at its other end. The device's name leads to it
    /// from then on; addresses and a bridge that it was part of do not come along.
    pub fn insert(space: &Namespace, device: &str, mtu: u16, faults: Faults, dir: &WorkDir) -> Result<Self> {
        let inside = Namespace::new(&format!("wire-{device}"))?;
        space.hand_over(device, &inside, ENDS[0])?;
        inside.must(&format!("ip link set dev {} up", ENDS[0]))?;
        inside.join(ENDS[1], space, device, mtu)?;
        let Faults { delay, jitter, hurried, lost, repeated, marked, seed } = faults;
        let spawn = Spawn::new(host::beside("testbed")?)
            .named(format!("wire-{device}"))
            .args(["bad-wire", "--delay-us", &delay.as_micros().to_string()])
            .args(["--jitter-us", &jitter.as_micros().to_string(), "--hurried", &hurried.to_string()])
            .args(["--lost", &lost.to_string(), "--repeated", &repeated.to_string()])
            .args(["--seed", &seed.to_string()])
            .args(marked.iter().flat_map(|tos| ["--marked".to_owned(), tos.to_string()]))
            .args(ENDS)
            // What DPDK leaves there goes with the directory.
            .env("RUNTIME_DIRECTORY", dir.path())
            .namespace(inside.name());
        let process = spawn.start_apart_in(dir)?;
        process.wait_until(START, "it carries", || process.out().contains(CARRIES))?;
        Ok(Self { process, _inside: inside })
    }

    /// Cuts it, and says what it did.
    pub fn cut(&self) -> Result<Carried> {
        let exit = self.process.terminate(START)?;
        let out = self.process.out();
        let last = out.lines().last().unwrap_or_default();
        match serde_json::from_str(last) {
            Ok(carried) if exit == Exit::Code(0) => Ok(carried),
            _ => {
                Err(Error::failed(format!("{} ended with {exit}", self.process.name()), self.process.tail()))
            }
        }
    }
}

/// Carries frames between two devices until `SIGTERM`: what [`BadWire`] starts. Once in a process: DPDK starts once.
pub fn carry(devices: [&str; 2], faults: &Faults) -> Result<Carried> {
    let ended = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(SIGTERM, Arc::clone(&ended)).doing(|| "watching for a signal".into())?;
    let said = |error: weft::dpdk::Error| Error::failed(error.to_string(), "");
    let options = EalOptions {
        name: format!("bad-wire-{}", std::process::id()),
        memory_bytes: u64::from(BUFFERS) * 3072 + (24 << 20),
        hugepages: Hugepages::Off,
        log_level: LogLevel::Error,
        ..EalOptions::default()
    };
    let eal = Eal::init(&options).map_err(said)?;
    let pool = Mempool::new(&eal, "wire", BUFFERS, ROOM, None).map_err(said)?;
    let _lcore = weft::dpdk::register(&eal).map_err(said)?;
    let open = |index: usize| -> Result<End> {
        let device = NetnsGuest::device(index, devices[index]);
        let mut port = Port::open(&eal, &device, &PortOptions::new(&pool)).map_err(said)?;
        let (rx, tx) = (port.take_rx(0), port.take_tx(0));
        let (Some(rx), Some(tx)) = (rx, tx) else {
            return Err(Error::failed("a port without queues", device));
        };
        Ok(End { rx, tx, leaving: Burst::new(), _port: port })
    };
    let mut ends = [open(0)?, open(1)?];
    let mut ways = [Way::default(), Way::default()];
    let (mut chance, mut carried, mut burst) = (Noise::new(faults.seed), Carried::default(), Burst::new());
    println!("{CARRIES}");
    while !ended.load(Ordering::Relaxed) {
        let mut idle = true;
        for from in [0, 1] {
            ends[from].rx.burst(&mut burst, BURST);
            let now = Instant::now();
            for frame in burst.drain(..) {
                idle = false;
                ways[from].put(frame.data(), now, faults, &mut chance, &mut carried);
            }
            while let Some(frame) = ways[from].take(now, &mut carried) {
                idle = false;
                carried.crowded += u64::from(!ends[1 - from].send(&pool, &frame));
            }
            ends[1 - from].flush();
        }
        if idle {
            thread::sleep(DOZE);
        }
    }
    Ok(carried)
}

/// One end of the wire. The queues go before the port, which closes with the last of the three.
struct End {
    rx: RxQueue,
    tx: TxQueue,
    leaving: Burst,
    _port: Port,
}

impl End {
    /// Whether there was room.
    fn send(&mut self, pool: &Mempool, frame: &[u8]) -> bool {
        if self.leaving.is_full() {
            self.flush();
        }
        let filled = pool.alloc().and_then(|mut mbuf| mbuf.extend_from_slice(frame).then_some(mbuf));
        match filled {
            Some(mbuf) if !self.leaving.is_full() => {
                self.leaving.push(mbuf);
                true
            }
            _ => false,
        }
    }

    fn flush(&mut self) {
        if !self.leaving.is_empty() {
            self.tx.burst(&mut self.leaving);
        }
    }
}

/// What is under way in one direction, the next to arrive on top. Copies: a device's buffers are not kept waiting.
#[derive(Debug, Default)]
struct Way {
    under_way: BinaryHeap<Reverse<(Instant, u64, Vec<u8>)>>,
    put: u64,
    /// The latest put in of those that have come out.
    latest: u64,
}

impl Way {
    fn put(
        &mut self,
        frame: &[u8],
        now: Instant,
        faults: &Faults,
        chance: &mut Noise,
        carried: &mut Carried,
    ) {
        carried.frames += 1;
        if happens(faults.lost, chance) {
            carried.lost += 1;
            return;
        }
        let times = if happens(faults.repeated, chance) { 2 } else { 1 };
        carried.repeated += times - 1;
        self.put += 1;
        for _ in 0..times {
            if self.under_way.len() >= MOST {
                carried.crowded += 1;
                continue;
            }
            let due = if happens(faults.hurried, chance) { now } else { now + time(faults, chance) };
            let mut frame = frame.to_vec();
            if let Some(tos) = faults.marked {
                tos::set(&mut frame, tos);
            }
            self.under_way.push(Reverse((due, self.put, frame)));
        }
    }

    fn take(&mut self, now: Instant, carried: &mut Carried) -> Option<Vec<u8>> {
        let Reverse((due, _, _)) = self.under_way.peek()?;
        if *due > now {
            return None;
        }
        let Reverse((_, number, frame)) = self.under_way.pop()?;
        carried.overtook += u64::from(number < self.latest);
        self.latest = self.latest.max(number);
        Some(frame)
    }
}

fn happens(percent: f64, chance: &mut Noise) -> bool {
    // 53 bits are what a f64 holds exactly.
    let drawn = (chance.word() >> 11) as f64 / (1u64 << 53) as f64;
    drawn * 100.0 < percent
}

fn time(faults: &Faults, chance: &mut Noise) -> Duration {
    let least = faults.delay.saturating_sub(faults.jitter).as_nanos() as u64;
    let most = (faults.delay + faults.jitter).as_nanos() as u64;
    Duration::from_nanos(least + chance.word() % (most - least + 1))
}

/// The names of its two ends' devices.
const ENDS: [&str; 2] = ["left", "right"];

/// What the process says once it carries.
const CARRIES: &str = "carries";

/// The longest that it takes to start, or to end.
const START: Duration = Duration::from_secs(20);

/// Frames under way in one direction, at most.
const MOST: usize = 1 << 14;

/// Buffers of both devices: their queues' four times 1,024, and what is on its way.
const BUFFERS: u32 = 8192;

/// Bytes of a frame that a buffer holds.
const ROOM: usize = 2048;

/// Between two looks at a wire on which nothing moves: short beside any delay that is asked for.
const DOZE: Duration = Duration::from_micros(100);

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{Carried, Faults, Way};
    use crate::tcp::Noise;

    /// What comes out of 10,000 frames put in at one moment, by their numbers.
    fn through(faults: &Faults) -> (Vec<u32>, Carried) {
        let (mut way, mut chance, mut carried) =
            (Way::default(), Noise::new(faults.seed), Carried::default());
        let now = Instant::now();
        for number in 0..10_000u32 {
            way.put(&number.to_be_bytes(), now, faults, &mut chance, &mut carried);
        }
        let later = now + faults.delay + faults.jitter;
        let take = || way.take(later, &mut carried).and_then(|frame| frame.try_into().ok());
        let out = std::iter::from_fn(take).map(u32::from_be_bytes).collect();
        (out, carried)
    }

    fn good() -> Faults {
        Faults { delay: Duration::from_millis(5), ..Faults::default() }
    }

    #[test]
    fn a_good_wire_changes_nothing() {
        let (out, carried) = through(&good());
        assert!(out.into_iter().eq(0..10_000));
        assert_eq!(carried, Carried { frames: 10_000, ..Default::default() });
    }

    #[test]
    fn a_bad_one_does_what_it_is_asked_to_and_tells() {
        let (out, carried) = through(&Faults { lost: 3.0, repeated: 1.0, ..good() });
        assert!((200..400).contains(&carried.lost) && (50..150).contains(&carried.repeated), "{carried:?}");
        assert_eq!(out.len() as u64, 10_000 - carried.lost + carried.repeated);
        assert!(out.is_sorted() && carried.overtook == 0);
        let (out, carried) = through(&Faults { jitter: Duration::from_millis(4), hurried: 25.0, ..good() });
        assert_eq!((out.len(), carried.lost), (10_000, 0));
        assert!(!out.is_sorted() && carried.overtook > 1_000, "{carried:?}");
    }
}
