//! A lab to play with: brought up in the background, left there, and taken down by name of its user.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, getuid, kill_process, setsid, test_kill_process};

use crate::demo::{self, Guests, MEMBERS};
use crate::error::Doing;
use crate::{Error, Lab, Result, scope, wait_for};

/// The longest that a lab takes to go.
const DOWN: Duration = Duration::from_secs(20);
/// How often its guests ping each other, so that there is something to see.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// Starts the demo's lab in a process of its own and returns once it is up.
///
/// # Errors
/// When one of this user's is up already, or this one does not come up.
pub fn up(guests: Guests) -> Result<()> {
    if let Some(pid) = running() {
        return Err(Error::failed(
            format!("a lab is up already (process {})", pid.as_raw_pid()),
            "testbed down",
        ));
    }
    let program = std::env::current_exe().doing(|| "finding the running program".into())?;
    let mut command = Command::new(program);
    command.args(["keep-lab", "--guests", guests.name()]).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().doing(|| "starting the lab".into())?;
    let told = child.stdout.take().map(BufReader::new);
    for line in told.into_iter().flat_map(BufRead::lines).map_while(std::io::Result::ok) {
        if line == UP {
            return Ok(());
        }
        println!("{line}");
    }
    let status = child.wait().doing(|| "waiting for the lab".into())?;
    Err(Error::failed(format!("the lab did not come up ({status})"), ""))
}

/// What the keeping process says once the lab is up.
const UP: &str = "up";

/// Brings the lab up and keeps it until a signal: what [`up`] starts.
///
/// # Errors
/// When it does not come up.
pub fn keep(guests: Guests) -> Result<()> {
    // A session of its own: it outlives the terminal.
    let _ = setsid();
    let lab = Lab::up(demo::lab(guests))?;
    fs::write(pid_file(), std::process::id().to_string()).doing(|| "writing the lab's process id".into())?;
    let dir = lab.dir().path().display();
    println!(
        "the lab is up: hosts hv-a and hv-b, tenants blue and red, guests that ping each other every second"
    );
    println!("  its files:    {dir} (fabric.yaml, logs, sockets)");
    println!("  look at it:   weft show ports --runtime-dir {dir} --host hv-a");
    println!("  take it down: testbed down");
    println!("{UP}");
    loop {
        thread::sleep(HEARTBEAT);
        for from in &MEMBERS {
            for to in MEMBERS.iter().filter(|to| to.tenant() == from.tenant() && to.name != from.name) {
                // What is not answered shows in the switch's own counters.
                drop(demo::ping(&lab, guests, from, IpAddr::V4(to.address)));
            }
        }
    }
}

/// Takes this user's lab down, and sweeps up what killed labs left.
///
/// # Errors
/// When it does not go.
pub fn down() -> Result<()> {
    let Some(pid) = running() else {
        println!("no lab is up");
        scope::sweep();
        return Ok(());
    };
    let _ = kill_process(pid, Signal::TERM);
    wait_for(DOWN, format!("the lab (process {}) to go", pid.as_raw_pid()), || {
        Ok(test_kill_process(pid).is_err().then_some(()))
    })?;
    drop(fs::remove_file(pid_file()));
    scope::sweep();
    println!("the lab is down");
    Ok(())
}

/// The process that keeps this user's lab, if one is up.
fn running() -> Option<Pid> {
    let text = fs::read_to_string(pid_file()).ok()?;
    let pid = Pid::from_raw(text.trim().parse().ok()?)?;
    // The number may have become another process's.
    let command = fs::read(format!("/proc/{}/cmdline", pid.as_raw_pid())).ok()?;
    command.split(|byte| *byte == 0).any(|word| word == b"keep-lab").then_some(pid)
}

fn pid_file() -> PathBuf {
    std::env::temp_dir().join(format!("weft-lab-{}.pid", getuid().as_raw()))
}
