//! What does it cost to see in passing how well TCP does?
//!
//! Connections in which one side sends and the other acknowledges every second segment: tracked, and tracked and looked at.
#![allow(missing_docs)]

mod cycles;

use core::hint::black_box;

use criterion::measurement::Measurement;
use criterion::{Criterion, Throughput};
use weft_pipelines::flow::tcp::{self, Segment, Windows};
use weft_pipelines::flow::{Notes, Side, State};
use weft_pipelines::service::{Row, Service};
use weft_pipelines::testing::traffic::Flows;
use weft_pipelines::wire::tcp::flag::{ACK, SYN};
use weft_pipelines::{BURST, Tick};

/// Connections, chosen at random.
const COUNTS: [(u32, &str); 2] = [(1, "1 connection"), (1_000, "1k connections")];

fn main() {
    cycles::run(bench, bench);
}

fn bench<M: Measurement>(criterion: &mut Criterion<M>, unit: &str) {
    let mut group = criterion.benchmark_group(format!("quality{unit}"));
    group.throughput(Throughput::Elements(BURST as u64));
    for (count, name) in COUNTS {
        for (what, is_seen) in [("tracked", false), ("tracked and looked at", true)] {
            let mut connections: Vec<Connection> = (0..count).map(|_| Connection::new()).collect();
            let mut chosen = Flows::new(count);
            let mut now = Tick(0);
            let mut service = Service::new(1);
            group.bench_function(format!("{name}, {what}"), |bencher| {
                bencher.iter(|| {
                    now = Tick(now.0 + 2_000);
                    for _ in 0..BURST {
                        connections[chosen.choose() as usize].turn(is_seen, now, &mut service);
                    }
                });
            });
            black_box((&connections, &service));
        }
    }
    group.finish();
}

/// A connection, and whose turn it is to send.
struct Connection {
    windows: Windows,
    state: State,
    notes: Notes,
    sent: u32,
    turn: u32,
}

impl Connection {
    fn new() -> Self {
        let segment = |flags, seq, ack| Segment { flags, seq, ack, window: 60_000, ..Segment::default() };
        let (mut windows, mut state) = tcp::open(&segment(SYN, 0, 0), false).expect("a SYN opens");
        for (side, segment) in
            [(Side::Responder, segment(SYN | ACK, 0, 1)), (Side::Initiator, segment(ACK, 1, 1))]
        {
            state = windows.step(state, side, &segment).state;
        }
        assert_eq!(state, State::TcpEstablished);
        let mut notes = Notes::default();
        notes.row = Row(0);
        Self { windows, state, notes, sent: 1, turn: 0 }
    }

    /// Two segments of data, then the acknowledgement of both.
    #[inline]
    fn turn(&mut self, is_seen: bool, now: Tick, service: &mut Service) {
        self.turn += 1;
        let plain = Segment { flags: ACK, ack: 1, window: 60_000, ..Segment::default() };
        let (side, segment) = if self.turn.is_multiple_of(3) {
            (Side::Responder, Segment { seq: 1, ack: self.sent, ..plain })
        } else {
            let seq = self.sent;
            self.sent = self.sent.wrapping_add(1000);
            (Side::Initiator, Segment { seq, len: 1000, ..plain })
        };
        let segment = black_box(segment);
        let glance = is_seen.then(|| self.windows.glance(self.state, side, &segment));
        self.state = self.windows.step(self.state, side, &segment).state;
        if let Some(glance) = glance {
            self.notes.see(glance, side, &segment, now, service);
        }
    }
}
