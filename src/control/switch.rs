//! The running switch: its devices, its worker threads, and the letters to and from them.

mod change;
mod devices;
mod room;
mod walk;
mod watch;
mod workers;

use std::cell::Cell;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use thiserror::Error;
use tracing::{info, warn};
use weft_pipelines::{Epoch, Mac, Tick};

use super::buffers::{Buffers, TooLittle};
use super::compile::{self, Compiled, PortPlan};
use super::decisions::Told;
use super::observe::{self, Observation};
use super::runtime_dir::Instance;
use super::runway::Runway;
use super::stats::Stats;
use crate::capture::InForce;
use crate::config::checked::{self, Fabric, HostIndex};
use crate::dpdk::{self, Eal, Mbuf, Mempool, Port};
use crate::report::Report;
use crate::shm::WorkerStats;
use crate::worker::{Clock, Mail, Poll, Standing};
pub use change::Refused;
pub use devices::Ports;
use devices::{environment, off_the_workers, open};
pub use room::NoRoom;
pub use watch::WatchError;
pub use workers::Silent;
use workers::{Handle, PATIENCE, take_queues};

/// How long workers may take to finish what they hand each other when the switch stops.
const FINISH: Duration = Duration::from_secs(1);

/// A running switch.
pub struct Switch {
    /// The document in force.
    fabric: Arc<Fabric>,
    /// Its text.
    text: String,
    host: HostIndex,
    compiled: Arc<Compiled>,
    poll: Poll,
    cores: Vec<Option<usize>>,
    workers: Vec<Handle>,
    /// By [`PortId`]; `None` where there is none any more.
    ports: Vec<Option<Port>>,
    /// The uplinks' MACs.
    macs: Vec<Mac>,
    links: Vec<bool>,
    mempool: Mempool,
    clock: Clock,
    started: Instant,
    /// The document in force and what was made of it, for who goes on while they change.
    in_force: tokio::sync::watch::Sender<InForce>,
    /// Who looks at packets.
    watching: Vec<u64>,
    /// The number of the last question to the workers.
    asked: Cell<u64>,
    /// Whether a worker did not answer in the midst of a change: nobody knows then what it works by.
    torn: bool,
    /// What others may read; `None` where that could not be made.
    stats: Option<Stats>,
    /// Backs the memory of sessions ahead of the workers.
    runway: Option<Runway>,
    eal: Eal,
}

