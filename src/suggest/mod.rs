//! Rules that would allow the flows that were seen, and as little else as the groups let them.
//!
//! Each end of a flow is named by the smallest group that it is in. Flows between two groups make one rule, with the
//! ports that were seen; ports that follow each other become a range. What a rule allows already is not suggested
//! again, nor what one denies, also under audit: the new rules belong behind all others.

mod flows;
mod fragment;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use weft_pipelines::Vni;
use weft_pipelines::policy::{Action, Question};
use weft_pipelines::wire::ipv4::protocol;

pub use flows::{Flow, Unreadable, read};

use crate::config::checked::{Fabric, Tenant};
use crate::control::compile::policies;
use crate::explain::ends::name_at;
use crate::explain::purpose::protocol_name;
use crate::explain::{Decider, Purpose};

/// Longest name of a rule, in characters.
const LONGEST_NAME: usize = 63;

/// What is suggested for one tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suggestion<'a> {
    /// The tenant.
    pub tenant: &'a Tenant,
    /// The new rules.
    pub rules: Vec<NewRule>,
    /// Flows that no rule was made for, each with the reason, and how many flows it stands for.
    pub left: Vec<(String, Seen)>,
    /// Flows that rules allow already.
    pub allowed: u64,
}

/// A rule that allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRule {
    /// Its name, which no other rule of the tenant has.
    pub name: String,
    /// The group that opens the connections.
    pub from: String,
    /// The group that they are opened to.
    pub to: String,
    /// What for, as the document writes it.
    pub services: Vec<String>,
    /// What was seen that made it.
    pub seen: Seen,
}

/// How much was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Flows.
    pub flows: u64,
    /// Their packets, in both directions.
    pub packets: u64,
}

impl Seen {
    fn add(&mut self, flow: &Flow) {
        self.flows += 1;
        self.packets += flow.packets + flow.reply_packets;
    }
}

/// What is suggested for each tenant of `fabric` that has flows among these, and the names of tenants that it does not
/// have.
pub fn suggest<'a>(fabric: &'a Fabric, flows: &[Flow]) -> (Vec<Suggestion<'a>>, BTreeSet<String>) {
    let policies = policies(fabric);
    let mut of_tenant: BTreeMap<usize, Vec<&Flow>> = BTreeMap::new();
    let mut strangers = BTreeSet::new();
    for flow in flows {
        match fabric.tenants.iter().position(|tenant| tenant.name == flow.tenant.as_str()) {
            Some(tenant) => of_tenant.entry(tenant).or_default().push(flow),
            None => {
                strangers.insert(flow.tenant.clone());
            }
        }
    }
    let suggestions = of_tenant.into_iter().map(|(tenant, flows)| {
        let mut gathered = Gathered::default();
        for flow in flows {
            gathered.add(&fabric.tenants[tenant], &policies[tenant].policy, flow);
        }
        gathered.finish(&fabric.tenants[tenant])
    });
    (suggestions.collect(), strangers)
}

/// The flows of a tenant, by what rule they need.
#[derive(Default)]
struct Gathered {
    /// By the places of two groups.
    wanted: BTreeMap<(usize, usize), (BTreeSet<Purpose>, Seen)>,
    left: BTreeMap<String, Seen>,
    allowed: u64,
}

impl Gathered {
    fn add(&mut self, tenant: &Tenant, policy: &weft_pipelines::policy::Policy, flow: &Flow) {
        let Purpose { protocol, port } = flow.purpose;
        let vni = segment(tenant, flow);
        let question = Question { vni, from: flow.from, to: flow.to, protocol, port };
        let decision = policy.decide(&question);
        let [from, to] = [flow.from, flow.to].map(|address| smallest_group(tenant, vni, address));
        let why = match (decision.would_rule, from, to) {
            // Enforced or under audit: somebody has thought of it.
            (Some(_), ..) if decision.would == Action::Allow => {
                self.allowed += 1;
                return;
            }
            (rule @ Some(_), ..) => format!("denied by {}", Decider::of(tenant, rule)),
            (None, Some(from), Some(to)) => match unwritable(flow.purpose) {
                None => {
                    let (purposes, seen) = self.wanted.entry((from, to)).or_default();
                    purposes.insert(flow.purpose);
                    seen.add(flow);
                    return;
                }
                Some(why) => why,
            },
            (None, from, _) => {
                let lost = if from.is_none() { flow.from } else { flow.to };
                format!("{} is in no group", name_at(tenant, vni, lost))
            }
        };
        let [from, to] = [flow.from, flow.to].map(|address| name_at(tenant, vni, address));
        self.left.entry(format!("{from} to {to}, {}: {why}", flow.purpose)).or_default().add(flow);
    }

