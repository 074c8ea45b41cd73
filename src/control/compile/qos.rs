//! What is assured and bounded of traffic, for the packet logic.

use std::collections::HashSet;
use std::sync::Arc;

use weft_pipelines::PortId;
use weft_pipelines::qos::{Bucket, Class, Classes, Dscp, Settings, Share, TenantShare};

use super::{Compiler, PortPlan, owner};
use crate::config::checked::{self, Qos, Tenant};
use crate::control::buffers;

/// Milliseconds whose worth passes at once after silence, if the document does not say how much: longer than a worker
/// looks away, and than a guest's timer is late.
const BURST_MS: u64 = 5;
/// The least of it in bytes: what one look at a guest's ring may bring, 32 full frames, and some.
const MIN_BURST: u64 = 64 << 10;
/// The least of it in packets: what two looks at a guest's ring may bring.
const MIN_PACKET_BURST: u64 = 64;
/// The bounds of what may wait in one traffic class of one endpoint, in packets. How long they wait is bounded by the
/// queue itself; this only leaves others room.
const QUEUE: std::ops::RangeInclusive<u32> = 256..=4096;

impl Compiler<'_> {
    /// What is the same for all ports.
    pub(super) fn qos(&self) -> Settings {
        let backlog = buffers::backlog(self.fabric, self.host);
        Settings {
            charge: self.fabric.charge,
            dscp: match self.fabric.vxlan_dscp {
                checked::Dscp::Pipe => Dscp::Pipe,
                checked::Dscp::Uniform => Dscp::Uniform,
            },
            backlog,
            queue: (backlog / 8).clamp(*QUEUE.start(), *QUEUE.end()),
        }
    }

    /// By tenant: its share. What workers take in common goes on from the configuration before.
    pub(super) fn shares(&self, tenants: usize) -> Vec<TenantShare> {
        // By tenant of the document: what its endpoints here are assured together, and the workers that they are of.
        let mut here = vec![(0, HashSet::new()); self.tenants.len()];
        for (port, plan) in self.plans() {
            if let PortPlan::Guest { index, endpoint, .. } = plan {
                let (assured, workers) = &mut here[*index];
                *assured += endpoint.qos.as_ref().and_then(|qos| qos.rate).unwrap_or_default();
                workers.insert(owner(port, self.workers));
            }
        }
        let mut shares = vec![TenantShare::default(); tenants];
        for ((id, tenant), (assured, workers)) in self.tenants.iter().zip(&self.fabric.tenants).zip(here) {
            let share = of_tenant(tenant.qos.as_ref(), assured);
            let before = self.previous.and_then(|previous| previous.snapshot.shares.get(id.index()));
            shares[id.index()] = among(workers.len(), share, before);
        }
        shares
    }

    /// By tenant of the document: the traffic classes of its endpoints that have none of their own.
    pub(super) fn tenant_classes(&self) -> Vec<Arc<Classes>> {
        let of = |tenant: &Tenant| classes(tenant.qos.as_ref());
        self.fabric.tenants.iter().map(|tenant| of(tenant).unwrap_or_default()).collect()
    }

    /// The traffic classes of the endpoint at `port`: its own, else its tenant's; as they were, if these are the same.
    pub(super) fn classes(&self, port: PortId, qos: Option<&Qos>, tenant: &Arc<Classes>) -> Arc<Classes> {
        let now = classes(qos).unwrap_or_else(|| tenant.clone());
        let before = self.previous.and_then(|previous| previous.snapshot.guest(port));
        let same = before.filter(|before| before.classes == now);
        same.map_or(now, |before| before.classes.clone())
    }
}

/// What an endpoint is promised and may take at most; what is not said depends on what is.
pub(super) fn share(qos: Option<&Qos>) -> Share {
    let Some(qos) = qos else { return Share::default() };
    let (rate, ceil) = (qos.rate.unwrap_or_default(), qos.most().unwrap_or_default());
    let pps = qos.pps.unwrap_or_default();
    Share {
        rate,
        ceil,
        burst: burst(qos.burst, ceil),
        pps,
        packet_burst: if pps == 0 { 0 } else { brought(pps).max(MIN_PACKET_BURST) },
        weight: qos.weight,
    }
}

/// The same of a tenant. If it says no rate of its own, it is promised what its endpoints here are together.
fn of_tenant(qos: Option<&Qos>, assured: u64) -> Share {
    let own = share(qos);
    if own.rate != 0 || assured == 0 {
        return own;
    }
    // What may pass at most is not less for a promise that the document does not make of the tenant.
    let rate = if own.ceil == 0 { assured } else { assured.min(own.ceil) };
    Share { rate, burst: burst(qos.and_then(|qos| qos.burst), own.ceil.max(rate)), ..own }
}

/// The burst, in bytes, that is `said`, or goes with so many bits a second.
fn burst(said: Option<u64>, rate: u64) -> u64 {
    let default = || if rate == 0 { 0 } else { (brought(rate) / 8).max(MIN_BURST) };
    said.unwrap_or_else(default).min(Bucket::MAX_BURST / 8)
}

/// What so many a second are in the time that a burst lasts.
const fn brought(rate: u64) -> u64 {
    rate / 1000 * BURST_MS + rate % 1000 * BURST_MS / 1000
}

/// A tenant's share among so many `workers`: as it was, if that is the same.
fn among(workers: usize, share: Share, before: Option<&TenantShare>) -> TenantShare {
    let new = TenantShare::new(share, workers, before);
    match before {
        Some(before) if before.share == share && before.sent.is_some() == new.sent.is_some() => {
            before.clone()
        }
        _ => new,
    }
}

/// The traffic classes, if some are said.
pub(super) fn classes(qos: Option<&Qos>) -> Option<Arc<Classes>> {
    let list = qos.map(|qos| &qos.classes).filter(|list| !list.is_empty())?;
    let mut classes =
        Classes { strict: list.iter().take_while(|class| class.strict).count() as u8, ..Classes::default() };
    for (index, class) in list.iter().enumerate().take(Class::MAX) {
        class.dscp.iter().for_each(|codepoint| classes.of[usize::from(codepoint.0)] = Class(index as u8));
        classes.weights[index] = class.weight;
        classes.outer[index] = class.mark.0;
    }
    Some(Arc::new(classes))
}
