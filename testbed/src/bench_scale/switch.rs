//! A running switch, and the figures that it writes down of itself: rows in shared memory, each with its own time, so that
//! asking costs it nothing.

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;
use weft::shm::{FILE, Reader, Table};

use super::fabric::{Fabric, HOST, socket};
use crate::bench::ground::Ground;
use crate::error::Doing;
use crate::host::HostOptions;
use crate::load::{Port, PortOptions, Waiting};
use crate::{Error, Host, Result, wait_for};

/// A running switch.
#[derive(Debug)]
pub struct Switch {
    host: Host,
    stats: Reader,
    /// The document.
    pub document: PathBuf,
    /// How long it took from its `exec` to when it was ready, to some 10 ms.
    pub started_in: Duration,
}

impl Switch {
    /// Starts it and waits until it is ready.
    pub fn start(ground: &Ground, fabric: &Fabric) -> Result<Self> {
        let document = write(ground, fabric, "fabric.yaml")?;
        let begun = Instant::now();
        let host = Host::start(&ground.dir, options(document.clone()))?;
        host.wait_ready(STARTING)?;
        let started_in = begun.elapsed();
        let stats = Reader::open(&host.socket(FILE)).map_err(|error| Error::failed(error.to_string(), ""))?;
        Ok(Self { host, stats, document, started_in })
    }

    /// The process.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// A guest at a vhost-user port.
    pub fn guest(&self, number: usize, options: PortOptions) -> Result<Port> {
        Waiting::new(&self.host.socket(&socket(number)), options)?.meet(MEETING)
    }

    /// Waits until its workers have received so many packets.
    pub fn wait_for_packets(&self, packets: u64) -> Result<()> {
        wait_for(WARMING, format!("{packets} packets"), || {
            let seen: u64 = self.look()?.workers.iter().map(|worker| worker.packets).sum();
            Ok((seen >= packets).then_some(()))
        })
    }

    /// Looks on for some time.
    pub fn watch(&self, measure: Duration) -> Result<Rates> {
        let before = self.fresh()?;
        // Nothing is waited for here: it is how long is measured.
        thread::sleep(measure);
        Ok(Rates::between(&before, &self.fresh()?, self.stats.cycles_per_second()))
    }

    /// What it has written down from now on.
    pub fn fresh(&self) -> Result<Look> {
        let stale = self.look()?;
        wait_for(WRITING, "the workers to write their counters", || {
            let look = self.look()?;
            Ok(look.is_fresher_than(&stale).then_some(look))
        })
    }

    /// The memory that it has, and the most that it has had, once that does not change any more: it backs the memory of
    /// sessions ahead of its workers, while they work.
    pub fn footprint(&self) -> Result<Footprint> {
        let mut last = (self.memory()?, Instant::now());
        wait_for(SETTLING, "the memory not to change", || {
            let now = self.memory()?;
            if now != last.0 {
                last = (now, Instant::now());
            }
            Ok((last.1.elapsed() > STILL).then_some(now))
        })
    }

    fn memory(&self) -> Result<Footprint> {
        let path = format!("/proc/{}/status", self.host.process().pid());
        let status = std::fs::read_to_string(&path).doing(|| format!("reading {path}"))?;
        Footprint::of(&status)
            .ok_or_else(|| Error::failed(format!("{path} does not tell the memory"), status))
    }

    /// Stops it; that it has lost a packet is an error.
    pub fn stop(self) -> Result<()> {
        self.host.stop(STOPPING).map(drop)
    }

    fn look(&self) -> Result<Look> {
        let failed = |error: weft::shm::ReadError| Error::failed(error.to_string(), "");
        let workers = self.stats.workers();
        let table = |name: &str, worker| {
            let table = self.stats.counters_of(name, worker).map_err(failed)?;
            table.ok_or_else(|| Error::failed(format!("the statistics have no {name}"), ""))
        };
        let mut look = Look::default();
        for worker in 0..workers {
            look.workers.push(Work::of(&table("workers", worker)?));
            let ports = table("ports", worker)?;
            look.ports.extend((0..ports.len()).map(|port| Passed::of(&ports, port)));
        }
        Ok(look)
    }
}

/// Writes a fabric's document into the ground's folder.
pub fn write(ground: &Ground, fabric: &Fabric, name: &str) -> Result<PathBuf> {
    let path = ground.dir.join(name);
    std::fs::write(&path, fabric.text()).doing(|| format!("writing {}", path.display()))?;
    Ok(path)
}

/// How the host of a document is run.
pub fn options(document: PathBuf) -> HostOptions {
    HostOptions { name: HOST.into(), fabric: document, namespace: None, user: None, binary: None }
}

/// What has been counted: by worker, and by worker and port.
#[derive(Clone, Debug, Default)]
pub struct Look {
    pub workers: Vec<Work>,
    ports: Vec<Passed>,
}

/// What a worker has done.
#[derive(Clone, Copy, Debug, Default)]
pub struct Work {
    /// When it wrote this, in nanoseconds.
    at: u64,
    /// Packets that it received from ports.
    pub packets: u64,
    /// Rounds, and the cycles of those that found packets.
    polls: u64,
    pub busy_cycles: u64,
}

/// What passed a port.
#[derive(Clone, Copy, Debug, Default)]
struct Passed {
    at: u64,
    sent: u64,
    dropped: u64,
}

