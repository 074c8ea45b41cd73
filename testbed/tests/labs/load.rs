//! The load driver beside switches that count too: every packet that it says it sent or received, they received or sent.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use testbed::host::HostOptions;
use testbed::load::{
    Driver, Flows, Kind, Pace, Plan, Port, PortOptions, Report, Role, Size, Stream, Traffic, Waiting,
};
use testbed::{Error, Host, Result, WorkDir, wait_for};

use crate::testpmd::Testpmd;

const SOON: Duration = Duration::from_secs(20);

/// testpmd makes the sockets; both directions at once, frames of all sizes.
pub fn testpmd_counts_the_same() -> Result<()> {
    let dir = WorkDir::new()?;
    let socket = |port| dir.join(format!("{port}.sock"));
    let device = |port| format!("net_vhost{port},iface={}", socket(port).display());
    let testpmd = Testpmd::between([device(0), device(1)]).start(&dir)?;
    let mut driver = Driver::new(vec![meet(&dir, 0)?, meet(&dir, 1)?]);
    let streams = [[0, 1], [1, 0]].map(|ports| Stream {
        ports,
        traffic: traffic(Kind::Udp),
        size: Size::Imix,
        flows: Flows::AtRandom(100_000),
        pace: Pace::Flood,
        growth: 0,
    });
    let report = flood(&mut driver, &streams)?;
    testpmd.terminate(SOON)?;
    let log = testpmd.log();
    let mut lost = 0;
    for (port, stream) in report.streams.iter().enumerate() {
        // Both directions are as long as each other, so each port's numbers are told apart from the other's.
        let (taken, given) = (counted(&log, port, "RX-packets:")?, counted(&log, 1 - port, "TX-packets:")?);
        lost += counted(&log, 1 - port, "TX-dropped:")?;
        assert_eq!((stream.whole.sent, stream.whole.received), (taken, given), "port {port}");
        assert!(stream.counted.received > 0 && !stream.latency.is_empty(), "port {port}: {stream:?}");
    }
    let all_lost: u64 = report.streams.iter().map(|stream| stream.whole.lost()).sum();
    assert_eq!(all_lost, lost, "what is lost is what testpmd could not give");
    Ok(())
}

/// Weft makes the one socket and the driver the other; TCP that is opened as it should be, in strict windows.
pub fn weft_counts_the_same() -> Result<()> {
    let dir = Arc::new(WorkDir::new()?);
    let far =
        Waiting::new(&dir.join("1.sock"), PortOptions { role: Role::Server, ..PortOptions::default() })?;
    let fabric = dir.join("fabric.yaml");
    std::fs::write(&fabric, document(&dir)).map_err(|error| Error::failed(error.to_string(), ""))?;
    let options = HostOptions { name: "hv-a".into(), fabric, namespace: None, user: None, binary: None };
    let host = Host::start(&dir, options)?;
    host.wait_ready(SOON)?;
    let mut driver = Driver::new(vec![meet(&dir, 0)?, far.meet(SOON)?]);
    let stream = |kind, ports, pace| Stream {
        ports,
        traffic: if kind == Kind::SynAck { traffic(kind).answered() } else { traffic(kind) },
        size: Size::Fixed(64),
        flows: Flows::InTurn { first: 0, count: FLOWS },
        pace,
        growth: 0,
    };
    let mut whole = 0;
    // Weft looks for guests ten times a second: until it has seen this one, packets are dropped, and counted.
    let link_up = wait_for(SOON, "weft to send to the guest", || {
        let passed = driver.pass(&stream(Kind::Syn, [0, 1], Pace::Window(1)), 1, SOON)?;
        whole += passed.sent;
        Ok((passed.lost() == 0).then_some(()))
    });
    link_up?;
    let mut received = 1;
    for (kind, ports) in [(Kind::Syn, [0, 1]), (Kind::SynAck, [1, 0]), (Kind::Ack, [0, 1])] {
        let passed = driver.pass(&stream(kind, ports, Pace::Window(64)), FLOWS.into(), SOON)?;
        assert_eq!((passed.sent, passed.lost()), (FLOWS.into(), 0), "{kind:?}");
        whole += passed.sent;
        received += passed.received;
    }
    let report = flood(&mut driver, &[stream(Kind::Data, [0, 1], Pace::Flood)])?;
    let data = &report.streams[0];
    assert!(data.counted.received > 0 && !data.latency.is_empty(), "{data:?}");
    whole += data.whole.sent;
    received += data.whole.received;
    let sessions = host.show("sessions blue --protocol tcp --state established")?;
    let ledger = host.stop(SOON)?;
    assert!(ledger.adds_up() && ledger.conserved, "{ledger:?}");
    assert_eq!(ledger.totals["rx"], whole, "{ledger:?}");
    assert_eq!(ledger.totals["tx"], received, "{ledger:?}");
    assert_eq!(ledger.totals["drops"], whole - received, "{ledger:?}");
    let open = sessions["sessions"].as_array().or(sessions.as_array()).map_or(0, Vec::len);
    assert!(open > 0, "TCP is established: {sessions}");
    Ok(())
}

