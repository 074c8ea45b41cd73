//! The compiled policy beside the plain one, and what changes make of it beside what is compiled at once.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::{Action, GroupId, Member, Network, Policy, Question, Rule, Rules, Service, Side, linear};
use crate::testing::rules::{
    Choose, Scale, Script, Seeded, changed, crowd, few, mixed, mixed_questions, question, script,
};
use crate::wire::Vni;

/// Asks both the same, many times.
fn compare(rules: &Rules, policy: &Policy, choose: &mut impl Choose) -> Result<(), TestCaseError> {
    for _ in 0..64 {
        let question = question(choose, rules);
        prop_assert_eq!(policy.decide(&question), linear::decide(rules, &question), "{:?}", question);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn decides_as_the_plain_one(mut rules in script(), asked in prop::collection::vec(any::<u8>(), 600)) {
        let rules = few(&mut rules);
        compare(&rules, &Policy::compile(&rules), &mut Script::new(asked))?;
    }

    /// Whatever the changes, one after the other: the same as if it had been compiled at once.
    #[test]
    fn an_update_is_equal_to_a_whole_build(mut script in script()) {
        let mut rules = few(&mut script);
        let mut policy = Policy::compile(&rules);
        for _ in 0..4 {
            let new = changed(&mut script, &rules);
            policy = policy.update(&rules, &new);
            prop_assert_eq!(&policy, &Policy::compile(&new));
            rules = new;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// So many rules that most pairs stay as they are, and cells large and small lie between those that change.
    #[test]
    fn updates_of_many_rules_are_equal_to_whole_builds(seed: u64, count in 1..600usize) {
        let mut choose = Seeded(seed);
        let mut rules = crowd(&mut choose, count);
        let mut policy = Policy::compile(&rules);
        for _ in 0..10 {
            let new = changed(&mut choose, &rules);
            policy = policy.update(&rules, &new);
            prop_assert!(policy == Policy::compile(&new), "another policy");
            rules = new;
        }
        compare(&rules, &policy, &mut choose)?;
    }

    /// Networks of any shape, many beside and in each other; endpoints among them.
    #[test]
    fn addresses_are_in_the_networks_that_contain_them(seed: u64, count in 1..300usize, short in 1..32u32) {
        let mut choose = Seeded(seed);
        // Few of the bits vary, so that networks meet.
        let mut address = |v6: bool| -> IpAddr {
            let varied = (choose.below(1 << 16) as u128) << (choose.below(7) * 16);
            if v6 { Ipv6Addr::from_bits(varied).into() } else { Ipv4Addr::from_bits(varied as u32).into() }
        };
        let addresses: Vec<_> = (0..count * 2).map(|n| address(n % 3 == 0)).collect();
        let rules = Rules {
            rules: (0..count).map(|n| only_from(GroupId(n as u32))).collect(),
            default: Action::Deny,
            default_audit: false,
            default_slot: 0,
            members: vec![Member { vni: Vni::LOWEST, address: addresses[0], groups: vec![GroupId(0)] }],
            networks: (0..count).map(|n| network(addresses[n], short + choose.below(97) as u32, n)).collect(),
        };
        let policy = Policy::compile(&rules);
        for from in &addresses {
            for from in [*from, beside(*from)] {
                let question = Question { vni: Vni::LOWEST, from, to: from, protocol: 6, port: 1 };
                prop_assert_eq!(policy.decide(&question), linear::decide(&rules, &question), "{}", from);
            }
        }
    }
}

fn only_from(group: GroupId) -> Rule {
    let services = [Service::Any].into();
    Rule {
        from: Side::Group(group),
        to: Side::Any,
        services,
        action: Action::Allow,
        audit: false,
        log: false,
        slot: group.0,
    }
}

fn network(address: IpAddr, prefix: u32, group: usize) -> Network {
    let (address, prefix) = match address {
        IpAddr::V4(address) => {
            let prefix = prefix.min(32);
            let mask = u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
            (Ipv4Addr::from_bits(address.to_bits() & mask).into(), prefix)
        }
        IpAddr::V6(address) => {
            let prefix = prefix.min(128);
            let mask = u128::MAX.checked_shl(128 - prefix).unwrap_or(0);
            (Ipv6Addr::from_bits(address.to_bits() & mask).into(), prefix)
        }
    };
    Network { address, prefix: prefix as u8, group: GroupId(group as u32) }
}

fn beside(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(address) => Ipv4Addr::from_bits(address.to_bits().wrapping_sub(1)).into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits().wrapping_sub(1)).into(),
    }
}

/// Cells from empty to larger than what is painted in one piece, all lanes in use.
#[test]
fn cells_of_every_size_decide_as_the_plain_one() {
    for (rules, asked) in [(30, 2000), (300, 2000), (3000, 1000), (12_000, 300)] {
        let mut choose = Seeded(rules as u64);
        let mut rules = crowd(&mut choose, rules);
        if rules.rules.len() > 10_000 {
            rules.rules.iter_mut().for_each(|rule| (rule.from, rule.to) = (Side::Any, Side::Any));
        }
        // Without what hides all the rest, and with ports all over.
        for rule in &mut rules.rules {
            std::sync::Arc::make_mut(&mut rule.services)
                .iter_mut()
                .for_each(|service| spread(&mut choose, service));
        }
        let policy = Policy::compile(&rules);
        assert!(policy.size().intervals > rules.rules.len() / 4, "{:?}", policy.size());
        for _ in 0..asked {
            let question = question(&mut choose, &rules);
            assert_eq!(policy.decide(&question), linear::decide(&rules, &question), "{question:?}");
        }
    }
}

/// More pairs of groups between two endpoints than are noted at a time.
#[test]
fn endpoints_in_many_groups_decide_as_the_plain_one() {
    let mut choose = Seeded(11);
    let mut rules = mixed(&mut choose, Scale { rules: 800, groups: 32, members: 40 });
    for member in &mut rules.members {
        member.groups = (0..choose.below(28)).map(|_| GroupId(choose.below(32) as u32)).collect();
    }
    let policy = Policy::compile(&rules);
    for question in mixed_questions(&mut choose, &rules, 2000) {
        assert_eq!(policy.decide(&question), linear::decide(&rules, &question), "{question:?}");
    }
}

fn spread(choose: &mut Seeded, service: &mut Service) {
    let first = choose.below(65_536) as u16;
    let ports = first..=first.saturating_add(choose.below(300) as u16);
    *service = match choose.below(5) {
        0 => Service::Tcp(ports),
        1 => Service::Udp(ports),
        2 => Service::Sctp(ports),
        3 => Service::Icmp(ports),
        _ => Service::Icmpv6(ports),
    };
}

#[test]
fn without_rules_and_with_allow_it_is_open() {
    let open = Policy::default();
    assert!(open.is_open() && open.is_empty());
    let mut rules = crowd(&mut Seeded(0), 0);
    (rules.default, rules.default_audit) = (Action::Allow, false);
    assert!(Policy::compile(&rules).is_open());
    rules.default = Action::Deny;
    assert!(!Policy::compile(&rules).is_open());
    // It passes, but not what would happen otherwise.
    rules.default_audit = true;
    assert!(!Policy::compile(&rules).is_open());
    (rules.default, rules.rules) = (Action::Allow, vec![only_from(GroupId(1))]);
    assert!(!Policy::compile(&rules).is_open());
}

#[test]
fn counters_and_logs_are_those_of_the_rule() {
    let mut rules = crowd(&mut Seeded(5), 3);
    rules.default_slot = 90;
    for (n, rule) in rules.rules.iter_mut().enumerate() {
        (rule.slot, rule.log) = (70 + n as u32, n == 1);
    }
    let policy = Policy::compile(&rules);
    let slots = [Some(0), Some(1), Some(2), None, Some(3)].map(|rule| (policy.slot(rule), policy.logs(rule)));
    assert_eq!(slots, [(70, false), (71, true), (72, false), (90, false), (90, false)]);
}

#[test]
fn its_size_is_told() {
    let rules = mixed(&mut Seeded(1), Scale { rules: 500, groups: 40, members: 100 });
    let policy = Policy::compile(&rules);
    let size = policy.size();
    assert_eq!((size.rules, size.groups, size.networks), (500, 40, 5));
    let sets: std::collections::BTreeSet<_> =
        rules.members.iter().map(|member| linear::groups(&rules, member.vni, member.address)).collect();
    // Besides those of the endpoints: what is nowhere, and the networks.
    assert_eq!(size.classes, sets.len() + 1 + 5);
    let pairs: std::collections::BTreeSet<_> = rules.rules.iter().map(|rule| (rule.from, rule.to)).collect();
    assert_eq!(size.cells, pairs.len());
    assert!(size.intervals > pairs.len() && size.bytes > pairs.len() * 64, "{size:?}");
}
