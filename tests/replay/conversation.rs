//! TCP conversations as a switch between the two ends sees them: a model of both ends and of the way between them, in virtual
//! time. Its ends acknowledge, time out, send again fast (RFC 5681, RFC 6582, without SACK) and close; its way is slow,
//! loses, delays and repeats. So it is known what the truth is.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use weft_pipelines::wire::checksum;
use weft_pipelines::wire::ethernet::EtherType;

use crate::lab::{Guest, Stamped, framed};

pub const MS: u64 = 1_000_000;
/// Bytes of a full segment.
pub const FULL: u64 = 1000;
/// The server's port.
pub const SERVICE: u16 = 5000;
const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const PSH: u8 = 8;
const ACK: u8 = 16;
/// The least time after which an end sends again.
const TIMEOUT: u64 = 200 * MS;
/// The longest that an end withholds an acknowledgement.
const DELAYED: u64 = 40 * MS;

/// What the way does to segments with data or without, once the ends are connected.
#[derive(Clone, Copy, Debug, Default)]
pub struct Way {
    /// From each end to the switch, and from there to it, in nanoseconds.
    pub legs: [u64; 2],
    /// Of 1,000 segments, how many are lost before they come to the switch, and behind it.
    pub lost: [u64; 2],
    /// Of 1,000, how many take [`late`](Self::late) longer to the switch, so that others overtake them.
    pub overtaken: u64,
    /// How much longer.
    pub late: u64,
    /// Of 1,000, how many come to the switch twice, the second after a fifth of a millisecond.
    pub repeated: u64,
}

/// What the ends do.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub way: Way,
    /// Bytes that the client sends, then the server, and so on in turns.
    pub turns: &'static [u64],
    /// Segments that an end has under way.
    pub flight: u64,
    /// Whether every second segment is acknowledged, others late.
    pub is_lazy: bool,
    /// For how long whoever receives a turn does not read, and bytes that it has room for.
    pub stalls: Option<(u64, u64)>,
    /// Whether the client resets in place of closing.
    pub resets: bool,
    /// SYNs that are lost behind the switch.
    pub lost_syns: u32,
    pub seed: u64,
}

impl Plan {
    pub fn new(way: Way, turns: &'static [u64], seed: u64) -> Self {
        let (flight, is_lazy, stalls, resets, lost_syns) = (8, false, None, false, 0);
        Self { way, turns, flight, is_lazy, stalls, resets, lost_syns, seed }
    }
}

/// What was under way, and what is true of it. By end, the client first.
#[derive(Debug, Default)]
pub struct Told {
    /// What came to the switch from each end.
    pub packets: [Vec<Stamped>; 2],
    /// Segments with numbers that came to the switch and that their end had sent before. Without those beyond all that had come
    /// until then: whoever sees only what comes to the switch sees them for the first time.
    pub again: [u64; 2],
    /// Segments with numbers that came to the switch twice, though they were sent once.
    pub repeated: [u64; 2],
}

/// Lets two ends talk from `start` on.
pub fn converse(plan: &Plan, ends: [Guest; 2], port: u16, start: u64) -> Told {
    let mut talk = Talk {
        plan,
        sockets: [(ends[0], port), (ends[1], SERVICE)],
        ends: [End::new(plan, 0), End::new(plan, 1)],
        events: BinaryHeap::new(),
        serial: 0,
        now: start,
        latest: 0,
        highest: [0; 2],
        chance: plan.seed,
        lost_syns: plan.lost_syns,
        told: Told::default(),
    };
    talk.say(0);
    while let Some(Reverse((at, _, event))) = talk.events.pop() {
        talk.now = at;
        talk.happen(event);
        assert!(at - start < 60_000 * MS, "the conversation ends");
    }
    talk.told
}

/// A segment; numbers count from the sender's first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Segment {
    flags: u8,
    seq: u64,
    len: u64,
    ack: u64,
    window: u64,
    is_again: bool,
    is_repeated: bool,
}