/// Few enough for one page of `weft show sessions`.
const FLOWS: u32 = 64;

fn meet(dir: &WorkDir, port: usize) -> Result<Port> {
    Waiting::new(&dir.join(format!("{port}.sock")), PortOptions::default())?.meet(SOON)
}

/// A short time of all that the switch takes.
fn flood(driver: &mut Driver, streams: &[Stream]) -> Result<Report> {
    driver.run(streams, Plan { warm: 1_000, measure: Duration::from_millis(300) })
}

fn traffic(kind: Kind) -> Traffic {
    Traffic {
        macs: [[2, 0, 0, 0, 1, 1], [2, 0, 0, 0, 1, 2]],
        addresses: [Ipv4Addr::new(10, 1, 1, 16), Ipv4Addr::new(10, 1, 2, 16)],
        hosts: [4, 4],
        service: 8000,
        services: 4,
        answers: false,
        kind,
        tunnel: None,
    }
}

/// A figure of a port's, of what testpmd says when it ends.
fn counted(log: &str, port: usize, name: &str) -> Result<u64> {
    let part = log.split(&format!("Forward statistics for port {port}")).last().unwrap_or_default();
    let figure = part.split_once(name).and_then(|(_, rest)| rest.split_whitespace().next()?.parse().ok());
    figure.ok_or_else(|| Error::failed(format!("testpmd told no {name} of port {port}"), log))
}

fn document(dir: &WorkDir) -> String {
    let addresses =
        |net: u8| (16..20).map(|host| format!("10.1.{net}.{host}")).collect::<Vec<_>>().join(", ");
    format!(
        r#"
fabric: {{ name: lab }}
hosts:
  - {{ name: hv-a, vtep: 198.51.100.1, workers: {{ poll: adaptive }}, memory: {{ size: 128MiB, hugepages: off }} }}
tenants:
  - name: blue
    segments: [{{ name: front, vni: 1001, subnet: [10.1.0.0/16] }}]
    groups: [{{ name: web }}, {{ name: db }}]
    endpoints:
      - {{ name: web, host: hv-a, attach: {{ vhost-user: {0}/0.sock }}, segment: front, mac: "02:00:00:00:01:01", ip: [{1}], groups: [web] }}
      - {{ name: db, host: hv-a, attach: {{ vhost-user: {0}/1.sock, mode: client }}, segment: front, mac: "02:00:00:00:01:02", ip: [{2}], groups: [db] }}
    policy:
      default: deny
      rules: [{{ name: in, from: web, to: db, allow: [tcp/8000-8003] }}]
"#,
        dir.path().display(),
        addresses(1),
        addresses(2),
    )
}
