//! Puts together what happened to a packet, from all workers, and into words.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use weft_pipelines::stages::check_policy::Outcome;
use weft_pipelines::{PortId, Tick};

use super::Traced;
use super::summary::summary;
use super::tap::{Event, What};
use crate::capture::InForce;
use crate::explain::Step;
use crate::explain::glimpse::{Beginning, Glimpse};
use crate::explain::words::{CHECK_POLICY, LOOKUP_FLOW, Teller};

/// A packet that waited in the switch for less is not said to have waited.
const WAITED_NS: u64 = 100_000;

/// Packets of which not all is known yet.
pub(super) struct Gather {
    start_unix_ns: u64,
    packets: BTreeMap<u64, Gathered>,
}

/// What is known of one.
struct Gathered {
    events: Vec<Event>,
    /// Since when something is known of it.
    since: Instant,
    /// Copies that are followed by themselves, less those that are over.
    parts: i64,
    /// Whether the packet itself is over.
    over: bool,
}

impl Gather {
    pub fn new(start_unix_ns: u64) -> Self {
        Self { start_unix_ns, packets: BTreeMap::new() }
    }

    pub fn add(&mut self, event: Event) {
        let fresh = || Gathered { events: Vec::new(), since: Instant::now(), parts: 0, over: false };
        let packet = self.packets.entry(event.packet).or_insert_with(fresh);
        match event.what {
            What::Parted => packet.parts += 1,
            What::Over { whole: true } => packet.over = true,
            What::Over { whole: false } => packet.parts -= 1,
            _ => packet.events.push(event),
        }
    }

    /// Those of which all is known, or of which nothing more came for `patience`.
    pub fn packets(&mut self, in_force: &InForce, patience: Duration) -> Vec<Traced> {
        let is_ripe = |packet: &Gathered| packet.over && packet.parts == 0 && packet.came().is_some();
        let ripe: Vec<_> = self
            .packets
            .extract_if(.., |_, packet| is_ripe(packet) || packet.since.elapsed() >= patience)
            .map(|(_, packet)| packet)
            .collect();
        let told = ripe.into_iter().filter_map(|packet| told(in_force, self.start_unix_ns, packet));
        let mut told: Vec<Traced> = told.collect();
        told.sort_by_key(|packet| packet.unix_ns);
        told
    }
}

impl Gathered {
    fn came(&self) -> Option<(Tick, PortId, &Beginning)> {
        self.events.iter().find_map(|event| match &event.what {
            What::Came(port, data) => Some((event.time, *port, data)),
            _ => None,
        })
    }
}

/// A packet in words; `None` of what belongs to one that is told of already.
fn told(InForce { fabric, compiled }: &InForce, start: u64, mut packet: Gathered) -> Option<Traced> {
    packet.events.sort_by_key(|event| event.order);
    let (time, port, data) = packet.came()?;
    let teller = Teller { fabric, compiled, port };
    let mut steps = Vec::new();
    for (at, event) in packet.events.iter().enumerate() {
        let later = &packet.events[at + 1..];
        match &event.what {
            What::Saw(glimpse) if is_others(glimpse, later) => {}
            What::Saw(glimpse) => steps.extend(teller.steps([glimpse])),
            What::Handed(worker) => {
                steps.push(teller.step("hand_over", format!("given to worker {}", worker.0)));
            }
            What::Sent(port, data) => {
                steps.extend(sent(&teller, *port, data, event.time.0 - time.0.min(event.time.0)))
            }
            What::Lost(port, reason) => steps.push(teller.lost(*port, *reason)),
            What::OutOfSight => {
                steps.push(teller.step("unknown", "where it went from here was not seen".to_owned()));
            }
            What::Came(..) | What::Parted | What::Over { .. } => {}
        }
    }
    if !packet.over || packet.parts != 0 {
        steps.push(teller.step("waits", "no more was seen of it, or of a copy, yet".to_owned()));
    }
    let parsed = packet.events.iter().find_map(|event| match &event.what {
        What::Saw(glimpse) if glimpse.stage == "parse" => Some(glimpse),
        _ => None,
    });
    Some(Traced {
        unix_ns: start + time.0,
        port: teller.port_name(port).to_owned(),
        packet: summary(&teller, parsed.map_or(data, |glimpse| &glimpse.data), parsed),
        len: data.whole(),
        steps,
    })
}

/// Whether it is another worker that looks up the session: what the one that received the packet says of it means nothing.
fn is_others(glimpse: &Glimpse, later: &[Event]) -> bool {
    matches!(glimpse.stage, LOOKUP_FLOW | CHECK_POLICY)
        && matches!(glimpse.outcome, Outcome::Untracked)
        && glimpse.question.is_none()
        && later.iter().any(|event| matches!(event.what, What::Handed(_)))
        && later.iter().any(|event| matches!(&event.what, What::Saw(of) if of.stage == glimpse.stage))
}

fn sent(teller: &Teller<'_>, port: PortId, data: &[u8], waited: u64) -> Option<Step> {
    let left = teller.sent(port, data, |_| "");
    let (mut step, _) =
        left.unwrap_or_else(|| (teller.step("deliver", format!("sent by {}", teller.port_name(port))), None));
    if waited >= WAITED_NS {
        step.says += &format!("; {:.1} ms after it came in", waited as f64 / 1e6);
    }
    Some(step)
}
