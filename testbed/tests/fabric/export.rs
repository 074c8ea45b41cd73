//! What `weft export` hands on: Prometheus reads it, and nfcapd's sums are the switch's.

use std::process::Command;
use std::time::Duration;

use libtest_mimic::Trial;
use serde_json::Value;
use testbed::{
    Error, GuestKind, GuestSpec, HostSpec, Lab, LabSpec, Namespace, PolicySpec, Process, Result, Spawn,
    Underlay, wait_for,
};
use weft::shm::{self, Reader};

use crate::policy::traffic::{at, datagrams, exchange, listener, pair};
use crate::{SOON, ping, root, settle};

pub fn trials() -> Vec<Trial> {
    vec![
        root("export: prometheus reads what the ports counted", prometheus_reads),
        root("export: nfcapd's sums are those of the switch", nfcapd_adds_up),
    ]
}

const WEB: (&str, &str) = ("blue/web", "10.1.0.11");
const DB: (&str, &str) = ("blue/db", "10.1.0.12");
const HOST: &str = "hv-a";
const METRICS: &str = "127.0.0.1:9469";
const PROMETHEUS: &str = "127.0.0.1:9090";
const COLLECTOR: &str = "127.0.0.1:4739";

fn spec() -> LabSpec {
    let guest = |(name, address): (&str, &str), group: &str| {
        GuestSpec::new(name, "front", HOST, address, GuestKind::Netns).groups(&[group])
    };
    LabSpec::new(Underlay::Veth)
        .host(HostSpec::new(HOST, "198.51.100.1"))
        .host(HostSpec::new("hv-b", "198.51.100.2"))
        .segment("blue", "front", 1001, "10.1.0.0/24")
        .policy(
            "blue",
            PolicySpec::deny_all().allow("web-to-db", "web", "db", &["tcp/5000", "udp/6000-6999", "icmp/8"]),
        )
        .with(guest(WEB, "web"))
        .with(guest(DB, "db"))
}

/// A few hundred flows: TCP, UDP, ICMP, and some that are denied.
fn traffic(lab: &Lab) -> Result<()> {
    ping(lab.guest(WEB.0), DB.1)?;
    let listener = listener(lab, DB.0, at(DB.1, 5000))?;
    for round in 0..100 {
        exchange(&pair(lab, WEB.0, at(DB.1, 5000), &listener)?, 20_000, round)?;
    }
    let socket = datagrams(lab, WEB.0, at(WEB.1, 0))?;
    for port in (6000..6200).chain(9000..9020) {
        // What an ICMP error of an earlier one says is told here.
        let _ = socket.send_to(b"is anybody there?", at(DB.1, port));
    }
    Ok(())
}

/// `weft export ARGUMENTS` of the host, in a namespace of its own.
fn export(lab: &Lab, place: &Namespace, arguments: &[&str]) -> Result<Process> {
    let dir = lab.dir().path().display().to_string();
    let spawn = Spawn::new(testbed::host::binary()?).named("weft-export").arg("export").args(arguments);
    place.spawn(spawn.args(["--host", HOST, "--runtime-dir", &dir]))
}

/// What a command in the namespace prints.
fn said(place: &Namespace, command: &str) -> Result<String> {
    place.run(command, SOON)?.success(command)
}

