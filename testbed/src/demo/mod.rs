//! The main job, shown: two hosts, two tenants with the same addresses, guests on both hosts.
//!
//! It says what it does as it does it, then shows who reached whom, how fast, what was dropped and why, and the
//! hosts' ledgers. Each thing that it says about the switch is a claim that is checked; the demo is `ok` only if all
//! of them held.

mod cast;
mod tables;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Signal, getpid, kill_process};
use serde_json::Value;

use crate::guest::GuestKind;
use crate::host::Ledger;
use crate::{GuestSpec, HostSpec, Lab, LabSpec, Result, Underlay, scope};
use cast::Cast;
use tables::{Cell, Reach};

/// What plays the guests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guests {
    /// IP stacks in one process.
    Smol,
    /// Linux machines under QEMU.
    Vm,
}

impl Guests {
    fn kind(self) -> GuestKind {
        match self {
            Self::Smol => GuestKind::Smol,
            Self::Vm => GuestKind::Qemu,
        }
    }

    /// What it is called on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Smol => "smol",
            Self::Vm => "vm",
        }
    }

    /// The longest that the demo may take.
    fn limit(self) -> Duration {
        match self {
            Self::Smol => Duration::from_secs(60),
            Self::Vm => Duration::from_secs(300),
        }
    }

    fn what(self) -> &'static str {
        match self {
            Self::Smol => "an IP stack each (smoltcp on virtio-user), in one process",
            Self::Vm => "Linux VMs under QEMU",
        }
    }
}

/// A guest of the demo's lab: `tenant/name`, its host, its address and its MAC.
pub(crate) struct Member {
    pub(crate) name: &'static str,
    pub(crate) host: &'static str,
    pub(crate) address: Ipv4Addr,
    pub(crate) mac: &'static str,
}

impl Member {
    pub(crate) fn tenant(&self) -> &'static str {
        self.name.split('/').next().unwrap_or_default()
    }
}

const fn member(name: &'static str, host: &'static str, last: u8, mac: &'static str) -> Member {
    Member { name, host, address: Ipv4Addr::new(10, 1, 0, last), mac }
}

/// Blue and red have the same subnet, and but for blue's third guest the same addresses and MACs.
pub(crate) const MEMBERS: [Member; 5] = [
    member("blue/web1", "hv-a", 11, "02:00:00:00:01:01"),
    member("blue/db1", "hv-b", 12, "02:00:00:00:01:02"),
    member("blue/app1", "hv-a", 13, "02:00:00:00:01:03"),
    member("red/web1", "hv-a", 11, "02:00:00:00:01:01"),
    member("red/db1", "hv-b", 12, "02:00:00:00:01:02"),
];

/// The demo's lab, described.
pub fn lab(guests: Guests) -> LabSpec {
    let spec = LabSpec::new(Underlay::Memif)
        .host(HostSpec::new("hv-a", "198.51.100.1"))
        .host(HostSpec::new("hv-b", "198.51.100.2"))
        .segment("blue", "front", 1001, "10.1.0.0/24")
        .segment("red", "front", 2001, "10.1.0.0/24");
    MEMBERS.iter().fold(spec, |spec, member| {
        let guest =
            GuestSpec::new(member.name, "front", member.host, &member.address.to_string(), guests.kind());
        spec.with(guest.mac(member.mac))
    })
}

/// Runs the demo. Whether all that it claims held.
///
/// # Errors
/// When the lab does not come up, or a guest does not do what it is told.
pub fn run(guests: Guests) -> Result<bool> {
    end_in_time(guests.limit());
    let mut story = Story::begin();
    story.say(format!("two hosts, hv-a and hv-b, each a `weft run`; guests: {}", guests.what()));
    story.say(
        "tenants blue and red, both 10.1.0.0/24, with the same MACs; an underlay of shared memory (memif)",
    );
    let lab = Lab::up(lab(guests))?;
    story.say(format!("hosts ready, guests connected; all of it lives in {}", lab.dir().path().display()));
    let cast = Cast::new(&lab, guests);

    let reach = reach(&mut story, &cast)?;
    let speeds = transfers(&mut story, &cast)?;
    forge(&mut story, &cast, &lab)?;
    if let Some(leaks) = cast.leaks()? {
        story.claim("no guest was sent a packet of another tenant", leaks == 0);
    }
    meet(&mut story, &lab);

    let drops = lab.hosts().map(|host| host.show("drops")).collect::<Result<Vec<_>>>()?;
    story.say("stopping the hosts, which then say where every packet went");
    let ledgers = lab.stop_hosts()?;
    settle(&mut story, &ledgers);
    drop(lab);

    println!("\nWho reaches whom (ping)\n{}", tables::reach(&reach));
    println!("\nThroughput (TCP, what arrived has the hash of what was sent)\n{}", tables::speeds(&speeds));
    println!("\nWhat was dropped, and why\n{}", tables::drops(&drops));
    println!("\nThe ledgers\n{}", tables::ledgers(&ledgers));
    Ok(story.end())
}

/// Whether a guest of the demo's lab gets an answer from `to`.
pub(crate) fn ping(lab: &Lab, guests: Guests, from: &Member, to: IpAddr) -> Result<bool> {
    Cast::new(lab, guests).pings(from, to, true)
}

