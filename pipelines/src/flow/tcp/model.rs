//! Two ends that talk over a network that loses, repeats and delays: nothing that they say may be dropped.
//!
//! The ends count bytes in 64 bits, from their SYN at 0, so what is true of a segment is known without any
//! arithmetic on a circle. They open windows at a whim, repeat any part of what was not acknowledged, probe
//! and keep alive.

use proptest::prelude::*;

use super::*;
use crate::flow::Side::{Initiator, Responder};
use crate::wire::tcp::flag::PSH;

/// Windows below this count as this.
const LEAST: u64 = 1 << 16;

#[derive(Clone, Copy, Debug)]
struct Setup {
    seed: u64,
    steps: u32,
    isn: [u32; 2],
    scale: [Option<u8>; 2],
    /// Bytes that each sends.
    data: [u64; 2],
    /// Both send a SYN before they hear of the other.
    at_once: bool,
    /// Bytes in the initiator's SYN.
    early: u64,
    /// Of 100 packets, how many are lost, and how many stay where they are while others pass.
    lost: u64,
    delayed: u64,
    /// How many packets go by before the switch sees any.
    unseen: u32,
    /// One end may give up.
    resets: bool,
    /// Somebody sends packets without seeing any.
    attacked: bool,
}

fn setup() -> impl Strategy<Value = Setup> {
    let isn = || prop_oneof![any::<u32>(), (0..100_000u32).prop_map(|n| n.wrapping_neg())];
    let scale = || prop_oneof![Just(None), (0..=14u8).prop_map(Some), Just(Some(7)), Just(Some(14))];
    let data = || prop_oneof![0..5000u64, 0..1_000_000u64, 0..1u64 << 33];
    let network = (0..40u64, 0..60u64);
    let rare = |odds: u32| prop::bool::weighted(1.0 / f64::from(odds));
    let unseen = prop_oneof![3 => Just(0), 1 => 1..60u32];
    let first = (any::<u64>(), 0..600u32, [isn(), isn()], [scale(), scale()], [data(), data()]);
    let second = (rare(5), prop_oneof![3 => Just(0), 1 => 1..1460u64], network, unseen, rare(4), rare(4));
    (first, second).prop_map(|((seed, steps, isn, scale, data), second)| {
        let (at_once, early, (lost, delayed), unseen, resets, attacked) = second;
        let early = early.min(data[0]);
        // What is picked up may have been two windows behind, so these must be small beside 2^30.
        let scale = if unseen > 0 { scale.map(|scale| scale.map(|scale: u8| scale.min(12))) } else { scale };
        Setup { seed, steps, isn, scale, data, at_once, early, lost, delayed, unseen, resets, attacked }
    })
}

/// SplitMix64.
pub(super) struct Whim(pub(super) u64);

impl Whim {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ word >> 31
    }

    /// A number below `bound`, or 0.
    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// A number up to `most`: often small, often all of it.
    fn up_to(&mut self, most: u64) -> u64 {
        match self.below(4) {
            0 => most,
            1 => self.below(3).min(most),
            2 => self.below(1461).min(most),
            _ => self.below(most + 1),
        }
    }
}

/// A segment, and what its numbers stand for.
#[derive(Clone, Copy, Debug)]
struct Packet {
    segment: Segment,
    end: u64,
    ack: u64,
    window: u64,
}

#[derive(Debug)]
struct End {
    isn: u32,
    data: u64,
    scale: Option<u8>,
    /// Behind the highest sent; the lowest that is not acknowledged; behind the highest that is allowed.
    next: u64,
    una: u64,
    edge: u64,
    /// What the other began with; what is expected next of it; what came ahead of that.
    peer: Option<(u32, Option<u8>)>,
    expected: u64,
    ahead: Vec<(u64, u64)>,
    /// Behind the highest that the other was allowed.
    allowed: u64,
    reset: bool,
}

impl End {
    fn new(isn: u32, data: u64, scale: Option<u8>) -> Self {
        Self {
            isn,
            data,
            scale,
            next: 0,
            una: 0,
            edge: 0,
            peer: None,
            expected: 0,
            ahead: vec![],
            allowed: 0,
            reset: false,
        }
    }

    /// Behind all that it will ever send.
    fn last(&self) -> u64 {
        1 + self.data + 1
    }

    fn is_established(&self) -> bool {
        self.peer.is_some() && self.una > 0
    }

