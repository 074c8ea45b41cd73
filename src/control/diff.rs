//! What differs between two documents, and what of that a running switch cannot take up.

use std::collections::{HashMap, HashSet};

use weft_pipelines::flow::State;

use super::words;
use crate::config::checked::{Endpoint, Fabric, Group, Host, Rule, Segment, Tenant};
use crate::report::{Change, ChangeKind, Detail};

/// The keys of `fabric.sessions.timeouts`, and a state that each is of.
const TIMEOUTS: [(&str, State); 10] = [
    ("tcp-opening", State::TcpSynSent),
    ("tcp-established", State::TcpEstablished),
    ("tcp-closing", State::TcpFinWait),
    ("tcp-time-wait", State::TcpTimeWait),
    ("tcp-closed", State::TcpClosed),
    ("udp", State::UdpNew),
    ("udp-replied", State::UdpReplied),
    ("icmp", State::IcmpNew),
    ("other", State::New),
    ("other-replied", State::Replied),
];

/// All that differs between `old` and `new`, in the order of a document.
pub fn changes(old: &Fabric, new: &Fabric) -> Vec<Change> {
    let mut changes = Vec::new();
    let (old_fabric, new_fabric) = (old, new);
    fabric(old, new, &mut changes);
    each(
        &old.hosts,
        &new.hosts,
        |host| &host.name,
        |old, new| {
            let details = match (old, new) {
                (Some(old), Some(new)) => {
                    let mut details = Details::default();
                    host(old, new, &mut details);
                    details
                }
                (old, new) => Details::whole(old.map(words::host), new.map(words::host)),
            };
            note(&mut changes, "host", name_of(old, new, |host| host.name.to_string()), (old, new), details);
        },
    );
    each(
        &old.tenants,
        &new.tenants,
        |tenant| &tenant.name,
        |old, new| match (old, new) {
            (Some(before), Some(now)) => tenant((old_fabric, before), (new_fabric, now), &mut changes),
            (old, new) => {
                let sum = |tenant: &Tenant| {
                    let Tenant { segments, groups, endpoints, policy, .. } = tenant;
                    let counts = [
                        (segments.len(), "segments"),
                        (groups.len(), "groups"),
                        (endpoints.len(), "endpoints"),
                        (policy.rules.len(), "rules"),
                    ];
                    words::list(counts.map(|(count, what)| format!("{count} {what}")))
                };
                let name = name_of(old, new, |tenant| tenant.name.to_string());
                note(&mut changes, "tenant", name, (old, new), Details::whole(old.map(sum), new.map(sum)));
            }
        },
    );
    changes
}

/// What of the difference the switch of the host called `here` has to be started anew for.
pub fn restart(old: &Fabric, new: &Fabric, here: &str) -> Vec<Detail> {
    let mut details = Details::default();
    details.compare("fabric: vxlan.port", &old.vxlan_port, &new.vxlan_port, u16::to_string);
    let of = |fabric: &Fabric| fabric.host(here).map(|index| fabric.hosts[index.0].clone());
    if let (Some(old), Some(new)) = (of(old), of(new)) {
        let mut own = Details::default();
        host(&with_rates_of(old, &new), &new, &mut own);
        details.0.extend(
            own.0.into_iter().map(|detail| Detail { key: format!("host {here}: {}", detail.key), ..detail }),
        );
    }
    details.0
}

/// `old` with the rates that `new` has its uplinks send at: these are no device's.
fn with_rates_of(mut old: Host, new: &Host) -> Host {
    for uplink in &mut old.uplinks {
        if let Some(same) = new.uplinks.iter().find(|other| other.name == uplink.name) {
            uplink.rate = same.rate;
        }
    }
    old
}

