//! A packet's way over all hosts, stage by stage, in words.

use std::collections::{BTreeMap, VecDeque};
use std::net::Ipv4Addr;

use serde::Serialize;
use weft_pipelines::overlay::{Template, template};
use weft_pipelines::snapshot::{PortKind, Target};
use weft_pipelines::stages::check_policy::Outcome;
use weft_pipelines::stages::forward::Destination;
use weft_pipelines::stages::identify::Part;
use weft_pipelines::stages::parse::{Fragment, Network};
use weft_pipelines::wire::{Ethernet, Ipv4, Udp, ethernet, ipv4, tos};
use weft_pipelines::{PortId, Reason, SegmentId, TunnelId, Verdict, Vni};

use super::host::{CHECK_POLICY, Glimpse, Passage, Switch};
use super::purpose::{self, Purpose};
use super::ruling::Ruling;
use crate::config::checked::{Fabric, Host, HostIndex, Tenant};
use crate::config::scalar::Codepoint;
use crate::control::compile::TooMany;
use crate::replay::{derived_mac, uplink_mac};

/// What one stage of one host made of the packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// The host.
    pub host: String,
    /// The stage.
    pub stage: &'static str,
    /// What it found, for people.
    pub says: String,
    /// Why it dropped the packet, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropped: Option<&'static str>,
    /// What policy decided, where it was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ruling: Option<Ruling>,
}

/// A packet's way.
#[derive(Clone, Debug, Default)]
pub struct Way {
    /// Its steps.
    pub steps: Vec<Step>,
    /// The endpoints that it was sent to, `tenant/endpoint`.
    pub reached: Vec<String>,
    /// The other hosts that it was sent to and not followed to.
    pub left_to: Vec<String>,
}

/// Where a packet begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// An endpoint of this host sends it: the tenant's and the endpoint's places in the document.
    Endpoint(HostIndex, usize, usize),
    /// It comes to `host` from `peer`, in this segment.
    Fabric { host: HostIndex, peer: HostIndex, vni: Vni },
}

/// All hosts that packets came by so far.
pub struct Journey<'a> {
    fabric: &'a Fabric,
    tenant: &'a Tenant,
    switches: BTreeMap<HostIndex, Switch>,
}

/// A frame on its way to a port.
struct Arriving {
    host: HostIndex,
    port: PortId,
    frame: Vec<u8>,
}

impl<'a> Journey<'a> {
    /// A journey of packets of `tenant`.
    pub fn new(fabric: &'a Fabric, tenant: &'a Tenant) -> Self {
        Self { fabric, tenant, switches: BTreeMap::new() }
    }

    /// Takes `frame` all the way; to other hosts only if it is to be followed, and if they have uplinks in the document.
    ///
    /// # Errors
    ///
    /// When a host of the document can't be compiled.
    pub fn take(&mut self, entry: Entry, frame: &[u8], follow: bool) -> Result<Way, TooMany> {
        let mut way = Way::default();
        let mut underway = VecDeque::from([self.arriving(entry, frame)?]);
        while let Some(Arriving { host, port, frame }) = underway.pop_front() {
            let switch = self.switch(host)?;
            let passage = switch.receive(port, &frame);
            self.tell(&mut way.steps, host, port, &passage);
            for (port, frame) in passage.sent {
                let steps = &mut way.steps;
                match self.sent(steps, host, port, &frame) {
                    Sent::Endpoint(name) => way.reached.push(name),
                    Sent::Host(next) if follow && !self.fabric.hosts[next.0].uplinks.is_empty() => {
                        underway.push_back(self.across(next, frame)?);
                    }
                    Sent::Host(next) => way.left_to.push(self.fabric.hosts[next.0].name.to_string()),
                    Sent::Nowhere => {}
                }
            }
        }
        Ok(way)
    }

    fn switch(&mut self, host: HostIndex) -> Result<&mut Switch, TooMany> {
        use std::collections::btree_map::Entry;
        match self.switches.entry(host) {
            Entry::Occupied(switch) => Ok(switch.into_mut()),
            Entry::Vacant(place) => Ok(place.insert(Switch::new(self.fabric, host)?)),
        }
    }

