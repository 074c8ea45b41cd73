//! The definition of a decision, read aloud: every rule is tried, one after the other.
//!
//! This is what the compiled [`Policy`](super::Policy) is compared with. It allocates, and its time grows with the
//! number of rules, members and networks.

use core::net::IpAddr;
use std::collections::BTreeSet;

use super::rules::{Action, Decision, GroupId, Network, Question, Rules, Service, Side};
use crate::wire::Vni;

/// What `rules` answer to `question`.
pub fn decide(rules: &Rules, question: &Question) -> Decision {
    let from = groups(rules, question.vni, question.from);
    let to = groups(rules, question.vni, question.to);
    let first = |only_enforced: bool| {
        rules.rules.iter().position(|rule| {
            side_matches(rule.from, &from)
                && side_matches(rule.to, &to)
                && rule.services.iter().any(|service| service_matches(service, question))
                && !(only_enforced && rule.audit)
        })
    };
    let default = if rules.default_audit { Action::Allow } else { rules.default };
    let action_of =
        |rule: Option<usize>, default: Action| rule.map_or(default, |rule| rules.rules[rule].action);
    let (rule, would_rule) = (first(true), first(false));
    Decision {
        action: action_of(rule, default),
        rule: rule.map(|rule| rule as u32),
        would: action_of(would_rule, rules.default),
        would_rule: would_rule.map(|rule| rule as u32),
    }
}

/// The groups of an address: those of the endpoint that has it, and those of every network that contains it.
pub fn groups(rules: &Rules, vni: Vni, address: IpAddr) -> BTreeSet<GroupId> {
    let member = rules.members.iter().find(|member| (member.vni, member.address) == (vni, address));
    let networks = rules.networks.iter().filter(|network| contains(network, address));
    let of_member = member.into_iter().flat_map(|member| member.groups.iter().copied());
    of_member.chain(networks.map(|network| network.group)).collect()
}

/// Whether `address` agrees with the network's in all bits of the prefix.
fn contains(network: &Network, address: IpAddr) -> bool {
    let behind_prefix = |bits: u32| bits.saturating_sub(u32::from(network.prefix));
    match (network.address, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            (network.to_bits() ^ address.to_bits()).checked_shr(behind_prefix(32)).unwrap_or(0) == 0
        }
        (IpAddr::V6(network), IpAddr::V6(address)) => {
            (network.to_bits() ^ address.to_bits()).checked_shr(behind_prefix(128)).unwrap_or(0) == 0
        }
        _ => false,
    }
}

fn side_matches(side: Side, groups: &BTreeSet<GroupId>) -> bool {
    match side {
        Side::Any => true,
        Side::Group(group) => groups.contains(&group),
    }
}

fn service_matches(service: &Service, question: &Question) -> bool {
    let (protocol, ports) = match service {
        Service::Any => return true,
        Service::Tcp(ports) => (6, ports),
        Service::Udp(ports) => (17, ports),
        Service::Sctp(ports) => (132, ports),
        Service::Icmp(types) => (1, types),
        Service::Icmpv6(types) => (58, types),
    };
    question.protocol == protocol && ports.contains(&question.port)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Member, Rule};

    const WEB: GroupId = GroupId(1);
    const DB: GroupId = GroupId(2);
    const OFFICE: GroupId = GroupId(3);

    fn rule(from: Side, to: Side, service: Service, action: Action, audit: bool) -> Rule {
        Rule { from, to, services: [service].into(), action, audit, log: false, slot: 0 }
    }

    /// A web server in a group, a database in another, an office of addresses, and rules for them.
    fn rules() -> Rules {
        let vni = Vni::LOWEST;
        let member = |address: &str, groups: &[GroupId]| Member {
            vni,
            address: address.parse().unwrap(),
            groups: groups.to_vec(),
        };
        Rules {
            rules: vec![
                rule(Side::Any, Side::Any, Service::Tcp(23..=23), Action::Deny, true),
                rule(Side::Group(WEB), Side::Group(DB), Service::Tcp(5432..=5433), Action::Allow, false),
                rule(
                    Side::Group(OFFICE),
                    Side::Group(WEB),
                    Service::Icmp(0x0800..=0x08ff),
                    Action::Allow,
                    false,
                ),
                rule(Side::Group(OFFICE), Side::Any, Service::Any, Action::Deny, true),
                rule(Side::Any, Side::Group(WEB), Service::Any, Action::Allow, false),
            ],
            default: Action::Deny,
            default_audit: false,
            default_slot: 9,
            members: vec![member("10.1.0.1", &[WEB]), member("10.1.0.2", &[DB])],
            networks: vec![Network { address: "10.9.0.0".parse().unwrap(), prefix: 16, group: OFFICE }],
        }
    }

    fn ask(
        rules: &Rules,
        from: &str,
        to: &str,
        protocol: u8,
        port: u16,
    ) -> (Action, Option<u32>, Action, Option<u32>) {
        let (from, to) = (from.parse().unwrap(), to.parse().unwrap());
        let question = Question { vni: Vni::LOWEST, from, to, protocol, port };
        let Decision { action, rule, would, would_rule } = decide(rules, &question);
        (action, rule, would, would_rule)
    }

    #[test]
    fn the_first_rule_that_matches_decides() {
        use Action::{Allow, Deny};
        let mut rules = rules();
        let (web, db, office) = ("10.1.0.1", "10.1.0.2", "10.9.255.255");
        assert_eq!(ask(&rules, web, db, 6, 5433), (Allow, Some(1), Allow, Some(1)));
        assert_eq!(ask(&rules, web, db, 6, 5434), (Deny, None, Deny, None));
        assert_eq!(ask(&rules, web, db, 17, 5433), (Deny, None, Deny, None));
        assert_eq!(ask(&rules, db, web, 6, 23), (Allow, Some(4), Deny, Some(0)));
        assert_eq!(ask(&rules, office, web, 1, 0x0800), (Allow, Some(2), Allow, Some(2)));
        assert_eq!(ask(&rules, office, web, 1, 0x0000), (Allow, Some(4), Deny, Some(3)));
        assert_eq!(ask(&rules, office, db, 47, 0), (Deny, None, Deny, Some(3)));
        assert_eq!(ask(&rules, "10.10.0.0", "10.8.255.255", 6, 23), (Deny, None, Deny, Some(0)));
        rules.default_audit = true;
        assert_eq!(ask(&rules, web, db, 6, 5434), (Allow, None, Deny, None));
    }

    #[test]
    fn an_address_is_in_the_endpoints_groups_and_the_networks() {
        let mut rules = rules();
        rules.networks.push(Network { address: "0.0.0.0".parse().unwrap(), prefix: 0, group: DB });
        rules.networks.push(Network { address: "10.1.0.1".parse().unwrap(), prefix: 32, group: OFFICE });
        let of = |vni, address: &str| {
            groups(&rules, Vni::new(vni).unwrap(), address.parse().unwrap()).into_iter().collect::<Vec<_>>()
        };
        assert_eq!(of(1, "10.1.0.1"), [WEB, DB, OFFICE]);
        assert_eq!(of(2, "10.1.0.1"), [DB, OFFICE]);
        assert_eq!(of(1, "10.1.0.0"), [DB]);
        assert_eq!(of(1, "::ffff:10.1.0.1"), []);
    }
}
