//! A network namespace of the lab's own.

use std::fs::File;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{fs, thread};

use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::ledger::{Held, Resource};
use super::{Process, Spawn, is_root, sweep, workdir};
use crate::error::Doing;
use crate::guest::Output;
use crate::{Error, Result};

/// A named network namespace; it goes, with every process still in it, when dropped.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    _held: Held,
}

impl Namespace {
    /// Makes `wt-PID-N-LABEL`, with its loopback up and no IPv6 chatter of its own.
    ///
    /// # Errors
    /// [`Error::NeedsRoot`] for anyone else.
    pub fn new(label: &str) -> Result<Self> {
        if !is_root() {
            return Err(Error::NeedsRoot(format!("a network namespace ({label})")));
        }
        sweep();
        let name = format!("{}-{label}", workdir::unique());
        let make = || {
            host_ip(&["netns", "add", &name])?;
            Ok(((), Resource::Namespace(name.clone())))
        };
        let ((), held) = Held::acquire(make)?;
        let made = Self { name, _held: held };
        // Router solicitations and the like would be counted by the switch as if a test had sent them.
        made.must("for w in all default; do echo 1 > /proc/sys/net/ipv6/conf/$w/disable_ipv6; done; ip link set lo up")?;
        Ok(made)
    }

    /// Its name, as `ip netns` knows it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs a shell command inside.
    pub fn run(&self, command: &str, deadline: Duration) -> Result<Output> {
        Spawn::shell(command).namespace(&self.name).run(deadline)
    }

    /// Runs a shell command that has to succeed at once: the making of a device, say. What it prints comes back.
    pub fn must(&self, command: &str) -> Result<String> {
        self.run(command, AT_ONCE)?.success(&format!("`{command}` in {}", self.name))
    }

    /// Starts a process inside.
    pub fn spawn(&self, spawn: Spawn) -> Result<Process> {
        spawn.namespace(&self.name).start()
    }

    /// Does something in a thread that is inside. Sockets that it makes stay there, whoever uses them later.
    pub fn inside<T: Send>(&self, act: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let what = || format!("entering {}", self.name);
        let place = File::open(format!("{DIRECTORY}/{}", self.name)).doing(what)?;
        let enter = || {
            let network = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(place.as_fd(), network).doing(what)?;
            act()
        };
        thread::scope(|scope| match scope.spawn(enter).join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    }

    /// Joins this namespace's `here` to `there` of another by a pair of virtual wires, both up, checksums made in
    /// software at both ends: a switch in userspace would otherwise be handed half-made ones.
    pub fn join(&self, here: &str, other: &Namespace, there: &str, mtu: u16) -> Result<()> {
        let pair =
            ["link", "add", here, "mtu", &mtu.to_string(), "netns", &self.name, "type", "veth", "peer"];
        let peer = ["name", there, "mtu", &mtu.to_string(), "netns", &other.name];
        host_ip(&[&pair[..], &peer[..]].concat())?;
        for (space, device) in [(self, here), (other, there)] {
            space.must(&format!(
                "ethtool -K {device} tx off tso off gso off gro off && ip link set dev {device} up"
            ))?;
        }
        Ok(())
    }

    /// Puts an address on a device, for use at once. IPv6, which a namespace begins without, comes with its first address.
    pub fn assign(&self, device: &str, address: IpAddr, prefix: u8) -> Result<()> {
        if address.is_ipv6() {
            let conf = format!("/proc/sys/net/ipv6/conf/{device}");
            self.must(&format!("echo 0 > {conf}/accept_dad; echo 0 > {conf}/disable_ipv6"))?;
        }
        self.must(&format!("ip addr add {address}/{prefix} dev {device}")).map(drop)
    }

    /// Takes a device out of this namespace into another, under a new name. Routes and addresses do not go with it.
    pub fn hand_over(&self, device: &str, other: &Namespace, as_name: &str) -> Result<()> {
        self.must(&format!("ip link set dev {device} netns {} name {as_name}", other.name)).map(drop)
    }
}

/// Where `ip netns` keeps the names.
pub(super) const DIRECTORY: &str = "/run/netns";

/// Kills what runs inside, then removes the name. Safe to repeat.
pub(super) fn remove(name: &str) {
    if let Ok(inside) = Command::new("ip").args(["netns", "pids", name]).stderr(Stdio::null()).output() {
        let pids = String::from_utf8_lossy(&inside.stdout).into_owned();
        for pid in pids.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
    // A mount still held by a dying process makes the first try fail.
    for _ in 0..50 {
        let deleted = Command::new("ip").args(["netns", "delete", name]).stderr(Stdio::null()).status();
        if deleted.is_ok_and(|status| status.success())
            || !fs::exists(format!("{DIRECTORY}/{name}")).unwrap_or(false)
        {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// `ip` in the namespace of the lab itself. Not by [`Spawn`]: this runs under the ledger's lock, which a [`Process`] takes.
fn host_ip(arguments: &[&str]) -> Result<()> {
    let what = || format!("ip {}", arguments.join(" "));
    let output = Command::new("ip").args(arguments).output().doing(what)?;
    if output.status.success() {
        Ok(())
    } else {
        Err(Error::failed(what(), String::from_utf8_lossy(&output.stderr)))
    }
}

/// The longest that a change to the kernel's network devices takes.
const AT_ONCE: Duration = Duration::from_secs(20);
