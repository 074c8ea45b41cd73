//! Records of flows, read from the memory of running switches: each packet is in one, however the flow ended.

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use libtest_mimic::Trial;
use rustix::process::Signal;
use testbed::scope::{Exit, Process, Spawn};
use testbed::{
    Error, Faults, GuestKind, GuestSpec, HostSpec, Lab, LabSpec, PolicySpec, Result, Underlay, host, wait_for,
};
use weft::flows::{Flows, Missed, Told};
use weft::report::FlowReport;
use weft::shm::{self, Reader};

use crate::policy::traffic::{
    Attempt, at, connection, datagrams, exchange, listener, on, pair, read, receive, send, write,
};
use crate::{SOON, ping, root, run, settle};

pub fn trials() -> Vec<Trial> {
    vec![
        root("flows: records add up to the ports' counters, however flows end", adds_up),
        root("flows: round trips are the wire's", round_trips),
        root("flows: what is sent again is what the kernel sent again", sent_twice),
    ]
}

const WEB: (&str, &str) = ("blue/web", "10.1.0.11");
/// On the other host.
const FAR: (&str, &str) = ("blue/far", "10.1.0.12");
/// On the same host.
const NEAR: (&str, &str) = ("blue/near", "10.1.0.13");
const HOSTS: [&str; 2] = ["hv-a", "hv-b"];

fn adds_up() -> Result<()> {
    let mut lab = Lab::up(spec(&["tcp/5000-5999", "udp/6000-8999", "icmp/8"]))?;
    let watched = HOSTS.map(|host| Watched::start(&lab, host));
    let [here, there] = watched;
    let (here, there) = (here?, there?);
    let stopped = Stopped::start(&lab)?;
    for peer in [FAR, NEAR] {
        ping(lab.guest(WEB.0), peer.1)?;
        let listener = listener(&lab, peer.0, at(peer.1, 5000))?;
        for round in 0..100 {
            exchange(&pair(&lab, WEB.0, at(peer.1, 5000), &listener)?, 20_000, round)?;
        }
        // Nobody listens: refused.
        assert!(connection(&lab, WEB.0, at(peer.1, 5001)).is_err());
        // Two thousand flows that nobody answers, more than may be open at once.
        let socket = datagrams(&lab, WEB.0, at(WEB.1, 0))?;
        for port in 6000..8000 {
            // What an ICMP error of an earlier one says is told here.
            let _ = socket.send_to(b"is anybody there?", at(peer.1, port));
        }
        // Not allowed.
        let socket = datagrams(&lab, WEB.0, at(WEB.1, 0))?;
        for port in 9000..9010 {
            let _ = socket.send_to(b"let me in", at(peer.1, port));
        }
        Attempt::begin(&lab, WEB.0, at(peer.1, 6000))?.assert_unanswered()?;
    }
    // Readers that come and go change nothing.
    for host in HOSTS {
        drop(open(&lab, host)?);
    }
    others_read(&lab)?;
    wait_for(SOON, "a flow of each end but those to come", || {
        let seen = here.ends();
        Ok(["closed", "reset", "timed-out", "evicted", "denied"]
            .iter()
            .all(|end| seen.contains(*end))
            .then_some(()))
    })?;
    lab.apply(&spec(&["tcp/5000-5999", "icmp/8"]))?;
    wait_for(SOON, "flows to be revoked", || Ok(here.ends().contains("revoked").then_some(())))?;
    let listener = listener(&lab, FAR.0, at(FAR.1, 5002))?;
    // Neither side is done with it when the switches stop.
    let open = pair(&lab, WEB.0, at(FAR.1, 5002), &listener)?;
    question_and_answer(&open)?;
    // What the neighbours of the underlay have to say goes on; flows come to rest.
    for guest in [WEB, FAR, NEAR] {
        run(lab.guest(guest.0), "ip link set eth0 arp off")?;
    }

    let ledgers = settle(&lab)?;
    drop(open);
    stopped.reads_on()?;
    for (host, watched) in HOSTS.into_iter().zip([here, there]) {
        let Seen { flows, missed, reader, denied } = watched.finish()?;
        assert_eq!(missed.lost, 0, "{host}: {missed:?}");
        let sum = |of: fn(&FlowReport) -> u64| flows.values().map(of).sum::<u64>();
        let packets = sum(|flow| flow.from.packets + flow.to.packets);
        let bytes = sum(|flow| flow.from.bytes + flow.to.bytes);
        assert!(flows.values().all(|flow| flow.event == "end"), "{host}: one has not ended");
        let worker = |name: &str| counter(&reader, "workers", 0, name);
        assert_eq!((packets, bytes), (worker("in_flows_packets"), worker("in_flows_bytes")), "{host}");
        // The same from the other side: what came to the ports, less what was no part of flows.
        let ledger = &ledgers[host];
        let refused: u64 = ledger.ports.values().flat_map(|port| port.drops.values()).sum();
        let came: u64 = ledger.ports.values().map(|port| port.rx).sum();
        let consumed = ledger.totals["consumed"];
        assert_eq!(packets + worker("of_no_flow_packets") + refused + consumed, came, "{host}: {ledger:?}");
        assert_eq!(worker("records_withheld"), 0);
        println!("{host}: {} flows, {packets} packets, {bytes} bytes, {denied} denied", flows.len());
        if host == "hv-a" {
            assert!(flows.len() > 2_000 && denied >= 10, "{} flows, {denied} denied", flows.len());
            let ends: BTreeSet<&str> = flows.values().map(|flow| flow.end.as_str()).collect();
            let all = ["closed", "evicted", "reset", "revoked", "stopped", "timed-out"];
            assert!(all.iter().all(|end| ends.contains(end)), "{ends:?}");
        }
    }
    Ok(())
}

