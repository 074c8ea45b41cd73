//! What is assured and bounded of traffic: limits, traffic classes, and whether all can have what they are assured.

use std::collections::BTreeMap;

use weft_pipelines::qos::{self, Bucket, Charge};

use super::{Names, label, value_of};
use crate::config::checked::{Class, Dscp, Endpoint, Host, HostIndex, Qos, Tenant};
use crate::config::diagnostic::{At, Location, Notes};
use crate::config::raw::{self, List};
use crate::config::read::Located;
use crate::config::scalar::{Codepoint, CodepointSet, Name, PacketRate, Rate, Size};

/// A burst below one frame of the usual size would let nothing pass.
const MIN_BURST: u64 = 1600;
/// More is no burst any more: 40 ms at 100 Gbit/s.
const MAX_BURST: u64 = Bucket::MAX_BURST / 8;
/// At less a full packet takes more than 1.5 s, and what waits behind it has timed out before its turn.
const MIN_RATE: u64 = 8_000;
/// Bits of a packet of 1500 bytes.
const FULL_PACKET: u64 = 12_000;
/// A worker that is busy with others comes back within this time, in microseconds; what comes in meanwhile is lost to
/// who has no room for it.
const AWAY: u64 = 100;
/// Bytes that a packet may be charged beside its frame.
const MAX_OVERHEAD: u16 = 256;
/// What a last class is called that takes what the document's own leave. There are more than classes can be.
const REST: [&str; qos::Class::MAX] = ["rest", "others", "default", "remaining"];

/// What packets cost.
pub(super) fn charge(raw: Option<&raw::Charge>, notes: &Notes) -> Charge {
    let mut charge = Charge::default();
    let Some(raw) = raw else { return charge };
    if let Some(Located { at, value: Some(bytes) }) = raw.overhead {
        if bytes > MAX_OVERHEAD {
            notes.error(
                at,
                format!("fabric: qos.overhead of {bytes} bytes is more than {MAX_OVERHEAD}, the most that makes sense"),
            );
        }
        charge.overhead = bytes;
    }
    charge.overlay = value_of(&raw.overlay).copied().unwrap_or(charge.overlay);
    charge
}

/// A rate that the document gives, if it does.
pub(super) fn rate(raw: &Option<Located<Rate>>, what: &str, owner: &str, notes: &Notes) -> Option<u64> {
    let Located { at, value } = raw.as_ref()?;
    let rate = (*value)?;
    if rate.0 < MIN_RATE {
        notes.error(
            *at,
            format!(
                "{owner}: at a {what} of {rate} a full packet takes {} s; give {} or more",
                FULL_PACKET.div_ceil(rate.0.max(1)),
                Rate(MIN_RATE)
            ),
        );
    }
    Some(rate.0)
}

/// What `raw` says of `owner`, as "endpoint blue/web1"; `name` is that without its kind.
pub(super) fn qos(
    raw: Option<&Located<raw::Qos>>,
    owner: &str,
    name: Option<&str>,
    notes: &Notes,
) -> Option<Qos> {
    let Located { at, value } = raw?;
    let raw = value.as_ref()?;
    let qos = Qos {
        rate: rate(&raw.rate, "rate", owner, notes),
        ceil: rate(&raw.ceil, "ceil", owner, notes),
        burst: value_of(&raw.burst).map(|size| size.0),
        weight: weight(&raw.weight, owner, notes),
        pps: value_of(&raw.pps).map(|rate| rate.0),
        classes: raw.classes.as_ref().map_or_else(Vec::new, |raw| classes(raw, owner, name, notes)),
        at: At(*at),
    };
    if let (Some(rate), Some(ceil), Some(place)) = (qos.rate, qos.ceil, &raw.ceil)
        && ceil < rate
    {
        notes.error(
            place.at,
            format!(
                "{owner}: ceil is below rate ({} and {}); give a ceil of at least the rate, or none",
                Rate(ceil),
                Rate(rate)
            ),
        );
    }
    burst(&qos, raw, owner, notes);
    Some(qos)
}

fn burst(qos: &Qos, raw: &raw::Qos, owner: &str, notes: &Notes) {
    let (Some(bytes), Some(place)) = (qos.burst, &raw.burst) else { return };
    let most = qos.most().unwrap_or_default();
    let needed = (most * AWAY).div_ceil(8 * 1_000_000);
    if bytes < MIN_BURST {
        notes.error(
            place.at,
            format!("{owner}: a burst of {bytes} bytes is less than a frame, so none would pass; give {MIN_BURST}B or more"),
        );
    } else if bytes > MAX_BURST {
        notes.error(
            place.at,
            format!(
                "{owner}: a burst of {} is more than {}, and no burst any more; give less",
                Size(bytes),
                Size(MAX_BURST)
            ),
        );
    } else if raw.rate.is_none() && raw.ceil.is_none() {
        notes.warn(place.at, format!("{owner}: burst does nothing without rate or ceil"));
    } else if bytes < needed {
        notes.warn(
            place.at,
            format!(
                "{owner}: with a burst of {} the {} of its ceil can't be had: a worker that is busy with others may look \
                 away for {AWAY} us, which bring more; give {} or more",
                Size(bytes),
                Rate(most),
                Size(needed)
            ),
        );
    }
}

