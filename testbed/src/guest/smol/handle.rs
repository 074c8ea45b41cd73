//! The lab's side of a `weft-guests` process.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::IpAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{env, fs};

use rustix::process::Signal;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::protocol::{
    Answer, Captured, Command, Filter, Links, PingReport, Request, SmolSpec, SmolStats, TcpReceived, TcpSent,
    UdpReceived, UdpSent,
};
use crate::error::Doing;
use crate::scope::Exit;
use crate::{Error, Process, Result, Spawn, WorkDir, host};

/// A running `weft-guests` process and the guests in it. Killed when dropped.
#[derive(Debug)]
pub struct SmolGuests {
    name: String,
    dir: Arc<WorkDir>,
    spec: SmolSpec,
    process: Process,
}

impl SmolGuests {
    /// Starts the process and returns; [`SmolGuests::wait_up`] waits for it. The name is for its files in `dir`.
    pub fn start(dir: &Arc<WorkDir>, name: &str, spec: SmolSpec) -> Result<Self> {
        let process = launch(dir, name, &spec)?;
        Ok(Self { name: name.into(), dir: Arc::clone(dir), spec, process })
    }

    /// Waits until every guest is connected to its switch.
    pub fn wait_up(&self, deadline: Duration) -> Result<()> {
        let is_up = || self.links().is_ok_and(|links| links.values().all(|up| *up));
        self.process.wait_until(deadline, "every guest is connected", is_up)
    }

    /// Stops the process where it is: no guest empties or fills its rings, and no command is answered.
    pub fn pause(&self) {
        self.process.signal(Signal::STOP);
    }

    /// Lets it go on after [`SmolGuests::pause`].
    pub fn resume(&self) {
        self.process.signal(Signal::CONT);
    }

    /// Which guests are connected to their switch.
    pub fn links(&self) -> Result<Links> {
        self.ask(Command::Links, Duration::ZERO)
    }

    /// Pings `count` times and waits for the replies, each at most `timeout`.
    pub fn ping(&self, guest: &str, to: IpAddr, count: u16, timeout: Duration) -> Result<PingReport> {
        self.ping_sized(guest, to, count, PING_SIZE, timeout)
    }

    /// Pings with `size` bytes after the ICMP header.
    pub fn ping_sized(
        &self,
        guest: &str,
        to: IpAddr,
        count: u16,
        size: u16,
        timeout: Duration,
    ) -> Result<PingReport> {
        let (guest, interval_ms, timeout_ms) = (guest.into(), 10, millis(timeout));
        let command = Command::Ping { guest, to, count, size, interval_ms, timeout_ms };
        self.ask(command, timeout * 2 + Duration::from_millis(interval_ms) * count.into())
    }

    /// Accepts TCP connections at this port from now on.
    pub fn tcp_listen(&self, guest: &str, port: u16) -> Result<()> {
        self.ask(Command::TcpListen { guest: guest.into(), port, backlog: 4 }, Duration::ZERO)
    }

    /// Sends `bytes` pseudo-random bytes over TCP.
    pub fn tcp_send(
        &self,
        guest: &str,
        to: (IpAddr, u16),
        bytes: u64,
        seed: u64,
        timeout: Duration,
    ) -> Result<TcpSent> {
        self.tcp_send_start(guest, to, bytes, seed, timeout)?.finish()
    }

    /// Begins what [`SmolGuests::tcp_send`] does.
    pub fn tcp_send_start(
        &self,
        guest: &str,
        (to, port): (IpAddr, u16),
        bytes: u64,
        seed: u64,
        timeout: Duration,
    ) -> Result<Pending<TcpSent>> {
        let (guest, timeout_ms) = (guest.into(), millis(timeout));
        self.begin(Command::TcpSend { guest, to, port, bytes, seed, timeout_ms }, timeout)
    }

    /// What came at a TCP port, once `ended` connections have ended or at the deadline.
    pub fn tcp_received(
        &self,
        guest: &str,
        port: u16,
        ended: usize,
        timeout: Duration,
    ) -> Result<Vec<TcpReceived>> {
        let (guest, timeout_ms) = (guest.into(), millis(timeout));
        self.ask(Command::TcpReceived { guest, port, ended, timeout_ms }, timeout)
    }

    /// Takes datagrams at this port from now on.
    pub fn udp_listen(&self, guest: &str, port: u16) -> Result<()> {
        self.ask(Command::UdpListen { guest: guest.into(), port }, Duration::ZERO)
    }

    /// Sends `count` datagrams of `size` bytes as fast as the switch takes them.
    pub fn udp_send(
        &self,
        guest: &str,
        (to, port): (IpAddr, u16),
        count: u16,
        size: u16,
        timeout: Duration,
    ) -> Result<UdpSent> {
        let (guest, timeout_ms) = (guest.into(), millis(timeout));
        let command = Command::UdpSend { guest, to, port, count, size, interval_us: 0, timeout_ms };
        self.ask(command, timeout)
    }

