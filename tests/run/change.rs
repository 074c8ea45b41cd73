//! Another document for a running switch.

use super::*;

/// A guest that floods the switch with frames that are all dropped.
const FLOOD: &str = r#"
      - { name: flood, host: hv-a, attach: { device: "net_null0,size=60" }, segment: front, mac: "02:00:00:00:01:09", ip: [10.1.0.19] }"#;
/// Another guest.
const WEB2: &str = r#"
      - { name: web2, host: hv-a, attach: { vhost-user: web2.sock }, segment: front, mac: "02:00:00:00:01:03", ip: [10.1.0.13] }"#;
const RULES: &str = "rules: []";
const RULE: &str = "rules: [{ name: ssh, from: any, to: any, deny: [tcp/22] }]";

/// The document with these endpoints more and with these rules.
fn document(endpoints: &[&str], rules: &str) -> String {
    DOCUMENT.replace("endpoints:", &format!("endpoints:{}", endpoints.concat())).replace(RULES, rules)
}

impl Place {
    /// What a command says of a document: its exit status, and its output, then its errors.
    fn asks(&self, command: &str, document: &str) -> (i32, String) {
        fs::write(self.path("next.yaml"), document).unwrap();
        let output = self.weft(&[command, "next.yaml"]).output().unwrap();
        let said = text(&output) + std::str::from_utf8(&output.stderr).unwrap();
        (output.status.code().unwrap(), said)
    }

    fn applies(&self, document: &str) -> String {
        let (status, said) = self.asks("apply", document);
        assert_eq!(status, 0, "{said}");
        said
    }

    fn shows(&self, table: &str) -> Value {
        let output = self.weft(&["show", table, "--json"]).output().unwrap();
        serde_json::from_str(&text(&output)).unwrap()
    }

    fn ports(&self) -> Vec<String> {
        let ports = self.shows("ports");
        ports.as_array().unwrap().iter().map(|port| port["name"].as_str().unwrap().to_owned()).collect()
    }

    fn epoch(&self) -> u64 {
        self.shows("workers")[0]["epoch"].as_u64().unwrap()
    }

    fn received(&self, port: &str) -> u64 {
        let ports = self.shows("ports");
        let port = ports.as_array().unwrap().iter().find(|row| row["name"] == port).unwrap().clone();
        port["rx"].as_u64().unwrap()
    }
}

#[test]
fn endpoints_and_rules_come_and_go_while_traffic_flows() {
    let place = Place::with(|_| document(&[FLOOD], RULES));
    let switch = Switch::start(place.run(), &place.path("log"));
    until("traffic flows", || place.received("blue/flood") > 1_000);

    // A plan tells, and changes nothing.
    let more = document(&[FLOOD, WEB2], RULE);
    let (status, said) = place.asks("plan", &more);
    assert_eq!(status, 0, "{said}");
    assert!(said.contains("hv-a: 2 changes to the document in force (epoch 1)"), "{said}");
    assert!(said.contains("  + endpoint blue/web2: host hv-a, attach vhost-user web2.sock"), "{said}");
    assert!(said.contains("  + rule blue/ssh: any -> any deny tcp/22, place 1\n"), "{said}");
    assert_eq!(
        (place.ports(), place.epoch()),
        (vec!["up0".into(), "blue/flood".into(), "blue/web1".into()], 1)
    );

    // In the document web2 comes before web1, and web1 stays what it is.
    let said = place.applies(&more);
    assert!(said.starts_with("hv-a: in force (epoch 2), with 2 changes\n"), "{said}");
    assert!(said.contains("then live in "), "{said}");
    assert_eq!(
        (place.ports(), place.epoch()),
        (["up0", "blue/flood", "blue/web1", "blue/web2"].map(String::from).into(), 2)
    );
    assert_eq!(place.left(), ["api.sock", "dpdk", "lock", "stats", "web1.sock", "web2.sock"]);
    let before = place.received("blue/flood");
    until("traffic flows on", || place.received("blue/flood") > before + 1_000);

    // The guest that floods goes in the midst of its flood, and comes back as another.
    place.applies(&document(&[WEB2], RULE));
    assert_eq!(place.ports(), ["up0", "blue/web1", "blue/web2"]);
    let tenant = &place.shows("tenants")[0];
    let (endpoints, received) = (tenant["endpoints_here"].as_u64(), tenant["rx"].as_u64().unwrap());
    assert!(endpoints == Some(2) && received > before, "{tenant}");
    let drops = place.shows("drops");
    let gone = drops.as_array().unwrap().iter().map(|row| row["by_port"]["(removed)"].as_u64().unwrap_or(0));
    assert_eq!(gone.sum::<u64>(), received);
    place.applies(&document(&[FLOOD, WEB2], RULES));
    until("traffic flows again", || place.received("blue/flood") > 1_000);
    place.applies(&document(&[], RULES));
    assert_eq!((place.ports(), place.epoch()), (vec!["up0".into(), "blue/web1".into()], 5));
    assert_eq!(place.left(), ["api.sock", "dpdk", "lock", "stats", "web1.sock"]);
    let (_, said) = place.asks("plan", &document(&[], RULES));
    assert_eq!(said, "hv-a: nothing differs from the document in force (epoch 5)\n");

    let (status, ledger) = switch.stop(Signal::TERM);
    assert_eq!((status, &ledger["conserved"]), (Some(0), &true.into()));
    assert!(ledger["totals"]["rx"].as_u64() > Some(received), "{ledger}");
    assert_eq!(place.left(), ["lock"]);
}

