//! How well TCP does, as records of flows tell it: held against the truth, and against what tshark makes of the same packets.
//!
//! tshark's classes and ours. A segment that brings nothing new is to tshark a retransmission (`fast_` and `spurious_` ones
//! are among them) or `out_of_order`; to us sent again, or overtaken. Ours is `retransmitted` of who sent it.

use std::collections::BTreeMap;

use weft::replay::Options;
use weft::report::{FlowEnd, FlowReport};
use weft_pipelines::Mac;
use weft_pipelines::wire::checksum;
use weft_pipelines::wire::ethernet::EtherType;

use crate::conversation::{MS, Plan, Told, Way, converse};
use crate::lab::*;
use crate::tshark::decoded;

/// Nanoseconds that moments in records are exact to.
const GRAIN: u64 = 512;
/// Between two conversations: longer than one of them.
const APART: u64 = 100 * SECOND;
/// The first client's port.
const FIRST: u16 = 40_000;

/// What tshark says of what one end sent.
#[derive(Clone, Debug, Default)]
struct Side {
    /// From a segment of the other to the acknowledgement that this end sent, in nanoseconds.
    rtts: Vec<u64>,
    retransmitted: u64,
    fast: u64,
    spurious: u64,
    out_of_order: u64,
    /// Times that its window closed: segments with none behind one that had some.
    closed: u64,
    is_closed: bool,
}

#[derive(Clone, Debug, Default)]
struct Theirs {
    initial_rtt: Option<u64>,
    sides: [Side; 2],
}

/// A conversation as all tell it.
struct Case {
    plan: Plan,
    told: Told,
    theirs: Theirs,
    ours: FlowReport,
}

impl Case {
    fn ends(&self) -> [&FlowEnd; 2] {
        [&self.ours.from, &self.ours.to]
    }

    /// What is said of this end's segments that brought nothing new: the truth, by us, by tshark as sent again and as out of
    /// order.
    fn again(&self, end: usize) -> [u64; 4] {
        let (truth, ours) = (self.told.again[end], self.ends()[end].retransmitted);
        let side = &self.theirs.sides[end];
        [truth, ours, side.retransmitted, side.out_of_order]
    }
}

/// Where the server is.
#[derive(Clone, Copy, PartialEq)]
enum Server {
    /// On the same host.
    Near,
    /// On another one.
    Far,
}

/// Conversations, one after another, through one switch; recorded there, and replayed.
fn held(plans: &[Plan], server: Server) -> Vec<Case> {
    let (peer, port) = match server {
        Server::Near => (WEB2, "blue/web2"),
        Server::Far => (DB1, "up0"),
    };
    let numbered = || (0..).zip(plans);
    let told: Vec<Told> = numbered()
        .map(|(n, plan)| converse(plan, [WEB1, peer], FIRST + n, START + u64::from(n) * APART))
        .collect();
    let sent = |end: usize| told.iter().flat_map(move |told| told.packets[end].iter().cloned());
    let mut all: Vec<Stamped> = sent(0).chain(sent(1)).collect();
    all.sort();
    let outside =
        |(stamp, inner): Stamped| (stamp, if server == Server::Far { through_tunnel(&inner) } else { inner });
    let back: Vec<Stamped> = sent(1).map(outside).collect();
    let inputs = [input("blue/web1", pcap(&sent(0).collect::<Vec<_>>())), input(port, pcap(&back))];
    let options = Options { flows: true, ..Options::default() };
    let replayed = replayed("hv-a", &inputs, &options);
    assert_eq!(replayed.0.report.totals.drops, 0, "the switch takes what they say");
    // The last record of each flow.
    let mut flows: BTreeMap<u16, FlowReport> = BTreeMap::new();
    for flow in replayed.0.flows {
        flows.insert(flow.from.port, flow);
    }
    let mut theirs = analyzed(&all);
    let take = |((n, plan), told): ((u16, &Plan), Told)| Case {
        plan: *plan,
        told,
        theirs: theirs.remove(&(FIRST + n)).unwrap_or_else(|| panic!("tshark has no stream {n}")),
        ours: flows.remove(&(FIRST + n)).unwrap_or_else(|| panic!("no record of conversation {n}")),
    };
    numbered().zip(told).map(take).collect()
}

/// A frame from the other host's guest, as it comes to the uplink.
fn through_tunnel(inner: &[u8]) -> Vec<u8> {
    let len = inner.len() as u16;
    let mut packet = vec![0; OUTER - 14];
    (packet[0], packet[8], packet[9]) = (0x45, 64, 17);
    packet[2..4].copy_from_slice(&(36 + len).to_be_bytes());
    packet[12..20].copy_from_slice(&[198, 51, 100, 2, 198, 51, 100, 1]);
    let sum = checksum::fold(checksum::sum(&packet[..20]));
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet[20..22].copy_from_slice(&50_000u16.to_be_bytes());
    packet[22..24].copy_from_slice(&4789u16.to_be_bytes());
    packet[24..26].copy_from_slice(&(16 + len).to_be_bytes());
    packet[28] = 0x08;
    packet[32..35].copy_from_slice(&[0, 3, 233]);
    packet.extend(inner);
    framed(Mac([2, 0, 0xc6, 0x33, 0x64, 1]), Mac([2, 0, 0xc6, 0x33, 0x64, 2]), EtherType::IPV4, &packet)
}

