//! A figure: one load on one running system.

use std::time::Duration;

use serde::Serialize;

use super::grid::{Effort, Load, Protocol, Setup, Work};
use super::scene::{self, CLIENT, NEIGHBOUR, SERVER};
use super::systems::Bench;
use crate::bench::flows;
use crate::bench::ground::canary;
use crate::load::{Flows, Kind, Pace, Passed, Plan, Report, Size, Stream, TUNNEL, Traffic, Tunnel};
use crate::{Error, Result};

/// What a load came to on a system, once.
#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    /// Packets a second that came out.
    pub pps: f64,
    /// Bits a second of these frames.
    pub bps: f64,
    /// Packets a second that the switch took.
    pub taken_pps: f64,
    /// Of what was sent from beginning to end, what did not come out.
    pub lost: u64,
    /// What was sent from beginning to end.
    pub sent: u64,
    /// What the switch spent on a packet, in cycles of the time-stamp counter, by its own account; without idle polls.
    pub cycles: f64,
    /// How long a packet took in nanoseconds: half of them less, and 99 of 100 less.
    pub p50_ns: u64,
    /// As above.
    pub p99_ns: u64,
    /// How much of the transmit queue was with the switch on average.
    pub unsent: f64,
    /// How much of the receive queue the driver had not taken on average.
    pub untaken: f64,
    /// How long the fixed piece of work took beside it, in nanoseconds: the longer of before and after.
    pub canary_ns: u64,
}

impl Figure {
    /// Which side could do no more.
    pub fn bound(&self) -> Bound {
        match () {
            // The driver's own receive queue is full: it does not keep up.
            () if self.untaken > 0.5 => Bound::Load,
            () if self.unsent > 0.5 => Bound::Switch,
            () => Bound::Load,
        }
    }
}

/// What bounds a flood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Bound {
    /// The switch's core.
    Switch,
    /// The load's core.
    Load,
}

/// The ports of a setup, by what they are.
const CLIENT_PORT: usize = 0;
/// The server's, or the uplink.
const FAR_PORT: usize = 1;
const NEIGHBOUR_PORT: usize = 2;

/// Opens the flows of a load, both ways, so that stateful systems know them.
pub fn open(bench: &mut Bench, setup: &Setup, load: Load) -> Result<()> {
    let count = load.flows().unwrap_or(1);
    let flows = Flows::InTurn { first: 0, count };
    let there = stream(bench, setup, Size::Fixed(64), flows, flows::GENTLY);
    let back = Stream { ports: [there.ports[1], there.ports[0]], ..answering(bench, setup, there) };
    let of = |stream: Stream, kind| Stream { traffic: Traffic { kind, ..stream.traffic }, ..stream };
    let steps = match setup.protocol {
        Protocol::Udp => vec![there, back],
        // Two ways to begin, and a third packet to confirm (RFC 9293, section 3.5).
        Protocol::Tcp => vec![of(there, Kind::Syn), of(back, Kind::SynAck), of(there, Kind::Ack)],
    };
    flows::open(&mut bench.driver, &steps, count.into())
        .map_err(|error| Error::failed(error.to_string(), format!("{:?}, {load:?}", setup.work)))
}