impl Look {
    fn is_fresher_than(&self, stale: &Self) -> bool {
        let mut workers = self.workers.iter().zip(&stale.workers);
        let mut ports = self.ports.iter().zip(&stale.ports);
        workers.all(|(now, then)| now.at > then.at) && ports.all(|(now, then)| now.at > then.at)
    }
}

impl Work {
    fn of(table: &Table) -> Self {
        let value = |name| table.value(0, name).unwrap_or_default();
        let (packets, polls) = (value("packets"), value("polls"));
        Self { at: value("written"), packets, polls, busy_cycles: value("busy_cycles") }
    }
}

impl Passed {
    fn of(table: &Table, port: usize) -> Self {
        let value = |name| table.value(port, name).unwrap_or_default();
        Self { at: value("written"), sent: value("tx_packets"), dropped: value("drops") }
    }
}

/// What went on between two looks, a second.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Rates {
    /// Packets that left by ports.
    pub sent: f64,
    /// Packets that were dropped.
    pub dropped: f64,
    /// Cycles of rounds that found packets, for each packet that left.
    pub cycles: f64,
    /// Cycles of a round, idle or not, of the first worker.
    pub round: f64,
    /// The same in nanoseconds.
    pub round_ns: f64,
}

impl Rates {
    fn between(before: &Look, after: &Look, cycles_per_second: u64) -> Self {
        let rate = |at: [u64; 2], of: [u64; 2]| {
            let nanoseconds = at[1].saturating_sub(at[0]).max(1);
            of[1].saturating_sub(of[0]) as f64 / nanoseconds as f64 * 1e9
        };
        let ports = |of: fn(&Passed) -> u64| -> f64 {
            let pairs = before.ports.iter().zip(&after.ports);
            pairs.map(|(then, now)| rate([then.at, now.at], [of(then), of(now)])).sum()
        };
        let workers = |of: fn(&Work) -> u64| {
            let pairs = before.workers.iter().zip(&after.workers);
            pairs.map(move |(then, now)| rate([then.at, now.at], [of(then), of(now)]))
        };
        let sent = ports(|port| port.sent);
        let busy: f64 = workers(|worker| worker.busy_cycles).sum();
        let rounds = workers(|worker| worker.polls).next().unwrap_or_default();
        Self {
            sent,
            dropped: ports(|port| port.dropped),
            cycles: busy / sent.max(1.0),
            round: cycles_per_second as f64 / rounds.max(1.0),
            round_ns: 1e9 / rounds.max(1.0),
        }
    }
}

/// The memory of a process, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Footprint {
    /// What it has: of its own, of files, of shared memory and of hugepages.
    pub resident: u64,
    pub anonymous: u64,
    pub files: u64,
    pub shared: u64,
    pub hugepages: u64,
    /// The most that it has had, without hugepages.
    pub peak: u64,
}

impl Footprint {
    /// The most that it has had.
    pub fn most(&self) -> u64 {
        self.peak + self.hugepages
    }

    /// What `/proc/PID/status` says.
    fn of(status: &str) -> Option<Self> {
        let bytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
            Some(kibibytes << 10)
        };
        let hugepages = bytes("HugetlbPages")?;
        Some(Self {
            resident: bytes("VmRSS")? + hugepages,
            anonymous: bytes("RssAnon")?,
            files: bytes("RssFile")?,
            shared: bytes("RssShmem")?,
            hugepages,
            peak: bytes("VmHWM")?,
        })
    }
}

const STARTING: Duration = Duration::from_secs(60);
const MEETING: Duration = Duration::from_secs(20);
const WARMING: Duration = Duration::from_secs(20);
/// All rows are written once in 0.1 s, by a worker that has its core.
const WRITING: Duration = Duration::from_secs(20);
/// For how long memory has not to change, and the longest that it may take until then.
const STILL: Duration = Duration::from_millis(200);
const SETTLING: Duration = Duration::from_secs(20);
const STOPPING: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_by_each_rows_own_time() {
        let work = |at, polls, busy_cycles| Work { at, packets: 0, polls, busy_cycles };
        let passed = |at, sent, dropped| Passed { at, sent, dropped };
        let second = 1_000_000_000;
        let before = Look {
            workers: vec![work(0, 0, 0), work(second, 50, 0)],
            ports: vec![passed(0, 100, 0), passed(second, 0, 7)],
        };
        let after = Look {
            workers: vec![work(2 * second, 2_000, 4_000), work(3 * second, 50, 2_000)],
            ports: vec![passed(second, 300, 0), passed(3 * second, 200, 27)],
        };
        assert!(after.is_fresher_than(&before) && !before.is_fresher_than(&before));
        let Rates { sent, dropped, cycles, round, round_ns } = Rates::between(&before, &after, 3_000_000);
        assert_eq!([sent, dropped, cycles, round, round_ns], [300.0, 10.0, 10.0, 3_000.0, 1e6]);
    }

    #[test]
    fn the_memory_is_read() {
        let status = "Name:\tweft\nVmHWM:\t    9000 kB\nVmRSS:\t    8000 kB\nRssAnon:\t    5000 kB\n\
                      RssFile:\t    2000 kB\nRssShmem:\t    1000 kB\nHugetlbPages:\t    2048 kB\n";
        let footprint = Footprint::of(status).unwrap();
        assert_eq!(footprint.resident, 10_048 << 10);
        assert_eq!((footprint.anonymous, footprint.peak), (5_000 << 10, 9_000 << 10));
        assert_eq!(Footprint::of("Name:\tweft\n"), None);
    }
}