/// Every guest pings every address of the subnet that is in use anywhere.
fn reach(story: &mut Story, cast: &Cast<'_>) -> Result<Reach> {
    story.say("every guest pings every address in use");
    let mut addresses: Vec<Ipv4Addr> = MEMBERS.iter().map(|member| member.address).collect();
    addresses.sort();
    addresses.dedup();
    let (mut rows, mut as_meant) = (Vec::new(), true);
    for from in &MEMBERS {
        let mut cells = Vec::new();
        for to in &addresses {
            if *to == from.address {
                cells.push(Cell::Itself);
                continue;
            }
            let mut own = MEMBERS.iter().filter(|member| member.tenant() == from.tenant());
            let meant = own.any(|member| member.address == *to);
            let reached = cast.pings(from, IpAddr::V4(*to), meant)?;
            as_meant &= reached == meant;
            cells.push(Cell::Reached { reached, meant });
        }
        rows.push((from.name, cells));
    }
    story.claim("guests reach those of their own tenant, on either host, and nobody else", as_meant);
    Ok(Reach { addresses, rows })
}

/// A transfer that was made.
pub(crate) struct Speed {
    pub(crate) from: &'static str,
    pub(crate) to: &'static str,
    pub(crate) way: &'static str,
    pub(crate) mib: u32,
    pub(crate) seconds: f64,
    pub(crate) intact: bool,
}

fn transfers(story: &mut Story, cast: &Cast<'_>) -> Result<Vec<Speed>> {
    const MIB: u32 = 64;
    let [web, db, app, red_web, red_db] = &MEMBERS;
    let mut speeds = Vec::new();
    for (from, to) in [(web, db), (db, web), (web, app), (red_web, red_db)] {
        let way = if from.host == to.host { "on one host" } else { "through VXLAN" };
        story.say(format!("{} sends {MIB} MiB to {}, {way}", from.name, to.name));
        let (seconds, intact) = cast.sends(from, to, MIB)?;
        speeds.push(Speed { from: from.name, to: to.name, way, mib: MIB, seconds, intact });
    }
    story.claim(
        "what is sent arrives whole, at the right tenant's guest",
        speeds.iter().all(|speed| speed.intact),
    );
    Ok(speeds)
}

/// A guest claims to be another: by MAC, by IP, and by ARP.
fn forge(story: &mut Story, cast: &Cast<'_>, lab: &Lab) -> Result<()> {
    let forger = &MEMBERS[3];
    story.say(format!(
        "{} sends with another's MAC, another's IP, and announces another's IP by ARP",
        forger.name
    ));
    cast.forges(forger)?;
    let host = lab.host(forger.host);
    let wanted = ["spoofed_mac", "spoofed_ip", "spoofed_arp"];
    let counted = scope::wait_for(Duration::from_secs(10), "the forgeries to be counted", || {
        let ports = host.show("ports")?;
        let port = ports.as_array().into_iter().flatten().find(|port| port["name"] == forger.name);
        let drops = port.map(|port| port["drops"].clone()).unwrap_or(Value::Null);
        Ok(wanted.iter().all(|reason| drops[reason].as_u64() > Some(0)).then_some(()))
    });
    story.claim("what it forged was dropped, and counted by name at its port", counted.is_ok());
    Ok(())
}

fn settle(story: &mut Story, ledgers: &BTreeMap<String, Ledger>) {
    let settled = ledgers.values().all(|ledger| ledger.conserved && ledger.adds_up());
    story.claim("each packet that came in went out, was dropped by name, or was for the switch", settled);
}

/// What the uplinks sent is what the uplinks received, once nothing is on its way.
fn meet(story: &mut Story, lab: &Lab) {
    let agreed = scope::wait_for(Duration::from_secs(10), "both ends of the underlay to agree", || {
        let (mut sent, mut received) = (0, 0);
        for host in lab.hosts() {
            let ports = host.show("ports")?;
            let uplink = ports.as_array().into_iter().flatten().find(|port| port["name"] == "up0");
            let count = |what: &str| uplink.and_then(|port| port[what].as_u64()).unwrap_or_default();
            sent += count("tx");
            received += count("rx");
        }
        Ok((sent == received && sent > 0).then_some(()))
    });
    story.claim("what one host sent into the underlay the other received, to the packet", agreed.is_ok());
}

/// What is said on the way, and what was claimed.
struct Story {
    start: Instant,
    broken: Vec<&'static str>,
}

impl Story {
    fn begin() -> Self {
        Self { start: Instant::now(), broken: Vec::new() }
    }

    fn say(&self, what: impl std::fmt::Display) {
        println!("{:5.1} s  {what}", self.start.elapsed().as_secs_f64());
    }

    fn claim(&mut self, what: &'static str, held: bool) {
        self.say(format_args!("{} {what}", if held { "ok:" } else { "NOT SO:" }));
        if !held {
            self.broken.push(what);
        }
    }

    /// Says how it ended; whether all that was claimed held.
    fn end(self) -> bool {
        println!();
        for claim in &self.broken {
            println!("demo: not so: {claim}");
        }
        println!("demo: {}", if self.broken.is_empty() { "ok" } else { "failed" });
        self.broken.is_empty()
    }
}

/// Ends the process, and with it the lab, when it takes longer than `limit`.
fn end_in_time(limit: Duration) {
    let watch = move || {
        thread::sleep(limit);
        eprintln!("demo: took longer than {} s: failed", limit.as_secs());
        let _ = kill_process(getpid(), Signal::TERM);
    };
    drop(thread::Builder::new().name("demo-limit".into()).spawn(watch));
}
