//! What would happen to a connection, told step by step: a made-up packet goes through the same stages as a real one,
//! on each host that it comes by, and so does the packet that answers it.
//!
//! [`explain`] takes the fabric's document and two ends. The hosts are compiled from the document as for `weft run`,
//! with one worker each; as in a [`replay`](crate::replay), the uplinks' MACs and those of the next hops are made up.
//! The underlay between the hosts is taken to work.

pub mod ends;
pub mod glimpse;
mod host;
mod journey;
mod packet;
pub mod purpose;
mod question;
pub mod ruling;
pub mod words;

use std::fmt;
use std::net::IpAddr;

use serde::Serialize;
use thiserror::Error;
use weft_pipelines::Vni;

pub use ends::Written;
use journey::{Entry, Journey, Way};
use packet::{Connection, Side};
pub use purpose::Purpose;
use question::{Asked, Party};
pub use ruling::{Audit, Decider, Ruling};
pub use words::Step;

use crate::config::checked::{Fabric, HostIndex};
use crate::config::scalar::Codepoint;
use crate::control::compile::TooMany;

/// The port that connections are opened from unless told otherwise.
pub const SOURCE_PORT: u16 = 40_000;

/// What is to be explained.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Who opens the connection.
    pub from: Written,
    /// Who it is opened to.
    pub to: Written,
    /// What for.
    pub purpose: Purpose,
    /// The port that it is opened from; the identifier of ICMP queries.
    pub source: u16,
    /// Whether by IPv6 where both ends have both.
    pub ipv6: bool,
    /// The DSCP of the packets.
    pub dscp: Codepoint,
}

/// What would happen.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// Who opens the connection.
    pub from: End,
    /// Who it is opened to.
    pub to: End,
    /// What for, as the document writes it.
    pub service: String,
    /// The port that it is opened from; the identifier of ICMP queries.
    pub source: u16,
    /// What was assumed.
    pub notes: Vec<String>,
    /// What the first packet meets.
    pub there: Vec<Step>,
    /// What the answer meets.
    pub back: Vec<Step>,
    /// Whether the first packet arrives and the answer, if there ever is one, comes back.
    pub passes: bool,
    /// All of it in a sentence.
    pub verdict: String,
}

/// An end of the connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct End {
    /// `tenant/endpoint`; `None` where the address is no endpoint's.
    pub endpoint: Option<String>,
    /// The address.
    pub address: IpAddr,
}

/// `blue/web1 (10.1.0.11)`, or the address alone.
impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.endpoint {
            Some(name) => write!(f, "{name} ({})", self.address),
            None => self.address.fmt(f),
        }
    }
}

/// A packet in a line. `source` is what tells several for one purpose apart.
pub fn title(from: &End, to: &End, purpose: Purpose, source: Option<u16>) -> String {
    let source = purpose.source_name().zip(source);
    let source = source.map_or_else(String::new, |(name, source)| format!(", {name} {source}"));
    format!("{from} to {to}, {purpose}{source}")
}

/// Steps as lines: the host, the stage, and what it says.
pub fn lines(steps: &[Step], (host, stage): (usize, usize)) -> String {
    let line = |step: &Step| format!("  {:host$}  {:stage$}  {}\n", step.host, step.stage, step.says);
    steps.iter().map(line).collect()
}

/// How wide the columns of these are.
pub fn widths<'a>(steps: impl Iterator<Item = &'a Step> + Clone) -> (usize, usize) {
    let width = |of: fn(&Step) -> &str| steps.clone().map(|step| of(step).len()).max().unwrap_or(0);
    (width(|step| &step.host), width(|step| &step.stage))
}

/// Why there is nothing to explain.
#[derive(Debug, Error)]
pub enum Problem {
    /// The question makes no sense in this fabric.
    #[error("{0}")]
    Wrong(String),
    /// The document is too large.
    #[error(transparent)]
    TooMany(#[from] TooMany),
}

impl From<String> for Problem {
    fn from(what: String) -> Self {
        Self::Wrong(what)
    }
}

/// Explains what would happen to a connection.
///
/// # Errors
///
/// When an end is not there, neither is an endpoint, or the service is none that connections are opened for.
pub fn explain(fabric: &Fabric, ask: &Ask) -> Result<Explanation, Problem> {
    let Asked { from, to, tenant, meeting } = question::asked(fabric, ask)?;
    let mut explanation = Explanation {
        from: from.end(fabric),
        to: to.end(fabric),
        service: ask.purpose.to_string(),
        source: ask.source,
        notes: Vec::new(),
        there: Vec::new(),
        back: Vec::new(),
        passes: false,
        verdict: String::new(),
    };
    match meeting {
        Err(apart) => explanation.verdict = format!("does not pass: {apart}"),
        Ok(segment) => {
            let vni = fabric.tenants[tenant].segments[segment].vni;
            let from_mac = from.mac(fabric, tenant, segment);
            let to_mac = to.mac_to_send_to(fabric, tenant, segment, &mut explanation.notes);
            let connection = Connection {
                from: Side { mac: from_mac, address: from.address },
                to: Side { mac: to_mac, address: to.address },
                purpose: ask.purpose,
                source: ask.source,
                dscp: ask.dscp,
            };
            let mut walk = Walk { fabric, journey: Journey::new(fabric), explanation: &mut explanation };
            walk.both_ways([&from, &to], vni, &connection)?;
        }
    }
    Ok(explanation)
}

/// Both packets on their ways.
struct Walk<'a> {
    fabric: &'a Fabric,
    journey: Journey<'a>,
    explanation: &'a mut Explanation,
}

