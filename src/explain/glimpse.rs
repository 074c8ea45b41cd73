//! A packet as it stood after a stage, in bounded memory: a worker writes these down too.

use std::ops::Deref;

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
    /// What the meter says.
    pub colour: Colour,
}

impl Glimpse {
    /// The packet at `index` of `batch`, after `stage`.
    pub fn of<F: Frame>(stage: &'static str, batch: &Batch<F>, index: usize) -> Self {
        let (flows, headers) = (&batch.flows, batch.headers[index]);
        let part = flows.parts[index];
        let has_key = matches!(part, Part::Opens | Part::Answers | Part::About);
        let question = has_key.then(|| match headers.network {
            Network::Ipv6 => question(&flows.keys6[index], flows.towards[index]),
            _ => question(&flows.keys4[index], flows.towards[index]),
        });
        Self {
            stage,
            verdict: batch.verdict(index),
            data: Beginning::of(batch.frame(index).data()),
            headers,
            segment: batch.segments[index],
            tunnel: batch.tunnels[index],
            destination: batch.destinations[index],
            part,
            question,
            session: flows.candidates[index].is_some(),
            outcome: batch.outcomes[index],
            colour: batch.tags[index].colour,
        }
    }
}
