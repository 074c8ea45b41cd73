//! Finds the session of each packet: hashes all, brings the buckets near, then the sessions that may be meant.
//!
//! What it finds are candidates: `check_policy` looks whether they are the right ones, when their lines have come.

use crate::batch::{BURST, Batch, Passing};
use crate::flow::{Hash, Key4, Key6, Sessions, Slot, Table, Toward};
use crate::frame::Frame;
use crate::snapshot::Snapshot;
use crate::stages::forward::Destination;
use crate::stages::identify::{Identity, Part, identify};

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
        }
    }
}

/// Looks up every passing packet whose destination is for `here`: the others are looked up where they are delivered.
pub fn lookup_flow<F: Frame>(
    batch: &mut Batch<F>,
    snapshot: &Snapshot,
    sessions: &Sessions,
    here: impl Fn(Destination) -> bool,
) {
    let (mut v4, mut v6) = (0u32, 0u32);
    for i in batch.passing() {
        if !here(batch.destinations[i]) {
            batch.flows.parts[i] = Part::None;
            continue;
        }
        let vni = snapshot.segment(batch.segments[i]).vni;
        let (frame, headers, flows) = batch.frame_and_flows(i);
        match identify(frame.data(), headers, vni) {
            Identity::V4(key, toward, part) => {
                (flows.keys4[i], flows.towards[i], flows.parts[i]) = (key, toward, part);
                v4 |= 1 << i;
            }
            Identity::V6(key, toward, part) => {
                (flows.keys6[i], flows.towards[i], flows.parts[i]) = (key, toward, part);
                v6 |= 1 << i;
            }
            Identity::None(part) => flows.parts[i] = part,
        }
    }
    let Flows { keys4, keys6, hashes, candidates, .. } = &mut batch.flows;
    probe(&sessions.v4, Passing::of(v4), keys4, hashes, candidates);
    if v6 != 0 {
        probe(&sessions.v6, Passing::of(v6), keys6, hashes, candidates);
    }
}

fn probe<K: crate::flow::Key>(
    table: &Table<K>,
    packets: Passing,
    keys: &[K; BURST],
    hashes: &mut [Hash; BURST],
    candidates: &mut [Option<Slot>; BURST],
) {
    for i in packets {
        hashes[i] = table.hash(&keys[i]);
        table.prefetch(hashes[i]);
    }
    for i in packets {
        candidates[i] = table.candidate(hashes[i]);
    }
}
