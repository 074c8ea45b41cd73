//! What policy decided, in the log: who wanted to reach whom, and which rule had what to say.

use std::net::IpAddr;

use tracing::info;
use weft_pipelines::policy::Action;
use weft_pipelines::sink::Decided;
use weft_pipelines::wire::ipv4::protocol;

use super::compile::Compiled;
use crate::config::checked::{Fabric, Tenant};
use crate::report::text::protocol_name;

/// The names by which decisions are told.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    /// The document.
    pub fabric: &'a Fabric,
    /// What was made of it.
    pub compiled: &'a Compiled,
}

impl Told<'_> {
    /// Logs `decided`.
    pub fn tell(&self, decided: &Decided) {
        let decision = &decided.decision;
        let tenant = self.tenant(decided);
        let rule = |rule: Option<u32>| {
            let rules = tenant.map(|tenant| &tenant.policy.rules);
            match (rule, rules) {
                (None, _) => "default".to_owned(),
                (Some(rule), Some(rules)) => {
                    rules.get(rule as usize).map(|rule| rule.name.to_string()).unwrap_or_default()
                }
                (Some(_), None) => String::new(),
            }
        };
        let (verdict, by) = match (decision.action, decision.would) {
            (Action::Deny, _) => ("denied", decision.rule),
            (Action::Allow, Action::Deny) => ("would be denied", decision.would_rule),
            (Action::Allow, Action::Allow) => ("allowed", decision.rule),
        };
        info!(
            tenant = tenant.map_or("", |tenant| &tenant.name),
            from = self.end(decided, decided.question.from, Some(decided.source)),
            to = self.end(decided, decided.question.to, None),
            service = service(decided),
            rule = rule(by),
            "policy: {verdict}"
        );
    }

    fn tenant(&self, decided: &Decided) -> Option<&Tenant> {
        let vni = decided.question.vni;
        self.fabric.tenants.iter().find(|tenant| tenant.segments.iter().any(|segment| segment.vni == vni))
    }

    /// An address, with the name of the endpoint that has it, and the port where that tells something.
    fn end(&self, decided: &Decided, address: IpAddr, port: Option<u16>) -> String {
        let vni = decided.question.vni;
        let named = self.tenant(decided).and_then(|tenant| {
            let here = |segment: usize| tenant.segments[segment].vni == vni;
            tenant.endpoints.iter().find(|of| here(of.segment.0) && of.ips.contains(&address))
        });
        let name = named.map(|endpoint| format!("{} ", endpoint.name)).unwrap_or_default();
        match port.filter(|_| has_ports(decided.question.protocol)) {
            Some(port) => format!("{name}{}", std::net::SocketAddr::new(address, port)),
            None => format!("{name}{address}"),
        }
    }
}

fn has_ports(protocol: u8) -> bool {
    matches!(protocol, protocol::TCP | protocol::UDP | protocol::SCTP)
}

/// What it was for: `tcp/5432`, `icmp/8/0`, `proto/47`.
fn service(decided: &Decided) -> String {
    let name = protocol_name(decided.question.protocol);
    let [kind, code] = decided.question.port.to_be_bytes();
    match decided.question.protocol {
        of if has_ports(of) => format!("{name}/{}", decided.question.port),
        protocol::ICMP | protocol::ICMPV6 => format!("{name}/{kind}/{code}"),
        _ => name,
    }
}
