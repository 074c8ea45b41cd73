//! A worker: one thread that polls its ports, takes what other workers hand it, and keeps house in between.
//!
//! It shares nothing. What it needs comes by mail between two bursts, and what it knows goes back the same way.

mod clock;
mod export;
mod latency;
mod log;
mod mail;
mod outputs;
mod pace;
mod port;
mod profile;
mod rota;
mod sessions;
mod used;

use std::sync::Arc;
use std::thread;

use weft_pipelines::flow::Sessions;
use weft_pipelines::qos::Turns;
use weft_pipelines::snapshot::{Guest, PortKind};
use weft_pipelines::{BURST, Frame, HopId, Plane, PortId, Reason, Snapshot, WorkerId};

pub use clock::Clock;
pub use export::{Export, record_of};
pub use latency::{SAMPLED, Sampler};
pub use log::{Decisions, Log};
pub use mail::{
    Mail, Mailbox, Neighbor, NewPort, Preparation, Reply, Retired, RulePage, SessionCursor, SessionPage,
    SessionRecord, Standing, Work,
};
pub use outputs::{Incoming, Outgoing, Outputs, RING, rings};
pub use pace::{Pace, Poll};
pub use port::{Pool, Receive, Transmit};
pub use profile::{Profile, Spent, Sums};
pub use used::{Family, Used};

use rota::Rota;

/// What a weight of one is multiplied with, to be divided.
const UNIT: u64 = 1 << 20;

/// A receive queue of a port.
pub struct Input<F> {
    /// The port.
    pub port: PortId,
    /// The queue.
    pub queue: Box<dyn Receive<F>>,
}

/// What a worker starts with.
pub struct Worker<F> {
    /// Who it is.
    pub id: WorkerId,
    /// The configuration.
    pub snapshot: Arc<Snapshot>,
    /// What it polls.
    pub inputs: Vec<Input<F>>,
    /// What other workers hand it.
    pub incoming: Incoming<F>,
    /// Where its packets leave to.
    pub outputs: Outputs<F>,
    /// Its mail.
    pub mailbox: Arc<Mailbox<F>>,
    /// The time.
    pub clock: Clock,
    /// How it waits.
    pub poll: Poll,
    /// How much of its sessions' memory it has used, for who goes ahead of it.
    pub used: Arc<Used>,
}

impl<F: Frame> Worker<F> {
    /// Polls until it is told to end. Returns how it stood at the end, with nothing left waiting.
    pub fn run(self, sessions: Sessions) -> Standing {
        let pace = Pace::new(self.poll);
        let plane = Plane::with(self.id, &self.snapshot, sessions);
        let coming = Vec::new();
        let (turns, rota, work) = (Turns::default(), Rota::default(), Work::default());
        let sampler = Sampler::default();
        let mut round = Round {
            plane,
            worker: self,
            turns,
            rota,
            work,
            pace,
            sampler,
            coming,
            receiving: true,
            dozed: false,
        };
        round.set_turns();
        while round.take_mail() {
            round.poll();
        }
        round.end()
    }
}

/// A worker at work.
struct Round<F> {
    worker: Worker<F>,
    plane: Plane<F>,
    /// Whose turn it is to be received from.
    turns: Turns,
    /// Who is looked at.
    rota: Rota,
    work: Work,
    pace: Pace,
    /// Which bursts are timed.
    sampler: Sampler,
    /// What it polls from the next configuration on.
    coming: Vec<Input<F>>,
    /// Whether it still receives from ports.
    receiving: bool,
    /// Whether it has slept since the last round.
    dozed: bool,
}

