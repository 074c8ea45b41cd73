//! The documents of the runs: one tenant, one segment, endpoints that differ in nothing but their numbers.

use std::fmt::Write;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use crate::bench::ground::SWITCH_CORE;
use crate::load::{Kind, Pages, Traffic};

/// The host whose switch is measured.
pub const HOST: &str = "hv-a";

/// A fabric, as its host has it.
#[derive(Clone, Debug)]
pub struct Fabric {
    /// The workers' cores.
    pub cores: Vec<u32>,
    /// Packet memory, in MiB, and what it is made of.
    pub memory: (u32, Pages),
    /// Room for sessions, of each worker and family.
    pub sessions: u32,
    /// What the host's own endpoints are attached to: the first ones of all.
    pub local: Vec<Attach>,
    /// How many endpoints are on other hosts. With any there is an uplink.
    pub remote: usize,
    /// How many rules there are between groups, beside the one that lets through what is sent here.
    pub rules: u32,
    /// Whether the middle one of these is another one.
    pub changed: bool,
}

/// What an endpoint is attached to.
#[derive(Clone, Debug)]
pub enum Attach {
    /// A vhost-user socket: [`socket`].
    Socket,
    /// A device that receives the packets of a recording again and again, and takes whatever it is sent.
    Recording(PathBuf),
}

impl Fabric {
    /// A host with one worker, such packet memory, and this many vhost-user ports.
    pub fn of_sockets(memory: (u32, Pages), ports: usize) -> Self {
        Self {
            cores: vec![SWITCH_CORE],
            memory,
            sessions: SESSIONS,
            local: vec![Attach::Socket; ports],
            remote: 0,
            rules: 0,
            changed: false,
        }
    }

    /// Groups that rules speak of; endpoints are in them in turn, and none is empty.
    pub fn groups(&self) -> usize {
        (self.local.len() + self.remote).min(GROUPS)
    }

    /// The document.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        let (memory, pages) = self.memory;
        let hugepages = if pages == Pages::Huge { "required" } else { "off" };
        writeln!(text, "fabric: {{ name: bench }}\nhosts:")?;
        writeln!(text, "  - name: {HOST}\n    vtep: 198.51.100.1\n    sessions: {}", self.sessions)?;
        writeln!(text, "    workers: {{ cores: {:?}, poll: busy }}", self.cores)?;
        writeln!(text, "    memory: {{ size: {memory}MiB, hugepages: {hugepages} }}")?;
        if self.remote > 0 {
            // Nothing comes by it, and what is sent is gone.
            writeln!(
                text,
                "    uplinks: [{{ name: up0, device: \"net_null0,no-rx=1\", address: [198.51.100.1/24] }}]"
            )?;
            for peer in 0..PEERS {
                writeln!(text, "  - {{ name: peer-{peer}, vtep: 198.51.100.{} }}", 10 + peer)?;
            }
        }
        writeln!(
            text,
            "tenants:\n  - name: blue\n    segments: [{{ name: front, vni: 1001, subnet: [10.1.0.0/16] }}]"
        )?;
        let groups = self.groups();
        if self.rules > 0 {
            writeln!(text, "    groups:")?;
            (0..groups).try_for_each(|group| writeln!(text, "      - {{ name: g{group} }}"))?;
        }
        writeln!(text, "    endpoints:")?;
        let here = self.local.iter().enumerate().map(|(number, attach)| match attach {
            Attach::Socket => (HOST.to_owned(), format!("vhost-user: {}", socket(number))),
            Attach::Recording(path) => (
                HOST.to_owned(),
                format!("device: \"net_pcap{number},rx_pcap={},infinite_rx=1\"", path.display()),
            ),
        });
        let there = (self.local.len()..self.local.len() + self.remote)
            .map(|number| (format!("peer-{}", number % PEERS), format!("vhost-user: {}", socket(number))));
        for (number, (host, attach)) in here.chain(there).enumerate() {
            let member =
                if self.rules > 0 { format!(", groups: [g{}]", number % groups) } else { String::new() };
            writeln!(
                text,
                "      - {{ name: e{number}, host: {host}, attach: {{ {attach} }}, segment: front, mac: \"{}\", ip: [{}], \
                 sessions: {{ max: {2}, opening: {2}, rate: 20000000/s }}{member} }}",
                mac(number).map(|byte| format!("{byte:02x}")).join(":"),
                address(number),
                self.sessions
            )?;
        }
        writeln!(text, "    policy:\n      default: deny\n      rules:")?;
        for rule in 0..self.rules as usize {
            // No two are about the same pair of groups and the same port.
            let (from, to) = (rule % groups, (rule * 7 + rule / groups) % groups);
            let more = if self.changed && rule == self.rules as usize / 2 { ", udp/443" } else { "" };
            let port = rule % 60_000 + 1;
            writeln!(
                text,
                "        - {{ name: r{rule}, from: g{from}, to: g{to}, allow: [tcp/{port}{more}] }}"
            )?;
        }
        let last = SERVICE + SERVICES - 1;
        writeln!(text, "        - {{ name: load, from: any, to: any, allow: [udp/{SERVICE}-{last}] }}")
    }
}

/// The socket of an endpoint, in the switch's folder.
pub fn socket(number: usize) -> String {
    format!("e{number}.sock")
}

/// What one endpoint sends to another, all of it let through by policy.
pub fn traffic(from: usize, to: usize) -> Traffic {
    Traffic {
        macs: [mac(from), mac(to)],
        addresses: [address(from), address(to)],
        hosts: [1, 1],
        service: SERVICE,
        services: SERVICES,
        answers: false,
        kind: Kind::Udp,
        tunnel: None,
    }
}

fn mac(number: usize) -> [u8; 6] {
    let [high, low] = (number as u16).to_be_bytes();
    [2, 0, 0, 0, high, low]
}

fn address(number: usize) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 1, 0, 1)) + number as u32)
}

/// Room for sessions where that is not what is measured.
const SESSIONS: u32 = 10_000;
/// Other hosts.
const PEERS: usize = 10;
/// Groups, where there are as many endpoints.
const GROUPS: usize = 1_000;
/// The ports that endpoints are reached at.
const SERVICE: u16 = 8000;
const SERVICES: u16 = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_good_and_have_what_was_asked_for() {
        let small = Fabric { remote: 7, rules: 20, ..Fabric::of_sockets((128, Pages::Small), 3) };
        let recording = Attach::Recording("/tmp/a.pcap".into());
        let two = Fabric {
            cores: vec![0, 1],
            local: vec![recording; 4],
            ..Fabric::of_sockets((128, Pages::Huge), 0)
        };
        for (fabric, endpoints, rules) in [(small, 10, 21), (two, 4, 1)] {
            let read = weft::config::parse("bench", &fabric.text()).unwrap_or_else(|found| panic!("{found}"));
            assert!(read.warnings.list.is_empty(), "{}", read.warnings);
            assert_eq!(read.tenants[0].endpoints.len(), endpoints);
            assert_eq!(read.tenants[0].policy.rules.len(), rules);
        }
    }

    #[test]
    fn a_change_is_of_one_line() {
        let fabric = Fabric { rules: 20, ..Fabric::of_sockets((128, Pages::Small), 2) };
        let (before, after) = (fabric.text(), Fabric { changed: true, ..fabric }.text());
        assert_eq!(before.lines().zip(after.lines()).filter(|(before, after)| before != after).count(), 1);
    }
}
