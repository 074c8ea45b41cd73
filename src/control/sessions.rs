//! Sessions and rules with their names; and what would become of sessions under another document.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use weft_pipelines::Tick;
use weft_pipelines::counters::RuleCounters;
use weft_pipelines::policy::{Action, Question};
use weft_pipelines::snapshot::PortKind;

use super::compile::{Compiled, TenantPolicy};
use super::words;
use crate::config::checked::{Fabric, Tenant};
use crate::report::text::protocol_name;
use crate::report::{RuleReport, SessionChange, SessionChanges, SessionFilter, SessionReport};
use crate::worker::SessionRecord;

/// What a tenant's default is called where rules are named.
pub const DEFAULT: &str = "default";

/// A document with what was made of it: who has which segment, and what rules are called.
pub struct View<'a> {
    fabric: &'a Fabric,
    compiled: &'a Compiled,
    /// By VNI: the tenant's place in the document.
    tenants: HashMap<u32, usize>,
    slots: HashMap<usize, HashMap<u32, usize>>,
}

impl<'a> View<'a> {
    /// The view of what was made of `fabric`.
    pub fn new(fabric: &'a Fabric, compiled: &'a Compiled) -> Self {
        let segments = fabric.tenants.iter().enumerate().flat_map(|(index, tenant)| {
            tenant.segments.iter().map(move |segment| (segment.vni.value(), index))
        });
        Self { fabric, compiled, tenants: segments.collect(), slots: HashMap::new() }
    }

    fn tenant(&self, record: &SessionRecord) -> Option<usize> {
        self.tenants.get(&record.vni.value()).copied()
    }

    /// The session as it is told, if `filter` means it.
    pub fn report(
        &mut self,
        record: &SessionRecord,
        worker: usize,
        filter: &SessionFilter,
    ) -> Option<SessionReport> {
        let index = self.tenant(record);
        let tenant = index.map_or("", |index| &self.fabric.tenants[index].name);
        let endpoint = self.compiled.labels.ports.get(record.port.index()).map_or("", |port| &port.name);
        let (protocol, state) = (protocol_name(record.protocol), record.state.name());
        let means = |wanted: &str, value: &str| wanted.is_empty() || wanted == value;
        let ends = [record.from.0, record.to];
        let is_end = |address: IpAddr| ends.contains(&address);
        let at_address = filter.address.is_empty() || filter.address.parse().is_ok_and(is_end);
        if !(means(&filter.tenant, tenant)
            && means(&filter.endpoint, endpoint)
            && means(&filter.protocol, &protocol)
            && means(&filter.state, state)
            && at_address)
        {
            return None;
        }
        let rule = self.rule_name(index, record.rule);
        if !means(&filter.rule, &rule) {
            return None;
        }
        let [there, back] = record.traffic;
        let since = |then: Tick| u64::try_from(record.now.since(then).as_nanos()).unwrap_or(u64::MAX);
        Some(SessionReport {
            tenant: tenant.to_owned(),
            vni: record.vni.value(),
            protocol,
            from: record.from.0.to_string(),
            from_port: record.from.1.into(),
            to: record.to.to_string(),
            to_port: record.service.into(),
            state: state.to_owned(),
            endpoint: endpoint.to_owned(),
            worker: worker as u32,
            rule,
            would_rule: self.rule_name(index, record.would_rule),
            would_deny: record.would_deny,
            packets: there.packets,
            bytes: there.bytes,
            reply_packets: back.packets,
            reply_bytes: back.bytes,
            age_ns: since(record.opened),
            idle_ns: since(record.last),
        })
    }

    /// The name of the rule that has the counter `slot`.
    fn rule_name(&mut self, tenant: Option<usize>, slot: u32) -> String {
        let Some(tenant) = tenant else { return "(removed)".to_owned() };
        let rules = &self.compiled.policies[tenant].rules;
        if slot == rules.default_slot {
            return DEFAULT.to_owned();
        }
        let places = self.slots.entry(tenant).or_insert_with(|| {
            rules.rules.iter().enumerate().map(|(place, rule)| (rule.slot, place)).collect()
        });
        match places.get(&slot) {
            Some(place) => self.fabric.tenants[tenant].policy.rules[*place].name.to_string(),
            None => "(removed)".to_owned(),
        }
    }
}

/// The rules of `tenant`, or of all where it is empty, with what they decided until `now`.
pub fn rules(
    fabric: &Fabric,
    compiled: &Compiled,
    tenant: &str,
    counters: &[RuleCounters],
    now: Tick,
) -> Vec<RuleReport> {
    let meant = fabric.tenants.iter().zip(&compiled.policies);
    let meant = meant.filter(|(of, _)| tenant.is_empty() || of.name == tenant);
    meant.flat_map(|(tenant, policy)| rules_of(tenant, policy, counters, now)).collect()
}