impl<F: Frame> Round<F> {
    /// One round: a burst from each ring and each port, then out with what has gathered.
    fn poll(&mut self) {
        let Self { worker, plane, turns, rota, work, pace, sampler, receiving, dozed, .. } = self;
        let Worker { snapshot, inputs, incoming, outputs, clock, used, .. } = worker;
        let start = clock.cycles();
        let mut now = clock.tick(start);
        outputs.eyes.begin(now);
        let (mut received, mut taken) = (0, 0);
        for ring in incoming {
            // No more than a burst, so that a busy neighbour leaves room for this worker's own ports.
            let burst = ring.slots().min(BURST);
            if let Ok(chunk) = ring.read_chunk(burst) {
                if burst > 0 {
                    now = clock.tick(clock.cycles());
                }
                taken += burst;
                plane.from_worker(snapshot, chunk, now, outputs);
            }
        }
        let mut held = false;
        let mut before = if taken > 0 { clock.cycles() } else { start };
        let mut look = rota.begin(std::mem::take(dozed));
        while let Some(n) = rota.next(&mut look) {
            let Some(Input { port, queue }) = inputs.get_mut(n).filter(|_| *receiving && turns.is_due(n))
            else {
                continue;
            };
            let room = plane.room(*port, now);
            if room == 0 {
                held = true;
                turns.spend(n, 0, 0);
                continue;
            }
            let room = room.min(turns.burst(n));
            let packets = plane.from_port(snapshot, *port, outputs, |burst| {
                queue.receive(burst, room);
                // The worker may have waited for its core since the time was read last.
                if !burst.is_empty() {
                    now = clock.tick(clock.cycles());
                }
                now
            });
            plane.meters.received(*port, packets, room);
            let after = clock.cycles();
            let spent = after.wrapping_sub(before);
            turns.spend(n, packets, spent);
            rota.found(n, packets > 0);
            if packets > 0 {
                sampler.received(before);
                plane.counters.port(*port).metered.cycles += spent;
            }
            before = after;
            received += packets;
        }
        plane.tick(snapshot, now, outputs);
        plane.flush(snapshot, now, outputs);
        outputs.flush();
        let sent = clock.cycles();
        if let Some(received) = sampler.sent() {
            outputs.latency(clock.nanos(sent.wrapping_sub(received)));
        }
        let flushing = sent.wrapping_sub(before);
        turns.end(flushing, |n, part| plane.counters.port(inputs[n].port).metered.cycles += part);
        outputs.export(&plane.counters, |outputs| current(work, plane, outputs, snapshot), now);
        work.polls += 1;
        work.packets += received as u64;
        work.received_over += taken as u64;
        if received + taken > 0 {
            used.take(&plane.sessions);
            pace.busy();
            work.busy_cycles += clock.cycles() - start;
        } else {
            work.empty_polls += 1;
            if held || plane.egress.due() <= now + pace::LONGEST {
                // Something may come or leave soon.
                pace.busy();
            } else if let Some(doze) = pace.idle() {
                work.sleeps += 1;
                thread::sleep(doze);
                *dozed = true;
            }
        }
    }

    /// Does what the letters say. Returns whether to go on.
    fn take_mail(&mut self) -> bool {
        while let Some(mail) = self.worker.mailbox.take() {
            match mail {
                Mail::Prepare(preparation) => self.prepare(preparation),
                Mail::Publish(snapshot) => self.adopt(snapshot),
                Mail::Report(mut standing) => {
                    self.write(&mut standing);
                    self.worker.mailbox.answer(Reply::Standing(standing));
                }
                Mail::Rules(mut page) => {
                    let counted = self.plane.counters.rules.iter().skip(page.from);
                    page.counters.iter_mut().zip(counted).for_each(|(row, counted)| *row = *counted);
                    self.worker.mailbox.answer(Reply::Rules(page));
                }
                Mail::Sessions(mut page) => {
                    let Worker { snapshot, clock, mailbox, .. } = &self.worker;
                    let now = clock.tick(clock.cycles());
                    sessions::write(&mut self.plane.sessions, snapshot, now, &mut page);
                    mailbox.answer(Reply::Sessions(page));
                }
                Mail::Watch(id, witness) => {
                    self.worker.mailbox.answer(match self.worker.outputs.eyes.open(id, witness) {
                        Ok(()) => Reply::Watching(id),
                        Err(witness) => Reply::Unwatched(id, Some(witness)),
                    });
                }
                Mail::Unwatch(id) => {
                    let witness = self.worker.outputs.eyes.close(id);
                    self.worker.mailbox.answer(Reply::Unwatched(id, witness));
                }
                Mail::Finish => self.receiving = false,
                Mail::End => return false,
            }
        }
        true
    }

    /// Makes room for the next configuration, and takes its ports.
    fn prepare(&mut self, mut preparation: Box<Preparation<F>>) {
        self.worker.outputs.prepare(preparation.sizes);
        self.plane.counters.grow(preparation.sizes);
        if let (Some(export), Some(stats)) = (&mut self.worker.outputs.export, preparation.stats.take()) {
            preparation.stats = Some(export.replace(stats));
        }
        for NewPort { port, inputs, output } in preparation.ports.drain(..) {
            self.worker.outputs.open(port, output);
            self.coming.extend(inputs.into_iter().map(|queue| Input { port, queue }));
        }
        self.worker.mailbox.answer(Reply::Prepared(preparation));
    }

