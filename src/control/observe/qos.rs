//! What is assured and bounded of traffic, and what came of it.

use std::collections::BTreeSet;

use weft_pipelines::counters::{Metered, PortCounters, Shaped, Traffic};
use weft_pipelines::qos::{Classes, Share};
use weft_pipelines::snapshot::{Port, PortKind};
use weft_pipelines::{Counters, TenantId, WorkerId};

use super::Observation;
use crate::control::compile::PortLabel;
use crate::report::{ClassReport, MeterReport, QosLimits, QosReport, QueueReport};

/// A port with its names and counters.
type Row<'a> = ((&'a Port, &'a PortLabel), &'a PortCounters);

impl Observation<'_> {
    /// Each tenant that has, or had, endpoints here, and then these.
    pub(super) fn qos(&self, counters: &Counters) -> Vec<QosReport> {
        let mut by_tenant: Vec<Vec<Row<'_>>> = vec![Vec::new(); self.labels.tenants.len()];
        for row in self.snapshot.ports.iter().zip(&self.labels.ports).zip(&counters.ports) {
            let tenant = row.0.1.tenant.and_then(|tenant| by_tenant.get_mut(tenant.index()));
            tenant.into_iter().for_each(|ports| ports.push(row));
        }
        let tenants = (0..).map(TenantId).zip(&self.labels.tenants).zip(&by_tenant);
        let tenants = tenants.filter(|(_, ports)| !ports.is_empty());
        tenants
            .filter_map(|((tenant, name), ports)| {
                let encapsulated = counters.tenants.get(tenant.index()).map(|tenant| tenant.to_fabric);
                Some(self.tenant_qos(tenant, name.as_ref()?, ports, encapsulated.unwrap_or_default()))
            })
            .flatten()
            .collect()
    }

    fn tenant_qos(
        &self,
        tenant: TenantId,
        name: &str,
        ports: &[Row<'_>],
        encapsulated: Traffic,
    ) -> Vec<QosReport> {
        let (mut sent, mut to_guest, mut to_fabric) =
            (Metered::default(), Shaped::default(), Shaped::default());
        for (_, counters) in ports {
            sent += metered(counters);
            to_guest += to_guest_of(counters);
            to_fabric += counters.to_fabric;
        }
        // Where no shaper says what passed, that is all that was encapsulated.
        if to_fabric == Shaped::default() {
            to_fabric.passed = encapsulated;
        }
        let workers: BTreeSet<WorkerId> = ports.iter().map(|((port, _), _)| port.worker).collect();
        let whole = QosReport {
            name: name.to_owned(),
            limits: limits(&self.snapshot.share(tenant).share),
            classes: Vec::new(),
            sent: self.meter(sent, workers),
            to_guest: queue(to_guest),
            to_fabric: queue(to_fabric),
        };
        let endpoints = ports.iter().filter_map(|((port, label), counters)| match &port.kind {
            PortKind::Guest(guest) => Some(QosReport {
                name: label.name.clone(),
                limits: limits(&guest.share),
                classes: classes(&guest.classes, &label.classes),
                sent: self.meter(metered(counters), [port.worker]),
                to_guest: queue(to_guest_of(counters)),
                to_fabric: queue(counters.to_fabric),
            }),
            PortKind::Uplink(_) | PortKind::Vacant => None,
        });
        std::iter::once(whole).chain(endpoints).collect()
    }

    fn meter(&self, metered: Metered, workers: impl IntoIterator<Item = WorkerId>) -> MeterReport {
        let Metered { passed, yellow, held_back, cycles } = metered;
        let workers = workers.into_iter().filter_map(|worker| self.workers.get(worker.index()));
        MeterReport {
            passed_packets: passed.packets,
            passed_bytes: passed.bytes,
            beyond_rate_packets: yellow,
            held_back_ns: held_back,
            cycles,
            worker_busy_cycles: workers.map(|worker| worker.work.busy_cycles).sum(),
        }
    }
}

/// What a guest was let send: where nothing is bounded, all that was received from it.
fn metered(port: &PortCounters) -> Metered {
    let passed = if port.metered.passed.packets == 0 { port.rx } else { port.metered.passed };
    Metered { passed, ..port.metered }
}

/// What was sent to a guest: where nothing is bounded only what had to wait has met a shaper, and all has left by the port.
fn to_guest_of(port: &PortCounters) -> Shaped {
    let passed = if port.to_guest.passed.packets < port.tx.packets { port.tx } else { port.to_guest.passed };
    Shaped { passed, ..port.to_guest }
}

fn limits(share: &Share) -> QosLimits {
    let Share { rate, ceil, burst, pps, packet_burst, weight } = *share;
    let given = |value: u64| (value != 0).then_some(value);
    QosLimits {
        rate_bits_per_s: given(rate),
        ceil_bits_per_s: given(ceil),
        burst_bytes: given(burst),
        packets_per_s: given(pps),
        burst_packets: given(packet_burst),
        weight: weight.into(),
    }
}

fn classes(classes: &Classes, names: &[String]) -> Vec<ClassReport> {
    let class = |(index, (name, weight)): (usize, (&String, u16))| ClassReport {
        name: name.clone(),
        strict: index < usize::from(classes.strict),
        weight: weight.into(),
    };
    names.iter().zip(classes.weights).enumerate().map(class).collect()
}

fn queue(shaped: Shaped) -> QueueReport {
    let Shaped { passed, waited, waiting, longest, marked, dropped } = shaped;
    QueueReport {
        passed_packets: passed.packets,
        passed_bytes: passed.bytes,
        waited_packets: waited,
        waited_ns: waiting,
        longest_wait_ns: longest,
        marked_packets: marked,
        dropped_packets: dropped,
    }
}
