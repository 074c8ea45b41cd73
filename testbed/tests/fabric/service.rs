//! How services do by pair of groups, and how long packets take in the switch: against a wire of known delay, and servers that
//! take a known time.

use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use testbed::scope::Spawn;
use testbed::{
    Error, Faults, GuestKind, GuestSpec, HostSpec, Lab, LabSpec, PolicySpec, Result, Underlay, host, wait_for,
};
use weft::report::{LatencyReport, ServiceReport};

use crate::policy::traffic::{Attempt, accept, at, connection, datagrams, listener, on, read, write};
use crate::{SOON, ping, root, settle};

pub fn trials() -> Vec<Trial> {
    vec![root("service: times are the wire's and the servers', and outcomes what came of it", service)]
}

const WEB: (&str, &str) = ("blue/web", "10.1.0.11");
/// On the other host.
const FAR: (&str, &str) = ("blue/far", "10.1.0.12");
/// The wire takes so long each way.
const DELAY: Duration = Duration::from_millis(20);
/// The servers take so long.
const WORK: Duration = Duration::from_millis(15);
const CONNECTIONS: u64 = 20;
/// Codes that the DNS server answers with, by how often.
const CODES: [(u8, u64); 4] = [(0, 12), (3, 6), (2, 2), (5, 1)];
/// One that it does not answer.
const SILENT: u8 = 15;

fn service() -> Result<()> {
    let mut lab = Lab::up(spec(&[]))?;
    ping(lab.guest(WEB.0), FAR.1)?;
    let listener = listener(&lab, FAR.0, at(FAR.1, 5000))?;
    let (mut connects, mut responses, mut answers) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..CONNECTIONS {
        let start = Instant::now();
        let client = connection(&lab, WEB.0, at(FAR.1, 5000))?;
        connects.push(start.elapsed());
        let server = accept(&listener)?;
        let start = Instant::now();
        write(&client, 100, 1)?;
        read(&server, 100, 1)?;
        thread::sleep(WORK);
        write(&server, 100, 2)?;
        read(&client, 100, 2)?;
        responses.push(start.elapsed());
    }
    // Nobody listens, and not allowed.
    assert!(connection(&lab, WEB.0, at(FAR.1, 5001)).is_err());
    Attempt::begin(&lab, WEB.0, at(FAR.1, 22))?.assert_unanswered()?;
    let server = DnsServer::start(&lab)?;
    for (code, count) in CODES {
        for _ in 0..count {
            answers.push(ask(&lab, code)?);
        }
    }
    ask_in_vain(&lab)?;
    server.finish()?;

    let queries: u64 = CODES.iter().map(|(_, count)| count).sum::<u64>() + 1;
    let is_told = |of: &ServiceReport| {
        let of_connections = &of.connections;
        of_connections.ok == CONNECTIONS
            && of_connections.refused == 1
            && of.connect.samples == CONNECTIONS
            && of.response.samples == CONNECTIONS
            && of.dns.queries == queries
            && of.dns.time.samples == queries - 1
    };
    let [here, there] = ["hv-a", "hv-b"].map(|host| {
        wait_for(SOON, "what was done to be told", || {
            Ok(services(&lab, host)?
                .into_iter()
                .find(|of| (&*of.client, &*of.server) == ("web", "db") && is_told(of)))
        })
    });
    let (here, there) = (here?, there?);
    println!("{}", show(&lab, "hv-a", &["service"])?);
    for (host, of) in [("hv-a", &here), ("hv-b", &there)] {
        let counts = &of.connections;
        assert_eq!((counts.ok, counts.refused, counts.timed_out), (CONNECTIONS, 1, 0), "{host}");
        let dns = &of.dns;
        let codes = [dns.noerror, dns.nxdomain, dns.servfail, dns.refused, dns.other];
        assert_eq!((dns.queries, codes), (queries, [12, 6, 2, 1, 0]), "{host}");
    }
    // Policy denies where it is sent.
    assert!(here.connections.denied >= 1 && there.connections.denied == 0, "{here:?} {there:?}");
    // A busy machine makes the wire and the servers slower than they say, and clients see that too.
    let [connected, responded, answered] = [connects, responses, answers].map(median);
    let (both_ways, no_way) = (2 * DELAY, Duration::ZERO);
    for (what, time, least, seen) in [
        ("connect from hv-a", &here.connect, both_ways, connected),
        ("connect from hv-b", &there.connect, both_ways, connected),
        ("round trip to the server from hv-a", &here.server_rtt, both_ways, connected),
        ("round trip to the client from hv-b", &there.client_rtt, both_ways, connected),
        ("round trip to the client from hv-a", &here.client_rtt, no_way, no_way),
        ("round trip to the server from hv-b", &there.server_rtt, no_way, no_way),
        ("response from hv-a", &here.response, both_ways + WORK, responded),
        ("response from hv-b", &there.response, WORK, responded - both_ways),
        ("dns from hv-a", &here.dns.time, both_ways + WORK, answered),
        ("dns from hv-b", &there.dns.time, WORK, answered - both_ways),
    ] {
        let p50 = time.p50_ns.unwrap_or_default() as f64 / 1e6;
        let [least, seen] = [least, seen].map(|time| time.as_secs_f64() * 1e3);
        println!("{what}: {p50:.3} ms, {least} at least, the client saw {seen:.3}, {} samples", time.samples);
        // Beside the width of a cell, what two kernels take to wake who waits.
        let is_near = p50 >= least * 0.965 && p50 <= seen * 1.05 + 1.0;
        assert!(is_near, "{what}: {p50:.3} ms, {least} at least, and the client saw {seen:.3}");
    }
    // What was counted stays with its groups when others come before them.
    lab.apply(&spec(&["early", "earlier"]))?;
    let after = services(&lab, "hv-a")?.into_iter().find(|of| of.client == "web" && of.server == "db");
    assert_eq!(after.map(|of| of.connect.samples), Some(CONNECTIONS));

    let latency: Vec<LatencyReport> = json(&show(&lab, "hv-a", &["latency", "--json"])?)?;
    println!("{}", show(&lab, "hv-a", &["latency"])?);
    let [LatencyReport { worker: 0, time }] = &latency[..] else { panic!("{latency:?}") };
    // On a machine that others use too, one may be put off for long; most are not.
    assert!(time.samples >= 5 && time.p50_ns.is_some_and(|ns| ns < 2_000_000), "{time:?}");
    let error =
        show(&lab, "hv-a", &["service", "--tenant", "green"]).expect_err("no such tenant").to_string();
    assert!(error.contains("host hv-a has no tenant green; `weft show tenants` lists them"), "{error}");
    settle(&lab).map(drop)
}

