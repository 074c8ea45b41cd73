//! A host's packet logic over recorded packets: in virtual time, without any device, the same at each run.
//!
//! [`Replay`] takes the fabric's document and what some of the host's ports received; it leaves what every port
//! sent, and the ledger. `weft replay` is the command for it.
//!
//! Time is that of the recordings. Their packets are merged by their stamps, of equal stamps in the order in which
//! the inputs were given; a packet with a stamp before its predecessor's in the same recording is replayed in
//! the predecessor's time, for time never goes back. Between two packets the timers that are due run, each at its
//! moment; and behind the last packet time runs on until nothing waits. What a packet causes leaves in its moment.
//!
//! The underlay is not there, so two things are made up unless something tells them:
//!
//! - An uplink's MAC is that of [`Options::uplink_macs`]; else the one that its own recordings tell, in the order
//!   of the inputs: to whom the first unicast IPv4 packet or ARP reply to one of its addresses is sent, or
//!   who sends ARP from one of them, whichever comes first; else [`derived_mac`] of its address.
//! - A next hop whose MAC the document does not give is assumed to have [`derived_mac`] of its address, until ARP in a
//!   recording tells another; or it is really asked: see [`NeighborMode`].
//!
//! So what one host's replay sends into the fabric can be another's input.

pub mod against;
mod decisions;
mod merge;
mod outputs;
pub mod recording;
mod underlay;

use std::io::{self, Write};
use std::time::Duration;

use clap::ValueEnum;
use thiserror::Error;
use weft_pipelines::flow::Secret;
use weft_pipelines::sink::Decided;
use weft_pipelines::{Epoch, HopId, Mac, Plane, PortId, TestFrame, Tick, WorkerId};

use crate::config::checked::{Fabric, HostIndex};
use crate::control::compile::{self, Compiled, PortPlan, TooMany, compile};
use crate::control::labels::labels;
use crate::control::observe::Observation;
use crate::flows::names::Names;
use crate::report::{FlowReport, Report};
use crate::shm::Labels;
use crate::worker::{Neighbor, Poll, Standing, Work};

use decisions::Decisions;
pub use merge::InputSummary;
use merge::{Arrival, Merged, Stream};
use outputs::Outputs;
pub use outputs::{Output, OutputError};
use recording::{RecordingError, Source};
pub use underlay::derived_mac;
pub(crate) use underlay::{Assumed, uplink_mac};

/// How long time runs on behind the last packet at most; what waits for a neighbour gives up long before.
const RUN_ON: Duration = Duration::from_secs(60);
/// The least that time goes on while something waits.
const STEP: Duration = Duration::from_micros(1);

/// What a port received.
#[derive(Clone, Debug)]
pub struct Input {
    /// The port: `tenant/endpoint`, or an uplink's name. Several inputs may be of one port.
    pub port: String,
    /// The packets.
    pub source: Source,
}

/// What a replay can be told.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// How the underlay's next hops get their MACs.
    pub neighbors: NeighborMode,
    /// MACs of uplinks, by name. The last of a name counts.
    pub uplink_macs: Vec<(String, Mac)>,
    /// Whether to keep what policy decided.
    pub decisions: bool,
    /// Whether to tell of flows.
    pub flows: bool,
}

/// How the underlay's next hops get their MACs where the document gives none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum NeighborMode {
    /// Each has a MAC made of its address, until ARP in a recording tells another.
    #[default]
    Assume,
    /// By ARP, in virtual time: requests are sent, and packets wait for replies in a recording.
    Arp,
}

