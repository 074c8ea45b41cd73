//! The ledger: the part of a report that a test checks to the packet.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{DropReport, PortReport, REMOVED, Report};

impl Report {
    /// The counters that must add up, as JSON with a stable order: ports and reasons by name, and only
    /// reasons that were counted.
    ///
    /// ```json
    /// {"host": "hv-a", "ports": {"blue/web1": {"rx": 9, "tx": 7, "drops": {"spoofed_ip": 2}}},
    ///  "totals": {"rx": 9, "tx": 7, "drops": 2, "replicated": 0, "originated": 0, "consumed": 0, "held": 0},
    ///  "conserved": true}
    /// ```
    ///
    /// Ports that are no more are one more row, `(removed)`, so that the rows add up to the totals.
    pub fn ledger_json(&self) -> Value {
        let entry = |port: &PortReport| (port.name.clone(), port_entry(port));
        let ports: BTreeMap<String, Value> =
            self.ports.iter().map(entry).chain(self.removed().as_ref().map(entry)).collect();
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

    /// What ports counted that are no more, as one: the totals know them still.
    fn removed(&self) -> Option<PortReport> {
        let sum = |count: fn(&PortReport) -> u64| self.ports.iter().map(count).sum::<u64>();
        let rx = self.totals.rx.saturating_sub(sum(|port| port.rx));
        let tx = self.totals.tx.saturating_sub(sum(|port| port.tx));
        let of_removed = |row: &DropReport| Some((row.reason.clone(), *row.by_port.get(REMOVED)?));
        let drops: BTreeMap<String, u64> = self.drops.iter().filter_map(of_removed).collect();
        let any = rx > 0 || tx > 0 || !drops.is_empty();
        any.then(|| PortReport { name: REMOVED.into(), rx, tx, drops, ..PortReport::default() })
    }
}

fn port_entry(port: &PortReport) -> Value {
    let drops: BTreeMap<&str, u64> =
        port.drops.iter().filter(|(_, n)| **n > 0).map(|(reason, n)| (reason.as_str(), *n)).collect();
    json!({ "rx": port.rx, "tx": port.tx, "drops": drops })
}

#[cfg(test)]
mod tests {
    use crate::report::{REMOVED, samples};

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

        // A port that goes takes its counters along to a row for all such.
        report.ports.retain(|port| port.name != "blue/web1");
        for row in &mut report.drops {
            let gone = row.by_port.remove("blue/web1");
            gone.map(|count| row.by_port.insert(REMOVED.into(), count));
        }
        let ledger = report.ledger_json().to_string();
        assert!(
            ledger.contains(r#""(removed)":{"rx":1200,"tx":900,"drops":{"spoofed_ip":30,"spoofed_mac":12}}"#),
            "{ledger}"
        );
    }
}