/// Measures a load of which the flows are open.
pub fn measure(bench: &mut Bench, setup: &Setup, load: Load, effort: Effort) -> Result<Figure> {
    let random = |flows| Flows::AtRandom(flows);
    // Those that warm it up, and those that are measured.
    let [used, fresh] =
        [0, WARM].map(|after| Flows::InTurn { first: FRESH + after as u32, count: NEW_FLOWS });
    let main = match load {
        Load::Flood { flows, size } => stream(bench, setup, size, random(flows), Pace::Flood),
        Load::Paced { flows, rate } => stream(bench, setup, load.size(), random(flows), Pace::Rate(rate)),
        Load::New => stream(bench, setup, load.size(), fresh, Pace::Flood),
        Load::Neighbour { rate, .. } => {
            stream(bench, setup, load.size(), random(load.flows().unwrap_or(1)), Pace::Rate(rate))
        }
    };
    let mut streams = vec![main];
    if let Load::Neighbour { noisy: true, .. } = load {
        streams.push(Stream {
            ports: [NEIGHBOUR_PORT, CLIENT_PORT],
            traffic: scene::traffic(NEIGHBOUR, CLIENT),
            flows: fresh,
            pace: Pace::Flood,
            ..main
        });
    }
    let flows = if load == Load::New { used } else { main.flows };
    bench.driver.pass(&Stream { flows, pace: flows::GENTLY, ..main }, WARM, WARMING)?;
    let before = canary();
    bench.switch.clear()?;
    let report = bench.driver.run(&streams, Plan { warm: RUN_UP, measure: effort.measure })?;
    let cycles = bench.switch.cycles()?.each();
    let canary = before.max(canary());
    Ok(figure(&report, main.ports[1], cycles, canary.as_nanos() as u64))
}

fn figure(report: &Report, port: usize, cycles: f64, canary_ns: u64) -> Figure {
    let stream = &report.streams[0];
    let seconds = report.elapsed.as_secs_f64();
    let Passed { sent, received } = stream.counted;
    Figure {
        pps: received as f64 / seconds,
        bps: stream.bytes as f64 * 8.0 / seconds,
        taken_pps: sent as f64 / seconds,
        lost: stream.whole.lost(),
        sent: stream.whole.sent,
        cycles,
        p50_ns: stream.latency.value_at_quantile(0.5),
        p99_ns: stream.latency.value_at_quantile(0.99),
        unsent: stream.unsent,
        untaken: report.ports[port].untaken,
        canary_ns,
    }
}

/// Packets of a setup's work: from the client, or, for decapsulation, from the fabric.
fn stream(bench: &Bench, setup: &Setup, size: Size, flows: Flows, pace: Pace) -> Stream {
    let kind = if setup.protocol == Protocol::Tcp { Kind::Data } else { Kind::Udp };
    let there = Traffic { kind, ..scene::traffic(CLIENT, SERVER) };
    let (ports, traffic, growth) = match setup.work {
        Work::Encap => ([CLIENT_PORT, FAR_PORT], there, TUNNEL as i32),
        // The far end opens what is decapsulated.
        Work::Decap => {
            let traffic = Traffic { tunnel: Some(tunnel(bench)), kind, ..scene::traffic(SERVER, CLIENT) };
            ([FAR_PORT, CLIENT_PORT], traffic, 0)
        }
        Work::L2 | Work::Stateful | Work::Neighbours => ([CLIENT_PORT, FAR_PORT], there, 0),
    };
    Stream { ports, traffic, size, flows, pace, growth }
}

/// What answers such packets, from where they came out.
fn answering(bench: &Bench, setup: &Setup, there: Stream) -> Stream {
    let answers = there.traffic.answered();
    let (tunnel, growth) = match setup.work {
        Work::Encap => (Some(tunnel(bench)), 0),
        Work::Decap => (None, TUNNEL as i32),
        Work::L2 | Work::Stateful | Work::Neighbours => (None, 0),
    };
    Stream { traffic: Traffic { tunnel, ..answers }, growth, ..there }
}

fn tunnel(bench: &Bench) -> Tunnel {
    let tunnel = scene::tunnel();
    Tunnel { macs: [tunnel.macs[0], bench.uplink_mac], ..tunnel }
}

/// The longest that a load may warm a switch up.
const WARMING: Duration = Duration::from_secs(1);
/// How many packets a switch has seen of a load before its cycles count, and how many more before packets do.
const WARM: u64 = 100_000;
const RUN_UP: u64 = 5_000;
/// New flows are beyond those of any other load.
const FRESH: u32 = 2 << 20;
/// How many there are before one comes again: more than any switch opens in a run.
const NEW_FLOWS: u32 = 40_000_000;
