//! What the stages of one host found about a packet, in words: of a made-up one as of one that came.

use std::borrow::Cow;
use std::net::Ipv4Addr;

use serde::Serialize;
use weft_pipelines::overlay::template;
use weft_pipelines::policy::{Action, Decision};
use weft_pipelines::qos::Colour;
use weft_pipelines::snapshot::{PortKind, Snapshot, Target};
use weft_pipelines::stages::check_policy::Outcome;
use weft_pipelines::stages::forward::Destination;
use weft_pipelines::stages::identify::Part;
use weft_pipelines::stages::parse::{Fragment, Network};
use weft_pipelines::wire::{Ethernet, Ipv4, ethernet, ipv4, tos};
use weft_pipelines::{PortId, Reason, SegmentId, TunnelId, Verdict, Vni};

use super::glimpse::{Glimpse, Leave};
use super::purpose::{self, Purpose};
use super::ruling::Ruling;
use crate::config::checked::{Fabric, Tenant};
use crate::config::scalar::Codepoint;
use crate::control::compile::{Compiled, TenantPolicy};

/// The stage that says in its outcome what policy decided.
pub const CHECK_POLICY: &str = "check_policy";
/// The stage that finds the session.
pub const LOOKUP_FLOW: &str = "lookup_flow";

/// What one stage of one host made of the packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// The host.
    pub host: String,
    /// The stage.
    pub stage: Cow<'static, str>,
    /// What it found, for people.
    pub says: String,
    /// Why it dropped the packet, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropped: Option<Cow<'static, str>>,
    /// What policy decided, where it was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ruling: Option<Ruling>,
}

/// Puts the findings of one host's stages into words.
#[derive(Clone, Copy)]
pub struct Teller<'a> {
    /// The document.
    pub fabric: &'a Fabric,
    /// What was made of it for the host.
    pub compiled: &'a Compiled,
    /// Where the packet came in.
    pub port: PortId,
}

impl<'a> Teller<'a> {
    /// What a stage says.
    pub fn step(&self, stage: &'static str, says: String) -> Step {
        let host = self.compiled.labels.host.clone();
        Step { host, stage: stage.into(), says, dropped: None, ruling: None }
    }

