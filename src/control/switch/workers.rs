//! The running switch's workers: their threads, and the letters to and from them.

use std::io;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use thiserror::Error;
use tracing::warn;
use weft_pipelines::flow::table::Memory;
use weft_pipelines::flow::{Key4, Key6, Secret, Sessions, Settings};
use weft_pipelines::{PortId, WorkerId};

use super::{StartError, Switch};
use crate::control::compile;
use crate::control::runway::{Runway, Track};
use crate::dpdk::{self, Mbuf, Port};
use crate::shm::WorkerStats;
use crate::worker::{
    Decisions, Export, Family, Input, Mail, Mailbox, Outputs, Receive, Reply, Standing, Transmit, Used,
    Worker, rings,
};

/// How long a worker may take to answer a letter; it answers between two bursts.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);
/// How often the control thread looks whether an answer has come.
const LOOK: Duration = Duration::from_micros(50);
/// A worker that is not asleep answers within this time, and one that is soon after; as long the control thread does
/// nothing else. Its timers count in milliseconds.
const SOON: Duration = Duration::from_millis(2);

/// A worker, from outside.
pub(super) struct Handle {
    pub mailbox: Arc<Mailbox<Mbuf>>,
    /// What policy decided.
    pub decisions: Arc<Decisions>,
    /// Decisions that were not told when it was last looked.
    pub lost: u64,
    pub thread: JoinHandle<Standing>,
}

/// A worker does not answer its letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("worker {worker} does not answer: its core is taken by something else, or it has ended")]
pub struct Silent {
    pub(super) worker: usize,
}

impl Switch {
    /// Starts the workers, and waits until all are at work.
    pub(super) fn employ(&mut self, exports: Vec<WorkerStats>) -> Result<(), StartError> {
        let mut exports = exports.into_iter();
        let (count, clock) = (self.cores.len(), self.clock);
        let (at_work, ready) = mpsc::channel();
        let mut tracks = Vec::new();
        for (index, (outgoing, incoming)) in rings::<Mbuf>(count).into_iter().enumerate() {
            let id = WorkerId(index as u16);
            let (mut inputs, mut queues) = (Vec::new(), Vec::new());
            for (number, port) in self.ports.iter_mut().enumerate() {
                let port_id = PortId(number as u16);
                let owned = compile::owner(port_id, count) == id;
                let taken = port.as_mut().filter(|_| owned).and_then(take_queues);
                let (receive, send) = taken.map_or_else(Default::default, |(rx, tx)| (rx, Some(tx)));
                inputs.extend(receive.into_iter().map(|queue| Input { port: port_id, queue }));
                queues.push(send);
            }
            let mailbox = Arc::new(Mailbox::default());
            let snapshot = self.compiled.snapshot.clone();
            let mut outputs =
                Outputs::new(snapshot.clone(), queues, outgoing, Box::new(self.mempool.clone()));
            outputs.export = exports.next().map(|stats| Export::new(stats, id));
            let decisions = outputs.log.decisions();
            let (worker_mailbox, poll) = (mailbox.clone(), self.poll);
            let (eal, core) = (self.eal.clone(), self.cores[index]);
            let used = Arc::new(Used::default());
            let sessions = make_sessions(&snapshot.sessions, &used, &mut tracks)?;
            let at_work = at_work.clone();
            let work = move || {
                let registered = match core {
                    Some(core) => dpdk::pin_and_register(&eal, core),
                    None => dpdk::register(&eal),
                };
                let (registered, ready) = match registered {
                    Ok(guard) => (Some(guard), Ok(())),
                    Err(error) => (None, Err(error)),
                };
                // Who waits for it is there, or has given up because of another worker, and ends this one.
                let _ = at_work.send(ready);
                drop(at_work);
                let mailbox = worker_mailbox;
                let worker = Worker { id, snapshot, inputs, incoming, outputs, mailbox, clock, poll, used };
                let standing = worker.run(sessions);
                drop(registered);
                standing
            };
            let thread = std::thread::Builder::new().name(format!("worker-{index}")).spawn(work)?;
            self.workers.push(Handle { mailbox, decisions, lost: 0, thread });
        }
        drop(at_work);
        for ready in ready {
            ready.map_err(Box::new)?;
        }
        self.runway = Some(Runway::start(tracks)?);
        Ok(())
    }

