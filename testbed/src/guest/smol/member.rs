//! One guest of the process: its stack, what listens, and the commands it has not answered yet.

use std::time::{Duration, Instant};

use serde_json::json;

use super::ping::{self, Ping};
use super::protocol::{Command, SmolStats};
use super::stack::{Outcome, Stack};
use super::{bytes_of_hex, tcp as stream, udp};
use crate::Result;

/// A guest.
pub(super) struct Member<R> {
    pub(super) name: String,
    stack: Stack,
    sinks: Vec<stream::Sink>,
    takers: Vec<udp::Sink>,
    /// With whom to answer.
    jobs: Vec<(R, Job)>,
}

/// What takes its time.
enum Job {
    Ping(Ping),
    TcpSend(stream::Sending),
    TcpReceived { port: u16, ended: usize, until: Instant },
    UdpSend(udp::Sending),
    UdpReceived { port: u16, datagrams: u64, until: Instant },
    Inject { frame: Vec<u8>, left: u16, until: Instant },
}

/// What a command has come to so far.
enum Step {
    Done(serde_json::Value),
    Later(Job),
}

impl<R> Member<R> {
    pub(super) fn new(name: &str, stack: Stack) -> Self {
        Self { name: name.into(), stack, sinks: Vec::new(), takers: Vec::new(), jobs: Vec::new() }
    }

    pub(super) fn is_up(&self) -> bool {
        self.stack.nic.is_up()
    }

    /// Does what is asked, or begins to; `answer` is told when there is something to tell.
    pub(super) fn take(&mut self, command: Command, reply: R, answer: &mut impl FnMut(R, Outcome)) {
        match self.begin(command, Instant::now()) {
            Ok(Step::Done(value)) => answer(reply, Ok(value)),
            Ok(Step::Later(job)) => self.jobs.push((reply, job)),
            Err(error) => answer(reply, Err(error.to_string())),
        }
    }

    /// Moves frames and jobs on; returns whether anything moved.
    pub(super) fn turn(&mut self, answer: &mut impl FnMut(R, Outcome)) -> bool {
        let now = Instant::now();
        let busy = self.stack.turn(now);
        if busy {
            self.sinks.iter_mut().for_each(|sink| sink.poll(&mut self.stack));
            self.takers.iter_mut().for_each(|taker| taker.poll(&mut self.stack));
        }
        let mut done = false;
        for (reply, mut job) in std::mem::take(&mut self.jobs) {
            match self.poll(&mut job, now) {
                Some(outcome) => {
                    answer(reply, outcome);
                    done = true;
                }
                None => self.jobs.push((reply, job)),
            }
        }
        busy || done
    }

    fn begin(&mut self, command: Command, now: Instant) -> Result<Step> {
        let stack = &mut self.stack;
        let millis = Duration::from_millis;
        let later = match command {
            Command::Ping { to, count, size, interval_ms, timeout_ms, .. } => {
                let (interval, timeout) = (millis(interval_ms), millis(timeout_ms));
                Job::Ping(Ping::start(stack, ping::Plan { to, count, size, interval, timeout }, now)?)
            }
            Command::TcpSend { to, port, bytes, seed, timeout_ms, .. } => {
                let timeout = millis(timeout_ms);
                Job::TcpSend(stream::Sending::start(stack, (to, port), (bytes, seed), timeout, now)?)
            }
            Command::TcpReceived { port, ended, timeout_ms, .. } => {
                Job::TcpReceived { port, ended, until: now + millis(timeout_ms) }
            }
            Command::UdpSend { to, port, count, size, interval_us, timeout_ms, .. } => {
                let (interval, timeout) = (Duration::from_micros(interval_us), millis(timeout_ms));
                let plan = udp::Plan { to: (to, port), count, size, interval, timeout };
                Job::UdpSend(udp::Sending::start(stack, plan, now)?)
            }
            Command::UdpReceived { port, datagrams, timeout_ms, .. } => {
                Job::UdpReceived { port, datagrams, until: now + millis(timeout_ms) }
            }
            Command::Inject { frame_hex, count, .. } => {
                Job::Inject { frame: bytes_of_hex(&frame_hex)?, left: count, until: now + PATIENCE }
            }
            other => return self.answer_now(other).map(Step::Done),
        };
        Ok(Step::Later(later))
    }

    fn answer_now(&mut self, command: Command) -> Result<serde_json::Value> {
        let stack = &mut self.stack;
        match command {
            Command::TcpListen { port, backlog, .. } if self.sinks.iter().all(|sink| sink.port() != port) => {
                let mut sink = stream::Sink::new(port, backlog);
                sink.poll(stack);
                self.sinks.push(sink);
            }
            Command::UdpListen { port, .. } if self.takers.iter().all(|taker| taker.port() != port) => {
                self.takers.push(udp::Sink::new(stack, port)?);
            }
            Command::Captured { filter, .. } => return Ok(json!(stack.nic.watch.captured(&filter)?)),
            Command::Capture { path, .. } => stack.nic.watch.capture(path.as_deref())?,
            Command::Stats { .. } => return Ok(json!(self.stats())),
            // It listens there already; the others take their time, or are the process's.
            _ => {}
        }
        Ok(serde_json::Value::Null)
    }

    fn poll(&mut self, job: &mut Job, now: Instant) -> Option<Outcome> {
        match job {
            Job::Ping(ping) => ping.poll(&mut self.stack, now),
            Job::TcpSend(sending) => sending.poll(&mut self.stack, now),
            Job::UdpSend(sending) => sending.poll(&mut self.stack, now),
            Job::TcpReceived { port, ended, until } => {
                let Some(sink) = self.sinks.iter().find(|sink| sink.port() == *port) else {
                    return Some(Err(format!("nobody listens at TCP port {port}")));
                };
                (sink.ended() >= *ended || now >= *until).then(|| Ok(json!(sink.received())))
            }
            Job::UdpReceived { port, datagrams, until } => {
                let Some(taker) = self.takers.iter().find(|taker| taker.port() == *port) else {
                    return Some(Err(format!("nobody listens at UDP port {port}")));
                };
                let received = taker.received();
                (received.datagrams >= *datagrams || now >= *until).then(|| Ok(json!(received)))
            }
            Job::Inject { frame, left, until } => {
                while *left > 0 && self.stack.nic.inject(frame) {
                    *left -= 1;
                }
                match left {
                    0 => Some(Ok(serde_json::Value::Null)),
                    _ if now >= *until => Some(Err(format!("{left} frames were not taken by the switch"))),
                    _ => None,
                }
            }
        }
    }

    fn stats(&self) -> SmolStats {
        let nic = &self.stack.nic;
        let mut stats = SmolStats {
            link_up: nic.is_up(),
            connects: nic.sent.connects,
            tx: nic.sent.frames,
            tx_bytes: nic.sent.bytes,
            tx_lost: nic.sent.lost,
            ..SmolStats::default()
        };
        nic.watch.count(&mut stats);
        stats
    }
}

/// How long injected frames may wait for a place in the ring.
const PATIENCE: Duration = Duration::from_secs(5);