impl Segment {
    fn end(&self) -> u64 {
        self.seq + self.len + u64::from(self.flags & (SYN | FIN) != 0)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// At the switch, from this end.
    Passes(usize, Segment),
    /// At the other end than this one.
    Arrives(usize, Segment),
    /// This end's time is over, if it is still this timer.
    Timeout(usize, u64),
    /// This end has withheld an acknowledgement for long enough.
    Withheld(usize, u64),
    /// This end reads on.
    Reads(usize),
}

/// One end. Its SYN is number 0.
#[derive(Debug)]
struct End {
    /// Behind what may be sent so far: SYN, turns, FIN.
    limit: u64,
    closes: bool,
    una: u64,
    next: u64,
    /// Of the other.
    window: u64,
    duplicates: u32,
    /// What was under way when something was found lost.
    recover: u64,
    timer: u64,
    backoff: u32,
    /// What is expected next.
    expected: u64,
    /// What came ahead of that: from where to where.
    ahead: BTreeMap<u64, u64>,
    withheld: u32,
    withholds: u64,
    unread: u64,
    is_stalled: bool,
    /// Behind the data of the other, when it has closed.
    over: Option<u64>,
    /// Reset.
    is_gone: bool,
}

impl End {
    fn new(plan: &Plan, end: usize) -> Self {
        Self {
            limit: if end == 0 { 1 } else { 0 },
            closes: false,
            una: 0,
            next: 0,
            window: 60_000,
            duplicates: 0,
            recover: 0,
            timer: 0,
            backoff: 0,
            expected: 0,
            ahead: BTreeMap::new(),
            withheld: 0,
            withholds: 0,
            unread: 0,
            is_stalled: plan.stalls.is_some(),
            over: None,
            is_gone: false,
        }
    }

    /// The window that it offers.
    fn room(&self, plan: &Plan) -> u64 {
        plan.stalls.map_or(60_000, |(_, room)| room - self.unread)
    }
}

struct Talk<'a> {
    plan: &'a Plan,
    sockets: [(Guest, u16); 2],
    ends: [End; 2],
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    serial: u64,
    now: u64,
    /// The last stamp at the switch: no two are equal.
    latest: u64,
    /// Behind the highest number of each end that has come to the switch.
    highest: [u64; 2],
    chance: u64,
    lost_syns: u32,
    told: Told,
}

