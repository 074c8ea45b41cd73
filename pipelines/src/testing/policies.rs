//! Policies for the endpoints of the default [`Lab`](super::Lab): in blue, `web` are its endpoints `WEB1` and `WEB2`,
//! `db` are `DB1` and `DB2`.

use core::net::IpAddr;
use core::ops::RangeInclusive;

use super::lab::{self, Lab, endpoint, ipv4, ipv6, link_local};
use crate::ids::TenantId;
use crate::policy::{Action, GroupId, Member, Rule, Rules, Service, Side};
use crate::wire::Vni;

/// The tenant whose policy it is.
pub const TENANT: TenantId = TenantId(0);
/// The group of `WEB1` and `WEB2`.
pub const WEB: Side = Side::Group(GroupId(1));
/// The group of `DB1` and `DB2`.
pub const DB: Side = Side::Group(GroupId(2));

/// A rule about one service.
pub fn rule(from: Side, to: Side, action: Action, service: Service) -> Rule {
    Rule { from, to, services: [service].into(), action, audit: false, log: false, slot: 0 }
}

/// Allows TCP to these ports.
pub fn allow_tcp(from: Side, to: Side, ports: RangeInclusive<u16>) -> Rule {
    rule(from, to, Action::Allow, Service::Tcp(ports))
}

/// Allows UDP to these ports.
pub fn allow_udp(from: Side, to: Side, ports: RangeInclusive<u16>) -> Rule {
    rule(from, to, Action::Allow, Service::Udp(ports))
}

/// The policy of these rules; each has the counter of its number, and the default the one behind.
pub fn policy(default: Action, rules: impl IntoIterator<Item = Rule>) -> Rules {
    let rules: Vec<Rule> = (0..).zip(rules).map(|(slot, rule)| Rule { slot, ..rule }).collect();
    let groups = [(endpoint::WEB1, 1), (endpoint::WEB2, 1), (endpoint::DB1, 2), (endpoint::DB2, 2)];
    let vni = Vni::new(lab::BLUE).expect("in range");
    let members = groups.into_iter().flat_map(|(n, group)| {
        let addresses: [IpAddr; 3] = [ipv4(n).into(), ipv6(n).into(), link_local(n).into()];
        addresses.map(|address| Member { vni, address, groups: vec![GroupId(group)] })
    });
    Rules {
        default_slot: rules.len() as u32,
        rules,
        default,
        default_audit: false,
        members: members.collect(),
        networks: Vec::new(),
    }
}

/// The default lab with this policy in blue.
pub fn lab(policy: Rules) -> Lab {
    Lab { policies: vec![(TENANT, policy)], ..Lab::default() }
}