/// Programs in other languages read what a running switch has.
fn others_read(lab: &Lab) -> Result<()> {
    const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/stats");
    const HEADER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../src/shm");
    let program = lab.dir().join("flows");
    let made = Spawn::new("cc").args(["-std=c11", "-O1", "-I", HEADER, "-o"]).arg(&program);
    made.arg(format!("{EXAMPLES}/flows.c")).run(SOON)?.success("compiling the example in C")?;
    let stats = lab.host("hv-a").socket(shm::FILE);
    let in_c = Spawn::new(&program).arg(&stats).run(SOON)?.success("the example in C")?;
    let in_python = Spawn::new("python3").arg(format!("{EXAMPLES}/flows.py")).arg(&stats).run(SOON)?;
    let in_python = in_python.success("the example in Python")?;
    for said in [in_c, in_python] {
        assert!(said.contains("port blue/web rx "), "{said}");
        assert!(said.contains(" 10.1.0.11:") && said.contains(" by web-to-db, "), "{said}");
        assert!(said.contains("worker 0: "), "{said}");
    }
    Ok(())
}

/// `weft flows --follow`, stopped before anything happens and let go on when the switch has ended.
struct Stopped(Process);

impl Stopped {
    fn start(lab: &Lab) -> Result<Self> {
        let dir = lab.dir().path().display().to_string();
        let arguments = ["flows", "--follow", "--json", "--all", "--host", "hv-a", "--runtime-dir", &dir];
        let process =
            Spawn::new(host::binary()?).args(arguments).named("stopped-flows").start_in(lab.dir())?;
        // It has the file open when it has printed something.
        ping(lab.guest(WEB.0), NEAR.1)?;
        process.wait_for_log("\"start\"", SOON)?;
        process.signal(Signal::STOP);
        Ok(Self(process))
    }

    /// What it missed meanwhile it still finds, and ends with the switch.
    fn reads_on(&self) -> Result<()> {
        self.0.signal(Signal::CONT);
        let exit = self.0.wait(SOON)?;
        let log = self.0.log();
        assert!(exit == Exit::Code(0) && log.contains("the switch has ended"), "{exit}");
        let told = |end: &str| log.matches(&format!("\"end\":\"{end}\"")).count();
        let (stopped, evicted) = (told("stopped"), told("evicted"));
        assert!(stopped > 0 && evicted > 0, "{stopped} and {evicted} of {} records", log.lines().count());
        Ok(())
    }
}

/// A wire that takes 20 ms each way.
const SLOW: Faults = Faults { delay: Duration::from_millis(20), ..Faults::NONE };

/// What a connection sends again is counted, where nothing is lost and where some is.
fn sent_twice() -> Result<()> {
    for (lost, bytes) in [(0.0, 300_000), (2.0, 2_000_000)] {
        let host = HostSpec::new("hv-a", "198.51.100.1").faults(Faults { lost, ..SLOW });
        let lab = Lab::up(spec_of(host, &["tcp/5000-5999"]))?;
        let watched = Watched::start(&lab, "hv-a")?;
        let listener = listener(&lab, FAR.0, at(FAR.1, 5000))?;
        let before = sent_again(&lab, WEB.0)?;
        let [client, server] = pair(&lab, WEB.0, at(FAR.1, 5000), &listener)?;
        thread::scope(|scope| {
            let sender = scope.spawn(|| send(&client, bytes, 3));
            receive(&server, bytes, 3)?;
            sender.join().expect("no panic")
        })?;
        send(&server, 1, 4)?;
        receive(&client, 1, 4)?;
        let again = sent_again(&lab, WEB.0)? - before;
        settle(&lab)?;
        let flows = of_port(watched.finish()?, 5000);
        let [flow] = &flows[..] else { panic!("one flow, not {flows:?}") };
        println!("{lost} % lost: {flow:?}, the kernel sent {again} again");
        // As seen from where it was sent, before the wire.
        let counted = flow.from.retransmitted;
        assert!(counted.abs_diff(again) as f64 <= (again as f64 * 0.05).max(1.0), "{counted}, not {again}");
        assert_eq!(flow.connect, "accepted");
    }
    Ok(())
}