    /// A packet of bytes `from..to`; with a FIN if that is the last of them.
    fn packet(&mut self, flags: u8, from: u64, to: u64, whim: &mut Whim) -> Packet {
        let has = |flag: bool, value| if flag { value } else { 0 };
        let (syn, fin) = (from == 0 && to > 0, from < to && to == self.last());
        let flags = flags | has(syn, SYN) | has(fin, FIN);
        let len = (to - from - u64::from(syn) - u64::from(fin)) as u32;
        let seq = self.isn.wrapping_add(from as u32);
        let shift = match self.peer {
            Some((_, Some(_))) if !syn => self.scale.unwrap_or(0),
            _ => 0,
        };
        let window = [0, 0xffff, whim.below(10), whim.below(0x1_0000)][whim.below(4) as usize] as u16;
        let bytes = u64::from(window) << shift;
        let (ack, flags) = match self.peer {
            Some((isn, _)) => {
                self.allowed = self.allowed.max(self.expected + bytes.max(1));
                (isn.wrapping_add(self.expected as u32), flags | ACK)
            }
            None => (0, flags),
        };
        let offers = match self.peer {
            _ if !syn => None,
            Some((_, None)) => None,
            _ => self.scale,
        };
        let segment = Segment { flags, seq, ack, window, len, scale: offers, ..Segment::default() };
        self.next = self.next.max(to);
        Packet { segment, end: to, ack: self.expected, window: bytes }
    }

    /// What it says, if it has anything to say.
    fn speak(&mut self, whim: &mut Whim) -> Option<Packet> {
        if self.reset || self.next == 0 {
            return None;
        }
        if self.una == 0 {
            // Its SYN again, perhaps without the data.
            let to = if whim.percent(50) { self.next } else { 1 };
            return Some(self.packet(0, 0, to, whim));
        }
        let (una, next, last) = (self.una, self.next, self.last());
        // The FIN goes along with the last byte that is allowed.
        let room = if self.edge + 1 >= last { last } else { self.edge };
        Some(match whim.below(7) {
            0 | 1 if room > next => {
                let to = next + 1 + whim.up_to(room - next - 1);
                self.packet(PSH, next, to, whim)
            }
            // A closed window is probed with a byte.
            0 | 1 if una == next && room == next && next < last => {
                let to = if next + 2 == last { last } else { next + 1 };
                self.packet(0, next, to, whim)
            }
            2 | 3 if next > una => {
                let from = una + whim.up_to(next - una - 1);
                let to = from + 1 + whim.up_to(next - from - 1);
                self.packet(0, from, to, whim)
            }
            4 if una == next && una > 1 && next < last => {
                let to = una - whim.below(2);
                self.packet(0, una - 1, to, whim)
            }
            _ => self.packet(0, next, next, whim),
        })
    }

    /// Gives up.
    fn reset(&mut self) -> Packet {
        self.reset = true;
        self.reset_at(self.next)
    }

    fn reset_at(&self, number: u64) -> Packet {
        let seq = self.isn.wrapping_add(number as u32);
        let segment = Segment { flags: RST, seq, ..Segment::default() };
        Packet { segment, end: number, ack: self.expected, window: 0 }
    }

    /// Hears a packet; what it says to that at once.
    fn hear(&mut self, packet: &Packet, whim: &mut Whim) -> Option<Packet> {
        let segment = &packet.segment;
        if self.reset {
            // There is no connection: it says so, with the number that the other expects.
            let answers = !segment.has(RST) && segment.has(ACK);
            return answers.then(|| self.reset_at(packet.ack));
        }
        if segment.has(RST) {
            if packet.end == self.expected {
                self.reset = true;
                return None;
            }
            return (packet.end > self.expected && packet.end < self.allowed)
                .then(|| self.packet(0, self.next, self.next, whim));
        }
        let mut from = packet.end - u64::from(segment.len) - u64::from(segment.has(FIN));
        if segment.has(SYN) {
            if self.is_established() {
                return Some(self.packet(0, self.next, self.next, whim));
            }
            from -= 1;
            if self.peer.is_none() {
                self.peer = Some((segment.seq, segment.scale));
                self.next = self.next.max(1);
            }
        } else if self.peer.is_none() {
            return None;
        }
        // What is behind counts for nothing (RFC 9293, section 3.10.7.4).
        let counts = packet.end >= self.expected;
        if segment.has(ACK) && packet.ack <= self.next && counts {
            let shift = match self.peer {
                Some((_, Some(scale))) if self.scale.is_some() && !segment.has(SYN) => scale,
                _ => 0,
            };
            self.una = self.una.max(packet.ack);
            self.edge = self.edge.max(packet.ack + (u64::from(segment.window) << shift));
        }
        // Data of a SYN are taken or not.
        let to = if segment.has(SYN) && whim.percent(50) { 1 } else { packet.end };
        if to > from {
            self.ahead.push((from, to));
        }
        while let Some(n) = self.ahead.iter().position(|(from, _)| *from <= self.expected) {
            self.expected = self.expected.max(self.ahead.swap_remove(n).1);
        }
        // Data are acknowledged, mostly, and so is what is behind (RFC 9293, section 3.8.4).
        let asks = to > from || from < self.expected;
        let from = if self.una == 0 { 0 } else { self.next };
        whim.percent(if asks { 70 } else { 5 }).then(|| self.packet(0, from, self.next, whim))
    }

