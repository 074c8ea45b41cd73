//! Metrics, as Prometheus and a collector of OTLP have them.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;
use testbed::{Lab, Namespace, Process, Result, Spawn, wait_for};

use super::{Counted, DENIED, comes_to_be, export, lines, path, quiet, spec, text, traffic};
use crate::policy::traffic::on;
use crate::{SOON, settle};

pub const METRICS: &str = "127.0.0.1:9469";
const PROMETHEUS: &str = "127.0.0.1:9090";
pub const OTLP: &str = "http://127.0.0.1:4318";

pub fn prometheus() -> Result<()> {
    let lab = Lab::up(spec(0))?;
    let place = Namespace::new("export")?;
    let export = export(&lab, &place, &["--prometheus", METRICS])?;
    traffic(&lab)?;
    quiet(&lab)?;
    let _prometheus = scraper(&lab, &place)?;
    let ports = "{__name__=~\"weft_port_[rt]x_(packets|bytes)_total\"}";
    let told = comes_to_be("prometheus to have what the ports counted", &lab, || {
        let metric = |row: &Value| {
            let name = row["metric"]["__name__"].as_str()?.strip_suffix("_total")?;
            let value = row["value"][1].as_str()?.parse().ok()?;
            Some(((name.to_owned(), row["metric"]["port"].as_str()?.to_owned()), value))
        };
        Ok(ask(&place, ports)?.iter().filter_map(metric).collect())
    })?;
    assert!(told.len() >= 12, "of two guests and an uplink: {told:?}");
    // A worker writes its rows one after the other: those of drops may come later.
    wait_for(SOON, "prometheus to have what was denied", || {
        let denied = ask(&place, "weft_dropped_packets_total{reason=\"policy_denied\"}")?;
        let value = denied.first().and_then(|row| row["value"][1].as_str());
        Ok((value == Some(&*DENIED.to_string())).then_some(()))
    })?;

    // What the linter of Prometheus has to say.
    let lint = format!("curl -sf http://{METRICS}/metrics | promtool check metrics 2>&1");
    let found = place.run(&lint, SOON)?;
    assert_eq!((found.status, found.stdout.as_str()), (0, ""));

    settle(&lab)?;
    wait_for(SOON, "prometheus to see that the switch is gone", || {
        let value = |query: &str| -> Result<Option<String>> {
            Ok(ask(&place, query)?.first().and_then(|row| row["value"][1].as_str().map(str::to_owned)))
        };
        let is_down = value("weft_up")?.as_deref() == Some("0") && value("up")?.as_deref() == Some("1");
        // What it counted last is not told as if it were so now.
        Ok((is_down && ask(&place, ports)?.is_empty()).then_some(()))
    })?;
    export.wait_for_log("the switch has ended; waiting for it", SOON)
}

/// Debian's Prometheus, which asks the exporter each second.
fn scraper(lab: &Lab, place: &Namespace) -> Result<Process> {
    let (config, config_path) = path(lab, "prometheus.yml");
    let text = format!(
        "scrape_configs:\n- job_name: weft\n  scrape_interval: 1s\n  static_configs:\n  - targets: ['{METRICS}']\n"
    );
    on("a configuration", std::fs::write(&config, text))?;
    place.spawn(Spawn::new("prometheus").args([
        format!("--config.file={config_path}"),
        format!("--storage.tsdb.path={}", path(lab, "prometheus").1),
        format!("--web.listen-address={PROMETHEUS}"),
    ]))
}

/// What Prometheus answers to a query; nothing while it does not answer.
fn ask(place: &Namespace, query: &str) -> Result<Vec<Value>> {
    let command = format!("curl -sG http://{PROMETHEUS}/api/v1/query --data-urlencode 'query={query}'");
    let answer: Value = serde_json::from_str(&place.run(&command, SOON)?.stdout).unwrap_or_default();
    Ok(answer["data"]["result"].as_array().cloned().unwrap_or_default())
}