    /// How every worker stands.
    pub(super) async fn standings(&self) -> Result<Vec<Standing>, Silent> {
        let asked = self.ask();
        for worker in 0..self.workers.len() {
            let standing = Standing { asked, ..Standing::new(&self.compiled.snapshot) };
            self.send(worker, Mail::Report(Box::new(standing)))?;
        }
        let mut standings = Vec::with_capacity(self.workers.len());
        for worker in 0..self.workers.len() {
            let standing = self.answer(worker, PATIENCE, |reply| match reply {
                Reply::Standing(standing) if standing.asked == asked => Some(*standing),
                _ => None,
            });
            standings.push(standing.await?);
        }
        Ok(standings)
    }

    /// The number of the next question.
    pub(super) fn ask(&self) -> u64 {
        self.asked.set(self.asked.get() + 1);
        self.asked.get()
    }

    pub(super) fn send(&self, worker: usize, mail: Mail<Mbuf>) -> Result<(), Silent> {
        self.workers[worker].mailbox.send(mail).map_err(|_| Silent { worker })
    }

    /// The answer of a worker that `wanted` takes. Others are to questions that were given up.
    pub(super) async fn answer<T>(
        &self,
        worker: usize,
        patience: Duration,
        mut wanted: impl FnMut(Reply<Mbuf>) -> Option<T>,
    ) -> Result<T, Silent> {
        let Handle { mailbox, thread, .. } = &self.workers[worker];
        let start = Instant::now();
        loop {
            // Looked at first: what an ended worker answered before it ended counts.
            let (ended, waited) = (thread.is_finished(), start.elapsed());
            while let Some(reply) = mailbox.reply() {
                if let Some(answer) = wanted(reply) {
                    return Ok(answer);
                }
            }
            if ended || waited > patience {
                return Err(Silent { worker });
            }
            if waited < SOON {
                std::thread::sleep(LOOK);
            } else {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    }

    /// Ends the workers, and returns how they stood at the end; `None` of one that is lost.
    pub(super) fn dismiss(&mut self) -> Vec<Option<Standing>> {
        // Before the memory goes that it works on.
        self.runway = None;
        let workers = std::mem::take(&mut self.workers);
        let deadline = Instant::now() + PATIENCE;
        let end = |(index, worker): (usize, Handle)| {
            let mut told = false;
            while !worker.thread.is_finished() {
                // A mailbox can be full of what a worker had no time for; it is tried again then.
                told = told || worker.mailbox.send(Mail::End).is_ok();
                if Instant::now() >= deadline {
                    warn!(worker = index, "does not end; what it counted is lost, and its ports stay open");
                    return None;
                }
                std::thread::sleep(LOOK);
            }
            let standing = worker.thread.join();
            if standing.is_err() {
                warn!(worker = index, "panicked; what it counted is lost");
            }
            standing.ok()
        };
        workers.into_iter().enumerate().map(end).collect()
    }
}

/// The queues of a port that nobody has taken yet.
#[expect(clippy::type_complexity, reason = "what a worker takes, taken apart at once")]
pub(super) fn take_queues(port: &mut Port) -> Option<(Vec<Box<dyn Receive<Mbuf>>>, Box<dyn Transmit<Mbuf>>)> {
    let output = port.take_tx(0)?;
    let inputs = (0..).map_while(|queue| port.take_rx(queue));
    let inputs = inputs.map(|queue| Box::new(queue) as Box<dyn Receive<Mbuf>>).collect();
    Some((inputs, Box::new(output)))
}

/// Room for a worker's sessions, in large pages as far as there are such: those that it reads are all over it.
fn make_sessions(settings: &Settings, used: &Arc<Used>, tracks: &mut Vec<Track>) -> io::Result<Sessions> {
    let (v4, v6) = (Memory::<Key4>::new(settings.capacity), Memory::<Key6>::new(settings.capacity));
    v4.regions().into_iter().chain(v6.regions()).for_each(dpdk::prefer_large_pages);
    tracks.push(Track::new(&v4, settings.capacity, (used.clone(), Family::V4)));
    tracks.push(Track::new(&v6, settings.capacity, (used.clone(), Family::V6)));
    Ok(Sessions::within(v4, v6, &random_secret()?))
}

/// Words that nobody can predict, for hashes whose collisions nobody can craft.
fn random_secret() -> io::Result<Secret> {
    let mut bytes = [0; 64];
    let mut filled = 0;
    while filled < bytes.len() {
        filled += rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty())?;
    }
    let (words, _) = bytes.as_chunks::<8>();
    let mut secret = [0; 8];
    secret.iter_mut().zip(words).for_each(|(word, bytes)| *word = u64::from_ne_bytes(*bytes));
    Ok(Secret::new(secret))
}