#[test]
fn what_is_assured_and_bounded_changes_while_traffic_flows() {
    let place = Place::with(|_| document(&[FLOOD], RULES));
    let switch = Switch::start(place.run(), &place.path("log"));
    until("traffic flows", || place.received("blue/flood") > 1_000);
    let limits = || {
        let rows = place.shows("qos");
        let row = |row: &Value| {
            let limits = &row["limits"];
            let [rate, ceil, packets] = ["rate_bits_per_s", "ceil_bits_per_s", "packets_per_s"]
                .map(|key| limits[key].as_u64().unwrap_or_default());
            let classes = row["classes"].as_array().unwrap();
            let classes: Vec<&str> = classes.iter().map(|class| class["name"].as_str().unwrap()).collect();
            format!("{} {rate} {ceil} {packets} {}", row["name"].as_str().unwrap(), classes.join(","))
        };
        rows.as_array().unwrap().iter().map(row).collect::<Vec<_>>()
    };
    assert_eq!(limits(), ["blue 0 0 0 ", "blue/flood 0 0 0 ", "blue/web1 0 0 0 "]);

    let tenant = "    qos: { rate: 10Mbit, ceil: 20Mbit, classes: [{ name: voice, dscp: [ef], strict: true }, { name: rest }] }\n";
    let bound = document(&[FLOOD], RULES)
        .replace(
            "fabric: { name: lab }",
            "fabric: { name: lab, vxlan: { dscp: uniform }, qos: { overhead: 0 } }",
        )
        .replace("address: [198.51.100.1/24] }", "address: [198.51.100.1/24], rate: 1Gbit }")
        .replace("    segments:", &format!("{tenant}    segments:"))
        .replace("ip: [10.1.0.11] }", "ip: [10.1.0.11], qos: { rate: 5Mbit, pps: 1kpps } }");
    let (status, said) = place.asks("plan", &bound);
    assert_eq!(status, 0, "{said}");
    for told in [
        "  ~ fabric lab\n      vxlan.dscp pipe => uniform\n      qos.overhead 24 bytes => 0 bytes\n",
        "mtu 1600, rate 1Gbit\n",
        "      qos nothing => rate 10Mbit, ceil 20Mbit, weight 1\n",
        "      qos.classes nothing => voice (ef; strict), rest (all other; weight 1)\n",
        "  ~ endpoint blue/web1: qos nothing => rate 5Mbit, pps 1kpps, weight 1\n",
    ] {
        assert!(said.contains(told), "{told}: {said}");
    }
    let said = place.applies(&bound);
    assert!(said.starts_with("hv-a: in force (epoch 2), with 4 changes\n"), "{said}");
    assert_eq!(
        limits(),
        [
            "blue 10000000 20000000 0 ",
            "blue/flood 0 0 0 voice,rest",
            "blue/web1 5000000 5000000 1000 voice,rest"
        ]
    );
    let before = place.received("blue/flood");
    until("traffic flows on", || place.received("blue/flood") > before + 1_000);
    place.applies(&document(&[FLOOD], RULES));
    assert_eq!(limits(), ["blue 0 0 0 ", "blue/flood 0 0 0 ", "blue/web1 0 0 0 "]);

    // Warnings are told, and are no refusal.
    let (status, said) = place.asks("apply", &bound.replace("rate: 5Mbit", "rate: 50Mbit"));
    assert_eq!(status, 0, "{said}");
    assert!(
        said.contains("warning: tenant blue: its endpoints on host hv-a are assured 50Mbit together"),
        "{said}"
    );
    let (status, ledger) = switch.stop(Signal::TERM);
    assert_eq!((status, &ledger["conserved"]), (Some(0), &true.into()));
}

