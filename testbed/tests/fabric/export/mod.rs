//! What `weft export` hands on, as others read it: Prometheus, nfdump, tshark, and a collector of OTLP.

mod flows;
mod metrics;
mod restart;

use std::collections::BTreeMap;
use std::io::Read;
use std::net::TcpListener;
use std::path::PathBuf;
use std::thread::{self, JoinHandle};

use libtest_mimic::Trial;
use serde_json::Value;
use testbed::{
    Error, GuestKind, GuestSpec, HostSpec, Lab, LabSpec, Namespace, PolicySpec, Process, Result, Spawn,
    Underlay, wait_for,
};
use weft::report::FlowReport;
use weft::shm::{self, Reader, What};

use crate::policy::traffic::{at, datagrams, exchange, listener, on, pair};
use crate::{SOON, ping, root, run};

pub fn trials() -> Vec<Trial> {
    vec![
        root("export: prometheus has what the ports counted", metrics::prometheus),
        root("export: a collector of otlp has what the ports counted", metrics::otlp),
        root("export: nfdump's sums are those of the switch", flows::nfdump),
        root("export: tshark's sums, by tcp, and those of the lines are those of the switch", flows::tshark),
        root(
            "export: exporters go on in a larger file, and with another run of the switch",
            restart::goes_on,
        ),
    ]
}

const WEB: (&str, &str) = ("blue/web", "10.1.0.11");
const DB: (&str, &str) = ("blue/db", "10.1.0.12");
const DB_V6: &str = "fd00:1::12";
const HOST: &str = "hv-a";
/// What is denied in each [`traffic`].
const DENIED: u16 = 20;

/// Two guests of a host, and so many rules that match nothing.
fn spec(rules: usize) -> LabSpec {
    let guest = |(name, address): (&str, &str), v6: &str, group: &str| {
        GuestSpec::new(name, "front", HOST, address, GuestKind::Netns).also(v6).groups(&[group])
    };
    let services = ["tcp/5000", "udp/6000-6999", "icmp/8", "icmpv6/128"];
    let policy = PolicySpec::deny_all().allow("web-to-db", "web", "db", &services);
    let policy = (0..rules).fold(policy, |policy, index| {
        policy.allow(&format!("rule-{index}"), "db", "web", &[&format!("tcp/{}", 10_000 + index)])
    });
    LabSpec::new(Underlay::Veth)
        .host(HostSpec::new(HOST, "198.51.100.1"))
        .host(HostSpec::new("hv-b", "198.51.100.2"))
        .segment("blue", "front", 1001, "10.1.0.0/24")
        .subnet("blue", "fd00:1::/64")
        .policy("blue", policy)
        .with(guest(WEB, "fd00:1::11", "web"))
        .with(guest(DB, DB_V6, "db"))
}

/// Hundreds of flows: TCP, UDP, ICMP of both families, and some that are denied.
fn traffic(lab: &Lab) -> Result<()> {
    ping(lab.guest(WEB.0), DB.1)?;
    ping(lab.guest(WEB.0), DB_V6)?;
    let listener = listener(lab, DB.0, at(DB.1, 5000))?;
    for round in 0..100 {
        exchange(&pair(lab, WEB.0, at(DB.1, 5000), &listener)?, 20_000, round)?;
    }
    let socket = datagrams(lab, WEB.0, at(WEB.1, 0))?;
    for port in (6000..6200).chain(9000..9000 + DENIED) {
        // What an ICMP error of an earlier one says is told here.
        let _ = socket.send_to(b"is anybody there?", at(DB.1, port));
    }
    Ok(())
}