fn prometheus_reads() -> Result<()> {
    let lab = Lab::up(spec())?;
    let place = Namespace::new("export")?;
    let _export = export(&lab, &place, &["--prometheus", METRICS])?;
    traffic(&lab)?;
    let scrape = format!("curl -sf http://{METRICS}/metrics");
    wait_for(SOON, "metrics", || Ok(place.run(&scrape, SOON)?.status.eq(&0).then_some(())))?;
    let found = place.run(&format!("{scrape} | promtool check metrics 2>&1"), SOON)?;
    assert_eq!((found.status, found.stdout.as_str()), (0, ""));

    let config = lab.dir().join("prometheus.yml");
    let text = format!(
        "scrape_configs:\n- job_name: weft\n  scrape_interval: 1s\n  static_configs:\n  - targets: ['{METRICS}']\n"
    );
    std::fs::write(&config, text).map_err(|source| Error::Io { what: "a configuration".into(), source })?;
    let spawn = Spawn::new("prometheus").args([
        format!("--config.file={}", config.display()),
        format!("--storage.tsdb.path={}", lab.dir().join("prometheus").display()),
        format!("--web.listen-address={PROMETHEUS}"),
    ]);
    let _prometheus = place.spawn(spawn)?;
    // Neighbours speak now and then: what both say has to be the same at some moment.
    wait_for(Duration::from_secs(60), "prometheus to have what the switch counts", || {
        let query = format!("curl -s 'http://{PROMETHEUS}/api/v1/query?query=weft_port_rx_packets_total'");
        let answer: Value = serde_json::from_str(&place.run(&query, SOON)?.stdout).unwrap_or_default();
        let results = answer["data"]["result"].as_array().cloned().unwrap_or_default();
        let scraped = results.iter().find(|result| result["metric"]["port"] == WEB.0);
        let scraped: Option<u64> =
            scraped.and_then(|result| result["value"][1].as_str()).and_then(|value| value.parse().ok());
        let ports = lab.host(HOST).show("ports")?;
        let port = ports.as_array().into_iter().flatten().find(|port| port["name"] == WEB.0).cloned();
        let counted = port.and_then(|port| port["rx"]["packets"].as_u64().or(port["rx"].as_u64()));
        Ok((counted > Some(500) && scraped == counted).then_some(()))
    })?;
    settle(&lab).map(drop)
}

fn nfcapd_adds_up() -> Result<()> {
    let lab = Lab::up(spec())?;
    let place = Namespace::new("export")?;
    let flows = lab.dir().join("flows");
    std::fs::create_dir(&flows).map_err(|source| Error::Io { what: "a folder".into(), source })?;
    let spawn = Spawn::new("nfcapd").args(["-b", "127.0.0.1", "-p", "4739", "-B", "4000000", "-w"]);
    let nfcapd = place.spawn(spawn.arg(&flows))?;
    let listens = || Ok(said(&place, "ss -Hlun")?.contains(COLLECTOR).then_some(()));
    wait_for(SOON, "nfcapd to listen", listens)?;
    let export = export(&lab, &place, &["--ipfix", &format!("udp:{COLLECTOR}")])?;
    // It has the file open once it has a socket, which it makes first; records of before count from where they are.
    let reader = Reader::open(&lab.host(HOST).socket(shm::FILE))
        .map_err(|error| Error::failed(error.to_string(), ""))?;
    let maps = format!("grep -q {}/stats /proc/{}/maps", HOST, export.pid());
    let is_open =
        || Ok(Command::new("sh").args(["-c", &maps]).status().is_ok_and(|s| s.success()).then_some(()));
    wait_for(SOON, "the exporter to read", is_open)?;
    traffic(&lab)?;
    settle(&lab)?;
    export.wait_for_log("the switch has ended", SOON)?;
    export.terminate(SOON)?;
    nfcapd.terminate(SOON)?;

    let counted = |name: &str| {
        let table = reader.counters("workers").ok().flatten();
        table.and_then(|table| table.value(0, name)).unwrap_or_else(|| panic!("no {name}"))
    };
    let lines = said(&place, &format!("nfdump -q -R {} -o json", flows.display()))?;
    let flows: Vec<Value> = serde_json::from_str(&lines)
        .or_else(|_| lines.lines().map(serde_json::from_str).collect())
        .map_err(|error| Error::failed(format!("nfdump: {error}"), lines.clone()))?;
    let sum = |names: [&str; 2]| -> u64 {
        flows.iter().flat_map(|flow| names.map(|name| flow[name].as_u64().unwrap_or_default())).sum()
    };
    println!("{} records of nfdump, the first: {:?}", flows.len(), flows.first());
    assert!(flows.len() > 300, "{}", flows.len());
    assert_eq!(
        (sum(["in_packets", "out_packets"]), sum(["in_bytes", "out_bytes"])),
        (counted("in_flows_packets"), counted("in_flows_bytes"))
    );
    Ok(())
}
