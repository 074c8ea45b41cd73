//! The running switch: its devices, its worker threads, and the letters to and from them.

mod change;
mod room;
mod walk;
mod watch;

use std::cell::Cell;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use thiserror::Error;
use tracing::{info, warn};
use weft_pipelines::flow::table::Memory;
use weft_pipelines::flow::{Key4, Key6, Secret, Sessions, Settings};
use weft_pipelines::{Epoch, Mac, PortId, Tick, WorkerId};

use super::buffers::{Buffers, DESCRIPTORS, TooLittle};
use super::compile::{self, Compiled, PortPlan};
use super::decisions::Told;
use super::observe::{self, Observation};
use super::runtime_dir::Instance;
use super::runway::{Runway, Track};
use super::stats::Stats;
use crate::capture::InForce;
use crate::config::checked::{self, Attach, Fabric, HostIndex};
use crate::config::pci_address;
use crate::dpdk::{self, Eal, EalOptions, Mbuf, Mempool, Port, PortOptions, VhostUser};
use crate::report::Report;
use crate::shm::WorkerStats;
use crate::worker::{
    Clock, Decisions, Export, Family, Input, Mail, Mailbox, Outputs, Poll, Receive, Reply, Standing,
    Transmit, Used, Worker, rings,
};
pub use change::Refused;
pub use room::NoRoom;
pub use watch::WatchError;

/// How long a worker may take to answer a letter; it answers between two bursts.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often the control thread looks whether an answer has come.
const LOOK: Duration = Duration::from_micros(50);
/// A worker that is not asleep answers within this time, and one that is soon after; as long the control thread does
/// nothing else. Its timers count in milliseconds.
const SOON: Duration = Duration::from_millis(2);
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

/// The ports of a switch that has stopped.
pub struct Ports {
    ports: Vec<Option<Port>>,
    mempool: Mempool,
}

impl Ports {
    /// Closes them, and looks whether all packet buffers came back.
    pub fn close(self) {
        drop(self.ports);
        let in_use = self.mempool.in_use();
        if in_use > 0 {
            warn!(in_use, "packet buffers were not given back");
        }
    }
}

struct Handle {
    mailbox: Arc<Mailbox<Mbuf>>,
    /// What policy decided.
    decisions: Arc<Decisions>,
    /// Decisions that were not told when it was last looked.
    lost: u64,
    thread: JoinHandle<Standing>,
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

    /// Ends the workers, and returns how they stood at the end; `None` of one that is lost.
    fn dismiss(&mut self) -> Vec<Option<Standing>> {
        // Before the memory goes that it works on.
        self.runway = None;
        let workers = std::mem::take(&mut self.workers);
        let deadline = Instant::now() + PATIENCE;
        let end = |(index, worker): (usize, Handle)| {
            let mut told = false;
            while !worker.thread.is_finished() {
                // A mailbox can be full of what a worker had no time for; it is tried again then.
                told = told || worker.mailbox.send(Mail::End).is_ok();
                if Instant::now() >= deadline {
                    warn!(worker = index, "does not end; what it counted is lost, and its ports stay open");
                    return None;
                }
                std::thread::sleep(LOOK);
            }
            let standing = worker.thread.join();
            if standing.is_err() {
                warn!(worker = index, "panicked; what it counted is lost");
            }
            standing.ok()
        };
        workers.into_iter().enumerate().map(end).collect()
    }

