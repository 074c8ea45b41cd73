//! How well TCP does, as records of flows tell it: held against the truth, and against what tshark makes of the same packets.
//!
//! tshark has two classes of segments that bring nothing new: `tcp.analysis.retransmission` (`fast_` and `spurious_` ones are
//! among them) and `tcp.analysis.out_of_order`; we have what was sent again (`retransmitted` of who sent it) and what was
//! overtaken, which is not counted. They are the same but for this:
//!
//! - tshark takes whatever comes within the first round trip of something new for out of order, though it has seen it before, unless
//!   three acknowledgements ask for it. We take for overtaken only what fills a hole. So where nothing overtakes, both of its classes
//!   together are ours; where something does, ours is at least the first of them and at most both.
//! - tshark has a round trip for each acknowledgement that ends where a segment does, whether that was sent twice or not; we
//!   time one segment at a time, and none that may have been sent twice.
//! - tshark's `initial_rtt` is from the last SYN on, our time to connect from the first.
//! - tshark's `zero_window` is a segment; ours is a window that closes: the first of such segments in a row.

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

/// Seeds of each kind of conversation.
const SEEDS: std::ops::Range<u64> = 0..25;

/// A wire of constant delay.
#[test]
fn times_are_those_that_tshark_sees() {
    let mut plans = Vec::new();
    for way in [[50_000, 10 * MS], [5 * MS, 5 * MS], [8 * MS, 2 * MS], [20_000, 80_000]].map(legs) {
        for flight in [1, 4, 10] {
            let plan = Plan { flight, ..Plan::new(way, TURNS, plans.len() as u64) };
            let stalls = Some((50 * MS, 4000));
            plans.extend([plan, Plan { is_lazy: true, ..plan }, Plan { stalls, ..plan }]);
            plans.push(Plan { resets: true, ..plan });
        }
    }
    for server in [Server::Near, Server::Far] {
        for case in held(&plans, server) {
            connects_as_tshark_sees(&case);
            for end in [0, 1] {
                round_trips_as_tshark_sees(&case, end);
                assert_eq!(case.again(end), [0; 4], "{:?}", case.plan);
                let (ours, theirs) = (case.ends()[end], &case.theirs.sides[end]);
                assert_eq!(ours.zero_windows, theirs.closed, "{:?}", case.plan);
            }
            let resets = [u64::from(case.plan.resets), 0];
            assert_eq!(case.ends().map(|end| end.resets), resets);
            assert_eq!(case.ours.end, if case.plan.resets { "reset" } else { "closed" });
            if case.plan.stalls.is_some() && case.plan.flight >= 4 {
                assert!(case.ours.from.zero_windows > 0, "{:?}", case.plan);
            }
        }
    }
}

/// Both parts together are tshark's first round trip, to a microsecond; each is twice its leg.
fn connects_as_tshark_sees(case: &Case) {
    let parts = case.ends().map(|end| end.connect_ns.unwrap());
    let theirs = case.theirs.initial_rtt.unwrap();
    assert!(parts.iter().sum::<u64>().abs_diff(theirs) <= 1000, "{parts:?}, {theirs}");
    for (part, leg) in parts.iter().zip(case.plan.way.legs) {
        assert!(part.abs_diff(2 * leg) <= GRAIN, "{part}, {:?}", case.plan);
    }
}

fn round_trips_as_tshark_sees(case: &Case, end: usize) {
    let (ours, theirs) = (case.ends()[end], &case.theirs.sides[end].rtts);
    let (least, smoothed) = (ours.rtt_least_ns.unwrap(), ours.rtt_ns.unwrap());
    let (shortest, longest) = (*theirs.iter().min().unwrap(), *theirs.iter().max().unwrap());
    let what = format!("{least} and {smoothed}, {shortest} to {longest}, {:?}", case.plan);
    assert!(least + GRAIN >= shortest, "{what}");
    // The handshake, at least, nobody delays.
    assert!(least.abs_diff(shortest) <= (shortest / 20).max(5000), "{what}");
    if case.plan.is_lazy {
        // tshark times what is acknowledged to the byte, here the second of two; we the first.
        let most = 2 * case.plan.way.legs[end] + 40 * MS;
        return assert!((least..=most + GRAIN).contains(&smoothed), "{what}");
    }
    assert!((shortest - GRAIN.min(shortest)..=longest + GRAIN).contains(&smoothed), "{what}");
    // RFC 6298, section 2, of all that tshark has.
    let average = |before: u64, sample: &u64| if before == 0 { *sample } else { (before * 7 + sample) / 8 };
    let average = theirs.iter().fold(0, average);
    assert!(smoothed.abs_diff(average) <= average / 20, "{what}: {average}");
}