    /// Has nothing more to send than what it has begun with.
    fn stop(&mut self) {
        if self.next < self.last() {
            self.data = self.data.min(self.next.saturating_sub(1));
        }
    }

    fn is_done(&self) -> bool {
        self.una == self.last()
    }
}

/// The network: two ends, and the switch between them.
struct Network {
    setup: Setup,
    whim: Whim,
    ends: [End; 2],
    /// On the way to the switch, and behind it.
    before: [Vec<Packet>; 2],
    behind: [Vec<Packet>; 2],
    tracked: Option<(Windows, State)>,
    /// Which end the switch calls the initiator.
    initiator: usize,
    passed: u32,
    /// The highest ends and acknowledgements and the largest windows that went past the switch.
    highest: [(u64, u64, u64); 2],
    /// A FIN passed without effect.
    missed: bool,
}

impl Network {
    fn new(setup: Setup) -> Self {
        let end = |n: usize| End::new(setup.isn[n], setup.data[n], setup.scale[n]);
        Self {
            setup,
            whim: Whim(setup.seed),
            ends: [end(0), end(1)],
            before: Default::default(),
            behind: Default::default(),
            tracked: None,
            initiator: 0,
            passed: 0,
            highest: Default::default(),
            missed: false,
        }
    }

    fn run(&mut self) {
        let setup = self.setup;
        let first = self.ends[0].packet(0, 0, 1 + setup.early, &mut self.whim);
        self.send(0, first);
        if setup.at_once {
            let first = self.ends[1].packet(0, 0, 1, &mut self.whim);
            self.send(1, first);
        }
        for _ in 0..setup.steps {
            self.happen();
        }
        // In the end the network is good, and all is told.
        self.setup = Setup { lost: 0, delayed: 0, resets: false, attacked: false, ..setup };
        for end in &mut self.ends {
            end.stop();
        }
        for _ in 0..100_000 {
            if self.ends.iter().all(|end| end.is_done() || end.reset) {
                break;
            }
            self.happen();
        }
        for n in [0, 1, 0, 1] {
            // The last acknowledgements.
            if !self.ends[n].reset {
                let end = &mut self.ends[n];
                let packet = end.packet(0, end.next, end.next, &mut self.whim);
                self.send(n, packet);
            }
            for n in [0, 1].repeat(200) {
                self.forward(n);
                self.deliver(n);
            }
        }
    }

    /// One thing happens.
    fn happen(&mut self) {
        let n = self.whim.below(2) as usize;
        match self.whim.below(100) {
            0..25 => {
                if let Some(said) = self.ends[n].speak(&mut self.whim) {
                    self.send(n, said);
                }
            }
            25..60 => self.forward(n),
            60..95 => self.deliver(n),
            95 if self.setup.resets && self.ends[n].is_established() && !self.ends[n].reset => {
                let reset = self.ends[n].reset();
                self.send(n, reset);
            }
            96.. if self.setup.attacked => self.attack(),
            _ => {}
        }
    }

    /// End `n` sends a packet; if too many are on the way, it is lost.
    fn send(&mut self, n: usize, packet: Packet) {
        if self.before[n].len() + self.behind[n].len() < 40 {
            self.before[n].push(packet);
        }
    }

    /// A packet off a heap on the way: mostly the oldest.
    fn pick(&mut self, heap: fn(&mut Self) -> &mut [Vec<Packet>; 2], n: usize) -> Option<Packet> {
        let len = heap(self)[n].len();
        if len == 0 {
            return None;
        }
        let (lost, delayed) = (self.setup.lost, self.setup.delayed);
        let at = if self.whim.percent(delayed) { self.whim.below(len as u64) as usize } else { 0 };
        let repeated = self.whim.percent(lost / 4);
        let packet = if repeated { heap(self)[n][at] } else { heap(self)[n].remove(at) };
        (!self.whim.percent(lost)).then_some(packet)
    }