pub fn otlp() -> Result<()> {
    let lab = Lab::up(spec(0))?;
    let place = Namespace::new("export")?;
    let (file, _) = path(&lab, "otlp.json");
    // First there is no collector, then it refuses twice.
    let export = export(&lab, &place, &["--otlp", OTLP, "--interval", "1", "--prometheus", METRICS])?;
    let log = |wanted: &str| export.wait_for_log(&format!("{OTLP}/v1/metrics: {wanted}"), SOON);
    log("Connection refused (os error 111); trying again until the collector takes it")?;
    let collector = collector(&lab, &place, 2)?;
    log("the collector answers 503 Service Unavailable; trying again until the collector takes it")?;
    log("the collector takes it")?;
    traffic(&lab)?;
    quiet(&lab)?;
    let told = || Ok(last(&file)?.map(|request| of_ports(&request)).unwrap_or_default());
    let counted = comes_to_be("the collector to have what the ports counted", &lab, told)?;
    assert!(counted.len() >= 12, "of two guests and an uplink: {counted:?}");

    let request = last(&file)?.expect("one");
    let version = request["resource"]["service.version"].as_str().unwrap_or_default();
    assert!(!version.is_empty(), "{request}");
    assert_eq!(request["resource"]["service.name"], "weft");
    assert_eq!(request["resource"]["host.name"], super::HOST);
    let points = request["points"].as_array().expect("points");
    let of =
        |name: &str| points.iter().find(|point| point["name"] == name).unwrap_or_else(|| panic!("no {name}"));
    let rx = of("weft_port_rx_packets");
    // AGGREGATION_TEMPORALITY_CUMULATIVE
    assert_eq!((&rx["kind"], &rx["temporality"], &rx["monotonic"]), (&"sum".into(), &2.into(), &true.into()));
    assert_eq!((&rx["unit"], &of("weft_port_rx_bytes")["unit"]), (&"{packet}".into(), &"By".into()));
    assert!(
        rx["start"].as_u64().zip(rx["time"].as_u64()).is_some_and(|(start, time)| 0 < start && start < time)
    );
    assert_eq!((&of("weft_up")["kind"], &of("weft_up")["value"]), (&"gauge".into(), &1.into()));
    // Rows of drops may come later, as above. The names are those that Prometheus is given.
    wait_for(SOON, "all drops, and the names by prometheus and otlp to be the same", || {
        let request = last(&file)?.expect("one");
        let points = request["points"].as_array().expect("points");
        let pushed: BTreeSet<_> = points.iter().filter_map(|point| point["name"].as_str()).collect();
        let denied = points.iter().find(|point| point["labels"]["reason"] == "policy_denied");
        let is_all = pushed.contains("weft_tenant_dropped_packets")
            && denied.is_some_and(|denied| denied["value"] == DENIED);
        Ok((is_all && pushed == names(&scrape(&place)?)).then_some(()))
    })?;

    // It goes, and comes back: nothing has to be told twice, for all are totals.
    collector.kill9()?;
    let seen = || text(&file).lines().count();
    let before = seen();
    wait_for(SOON, "another refusal", || {
        Ok((export.log().matches("Connection refused").count() > 1).then_some(()))
    })?;
    drop(collector);
    let _collector = self::collector(&lab, &place, 0)?;
    wait_for(SOON, "another request", || Ok((seen() > before).then_some(())))?;
    comes_to_be("the collector to have it all again", &lab, told)?;
    settle(&lab)?;
    wait_for(SOON, "a request without a switch", || {
        let request = last(&file)?.expect("one");
        let points = request["points"].as_array().expect("points");
        let up = points.iter().find(|point| point["name"] == "weft_up");
        Ok((up.is_some_and(|up| up["value"] == 0) && of_ports(&request).is_empty()).then_some(()))
    })?;
    let before = seen();
    export.terminate(SOON)?;
    assert!(seen() > before, "it pushes once more when it ends: {}", export.log());
    Ok(())
}

/// The collector of `otlp.py`.
pub fn collector(lab: &Lab, place: &Namespace, refusals: u32) -> Result<Process> {
    const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fabric/export/otlp.py");
    let file = path(lab, "otlp.json").1;
    place.spawn(Spawn::new("python3").args([PROGRAM, "127.0.0.1", "4318", &file, &refusals.to_string()]))
}

/// The last request that it took.
pub fn last(file: &Path) -> Result<Option<Value>> {
    let text = text(file);
    // A line that has no end is still being written.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    lines(whole.lines().last().unwrap_or_default()).map(|mut requests| requests.pop())
}

/// What is in a request of ports.
pub fn of_ports(request: &Value) -> Counted {
    let names = ["weft_port_rx_packets", "weft_port_rx_bytes", "weft_port_tx_packets", "weft_port_tx_bytes"];
    let point = |point: &Value| {
        let name = point["name"].as_str().filter(|name| names.contains(name))?;
        let port = point["labels"]["port"].as_str()?;
        Some(((name.to_owned(), port.to_owned()), point["value"].as_u64()?))
    };
    request["points"].as_array().into_iter().flatten().filter_map(point).collect()
}

/// What Prometheus would be given now.
pub fn scrape(place: &Namespace) -> Result<String> {
    let command = format!("curl -sf http://{METRICS}/metrics");
    wait_for(SOON, "metrics", || {
        let answer = place.run(&command, SOON)?;
        Ok((answer.status == 0).then_some(answer.stdout))
    })
}

/// The names in it, without what Prometheus adds to them.
fn names(text: &str) -> BTreeSet<&str> {
    fn name(line: &str) -> Option<&str> {
        line.strip_prefix("# TYPE ")?.split(' ').next()
    }
    let names = text.lines().filter_map(name);
    names.map(|name| name.strip_suffix("_total").unwrap_or(name)).collect()
}
