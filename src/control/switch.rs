//! The running switch: its devices, its worker threads, and the letters to and from them.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use thiserror::Error;
use tracing::{info, warn};
use weft_pipelines::{Epoch, Mac, PortId, WorkerId};

use super::compile::{self, Compiled, PortPlan};
use super::observe::{self, Observation};
use super::runtime_dir::Instance;
use crate::config::checked::{self, Attach, Fabric, HostIndex};
use crate::config::pci_address;
use crate::dpdk::{self, Eal, EalOptions, Mbuf, Mempool, Port, PortOptions, VhostUser};
use crate::report::Report;
use crate::worker::{Clock, Input, Mail, Mailbox, Outputs, Poll, Reply, Standing, Transmit, Worker, rings};

/// How long a worker may take to answer a letter; it answers between two bursts.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often the control thread looks whether an answer has come.
const LOOK: Duration = Duration::from_micros(200);
/// How long workers may take to finish what they hand each other when the switch stops.
const FINISH: Duration = Duration::from_secs(1);
/// Bytes of the packets that fit a buffer, where no uplink's MTU asks for more.
const DATA_ROOM: usize = 2048;
/// Bytes that an inner or outer frame has beyond its IP packet: Ethernet and a tag.
const LINK_OVERHEAD: usize = 18;
/// What a buffer takes beyond its data: the mbuf, its headroom and the pool's own header.
const BUFFER_OVERHEAD: usize = 128 + 128 + 64;
/// Buffers that one port can hold in its rings.
const BUFFERS_PER_PORT: u64 = 1024;

/// A running switch.
pub struct Switch {
    compiled: Compiled,
    snapshot: Arc<weft_pipelines::Snapshot>,
    poll: Poll,
    cores: Vec<Option<usize>>,
    workers: Vec<Handle>,
    ports: Vec<Port>,
    links: Vec<bool>,
    mempool: Mempool,
    started: Instant,
}

/// The ports of a switch that has stopped.
pub struct Ports {
    ports: Vec<Port>,
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
    mailbox: Arc<Mailbox>,
    thread: JoinHandle<Result<Standing, dpdk::Error>>,
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
    /// The memory is too small.
    #[error(
        "memory: {size} MiB hold {buffers} packet buffers; {ports} ports need {needed}: set the host's memory.size \
         to {wanted}MiB or more"
    )]
    Memory {
        /// What the document gives, in MiB.
        size: u64,
        /// The buffers that fit.
        buffers: u64,
        /// The ports of the host.
        ports: u64,
        /// The buffers that they need.
        needed: u64,
        /// What would be enough, in MiB.
        wanted: u64,
    },
    /// A thread.
    #[error("a worker thread: {0}")]
    Thread(#[from] std::io::Error),
}

impl Switch {
    /// Starts `host`'s switch: opens its ports, compiles its part of the fabric, and sets its workers to work.
    ///
    /// # Errors
    ///
    /// When a device, the memory or a thread is not to be had. Nothing is left behind then.
    pub fn start(fabric: &Fabric, host: HostIndex, instance: &Instance) -> Result<Self, StartError> {
        let this = &fabric.hosts[host.0];
        let plans = compile::ports(fabric, host);
        let eal = Eal::init(&environment(this, &plans)).map_err(Box::new)?;
        let buffers = Buffers::new(this, plans.len() as u64)?;
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
        let macs: Vec<Mac> = uplinks.map(|port| Mac(port.mac())).collect();
        let cores: Vec<Option<usize>> = match this.workers.cores.as_slice() {
            [] => vec![None],
            cores => cores.iter().copied().map(Some).collect(),
        };
        let compiled = compile::compile(fabric, host, &macs, cores.len(), Epoch(1))?;
        let snapshot = Arc::new(compiled.snapshot.clone());
        let poll = match this.workers.poll {
            checked::Poll::Busy => Poll::Busy,
            checked::Poll::Adaptive => Poll::Adaptive,
        };
        let mut switch = Self {
            links: vec![false; ports.len()],
            workers: Vec::with_capacity(cores.len()),
            started: Instant::now(),
            compiled,
            snapshot,
            poll,
            cores,
            ports,
            mempool,
        };
        switch.employ(&eal)?;
        Ok(switch)
    }