#[test]
fn a_refused_document_changes_nothing() {
    let place = Place::with(|_| document(&[FLOOD], RULES));
    let switch = Switch::start(place.run(), &place.path("log"));
    let (ports, left) = (place.ports(), place.left());
    let uplink = "device: net_ring0";
    let broken = WEB2.replace("web2", "web3").replace("01:03", "01:04").replace("10.1.0.13", "10.1.0.14");
    let absent = broken.replace("vhost-user: web3.sock", "device: net_nonsense0");
    let taken = broken.replace("vhost-user: web3.sock", "device: \"net_null0,size=80\"");
    for (what, next, status, wanted) in [
        ("wrong", document(&[], "rules: none"), 2, "next.yaml:15:38: error: "),
        ("no such host", document(&[], RULES).replace("hv-a", "hv-c"), 1, "the document has no host hv-a"),
        (
            "an uplink",
            document(&[WEB2], RULES).replace(uplink, "device: net_ring1"),
            1,
            "the switch of host hv-a has to be started anew for host hv-a: uplink up0 (net_ring0, 198.51.100.1/24, \
             mtu 1600 now, net_ring1, 198.51.100.1/24, mtu 1600 then)",
        ),
        (
            "workers and memory",
            document(&[WEB2], RULES).replace("size: 64MiB", "size: 96MiB"),
            1,
            "host hv-a: memory (64 MiB, hugepages off now, 96 MiB, hugepages off then)",
        ),
        (
            "a device that is not there, after a socket that is made",
            document(&[FLOOD, WEB2, &absent], RULE),
            1,
            "port blue/web3 (net_nonsense0): device \"net_nonsense0\" is none of DPDK's",
        ),
        (
            "a device of a port that goes",
            document(&[&taken], RULES),
            1,
            "port blue/web3: device net_null0 is still that of port blue/flood",
        ),
    ] {
        let (exit, said) = place.asks("apply", &next);
        assert_eq!(exit, status, "{what}: {said}");
        assert!(said.contains(wanted), "{what}: {said}");
        if status == 1 {
            let planned = place.asks("plan", &next);
            assert!(
                planned.0 == 1 || what.starts_with("a device that is not there"),
                "{what}: {}",
                planned.1
            );
        }
        assert_eq!((place.ports(), place.left(), place.epoch()), (ports.clone(), left.clone(), 1), "{what}");
    }
    let before = place.received("blue/flood");
    until("traffic flows on", || place.received("blue/flood") > before + 1_000);
    place.applies(&document(&[FLOOD, WEB2], RULE));
    let (status, ledger) = switch.stop(Signal::TERM);
    assert_eq!((status, &ledger["conserved"]), (Some(0), &true.into()));
    assert_eq!(place.left(), ["lock"]);
}

#[test]
fn a_switch_that_does_not_run_takes_no_document() {
    let place = Place::new();
    let (status, said) = place.asks("apply", DOCUMENT);
    assert_eq!(status, 1);
    assert!(said.starts_with("weft: no switch runs here: "), "{said}");
}