impl Walk<'_> {
    fn both_ways(
        &mut self,
        [from, to]: [&Party; 2],
        vni: Vni,
        connection: &Connection,
    ) -> Result<(), Problem> {
        let entry = self.entry(from, to, vni).map_err(Problem::Wrong)?;
        self.note(from, entry);
        let way = self.journey.take(entry, &connection.first(), to.endpoint.is_some())?;
        let there = self.arrives(&way, to);
        self.explanation.there = way.steps.clone();
        let (from, to) = ((from, from.to_string(self.fabric)), (to, to.to_string(self.fabric)));
        let purpose = connection.purpose;
        if let Err(why) = there {
            self.explanation.verdict = format!("does not pass: {why}");
            return Ok(());
        }
        let passes = format!("passes: {} reaches {} by {purpose}", from.1, to.1);
        let audit = way.steps.iter().filter_map(|step| step.ruling.as_ref()?.audit.as_ref()).next();
        let audit = audit.map_or_else(String::new, |audit| {
            format!("; were all enforced that is under audit, {} would {} it", audit.by, audit.action)
        });
        let Some(answer) = connection.answer() else {
            self.explanation.passes = true;
            self.explanation.verdict = format!("{passes}, which nobody answers{audit}");
            return Ok(());
        };
        let entry = match self.entry(to.0, from.0, vni) {
            Ok(entry) => entry,
            Err(why) => {
                self.explanation.passes = true;
                self.explanation.verdict = format!("{passes}; the answer is not looked at, for {why}{audit}");
                return Ok(());
            }
        };
        self.note(to.0, entry);
        let way = self.journey.take(entry, &answer, from.0.endpoint.is_some())?;
        self.explanation.verdict = match self.arrives(&way, from.0) {
            Ok(()) => {
                self.explanation.passes = true;
                format!("{passes}, and the answer comes back{audit}")
            }
            Err(why) => format!(
                "does not pass: {} reaches {}, but the answer does not come back: {why}",
                from.1, to.1
            ),
        };
        self.explanation.back = way.steps;
        Ok(())
    }

    /// Where a packet of `party` to `other` begins.
    ///
    /// # Errors
    ///
    /// When there is no host of this document where it could be looked at.
    fn entry(&self, party: &Party, other: &Party, vni: Vni) -> Result<Entry, String> {
        let hosts = &self.fabric.hosts;
        let runs_here =
            |host: HostIndex| !hosts[host.0].uplinks.is_empty() || other.host(self.fabric) == Some(host);
        if let Some((tenant, endpoint)) = party.endpoint
            && let Some(host) = party.host(self.fabric).filter(|host| runs_here(*host))
        {
            return Ok(Entry::Endpoint(host, tenant, endpoint));
        }
        let Some(host) = other.host(self.fabric).filter(|host| !hosts[host.0].uplinks.is_empty()) else {
            return Err("no host that it would come by has an uplink in the document".to_owned());
        };
        let elsewhere = || (0..hosts.len()).map(HostIndex).find(|peer| *peer != host);
        match party.host(self.fabric).or_else(elsewhere) {
            Some(peer) => Ok(Entry::Fabric { host, peer, vni }),
            None => Err(format!(
                "{} is no endpoint's, and the fabric has no host but {} that it could be behind",
                party.address, hosts[host.0].name
            )),
        }
    }

    /// Says from where a packet comes that no endpoint of ours sends.
    fn note(&mut self, party: &Party, entry: Entry) {
        let Entry::Fabric { peer, .. } = entry else { return };
        let (peer, sender) = (&self.fabric.hosts[peer.0].name, party.to_string(self.fabric));
        self.explanation.notes.push(match party.endpoint {
            Some(_) => format!("host {peer} has no uplink in the document: what {sender} sends is taken to come from its VTEP"),
            None => format!("{sender} is no endpoint's: what it sends is taken to come from host {peer}"),
        });
    }

    /// Whether a packet has come to `party`, or else why not.
    fn arrives(&self, way: &Way, party: &Party) -> Result<(), String> {
        let arrived = match (party.endpoint, party.host(self.fabric)) {
            (Some(_), Some(host)) => {
                let host = self.fabric.hosts[host.0].name.to_string();
                way.reached.contains(&party.to_string(self.fabric)) || way.left_to.contains(&host)
            }
            // Nobody knows where it is. It was flooded, and what others make of a copy is another matter.
            _ => !way.reached.is_empty() || !way.left_to.is_empty(),
        };
        if arrived {
            return Ok(());
        }
        let dropped = way.steps.iter().find(|step| step.dropped.is_some());
        Err(match dropped {
            Some(step) => format!("on {} {}", step.host, step.says),
            None => "it was sent to others".to_owned(),
        })
    }
}