    /// The report of this moment.
    ///
    /// # Errors
    ///
    /// When a worker does not answer.
    pub async fn report(&mut self) -> Result<Report, Silent> {
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
            let up = port.link_up();
            if up != *link {
                *link = up;
                info!(port = label.name, up, "link");
            }
        }
    }

    /// Stops: receives no more, lets the workers finish what they hand each other, and drops by name what waits.
    /// Returns the last report, and the ports, to be closed: what goes wrong with a device then costs no ledger.
    pub async fn stop(mut self) -> (Report, Ports) {
        self.watch_links();
        for worker in &self.workers {
            tell(worker, Mail::Finish);
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
                Ok(_) => tokio::time::sleep(LOOK).await,
                Err(silent) => {
                    warn!("{silent}");
                    break;
                }
            }
        }
        let mut standings = Vec::with_capacity(self.workers.len());
        for worker in std::mem::take(&mut self.workers) {
            tell(&worker, Mail::End);
            let ended = worker.thread.join();
            standings.push(match ended {
                Ok(Ok(standing)) => standing,
                Ok(Err(error)) => {
                    warn!("a worker ended early: {error}");
                    Standing::new(&self.snapshot)
                }
                Err(_) => {
                    warn!("a worker panicked; what it counted is lost");
                    Standing::new(&self.snapshot)
                }
            });
        }
        (self.observe(&standings), Ports { ports: self.ports, mempool: self.mempool })
    }

    /// Starts the workers.
    fn employ(&mut self, eal: &Eal) -> Result<(), StartError> {
        let count = self.cores.len();
        let clock = Clock::new(dpdk::tsc, dpdk::tsc_hz(eal));
        for (index, (outgoing, incoming)) in rings::<Mbuf>(count).into_iter().enumerate() {
            let id = WorkerId(index as u16);
            let (mut inputs, mut queues) = (Vec::new(), Vec::new());
            for (number, port) in self.ports.iter_mut().enumerate() {
                let port_id = PortId(number as u16);
                let owned = compile::owner(port_id, count) == id;
                let queue = if owned { port.take_tx(0) } else { None };
                queues.push(queue.map(|queue| Box::new(queue) as Box<dyn Transmit<_>>));
                if owned {
                    for queue in (0..).map_while(|queue| port.take_rx(queue)) {
                        inputs.push(Input { port: port_id, queue: Box::new(queue) });
                    }
                }
            }
            let mailbox = Arc::new(Mailbox::default());
            let outputs = Outputs::new(&self.snapshot, queues, outgoing, Box::new(self.mempool.clone()));
            let (snapshot, worker_mailbox, poll) = (self.snapshot.clone(), mailbox.clone(), self.poll);
            let (eal, core) = (eal.clone(), self.cores[index]);
            let work = move || {
                let registered = match core {
                    Some(core) => dpdk::pin_and_register(&eal, core)?,
                    None => dpdk::register(&eal)?,
                };
                let mailbox = worker_mailbox;
                let worker = Worker { id, snapshot, inputs, incoming, outputs, mailbox, clock, poll };
                let standing = worker.run();
                drop(registered);
                Ok(standing)
            };
            let thread = std::thread::Builder::new().name(format!("worker-{index}")).spawn(work)?;
            self.workers.push(Handle { mailbox, thread });
        }
        Ok(())
    }

    fn observe(&self, standings: &[Standing]) -> Report {
        let observation = Observation {
            snapshot: &self.snapshot,
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
    async fn standings(&mut self) -> Result<Vec<Standing>, Silent> {
        for worker in &self.workers {
            tell(worker, Mail::Report(Box::new(Standing::new(&self.snapshot))));
        }
        let deadline = Instant::now() + PATIENCE;
        let mut standings = Vec::with_capacity(self.workers.len());
        for (index, worker) in self.workers.iter().enumerate() {
            loop {
                match worker.mailbox.reply() {
                    Some(Reply::Standing(standing)) => {
                        standings.push(*standing);
                        break;
                    }
                    Some(Reply::Retired(snapshot)) => drop(snapshot),
                    None if Instant::now() < deadline => tokio::time::sleep(LOOK).await,
                    None => return Err(Silent { worker: index }),
                }
            }
        }
        Ok(standings)
    }
}

/// A worker does not answer its letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("worker {worker} does not answer: its core is taken by something else, or it has ended")]
pub struct Silent {
    worker: usize,
}

fn tell(worker: &Handle, mail: Mail) {
    // A mailbox is full only when the worker does not answer, which waiting for the answer finds out.
    if worker.mailbox.send(mail).is_err() {
        warn!("a worker does not take its letters");
    }
}

/// Packet buffers: how many, and of what size.
struct Buffers {
    count: u64,
    data_room: usize,
}

impl Buffers {
    /// As many as fit three quarters of the memory; the rest is for rings and what the drivers need.
    fn new(host: &checked::Host, ports: u64) -> Result<Self, StartError> {
        let largest = host.uplinks.iter().map(|uplink| usize::from(uplink.mtu) + LINK_OVERHEAD).max();
        let data_room = largest.unwrap_or_default().max(DATA_ROOM);
        let buffer = (data_room + BUFFER_OVERHEAD) as u64;
        let count = host.memory.size * 3 / 4 / buffer;
        let needed = (ports + 1) * BUFFERS_PER_PORT;
        if count < needed {
            return Err(StartError::Memory {
                size: host.memory.size >> 20,
                buffers: count,
                ports,
                needed,
                wanted: (needed * buffer * 4 / 3).div_ceil(1 << 20),
            });
        }
        Ok(Self { count: count.min(u64::from(u32::MAX)), data_room })
    }
}

fn environment(host: &checked::Host, plans: &[PortPlan<'_>]) -> EalOptions {
    let devices = plans.iter().filter_map(|plan| match plan {
        PortPlan::Uplink(uplink) => Some(&uplink.device),
        PortPlan::Guest { endpoint, .. } => match &endpoint.attach {
            Attach::Device(device) => Some(device),
            Attach::VhostUser { .. } => None,
        },
    });
    EalOptions {
        name: format!("weft-{}-{}", host.name, std::process::id()),
        memory_bytes: host.memory.size,
        hugepages: match host.memory.hugepages {
            checked::Hugepages::Auto => dpdk::Hugepages::Auto,
            checked::Hugepages::Required => dpdk::Hugepages::Required,
            checked::Hugepages::Off => dpdk::Hugepages::Off,
        },
        pci: devices.filter_map(|device| pci_address(device)).collect(),
        ..EalOptions::default()
    }
}

fn open(eal: &Eal, mempool: &Mempool, instance: &Instance, plan: &PortPlan<'_>) -> Result<Port, StartError> {
    let options = PortOptions::new(mempool);
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
                VhostUser { path: instance.socket(path), mode, queues: *queues }.open(eal, &options)
            }
        },
    };
    let port = opened.map_err(|source| StartError::Port {
        port: plan.name(),
        attach: plan.attach(),
        source: Box::new(source),
    })?;
    info!(port = plan.name(), device = port.name(), driver = port.driver(), mac = %Mac(port.mac()), "opened");
    Ok(port)
}