    /// Takes up another configuration, and gives back what that has no more use for.
    fn adopt(&mut self, snapshot: Arc<Snapshot>) {
        let Worker { inputs, outputs, mailbox, clock, snapshot: current, .. } = &mut self.worker;
        self.plane.adopt(current, &snapshot, clock.tick(clock.cycles()), outputs);
        outputs.publish(snapshot.clone());
        inputs.append(&mut self.coming);
        let is_vacant = |port: PortId| matches!(snapshot.port(port).kind, PortKind::Vacant);
        let gone = inputs.extract_if(.., |input| is_vacant(input.port));
        let mut retired: Vec<_> = gone.map(|input| Retired::Input(input.queue)).collect();
        let vacant =
            (0..snapshot.ports.len()).map(|port| PortId(port as u16)).filter(|port| is_vacant(*port));
        retired.extend(vacant.filter_map(|port| outputs.close(port)).map(Retired::Output));
        let before = std::mem::replace(current, snapshot);
        mailbox.answer(Reply::Retired(before, retired));
        self.set_turns();
    }

    /// Gives the tenants their shares of the cycles by their weights, and within each its endpoints by theirs. An uplink
    /// weighs as much as all guests together, for it brings what is for them.
    fn set_turns(&mut self) {
        let Worker { snapshot, inputs, .. } = &self.worker;
        let guests = || inputs.iter().filter_map(|input| snapshot.guest(input.port));
        let weight = |guest: &Guest| {
            let siblings = guests().filter(|other| other.tenant == guest.tenant);
            let all: u64 = siblings.map(|other| u64::from(other.share.weight)).sum();
            let tenant = u64::from(snapshot.share(guest.tenant).share.weight);
            UNIT * tenant * u64::from(guest.share.weight) / all.max(1)
        };
        let together = guests().map(weight).sum::<u64>().max(1);
        let queues = |port| inputs.iter().filter(|input| input.port == port).count() as u64;
        let of = |input: &Input<F>| {
            snapshot.guest(input.port).map_or(together, |guest| {
                // Each of its queues is counted with all of its weight above.
                weight(guest)
            }) / queues(input.port).max(1)
        };
        let weights: Vec<u64> = inputs.iter().map(of).collect();
        self.rota.set(weights.len());
        self.turns.set(weights);
    }

    /// Writes down how it stands.
    fn write(&self, standing: &mut Standing) {
        let outputs = &self.worker.outputs;
        standing.counters.copy_from(&self.plane.counters);
        standing.counters.merge(&outputs.counters);
        standing.work = current(&self.work, &self.plane, outputs, &self.worker.snapshot);
        let now = self.worker.clock.tick(self.worker.clock.cycles());
        let neighbors = &self.plane.neighbors;
        for (hop, neighbor) in standing.neighbors.iter_mut().enumerate().take(neighbors.len()) {
            let hop = HopId(hop as u16);
            *neighbor = Neighbor {
                state: neighbors.state(hop, now),
                mac: neighbors.mac(hop),
                held: neighbors.held(hop) as u64,
            };
        }
    }

    /// Drops, by name, what still waits.
    fn end(mut self) -> Standing {
        let Worker { snapshot, incoming, outputs, clock, .. } = &mut self.worker;
        for ring in incoming {
            while let Ok(handed) = ring.pop() {
                self.work.received_over += 1;
                outputs.abandon(handed, Reason::Stopping);
            }
        }
        let now = clock.tick(clock.cycles());
        self.plane.stop(snapshot, now, outputs);
        outputs.flush();
        let work = current(&self.work, &self.plane, outputs, snapshot);
        let Outputs { export, counters, .. } = outputs;
        if let Some(export) = export {
            export.publish_all([&self.plane.counters, counters], &work, now);
        }
        let mut standing = Standing::new(&self.worker.snapshot);
        self.write(&mut standing);
        standing
    }
}

/// What it has done so far.
fn current<F: Frame>(work: &Work, plane: &Plane<F>, outputs: &Outputs<F>, snapshot: &Snapshot) -> Work {
    let (records, records_withheld) = outputs.export.as_ref().map(Export::records).unwrap_or_default();
    Work {
        handed_over: outputs.handed_over,
        log_lost: outputs.log.decisions().lost(),
        epoch: snapshot.epoch.0,
        waiting: plane.egress.held(),
        records,
        records_withheld,
        ..*work
    }
}

#[cfg(test)]
mod tests;