fn spec(more: &[&str]) -> LabSpec {
    let guest = |(name, address): (&str, &str), host, groups: &[&str]| {
        GuestSpec::new(name, "front", host, address, GuestKind::Netns).groups(groups)
    };
    let faults = Faults { delay: DELAY, ..Faults::default() };
    let policy =
        PolicySpec::deny_all().allow("web-to-db", "web", "db", &["tcp/5000-5999", "udp/53", "icmp/8"]);
    let mut spec = LabSpec::new(Underlay::Veth)
        .host(HostSpec::new("hv-a", "198.51.100.1").faults(faults))
        .host(HostSpec::new("hv-b", "198.51.100.2"))
        .segment("blue", "front", 1001, "10.1.0.0/24")
        .policy("blue", policy)
        .with(guest(WEB, "hv-a", &["web"]))
        .with(guest(FAR, "hv-b", &["db"]));
    for (index, group) in more.iter().enumerate() {
        let (name, address) = (format!("blue/{group}"), format!("10.1.0.{}", 20 + index));
        spec = spec.with(guest((&name, &address), "hv-b", &[group]));
    }
    spec
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// `weft show` of a host's switch.
fn show(lab: &Lab, host: &str, what: &[&str]) -> Result<String> {
    let dir = lab.dir().path().display().to_string();
    let command = Spawn::new(host::binary()?).arg("show").args(what);
    command.args(["--host", host, "--runtime-dir", &dir]).run(SOON)?.success("weft show")
}

fn services(lab: &Lab, host: &str) -> Result<Vec<ServiceReport>> {
    json(&show(lab, host, &["service", "--json"])?)
}

fn json<T: serde::de::DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| Error::failed(error.to_string(), text))
}

/// A DNS server that takes its time and answers as the query's identifier says: its lowest four bits are the code.
struct DnsServer(JoinHandle<Result<()>>);

impl DnsServer {
    fn start(lab: &Lab) -> Result<Self> {
        let socket = datagrams(lab, FAR.0, at(FAR.1, 53))?;
        on("a patient server", socket.set_read_timeout(Some(SOON)))?;
        Ok(Self(thread::spawn(move || {
            let mut message = [0; 512];
            loop {
                let (len, from) = on("a query", socket.recv_from(&mut message))?;
                let received = Instant::now();
                let code = message[1] & 0xf;
                if code == SILENT {
                    return Ok(());
                }
                // QR, and recursion available.
                (message[2], message[3]) = (message[2] | 0x80, 0x80 | code);
                thread::sleep(WORK.saturating_sub(received.elapsed()));
                on("a response", socket.send_to(&message[..len], from))?;
            }
        })))
    }

    fn finish(self) -> Result<()> {
        on("the server", self.0.join().map_err(|_| std::io::Error::other("a panic")))?
    }
}

/// A standard query for the addresses of `weft.test` (RFC 1035, section 4.1), to be answered with this code.
fn query(code: u8) -> Vec<u8> {
    let mut query = vec![0x40, code, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    query.extend(b"\x04weft\x04test\x00\x00\x01\x00\x01");
    query
}

/// Asks as resolvers do: from a socket of its own. How long it took.
fn ask(lab: &Lab, code: u8) -> Result<Duration> {
    let socket = datagrams(lab, WEB.0, at(WEB.1, 0))?;
    on("a patient client", socket.set_read_timeout(Some(SOON)))?;
    let start = Instant::now();
    on("asking", socket.send_to(&query(code), at(FAR.1, 53)))?;
    let mut answer = [0; 512];
    let (len, _) = on("an answer", socket.recv_from(&mut answer))?;
    let took = start.elapsed();
    assert_eq!((answer[3] & 0xf, &answer[12..len]), (code, &query(code)[12..]));
    Ok(took)
}

fn ask_in_vain(lab: &Lab) -> Result<()> {
    let socket = datagrams(lab, WEB.0, at(WEB.1, 0))?;
    on("asking in vain", socket.send_to(&query(SILENT), at(FAR.1, 53))).map(drop)
}
