//! Open vSwitch on DPDK: its userspace (netdev) datapath, one polling thread, vhost-user ports and tunnels in userspace.
//!
//! It gets the work that Weft does, in its own terms: a guest is held to its MAC and addresses and forwarded to by MAC
//! (no learning), connections are tracked in a zone (`ct`), rules are flows that match new connections. It runs in a
//! namespace of its own, with its database, sockets and logs in the lab's directory.

use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

use super::grid::{Setup, Work};
use super::rules::{Rule, rules};
use super::scene::{self, CLIENT, Guest, HOSTS, NEIGHBOUR, SERVER, UNDERLAY_MACS, UNDERLAY_MTU, VNI, VTEPS};
use super::systems::Cycles;
use crate::bench::ground::{Ground, LOAD_CORE, MEMORY_MIB, SWITCH_CORE};
use crate::error::Doing;
use crate::load::Pages;
use crate::{Error, Namespace, Process, Result, Spawn};

/// A running OVS: switch first, for the database has to outlive it.
#[derive(Debug)]
pub struct Ovs {
    control: PathBuf,
    _switch: Process,
    _database: Process,
    _namespace: Namespace,
}

/// Debian's `openvswitch-switch-dpdk`; the program that `openvswitch-switch` brings knows no DPDK.
const PROGRAM: &str = "/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk";
const SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";

/// What its ports are called in flows.
const GUEST: [u32; 3] = [1, 2, 3];
const TUNNEL: u32 = 9;

/// The tables: who may send what, what becomes of connections, where packets go.
const POLICY: u32 = 2;
const FORWARD: u32 = 10;

impl Ovs {
    /// Starts it, with ports that connect to the sockets `0.sock` and so on.
    pub fn start(ground: &Ground, setup: &Setup) -> Result<Self> {
        let namespace = Namespace::new("ovs")?;
        let at = |name: &str| ground.dir.join(name);
        for stale in ["ovs.db", "ovs-db.sock", "ovs.ctl", "ovs-db.ctl"] {
            drop(std::fs::remove_file(at(stale)));
        }
        let path = |name: &str| at(name).display().to_string();
        run("ovsdb-tool", &["create", &path("ovs.db"), SCHEMA])?;
        let private = ["OVS_RUNDIR", "OVS_DBDIR", "OVS_LOGDIR", "OVS_SYSCONFDIR", "RUNTIME_DIRECTORY"];
        let spawn = |program: &str, name: &str| {
            let spawn = Spawn::new("taskset").args(["-c", &LOAD_CORE.to_string(), program]).named(name);
            private.iter().fold(spawn, |spawn, variable| spawn.env(*variable, ground.dir.path()))
        };
        let database = spawn("ovsdb-server", "ovsdb-server")
            .args([path("ovs.db"), format!("--remote=punix:{}", path("ovs-db.sock"))])
            .args([format!("--unixctl={}", path("ovs-db.ctl")), format!("--pidfile={}", path("ovs-db.pid"))])
            .arg("--no-chdir")
            .start_in(&ground.dir)?;
        database.wait_until(STARTING, "its socket", || at("ovs-db.sock").exists())?;
        let vsctl = |waiting: &str, words: &[String]| {
            let database = format!("--db=unix:{}", path("ovs-db.sock"));
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            run("ovs-vsctl", &[&[&database, waiting], &words[..]].concat())
        };
        vsctl("--no-wait", &["init".into()])?;
        vsctl("--no-wait", &configuration(ground))?;
        let switch = spawn(PROGRAM, "ovs-vswitchd")
            .args([format!("unix:{}", path("ovs-db.sock")), format!("--unixctl={}", path("ovs.ctl"))])
            .args([format!("--pidfile={}", path("ovs.pid")), "--no-chdir".into()])
            .namespace(namespace.name())
            .start_in(&ground.dir)?;
        switch.wait_until(STARTING, "its control socket", || at("ovs.ctl").exists())?;
        let ovs =
            Self { control: at("ovs.ctl"), _switch: switch, _database: database, _namespace: namespace };
        vsctl("--timeout=30", &bridges(ground, setup))?;
        if setup.work.has_uplink() {
            ovs.lay_underlay()?;
        }
        ovs.ask(&["dpctl/ct-set-maxconns", &CONNECTIONS.to_string()])?;
        let of = |command: &[&str]| run("ovs-ofctl", &[&["-O", "OpenFlow15"], command].concat());
        let bridge = format!("unix:{}", path("br0.mgmt"));
        if setup.meters {
            // Metered, and never over: what is measured is the metering.
            of(&[
                "add-meter",
                &bridge,
                "meter=1,kbps,burst,bands=type=drop,rate=100000000,burst_size=1000000",
            ])?;
        }
        let file = at("ovs.flows");
        std::fs::write(&file, flows(setup)).doing(|| format!("writing {}", file.display()))?;
        of(&["del-flows", &bridge])?;
        of(&["--bundle", "add-flows", &bridge, &file.display().to_string()])?;
        Ok(ovs)
    }

