//! The tenants' policies: from the document to the packet logic's rules, each with its counter.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;

use weft_pipelines::policy::{Action, GroupId, Member, Network, Policy, Rule, Rules, Service, Side};

use super::{Previous, link_local};
use crate::config::checked::{self, Fabric, Mode, Peer, PortRange, Tenant, Verdict};

/// A tenant's policy.
#[derive(Clone, Debug)]
pub struct TenantPolicy {
    /// The rules, in the document's order.
    pub rules: Arc<Rules>,
    /// The same, compiled.
    pub policy: Arc<Policy>,
}

/// The policies of `fabric`'s tenants. `slots` is the next counter that no rule has had.
///
/// A policy that is as it was before is shared. In one that is not, rules of the same name keep their counters.
pub(super) fn compile(fabric: &Fabric, slots: &mut u32, previous: Option<Previous<'_>>) -> Vec<TenantPolicy> {
    let before: HashMap<&str, (&Tenant, &TenantPolicy)> = previous
        .into_iter()
        .flat_map(|Previous { fabric, compiled }| fabric.tenants.iter().zip(&compiled.policies))
        .map(|(tenant, policy)| (&*tenant.name, (tenant, policy)))
        .collect();
    let policy = |tenant: &Tenant| match before.get(&*tenant.name) {
        Some((old, policy)) => follow(tenant, old, policy, slots),
        None => {
            let default_slot = fresh(slots);
            let rules = tenant.policy.rules.iter().map(|rule| compiled(rule, fresh(slots))).collect();
            let rules = of_tenant(tenant, rules, default_slot);
            TenantPolicy { policy: Arc::new(Policy::compile(&rules)), rules: Arc::new(rules) }
        }
    };
    fabric.tenants.iter().map(policy).collect()
}

/// The policy of `tenant`, which was `old` before.
fn follow(tenant: &Tenant, old: &Tenant, policy: &TenantPolicy, slots: &mut u32) -> TenantPolicy {
    let (new_rules, old_rules) = (&tenant.policy.rules, &old.policy.rules);
    // Between what both begin and end with is little, if little was changed.
    let same = |(new, old): &(&checked::Rule, &checked::Rule)| new == old;
    let first = new_rules.iter().zip(old_rules).take_while(same).count();
    let (new_rest, old_rest) = (&new_rules[first..], &old_rules[first..]);
    let last = new_rest.iter().rev().zip(old_rest.iter().rev()).take_while(same).count();
    let (changed, replaced) = (&new_rest[..new_rest.len() - last], &old_rest[..old_rest.len() - last]);
    let same_rules = changed.is_empty() && replaced.is_empty();
    if same_rules && same_groups(tenant, old) && same_head(tenant, old) {
        return policy.clone();
    }
    let rules = &policy.rules.rules;
    let names: HashMap<&str, u32> =
        replaced.iter().zip(&rules[first..]).map(|(old, rule)| (&*old.name, rule.slot)).collect();
    let changed = changed.iter().map(|rule| {
        let slot = names.get(&*rule.name).copied();
        compiled(rule, slot.unwrap_or_else(|| fresh(slots)))
    });
    // Of groups only the numbers are in the rules, and a group that moved in its list has another.
    let rules =
        if old.groups.iter().map(|group| &group.name).eq(tenant.groups.iter().map(|group| &group.name)) {
            let kept = rules[..first].iter().cloned();
            kept.chain(changed).chain(rules[rules.len() - last..].iter().cloned()).collect()
        } else {
            let slots: Vec<u32> = changed.map(|rule| rule.slot).collect();
            let kept = rules[..first].iter().map(|rule| rule.slot);
            let slots = kept.chain(slots).chain(rules[rules.len() - last..].iter().map(|rule| rule.slot));
            new_rules.iter().zip(slots).map(|(rule, slot)| compiled(rule, slot)).collect()
        };
    let rules = of_tenant(tenant, rules, policy.rules.default_slot);
    let policy = policy.policy.update(&policy.rules, &rules);
    TenantPolicy { rules: Arc::new(rules), policy: Arc::new(policy) }
}