fn fabric(old: &Fabric, new: &Fabric, changes: &mut Vec<Change>) {
    let mut details = Details::default();
    details.compare("name", &old.name, &new.name, ToString::to_string);
    details.compare("vxlan.port", &old.vxlan_port, &new.vxlan_port, u16::to_string);
    details.compare("vxlan.dscp", &old.vxlan_dscp, &new.vxlan_dscp, |dscp| words::dscp(*dscp).to_owned());
    let (before, now) = (old.charge, new.charge);
    details.compare("qos.overhead", &before.overhead, &now.overhead, |bytes| format!("{bytes} bytes"));
    details.compare("qos.overlay", &before.overlay, &now.overlay, bool::to_string);
    let (before, now) = (&old.sessions, &new.sessions);
    details.compare("sessions.tcp", &before.tcp, &now.tcp, |tcp| words::tracking(*tcp).to_owned());
    details.compare("sessions.pick-up", &before.pick_up, &now.pick_up, bool::to_string);
    for (key, state) in TIMEOUTS {
        let (before, now) = (before.timeouts.of(state), now.timeouts.of(state));
        details.compare(&format!("sessions.timeouts.{key}"), &before, &now, |time| words::period(*time));
    }
    note(changes, "fabric", new.name.to_string(), (Some(old), Some(new)), details);
}

/// What differs between two hosts of one name.
fn host(old: &Host, new: &Host, details: &mut Details) {
    details.compare("vtep", &old.vtep, &new.vtep, ToString::to_string);
    details.compare("workers", &old.workers, &new.workers, words::workers);
    details.compare("memory", &old.memory, &new.memory, words::memory);
    details.compare("sessions", &old.sessions, &new.sessions, u32::to_string);
    let order = |host: &Host| words::list(host.uplinks.iter().map(|uplink| uplink.name.to_string()));
    each(
        &old.uplinks,
        &new.uplinks,
        |uplink| &uplink.name,
        |old, new| {
            let key = name_of(old, new, |uplink| format!("uplink {}", uplink.name));
            if old != new {
                details.push(&key, old.map(words::uplink), new.map(words::uplink));
            }
        },
    );
    let same_uplinks = old.uplinks.iter().all(|old| new.uplinks.contains(old));
    if same_uplinks && old.uplinks.len() == new.uplinks.len() {
        details.compare("order of uplinks", &order(old), &order(new), String::clone);
    }
}

/// A tenant in its fabric.
type Of<'a> = (&'a Fabric, &'a Tenant);

fn tenant((old_fabric, old): Of<'_>, (new_fabric, new): Of<'_>, changes: &mut Vec<Change>) {
    let tenant = &new.name;
    let mut details = Details::default();
    details.maybe("qos", words::qos(&old.qos), words::qos(&new.qos));
    details.maybe("qos.classes", words::classes(&old.qos), words::classes(&new.qos));
    details.maybe("sessions", words::limits(&old.sessions), words::limits(&new.sessions));
    note(changes, "tenant", tenant.to_string(), (Some(old), Some(new)), details);

    each(
        &old.segments,
        &new.segments,
        |segment| &segment.name,
        |old, new| {
            let details = segment(old, new);
            note(
                changes,
                "segment",
                name_of(old, new, |s| format!("{tenant}/{}", s.name)),
                (old, new),
                details,
            );
        },
    );
    each(
        &old.groups,
        &new.groups,
        |group| &group.name,
        |old, new| {
            let details = group(old, new);
            note(
                changes,
                "group",
                name_of(old, new, |g| format!("{tenant}/{}", g.name)),
                (old, new),
                details,
            );
        },
    );
    each(
        &old.endpoints,
        &new.endpoints,
        |endpoint| &endpoint.name,
        |before, now| {
            let before_whole = before.map(|endpoint| (endpoint, (old_fabric, old)));
            let details = endpoint(before_whole, now.map(|endpoint| (endpoint, (new_fabric, new))));
            let name = name_of(before, now, |endpoint| format!("{tenant}/{}", endpoint.name));
            note(changes, "endpoint", name, (before, now), details);
        },
    );
    let mut details = Details::default();
    details.compare("mode", &old.policy.mode, &new.policy.mode, |mode| words::mode(*mode).to_owned());
    details.compare("default", &old.policy.default, &new.policy.default, |verdict| {
        words::verdict(*verdict).to_owned()
    });
    note(changes, "policy", tenant.to_string(), (Some(old), Some(new)), details);
    rules(old, new, changes);
}

