//! A packet as it stood after a stage, in bounded memory: a worker writes these down too.

use std::ops::Deref;

use weft_pipelines::flow::{Family, Flags, Hash, Sessions};
use weft_pipelines::policy::Question;
use weft_pipelines::qos::Colour;
use weft_pipelines::stages::check_policy::{Outcome, question};
use weft_pipelines::stages::forward::Destination;
use weft_pipelines::stages::identify::Part;
use weft_pipelines::stages::parse::{Headers, Network};
use weft_pipelines::{Batch, Frame, SegmentId, TunnelId, Verdict};

/// Bytes that are kept of a packet: the outer headers (50), Ethernet's (14) and IPv6's (40), and what tells of the payload.
const KEPT: usize = 128;

/// The beginning of a packet.
#[derive(Clone, Copy, Debug)]
pub struct Beginning {
    data: [u8; KEPT],
    len: u32,
}

impl Beginning {
    /// That of `frame`.
    pub fn of(frame: &[u8]) -> Self {
        let mut data = [0; KEPT];
        data.iter_mut().zip(frame).for_each(|(to, from)| *to = *from);
        Self { data, len: frame.len() as u32 }
    }

    /// The whole packet's length, in bytes.
    pub const fn whole(&self) -> u32 {
        self.len
    }
}

impl Deref for Beginning {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.data[..KEPT.min(self.len as usize)]
    }
}

/// A packet, as it stood after a stage.
#[derive(Clone, Copy, Debug)]
pub struct Glimpse {
    /// The stage.
    pub stage: &'static str,
    /// What was decided so far.
    pub verdict: Verdict,
    /// The packet.
    pub data: Beginning,
    /// The lanes, of which those are of use that are written by then.
    pub headers: Headers,
    /// The segment.
    pub segment: SegmentId,
    /// The tunnel that it came through, or leaves through.
    pub tunnel: TunnelId,
    /// Where it goes.
    pub destination: Destination,
    /// What it is of its flow.
    pub part: Part,
    /// What policy is asked about it, if it is part of a flow.
    pub question: Option<Question>,
    /// Whether there seems to be a session.
    pub session: bool,
    /// What policy decided.
    pub outcome: Outcome,
    /// Who lets the session pass that the packet was found to be of; but for later fragments, which do not tell it.
    pub leave: Option<Leave>,
    /// What the meter says.
    pub colour: Colour,
}

/// Who lets a session pass: counters' slots of rules, or of a default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leave {
    /// Of the one that does.
    pub rule: u32,
    /// Of the one that would decide if those under audit counted.
    pub would_rule: u32,
    /// Whether that would deny it.
    pub would_deny: bool,
}

impl Leave {
    fn of<K: Family>(sessions: &Sessions, hash: Hash, key: &K) -> Option<Self> {
        let table = K::table(sessions);
        let session = table.session(table.find(hash, key)?);
        let would_deny = session.flags.has(Flags::WOULD_DENY);
        Some(Self { rule: session.rule, would_rule: session.would_rule, would_deny })
    }
}

impl Glimpse {
    /// The packet of that number in `batch`, after `stage`, with what the worker's `sessions` say.
    pub fn of<F: Frame>(
        stage: &'static str,
        (batch, index): (&Batch<F>, usize),
        sessions: &Sessions,
    ) -> Self {
        let (flows, headers) = (&batch.flows, batch.headers[index]);
        let part = flows.parts[index];
        let has_key = matches!(part, Part::Opens | Part::Answers | Part::About);
        let question = has_key.then(|| match headers.network {
            Network::Ipv6 => question(&flows.keys6[index], flows.towards[index]),
            _ => question(&flows.keys4[index], flows.towards[index]),
        });
        let is_known = has_key && matches!(batch.outcomes[index], Outcome::Known);
        let leave = is_known.then(|| match headers.network {
            Network::Ipv6 => Leave::of(sessions, flows.hashes[index], &flows.keys6[index]),
            _ => Leave::of(sessions, flows.hashes[index], &flows.keys4[index]),
        });
        Self {
            stage,
            verdict: batch.verdict(index),
            data: Beginning::of(batch.frame(index).data()),
            headers,
            segment: batch.segments[index],
            tunnel: match batch.destinations[index] {
                Destination::Tunnel(tunnel) if stage == "encap" => tunnel,
                _ => batch.tunnels[index],
            },
            destination: batch.destinations[index],
            part,
            question,
            session: flows.candidates[index].is_some(),
            outcome: batch.outcomes[index],
            leave: leave.flatten(),
            colour: batch.tags[index].colour,
        }
    }
}
