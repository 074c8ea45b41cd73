//! Parts of the document in short words, for people: what a rule says, what an uplink is.

use std::fmt::Display;
use std::time::Duration;

use crate::config::checked::{
    Attach, Class, Dscp, Host, Memory, Mode, Peer, Qos, Rule, Service, SessionLimits, Tenant, Tracking,
    Uplink, Verdict, VhostMode, Workers,
};
use crate::config::scalar::{PacketRate, Rate, Size};

/// A rule of `tenant`: `web -> db allow tcp/5432, udp/53 (audit)`.
pub fn rule(tenant: &Tenant, rule: &Rule) -> String {
    let side = |peer: Peer| match peer {
        Peer::Any => "any",
        Peer::Group(index) => tenant.groups.get(index.0).map_or("?", |group| &group.name),
    };
    let (from, to) = (side(rule.from), side(rule.to));
    let services = list(rule.services.iter().map(service));
    let marks: Vec<&str> = [(rule.mode == Mode::Audit, "audit"), (rule.log, "log")]
        .into_iter()
        .filter(|m| m.0)
        .map(|m| m.1)
        .collect();
    let marks = if marks.is_empty() { String::new() } else { format!(" ({})", marks.join(", ")) };
    format!("{from} -> {to} {} {services}{marks}", verdict(rule.verdict))
}

/// `allow` or `deny`.
pub fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Allow => "allow",
        Verdict::Deny => "deny",
    }
}

/// `enforce` or `audit`.
pub fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Enforce => "enforce",
        Mode::Audit => "audit",
    }
}

/// `strict` or `liberal`.
pub fn tracking(tracking: Tracking) -> &'static str {
    match tracking {
        Tracking::Strict => "strict",
        Tracking::Liberal => "liberal",
    }
}

/// A service as the document writes it.
fn service(service: &Service) -> String {
    let ports = |protocol: &str, first: u16, last: u16| match (first, last) {
        (0, u16::MAX) => protocol.to_owned(),
        (first, last) if first == last => format!("{protocol}/{first}"),
        (first, last) => format!("{protocol}/{first}-{last}"),
    };
    let message = |protocol: &str, kind: Option<u8>, code: Option<u8>| match (kind, code) {
        (None, _) => protocol.to_owned(),
        (Some(kind), None) => format!("{protocol}/{kind}"),
        (Some(kind), Some(code)) => format!("{protocol}/{kind}/{code}"),
    };
    match service {
        Service::Any => "any".to_owned(),
        Service::Tcp(range) => ports("tcp", range.first(), range.last()),
        Service::Udp(range) => ports("udp", range.first(), range.last()),
        Service::Sctp(range) => ports("sctp", range.first(), range.last()),
        Service::Icmp { kind, code } => message("icmp", *kind, *code),
        Service::Icmpv6 { kind, code } => message("icmpv6", *kind, *code),
    }
}

/// A time as the document writes it, in the largest unit that needs no fraction.
pub fn period(period: Duration) -> String {
    let seconds = period.as_secs();
    let units = [(86_400, "d"), (3_600, "h"), (60, "m")];
    let unit = units.into_iter().find(|(unit, _)| seconds >= *unit && seconds.is_multiple_of(*unit));
    let (unit, name) = unit.unwrap_or((1, "s"));
    format!("{}{name}", seconds / unit)
}

/// How an endpoint is attached.
pub fn attach(attach: &Attach) -> String {
    match attach {
        Attach::Device(device) => device.clone(),
        Attach::VhostUser { path, mode, queues } => {
            let mode = if *mode == VhostMode::Client { ", client" } else { "" };
            let queues = if *queues == 1 { String::new() } else { format!(", {queues} queues") };
            format!("vhost-user {}{mode}{queues}", path.display())
        }
    }
}

/// `pipe` or `uniform`.
pub fn dscp(dscp: Dscp) -> &'static str {
    match dscp {
        Dscp::Pipe => "pipe",
        Dscp::Uniform => "uniform",
    }
}

/// Limits and a share.
pub fn qos(qos: &Option<Qos>) -> Option<String> {
    let Qos { rate, ceil, burst, weight, pps, classes: _, at: _ } = qos.as_ref()?;
    let parts = [
        rate.map(|rate| format!("rate {}", Rate(rate))),
        ceil.map(|ceil| format!("ceil {}", Rate(ceil))),
        burst.map(|burst| format!("burst {}", Size(burst))),
        pps.map(|pps| format!("pps {}", PacketRate(pps))),
        Some(format!("weight {weight}")),
    ];
    Some(list(parts.into_iter().flatten()))
}

/// The traffic classes, in their order; none if nothing is said.
pub fn classes(qos: &Option<Qos>) -> Option<String> {
    let class = |Class { name, dscp, rest, strict, weight, mark }: &Class| {
        let packets = if *rest { "all other".to_owned() } else { dscp.to_string() };
        let served = if *strict { "strict".to_owned() } else { format!("weight {weight}") };
        let mark = if mark.0 == 0 { String::new() } else { format!(", mark {mark}") };
        format!("{name} ({packets}; {served}{mark})")
    };
    let classes = &qos.as_ref()?.classes;
    (!classes.is_empty()).then(|| list(classes.iter().map(class)))
}

/// What a guest may take of the room for sessions; none if nothing is said.
pub fn limits(limits: &SessionLimits) -> Option<String> {
    let SessionLimits { max, opening, rate } = limits;
    let part =
        |name: &str, value: &Option<u32>, unit: &str| value.map(|value| format!("{name} {value}{unit}"));
    let parts = [part("max", max, ""), part("opening", opening, ""), part("rate", rate, "/s")];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// A host's workers.
pub fn workers(workers: &Workers) -> String {
    let poll = format!("{:?}", workers.poll).to_lowercase();
    if workers.cores.is_empty() {
        return format!("one, {poll}");
    }
    format!("cores {}, {poll}", list(&workers.cores))
}

/// A host's memory.
pub fn memory(memory: &Memory) -> String {
    format!("{} MiB, hugepages {}", memory.size >> 20, format!("{:?}", memory.hugepages).to_lowercase())
}

/// An uplink.
pub fn uplink(uplink: &Uplink) -> String {
    let Uplink { name: _, device, addresses, mtu, rate, neighbors, gateway, at: _ } = uplink;
    let mut text = format!("{device}, {}, mtu {mtu}", list(addresses));
    if let Some(rate) = rate {
        text += &format!(", rate {}", Rate(*rate));
    }
    if let Some(gateway) = gateway {
        text += &format!(", gateway {gateway}");
    }
    if !neighbors.is_empty() {
        let neighbors = neighbors.iter().map(|neighbor| format!("{} at {}", neighbor.ip, neighbor.mac));
        text += &format!(", neighbors {}", list(neighbors));
    }
    text
}

/// What is told of a host that is new, or gone.
pub fn host(host: &Host) -> String {
    format!("vtep {}", host.vtep)
}

/// `a, b, c`.
pub fn list<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(", ")
}
