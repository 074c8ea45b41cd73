//! What the numbers of a configuration are called, in the statistics file and in records of flows.

use std::collections::HashMap;

use super::compile::Compiled;
use super::sessions::DEFAULT;
use crate::config::checked::Fabric;
use crate::shm::{Label, What};

/// The names of what the numbers in the file stand for.
pub fn labels(fabric: &Fabric, compiled: &Compiled) -> Vec<Label> {
    let Compiled { labels, policies, .. } = compiled;
    let mut all =
        vec![Label::new(What::Host, 0, labels.host.clone()), Label::new(What::Version, 0, crate::VERSION)];
    all.extend(labels.ports.iter().zip(0..).map(|(port, id)| Label::new(What::Port, id, port.name.clone())));
    let tenants = || labels.tenants.iter().zip(0..).filter_map(|(name, id)| Some((name.as_ref()?, id)));
    all.extend(tenants().map(|(name, id)| Label::new(What::Tenant, id, name.clone())));
    let tunnels = labels.tunnels.iter().zip(0..).filter_map(|(name, id)| Some((name.as_ref()?, id)));
    all.extend(tunnels.map(|(name, id)| Label::new(What::Tunnel, id, name.clone())));
    let ids: HashMap<&str, u32> = tenants().map(|(name, id)| (name.as_str(), id)).collect();
    for (tenant, policy) in fabric.tenants.iter().zip(policies) {
        // A tenant that this host has nothing of has no number.
        let Some(id) = ids.get(&*tenant.name).copied() else { continue };
        for segment in &tenant.segments {
            all.push(Label::new(What::Segment, segment.vni.value(), segment.name.to_string()).of(id));
        }
        let rules = policy.rules.rules.iter().zip(&tenant.policy.rules);
        all.extend(rules.map(|(rule, of)| Label::new(What::Rule, rule.slot, of.name.to_string()).of(id)));
        all.push(Label::new(What::Rule, policy.rules.default_slot, DEFAULT).of(id));
        let group = |index: usize| tenant.groups.get(index).map(|group| group.name.to_string());
        for (class, groups) in (0..).zip(policy.policy.classes()) {
            let names: Vec<String> = groups.iter().filter_map(|of| group(of.0 as usize)).collect();
            all.push(Label::new(What::Class, class, names.join(",")).of(id));
        }
    }
    for (label, row) in
        labels.services.iter().zip(0..).filter_map(|(label, row)| Some((label.as_ref()?, row)))
    {
        let text = format!("{} {}", label.client, label.server);
        all.push(Label::new(What::Service, row, text).of(label.tenant.0.into()));
    }
    // One for each address, of which an endpoint may have several.
    let reports = labels.endpoints.iter().map(|endpoint| &endpoint.report);
    let addresses = reports.flat_map(|endpoint| endpoint.ips.iter().map(move |ip| (endpoint, ip)));
    all.extend(addresses.zip(0..).map(|((endpoint, ip), id)| {
        let text = format!("{ip} {}/{}", endpoint.tenant, endpoint.name);
        Label::new(What::Endpoint, id, text).of(endpoint.vni)
    }));
    all
}
