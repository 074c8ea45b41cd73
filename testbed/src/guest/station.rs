//! What all who can be given a command line have in common: guests under QEMU, guests in a namespace, Linux peers.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use crate::scope::Watch;
use crate::{Error, Process, Result};

/// One end of the lab's traffic: it has an address, and runs commands.
pub trait Station {
    /// What it is called in messages.
    fn name(&self) -> &str;

    /// Where its peers reach it.
    fn address(&self) -> IpAddr;

    /// Runs a line for the shell to its end. Busybox's commands are there in every station, as `busybox COMMAND`.
    ///
    /// # Errors
    /// [`Error::TimedOut`]; an exit status other than 0 is no error.
    fn run(&self, command: &str, deadline: Duration) -> Result<Output>;

    /// Starts a line for the shell and leaves it running.
    fn start(&self, command: &str) -> Result<Job>;

    /// Waits for the end of what [`Station::start`] started here.
    fn finish(&self, job: Job, deadline: Duration) -> Result<Output>;

    /// Whether `count` pings all come back from `other`.
    fn pings(&self, other: IpAddr, count: u32, deadline: Duration) -> Result<bool> {
        let command = format!("busybox ping -c {count} -i 0.2 -W 2 {other}");
        Ok(self.run(&command, deadline)?.stdout.contains(&format!(" {count} packets received")))
    }
}

/// What a command printed (both streams) and how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// The exit status; 128 and the signal's number if it was killed.
    pub status: i32,
    /// All it printed.
    pub stdout: String,
}

impl Output {
    /// What was printed, if the status was 0; else an error that says `what` and shows it.
    pub fn success(self, what: &str) -> Result<String> {
        match self.status {
            0 => Ok(self.stdout),
            status => Err(Error::failed(format!("{what}: status {status}"), self.stdout)),
        }
    }
}

/// A command left running in a station.
#[derive(Debug)]
pub enum Job {
    /// The n-th of a machine's.
    Remote(u32),
    /// A child of the lab, inside a namespace.
    Local(Box<Process>),
}

/// A transfer's outcome; it went well if `sent` equals `received`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// SHA-256 of what the sender read, in hex.
    pub sent: String,
    /// SHA-256 of what the receiver was given, in hex.
    pub received: String,
}

/// Sends `mib` MiB of random data over TCP; both ends hash it as they see it.
pub fn transfer(from: &dyn Station, to: &dyn Station, mib: u32, deadline: Duration) -> Result<Transfer> {
    let watch = Watch::new(deadline);
    let port = unused_port();
    let (address, what) = (to.address(), format!("{mib} MiB from {} to {}", from.name(), to.name()));
    let file = format!("/tmp/lab-{}-{port}", std::process::id());
    // Its input never ends: at the end of that, nc would close the connection on the sender.
    let hold = format!("busybox mkfifo {file}.in && exec 0<>{file}.in && rm {file}.in");
    let receiver = to.start(&format!("{hold} && busybox nc -l -p {port} | busybox sha256sum"))?;
    let listening = format!("until busybox netstat -ltn | grep -q ':{port} '; do busybox usleep 50000; done");
    to.run(&listening, watch.left())?.success(&format!("{what}: listening"))?;
    let send = format!(
        "busybox dd if=/dev/urandom of={file} bs=64k count={} 2>/dev/null && busybox sha256sum < {file} \
         && busybox nc {address} {port} < {file}; s=$?; rm -f {file}; exit $s",
        mib * 16
    );
    let sent = from.run(&send, watch.left())?.success(&format!("{what}: sending"))?;
    let received = to.finish(receiver, watch.left())?.success(&format!("{what}: receiving"))?;
    Ok(Transfer { sent: first_word(&sent), received: first_word(&received) })
}

/// A port not used before by this process, so that no connection of an earlier transfer is in the way.
fn unused_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(20_000);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

fn first_word(text: &str) -> String {
    text.split_whitespace().next().unwrap_or_default().to_owned()
}