/// Why a replay can't begin.
#[derive(Debug, Error)]
pub enum SetupError {
    /// No such host.
    #[error("there is no host {name}; the fabric's hosts are {}", .hosts.join(", "))]
    NoSuchHost {
        /// What was asked for.
        name: String,
        /// What there is.
        hosts: Vec<String>,
    },
    /// No such port.
    #[error("host {host} has no {what} {name}; {}", list(.what, .names))]
    NoSuchPort {
        /// The host.
        host: String,
        /// `port` or `uplink`.
        what: &'static str,
        /// What was asked for.
        name: String,
        /// What there is.
        names: Vec<String>,
    },
    /// No interface may have it.
    #[error("{mac} cannot be the MAC of uplink {uplink}: it is not a unicast address")]
    NotUnicast {
        /// The uplink.
        uplink: String,
        /// The MAC.
        mac: Mac,
    },
    /// A recording can't be used.
    #[error("{recording}: {source}")]
    Recording {
        /// The recording.
        recording: String,
        /// Why not.
        source: RecordingError,
    },
    /// The document is too large.
    #[error(transparent)]
    TooMany(#[from] TooMany),
}

impl SetupError {
    /// `fabric` has no host called `name`.
    pub fn no_such_host(fabric: &Fabric, name: &str) -> Self {
        let hosts = fabric.hosts.iter().map(|host| host.name.to_string()).collect();
        Self::NoSuchHost { name: name.to_owned(), hosts }
    }
}

fn list(what: &str, names: &[String]) -> String {
    if names.is_empty() {
        format!("it has no {what}s")
    } else {
        format!("its {what}s are {}", names.join(", "))
    }
}

/// What a replay came to.
#[derive(Debug)]
pub struct Outcome<W> {
    /// The report, as a running switch gives it, with nothing left waiting.
    pub report: Report,
    /// By input.
    pub inputs: Vec<InputSummary>,
    /// By port: its pcap, there even if it has no packet.
    pub outputs: Vec<Output<W>>,
    /// What policy decided of each connection at first, if that was to be kept.
    pub decisions: Vec<Decided>,
    /// What was told of flows, if that was asked for and is kept in memory.
    pub flows: Vec<FlowReport>,
}

/// The name of the file for what `port` sent: `blue/web1` is `blue.web1.pcap`, `up0` is `up0.pcap`.
pub fn file_name(port: &str) -> String {
    format!("{}.pcap", port.replace('/', "."))
}

/// A replay, ready to run.
pub struct Replay {
    compiled: Compiled,
    inputs: Merged,
    neighbors: NeighborMode,
    decisions: bool,
    /// For what is told of flows, if that is wanted.
    names: Option<Names>,
}

impl Replay {
    /// A replay of `inputs` on the host that `fabric` calls `host`.
    ///
    /// # Errors
    ///
    /// When a host or port is not there, or an input can't be opened or is not a recording of an Ethernet.
    pub fn new(fabric: &Fabric, host: &str, inputs: &[Input], options: &Options) -> Result<Self, SetupError> {
        let index = fabric.host(host).ok_or_else(|| SetupError::no_such_host(fabric, host))?;
        let plans = compile::ports(fabric, index);
        let names: Vec<String> = plans.iter().map(PortPlan::name).collect();
        let mut streams = Vec::new();
        for Input { port, source } in inputs {
            let place = names.iter().position(|name| name == port);
            let place = place.ok_or_else(|| no_such(host, "port", port, &names))?;
            let stream = Stream::open(PortId(place as u16), port, source);
            streams.push(stream.map_err(|error| unusable(source, error))?);
        }
        let macs = uplink_macs(fabric, index, inputs, options)?;
        let compiled = compile(fabric, index, &macs, 1, Epoch(1), None)?;
        let Options { neighbors, decisions, flows, .. } = *options;
        let names = flows.then(|| Names::of(Labels::new(labels(fabric, &compiled))));
        Ok(Self { compiled, inputs: Merged::new(streams), neighbors, decisions, names })
    }

    /// Runs it. `open` says where the pcap of each port, of which it gets the name, is written to; `tell` gets each record of
    /// a flow, as soon as it is made, if [`Options::flows`] asks for them. Nothing limits how many there are of what policy
    /// denies, as a running switch does.
    ///
    /// # Errors
    ///
    /// When an output can't be written. Trouble with an input is in the outcome.
    pub fn run<W: Write>(
        self,
        open: impl FnMut(&str) -> io::Result<W>,
        mut tell: impl FnMut(FlowReport) -> io::Result<()>,
    ) -> Result<Outcome<W>, OutputError> {
        let Self { compiled, mut inputs, neighbors, decisions, names } = self;
        let flows = names.map(|names| outputs::Flows { names, tell: &mut tell });
        let names = compiled.labels.ports.iter().map(|label| label.name.clone());
        let start = Tick(inputs.next_stamp().unwrap_or_default());
        let mut run = Run {
            plane: Plane::new(WorkerId(0), &compiled.snapshot, &Secret::from_seed(0)),
            outputs: Outputs::new(names, open)?,
            assumed: (neighbors == NeighborMode::Assume).then(Assumed::default),
            start,
            now: start,
            packets: 0,
            compiled: &compiled,
        };
        run.outputs.decisions = decisions.then(Decisions::default);
        run.outputs.flows = flows;
        for arrival in &mut inputs {
            run.pass_until(Tick(arrival.stamp));
            run.receive(&arrival);
            run.outputs.check()?;
        }
        run.settle();
        let report = run.report();
        let decisions = run.outputs.decisions.take().map_or_else(Vec::new, Decisions::finish);
        let outputs = run.outputs.finish()?;
        Ok(Outcome { report, inputs: inputs.summaries(), outputs, decisions, flows: Vec::new() })
    }

    /// Runs it with the outputs in memory.
    pub fn run_in_memory(self) -> Outcome<Vec<u8>> {
        let mut flows = Vec::new();
        let keep = |flow| {
            flows.push(flow);
            Ok(())
        };
        match self.run(|_| Ok(Vec::new()), keep) {
            Ok(outcome) => Outcome { flows, ..outcome },
            Err(never) => unreachable!("memory takes what is written: {never}"),
        }
    }
}

/// A replay that runs.
struct Run<'a, W: Write> {
    compiled: &'a Compiled,
    plane: Plane<TestFrame>,
    outputs: Outputs<'a, W>,
    /// `None` when next hops are really asked.
    assumed: Option<Assumed>,
    start: Tick,
    now: Tick,
    packets: u64,
}