    /// Forgets what it has counted.
    pub fn clear(&mut self) -> Result<()> {
        self.ask(&["dpif-netdev/pmd-stats-clear"]).map(drop)
    }

    /// What its polling thread has spent on packets since.
    pub fn cycles(&mut self) -> Result<Cycles> {
        let text = self.ask(&["dpif-netdev/pmd-stats-show"])?;
        cycles(&text).ok_or_else(|| Error::failed("ovs-vswitchd told no cycles of its polling thread", text))
    }

    /// The way to the other host.
    fn lay_underlay(&self) -> Result<()> {
        self._namespace.must(&format!("ip addr add {}/24 dev phy && ip link set dev phy up", VTEPS[0]))?;
        // OVS hears of addresses by netlink: the route is there when it has.
        let local = VTEPS[0].to_string();
        crate::wait_for(STARTING, "OVS to see its tunnel's address", || {
            Ok(self.ask(&["ovs/route/show"])?.contains(&local).then_some(()))
        })?;
        let (other, mac) = (VTEPS[1].to_string(), scene::mac(UNDERLAY_MACS[1]));
        self.ask(&["tnl/arp/set", "phy", &other, &mac]).map(drop)
    }

    fn ask(&self, words: &[&str]) -> Result<String> {
        let control = self.control.display().to_string();
        run("ovs-appctl", &[&["-t", &control, "--timeout=20"], words].concat())
    }
}

/// Its version, if it is there.
pub fn version() -> Option<String> {
    let output = std::process::Command::new(PROGRAM).arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Some(
        text.lines()
            .next()?
            .replace("ovs-vswitchd-dpdk (Open vSwitch) ", "")
            .replace("ovs-vswitchd (Open vSwitch) ", ""),
    )
}

/// A command that has to succeed: what it prints.
fn run(program: &str, arguments: &[&str]) -> Result<String> {
    let what = format!("{program} {}", arguments.join(" "));
    Spawn::new(program).args(arguments).run(ANSWERING)?.success(&what)
}

/// What it is told before it starts. Beyond this it has its defaults.
fn configuration(ground: &Ground) -> Vec<String> {
    let memory = match ground.pages {
        Pages::Huge => "--in-memory",
        Pages::Small => "--no-huge --legacy-mem",
    };
    let mut words = words("set Open_vSwitch . other_config:dpdk-init=true");
    words.extend([
        format!("other_config:pmd-cpu-mask={:#x}", 1 << SWITCH_CORE),
        format!("other_config:dpdk-lcore-mask={:#x}", 1 << LOAD_CORE),
        format!("other_config:dpdk-alloc-mem={MEMORY_MIB}"),
        // Quoted for the database: there are blanks in it.
        format!("other_config:dpdk-extra=\"{memory} --no-pci --no-telemetry\""),
    ]);
    words
}