    /// Starts the workers, and waits until all are at work.
    fn employ(&mut self, exports: Vec<WorkerStats>) -> Result<(), StartError> {
        let mut exports = exports.into_iter();
        let (count, clock) = (self.cores.len(), self.clock);
        let (at_work, ready) = mpsc::channel();
        let mut tracks = Vec::new();
        for (index, (outgoing, incoming)) in rings::<Mbuf>(count).into_iter().enumerate() {
            let id = WorkerId(index as u16);
            let (mut inputs, mut queues) = (Vec::new(), Vec::new());
            for (number, port) in self.ports.iter_mut().enumerate() {
                let port_id = PortId(number as u16);
                let owned = compile::owner(port_id, count) == id;
                let taken = port.as_mut().filter(|_| owned).and_then(take_queues);
                let (receive, send) = taken.map_or_else(Default::default, |(rx, tx)| (rx, Some(tx)));
                inputs.extend(receive.into_iter().map(|queue| Input { port: port_id, queue }));
                queues.push(send);
            }
            let mailbox = Arc::new(Mailbox::default());
            let snapshot = self.compiled.snapshot.clone();
            let mut outputs =
                Outputs::new(snapshot.clone(), queues, outgoing, Box::new(self.mempool.clone()));
            outputs.export = exports.next().map(|stats| Export::new(stats, id));
            let decisions = outputs.log.decisions();
            let (worker_mailbox, poll) = (mailbox.clone(), self.poll);
            let (eal, core) = (self.eal.clone(), self.cores[index]);
            let used = Arc::new(Used::default());
            let sessions = make_sessions(&snapshot.sessions, &used, &mut tracks)?;
            let at_work = at_work.clone();
            let work = move || {
                let registered = match core {
                    Some(core) => dpdk::pin_and_register(&eal, core),
                    None => dpdk::register(&eal),
                };
                let (registered, ready) = match registered {
                    Ok(guard) => (Some(guard), Ok(())),
                    Err(error) => (None, Err(error)),
                };
                // Who waits for it is there, or has given up because of another worker, and ends this one.
                let _ = at_work.send(ready);
                drop(at_work);
                let mailbox = worker_mailbox;
                let worker = Worker { id, snapshot, inputs, incoming, outputs, mailbox, clock, poll, used };
                let standing = worker.run(sessions);
                drop(registered);
                standing
            };
            let thread = std::thread::Builder::new().name(format!("worker-{index}")).spawn(work)?;
            self.workers.push(Handle { mailbox, decisions, lost: 0, thread });
        }
        drop(at_work);
        for ready in ready {
            ready.map_err(Box::new)?;
        }
        self.runway = Some(Runway::start(tracks)?);
        Ok(())
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

    /// How every worker stands.
    async fn standings(&self) -> Result<Vec<Standing>, Silent> {
        let asked = self.ask();
        for worker in 0..self.workers.len() {
            let standing = Standing { asked, ..Standing::new(&self.compiled.snapshot) };
            self.send(worker, Mail::Report(Box::new(standing)))?;
        }
        let mut standings = Vec::with_capacity(self.workers.len());
        for worker in 0..self.workers.len() {
            let standing = self.answer(worker, PATIENCE, |reply| match reply {
                Reply::Standing(standing) if standing.asked == asked => Some(*standing),
                _ => None,
            });
            standings.push(standing.await?);
        }
        Ok(standings)
    }

    /// The number of the next question.
    fn ask(&self) -> u64 {
        self.asked.set(self.asked.get() + 1);
        self.asked.get()
    }

    fn send(&self, worker: usize, mail: Mail<Mbuf>) -> Result<(), Silent> {
        self.workers[worker].mailbox.send(mail).map_err(|_| Silent { worker })
    }

    /// The answer of a worker that `wanted` takes. Others are to questions that were given up.
    async fn answer<T>(
        &self,
        worker: usize,
        patience: Duration,
        mut wanted: impl FnMut(Reply<Mbuf>) -> Option<T>,
    ) -> Result<T, Silent> {
        let Handle { mailbox, thread, .. } = &self.workers[worker];
        let start = Instant::now();
        loop {
            // Looked at first: what an ended worker answered before it ended counts.
            let (ended, waited) = (thread.is_finished(), start.elapsed());
            while let Some(reply) = mailbox.reply() {
                if let Some(answer) = wanted(reply) {
                    return Ok(answer);
                }
            }
            if ended || waited > patience {
                return Err(Silent { worker });
            }
            if waited < SOON {
                std::thread::sleep(LOOK);
            } else {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    }
}

/// The queues of a port that nobody has taken yet.
#[expect(clippy::type_complexity, reason = "what a worker takes, taken apart at once")]
fn take_queues(port: &mut Port) -> Option<(Vec<Box<dyn Receive<Mbuf>>>, Box<dyn Transmit<Mbuf>>)> {
    let output = port.take_tx(0)?;
    let inputs = (0..).map_while(|queue| port.take_rx(queue));
    let inputs = inputs.map(|queue| Box::new(queue) as Box<dyn Receive<Mbuf>>).collect();
    Some((inputs, Box::new(output)))
}

impl Drop for Switch {
    /// Of a switch that was not stopped the workers end all the same: they would keep its devices open.
    fn drop(&mut self) {
        self.dismiss();
    }
}

/// A worker does not answer its letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("worker {worker} does not answer: its core is taken by something else, or it has ended")]
pub struct Silent {
    worker: usize,
}

/// Room for a worker's sessions, in large pages as far as there are such: those that it reads are all over it.
fn make_sessions(settings: &Settings, used: &Arc<Used>, tracks: &mut Vec<Track>) -> io::Result<Sessions> {
    let (v4, v6) = (Memory::<Key4>::new(settings.capacity), Memory::<Key6>::new(settings.capacity));
    v4.regions().into_iter().chain(v6.regions()).for_each(dpdk::prefer_large_pages);
    tracks.push(Track::new(&v4, settings.capacity, (used.clone(), Family::V4)));
    tracks.push(Track::new(&v6, settings.capacity, (used.clone(), Family::V6)));
    Ok(Sessions::within(v4, v6, &random_secret()?))
}

/// Words that nobody can predict, for hashes whose collisions nobody can craft.
fn random_secret() -> io::Result<Secret> {
    let mut bytes = [0; 64];
    let mut filled = 0;
    while filled < bytes.len() {
        filled += rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty())?;
    }
    let (words, _) = bytes.as_chunks::<8>();
    let mut secret = [0; 8];
    secret.iter_mut().zip(words).for_each(|(word, bytes)| *word = u64::from_ne_bytes(*bytes));
    Ok(Secret::new(secret))
}

/// The cores of `usable` that no worker has to itself; all of them where none is left.
fn off_the_workers(usable: &[usize], workers: &[usize]) -> Vec<usize> {
    let left: Vec<usize> = usable.iter().copied().filter(|core| !workers.contains(core)).collect();
    if left.is_empty() { usable.to_vec() } else { left }
}

fn environment(
    host: &checked::Host,
    plans: &[PortPlan<'_>],
    instance: &Instance,
    cores: Vec<usize>,
) -> EalOptions {
    let devices = plans.iter().filter_map(|plan| match plan {
        PortPlan::Uplink(uplink) => Some(&uplink.device),
        PortPlan::Guest { endpoint, .. } => match &endpoint.attach {
            Attach::Device(device) => Some(device),
            Attach::VhostUser { .. } => None,
        },
    });
    EalOptions {
        name: format!("weft-{}", host.name),
        memory_bytes: host.memory.size,
        hugepages: match host.memory.hugepages {
            checked::Hugepages::Auto => dpdk::Hugepages::Auto,
            checked::Hugepages::Required => dpdk::Hugepages::Required,
            checked::Hugepages::Off => dpdk::Hugepages::Off,
        },
        pci: devices.filter_map(|device| pci_address(device)).collect(),
        cores,
        // The instance's own, so that what a killed switch leaves is used again and not added to.
        runtime_dir: Some(instance.dir().to_owned()),
        ..EalOptions::default()
    }
}

fn open(eal: &Eal, mempool: &Mempool, instance: &Instance, plan: &PortPlan<'_>) -> Result<Port, StartError> {
    let options =
        PortOptions { rx_descriptors: DESCRIPTORS, tx_descriptors: DESCRIPTORS, ..PortOptions::new(mempool) };
    let opened = match plan {
        PortPlan::Uplink(uplink) => {
            let options = PortOptions { mtu: Some(uplink.mtu), ..options };
            Port::open(eal, &uplink.device, &options)
        }
        PortPlan::Guest { endpoint, .. } => match &endpoint.attach {
            Attach::Device(device) => Port::open(eal, device, &options),
            Attach::VhostUser { path, mode, queues } => {
                let mode = match mode {
                    checked::VhostMode::Server => dpdk::VhostMode::Server,
                    checked::VhostMode::Client => dpdk::VhostMode::Client,
                };
                let path = instance.socket(path);
                make_folder(instance, &path).map_err(|(folder, source)| StartError::Folder {
                    port: plan.name(),
                    folder,
                    source,
                })?;
                VhostUser { path, mode, queues: *queues }.open(eal, &options)
            }
        },
    };
    let port = opened.map_err(|source| StartError::Port {
        port: plan.name(),
        attach: plan.attach(),
        source: Box::new(source),
    })?;
    let mac = port.mac().map(|mac| tracing::field::display(Mac(mac)));
    info!(port = plan.name(), device = port.name(), driver = port.driver(), mac, "opened");
    Ok(port)
}

/// Makes the folder of a socket, where that is in the instance's own; others have to be there.
fn make_folder(instance: &Instance, socket: &Path) -> Result<(), (PathBuf, io::Error)> {
    let Some(folder) = socket.parent().filter(|folder| folder.starts_with(instance.dir())) else {
        return Ok(());
    };
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|source| (folder.to_owned(), source))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_control_thread_leaves_the_workers_their_cores() {
        assert_eq!(off_the_workers(&[0, 1, 2], &[1]), [0, 2]);
        assert_eq!(off_the_workers(&[0, 1], &[]), [0, 1]);
        assert_eq!(off_the_workers(&[0, 1], &[1, 0]), [0, 1]);
    }
}