/// Connections of which the quickest is timed: who waits for a core on a busy machine has not waited for the wire.
const CONNECTIONS: u64 = 30;

/// What a busy machine may add between a switch and a guest.
pub const SLACK: Duration = Duration::from_millis(1);

/// Times are no shorter than the wire's, and no longer than the guests' kernels have measured for the same connections.
fn round_trips() -> Result<()> {
    let host = HostSpec::new("hv-a", "198.51.100.1").faults(SLOW);
    let lab = Lab::up(spec_of(host, &["tcp/5000-5999"]))?;
    let [here, there] = HOSTS.map(|host| Watched::start(&lab, host));
    let (here, there) = (here?, there?);
    let listener = listener(&lab, FAR.0, at(FAR.1, 5000))?;
    let connections = (0..CONNECTIONS).map(|_| {
        let ends = pair(&lab, WEB.0, at(FAR.1, 5000), &listener)?;
        question_and_answer(&ends)?;
        Ok(ends)
    });
    let connections = connections.collect::<Result<Vec<_>>>()?;
    let by_client = least_round_trip(&lab, WEB.0, "dport = 5000")?;
    let by_server = least_round_trip(&lab, FAR.0, "sport = 5000")?;
    settle(&lab)?;
    drop(connections);
    let [here, there] = [here.finish()?, there.finish()?].map(|seen| of_port(seen, 5000));
    let least = |flows: &[FlowReport], of: fn(&FlowReport) -> Option<u64>| {
        assert_eq!(flows.len() as u64, CONNECTIONS, "{flows:?}");
        Duration::from_nanos(flows.iter().filter_map(of).min().expect("one of them"))
    };
    for (what, time, by_kernel) in [
        ("round trip from hv-a", least(&here, |flow| flow.to.rtt_least_ns), by_client),
        ("round trip from hv-b", least(&there, |flow| flow.from.rtt_least_ns), by_server),
        ("answer to the SYN", least(&here, |flow| flow.to.connect_ns), by_client),
        ("answer to that", least(&there, |flow| flow.from.connect_ns), by_server),
        ("first response", least(&here, |flow| flow.first_response_ns), by_client),
    ] {
        let what = format!("{what}: {time:?} (the kernel: {by_kernel:?})");
        println!("{what}");
        assert!(time >= 2 * SLOW.delay && time <= by_kernel.mul_f64(1.05) + SLACK, "{what}");
    }
    for (what, time) in [
        ("round trip to a guest of hv-a", least(&here, |flow| flow.from.rtt_least_ns)),
        ("round trip to a guest of hv-b", least(&there, |flow| flow.to.rtt_least_ns)),
    ] {
        println!("{what}: {time:?}");
        assert!(time < 2 * SLACK, "{what}: {time:?}");
    }
    Ok(())
}

/// The shortest round trip that a guest's kernel has measured for its open connections, of those that `ss` finds by `filter`.
pub fn least_round_trip(lab: &Lab, guest: &str, filter: &str) -> Result<Duration> {
    let said = run(lab.guest(guest), &format!("ss --tcp --info --numeric --oneline '{filter}'"))?;
    let times = said.split_whitespace().filter_map(|word| word.strip_prefix("minrtt:"));
    let least = times.filter_map(|millis| millis.parse().ok()).reduce(f64::min);
    let least = least.ok_or_else(|| Error::failed(format!("ss tells no minrtt of {guest}"), said.clone()))?;
    Ok(Duration::from_secs_f64(least / 1e3))
}

/// A question and an answer, through a connection that goes on.
fn question_and_answer([client, server]: &[TcpStream; 2]) -> Result<()> {
    write(client, 100, 1)?;
    read(server, 100, 1)?;
    write(server, 100, 2)?;
    read(client, 100, 2)
}