/// Bridges and ports. Guests on br0; with an uplink, that on a bridge of its own, whose address the tunnel has.
fn bridges(ground: &Ground, setup: &Setup) -> Vec<String> {
    let guest = |bridge: &str, port: usize| {
        let socket = ground.dir.join(format!("{port}.sock"));
        words(&format!(
            "-- add-port {bridge} p{port} -- set Interface p{port} type=dpdkvhostuserclient \
             options:vhost-server-path={} ofport_request={} mtu_request={UNDERLAY_MTU}",
            socket.display(),
            GUEST[port],
        ))
    };
    let mut all = words("add-br br0 -- set bridge br0 datapath_type=netdev");
    all.extend(guest("br0", 0));
    if setup.work.has_uplink() {
        all.extend(words(&format!(
            "-- add-br phy -- set bridge phy datapath_type=netdev other_config:hwaddr=\"{}\"",
            scene::mac(UNDERLAY_MACS[0])
        )));
        all.extend(guest("phy", 1));
        all.extend(words(&format!(
            "-- add-port br0 vx -- set Interface vx type=vxlan options:remote_ip={} options:local_ip={} \
             options:key={VNI} ofport_request={TUNNEL}",
            VTEPS[1], VTEPS[0]
        )));
    } else {
        all.extend(guest("br0", 1));
    }
    if setup.work == Work::Neighbours {
        all.extend(guest("br0", 2));
    }
    all
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// The pipeline, a flow a line.
fn flows(setup: &Setup) -> String {
    let mut guests = vec![(CLIENT, GUEST[0])];
    guests.push((SERVER, if setup.work.has_uplink() { TUNNEL } else { GUEST[1] }));
    if setup.work == Work::Neighbours {
        guests.push((NEIGHBOUR, GUEST[2]));
    }
    let next = match setup.work.is_stateful() {
        true => format!("ct(zone=1,table={POLICY})"),
        false => format!("resubmit(,{FORWARD})"),
    };
    let meter = if setup.meters { "meter:1," } else { "" };
    let mut text = "table=0,priority=0,actions=drop\n".to_owned();
    let mut line = |words: std::fmt::Arguments<'_>| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{words}");
    };
    for (guest, port) in &guests {
        // What comes by the tunnel the other host has metered.
        let meter = if *port == TUNNEL { "" } else { meter };
        line(format_args!("table=0,priority=10,{},actions={meter}{next}", from_guest(guest, *port)));
        line(format_args!(
            "table={FORWARD},priority=10,dl_dst={},actions=output:{port}",
            scene::mac(guest.mac)
        ));
    }
    line(format_args!("table={FORWARD},priority=0,actions=drop"));
    if setup.work.is_stateful() {
        let go_on = format!("resubmit(,{FORWARD})");
        line(format_args!("table={POLICY},priority=65000,ct_state=+trk+est-inv,actions={go_on}"));
        line(format_args!("table={POLICY},priority=65000,ct_state=+trk+rel-inv,actions={go_on}"));
        line(format_args!("table={POLICY},priority=65000,ct_state=+trk+inv,actions=drop"));
        line(format_args!("table={POLICY},priority=0,actions=drop"));
        // First match: the first rule has the highest priority.
        for (number, rule) in (0_u16..).zip(rules(setup.rules)) {
            let priority = 60_000 - number;
            let action = if rule.allow { format!("ct(commit,zone=1),{go_on}") } else { "drop".into() };
            line(format_args!(
                "table={POLICY},priority={priority},ct_state=+trk+new,{},actions={action}",
                of(&rule)
            ));
        }
    }
    text
}

/// What a guest may send: from its MAC and its addresses.
fn from_guest(guest: &Guest, port: u32) -> String {
    let length = 32 - HOSTS.trailing_zeros();
    format!("in_port={port},dl_src={},ip,nw_src={}/{length}", scene::mac(guest.mac), guest.first)
}

fn of(rule: &Rule) -> String {
    let protocol = if rule.tcp { "tcp" } else { "udp" };
    let ([from, from_length], [to, to_length]) =
        ([rule.from.0.to_string(), rule.from.1.to_string()], [rule.to.0.to_string(), rule.to.1.to_string()]);
    let (port, mask) = (rule.ports.0, rule.port_mask());
    format!("{protocol},nw_src={from}/{from_length},nw_dst={to}/{to_length},tp_dst={port:#x}/{mask:#x}")
}

/// Of what `pmd-stats-show` prints, the part of the polling thread.
fn cycles(text: &str) -> Option<Cycles> {
    let (_, own) = text.split_once("pmd thread")?;
    let own = own.split("main thread").next()?;
    let figure = |name: &str| -> Option<u64> {
        let line = own.lines().find_map(|line| line.trim().strip_prefix(name))?;
        line.trim().split(' ').next()?.parse().ok()
    };
    Some(Cycles { cycles: figure("processing cycles:")?, packets: figure("packets received:")? })
}

/// As many as Weft has room for sessions.
const CONNECTIONS: u32 = 4 << 20;

const STARTING: Duration = Duration::from_secs(30);
const ANSWERING: Duration = Duration::from_secs(40);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_polling_thread_s_figures_are_read() {
        let text = "pmd thread numa_id 0 core_id 1:\n  packets received: 1000\n  packet recirculations: 1000\n  \
                    idle cycles: 5000 (5.00%)\n  processing cycles: 95000 (95.00%)\n  avg cycles per packet: 100.00 \
                    (100000/1000)\n  avg processing cycles per packet: 95.00 (95000/1000)\nmain thread:\n  \
                    packets received: 0\n";
        assert_eq!(cycles(text), Some(Cycles { cycles: 95_000, packets: 1000 }));
        assert_eq!(cycles("main thread:\n  packets received: 0\n"), None);
    }
}