    fn deliver(&mut self, n: usize) {
        if let Some(packet) = self.pick(|network| &mut network.behind, n)
            && let Some(answer) = self.ends[1 - n].hear(&packet, &mut self.whim)
        {
            self.send(1 - n, answer);
        }
    }

    fn side(&self, n: usize) -> Side {
        if n == self.initiator { Initiator } else { Responder }
    }

    /// A packet of end `n` goes past the switch.
    fn forward(&mut self, n: usize) {
        let Some(packet) = self.pick(|network| &mut network.before, n) else { return };
        let lags = self.lags(n, &packet);
        // What is under way for longer than that, the network forgets.
        if lags > 2 {
            return;
        }
        self.highest[n].0 = self.highest[n].0.max(packet.end);
        self.highest[n].1 = self.highest[n].1.max(packet.ack);
        self.highest[n].2 = self.highest[n].2.max(packet.window);
        self.passed += 1;
        self.behind[n].push(packet);
        let segment = &packet.segment;
        let Some((windows, state)) = &mut self.tracked else {
            // A connection that is picked up begins with something else than a late SYN or an RST.
            if self.setup.unseen == 0 || self.passed > self.setup.unseen && !segment.has(SYN | RST) {
                self.initiator = n;
                self.tracked = Some(open(segment, true).expect("a packet that opens"));
            }
            return;
        };
        let (before, was) = (*windows, *state);
        let side = if n == self.initiator { Initiator } else { Responder };
        let step = windows.step(*state, side, segment);
        *state = step.state;
        match step.verdict {
            Verdict::InWindow => {}
            Verdict::Inert => {
                self.missed |= segment.has(FIN);
                assert_eq!(step.state, was);
                let excused = lags > 1 || segment.has(SYN | RST) || was == State::TcpClosed;
                assert!(excused, "{packet:?} of {side:?} is {step:?} in {before:#?}\n{:#?}", self.setup);
            }
            // Not reused here: a late SYN finds the connection closed.
            Verdict::Reopen if segment.has(SYN) => {}
            _ => panic!("{packet:?} of {side:?} is {step:?} in {was:?} {before:#?}\n{:#?}", self.setup),
        }
    }

    /// By how many of the largest windows a packet of end `n` is behind the highest, rounded up.
    fn lags(&self, n: usize, packet: &Packet) -> u64 {
        let windows = |behind: u64, largest: u64| behind.div_ceil(largest.max(LEAST));
        let of_end = self.highest[n].0.saturating_sub(packet.end);
        let of_ack = if packet.segment.has(ACK) { self.highest[n].1.saturating_sub(packet.ack) } else { 0 };
        windows(of_end, self.highest[1 - n].2).max(windows(of_ack, self.highest[n].2))
    }

    /// Somebody sends what is not of the connection, in the name of one end.
    fn attack(&mut self) {
        let side = self.side((self.setup.seed % 2) as usize);
        let Some((windows, state)) = &mut self.tracked else { return };
        let flags = [ACK, FIN | ACK, RST, SYN, SYN | ACK, RST | ACK][self.whim.below(6) as usize];
        // Large windows he would meet.
        if self.setup.scale.iter().flatten().any(|scale| *scale > 0)
            || self.setup.unseen > 0
            || self.setup.at_once
            || *state == State::TcpSynSent
        {
            return;
        }
        let (seq, ack) = (self.whim.next() as u32, self.whim.next() as u32);
        let segment = Segment { flags, seq, ack, window: u16::MAX, len: 10, ..Segment::default() };
        let before = *windows;
        let step = windows.step(*state, side, &segment);
        assert_eq!(step.state, *state);
        assert!(step.verdict != Verdict::OutOfWindow || *windows == before);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn nothing_that_two_ends_say_is_dropped(setup in setup()) {
        let mut network = Network::new(setup);
        network.run();
        let Some((windows, state)) = network.tracked else { return Ok(()) };
        // Of what was picked up, a FIN may have gone by before.
        if setup.unseen > 0 || network.missed || network.ends.iter().any(|end| end.reset) {
            return Ok(());
        }
        prop_assert_eq!(state, State::TcpTimeWait, "{:#?} {:#?} {:#?}", windows, network.ends, setup);
    }
}