fn weight(raw: &Option<Located<u16>>, owner: &str, notes: &Notes) -> u16 {
    if let Some(Located { at, value: Some(0) }) = raw {
        notes.error(*at, format!("{owner}: weight 0 is no share; give 1 or more"));
    }
    value_of(raw).copied().unwrap_or(1)
}

/// The traffic classes; with one for the rest, if none of them is.
fn classes(raw: &List<raw::Class>, owner: &str, parent: Option<&str>, notes: &Notes) -> Vec<Class> {
    let count = raw.iter().len();
    if raw.is_empty() {
        notes.error(raw.at, format!("{owner}: classes is empty; give one, or leave the key out"));
    } else if count > qos::Class::MAX {
        notes.error(raw.at, format!("{owner}: {count} traffic classes: there can be {}", qos::Class::MAX));
    }
    Names::of("class", parent, raw, |item| &item.name, notes);
    let mut check = Check { parent, notes, taken: vec![None; 64], rest: None, weighted: None };
    let mut classes: Vec<Class> =
        raw.iter().filter_map(|located| check.class(located.value.as_ref()?, located.at)).collect();
    let all = classes.iter().fold(CodepointSet::default(), |all, class| all.union(class.dscp));
    let left = all.complement();
    // What could not be read may be the one that has none.
    let whole = classes.len() == count && count > 0;
    if check.rest.is_some() {
        classes.iter_mut().filter(|class| class.rest).for_each(|class| class.dscp = left);
    } else if whole && count >= qos::Class::MAX {
        notes.error(
            raw.at,
            format!(
                "{owner}: none of its {count} traffic classes is for the packets of other DSCPs; leave the dscp of one out"
            ),
        );
    } else if whole {
        let name = REST.iter().find(|name| classes.iter().all(|class| class.name != **name));
        let name = name.and_then(|name| name.parse::<Name>().ok());
        classes.extend(name.map(|name| Class {
            name,
            dscp: left,
            rest: true,
            strict: false,
            weight: 1,
            mark: Codepoint::default(),
        }));
    }
    classes
}

/// What the classes of one list are checked against.
struct Check<'a> {
    parent: Option<&'a str>,
    notes: &'a Notes,
    /// By code point: which class has it, and where that is.
    taken: Vec<Option<(String, Location)>>,
    /// Where the class is that takes the rest.
    rest: Option<Location>,
    /// The first that is not strict.
    weighted: Option<String>,
}

impl Check<'_> {
    fn class(&mut self, raw: &raw::Class, at: Location) -> Option<Class> {
        let notes = self.notes;
        let owner = label("class", self.parent, &raw.name);
        let strict = value_of(&raw.strict).copied().unwrap_or(false);
        match (&raw.strict, &self.weighted) {
            (Some(place), Some(first)) if strict => notes.error(
                place.at,
                format!("{owner}: strict ones go first, and {first} stands before it; put it before that, or leave strict out"),
            ),
            (_, None) if !strict => self.weighted = Some(owner.clone()),
            _ => {}
        }
        if let (true, Some(weight)) = (strict, &raw.weight) {
            notes.error(weight.at, format!("{owner}: strict ones have no weight; leave one of the two out"));
        }
        let dscp = match &raw.dscp {
            Some(list) => self.codepoints(list, &owner),
            None => {
                if let Some(first) = self.rest {
                    let line = first.line;
                    notes.error(
                        at,
                        format!("{owner}: has no dscp, as the class at line {line} has none, which takes all other packets; give it some"),
                    );
                }
                self.rest = self.rest.or(Some(at));
                CodepointSet::default()
            }
        };
        Some(Class {
            name: raw.name.value.clone()?,
            dscp,
            rest: raw.dscp.is_none(),
            strict,
            weight: weight(&raw.weight, &owner, notes),
            mark: value_of(&raw.mark).copied().unwrap_or_default(),
        })
    }

    fn codepoints(&mut self, raw: &List<crate::config::scalar::Codepoints>, owner: &str) -> CodepointSet {
        let notes = self.notes;
        if raw.is_empty() {
            notes.error(
                raw.at,
                format!("{owner}: dscp is empty; name some, as ef, or leave the key out for all that no other class has"),
            );
        }
        let mut set = CodepointSet::default();
        for Located { at, value } in raw {
            for codepoint in value.iter().flat_map(|codepoints| codepoints.iter()) {
                let Some(place) = self.taken.get_mut(usize::from(codepoint.0)) else { continue };
                match place {
                    Some((holder, first)) => {
                        let number = codepoint.0;
                        let shown = codepoint.to_string();
                        let name =
                            if shown == number.to_string() { String::new() } else { format!(" ({shown})") };
                        let line = first.line;
                        notes.error(
                            *at,
                            format!("{owner}: dscp {number}{name} is in {holder} already, at line {line}; leave it out of one"),
                        );
                        break;
                    }
                    None => *place = Some((owner.to_owned(), *at)),
                }
                set.insert(codepoint);
            }
        }
        set
    }
}