    /// What came at a UDP port, once it is `datagrams` or at the deadline.
    pub fn udp_received(
        &self,
        guest: &str,
        port: u16,
        datagrams: u64,
        timeout: Duration,
    ) -> Result<UdpReceived> {
        let (guest, timeout_ms) = (guest.into(), millis(timeout));
        self.ask(Command::UdpReceived { guest, port, datagrams, timeout_ms }, timeout)
    }

    /// Sends a frame as it is, `count` times.
    pub fn inject(&self, guest: &str, frame: &[u8], count: u16) -> Result<()> {
        let (guest, frame_hex) = (guest.into(), super::hex(frame));
        self.ask(Command::Inject { guest, frame_hex, count }, Duration::from_secs(5))
    }

    /// The last frames received.
    pub fn captured(&self, guest: &str, filter: Filter) -> Result<Captured> {
        self.ask(Command::Captured { guest: guest.into(), filter }, Duration::ZERO)
    }

    /// Writes what is received from now on into a pcap file, or no more.
    pub fn capture(&self, guest: &str, path: Option<PathBuf>) -> Result<()> {
        self.ask(Command::Capture { guest: guest.into(), path }, Duration::ZERO)
    }

    /// What a guest counted.
    pub fn stats(&self, guest: &str) -> Result<SmolStats> {
        self.ask(Command::Stats { guest: guest.into() }, Duration::ZERO)
    }

    /// Sends any command, and waits for the answer for at most `patience` and some seconds.
    pub fn ask<T: DeserializeOwned>(&self, command: Command, patience: Duration) -> Result<T> {
        self.begin(command, patience)?.finish()
    }

    /// Sends any command.
    pub fn begin<T: DeserializeOwned>(&self, command: Command, patience: Duration) -> Result<Pending<T>> {
        let what = || format!("{}: {}", self.name, json!(command));
        let mut stream = UnixStream::connect(control(&self.dir, &self.name)).doing(what)?;
        stream.set_read_timeout(Some(patience + ANSWER)).doing(what)?;
        let line = format!("{}\n", json!(Request { id: 0, command: command.clone() }));
        stream.write_all(line.as_bytes()).doing(what)?;
        Ok(Pending { what: what(), stream, answer: std::marker::PhantomData })
    }

    /// Ends the process in good order.
    pub fn quit(&self, deadline: Duration) -> Result<Exit> {
        self.ask::<()>(Command::Quit, Duration::ZERO)?;
        self.process.wait(deadline)
    }

    /// Kills the process outright, as a crash of the guests would.
    pub fn kill9(&self) -> Result<Exit> {
        self.process.kill9()
    }

    /// Starts the process anew, killing it before if it runs. The guests know nothing of what was.
    pub fn restart(&mut self) -> Result<()> {
        self.kill9()?;
        self.process = launch(&self.dir, &self.name, &self.spec)?;
        Ok(())
    }

    /// The process: its id, its log.
    pub fn process(&self) -> &Process {
        &self.process
    }
}

/// A command not answered yet.
#[derive(Debug)]
pub struct Pending<T> {
    what: String,
    stream: UnixStream,
    answer: std::marker::PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Pending<T> {
    /// Waits for the answer.
    ///
    /// # Errors
    /// [`Error::Failed`] with what the guests said, if they could not do it.
    pub fn finish(self) -> Result<T> {
        let mut line = String::new();
        match BufReader::new(&self.stream).read_line(&mut line) {
            Ok(0) => return Err(Error::failed(self.what, "the process is gone")),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                return Err(Error::failed(self.what, "no answer in time"));
            }
            Err(error) => return Err(Error::Io { what: self.what, source: error }),
        }
        let malformed = |error: serde_json::Error| Error::failed(format!("{}: {error}", self.what), &*line);
        let answer: Answer = serde_json::from_str(&line).map_err(malformed)?;
        match answer.error {
            Some(error) => Err(Error::failed(self.what, error)),
            None => serde_json::from_value(answer.ok.unwrap_or_default()).map_err(malformed),
        }
    }
}

/// The program: `$WEFT_GUESTS_BIN`, or the one that cargo built beside the running program.
fn binary() -> Result<PathBuf> {
    if let Some(path) = env::var_os("WEFT_GUESTS_BIN") {
        return Ok(path.into());
    }
    host::beside("weft-guests")
}

fn launch(dir: &Arc<WorkDir>, name: &str, spec: &SmolSpec) -> Result<Process> {
    let file = dir.join(format!("{name}.json"));
    fs::write(&file, json!(spec).to_string()).doing(|| format!("writing {}", file.display()))?;
    let socket = control(dir, name);
    drop(fs::remove_file(&socket));
    Spawn::new(binary()?)
        .named(name)
        .arg(file)
        .args([Path::new("--control"), &socket])
        // What DPDK leaves there goes with the directory.
        .env("RUNTIME_DIRECTORY", dir.path())
        .start_in(dir)
}

fn control(dir: &WorkDir, name: &str) -> PathBuf {
    dir.join(format!("{name}.ctl"))
}

fn millis(duration: Duration) -> u64 {
    duration.as_millis() as u64
}

/// What `ping` sends by default elsewhere.
const PING_SIZE: u16 = 56;

/// How long an answer may take beyond what the command itself does: the process may be connecting guests.
const ANSWER: Duration = Duration::from_secs(10);
