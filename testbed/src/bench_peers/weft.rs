//! Weft: a `weft run` with one worker, and a document that says what the setup is.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use super::grid::{Setup, Work};
use super::rules::{Rule, rules};
use super::scene::{self, CLIENT, Guest, NEIGHBOUR, SERVER, UNDERLAY_MACS, UNDERLAY_MTU, VNI, VTEPS};
use super::systems::Cycles;
use crate::bench::ground::{Ground, MEMORY_MIB, SWITCH_CORE};
use crate::error::Doing;
use crate::host::HostOptions;
use crate::load::Pages;
use crate::{Error, Host, Result};

/// A running Weft.
#[derive(Debug)]
pub struct Weft {
    host: Host,
    before: Cycles,
}

/// The host under test, in the document.
const OWN: &str = "hv-a";
/// The one across the fabric.
const OTHER: &str = "hv-b";

impl Weft {
    /// Starts it, with a vhost-user socket for each port: `0.sock` and so on.
    pub fn start(ground: &Ground, setup: &Setup) -> Result<Self> {
        let path = ground.dir.join("weft.yaml");
        // JSON is YAML.
        let text = format!("{:#}", document(ground, setup));
        std::fs::write(&path, text).doing(|| format!("writing {}", path.display()))?;
        let options =
            HostOptions { name: OWN.into(), fabric: path, namespace: None, user: None, binary: None };
        let host = Host::start(&ground.dir, options)?;
        host.wait_ready(STARTING)?;
        Ok(Self { host, before: Cycles::default() })
    }

    /// Forgets what it has counted.
    pub fn clear(&mut self) -> Result<()> {
        self.before = self.counted()?;
        Ok(())
    }

    /// What its worker has spent on packets since: the cycles of rounds that found any.
    pub fn cycles(&mut self) -> Result<Cycles> {
        let now = self.counted()?;
        Ok(Cycles { cycles: now.cycles - self.before.cycles, packets: now.packets - self.before.packets })
    }

    /// The MAC of its uplink, which the driver makes up.
    pub fn uplink_mac(&self) -> Result<[u8; 6]> {
        let log = self.host.process().log();
        let mac = || {
            let line = log.lines().find(|line| line.contains("port=\"up0\"") && line.contains("mac="))?;
            let (_, mac) = line.split_once("mac=")?;
            let bytes: Vec<u8> = mac
                .trim()
                .split(':')
                .map(|byte| u8::from_str_radix(byte, 16))
                .collect::<Result<_, _>>()
                .ok()?;
            bytes.try_into().ok()
        };
        mac().ok_or_else(|| Error::failed("weft does not tell its uplink's MAC", self.host.process().tail()))
    }

    fn counted(&self) -> Result<Cycles> {
        let workers = self.host.show("workers")?;
        let number = |name: &str| workers[0][name].as_u64();
        match (number("busy_cycles"), number("packets")) {
            (Some(cycles), Some(packets)) => Ok(Cycles { cycles, packets }),
            _ => Err(Error::failed("weft show workers tells no cycles", workers.to_string())),
        }
    }
}

/// Its version.
pub fn version() -> Option<String> {
    let output = std::process::Command::new(crate::host::binary().ok()?).arg("--version").output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn document(ground: &Ground, setup: &Setup) -> Value {
    let socket = |port: usize| ground.dir.join(format!("{port}.sock")).display().to_string();
    let uplink = json!({
        "name": "up0",
        "device": format!("net_vhost_up0,iface={}", socket(1)),
        "address": [format!("{}/24", VTEPS[0])],
        "mtu": UNDERLAY_MTU,
        "neighbors": [{ "ip": VTEPS[1], "mac": scene::mac(UNDERLAY_MACS[1]) }],
    });
    let mut own = json!({
        "name": OWN,
        "vtep": VTEPS[0],
        "workers": { "cores": [SWITCH_CORE], "poll": "busy" },
        "memory": {
            "size": format!("{MEMORY_MIB}MiB"),
            "hugepages": if ground.pages == Pages::Huge { "required" } else { "off" },
        },
        "sessions": SESSIONS,
    });
    if setup.work.has_uplink() {
        own["uplinks"] = json!([uplink]);
    }
    let endpoint = |guest: Guest, host: &str, port: usize| {
        let mut endpoint = json!({
            "name": guest.name,
            "host": host,
            "attach": { "vhost-user": socket(port) },
            "segment": "front",
            "mac": scene::mac(guest.mac),
            "ip": guest.addresses().collect::<Vec<_>>(),
            // The bench is to open more than a guest otherwise may.
            "sessions": { "max": SESSIONS, "opening": SESSIONS, "rate": "20000000/s" },
        });
        if setup.meters {
            // Metered, and never over: what is measured is the metering.
            endpoint["qos"] = json!({ "rate": "100Gbit", "pps": "50000000pps" });
        }
        endpoint
    };
    let (beside, server) = if setup.work.has_uplink() { (OTHER, 9) } else { (OWN, 1) };
    let mut endpoints = vec![endpoint(CLIENT, OWN, 0), endpoint(SERVER, beside, server)];
    if setup.work == Work::Neighbours {
        endpoints.push(endpoint(NEIGHBOUR, OWN, 2));
    }
    let mut tenant = json!({
        "name": "blue",
        "segments": [{ "name": "front", "vni": VNI, "subnet": ["10.1.0.0/16"] }],
        "endpoints": endpoints,
    });
    if setup.work.is_stateful() {
        let rules = rules(setup.rules);
        tenant["groups"] = groups(&rules);
        let lines: Vec<Value> = rules.iter().enumerate().map(|(number, rule)| line(number, rule)).collect();
        tenant["policy"] = json!({ "default": "deny", "rules": lines });
    }
    json!({
        "fabric": { "name": "bench" },
        "hosts": [own, { "name": OTHER, "vtep": VTEPS[1] }],
        "tenants": [tenant],
    })
}

/// A group for each network that rules speak of.
fn groups(rules: &[Rule]) -> Value {
    let networks: BTreeSet<_> = rules.iter().flat_map(|rule| [rule.from, rule.to]).collect();
    let group = |network: &_| json!({ "name": group(network), "cidr": [cidr(network)] });
    networks.iter().map(group).collect()
}

fn line(number: usize, rule: &Rule) -> Value {
    let protocol = if rule.tcp { "tcp" } else { "udp" };
    let (first, last) = rule.ports;
    let service =
        if first == last { format!("{protocol}/{first}") } else { format!("{protocol}/{first}-{last}") };
    let mut line = json!({ "name": format!("r{number}"), "from": group(&rule.from), "to": group(&rule.to) });
    line[if rule.allow { "allow" } else { "deny" }] = json!([service]);
    line
}

fn group((address, length): &(std::net::Ipv4Addr, u8)) -> String {
    format!("n{}-{length}", address.octets().map(|byte| byte.to_string()).join("-"))
}

fn cidr((address, length): &(std::net::Ipv4Addr, u8)) -> String {
    format!("{address}/{length}")
}

/// Room for sessions: the flows of the largest row, and those of new ones that are not over yet.
const SESSIONS: u32 = 4 << 20;

const STARTING: Duration = Duration::from_secs(30);
