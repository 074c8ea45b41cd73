//! Finds the session of each packet: hashes all, brings the buckets near, then the sessions that may be meant.
//!
//! What it finds are candidates: `check_policy` looks whether they are the right ones, when their lines have come.

use crate::batch::{BURST, Batch, Passing};
use crate::flow::{Hash, Key, Key4, Key6, Lookup, Sessions, Slot, Table, Toward};
use crate::frame::Frame;
use crate::ids::SegmentId;
use crate::snapshot::Snapshot;
use crate::stages::forward::Destination;
use crate::stages::identify::{self, Identity, Part};
use crate::wire::Vni;
use crate::wire::ipv4::protocol;

/// Lanes of a batch: the flow of each packet. Defined where the part is not `None`, `Later` or `Astray`.
#[derive(Debug)]
pub struct Flows {
    /// What the packet is to its flow.
    pub parts: [Part; BURST],
    /// Its key, of an IPv4 packet.
    pub keys4: [Key4; BURST],
    /// Its key, of an IPv6 packet.
    pub keys6: [Key6; BURST],
    /// Which way it goes.
    pub towards: [Toward; BURST],
    /// Its key's hash.
    pub hashes: [Hash; BURST],
    /// The session that it may be of.
    pub candidates: [Option<Slot>; BURST],
    /// A bit for each packet whose flow [`identify::plain`] tells.
    plain: u32,
}

impl Flows {
    /// The session that a packet may be of, if its key is IPv4's and it is whole: most are.
    #[inline]
    pub fn plain(&self, i: usize) -> Option<Slot> {
        if self.plain >> i & 1 != 0 { self.candidates[i] } else { None }
    }
}

impl Default for Flows {
    fn default() -> Self {
        Self {
            parts: [Part::None; BURST],
            keys4: [Key4::default(); BURST],
            keys6: [Key6::default(); BURST],
            towards: [Toward::High; BURST],
            hashes: [Hash::default(); BURST],
            candidates: [None; BURST],
            plain: 0,
        }
    }
}

/// Looks up every passing packet whose destination is for `here`: the others are looked up where they are delivered.
pub fn lookup_flow<F: Frame>(
    batch: &mut Batch<F>,
    snapshot: &Snapshot,
    sessions: &Sessions,
    mut here: impl FnMut(Destination) -> bool,
) {
    let of = batch.plain;
    let (lookup4, lookup6) = (sessions.v4.lookup(), sessions.v6.lookup());
    let (mut plain, mut v4, mut v6, mut tcp) = (0u32, 0u32, 0u32, 0u32);
    let mut segment = SegmentId::NONE;
    let mut vni = Vni::LOWEST;
    for i in batch.passing() {
        if !here(batch.destinations[i]) {
            batch.flows.parts[i] = Part::None;
            continue;
        }
        if batch.segments[i] != segment {
            segment = batch.segments[i];
            vni = snapshot.segment(segment).vni;
        }
        let (frame, headers, flows) = batch.frame_and_flows(i);
        tcp |= u32::from(headers.protocol == protocol::TCP) << i;
        if of.v4 >> i & 1 != 0 {
            let (key, toward) = identify::plain(headers, vni);
            (flows.keys4[i], flows.towards[i], flows.parts[i]) = (key, toward, Part::Opens);
            flows.hashes[i] = lookup4.hash(&key);
            plain |= 1 << i;
            continue;
        }
        if of.v6 >> i & 1 != 0
            && let Some((key, toward)) = identify::plain_v6(frame.data(), headers, vni)
        {
            (flows.keys6[i], flows.towards[i], flows.parts[i]) = (key, toward, Part::Opens);
            flows.hashes[i] = lookup6.hash(&key);
            v6 |= 1 << i;
            continue;
        }
        match identify::identify(frame.data(), headers, vni) {
            Identity::V4(key, toward, part) => {
                (flows.keys4[i], flows.towards[i], flows.parts[i]) = (key, toward, part);
                flows.hashes[i] = lookup4.hash(&key);
                v4 |= 1 << i;
            }
            Identity::V6(key, toward, part) => {
                (flows.keys6[i], flows.towards[i], flows.parts[i]) = (key, toward, part);
                flows.hashes[i] = lookup6.hash(&key);
                v6 |= 1 << i;
            }
            Identity::None(part) => flows.parts[i] = part,
        }
    }
    batch.flows.plain = plain;
    let Flows { hashes, candidates, .. } = &mut batch.flows;
    find(&sessions.v4, lookup4, v4 | plain, tcp, hashes, candidates);
    if v6 != 0 {
        find(&sessions.v6, lookup6, v6, tcp, hashes, candidates);
    }
}

/// Finds the sessions that these packets may be of; those of TCP write notes of theirs.
#[inline(always)]
fn find<K: Key>(
    table: &Table<K>,
    lookup: Lookup<'_, K>,
    packets: u32,
    tcp: u32,
    hashes: &[Hash; BURST],
    candidates: &mut [Option<Slot>; BURST],
) {
    for i in Passing::of(packets) {
        candidates[i] = lookup.candidate(hashes[i]);
        if tcp & 1 << i != 0
            && let Some(slot) = candidates[i]
        {
            table.prefetch_tcp(slot);
        }
    }
}