fn segment(old: Option<&Segment>, new: Option<&Segment>) -> Details {
    let mut details = Details::default();
    details.each(old, new, "vni", |segment| Some(segment.vni.to_string()));
    details.each(old, new, "subnet", |segment| Some(words::list(&segment.subnets)));
    details.each(old, new, "gateway", |segment| some_list(&segment.gateways));
    details
}

fn group(old: Option<&Group>, new: Option<&Group>) -> Details {
    let mut details = Details::default();
    details.each(old, new, "id", |group| group.id.map(|id| id.to_string()));
    details.each(old, new, "cidr", |group| some_list(&group.cidrs));
    details
}

fn endpoint(old: Option<(&Endpoint, Of<'_>)>, new: Option<(&Endpoint, Of<'_>)>) -> Details {
    type Whole<'a> = (&'a Endpoint, Of<'a>);
    let mut details = Details::default();
    let mut each = |key, show: &dyn Fn(&Whole<'_>) -> Option<String>| {
        details.each(old.as_ref(), new.as_ref(), key, show);
    };
    each("host", &|(endpoint, (fabric, _))| Some(fabric.hosts[endpoint.host.0].name.to_string()));
    each("attach", &|(endpoint, _)| Some(words::attach(&endpoint.attach)));
    each("segment", &|(endpoint, (_, of))| Some(of.segments[endpoint.segment.0].name.to_string()));
    each("mac", &|(endpoint, _)| Some(endpoint.mac.to_string()));
    each("ip", &|(endpoint, _)| Some(words::list(&endpoint.ips)));
    each("groups", &|(endpoint, (_, of))| {
        let names: Vec<_> = endpoint.groups.iter().map(|group| &of.groups[group.0].name).collect();
        some_list(&names)
    });
    // What it has of its tenant is told there.
    each("sessions", &|(endpoint, (_, of))| {
        if endpoint.sessions == of.sessions { None } else { words::limits(&endpoint.sessions) }
    });
    each("qos", &|(endpoint, _)| words::qos(&endpoint.qos));
    each("qos.classes", &|(endpoint, _)| words::classes(&endpoint.qos));
    details
}

/// The rules of a tenant: those that are new, gone or different, and those that stand elsewhere in the order.
fn rules(old: &Tenant, new: &Tenant, changes: &mut Vec<Change>) {
    // A group's place in its list says nothing; most often the lists begin alike, and then the rules compare as such.
    let alike = old.groups.iter().map(|group| &group.name).eq(new.groups.iter().map(|group| &group.name));
    let same = |(a, b): &(&Rule, &Rule)| {
        if alike { a == b } else { a.name == b.name && says(old, a) == says(new, b) }
    };
    let (before, now) = (&old.policy.rules, &new.policy.rules);
    let first = before.iter().zip(now).take_while(same).count();
    let (old_rest, new_rest) = (&before[first..], &now[first..]);
    let last = old_rest.iter().rev().zip(new_rest.iter().rev()).take_while(same).count();
    let (old_rest, new_rest) = (&old_rest[..old_rest.len() - last], &new_rest[..new_rest.len() - last]);
    let moved = moved(old_rest, new_rest);
    let places: HashMap<&str, usize> =
        old_rest.iter().zip(first + 1..).map(|(rule, place)| (&*rule.name, place)).collect();
    let new_places: HashMap<&str, usize> =
        new_rest.iter().zip(first + 1..).map(|(rule, place)| (&*rule.name, place)).collect();
    each(
        old_rest,
        new_rest,
        |rule| &rule.name,
        |a, b| {
            let mut details = Details::default();
            let (said, says) = (a.map(|rule| says(old, rule)), b.map(|rule| says(new, rule)));
            details.maybe("", said, says);
            let place = |rule: Option<&Rule>, places: &HashMap<&str, usize>| {
                rule.and_then(|rule| places.get(&*rule.name)).map(usize::to_string)
            };
            if a.is_none() || b.is_some_and(|rule| moved.contains(&*rule.name)) {
                details.maybe("place", place(a, &places), place(b, &new_places));
            }
            note(
                changes,
                "rule",
                name_of(a, b, |rule| format!("{}/{}", new.name, rule.name)),
                (a, b),
                details,
            );
        },
    );
}

