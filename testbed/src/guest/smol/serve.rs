//! The `weft-guests` process: one thread turns all guests, others wait for commands.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;
use std::{fs, thread};

use serde_json::json;
use weft::dpdk::{Eal, EalOptions, Hugepages, LogLevel, Mempool, register};

use super::member::Member;
use super::nic::{DESCRIPTORS, HEADER, Nic};
use super::protocol::{Answer, Command, Links, Request, SmolSpec};
use super::stack::{Outcome, Stack};
use super::watch::{Watch, mark};
use crate::error::Doing;
use crate::{Error, Result};

/// Where commands come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Control {
    /// Standard input, with answers on standard output; its end ends the process.
    Standard,
    /// Connections to a unix socket that the process makes.
    Socket(PathBuf),
}

/// Reads a [`SmolSpec`], written as YAML or JSON.
pub fn read_spec(path: &Path) -> Result<SmolSpec> {
    let what = || format!("reading {}", path.display());
    let text = fs::read_to_string(path).doing(what)?;
    serde_saphyr::from_str(&text).map_err(|error| Error::failed(what(), error.to_string()))
}

/// Runs the guests until told to quit. Once in a process: DPDK starts once.
pub fn serve(spec: &SmolSpec, control: &Control) -> Result<()> {
    if spec.guests.len() > SmolSpec::MOST {
        let what = format!("{} guests: a process has {} at most", spec.guests.len(), SmolSpec::MOST);
        return Err(Error::failed(what, ""));
    }
    let said = |error: weft::dpdk::Error| Error::failed(error.to_string(), "");
    let (eal, pool) = start_dpdk(spec).map_err(said)?;
    // With a cache of buffers of its own.
    let _lcore = register(&eal).map_err(said)?;
    let mut members = Vec::new();
    for guest in &spec.guests {
        let mac = super::mac(&guest.mac)?;
        let peers: Vec<_> = guest.peers.iter().map(|peer| super::mac(peer)).collect::<Result<_>>()?;
        let watch = Watch::new(mac, &peers, guest.mark.as_deref().map(mark));
        let nic = Nic::new(&eal, &pool, &guest.socket, mac, guest.mtu, watch);
        let seed = RandomState::new().build_hasher().finish();
        members.push(Member::new(&guest.name, Stack::new(guest, mac, nic, seed)?));
    }
    let inbox = listen(control)?;
    turn(&mut members, &inbox);
    Ok(())
}

fn start_dpdk(spec: &SmolSpec) -> std::result::Result<(Eal, Mempool), weft::dpdk::Error> {
    let mtu = spec.guests.iter().map(|guest| guest.mtu).max().unwrap_or_default();
    let room = (usize::from(mtu) + HEADER + SPARE).max(2048);
    let buffers = spec.guests.len().max(1) as u32 * (2 * u32::from(DESCRIPTORS) + 128) + 512;
    // Without hugepages a buffer does not straddle two pages of 4 KiB.
    let pages = (room as u64 + 512).div_ceil(4096);
    let options = EalOptions {
        name: format!("weft-guests-{}", std::process::id()),
        memory_bytes: u64::from(buffers) * pages * 4096 + (24 << 20),
        hugepages: Hugepages::Off,
        log_level: LogLevel::Error,
        ..EalOptions::default()
    };
    let eal = Eal::init(&options)?;
    let pool = Mempool::new(&eal, "guests", buffers, room, None)?;
    Ok((eal, pool))
}

/// Turns the guests, and sleeps in between when they have nothing to do.
fn turn(members: &mut [Member<Reply>], inbox: &mpsc::Receiver<Message>) {
    let mut idle = 0u32;
    let mut answer = |reply: Reply, outcome| reply.send(outcome);
    loop {
        let mut busy = false;
        loop {
            match inbox.try_recv() {
                Ok(Message(Command::Quit, reply)) => {
                    reply.send(Ok(json!(null)));
                    return;
                }
                Ok(message) => take(members, message, &mut answer),
                Err(mpsc::TryRecvError::Empty) => break,
                Err(mpsc::TryRecvError::Disconnected) => return,
            }
            busy = true;
        }
        for member in members.iter_mut() {
            busy |= member.turn(&mut answer);
        }
        idle = if busy { 0 } else { idle.saturating_add(1) };
        match idle {
            0 => {}
            1..SPINS => thread::yield_now(),
            _ => thread::sleep((SHORTEST * (idle - SPINS + 1)).min(LONGEST)),
        }
    }
}