    /// What the stages made of a packet.
    pub fn steps<'b>(&self, glimpses: impl IntoIterator<Item = &'b Glimpse>) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut named = Vec::new();
        for glimpse in glimpses {
            if let Verdict::Drop(reason) = glimpse.verdict {
                // What was dropped stays in its burst until the burst's end.
                if !named.contains(&reason) {
                    named.push(reason);
                    steps.push(self.dropped(glimpse, reason));
                }
            } else if let Some((says, ruling)) = self.says(glimpse) {
                steps.push(Step { ruling, ..self.step(glimpse.stage, says) });
            }
        }
        steps
    }

    fn dropped(&self, glimpse: &Glimpse, reason: Reason) -> Step {
        let mut step = self.drop_step(glimpse.stage, reason);
        if let (Outcome::Refused(decision), Reason::PolicyDenied) = (glimpse.outcome, reason)
            && let Some(ruling) = self.ruling(glimpse.segment, &decision)
        {
            step.says = ruling.to_string();
            step.ruling = Some(ruling);
        }
        step
    }

    /// That a packet was dropped behind the last stage that shows its burst, where it was received from `port` or was on
    /// its way out by it.
    pub fn lost(&self, port: PortId, reason: Reason) -> Step {
        let stage = match reason {
            Reason::NoDestination => "replicate",
            Reason::NeighborUnresolved | Reason::NeighborQueueFull => "resolve",
            Reason::HandOverFull => "hand_over",
            _ if self.is_guest(port) => "deliver",
            _ => "resolve",
        };
        self.drop_step(stage, reason)
    }

    fn drop_step(&self, stage: &'static str, reason: Reason) -> Step {
        let says = format!("dropped as {}: {}", reason.name(), reason.help());
        Step { dropped: Some(reason.name().into()), ..self.step(stage, says) }
    }

    /// Where a frame went that was sent by `port`, and to which VTEP if that is an uplink. `note` is what there is to say
    /// of the next hop to a VTEP.
    pub fn sent(
        &self,
        port: PortId,
        frame: &[u8],
        note: impl Fn(Ipv4Addr) -> &'static str,
    ) -> Option<(Step, Option<Ipv4Addr>)> {
        let name = self.port_name(port);
        if self.is_guest(port) {
            let class = self.traffic_class(port, frame);
            let class = class.map_or_else(String::new, |class| format!(", in its traffic class {class}"));
            return Some((self.step("deliver", format!("sent to {name}{class}")), None));
        }
        let (ethernet, packet) = Ethernet::split(frame)?;
        let vtep = Ipv4::split_cut(packet).ok()?.0.destination();
        let mac = ethernet.destination();
        let says = format!("sent by {name} to {vtep}, next hop {mac}{}", note(vtep));
        Some((self.step("resolve", says), Some(vtep)))
    }

    fn snapshot(&self) -> &'a Snapshot {
        &self.compiled.snapshot
    }

    fn is_guest(&self, port: PortId) -> bool {
        self.snapshot().ports.get(port.index()).is_some_and(|port| matches!(port.kind, PortKind::Guest(_)))
    }

    /// The name of the traffic class of a guest at `port` that `frame` is in, if it has several.
    fn traffic_class(&self, port: PortId, frame: &[u8]) -> Option<&'a str> {
        let names = &self.compiled.labels.ports.get(port.index())?.classes;
        let class = self.is_guest(port).then(|| self.snapshot().guest(port)).flatten()?;
        let class = class.classes.of(tos::of(frame).unwrap_or_default());
        let name = names.get(class.index()).filter(|_| names.len() > 1)?;
        Some(name)
    }

    /// The segment of the guest at the port where the packet came in.
    pub fn segment_of_port(&self) -> Option<SegmentId> {
        self.is_guest(self.port)
            .then(|| self.snapshot().guest(self.port))
            .flatten()
            .map(|guest| guest.segment)
    }

    /// The VNI of a segment.
    pub fn vni(&self, segment: SegmentId) -> Option<Vni> {
        Some(self.snapshot().segments.get(segment.index())?.vni)
    }

    /// Whose segment it is.
    pub fn tenant(&self, segment: SegmentId) -> Option<&'a Tenant> {
        let vni = self.vni(segment)?;
        self.fabric.tenants.iter().find(|tenant| tenant.segments.iter().any(|segment| segment.vni == vni))
    }

    fn ruling(&self, segment: SegmentId, decision: &Decision) -> Option<Ruling> {
        Some(Ruling::of(self.tenant(segment)?, decision))
    }

    /// What a stage found of a packet that passes it, and what policy decided.
    fn says(&self, glimpse: &Glimpse) -> Option<(String, Option<Ruling>)> {
        if glimpse.verdict == Verdict::ForSwitch {
            let says = "for the switch itself, which answers it or learns from it";
            return (glimpse.stage == "decap").then(|| (says.to_owned(), None));
        }
        let says = match glimpse.stage {
            "parse" => parsed(glimpse),
            "spoof_check" => format!("MAC and address are those of {}", self.port_name(self.port)),
            "decap" => self.decapsulated(glimpse),
            "forward" => self.forwarded(glimpse),
            LOOKUP_FLOW => flow(glimpse),
            CHECK_POLICY => return Some(self.checked(glimpse)),
            "meter" => self.metered(glimpse)?,
            "encap" => self.encapsulated(glimpse)?,
            _ => return None,
        };
        Some((says, None))
    }

    /// The name of a port.
    pub fn port_name(&self, port: PortId) -> &'a str {
        let label = self.compiled.labels.ports.get(port.index());
        label.map_or("a port that is new", |label| &label.name)
    }

    fn peer_name(&self, tunnel: TunnelId) -> &'a str {
        let label = self.compiled.labels.tunnels.get(tunnel.index());
        label.map_or("a host that is new", |name| name.as_deref().unwrap_or("a host that is no more"))
    }

    fn segment(&self, segment: SegmentId) -> String {
        let Some(vni) = self.vni(segment) else { return "of a segment that is new".to_owned() };
        let named = self.fabric.tenants.iter().find_map(|tenant| {
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
        let is_guest = self.is_guest(self.port);
        let segment = self.snapshot().segments.get(segment.index());
        let targets = segment.into_iter().flat_map(|segment| segment.everyone_but(self.port));
        let names = targets.filter_map(|target| match target {
            Target::Port(port) => Some(self.port_name(port).to_owned()),
            Target::Tunnel(tunnel) if is_guest => Some(format!("host {}", self.peer_name(tunnel))),
            Target::Tunnel(_) => None,
        });
        let names: Vec<String> = names.collect();
        if names.is_empty() { "nobody".to_owned() } else { names.join(", ") }
    }

    fn checked(&self, glimpse: &Glimpse) -> (String, Option<Ruling>) {
        match glimpse.outcome {
            Outcome::Opened(decision) => match self.ruling(glimpse.segment, &decision) {
                Some(ruling) => (format!("{ruling}; a session is opened"), Some(ruling)),
                None => ("a session is opened".to_owned(), None),
            },
            Outcome::Known => {
                let by = glimpse.leave.and_then(|leave| self.allowed(glimpse.segment, leave));
                let by = by.map_or_else(String::new, |by| format!(", which was {by}"));
                (format!("passes by its session{by}"), None)
            }
            Outcome::Untracked if glimpse.question.is_none() => {
                ("not held to policy, for it has no flow".to_owned(), None)
            }
            Outcome::Untracked | Outcome::Refused(_) => {
                ("not held to policy: the tenant has none".to_owned(), None)
            }
        }
    }

    /// By whom a session is allowed: as it was when it was opened, or as a new configuration has found since.
    fn allowed(&self, segment: SegmentId, Leave { rule, would_rule, would_deny }: Leave) -> Option<String> {
        let vni = self.vni(segment)?;
        let its = |tenant: &Tenant| tenant.segments.iter().any(|segment| segment.vni == vni);
        let tenants = self.fabric.tenants.iter().zip(&self.compiled.policies);
        let (tenant, TenantPolicy { rules, .. }) = tenants.into_iter().find(|(tenant, _)| its(tenant))?;
        // The place of a rule; `None` within is the default.
        let place = |slot: u32| match rules.rules.iter().position(|rule| rule.slot == slot) {
            Some(place) => Some(Some(place as u32)),
            None => (slot == rules.default_slot).then_some(None),
        };
        let Some(rule) = place(rule) else { return Some("allowed by a rule that is no more".to_owned()) };
        let would = place(would_rule).filter(|_| would_deny);
        let decision = Decision {
            action: Action::Allow,
            rule,
            would: if would.is_some() { Action::Deny } else { Action::Allow },
            would_rule: would.unwrap_or(rule),
        };
        Some(Ruling::of(tenant, &decision).to_string())
    }

    /// What the meter says, where that is more than nothing.
    fn metered(&self, glimpse: &Glimpse) -> Option<String> {
        let of = || {
            format!(
                "beyond the assured rate of {}: dropped first where there is no room",
                self.port_name(self.port)
            )
        };
        (glimpse.colour == Colour::Yellow).then(of)
    }

    fn encapsulated(&self, glimpse: &Glimpse) -> Option<String> {
        let packet = glimpse.data.get(ethernet::LEN..)?;
        let source = packet.get(ipv4::LEN..)?.first_chunk().copied().map(u16::from_be_bytes)?;
        let (ip, _) = Ipv4::split_cut(packet).ok()?;
        let peer = self.peer_name(glimpse.tunnel);
        let vni = self.vni(glimpse.segment)?.value();
        let (from, to, port) = (ip.source(), ip.destination(), source);
        let class = self.traffic_class(self.port, glimpse.data.get(template::LEN..)?);
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
    format!("{network}{protocol}, {} bytes{fragment}", glimpse.data.whole())
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

#[cfg(test)]
mod tests {
    use weft_pipelines::Epoch;

    use super::*;
    use crate::config;
    use crate::config::checked::HostIndex;
    use crate::control::compile::compile;

    const DOCUMENT: &str = r#"
fabric: { name: lab }
hosts: [{ name: here, vtep: 198.51.100.1 }]
tenants:
  - name: blue
    segments: [{ name: front, vni: 1001, subnet: [10.1.0.0/24] }]
    endpoints:
      - { name: web, host: here, attach: { vhost-user: web }, segment: front, mac: "02:00:00:00:00:01", ip: [10.1.0.1] }
    policy:
      default: allow
      rules:
        - { name: first, from: any, to: any, allow: [tcp/80] }
        - { name: tried, from: any, to: any, deny: [tcp], mode: audit }
"#;

    #[test]
    fn a_session_says_who_allows_it() {
        let fabric = config::parse("test", DOCUMENT).unwrap();
        let compiled = compile(&fabric, HostIndex(0), &[], 1, Epoch(1), None).unwrap();
        let teller = Teller { fabric: &fabric, compiled: &compiled, port: PortId(0) };
        let rules = &compiled.policies[0].rules;
        let (first, tried, default) = (rules.rules[0].slot, rules.rules[1].slot, rules.default_slot);
        let by = |rule, would_rule, would_deny| {
            teller.allowed(SegmentId(0), Leave { rule, would_rule, would_deny }).unwrap()
        };
        assert_eq!(by(first, first, false), "allowed by rule first (line 12)");
        assert_eq!(by(default, default, false), "allowed by the default (line 10)");
        assert_eq!(
            by(default, tried, true),
            "allowed by the default (line 10); were all enforced that is under audit, rule tried (line 13) would deny it"
        );
        // Rules that came between, of a configuration that is not in force yet or no more.
        assert_eq!(by(first, 99, true), "allowed by rule first (line 12)");
        assert_eq!(by(99, 99, false), "allowed by a rule that is no more");
        assert_eq!(teller.allowed(SegmentId(9), Leave { rule: 0, would_rule: 0, would_deny: false }), None);
    }
}
