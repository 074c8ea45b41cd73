//! Packets of a running switch, as they come in and leave, for whoever wants to look at them.
//!
//! A [`Tap`](tap::Tap) is the worker's end: it copies what a [`Filter`](filter::Filter) lets pass into a bounded ring, and
//! counts what finds no room. Control reads the ring's other end, a [`Tray`](tap::Tray), and sends it to the client in
//! [`Chunk`]s, who writes a [`file`].

pub mod file;
pub mod filter;
pub mod tap;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use tokio::sync::watch;
use weft_pipelines::snapshot::PortKind;
use weft_pipelines::{Direction, PortId};

use crate::config::Fabric;
use crate::control::compile::Compiled;
use crate::explain::Decider;
use tap::{Counted, Packet, Tray, Wanted};

/// Bytes of a packet that are copied at most: no packet of a port is longer.
pub const MAX_SNAP: u32 = 65_535;
/// Packets that go to the client at once, and their bytes, about.
const CHUNK: (usize, usize) = (1024, 1 << 20);

/// What is to be captured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spec {
    /// The names of the ports, or of tenants; none for all ports.
    pub ports: Vec<String>,
    /// Which packets.
    pub filter: String,
    /// Those that come in.
    pub inward: bool,
    /// Those that leave.
    pub outward: bool,
    /// Bytes of each, at most.
    pub snap: u32,
    /// How many, at most.
    pub count: u64,
    /// For how long, in nanoseconds.
    pub duration_ns: u64,
}

/// A part of what was captured, in the order of its fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chunk {
    /// The number by which the capture can be ended; in the first part.
    pub id: Option<u64>,
    /// Ports that packets may be of from now on.
    pub ports: Vec<Interface>,
    /// Packets.
    pub packets: Vec<Captured>,
    /// The end, in the last part.
    pub end: Option<End>,
}

/// A port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its number, which packets name it by.
    pub port: u32,
    /// Its name.
    pub name: String,
    /// What it is attached to.
    pub attach: String,
}

/// A packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Captured {
    /// When, in nanoseconds since 1970.
    pub unix_ns: u64,
    /// The port's number.
    pub port: u32,
    /// Whether it left by it, or was to.
    pub out: bool,
    /// Its length, in bytes.
    pub len: u32,
    /// Its bytes, as far as they were copied.
    pub data: Vec<u8>,
    /// Why it was dropped, and by which rule; empty if it was not.
    pub dropped: String,
}

/// How a capture ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct End {
    /// Why, if nobody asked for it.
    pub why: String,
    /// What was counted.
    pub ports: Vec<PortCount>,
}

/// What was counted of a port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortCount {
    /// The port's number.
    pub port: u32,
    /// Packets looked at.
    pub seen: u64,
    /// Packets that the filter meant.
    pub meant: u64,
    /// Of these: packets that were lost, for they were not read as fast as they came.
    pub lost: u64,
}

/// What a switch works by.
#[derive(Clone)]
pub struct InForce {
    /// The document.
    pub fabric: Arc<Fabric>,
    /// What was made of it.
    pub compiled: Arc<Compiled>,
}

impl InForce {
    /// Whether none of these `ports` is there any more; of `None`, all that there may ever be, some are.
    pub fn has_none_of(&self, ports: Option<&[PortId]>) -> bool {
        let snapshot = &self.compiled.snapshot;
        let is_gone = |port: &PortId| matches!(snapshot.port(*port).kind, PortKind::Vacant);
        ports.is_some_and(|ports| ports.iter().all(is_gone))
    }
}

/// A capture that goes on: control's end.
pub struct Capture {
    /// The number by which it is ended.
    pub id: u64,
    /// By worker.
    pub trays: Vec<Tray>,
    /// Which packets are wanted.
    pub wanted: Arc<Wanted>,
    /// When the workers' clock was at 0, in nanoseconds since 1970.
    pub start_unix_ns: u64,
    /// What the switch works by.
    pub in_force: watch::Receiver<InForce>,
}

impl fmt::Debug for Capture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Capture").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Capture {
    /// The ports that were not told of yet and that packets may be of now.
    pub fn ports(&mut self, told: &mut BTreeSet<PortId>) -> Vec<Interface> {
        let InForce { compiled, .. } = &*self.in_force.borrow_and_update();
        let is_wanted = |port: &PortId| self.wanted.ports.as_ref().is_none_or(|ports| ports.contains(port));
        let ports = (0..).map(PortId).zip(&compiled.snapshot.ports).zip(&compiled.labels.ports);
        let ports = ports.filter(|((id, port), _)| is_wanted(id) && !matches!(port.kind, PortKind::Vacant));
        ports
            .filter(|((id, _), _)| told.insert(*id))
            .map(|((id, _), label)| Interface {
                port: u32::from(id.0),
                name: label.name.clone(),
                attach: label.attach.clone(),
            })
            .collect()
    }

    /// Whether the workers have let it go.
    pub fn is_ended(&self) -> bool {
        self.trays.iter().all(Tray::is_abandoned)
    }

    /// Whether none of the ports that are wanted is there any more.
    pub fn ports_are_gone(&self) -> bool {
        self.in_force.borrow().has_none_of(self.wanted.ports.as_deref())
    }

    /// Packets that have come, in the order of time, and not many at once.
    pub fn packets(&mut self) -> Vec<Captured> {
        let mut all = Vec::new();
        let mut bytes = 0;
        for tray in &mut self.trays {
            // Each worker has its part, so that what happened at one time comes together.
            let (most, room) = (all.len() + CHUNK.0, bytes + CHUNK.1);
            while all.len() < most && bytes < room {
                let Some(packet) = tray.take() else { break };
                bytes += packet.data.len();
                all.push(packet);
            }
        }
        all.sort_by_key(|packet| packet.time);
        let in_force = self.in_force.borrow();
        all.into_iter().map(|packet| told(&in_force, self.start_unix_ns, packet)).collect()
    }

    /// What was counted, of ports that were told of.
    pub fn counted(&self, told: &BTreeSet<PortId>) -> Vec<PortCount> {
        let mut ports: Vec<Counted> = Vec::new();
        for tray in &self.trays {
            let counted: Vec<Counted> = tray.counted().collect();
            ports.resize(counted.len().max(ports.len()), Counted::default());
            ports.iter_mut().zip(counted).for_each(|(all, of)| *all += of);
        }
        let row = |port: &PortId| {
            let Counted { seen, meant, lost } = ports.get(port.index()).or(ports.last()).copied()?;
            Some(PortCount { port: u32::from(port.0), seen, meant, lost })
        };
        told.iter().filter_map(row).collect()
    }
}

/// A packet with the names of its time.
fn told(InForce { fabric, compiled }: &InForce, start: u64, packet: Packet) -> Captured {
    let Packet { time, port, direction, dropped, refusal, is_copy, len, data } = packet;
    let mut why = dropped.map_or_else(String::new, |reason| reason.name().to_owned());
    if let Some(refusal) = refusal
        && let Some(segment) = compiled.snapshot.segments.get(refusal.segment.index())
        && let Some(tenant) =
            fabric.tenants.iter().find(|tenant| tenant.segments.iter().any(|of| of.vni == segment.vni))
    {
        why += &format!(" by {}", Decider::of(tenant, refusal.rule));
    }
    if is_copy {
        why += ", a copy of what goes to several";
    }
    let out = direction == Direction::Out;
    Captured { unix_ns: start + time.0, port: u32::from(port.0), out, len, data, dropped: why }
}