/// Notes marks that no packet gets, since under `uniform` the inner one is the outer one.
pub(super) fn marks(dscp: Dscp, tenants: &[Tenant], notes: &Notes) {
    if dscp == Dscp::Pipe {
        return;
    }
    let all = tenants.iter().flat_map(|tenant| {
        let endpoints = tenant.endpoints.iter();
        let endpoints = endpoints.map(|of| (format!("endpoint {}/{}", tenant.name, of.name), &of.qos));
        std::iter::once((format!("tenant {}", tenant.name), &tenant.qos)).chain(endpoints)
    });
    for (owner, qos) in all {
        let marks = |class: &&Class| class.mark != Codepoint::default();
        let Some(qos) = qos else { continue };
        if let Some(class) = qos.classes.iter().find(marks) {
            notes.warn(
                qos.at.0,
                format!(
                    "{owner}: the mark of class {} does nothing under fabric.vxlan.dscp: uniform, where the outer DSCP is \
                     the inner one",
                    class.name
                ),
            );
        }
    }
}

/// Notes what is assured and can't be had, for there is more of it than what it is a part of; and what can't be reached.
pub(super) fn oversubscription(hosts: &[Host], tenants: &[Tenant], notes: &Notes) {
    // By host: what its tenants are assured together.
    let mut sums = vec![0; hosts.len()];
    for tenant in tenants {
        let own = tenant.qos.as_ref().and_then(|qos| Some((qos, qos.rate?)));
        if let Some(qos) = &tenant.qos {
            unreachable(tenant, qos, notes);
        }
        for (HostIndex(index), endpoints) in assured(tenant) {
            sums[index] += own.map_or(endpoints, |(_, rate)| rate);
            let Some((qos, rate)) = own.filter(|(_, rate)| endpoints > *rate) else { continue };
            notes.warn(
                qos.at.0,
                format!(
                    "tenant {}: its endpoints on host {} are assured {} together, more than its rate of {}: not all can \
                     have theirs at once; raise its rate, or lower theirs",
                    tenant.name,
                    hosts[index].name,
                    Rate(endpoints),
                    Rate(rate)
                ),
            );
        }
    }
    for (host, sum) in hosts.iter().zip(sums) {
        let rates = host.uplinks.iter().map(|uplink| uplink.rate).sum::<Option<u64>>();
        let Some((rate, first)) = rates.zip(host.uplinks.first()) else { continue };
        if sum > rate {
            let uplinks =
                if host.uplinks.len() > 1 { "its uplinks send together" } else { "its uplink sends" };
            notes.warn(
                first.at.0,
                format!(
                    "host {}: its tenants are assured {} together, more than the {} that {uplinks}: not all can have theirs \
                     at once where it goes to other hosts; lower some rates",
                    host.name,
                    Rate(sum),
                    Rate(rate)
                ),
            );
        }
    }
}

/// By host that a tenant has endpoints on: what these are assured together, in bits a second.
fn assured(tenant: &Tenant) -> BTreeMap<HostIndex, u64> {
    let mut sums = BTreeMap::new();
    for Endpoint { host, qos, .. } in &tenant.endpoints {
        *sums.entry(*host).or_default() += qos.as_ref().and_then(|qos| qos.rate).unwrap_or_default();
    }
    sums
}

/// Notes, of each endpoint, what its tenant does not let it reach.
fn unreachable(tenant: &Tenant, qos: &Qos, notes: &Notes) {
    for endpoint in &tenant.endpoints {
        let Some(own) = &endpoint.qos else { continue };
        let pairs = [
            ("ceil", own.most(), qos.most(), (|bits| Rate(bits).to_string()) as fn(u64) -> String),
            ("pps", own.pps, qos.pps, |packets| PacketRate(packets).to_string()),
        ];
        for (what, own_most, most, show) in pairs {
            let (Some(own_most), Some(most)) = (own_most, most) else { continue };
            if own_most > most {
                notes.warn(
                    own.at.0,
                    format!(
                        "endpoint {}/{}: its {what} of {} can't be reached: that of its tenant is {}",
                        tenant.name,
                        endpoint.name,
                        show(own_most),
                        show(most)
                    ),
                );
            }
        }
    }
}