    fn arriving(&mut self, entry: Entry, frame: &[u8]) -> Result<Arriving, TooMany> {
        match entry {
            Entry::Endpoint(host, tenant, endpoint) => {
                let tenant = &self.fabric.tenants[tenant];
                let name = super::ends::full_name(tenant, &tenant.endpoints[endpoint]);
                let labels = &self.switch(host)?.compiled.labels;
                let port = labels.ports.iter().position(|port| port.name == name).unwrap_or_default();
                Ok(Arriving { host, port: PortId(port as u16), frame: frame.to_vec() })
            }
            Entry::Fabric { host, peer, vni } => {
                let mut headers = [0; template::LEN];
                let (from, to) = (self.fabric.hosts[peer.0].vtep, self.fabric.hosts[host.0].vtep);
                Template::new(derived_mac(from), from, to, self.fabric.vxlan_port).write(
                    &mut headers,
                    vni,
                    frame.len() as u16,
                    tos::of(frame).unwrap_or_default(),
                    0,
                );
                self.across(host, [&headers[..], frame].concat())
            }
        }
    }

    /// Brings a frame over the underlay to the uplink of `host` that has its VTEP: what routers are between rewrites
    /// the MACs.
    fn across(&mut self, host: HostIndex, mut frame: Vec<u8>) -> Result<Arriving, TooMany> {
        let described = &self.fabric.hosts[host.0];
        let uplink = receiving_uplink(described);
        if let Some(header) = frame.first_chunk_mut::<6>() {
            *header = uplink_mac(described, &described.uplinks[uplink]).0;
        }
        // A host's first ports are its uplinks'.
        let port = self.switch(host)?.compiled.ports[uplink];
        Ok(Arriving { host, port, frame })
    }

    /// Says where a frame went that a switch sent.
    fn sent(&self, steps: &mut Vec<Step>, host: HostIndex, port: PortId, frame: &[u8]) -> Sent {
        let switch = &self.switches[&host];
        let name = &switch.compiled.labels.ports[port.index()].name;
        let mut say = |stage, says| steps.push(self.step(host, stage, says));
        if matches!(switch.snapshot().port(port).kind, PortKind::Guest(_)) {
            let class = traffic_class(switch, port, frame);
            let class = class.map_or_else(String::new, |class| format!(", in its traffic class {class}"));
            say("deliver", format!("sent to {name}{class}"));
            return Sent::Endpoint(name.clone());
        }
        let destination = Ethernet::split(frame)
            .and_then(|(ethernet, packet)| Some((ethernet.destination(), Ipv4::split(packet).ok()?.0)));
        let Some((mac, ip)) = destination else { return Sent::Nowhere };
        let vtep: Ipv4Addr = ip.destination();
        say("resolve", format!("sent by {name} to {vtep}, next hop {mac}{}", self.assumed(host, vtep)));
        let next = self.fabric.hosts.iter().position(|host| host.vtep == vtep);
        next.map_or(Sent::Nowhere, |next| Sent::Host(HostIndex(next)))
    }

    /// What to say of a next hop's MAC that the document does not give.
    fn assumed(&self, host: HostIndex, vtep: Ipv4Addr) -> &'static str {
        let snapshot = self.switches[&host].snapshot();
        let tunnel = snapshot.tunnels.iter().find(|tunnel| tunnel.vtep == vtep);
        match tunnel.and_then(|tunnel| snapshot.hop(tunnel.hop).fixed) {
            Some(_) => "",
            None => " (made up; in the running switch ARP tells it)",
        }
    }

    fn step(&self, host: HostIndex, stage: &'static str, says: String) -> Step {
        let host = self.fabric.hosts[host.0].name.to_string();
        Step { host, stage, says, dropped: None, ruling: None }
    }

    /// Puts into words what a switch made of a packet.
    fn tell(&self, steps: &mut Vec<Step>, host: HostIndex, port: PortId, passage: &Passage) {
        let teller = Teller { journey: self, switch: &self.switches[&host], port };
        let mut named = Vec::new();
        for glimpse in &passage.glimpses {
            // What was dropped stays in its burst until the burst's end.
            if let Verdict::Drop(reason) = glimpse.verdict {
                if named.contains(&reason) {
                    continue;
                }
                named.push(reason);
                let says = format!("dropped as {}: {}", reason.name(), reason.help());
                let mut step = self.step(host, glimpse.stage, says);
                step.dropped = Some(reason.name());
                if let (Outcome::Refused(decision), Reason::PolicyDenied) = (glimpse.outcome, reason) {
                    let ruling = Ruling::of(self.tenant, &decision);
                    step.says = ruling.to_string();
                    step.ruling = Some(ruling);
                }
                steps.push(step);
                continue;
            }
            if let Some((says, ruling)) = teller.says(glimpse) {
                steps.push(Step { ruling, ..self.step(host, glimpse.stage, says) });
            }
        }
        // Behind the last stage that shows its burst.
        for reason in passage.dropped.iter().filter(|reason| !named.contains(reason)) {
            let stage = if *reason == Reason::NoDestination { "replicate" } else { "resolve" };
            let says = format!("dropped as {}: {}", reason.name(), reason.help());
            steps.push(Step { dropped: Some(reason.name()), ..self.step(host, stage, says) });
        }
    }
}

