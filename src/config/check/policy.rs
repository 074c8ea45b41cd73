//! A tenant's policy.

use super::{Names, value_of};
use crate::config::checked::{GroupIndex, Mode, Peer, Policy, Rule, Verdict};
use crate::config::diagnostic::{At, Location, Notes};
use crate::config::raw;
use crate::config::read::Located;
use crate::config::scalar::Name;

use super::label;

/// The group that everybody is in.
pub(super) const ANY: &str = "any";

/// The policy, or the one that allows everything if there is none.
///
/// `is_empty` tells of which group nobody can ever be a member.
pub(super) fn check(
    raw: Option<&Located<raw::Policy>>,
    tenant: Option<&str>,
    at: Location,
    groups: &Names<'_>,
    is_empty: impl Fn(usize) -> bool,
    notes: &Notes,
) -> Option<Policy> {
    let Some(Located { at, value }) = raw else {
        return Some(Policy {
            mode: Mode::Enforce,
            default: Verdict::Allow,
            default_at: At::default(),
            rules: Vec::new(),
            at: At(at),
        });
    };
    let raw = value.as_ref()?;
    let mode = value_of(&raw.mode).copied().unwrap_or_default();
    Names::of("rule", tenant, &raw.rules, |item| &item.name, notes);
    let rules: Vec<Option<Rule>> = raw
        .rules
        .iter()
        .map(|located| {
            let raw = located.value.as_ref()?;
            let owner = label("rule", tenant, &raw.name);
            let rule = rule(raw, located.at, mode, groups, &owner, notes)?;
            for (side, place) in [(rule.from, &raw.from), (rule.to, &raw.to)] {
                if let (Peer::Group(GroupIndex(index)), Some(name)) = (side, &place.value)
                    && is_empty(index)
                {
                    notes.warn(
                        place.at,
                        format!("{owner}: never matches: group {name} has no endpoints, no id and no cidr"),
                    );
                }
            }
            Some(rule)
        })
        .collect();
    Some(Policy {
        mode,
        default: raw.default.value?,
        default_at: At(raw.default.at),
        rules: rules.into_iter().collect::<Option<_>>()?,
        at: At(*at),
    })
}

fn rule(
    raw: &raw::Rule,
    at: Location,
    mode: Mode,
    groups: &Names<'_>,
    owner: &str,
    notes: &Notes,
) -> Option<Rule> {
    let from = peer(&raw.from, groups, owner, notes);
    let to = peer(&raw.to, groups, owner, notes);
    let (verdict, services) = match (&raw.allow, &raw.deny) {
        (Some(services), None) => (Verdict::Allow, services),
        (None, Some(services)) => (Verdict::Deny, services),
        (None, None) => {
            notes.error(at, format!("{owner}: has neither allow nor deny; give one, as allow: [tcp/443]"));
            return None;
        }
        (Some(_), Some(deny)) => {
            notes.error(deny.at, format!("{owner}: has both allow and deny; make two rules of it"));
            return None;
        }
    };
    if services.is_empty() {
        notes.error(services.at, format!("{owner}: is about nothing; name a service, as tcp/443, or any"));
    }
    Some(Rule {
        name: raw.name.value.clone()?,
        from: from?,
        to: to?,
        verdict,
        services: services.iter().map(|service| service.value).collect::<Option<_>>()?,
        log: value_of(&raw.log).copied().unwrap_or(false),
        mode: value_of(&raw.mode).copied().unwrap_or(mode),
        at: At(at),
    })
}

fn peer(raw: &Located<Name>, groups: &Names<'_>, owner: &str, notes: &Notes) -> Option<Peer> {
    match &raw.value {
        Some(name) if *name == ANY => Some(Peer::Any),
        _ => groups.find(raw, owner, notes).map(|index| Peer::Group(GroupIndex(index))),
    }
}
