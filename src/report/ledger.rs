//! The ledger: the part of a report that a test checks to the packet.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{PortReport, Report};

impl Report {
    /// The counters that must add up, as JSON with a stable order: ports and reasons by name, and only
    /// reasons that were counted.
    ///
    /// ```json
    /// {"host": "hv-a", "ports": {"blue/web1": {"rx": 9, "tx": 7, "drops": {"spoofed_ip": 2}}},
    ///  "totals": {"rx": 9, "tx": 7, "drops": 2, "replicated": 0, "originated": 0, "consumed": 0, "held": 0},
    ///  "conserved": true}
    /// ```
    pub fn ledger_json(&self) -> Value {
        let ports: BTreeMap<&str, Value> =
            self.ports.iter().map(|port| (port.name.as_str(), port_entry(port))).collect();
        let totals = &self.totals;
        json!({
            "host": self.host,
            "ports": ports,
            "totals": {
                "rx": totals.rx,
                "tx": totals.tx,
                "drops": totals.drops,
                "replicated": totals.replicated,
                "originated": totals.originated,
                "consumed": totals.consumed,
                "held": totals.held,
            },
            "conserved": totals.conserved,
        })
    }
}

fn port_entry(port: &PortReport) -> Value {
    let drops: BTreeMap<&str, u64> =
        port.drops.iter().filter(|(_, n)| **n > 0).map(|(reason, n)| (reason.as_str(), *n)).collect();
    json!({ "rx": port.rx, "tx": port.tx, "drops": drops })
}

#[cfg(test)]
mod tests {
    use crate::report::samples;

    #[test]
    fn the_ledger_is_stable_and_leaves_out_what_never_happened() {
        let mut report = samples::report();
        let ledger = report.ledger_json().to_string();
        assert_eq!(
            ledger,
            concat!(
                r#"{"host":"hv-a","ports":{"#,
                r#""blue/web1":{"rx":1200,"tx":900,"drops":{"spoofed_ip":30,"spoofed_mac":12}},"#,
                r#""blue/web2":{"rx":0,"tx":0,"drops":{}},"#,
                r#""up0":{"rx":905,"tx":1160,"drops":{"unknown_vni":4}}},"#,
                r#""totals":{"rx":2105,"tx":2060,"drops":46,"replicated":1,"originated":3,"consumed":1,"held":2},"#,
                r#""conserved":true}"#
            )
        );
        report.ports.reverse();
        assert_eq!(report.ledger_json().to_string(), ledger);
    }
}