/// Where a switch sent a frame.
enum Sent {
    Endpoint(String),
    Host(HostIndex),
    Nowhere,
}

/// The name of the traffic class of a guest at `port` that `frame` is in, if it has several.
fn traffic_class<'a>(switch: &'a Switch, port: PortId, frame: &[u8]) -> Option<&'a str> {
    let names = &switch.compiled.labels.ports[port.index()].classes;
    let class = switch.snapshot().guest(port)?.classes.of(tos::of(frame).unwrap_or_default());
    let name = names.get(class.index()).filter(|_| names.len() > 1)?;
    Some(name)
}

/// The place of the uplink that has the host's VTEP.
fn receiving_uplink(host: &Host) -> usize {
    let has_vtep =
        host.uplinks.iter().position(|uplink| uplink.addresses.iter().any(|net| net.addr() == host.vtep));
    has_vtep.unwrap_or_default()
}

/// Puts the findings of one host's stages into words.
struct Teller<'a> {
    journey: &'a Journey<'a>,
    switch: &'a Switch,
    /// Where the packet came in.
    port: PortId,
}

impl Teller<'_> {
    /// What a stage found of a packet that passes it, and what policy decided.
    fn says(&self, glimpse: &Glimpse) -> Option<(String, Option<Ruling>)> {
        let says = match glimpse.stage {
            "parse" => parsed(glimpse),
            "spoof_check" => format!("MAC and address are those of {}", self.port_name(self.port)),
            "decap" => self.decapsulated(glimpse),
            "forward" => self.forwarded(glimpse),
            "lookup_flow" => flow(glimpse),
            CHECK_POLICY => return Some(self.checked(glimpse)),
            "encap" => self.encapsulated(glimpse)?,
            _ => return None,
        };
        Some((says, None))
    }

    fn port_name(&self, port: PortId) -> &str {
        &self.switch.compiled.labels.ports[port.index()].name
    }

    fn peer_name(&self, tunnel: TunnelId) -> &str {
        self.switch.compiled.labels.tunnels[tunnel.index()].as_deref().unwrap_or("a host that is no more")
    }

    fn segment(&self, segment: SegmentId) -> String {
        let vni = self.switch.snapshot().segment(segment).vni;
        let named = self.journey.fabric.tenants.iter().find_map(|tenant| {
            let segment = tenant.segments.iter().find(|segment| segment.vni == vni)?;
            Some(format!("segment {} of tenant {}", segment.name, tenant.name))
        });
        format!("VNI {} is {}", vni.value(), named.unwrap_or_else(|| "nobody's".to_owned()))
    }

    fn decapsulated(&self, glimpse: &Glimpse) -> String {
        let peer = self.peer_name(glimpse.tunnel);
        format!("{}: from the VTEP of {peer}; {}", self.port_name(self.port), self.segment(glimpse.segment))
    }

    fn forwarded(&self, glimpse: &Glimpse) -> String {
        let mac = Ethernet::split(&glimpse.data).map(|(header, _)| header.destination()).unwrap_or_default();
        match glimpse.destination {
            Destination::Port(port) => format!("{mac} is {}, on this host", self.port_name(port)),
            Destination::Tunnel(tunnel) => {
                format!("{mac} is on host {}: into the tunnel to it", self.peer_name(tunnel))
            }
            Destination::Everyone => {
                format!("{mac} is no endpoint's: flooded to {}", self.everyone(glimpse.segment))
            }
        }
    }

    /// All that a flood reaches from here. What came out of the fabric does not go back into it.
    fn everyone(&self, segment: SegmentId) -> String {
        let is_guest = self.switch.snapshot().guest(self.port).is_some();
        let targets = self.switch.snapshot().segment(segment).everyone_but(self.port);
        let names = targets.filter_map(|target| match target {
            Target::Port(port) => Some(self.port_name(port).to_owned()),
            Target::Tunnel(tunnel) if is_guest => Some(format!("host {}", self.peer_name(tunnel))),
            Target::Tunnel(_) => None,
        });
        let names: Vec<String> = names.collect();
        if names.is_empty() { "nobody".to_owned() } else { names.join(", ") }
    }

    fn checked(&self, glimpse: &Glimpse) -> (String, Option<Ruling>) {
        let ruling = |decision| Ruling::of(self.journey.tenant, decision);
        match (glimpse.outcome, &self.switch.opened) {
            (Outcome::Opened(decision), _) => {
                let ruling = ruling(&decision);
                (format!("{ruling}; a session is opened"), Some(ruling))
            }
            (Outcome::Known, Some(decision)) => {
                (format!("passes by its session, which was {}", ruling(decision)), None)
            }
            (Outcome::Known, None) => ("passes by its session".to_owned(), None),
            (Outcome::Untracked | Outcome::Refused(_), _) => {
                ("not held to policy: the tenant has none".to_owned(), None)
            }
        }
    }

    fn encapsulated(&self, glimpse: &Glimpse) -> Option<String> {
        let packet = glimpse.data.get(ethernet::LEN..)?;
        let (udp, _) = Udp::split(packet.get(ipv4::LEN..)?).ok()?;
        let (ip, _) = Ipv4::split(packet).ok()?;
        let peer = self.peer_name(glimpse.tunnel);
        let vni = self.switch.snapshot().segment(glimpse.segment).vni.value();
        let (from, to, port) = (ip.source(), ip.destination(), udp.source_port());
        let class = traffic_class(self.switch, self.port, glimpse.data.get(template::LEN..)?);
        let class = class.map_or_else(String::new, |class| {
            format!("; in traffic class {class} of {}", self.port_name(self.port))
        });
        let mark = match tos::of(&glimpse.data).map(|tos| Codepoint(tos >> 2)) {
            Some(dscp) if dscp != Codepoint::default() => format!(", DSCP {dscp}"),
            _ => String::new(),
        };
        Some(format!(
            "VXLAN from {from} to {to}, the VTEP of {peer}; VNI {vni}, UDP source port {port}{mark}{class}"
        ))
    }
}