fn says(tenant: &Tenant, rule: &Rule) -> String {
    words::rule(tenant, rule)
}

/// The rules that both have and that stand elsewhere: the fewest that, moved, make the old order the new one.
fn moved<'a>(old: &'a [Rule], new: &'a [Rule]) -> HashSet<&'a str> {
    let places: HashMap<&str, usize> =
        old.iter().enumerate().map(|(place, rule)| (&*rule.name, place)).collect();
    let both: Vec<(usize, &str)> =
        new.iter().filter_map(|rule| Some((*places.get(&*rule.name)?, &*rule.name))).collect();
    // The longest increasing subsequence stays: `ends[n]` is where one of n + 1 places ends lowest.
    let (mut ends, mut before): (Vec<usize>, Vec<Option<usize>>) = (Vec::new(), Vec::new());
    for (index, (place, _)) in both.iter().enumerate() {
        let length = ends.partition_point(|end| both[*end].0 < *place);
        before.push(length.checked_sub(1).map(|shorter| ends[shorter]));
        if length == ends.len() { ends.push(index) } else { ends[length] = index }
    }
    let mut moved: HashSet<&str> = both.iter().map(|(_, name)| *name).collect();
    let mut stays = ends.last().copied();
    while let Some(index) = stays {
        moved.remove(both[index].1);
        stays = before[index];
    }
    moved
}

/// Calls `found` with what stands under each name before and now: first what there is now, then what is gone.
fn each<'a, T>(
    old: &'a [T],
    new: &'a [T],
    name: impl Fn(&'a T) -> &'a str,
    mut found: impl FnMut(Option<&'a T>, Option<&'a T>),
) {
    let before: HashMap<&str, &T> = old.iter().map(|item| (name(item), item)).collect();
    let now: HashSet<&str> = new.iter().map(&name).collect();
    new.iter().for_each(|item| found(before.get(name(item)).copied(), Some(item)));
    old.iter().filter(|item| !now.contains(name(item))).for_each(|item| found(Some(item), None));
}

fn name_of<T>(old: Option<&T>, new: Option<&T>, name: impl Fn(&T) -> String) -> String {
    new.or(old).map(name).unwrap_or_default()
}

fn some_list<T: std::fmt::Display>(items: &[T]) -> Option<String> {
    (!items.is_empty()).then(|| words::list(items))
}

/// Notes a change, if it is one.
fn note<T>(
    changes: &mut Vec<Change>,
    what: &str,
    name: String,
    (old, new): (Option<T>, Option<T>),
    details: Details,
) {
    let kind = match (old, new) {
        (None, _) => ChangeKind::Added,
        (_, None) => ChangeKind::Removed,
        _ if details.0.is_empty() => return,
        _ => ChangeKind::Changed,
    };
    changes.push(Change { kind, what: what.to_owned(), name, details: details.0 });
}

/// What differs between two things.
#[derive(Default)]
struct Details(Vec<Detail>);

impl Details {
    /// Of a thing that is told as a whole.
    fn whole(old: Option<String>, new: Option<String>) -> Self {
        let mut details = Self::default();
        details.push("", old, new);
        details
    }

    fn compare<T: PartialEq>(&mut self, key: &str, old: &T, new: &T, show: impl Fn(&T) -> String) {
        if old != new {
            self.push(key, Some(show(old)), Some(show(new)));
        }
    }

    fn each<T>(&mut self, old: Option<&T>, new: Option<&T>, key: &str, show: impl Fn(&T) -> Option<String>) {
        self.maybe(key, old.and_then(&show), new.and_then(&show));
    }

    fn maybe(&mut self, key: &str, old: Option<String>, new: Option<String>) {
        if old != new {
            self.push(key, old, new);
        }
    }

    fn push(&mut self, key: &str, old: Option<String>, new: Option<String>) {
        self.0.push(Detail { key: key.to_owned(), old, new });
    }
}

#[cfg(test)]
mod tests;
