//! A switch that goes on in a larger file, and one that is killed and comes back.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;
use testbed::{Error, Lab, Namespace, Result, wait_for};
use weft::report::FlowReport;
use weft::shm::State;

use super::flows::{COLLECTOR, decode};
use super::metrics::{METRICS, OTLP, collector, last, of_ports, scrape};
use super::{
    Counted, DENIED, HOST, Sink, comes_to_be, export, lines, memory, of_flows, path, quiet, spec, sum_of,
    text, traffic,
};
use crate::{SOON, settle};

pub fn goes_on() -> Result<()> {
    let mut lab = Lab::up(spec(0))?;
    let place = Namespace::new("export")?;
    let sink = Sink::start(&place, COLLECTOR)?;
    let _collector = collector(&lab, &place, 0)?;
    let (file, out) = path(&lab, "flows.json");
    let ipfix = format!("tcp:{COLLECTOR}");
    let metrics = ["--prometheus", METRICS, "--otlp", OTLP, "--interval", "1"];
    let arguments = [&["--ipfix", &ipfix, "--json", &out, "--all"][..], &metrics].concat();
    let export = export(&lab, &place, &arguments)?;

    traffic(&lab)?;
    let begun = agree("before", &lab, &place)?;
    let before = memory(&lab)?;
    lab.apply(&spec(100))?;
    assert_eq!(before.state(), State::Superseded, "the rules do not fit");
    traffic(&lab)?;
    assert_eq!(agree("in a larger file", &lab, &place)?, begun, "it is the same run");
    assert!(!export.log().contains("has ended"), "{}", export.log());

    let killed = unix();
    lab.restart_host(HOST)?;
    export.wait_for_log("the switch has ended; waiting for it", SOON)?;
    export.wait_for_log("the switch is there", SOON)?;
    traffic(&lab)?;
    quiet(&lab)?;
    assert!(agree("of another run", &lab, &place)? > begun, "it counts anew");
    let reader = memory(&lab)?;
    settle(&lab)?;
    wait_for(SOON, "the exporter to see the end of both", || {
        Ok((export.log().matches("the switch has ended").count() > 1).then_some(()))
    })?;
    export.terminate(SOON)?;

    let reports: Vec<FlowReport> = lines(&text(&file))?;
    let (first, second): (Vec<_>, Vec<_>) =
        reports.into_iter().partition(|report| report.written_unix_ns < killed);
    let [first, second] = [sum_of(&first), sum_of(&second)];
    println!("two runs: {first:?} and {second:?} in lines\n{}", export.log());
    assert_eq!(second, of_flows(&reader));
    assert!(first[0] > second[0], "twice as much");
    let told = decode(&lab, &sink.finish()?)?;
    assert_eq!([told.packets, told.bytes], [first[0] + second[0], first[1] + second[1]]);
    assert_eq!(told.dropped, 3 * u64::from(DENIED));
    Ok(())
}

/// Waits until metrics are the switch's both ways. Since when it counts, as the collector of OTLP is told.
fn agree(when: &str, lab: &Lab, place: &Namespace) -> Result<u64> {
    comes_to_be(&format!("{when}: prometheus to be given what the ports counted"), lab, || {
        Ok(scraped(&scrape(place)?))
    })?;
    let (requests, _) = path(lab, "otlp.json");
    comes_to_be(&format!("{when}: the collector to have what the ports counted"), lab, || {
        Ok(last(&requests)?.map(|request| of_ports(&request)).unwrap_or_default())
    })?;
    let request = last(&requests)?.unwrap_or_default();
    let points = request["points"].as_array().into_iter().flatten();
    let starts: Vec<&Value> =
        points.filter(|point| point["name"] == "weft_port_rx_packets").map(|point| &point["start"]).collect();
    assert!(starts.iter().all(|start| *start == starts[0]), "{starts:?}");
    let start = starts.first().and_then(|start| start.as_u64());
    start.ok_or_else(|| Error::failed("no start".to_owned(), request.to_string()))
}

/// What is told of ports in the text for Prometheus.
fn scraped(text: &str) -> Counted {
    let names = ["weft_port_rx_packets", "weft_port_rx_bytes", "weft_port_tx_packets", "weft_port_tx_bytes"];
    let sample = |line: &str| {
        let (name, rest) = line.split_once("_total{")?;
        let (labels, value) = rest.split_once("} ")?;
        let port = labels.split_once("port=\"")?.1.strip_suffix('"')?;
        let metric = names.iter().find(|metric| **metric == name)?;
        Some((((*metric).to_owned(), port.to_owned()), value.parse().ok()?))
    };
    text.lines().filter_map(sample).collect()
}

/// Nanoseconds of UNIX time.
fn unix() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}
