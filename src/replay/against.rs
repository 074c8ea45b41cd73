//! Recorded traffic under two documents: which connections would be decided otherwise.
//!
//! Compared is what policy decides of each connection at first. A connection that one of the documents does not let come
//! that far, because it knows no such endpoint say, has no decision there.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::IpAddr;

use serde::Serialize;
use weft_pipelines::Vni;
use weft_pipelines::sink::Decided;

use super::decisions;
use super::{Input, Options, Replay, SetupError};
use crate::config::checked::{Fabric, Tenant};
use crate::control::compile::{self, PortPlan};
use crate::explain::ends::name_at;
use crate::explain::{Purpose, Ruling};

/// What differs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// Connections that were decided under one of the documents at least.
    pub connections: usize,
    /// Those whose verdict differs.
    pub differ: Vec<Difference>,
    /// How many have the same verdict by another rule.
    pub other_rule: usize,
    /// Ports of which recordings were left out, for the new document has no such port on this host.
    pub left_out: Vec<String>,
}

/// A connection whose verdict differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The tenant.
    pub tenant: String,
    /// Who opens it: an endpoint, or an address.
    pub from: String,
    /// Who it is opened to.
    pub to: String,
    /// What for, as the document writes it.
    pub service: String,
    /// The port that it is opened from, of protocols with ports.
    pub source_port: Option<u16>,
    /// What the old document decides, if it comes to that.
    pub old: Option<Ruling>,
    /// What the new one decides.
    pub new: Option<Ruling>,
}

/// `blue/web1 to blue/db1, tcp/22 from port 40000: allowed by rule any (line 9), now denied by the default (line 7)`.
impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ruling = |ruling: &Option<Ruling>| {
            ruling.as_ref().map_or_else(|| "does not come to policy".to_owned(), ToString::to_string)
        };
        write!(f, "{} to {}, {}", self.from, self.to, self.service)?;
        if let Some(port) = self.source_port {
            write!(f, " from port {port}")?;
        }
        write!(f, ": {}, now {}", ruling(&self.old), ruling(&self.new))
    }
}

/// Replays `inputs`, of which `old` is the outcome's decisions, under `new` too, and compares.
///
/// Recordings of ports that `new` does not have on this host are left out under both documents.
///
/// # Errors
///
/// When `new` has no such host, or a recording can't be opened.
pub fn compare(
    (old_fabric, new_fabric): (&Fabric, &Fabric),
    host: &str,
    inputs: &[Input],
    options: &Options,
    old: &[Decided],
) -> Result<Comparison, SetupError> {
    let (common, left_out) = common(new_fabric, host, inputs)?;
    let decided = |fabric: &Fabric| -> Result<Vec<Decided>, SetupError> {
        let index = fabric.host(host);
        let uplinks = index.map_or(&[][..], |index| &fabric.hosts[index.0].uplinks);
        let has = |name: &str| uplinks.iter().any(|uplink| uplink.name == name);
        let uplink_macs = options.uplink_macs.iter().filter(|(name, _)| has(name)).cloned().collect();
        let options = Options { uplink_macs, decisions: true, flows: false, ..*options };
        match Replay::new(fabric, host, &common, &options)?.run(|_| Ok(io::sink()), |_| Ok(())) {
            Ok(outcome) => Ok(outcome.decisions),
            Err(never) => unreachable!("nowhere takes what is written: {never}"),
        }
    };
    let again = if left_out.is_empty() { None } else { Some(decided(old_fabric)?) };
    let old = again.as_deref().unwrap_or(old);
    let new = decided(new_fabric)?;
    Ok(Comparison { left_out, ..difference((old_fabric, old), (new_fabric, &new)) })
}

/// The inputs of ports that `fabric` has on `host`, and the names of the others.
fn common(fabric: &Fabric, host: &str, inputs: &[Input]) -> Result<(Vec<Input>, Vec<String>), SetupError> {
    let index = fabric.host(host).ok_or_else(|| SetupError::no_such_host(fabric, host))?;
    let names: Vec<String> = compile::ports(fabric, index).iter().map(PortPlan::name).collect();
    let (common, others): (Vec<Input>, Vec<Input>) =
        inputs.iter().cloned().partition(|input| names.contains(&input.port));
    let mut left_out: Vec<String> = others.into_iter().map(|input| input.port).collect();
    left_out.sort();
    left_out.dedup();
    Ok((common, left_out))
}

/// A connection of a segment, by the names that documents share.
type Key<'a> = (&'a str, &'a str, u8, [(IpAddr, u16); 2]);

/// A decision with its tenant.
struct Taken<'a> {
    tenant: &'a Tenant,
    decided: &'a Decided,
}

impl Taken<'_> {
    fn ruling(&self) -> Ruling {
        Ruling::of(self.tenant, &self.decided.decision)
    }
}

/// The decisions that were taken in segments of `fabric`, which are all.
fn taken<'a>(fabric: &'a Fabric, decided: &'a [Decided]) -> impl Iterator<Item = (Key<'a>, Taken<'a>)> {
    let mut segments: HashMap<Vni, (&Tenant, &str)> = HashMap::new();
    for tenant in &fabric.tenants {
        segments.extend(tenant.segments.iter().map(|segment| (segment.vni, (tenant, &*segment.name))));
    }
    decided.iter().filter_map(move |decided| {
        let (vni, protocol, ends) = decisions::key(decided);
        let (tenant, segment) = segments.get(&vni)?;
        Some(((&*tenant.name, *segment, protocol, ends), Taken { tenant, decided }))
    })
}

fn difference(old: (&Fabric, &[Decided]), new: (&Fabric, &[Decided])) -> Comparison {
    let mut later: HashMap<Key<'_>, Taken<'_>> = taken(new.0, new.1).collect();
    let mut comparison = Comparison::default();
    for (key, old) in taken(old.0, old.1) {
        comparison.add(Some(old), later.remove(&key));
    }
    // In the order in which they were decided: what is left had no decision under the old document.
    for (key, new) in taken(new.0, new.1) {
        if later.contains_key(&key) {
            comparison.add(None, Some(new));
        }
    }
    comparison
}

impl Comparison {
    fn add(&mut self, old: Option<Taken<'_>>, new: Option<Taken<'_>>) {
        self.connections += 1;
        let [before, after] = [&old, &new].map(|taken| taken.as_ref().map(Taken::ruling));
        let allows = |ruling: &Option<Ruling>| ruling.as_ref().is_some_and(Ruling::allows);
        if allows(&before) == allows(&after) {
            let rule = |ruling: &Option<Ruling>| ruling.as_ref().map(|ruling| ruling.by.rule.clone());
            self.other_rule += usize::from(rule(&before) != rule(&after));
            return;
        }
        let Some(Taken { tenant, decided }) = old.or(new) else { return };
        let question = &decided.question;
        let purpose = Purpose { protocol: question.protocol, port: question.port };
        let name = |address| name_at(tenant, question.vni, address);
        self.differ.push(Difference {
            tenant: tenant.name.to_string(),
            from: name(question.from),
            to: name(question.to),
            service: purpose.to_string(),
            source_port: purpose.has_ports().then_some(decided.source),
            old: before,
            new: after,
        });
    }
}