impl<W: Write> Run<'_, W> {
    /// Lets time pass until `then`, with all that is due on the way.
    fn pass_until(&mut self, then: Tick) {
        while self.due() <= then {
            self.enter(self.due().max(self.now + STEP).min(then));
            self.work();
        }
        self.enter(then);
    }

    fn receive(&mut self, arrival: &Arrival) {
        let snapshot = &self.compiled.snapshot;
        if let Some(assumed) = &mut self.assumed {
            assumed.keep(&mut self.plane, snapshot, self.now);
        }
        let frame = TestFrame::new(&arrival.data);
        let now = self.now;
        let count = self.plane.from_port(snapshot, arrival.port, &mut self.outputs, |burst| {
            burst.push(frame);
            now
        });
        self.packets += count as u64;
        // Ends more sessions that are over than a packet opens, so that none of them fills the table.
        self.work();
    }

    /// Does what is due.
    fn work(&mut self) {
        let snapshot = &self.compiled.snapshot;
        self.plane.tick(snapshot, self.now, &mut self.outputs);
        self.plane.flush(snapshot, self.now, &mut self.outputs);
    }

    /// When something is due.
    fn due(&self) -> Tick {
        self.plane.neighbors.due().min(self.plane.egress.due())
    }

    /// Lets time run on until nothing waits.
    fn settle(&mut self) {
        let limit = self.now + RUN_ON;
        while self.plane.held() > 0 && self.due() <= limit {
            self.pass_until(self.due().max(self.now + STEP));
        }
        // Nothing waits that long; if it did, it would not be forgotten.
        self.plane.stop(&self.compiled.snapshot, self.now, &mut self.outputs);
    }

    /// Enters a moment, unless it is past.
    fn enter(&mut self, moment: Tick) {
        self.now = self.now.max(moment);
        self.outputs.now = self.now;
    }

    fn report(&self) -> Report {
        let Compiled { snapshot, labels, .. } = self.compiled;
        let neighbors = &self.plane.neighbors;
        let counters = self.plane.counters.clone();
        let neighbor = |hop| Neighbor {
            state: neighbors.state(hop, self.now),
            mac: neighbors.mac(hop),
            held: neighbors.held(hop) as u64,
        };
        let standing = Standing {
            asked: 0,
            counters,
            work: Work {
                packets: self.packets,
                epoch: snapshot.epoch.0,
                waiting: self.plane.egress.held(),
                ..Work::default()
            },
            neighbors: (0..snapshot.hops.len()).map(|hop| neighbor(HopId(hop as u16))).collect(),
        };
        let observation = Observation {
            snapshot,
            labels,
            workers: &[standing],
            cores: &[None],
            poll: Poll::Busy,
            links: &vec![true; snapshot.ports.len()],
            uptime_ns: self.now.since(self.start).as_nanos() as u64,
        };
        observation.report()
    }
}

fn uplink_macs(
    fabric: &Fabric,
    index: HostIndex,
    inputs: &[Input],
    options: &Options,
) -> Result<Vec<Mac>, SetupError> {
    let host = &fabric.hosts[index.0];
    for (name, mac) in &options.uplink_macs {
        if !host.uplinks.iter().any(|uplink| *uplink.name == **name) {
            let names: Vec<_> = host.uplinks.iter().map(|uplink| uplink.name.to_string()).collect();
            return Err(no_such(&host.name, "uplink", name, &names));
        }
        if !mac.is_unicast() {
            return Err(SetupError::NotUnicast { uplink: name.clone(), mac: *mac });
        }
    }
    let mac = |uplink: &crate::config::checked::Uplink| {
        let told = options.uplink_macs.iter().rev().find(|(name, _)| *uplink.name == **name);
        if let Some((_, mac)) = told {
            return Ok(*mac);
        }
        for Input { source, .. } in inputs.iter().filter(|input| *uplink.name == *input.port) {
            let recorded = underlay::recorded_mac(source, host, uplink);
            if let Some(mac) = recorded.map_err(|error| unusable(source, error))? {
                return Ok(mac);
            }
        }
        Ok(underlay::uplink_mac(host, uplink))
    };
    host.uplinks.iter().map(mac).collect()
}

fn no_such(host: &str, what: &'static str, name: &str, names: &[String]) -> SetupError {
    SetupError::NoSuchPort { host: host.to_owned(), what, name: name.to_owned(), names: names.to_vec() }
}

fn unusable(source: &Source, error: RecordingError) -> SetupError {
    SetupError::Recording { recording: source.name(), source: error }
}