/// Why the switch does not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// DPDK's environment, or a worker in it.
    #[error("DPDK: {0}")]
    Environment(#[from] Box<dpdk::Error>),
    /// A port.
    #[error("port {port} ({attach}): {source}")]
    Port {
        /// Its name.
        port: String,
        /// What it was to be attached to.
        attach: String,
        /// What DPDK says.
        source: Box<dpdk::Error>,
    },
    /// The document is too large.
    #[error(transparent)]
    TooMany(#[from] compile::TooMany),
    /// More ports than DPDK has room for.
    #[error("the host has {0}")]
    NoRoom(NoRoom),
    /// The memory is too small.
    #[error(transparent)]
    TooLittle(#[from] TooLittle),
    /// A folder for an endpoint's socket.
    #[error("port {port}: {folder}: {source}", folder = folder.display())]
    Folder {
        /// The port's name.
        port: String,
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A thread.
    #[error("a worker thread: {0}")]
    Thread(#[from] io::Error),
}

impl Switch {
    /// Starts `host`'s switch: opens its ports, compiles its part of the `fabric` that `text` describes, and sets its
    /// workers to work.
    ///
    /// # Errors
    ///
    /// When a device, the memory or a thread is not to be had. Nothing is left behind then.
    pub fn start(
        (text, fabric): (String, Fabric),
        host: HostIndex,
        instance: &Instance,
    ) -> Result<Self, StartError> {
        let this = &fabric.hosts[host.0];
        let plans = compile::ports(&fabric, host);
        NoRoom::check(plans.iter().map(PortPlan::is_device)).map_err(StartError::NoRoom)?;
        let buffers = Buffers::new(&fabric, host)?;
        let control = off_the_workers(&dpdk::usable_cores(), &this.workers.cores);
        // Workers have their own cores to themselves: this thread and those that it and DPDK start stay off them.
        dpdk::keep_to(&control)?;
        let eal = Eal::init(&environment(this, &plans, instance, control)).map_err(Box::new)?;
        info!(
            dpdk = Eal::version(),
            hugepages = eal.hugepages_used(),
            memory_mib = this.memory.size >> 20,
            buffers = buffers.count,
            "environment"
        );
        let mempool =
            Mempool::new(&eal, "packets", buffers.count as u32, buffers.data_room, None).map_err(Box::new)?;
        let mut ports = Vec::with_capacity(plans.len());
        for plan in &plans {
            ports.push(open(&eal, &mempool, instance, plan)?);
        }
        let uplinks = ports.iter().take(this.uplinks.len());
        let macs: Vec<Mac> = uplinks.map(|port| Mac(port.mac().unwrap_or_default())).collect();
        let cores: Vec<Option<usize>> = match this.workers.cores.as_slice() {
            [] => vec![None],
            cores => cores.iter().copied().map(Some).collect(),
        };
        let compiled = compile::compile(&fabric, host, &macs, cores.len(), Epoch(1), None)?;
        let poll = match this.workers.poll {
            checked::Poll::Busy => Poll::Busy,
            checked::Poll::Adaptive => Poll::Adaptive,
        };
        let (fabric, compiled) = (Arc::new(fabric), Arc::new(compiled));
        let mut switch = Self {
            links: vec![false; ports.len()],
            workers: Vec::with_capacity(cores.len()),
            clock: Clock::new(dpdk::tsc, dpdk::tsc_hz(&eal)),
            started: Instant::now(),
            ports: ports.into_iter().map(Some).collect(),
            in_force: tokio::sync::watch::Sender::new(InForce {
                fabric: fabric.clone(),
                compiled: compiled.clone(),
            }),
            watching: Vec::new(),
            fabric,
            text,
            host,
            compiled,
            poll,
            cores,
            macs,
            mempool,
            asked: Cell::new(0),
            torn: false,
            stats: None,
            runway: None,
            eal,
        };
        let exports = switch.make_stats(instance);
        switch.employ(exports)?;
        Ok(switch)
    }

    /// The report of this moment.
    ///
    /// # Errors
    ///
    /// When a worker does not answer.
    pub async fn report(&self) -> Result<Report, Silent> {
        let mut standings = self.standings().await?;
        // Asked one after the other, a worker may have taken what another had not given when it was asked.
        for _ in 0..10 {
            if observe::held(&standings).is_some() {
                break;
            }
            standings = self.standings().await?;
        }
        Ok(self.observe(&standings))
    }

    /// A worker whose thread has ended, which it does only by a fault before it is told to.
    pub fn ended_worker(&self) -> Option<usize> {
        self.workers.iter().position(|worker| worker.thread.is_finished())
    }

    /// Looks which links are up, and logs what has changed.
    pub fn watch_links(&mut self) {
        for ((port, link), label) in self.ports.iter().zip(&mut self.links).zip(&self.compiled.labels.ports) {
            for (ring, fault) in port.iter().flat_map(Port::take_faults) {
                warn!(
                    port = label.name,
                    ring, "the guest's ring is broken: {fault}; it rests until the guest resets it"
                );
            }
            let up = port.as_ref().is_some_and(Port::link_up);
            if up != *link {
                *link = up;
                info!(port = label.name, up, "link");
            }
        }
    }

    /// Says to whoever reads the statistics that the switch lives.
    pub fn show_life(&self) {
        if let Some(stats) = &self.stats {
            stats.show_life(self.now());
        }
    }

    fn now(&self) -> Tick {
        self.clock.tick(self.clock.cycles())
    }

    /// Makes the statistics file. Returns each worker's part; none if it cannot be made, which is told.
    fn make_stats(&mut self, instance: &Instance) -> Vec<WorkerStats> {
        let now = self.now();
        let made = Stats::create(
            instance.stats(),
            (&self.fabric, &self.compiled),
            self.cores.len(),
            dpdk::tsc_hz(&self.eal),
            now,
        );
        match made {
            Ok((stats, workers)) => {
                self.stats = Some(stats);
                workers
            }
            Err(error) => {
                warn!("{error}");
                Vec::new()
            }
        }
    }

    /// Logs what policy decided lately.
    pub fn tell_decisions(&mut self) {
        let told = Told { fabric: &self.fabric, compiled: &self.compiled };
        for (index, worker) in self.workers.iter_mut().enumerate() {
            while let Some(decided) = worker.decisions.take() {
                told.tell(&decided);
            }
            let lost = worker.decisions.lost();
            let more = lost - std::mem::replace(&mut worker.lost, lost);
            if more > 0 {
                warn!(worker = index, more, "policy decided more than is logged");
            }
        }
    }

    /// Stops: receives no more, lets the workers finish what they hand each other, and drops by name what waits.
    /// Returns the last report, and the ports, to be closed: what goes wrong with a device then costs no ledger.
    pub async fn stop(mut self) -> (Report, Ports) {
        self.watch_links();
        for (index, worker) in self.workers.iter().enumerate() {
            if worker.mailbox.send(Mail::Finish).is_err() {
                warn!("{}", Silent { worker: index });
            }
        }
        let deadline = Instant::now() + FINISH;
        while Instant::now() < deadline {
            match self.standings().await {
                Ok(standings)
                    if standings.iter().map(|s| s.work.handed_over).sum::<u64>()
                        == standings.iter().map(|s| s.work.received_over).sum::<u64>() =>
                {
                    break;
                }
                Ok(_) => tokio::time::sleep(Duration::from_millis(1)).await,
                Err(silent) => {
                    warn!("{silent}");
                    break;
                }
            }
        }
        let ended = self.dismiss();
        let whole = ended.iter().all(Option::is_some);
        let unknown = || Standing::new(&self.compiled.snapshot);
        let standings: Vec<_> = ended.into_iter().map(|standing| standing.unwrap_or_else(unknown)).collect();
        let mut report = self.observe(&standings);
        // What a lost worker counted is missing, and should the rest add up that is chance.
        report.totals.conserved &= whole;
        (report, Ports { ports: std::mem::take(&mut self.ports), mempool: self.mempool.clone() })
    }

    fn observe(&self, standings: &[Standing]) -> Report {
        let observation = Observation {
            snapshot: &self.compiled.snapshot,
            labels: &self.compiled.labels,
            workers: standings,
            cores: &self.cores,
            poll: self.poll,
            links: &self.links,
            uptime_ns: u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX),
        };
        observation.report()
    }
}

impl Drop for Switch {
    /// Of a switch that was not stopped the workers end all the same: they would keep its devices open.
    fn drop(&mut self) {
        self.dismiss();
    }
}