/// Guests have nothing more to say by themselves.
fn quiet(lab: &Lab) -> Result<()> {
    [WEB, DB].into_iter().try_for_each(|guest| {
        run(lab.guest(guest.0), "ip link set eth0 arp off; ip -6 addr flush dev eth0").map(drop)
    })
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

/// The switch's memory, which can still be read when the switch has ended.
fn memory(lab: &Lab) -> Result<Reader> {
    Reader::open(&lab.host(HOST).socket(shm::FILE)).map_err(|error| Error::failed(error.to_string(), ""))
}

/// Packets and bytes of flows, as the switch counts them.
fn of_flows(reader: &Reader) -> [u64; 2] {
    ["in_flows_packets", "in_flows_bytes"].map(|name| {
        let table = reader.counters("workers").ok().flatten();
        table.and_then(|table| table.value(0, name)).unwrap_or_else(|| panic!("no {name}"))
    })
}

/// By name of a metric and port.
type Counted = BTreeMap<(String, String), u64>;

/// What ports have counted.
fn counted(reader: &Reader) -> Counted {
    let fault = "the switch's memory";
    let (table, labels) =
        (reader.counters("ports").expect(fault).expect(fault), reader.labels().expect(fault));
    let of_port = |(_, row, port): (u32, u32, &str)| {
        ["rx_packets", "rx_bytes", "tx_packets", "tx_bytes"].map(|name| {
            let value = table.value(row as usize, name).unwrap_or_else(|| panic!("no {name}"));
            ((format!("weft_port_{name}"), port.to_owned()), value)
        })
    };
    labels.iter_of(What::Port).flat_map(of_port).collect()
}

/// The switch's memory now says the same as `told` does: that has to come, for all is quiet but the neighbours.
fn comes_to_be(what: &str, lab: &Lab, mut told: impl FnMut() -> Result<Counted>) -> Result<Counted> {
    let mut last = Default::default();
    let waited = wait_for(SOON, what, || {
        last = (told()?, counted(&memory(lab)?));
        let rx = last.1.get(&("weft_port_rx_packets".into(), WEB.0.into()));
        Ok((rx > Some(&500) && last.0 == last.1).then(|| last.0.clone()))
    });
    waited.map_err(|error| Error::failed(error.to_string(), format!("{last:#?}")))
}

/// A collector of IPFIX by TCP, which keeps what it is sent until the connection ends.
struct Sink(JoinHandle<std::io::Result<Vec<u8>>>);

impl Sink {
    fn start(place: &Namespace, at: &str) -> Result<Self> {
        let listener = place.inside(|| on(at, TcpListener::bind(at)))?;
        Ok(Self(thread::spawn(move || {
            let (mut stream, _) = listener.accept()?;
            stream.set_read_timeout(Some(SOON))?;
            let mut bytes = Vec::new();
            stream.read_to_end(&mut bytes)?;
            Ok(bytes)
        })))
    }

    fn finish(self) -> Result<Vec<u8>> {
        wait_for(SOON, "the connection to end", || Ok(self.0.is_finished().then_some(())))?;
        on("the exporter's stream", self.0.join().expect("no panic"))
    }
}

/// Lines of JSON.
fn lines<T: serde::de::DeserializeOwned>(text: &str) -> Result<Vec<T>> {
    let parsed = text.lines().map(serde_json::from_str).collect::<Result<Vec<T>, _>>();
    parsed.map_err(|error| Error::failed(format!("no JSON: {error}"), text.to_owned()))
}

/// Packets and bytes of flows of one run of the switch: the last record of each says all. What is denied is no flow.
fn sum_of(reports: &[FlowReport]) -> [u64; 2] {
    let flows = reports.iter().filter(|report| report.end != "denied");
    let last: BTreeMap<u64, &FlowReport> = flows.map(|report| (report.flow, report)).collect();
    let of = |add: fn(&FlowReport) -> u64| last.values().map(|report| add(report)).sum();
    [of(|flow| flow.from.packets + flow.to.packets), of(|flow| flow.from.bytes + flow.to.bytes)]
}

fn path(lab: &Lab, name: &str) -> (PathBuf, String) {
    let path = lab.dir().join(name);
    let text = path.display().to_string();
    (path, text)
}

/// A file's text; of one that is not there yet, none.
fn text(path: &std::path::Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// The numbers of a field in a list of objects.
fn total(rows: &[Value], names: &[&str]) -> u64 {
    rows.iter().flat_map(|row| names.iter().map(|name| row[*name].as_u64().unwrap_or_default())).sum()
}
