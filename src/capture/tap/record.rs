//! A packet between the two ends.

use weft_pipelines::{Direction, PortId, Reason, SegmentId, Tick};

/// Bytes of a [`Head`].
pub(super) const HEAD: usize = 32;
/// In place of a rule: the default.
const DEFAULT: u32 = u32::MAX;

/// What is known of a packet beside its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub time: Tick,
    pub port: PortId,
    pub direction: Direction,
    pub dropped: Option<Reason>,
    pub refusal: Option<Refusal>,
    pub is_copy: bool,
    /// Its length, in bytes.
    pub len: u32,
    /// Bytes that were copied.
    pub copied: u32,
}

/// By which rule policy refused a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The packet's segment, which is a tenant's.
    pub segment: SegmentId,
    /// The place among the tenant's rules; `None` is the default.
    pub rule: Option<u32>,
}

impl Head {
    pub fn to_bytes(self) -> [u8; HEAD] {
        let Self { time, port, direction, dropped, refusal, is_copy, len, copied } = self;
        let flags = u8::from(direction == Direction::Out)
            | u8::from(dropped.is_some()) << 1
            | u8::from(refusal.is_some()) << 2
            | u8::from(is_copy) << 3;
        let (segment, rule) =
            refusal.map_or((SegmentId::NONE, DEFAULT), |of| (of.segment, of.rule.unwrap_or(DEFAULT)));
        let mut bytes = [0; HEAD];
        bytes[..8].copy_from_slice(&time.0.to_ne_bytes());
        bytes[8..12].copy_from_slice(&len.to_ne_bytes());
        bytes[12..16].copy_from_slice(&copied.to_ne_bytes());
        bytes[16..20].copy_from_slice(&rule.to_ne_bytes());
        bytes[20..22].copy_from_slice(&port.0.to_ne_bytes());
        bytes[22..24].copy_from_slice(&segment.0.to_ne_bytes());
        bytes[24] = flags;
        bytes[25] = dropped.map_or(0, |reason| reason as u8);
        bytes
    }

    pub fn from_bytes(bytes: &[u8; HEAD]) -> Self {
        let [
            t0,
            t1,
            t2,
            t3,
            t4,
            t5,
            t6,
            t7,
            l0,
            l1,
            l2,
            l3,
            c0,
            c1,
            c2,
            c3,
            r0,
            r1,
            r2,
            r3,
            p0,
            p1,
            s0,
            s1,
            flags,
            reason,
            ..,
        ] = *bytes;
        let has = |bit: u8| flags & 1 << bit != 0;
        let rule = u32::from_ne_bytes([r0, r1, r2, r3]);
        let refusal = Refusal {
            segment: SegmentId(u16::from_ne_bytes([s0, s1])),
            rule: (rule != DEFAULT).then_some(rule),
        };
        Self {
            time: Tick(u64::from_ne_bytes([t0, t1, t2, t3, t4, t5, t6, t7])),
            port: PortId(u16::from_ne_bytes([p0, p1])),
            direction: if has(0) { Direction::Out } else { Direction::In },
            dropped: Reason::ALL.get(usize::from(reason)).copied().filter(|_| has(1)),
            refusal: has(2).then_some(refusal),
            is_copy: has(3),
            len: u32::from_ne_bytes([l0, l1, l2, l3]),
            copied: u32::from_ne_bytes([c0, c1, c2, c3]),
        }
    }
}

/// A packet that was captured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// When the worker received it, or the round in which it left.
    pub time: Tick,
    /// The port.
    pub port: PortId,
    /// Whether it came in or left, or was to.
    pub direction: Direction,
    /// Why it went no further.
    pub dropped: Option<Reason>,
    /// By which rule, where it was policy.
    pub refusal: Option<Refusal>,
    /// Whether it is a copy of what went to several.
    pub is_copy: bool,
    /// Its length, in bytes.
    pub len: u32,
    /// Its bytes, from the Ethernet header, as far as they were copied.
    pub data: Vec<u8>,
}

impl Packet {
    pub(super) fn new(head: Head, data: Vec<u8>) -> Self {
        let Head { time, port, direction, dropped, refusal, is_copy, len, .. } = head;
        Self { time, port, direction, dropped, refusal, is_copy, len, data }
    }
}