impl Talk<'_> {
    fn after(&mut self, nanos: u64, event: Event) {
        self.serial += 1;
        self.events.push(Reverse((self.now + nanos, self.serial, event)));
    }

    /// Whether something happens that does so `of_1000` times. By `SplitMix64`.
    fn happens(&mut self, of_1000: u64) -> bool {
        self.chance = self.chance.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.chance;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (word ^ (word >> 31)) % 1000 < of_1000
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Passes(from, segment) => self.pass(from, segment),
            Event::Arrives(from, segment) => self.arrive(1 - from, &segment),
            Event::Timeout(end, timer) => {
                let of = &mut self.ends[end];
                if of.timer == timer && of.una < of.next && !of.is_gone {
                    (of.backoff, of.recover, of.duplicates) = (of.backoff + 1, of.next, 0);
                    self.send_again(end);
                }
            }
            Event::Withheld(end, which) => {
                if self.ends[end].withheld > 0 && self.ends[end].withholds == which {
                    self.acknowledge(end);
                }
            }
            Event::Reads(end) => {
                (self.ends[end].unread, self.ends[end].is_stalled) = (0, false);
                self.acknowledge(end);
            }
        }
    }

    /// A segment comes to the switch and goes on.
    fn pass(&mut self, from: usize, segment: Segment) {
        // No two in one moment: which of them comes first would be up to whoever reads the recording.
        self.latest = self.now.max(self.latest + 1);
        self.told.packets[from].push((self.latest, self.frame(from, &segment)));
        if segment.end() != segment.seq {
            let is_new = segment.end() > self.highest[from];
            self.told.again[from] += u64::from(segment.is_again && !segment.is_repeated && !is_new);
            self.highest[from] = self.highest[from].max(segment.end());
            self.told.repeated[from] += u64::from(segment.is_repeated);
        }
        let is_syn = segment.flags & (SYN | ACK) == SYN;
        if is_syn && self.lost_syns > 0 {
            self.lost_syns -= 1;
        } else if segment.flags & (SYN | RST) != 0 || !self.happens(self.plan.way.lost[1]) {
            self.after(self.plan.way.legs[1 - from], Event::Arrives(from, segment));
        }
    }

    /// An end sends a segment.
    fn send(&mut self, end: usize, flags: u8, seq: u64, len: u64, is_again: bool) {
        let of = &mut self.ends[end];
        if of.is_gone {
            return;
        }
        of.withheld = 0;
        let (ack, window) = (of.expected, of.room(self.plan));
        let segment = Segment { flags, seq, len, ack, window, is_again, is_repeated: false };
        let Way { legs, lost, overtaken, late, repeated } = self.plan.way;
        if flags & (SYN | RST) != 0 {
            return self.after(legs[end], Event::Passes(end, segment));
        }
        if self.happens(lost[0]) {
            return;
        }
        let delay = if self.happens(overtaken) { legs[end] + late } else { legs[end] };
        self.after(delay, Event::Passes(end, segment));
        if self.happens(repeated) {
            let segment = Segment { is_repeated: true, ..segment };
            self.after(delay + MS / 5, Event::Passes(end, segment));
        }
    }

    fn acknowledge(&mut self, end: usize) {
        self.send(end, ACK, self.ends[end].next, 0, false);
    }

    /// What there is to send from `seq` on: flags and length.
    fn piece(&self, end: usize, seq: u64) -> (u8, u64) {
        let of = &self.ends[end];
        let data = of.limit - u64::from(of.closes);
        match seq {
            0 if end == 0 => (SYN, 0),
            0 => (SYN | ACK, 0),
            _ if seq < data => (ACK | PSH, FULL.min(data - seq)),
            _ => (ACK | FIN, 0),
        }
    }

    /// Sends what may be sent.
    fn say(&mut self, end: usize) {
        loop {
            let of = &self.ends[end];
            if of.next >= of.limit {
                return;
            }
            let (flags, len) = self.piece(end, of.next);
            let under_way = of.next - of.una;
            let takes = len.max(1);
            if under_way > 0 && under_way + takes > self.plan.flight * FULL || under_way + len > of.window {
                return;
            }
            let (seq, is_first) = (of.next, under_way == 0);
            self.ends[end].next += takes;
            self.send(end, flags, seq, len, false);
            if is_first {
                self.set_timer(end);
            }
        }
    }

    fn send_again(&mut self, end: usize) {
        let una = self.ends[end].una;
        let (flags, len) = self.piece(end, una);
        self.send(end, flags, una, len, true);
        self.set_timer(end);
    }

    fn set_timer(&mut self, end: usize) {
        self.ends[end].timer += 1;
        let of = &self.ends[end];
        let legs: u64 = self.plan.way.legs.iter().sum();
        let (timer, first) = (of.timer, if of.una == 0 { 1000 * MS } else { TIMEOUT.max(4 * legs) });
        self.after(first << of.backoff, Event::Timeout(end, timer));
    }

    fn arrive(&mut self, end: usize, segment: &Segment) {
        self.ends[end].is_gone |= segment.flags & RST != 0;
        if self.ends[end].is_gone {
            return;
        }
        if segment.flags & ACK != 0 {
            self.take_ack(end, segment);
        }
        if segment.end() != segment.seq {
            self.take_data(end, segment);
        }
    }

    fn take_ack(&mut self, end: usize, segment: &Segment) {
        let of = &mut self.ends[end];
        let is_same_window = of.window == segment.window;
        of.window = segment.window;
        if segment.ack > of.una {
            of.una = segment.ack;
            (of.duplicates, of.backoff) = (0, 0);
            let (is_partial, waits) = (of.una < of.recover, of.una < of.next);
            if is_partial {
                self.send_again(end);
            } else if waits {
                self.set_timer(end);
            }
        } else if segment.ack == of.una && segment.len == 0 && is_same_window && of.una < of.next {
            of.duplicates += 1;
            if of.duplicates == 3 && of.una >= of.recover {
                of.recover = of.next;
                self.send_again(end);
            }
        }
        self.say(end);
    }

    fn take_data(&mut self, end: usize, segment: &Segment) {
        if end == 1 && segment.flags & SYN != 0 && self.ends[1].limit == 0 {
            (self.ends[1].limit, self.ends[1].expected) = (1, 1);
            return self.say(1);
        }
        if end == 0 && segment.flags & SYN != 0 {
            // By itself, before any data.
            self.ends[0].expected = self.ends[0].expected.max(1);
            self.acknowledge(0);
            self.take_turn(0);
            return;
        }
        let of = &mut self.ends[end];
        let before = of.expected;
        if segment.end() > of.expected {
            let to = of.ahead.entry(segment.seq).or_default();
            *to = segment.end().max(*to);
        }
        if segment.flags & FIN != 0 {
            of.over = Some(segment.end());
        }
        while let Some((&from, &to)) = of.ahead.first_key_value()
            && from <= of.expected
        {
            of.ahead.remove(&from);
            of.expected = of.expected.max(to);
        }
        let is_in_order = of.expected == segment.end() && before == segment.seq && of.ahead.is_empty();
        if of.is_stalled && segment.len > 0 {
            if of.unread == 0 {
                self.after(self.plan.stalls.map_or(0, |(time, _)| time), Event::Reads(end));
            }
            self.ends[end].unread += self.ends[end].expected - before;
        }
        let said = self.take_turn(end);
        if said {
            return;
        }
        let of = &mut self.ends[end];
        if self.plan.is_lazy && is_in_order && of.withheld == 0 && segment.len > 0 {
            (of.withheld, of.withholds) = (1, of.withholds + 1);
            let which = of.withholds;
            return self.after(DELAYED, Event::Withheld(end, which));
        }
        self.acknowledge(end);
    }

    /// Goes on with the plan when all has come that was to come. Whether something is sent that acknowledges it.
    fn take_turn(&mut self, end: usize) -> bool {
        let sum = |of: usize| -> u64 { self.plan.turns.iter().skip(of).step_by(2).sum() };
        let turns = |of: usize| self.plan.turns.iter().skip(of).step_by(2).copied();
        let (heard, mine) = (self.ends[end].expected, self.ends[end].limit);
        let mut due = 1;
        if heard > 0 && !self.ends[end].closes {
            // The client's n-th turn follows n of the server's; the server's n-th follows n + 1.
            let mut theirs = 1;
            let mut others = turns(1 - end);
            for (place, turn) in turns(end).enumerate() {
                if place > 0 || end == 1 {
                    theirs += others.next().unwrap_or(0);
                }
                if heard < theirs {
                    break;
                }
                due += turn;
            }
            let hears_all = heard > sum(1 - end) && self.ends[end].over.is_none_or(|over| heard >= over);
            let is_last = due == 1 + sum(end) && hears_all && (end == 0 || self.ends[1].over.is_some());
            if is_last && end == 0 && self.plan.resets {
                self.send(0, RST | ACK, self.ends[0].next, 0, false);
                self.ends[0].is_gone = true;
                return true;
            }
            if is_last {
                self.ends[end].closes = true;
                due += 1;
            }
            self.ends[end].limit = mine.max(due);
        }
        let before = self.ends[end].next;
        self.say(end);
        self.ends[end].next > before
    }

    /// A segment of `from` in its frame.
    fn frame(&self, from: usize, segment: &Segment) -> Vec<u8> {
        let ((guest, port), (peer, peer_port)) = (self.sockets[from], self.sockets[1 - from]);
        let first = |end: usize| (self.plan.seed as u32).wrapping_mul(0x9e37_79b9) ^ (end as u32) << 31;
        let has_ack = segment.flags & ACK != 0;
        let ack = if has_ack { first(1 - from).wrapping_add(segment.ack as u32) } else { 0 };
        let mut tcp = Vec::new();
        tcp.extend(port.to_be_bytes());
        tcp.extend(peer_port.to_be_bytes());
        tcp.extend(first(from).wrapping_add(segment.seq as u32).to_be_bytes());
        tcp.extend(ack.to_be_bytes());
        tcp.extend([0x50, segment.flags]);
        tcp.extend((segment.window as u16).to_be_bytes());
        tcp.extend([0; 4]);
        tcp.resize(20 + segment.len as usize, 0);
        let (source, target) = (guest.ip.octets(), peer.ip.octets());
        let pseudo = checksum::pseudo_header(&source, &target, 6, tcp.len() as u16);
        let sum = checksum::fold(pseudo + checksum::sum(&tcp));
        tcp[16..18].copy_from_slice(&sum.to_be_bytes());
        let mut ip = [0; 20];
        (ip[0], ip[8], ip[9]) = (0x45, 64, 6);
        ip[2..4].copy_from_slice(&(20 + tcp.len() as u16).to_be_bytes());
        ip[12..16].copy_from_slice(&source);
        ip[16..].copy_from_slice(&target);
        let sum = checksum::fold(checksum::sum(&ip));
        ip[10..12].copy_from_slice(&sum.to_be_bytes());
        framed(peer.mac, guest.mac, EtherType::IPV4, &[&ip[..], &tcp].concat())
    }
}