/// Whether the default is the same.
fn same_head(new: &Tenant, old: &Tenant) -> bool {
    (new.policy.default, new.policy.mode) == (old.policy.default, old.policy.mode)
}

/// Whether the same addresses are in the same groups.
fn same_groups(new: &Tenant, old: &Tenant) -> bool {
    let member = |tenant: &Tenant, endpoint: &checked::Endpoint| tenant.segments[endpoint.segment.0].vni;
    new.groups == old.groups
        && new.endpoints.len() == old.endpoints.len()
        && new.endpoints.iter().zip(&old.endpoints).all(|(a, b)| {
            (member(new, a), a.mac, &a.ips, &a.groups) == (member(old, b), b.mac, &b.ips, &b.groups)
        })
}

fn fresh(slots: &mut u32) -> u32 {
    *slots += 1;
    *slots - 1
}

fn of_tenant(tenant: &Tenant, rules: Vec<Rule>, default_slot: u32) -> Rules {
    let group = |index| GroupId(index as u32);
    let networks = tenant.groups.iter().enumerate().flat_map(|(index, of)| {
        let network = |net: &ipnet::IpNet| Network {
            address: net.network(),
            prefix: net.prefix_len(),
            group: group(index),
        };
        of.cidrs.iter().map(network).collect::<Vec<_>>()
    });
    Rules {
        rules,
        default: action(tenant.policy.default),
        default_audit: tenant.policy.mode == Mode::Audit,
        default_slot,
        members: members(tenant),
        networks: networks.collect(),
    }
}

/// All addresses that endpoints may use, those that they make of their MACs included.
fn members(tenant: &Tenant) -> Vec<Member> {
    let mut members = Vec::new();
    let mut taken = HashSet::new();
    for endpoint in &tenant.endpoints {
        let vni = tenant.segments[endpoint.segment.0].vni;
        let groups: Vec<GroupId> = endpoint.groups.iter().map(|group| GroupId(group.0 as u32)).collect();
        for address in &endpoint.ips {
            taken.insert((vni, *address));
            members.push(Member { vni, address: *address, groups: groups.clone() });
        }
    }
    for endpoint in &tenant.endpoints {
        let vni = tenant.segments[endpoint.segment.0].vni;
        let address = IpAddr::V6(link_local(endpoint.mac));
        // The document may give it to somebody, as an address like any other.
        if taken.insert((vni, address)) {
            let groups = endpoint.groups.iter().map(|group| GroupId(group.0 as u32)).collect();
            members.push(Member { vni, address, groups });
        }
    }
    members
}

fn compiled(rule: &checked::Rule, slot: u32) -> Rule {
    let side = |peer| match peer {
        Peer::Any => Side::Any,
        Peer::Group(index) => Side::Group(GroupId(index.0 as u32)),
    };
    Rule {
        from: side(rule.from),
        to: side(rule.to),
        services: rule.services.iter().map(service).collect(),
        action: action(rule.verdict),
        audit: rule.mode == Mode::Audit,
        log: rule.log,
        slot,
    }
}

fn action(verdict: Verdict) -> Action {
    match verdict {
        Verdict::Allow => Action::Allow,
        Verdict::Deny => Action::Deny,
    }
}

fn service(service: &checked::Service) -> Service {
    let ports = |range: &PortRange| range.first()..=range.last();
    match service {
        checked::Service::Any => Service::Any,
        checked::Service::Tcp(range) => Service::Tcp(ports(range)),
        checked::Service::Udp(range) => Service::Udp(ports(range)),
        checked::Service::Sctp(range) => Service::Sctp(ports(range)),
        checked::Service::Icmp { kind, code } => Service::Icmp(messages(*kind, *code)),
        checked::Service::Icmpv6 { kind, code } => Service::Icmpv6(messages(*kind, *code)),
    }
}

/// The types and codes, the type in the high byte. A code comes only with a type.
fn messages(kind: Option<u8>, code: Option<u8>) -> RangeInclusive<u16> {
    let message = |kind, code| u16::from_be_bytes([kind, code]);
    let (first, last) = kind.map_or((0, u8::MAX), |kind| (kind, kind));
    message(first, code.unwrap_or(0))..=message(last, code.unwrap_or(u8::MAX))
}