    fn finish(self, tenant: &Tenant) -> Suggestion<'_> {
        let mut taken: BTreeSet<String> =
            tenant.policy.rules.iter().map(|rule| rule.name.to_string()).collect();
        let rules = self.wanted.into_iter().map(|((from, to), (purposes, seen))| {
            let [from, to] = [from, to].map(|group| tenant.groups[group].name.to_string());
            let name = free_name(&mut taken, &from, &to);
            NewRule { name, from, to, services: services(&purposes), seen }
        });
        let rules = rules.collect();
        Suggestion { tenant, rules, left: self.left.into_iter().collect(), allowed: self.allowed }
    }
}

/// The segment of a flow: the one that it says, else that of one of its ends.
fn segment(tenant: &Tenant, flow: &Flow) -> Vni {
    let segments = || tenant.segments.iter().map(|segment| segment.vni);
    let said = segments().find(|vni| Some(vni.value()) == flow.vni);
    let of_end = || {
        let ends = [flow.from, flow.to];
        let has = tenant.endpoints.iter().find(|endpoint| endpoint.ips.iter().any(|ip| ends.contains(ip)));
        has.map(|endpoint| tenant.segments[endpoint.segment.0].vni)
    };
    said.or_else(of_end).or_else(|| segments().next()).unwrap_or(Vni::LOWEST)
}

/// The place of the group with the fewest addresses that has this one; of groups as small that of the first.
fn smallest_group(tenant: &Tenant, vni: Vni, address: IpAddr) -> Option<usize> {
    let is_here = |endpoint: &&crate::config::checked::Endpoint| {
        tenant.segments[endpoint.segment.0].vni == vni && endpoint.ips.contains(&address)
    };
    let endpoint = tenant.endpoints.iter().find(is_here);
    let has = |(place, group): &(usize, &crate::config::checked::Group)| {
        let is_member = endpoint.is_some_and(|endpoint| endpoint.groups.iter().any(|of| of.0 == *place));
        is_member || group.cidrs.iter().any(|network| network.contains(&address))
    };
    let groups = tenant.groups.iter().enumerate().filter(has);
    groups.min_by_key(|(place, _)| size(tenant, *place)).map(|(place, _)| place)
}

/// How many addresses a group has.
fn size(tenant: &Tenant, group: usize) -> u128 {
    let members = tenant.endpoints.iter().filter(|endpoint| endpoint.groups.iter().any(|of| of.0 == group));
    let addresses: usize = members.map(|endpoint| endpoint.ips.len()).sum();
    let networks = tenant.groups[group].cidrs.iter();
    let hosts = networks.map(|network| {
        let bits = u32::from(network.max_prefix_len() - network.prefix_len());
        1u128.checked_shl(bits).unwrap_or(u128::MAX)
    });
    hosts.fold(addresses as u128, u128::saturating_add)
}

/// Why no service of a rule means just this.
fn unwritable(purpose: Purpose) -> Option<String> {
    match purpose.protocol {
        protocol::ICMP | protocol::ICMPV6 => None,
        protocol::TCP | protocol::UDP | protocol::SCTP if purpose.port > 0 => None,
        protocol::TCP | protocol::UDP | protocol::SCTP => Some("no rule can name port 0 alone".to_owned()),
        other => Some(format!("no rule can name {}; only `any` means it too", protocol_name(other))),
    }
}

/// As the document writes them; ports that follow each other as a range.
fn services(purposes: &BTreeSet<Purpose>) -> Vec<String> {
    let mut ranges: Vec<(u8, u16, u16)> = Vec::new();
    for Purpose { protocol, port } in purposes {
        let is_icmp = matches!(*protocol, protocol::ICMP | protocol::ICMPV6);
        match ranges.last_mut() {
            Some((same, _, last)) if !is_icmp && same == protocol && last.checked_add(1) == Some(*port) => {
                *last = *port;
            }
            _ => ranges.push((*protocol, *port, *port)),
        }
    }
    let service = |(protocol, first, last): (u8, u16, u16)| {
        let name = protocol_name(protocol);
        match (Purpose { protocol, port: first }.is_ipv6(), first.to_be_bytes()) {
            // Without its code it would mean all codes.
            (Some(_), [kind, code]) => format!("{name}/{kind}/{code}"),
            (None, _) if first == last => format!("{name}/{first}"),
            (None, _) => format!("{name}/{first}-{last}"),
        }
    };
    ranges.into_iter().map(service).collect()
}

/// A name for a rule from one group to another that is not taken yet.
fn free_name(taken: &mut BTreeSet<String>, from: &str, to: &str) -> String {
    let numbered = |number: usize| {
        let suffix = if number == 1 { String::new() } else { format!("-{number}") };
        let mut name = format!("{from}-to-{to}");
        // Names are of single bytes.
        name.truncate(LONGEST_NAME - suffix.len());
        name + &suffix
    };
    let free = (1..).map(numbered).find(|name| !taken.contains(name)).unwrap_or_default();
    taken.insert(free.clone());
    free
}

#[cfg(test)]
mod tests;