/// Segments that a guest's kernel has sent again.
pub fn sent_again(lab: &Lab, guest: &str) -> Result<u64> {
    let table = run(lab.guest(guest), "cat /proc/net/snmp")?;
    let mut rows = table.lines().filter_map(|line| line.strip_prefix("Tcp: "));
    let (names, values) = (rows.next().unwrap_or_default(), rows.next().unwrap_or_default());
    let found = names.split(' ').zip(values.split(' ')).find(|(name, _)| *name == "RetransSegs");
    Ok(found.and_then(|(_, value)| value.parse().ok()).unwrap_or_default())
}

/// The flows to this port.
fn of_port(seen: Seen, port: u16) -> Vec<FlowReport> {
    seen.flows.into_values().filter(|flow| flow.to.port == port).collect()
}

fn counter(reader: &Reader, section: &str, row: usize, name: &str) -> u64 {
    let table = reader.counters(section).ok().flatten();
    table.and_then(|table| table.value(row, name)).unwrap_or_else(|| panic!("no {section}.{name}"))
}

fn spec(services: &[&str]) -> LabSpec {
    spec_of(HostSpec::new("hv-a", "198.51.100.1"), services)
}

fn spec_of(host: HostSpec, services: &[&str]) -> LabSpec {
    let guest = |(name, address): (&str, &str), host, group: &str| {
        GuestSpec::new(name, "front", host, address, GuestKind::Netns).groups(&[group])
    };
    let timeouts = "{ icmp: 1s, tcp-time-wait: 1s, tcp-closed: 1s }";
    LabSpec::new(Underlay::Veth)
        .host(host)
        .host(HostSpec::new("hv-b", "198.51.100.2"))
        .sessions(&format!("{{ timeouts: {timeouts} }}"))
        .segment("blue", "front", 1001, "10.1.0.0/24")
        .policy("blue", PolicySpec::deny_all().allow("web-to-db", "web", "db", services))
        .document("blue", "sessions: { max: 3000, opening: 500 }")
        .with(guest(WEB, "hv-a", "web"))
        .with(guest(FAR, "hv-b", "db"))
        .with(guest(NEAR, "hv-a", "db"))
}

fn open(lab: &Lab, host: &str) -> Result<Flows> {
    let path = lab.host(host).socket(shm::FILE);
    Flows::open(&path, false).map_err(|error| Error::failed(error.to_string(), ""))
}

/// A reader that follows a switch to its end.
pub struct Watched {
    ends: Arc<std::sync::Mutex<BTreeSet<String>>>,
    gave_up: Arc<AtomicBool>,
    work: Option<JoinHandle<Result<Seen>>>,
}

/// What it has seen.
pub struct Seen {
    /// The last record of each flow.
    pub flows: BTreeMap<u64, FlowReport>,
    /// Records of what was not let begin.
    denied: u64,
    missed: Missed,
    reader: Reader,
}

impl Watched {
    pub fn start(lab: &Lab, host: &str) -> Result<Self> {
        let mut flows = open(lab, host)?;
        let ends = Arc::<std::sync::Mutex<BTreeSet<String>>>::default();
        let gave_up = Arc::new(AtomicBool::new(false));
        let (seen_ends, is_over) = (ends.clone(), gave_up.clone());
        let work = thread::spawn(move || {
            let (mut latest, mut denied) = (BTreeMap::new(), 0);
            loop {
                match flows.next().map_err(|error| Error::failed(error.to_string(), ""))? {
                    Told::Flow(flow) => {
                        seen_ends.lock().expect("no panic").insert(flow.end.clone());
                        if flow.end == "denied" {
                            denied += 1;
                        } else {
                            latest.insert(flow.flow, *flow);
                        }
                    }
                    Told::Lost(_) => {}
                    Told::Nothing if is_over.load(Ordering::Relaxed) => break,
                    Told::Nothing => thread::sleep(Duration::from_millis(1)),
                    Told::Ended => break,
                }
            }
            Ok(Seen { flows: latest, denied, missed: flows.missed(), reader: flows.reader().clone() })
        });
        Ok(Self { ends, gave_up, work: Some(work) })
    }

    /// How flows have ended so far.
    fn ends(&self) -> BTreeSet<String> {
        self.ends.lock().expect("no panic").clone()
    }

    /// What it has seen when the switch has ended.
    pub fn finish(mut self) -> Result<Seen> {
        let work = self.work.take().ok_or_else(|| Error::failed("finished twice".to_owned(), ""))?;
        wait_for(SOON, "a reader to see the end", || Ok(work.is_finished().then_some(())))?;
        on("reading", work.join().map_err(|_| std::io::Error::other("a panic")))?
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.gave_up.store(true, Ordering::Relaxed);
    }
}