fn parsed(glimpse: &Glimpse) -> String {
    let network = match glimpse.headers.network {
        Network::Arp => "ARP",
        Network::Ipv4 => "IPv4",
        Network::Ipv6 => "IPv6",
    };
    let fragment = if glimpse.headers.fragment == Fragment::Whole { "" } else { ", a fragment" };
    let protocol = match glimpse.headers.protocol {
        _ if glimpse.headers.network == Network::Arp => String::new(),
        protocol => format!(", {}", purpose::protocol_name(protocol)),
    };
    format!("{network}{protocol}, {} bytes{fragment}", glimpse.data.len())
}

fn flow(glimpse: &Glimpse) -> String {
    let Some(question) = glimpse.question else {
        return match glimpse.part {
            Part::Later => "a later fragment: it does not tell its flow".to_owned(),
            Part::Astray => "an ICMP error about nothing that its receiver sent".to_owned(),
            _ => "has no flow".to_owned(),
        };
    };
    let purpose = Purpose { protocol: question.protocol, port: question.port };
    let about = format!("{} to {}, {purpose}", question.from, question.to);
    let part = match glimpse.part {
        Part::Answers => "an answer of ",
        Part::About => "an error about ",
        _ => "",
    };
    let session = if glimpse.session { "there is a session" } else { "no session yet" };
    format!("{part}{about}: {session}")
}