/// What a way does, so that nothing but one thing can be the reason for what brings nothing new.
fn impaired(way: Way, flight: u64) -> Vec<Case> {
    let way = Way { legs: [2 * MS, 8 * MS], ..way };
    let plans: Vec<Plan> = SEEDS.map(|seed| Plan { flight, ..Plan::new(way, BULK, seed) }).collect();
    let server = if flight > 6 { Server::Far } else { Server::Near };
    let cases = held(&plans, server);
    for case in &cases {
        connects_as_tshark_sees(case);
        for end in [0, 1] {
            // Whatever else is wrong: no round trip is shorter than the way is. Those of tshark may be, where the latecomer of two
            // is acknowledged together with the other.
            let least = case.ends()[end].rtt_least_ns.unwrap();
            assert!(least.abs_diff(2 * way.legs[end]) <= GRAIN, "{least}: {:?}", case.plan);
            assert!(least + GRAIN >= *case.theirs.sides[end].rtts.iter().min().unwrap());
        }
    }
    let found: u64 = cases.iter().map(|case| case.again(0)[2..].iter().sum::<u64>()).sum();
    assert!(found > 50, "{found} are not enough to tell anything by");
    cases
}

/// Lost behind the switch: it sees each segment again that is sent again. tshark takes some of those that follow the first one
/// of a window for out of order: they come soon after something new, which is all that it asks.
#[test]
fn what_was_lost_behind_the_switch_is_counted_as_tshark_does() {
    for flight in [4, 10] {
        for case in impaired(Way { lost: [0, 20], ..Way::default() }, flight) {
            for end in [0, 1] {
                let [truth, ours, again, out_of_order] = case.again(end);
                assert_eq!((ours, again + out_of_order), (truth, truth), "{:?}", case.plan);
            }
        }
    }
}

/// Lost before it: what is sent again fills a hole.
#[test]
fn what_was_lost_before_the_switch_is_counted_as_tshark_does() {
    for flight in [4, 10] {
        for case in impaired(Way { lost: [20, 0], ..Way::default() }, flight) {
            for end in [0, 1] {
                let [truth, ours, again, out_of_order] = case.again(end);
                assert_eq!((ours, again + out_of_order), (truth, truth), "{:?}", case.plan);
            }
        }
    }
}

/// Overtaken: nothing is lost, and only what senders take for lost is sent again. What was overtaken is out of order to
/// tshark, and so is some of what is sent again. We know of one hole at a time and not where it ends: what is sent again behind
/// another's start may be missed.
#[test]
fn what_was_overtaken_is_not_counted() {
    let (mut all, mut missed) = (0, 0);
    for flight in [4, 10] {
        for case in impaired(Way { overtaken: 30, late: MS, ..Way::default() }, flight) {
            for end in [0, 1] {
                let [truth, ours, again, out_of_order] = case.again(end);
                assert!((again..=again + out_of_order).contains(&ours), "{:?}", case.plan);
                assert!(ours <= truth, "{ours}, not {truth}: {:?}", case.plan);
                (all, missed) = (all + truth, missed + truth - ours);
            }
        }
    }
    assert!(all > 100 && missed * 20 <= all, "{missed} of {all} were missed");
}

/// What the network repeats nobody can tell from what is sent again at once: it is counted. To tshark it is out of order, or a
/// retransmission if it is the last that was sent.
#[test]
fn what_comes_twice_is_counted() {
    for flight in [4, 10] {
        for case in impaired(Way { repeated: 30, ..Way::default() }, flight) {
            for end in [0, 1] {
                let [truth, ours, again, out_of_order] = case.again(end);
                let twice = truth + case.told.repeated[end];
                assert_eq!((ours, again + out_of_order), (twice, twice), "{:?}", case.plan);
            }
        }
    }
}

/// tshark counts from the last SYN, we from the first: that is how long the client waits. Of a SYN that was sent twice nobody
/// knows which was answered (P. Karn): it is no round trip to us, and to tshark one from the first.
#[test]
fn a_connection_takes_from_its_first_syn_on() {
    let way = legs([2 * MS, 8 * MS]);
    let plans: Vec<Plan> = (1..4).map(|lost_syns| Plan { lost_syns, ..Plan::new(way, TURNS, 1) }).collect();
    for case in held(&plans, Server::Near) {
        let lost = u64::from(case.plan.lost_syns);
        let waited = ((1 << lost) - 1) * SECOND;
        let [there, back] = [1, 0].map(|end| case.ends()[end].connect_ns.unwrap());
        assert!((there + back).abs_diff(case.theirs.initial_rtt.unwrap() + waited) <= 1000);
        assert!(there.abs_diff(waited + 16 * MS) <= GRAIN && back.abs_diff(4 * MS) <= GRAIN);
        assert_eq!(case.again(0), [lost, lost, lost, 0]);
        assert!(case.theirs.sides[1].rtts[0] > waited);
        assert!(case.ends()[1].rtt_ns.unwrap().abs_diff(16 * MS) <= GRAIN);
    }
}
