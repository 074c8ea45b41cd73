//! What the document says of quality of service, as the packet logic reads it.

use std::sync::Arc;

use super::lease::Pool;
use crate::ids::PortId;

/// What a tenant or an endpoint is promised and may take at most, of one direction: what its guests send is one, what
/// they are sent another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// The assured rate, in bits a second; 0: none.
    pub rate: u64,
    /// The most, in bits a second; 0: no bound. Not less than `rate`.
    pub ceil: u64,
    /// Bytes that may pass at once after silence.
    pub burst: u64,
    /// The most packets a second; 0: no bound.
    pub pps: u64,
    /// Packets that may pass at once after silence.
    pub packet_burst: u64,
    /// The share of what is left over, beside its siblings' weights; not 0.
    pub weight: u16,
}

impl Default for Share {
    /// Nothing promised, nothing bounded.
    fn default() -> Self {
        Self { rate: 0, ceil: 0, burst: 0, pps: 0, packet_burst: 0, weight: 1 }
    }
}

impl Share {
    /// Whether it bounds anything.
    pub const fn is_bound(&self) -> bool {
        self.ceil != 0 || self.pps != 0
    }
}

/// A tenant's share, with what its ports of several workers take in common.
#[derive(Clone, Debug, Default)]
pub struct TenantShare {
    /// What it is promised and may take at most on this host.
    pub share: Share,
    /// What its guests send, where ports of several workers are its; `None` where all are one worker's.
    pub sent: Option<Arc<Pools>>,
    /// What its guests are sent, likewise.
    pub received: Option<Arc<Pools>>,
}

impl TenantShare {
    /// `share` among so many `workers`, with the history of what was before.
    pub fn new(share: Share, workers: usize, before: Option<&Self>) -> Self {
        let pools = |before: Option<&Arc<Pools>>| {
            let bound = share.is_bound() || share.rate != 0;
            (workers > 1 && bound).then(|| Arc::new(Pools::new(&share, before.map(|before| &**before))))
        };
        let (sent, received) = before.map_or((None, None), |it| (it.sent.as_ref(), it.received.as_ref()));
        Self { share, sent: pools(sent), received: pools(received) }
    }
}

/// What workers lease the credit of one tenant and direction from. An absent one is no bound.
#[derive(Debug, Default)]
pub struct Pools {
    /// Bits of the assured rate.
    pub assured: Option<Arc<Pool>>,
    /// Bits beyond the assured rate, up to the ceiling.
    pub excess: Option<Arc<Pool>>,
    /// Bits of the ceiling.
    pub ceil: Option<Arc<Pool>>,
    /// Packets.
    pub packets: Option<Arc<Pool>>,
}

impl Pools {
    /// Bytes that a worker leases at a time, at most: what it can have unused while others want it.
    pub const LEASE: u64 = 32 * 1024;
    /// Packets that a worker leases at a time, at most.
    pub const PACKETS: u64 = 32;

    fn new(share: &Share, before: Option<&Self>) -> Self {
        let pool = |rate: u64, burst: u64, lease: u64, before: Option<&Arc<Pool>>| {
            // Half of the burst, so that it can be had in more than one worker.
            let lease = lease.min(burst / 2);
            (rate != 0).then(|| {
                let new = before
                    .map_or_else(|| Pool::new(rate, burst, lease), |before| before.with(rate, burst, lease));
                Arc::new(new)
            })
        };
        let bits = |rate, before| pool(rate, share.burst * 8, Self::LEASE * 8, before);
        let before = |of: fn(&Self) -> &Option<Arc<Pool>>| before.and_then(|before| of(before).as_ref());
        Self {
            assured: bits(share.rate, before(|it| &it.assured)),
            excess: bits(share.ceil - share.rate.min(share.ceil), before(|it| &it.excess)),
            ceil: bits(share.ceil, before(|it| &it.ceil)),
            packets: pool(share.pps, share.packet_burst, Self::PACKETS, before(|it| &it.packets)),
        }
    }
}

/// What a packet is charged beside the bytes from its Ethernet header to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charge {
    /// Bytes that each packet costs more: of preamble, frame check sequence and gap, 24 on Ethernet (IEEE 802.3).
    pub overhead: u16,
    /// Whether the outer headers are charged of what goes to another host.
    pub overlay: bool,
}

impl Default for Charge {
    fn default() -> Self {
        Self { overhead: 24, overlay: true }
    }
}

impl Charge {
    /// What a frame of `bytes` costs, in bytes; `outer` are those of the outer headers that it gets or has.
    #[inline]
    pub const fn of(&self, bytes: usize, outer: usize) -> u32 {
        (bytes + self.overhead as usize + if self.overlay { outer } else { 0 }) as u32
    }
}

/// How the DSCP crosses the tunnel (RFC 2983).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dscp {
    /// The outer is the traffic class's; the inner arrives as it was sent.
    #[default]
    Pipe,
    /// The outer is the inner's, and the inner becomes what the outer has become on its way.
    Uniform,
}

/// A traffic class of an endpoint: its place, 0 the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Class(pub u8);

impl Class {
    /// How many an endpoint has at most.
    pub const MAX: usize = 4;

    /// Its place; less than [`MAX`](Self::MAX).
    pub const fn index(self) -> usize {
        self.0 as usize % Self::MAX
    }
}

/// The traffic classes of an endpoint: which packets are in which, and which leave first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Classes {
    /// By DSCP.
    pub of: [Class; 64],
    /// How many of them, from the first, are served strictly: each before all that come after it.
    pub strict: u8,
    /// By class: the share of those that are not served strictly; not 0.
    pub weights: [u16; Class::MAX],
    /// By class: the outer DSCP under [`Dscp::Pipe`].
    pub outer: [u8; Class::MAX],
}

impl Default for Classes {
    /// All packets are in one.
    fn default() -> Self {
        Self { of: [Class(0); 64], strict: 0, weights: [1; Class::MAX], outer: [0; Class::MAX] }
    }
}

impl Classes {
    /// The class of a packet with this traffic class octet (IPv4's TOS): DSCP and ECN.
    #[inline]
    pub const fn of(&self, tos: u8) -> Class {
        self.of[(tos >> 2) as usize]
    }
}

/// What a meter says of a packet (RFC 4115).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Colour {
    /// Within the assured rate, or none is assured.
    #[default]
    Green,
    /// Beyond it, and within the ceiling: the first to be dropped where there is no room.
    Yellow,
}

/// What goes with a packet to where it leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag {
    /// The guest's port that it came from; [`Tag::NOBODY`] of what is not a guest's.
    pub from: PortId,
    /// Its traffic class octet (IPv4's TOS): DSCP and ECN.
    pub tos: u8,
    /// What its sender's meter said.
    pub colour: Colour,
}

impl Tag {
    /// The port of a packet that no guest of this host sent.
    pub const NOBODY: PortId = PortId(u16::MAX);
}

impl Default for Tag {
    fn default() -> Self {
        Self { from: Self::NOBODY, tos: 0, colour: Colour::Green }
    }
}

/// What is the same for all ports of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What packets cost.
    pub charge: Charge,
    /// How the DSCP crosses the tunnel.
    pub dscp: Dscp,
    /// Packets that may wait for their turn in each shaper, in all: a worker has one for its guests, and one for each of
    /// its uplinks.
    pub backlog: u32,
    /// Packets that may wait in one traffic class of one endpoint.
    pub queue: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { charge: Charge::default(), dscp: Dscp::Pipe, backlog: 4096, queue: 512 }
    }
}