/// What tshark makes of `packets`, by the client's port.
fn analyzed(packets: &[Stamped]) -> BTreeMap<u16, Theirs> {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("all.pcap");
    std::fs::write(&path, pcap(packets)).unwrap();
    let fields = [
        "tcp.srcport",
        "tcp.dstport",
        "tcp.analysis.ack_rtt",
        "tcp.analysis.initial_rtt",
        "tcp.analysis.retransmission",
        "tcp.analysis.fast_retransmission",
        "tcp.analysis.spurious_retransmission",
        "tcp.analysis.out_of_order",
        "tcp.analysis.zero_window",
    ];
    let mut found: BTreeMap<u16, Theirs> = BTreeMap::new();
    let rows = decoded(&path, &fields);
    assert_eq!(rows.len(), packets.len());
    for row in rows {
        let [from, to]: [u16; 2] = [row[0].parse().unwrap(), row[1].parse().unwrap()];
        let end = usize::from(from < FIRST);
        let theirs = found.entry(from.max(to)).or_default();
        theirs.initial_rtt = theirs.initial_rtt.or(nanos(&row[3]));
        let side = &mut theirs.sides[end];
        side.rtts.extend(nanos(&row[2]));
        let is = |column: usize| u64::from(!row[column].is_empty());
        side.retransmitted += is(4);
        side.fast += is(5);
        side.spurious += is(6);
        side.out_of_order += is(7);
        side.closed += u64::from(is(8) == 1 && !side.is_closed);
        side.is_closed = is(8) == 1;
    }
    found
}

/// `1.234567890` seconds.
fn nanos(text: &str) -> Option<u64> {
    let (seconds, rest) = text.split_once('.')?;
    Some(seconds.parse::<u64>().ok()? * SECOND + format!("{rest:0<9}").parse::<u64>().ok()?)
}

fn legs(legs: [u64; 2]) -> Way {
    Way { legs, ..Way::default() }
}

/// A question, an answer, bulk both ways.
const TURNS: &[u64] = &[300, 5_000, 100, 80_000, 60_000, 20];
const BULK: &[u64] = &[200_000, 500];

#[test]
fn look() {
    let mut plans = Vec::new();
    let ms = [2 * MS, 8 * MS];
    for seed in 0..8 {
        plans.push(Plan::new(legs([50_000, 10 * MS]), TURNS, seed));
        plans.push(Plan { is_lazy: true, ..Plan::new(legs([5 * MS, 5 * MS]), TURNS, seed) });
        plans.push(Plan::new(Way { lost: [0, 20], ..legs(ms) }, BULK, seed));
        plans.push(Plan::new(Way { lost: [20, 0], ..legs(ms) }, BULK, seed));
        plans.push(Plan::new(Way { overtaken: 30, late: MS, ..legs(ms) }, BULK, seed));
        plans.push(Plan::new(Way { repeated: 30, ..legs(ms) }, BULK, seed));
        plans.push(Plan { stalls: Some((50 * MS, 4000)), ..Plan::new(legs(ms), BULK, seed) });
        plans.push(Plan { resets: true, ..Plan::new(legs(ms), BULK, seed) });
        plans.push(Plan { lost_syns: 2, ..Plan::new(legs(ms), BULK, seed) });
    }
    for server in [Server::Near, Server::Far] {
        for (n, case) in held(&plans, server).iter().enumerate() {
            let [a, b] = case.ends();
            println!(
                "{n} {} seed {} connect {:?}+{:?} / {:?} {}",
                n % 9,
                case.plan.seed,
                a.connect_ns,
                b.connect_ns,
                case.theirs.initial_rtt,
                case.ours.end,
            );
            for end in [0, 1] {
                let side = &case.theirs.sides[end];
                let of = case.ends()[end];
                println!(
                    "   least {:?} / {:?}, smoothed {:?} in {:?} of {}; again {:?} fast {} spurious {} rep {}; zero {} / {} resets {}",
                    of.rtt_least_ns,
                    side.rtts.iter().min(),
                    of.rtt_ns,
                    side.rtts.iter().max(),
                    side.rtts.len(),
                    case.again(end),
                    side.fast,
                    side.spurious,
                    case.told.repeated[end],
                    of.zero_windows,
                    side.closed,
                    of.resets
                );
            }
        }
    }
}