fn take(members: &mut [Member<Reply>], message: Message, answer: &mut impl FnMut(Reply, Outcome)) {
    let Message(command, reply) = message;
    let Some(name) = command.guest() else {
        let links: Links = members.iter().map(|member| (member.name.clone(), member.is_up())).collect();
        return answer(reply, Ok(json!(links)));
    };
    match members.iter_mut().find(|member| member.name == name) {
        Some(member) => member.take(command, reply, answer),
        None => answer(reply, Err(format!("no guest {name}"))),
    }
}

impl Command {
    /// Whom it is for; none for what is the process's own.
    fn guest(&self) -> Option<String> {
        match self {
            Self::Links | Self::Quit => None,
            Self::Ping { guest, .. }
            | Self::TcpListen { guest, .. }
            | Self::TcpSend { guest, .. }
            | Self::TcpReceived { guest, .. }
            | Self::UdpListen { guest, .. }
            | Self::UdpSend { guest, .. }
            | Self::UdpReceived { guest, .. }
            | Self::Inject { guest, .. }
            | Self::Captured { guest, .. }
            | Self::Capture { guest, .. }
            | Self::Stats { guest } => Some(guest.clone()),
        }
    }
}

/// A command and where its answer goes.
struct Message(Command, Reply);

/// Where an answer goes. It is small beside what a socket holds, and who does not read it loses it.
struct Reply {
    id: u64,
    to: Arc<Mutex<Box<dyn Write + Send>>>,
}

impl Reply {
    fn send(&self, outcome: Outcome) {
        let (ok, error) = match outcome {
            Ok(value) => (Some(value), None),
            Err(error) => (None, Some(error)),
        };
        let line = format!("{}\n", json!(Answer { id: self.id, ok, error }));
        let mut to = self.to.lock().unwrap_or_else(PoisonError::into_inner);
        // Who asked may be gone.
        let _ = to.write_all(line.as_bytes()).and_then(|()| to.flush());
    }
}

/// Begins to read commands.
fn listen(control: &Control) -> Result<mpsc::Receiver<Message>> {
    let (sender, inbox) = mpsc::channel();
    let spawned = match control {
        Control::Standard => {
            let read = move || read(std::io::stdin(), Box::new(std::io::stdout()), &sender);
            thread::Builder::new().name("commands".into()).spawn(read)
        }
        Control::Socket(path) => {
            let what = || format!("listening at {}", path.display());
            drop(fs::remove_file(path));
            let listener = UnixListener::bind(path).doing(what)?;
            let accept = move || {
                for stream in listener.incoming().flatten() {
                    let Ok(answers) = stream.try_clone() else { continue };
                    let sender = sender.clone();
                    thread::spawn(move || read(stream, Box::new(answers), &sender));
                }
            };
            thread::Builder::new().name("commands".into()).spawn(accept)
        }
    };
    spawned.doing(|| "a thread for commands".into())?;
    Ok(inbox)
}

/// Reads commands to the end of `from`.
fn read(from: impl Read, to: Box<dyn Write + Send>, sender: &mpsc::Sender<Message>) {
    let to = Arc::new(Mutex::new(to));
    for line in BufReader::new(from).lines().map_while(std::result::Result::ok) {
        if line.trim().is_empty() {
            continue;
        }
        let sent = match serde_json::from_str::<Request>(&line) {
            Ok(request) => {
                sender.send(Message(request.command, Reply { id: request.id, to: Arc::clone(&to) }))
            }
            Err(error) => {
                let id = serde_json::from_str(&line).ok();
                let id =
                    id.and_then(|value: serde_json::Value| value.get("id")?.as_u64()).unwrap_or_default();
                Reply { id, to: Arc::clone(&to) }.send(Err(error.to_string()));
                Ok(())
            }
        };
        if sent.is_err() {
            return;
        }
    }
}

/// Bytes that a buffer has beyond the largest frame: a tag, say.
const SPARE: usize = 64;

/// Rounds without work before the first sleep. Few: the switches want the cores.
const SPINS: u32 = 16;

/// The first sleep.
const SHORTEST: Duration = Duration::from_micros(20);

/// The longest.
const LONGEST: Duration = Duration::from_micros(200);