fn rules_of<'a>(
    tenant: &'a Tenant,
    policy: &'a TenantPolicy,
    counters: &'a [RuleCounters],
    now: Tick,
) -> impl Iterator<Item = RuleReport> + 'a {
    let report = move |name: String, place: Option<u32>, rule: String, slot: u32| {
        let counted = counters.get(slot as usize).copied().unwrap_or_default();
        let ago = || u64::try_from(now.since(counted.last_hit).as_nanos()).unwrap_or(u64::MAX);
        RuleReport {
            tenant: tenant.name.to_string(),
            name,
            place,
            rule,
            hits: counted.hits,
            denied: counted.denied,
            would_deny: counted.would_deny,
            last_hit_ns: (counted.last_hit > Tick(0)).then(ago),
        }
    };
    let rules = tenant.policy.rules.iter().zip(&policy.rules.rules).zip(1..);
    let rules = rules.map(move |((rule, compiled), place)| {
        report(rule.name.to_string(), Some(place), words::rule(tenant, rule), compiled.slot)
    });
    let mode = if policy.rules.default_audit { " (audit)" } else { "" };
    let default = format!("any -> any {} any{mode}", words::verdict(tenant.policy.default));
    rules.chain([report(DEFAULT.to_owned(), None, default, policy.rules.default_slot)])
}

/// What becomes of sessions when one document takes another's place.
pub struct Judge<'a> {
    old: View<'a>,
    new: View<'a>,
    /// By tenant of the old document: the tenant of the same name in the new one.
    same: Vec<Option<usize>>,
    /// How many are told one by one.
    limit: usize,
    changes: SessionChanges,
    /// Those that go on by another rule's leave, to be told after those that end.
    others: Vec<SessionChange>,
}

impl<'a> Judge<'a> {
    /// Judges under `new` what passes under `old`, and tells of `limit` sessions one by one.
    pub fn new(old: View<'a>, new: View<'a>, limit: usize) -> Self {
        let named: HashMap<&str, usize> =
            new.fabric.tenants.iter().enumerate().map(|(index, tenant)| (&*tenant.name, index)).collect();
        let same = old.fabric.tenants.iter().map(|tenant| named.get(&*tenant.name).copied()).collect();
        Self { old, new, same, limit, changes: SessionChanges::default(), others: Vec::new() }
    }

    /// Whether there may be anything to judge: a policy, a port or a segment is not what it was.
    pub fn is_needed(&self) -> bool {
        let moved =
            self.old.tenants.iter().any(|(vni, old)| self.same[*old] != self.new.tenants.get(vni).copied());
        let policies = self.old.compiled.policies.iter().zip(&self.same).any(|(policy, same)| {
            same.is_none_or(|index| {
                !std::sync::Arc::ptr_eq(&policy.policy, &self.new.compiled.policies[index].policy)
            })
        });
        let vacated = self.old.compiled.ports.iter().any(|port| !self.new.compiled.ports.contains(port));
        moved || policies || vacated
    }

    /// Judges a session.
    pub fn judge(&mut self, record: &SessionRecord) {
        self.changes.examined += 1;
        let Some(old) = self.old.tenant(record) else { return };
        let new = self.new.tenant(record).filter(|new| self.same[old] == Some(*new));
        let question = Question {
            vni: record.vni,
            from: record.from.0,
            to: record.to,
            protocol: record.protocol,
            port: record.service,
        };
        let decided = |view: &View<'_>, tenant: usize| {
            let decision = view.compiled.policies[tenant].policy.decide(&question);
            let rule =
                decision.rule.map(|rule| &view.fabric.tenants[tenant].policy.rules[rule as usize].name);
            (decision.action, rule.map_or_else(|| "the default".to_owned(), |rule| format!("rule {rule}")))
        };
        let port = self.new.compiled.snapshot.ports.get(record.port.index());
        let gone = port.is_none_or(|port| matches!(port.kind, PortKind::Vacant));
        let (action, rule) = decided(&self.old, old);
        let Some(new) = new.filter(|_| !gone) else {
            self.changes.ended += 1;
            let why = if gone { "ends with its endpoint" } else { "ends with its segment" };
            return self.tell(record, old, rule, why.to_owned());
        };
        let (next, next_rule) = decided(&self.new, new);
        match (action, next) {
            (Action::Allow, Action::Deny) => {
                self.changes.denied += 1;
                self.tell(record, old, rule, format!("denied by {next_rule}"));
            }
            (Action::Allow, Action::Allow) if rule != next_rule => {
                self.changes.other_rule += 1;
                if self.others.len() < self.limit {
                    let change = self.change(record, old, rule, format!("allowed by {next_rule}"));
                    self.others.push(change);
                }
            }
            _ => {}
        }
    }

    /// What came out.
    pub fn changes(mut self) -> SessionChanges {
        let room = self.limit.saturating_sub(self.changes.examples.len());
        self.changes.examples.extend(self.others.into_iter().take(room));
        self.changes
    }

    fn tell(&mut self, record: &SessionRecord, tenant: usize, old: String, new: String) {
        if self.changes.examples.len() < self.limit {
            let change = self.change(record, tenant, old, new);
            self.changes.examples.push(change);
        }
    }

    fn change(&self, record: &SessionRecord, tenant: usize, old: String, new: String) -> SessionChange {
        SessionChange {
            tenant: self.old.fabric.tenants[tenant].name.to_string(),
            protocol: protocol_name(record.protocol),
            from: end(record.protocol, record.from),
            to: end(record.protocol, (record.to, record.service)),
            state: record.state.name().to_owned(),
            old,
            new,
        }
    }
}

/// An end of a session, with its port where the protocol has such.
fn end(protocol: u8, (address, port): (IpAddr, u16)) -> String {
    if matches!(protocol, 6 | 17 | 132) {
        SocketAddr::new(address, port).to_string()
    } else {
        address.to_string()
    }
}

#[cfg(test)]
mod tests;
