//! What tenants and endpoints are promised, and held to, with Linux' own TCP on two hosts.
//!
//! What is measured is what a guest's own kernel has counted as received, between two moments of which each comes when
//! so much has been received: on a slow machine they are farther apart.

mod delay;
mod marks;
mod noise;
mod rates;

use std::fs;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use testbed::scope::{Process, Spawn};
use testbed::{Error, GuestKind, GuestSpec, HostSpec, Lab, LabSpec, Result, Underlay, wait_for};

use crate::root;

pub fn trials() -> Vec<Trial> {
    vec![
        root("qos: tenants share an uplink by their weights", rates::by_weight),
        root("qos: what is assured is kept", rates::what_is_assured),
        root("qos: an endpoint sends and is sent its rate, also another one", rates::an_endpoint_s),
        root("qos: tcp's queue keeps near the target, with and without ecn", delay::near_the_target),
        root("qos: a strict class does not wait for another", delay::a_strict_class),
        root("qos: dscp and ecn cross the tunnel to linux", marks::to_linux),
        root("qos: dscp and ecn cross the tunnel from linux", marks::from_linux),
        root(
            "qos: floods and a guest that takes nothing leave others their throughput",
            noise::the_victim_s_throughput,
        ),
    ]
}

/// For how long something is measured again before the worst is believed: on this machine a worker may not have a core of
/// its own, and then all takes longer.
const PATIENCE: Duration = Duration::from_secs(75);

/// Measures until what was measured is good. Returns the last.
fn at_best<T>(mut measure: impl FnMut() -> Result<T>, is_good: impl Fn(&T) -> bool) -> Result<T> {
    let begun = Instant::now();
    loop {
        let seen = measure()?;
        if is_good(&seen) || begun.elapsed() > PATIENCE {
            return Ok(seen);
        }
    }
}

/// The longest that a transfer may take.
const LATER: Duration = Duration::from_secs(200);

/// Two hosts, and of two tenants each a guest on both; `tenants` and the sending guest of blue have this `qos`.
fn spec(uplink: Option<&str>, tenants: [&str; 2]) -> LabSpec {
    let first = HostSpec::new("hv-a", "198.51.100.1");
    let first = uplink.map_or(first.clone(), |rate| first.uplink_rate(rate));
    let mut spec = LabSpec::new(Underlay::Veth).host(first).host(HostSpec::new("hv-b", "198.51.100.2"));
    for (n, (tenant, qos)) in ["blue", "red"].into_iter().zip(tenants).enumerate() {
        if n == 0 || uplink.is_some() {
            spec = spec.segment(tenant, "front", 1001 + n as u32, "10.1.0.0/24").document(tenant, qos);
        }
    }
    spec
}

/// A guest in a namespace.
fn guest(name: &str, host: &str, ip: &str) -> GuestSpec {
    GuestSpec::new(name, "front", host, ip, GuestKind::Netns)
}

/// A transfer by iperf3 that goes on until it is dropped.
struct Transfer {
    _client: Process,
    _server: Process,
    to: String,
}

impl Transfer {
    /// Begins it.
    fn start(lab: &Lab, from: &str, (to, ip): (&str, &str), more: &str) -> Result<Self> {
        let server = lab.namespace(to).spawn(Spawn::shell("exec iperf3 --server --one-off --forceflush"))?;
        server.wait_for_log("Server listening", LATER)?;
        let command = format!("exec iperf3 --client {ip} --parallel 4 --time {} {more}", LATER.as_secs());
        let client = lab.namespace(from).spawn(Spawn::shell(&command))?;
        Ok(Self { _client: client, _server: server, to: to.to_owned() })
    }

    /// What has arrived so far.
    fn arrived(&self, lab: &Lab) -> Result<Arrived> {
        arrived(lab, &self.to)
    }
}

/// What a guest has received since it is there.
#[derive(Clone, Copy, Debug)]
struct Arrived {
    at: Instant,
    packets: u64,
    bytes: u64,
}

impl Arrived {
    /// Bits a second since `before`, with so many bytes more for each packet.
    fn rate_since(&self, before: &Self, overhead: u64) -> f64 {
        let bytes = self.bytes - before.bytes + (self.packets - before.packets) * overhead;
        bytes as f64 * 8.0 / self.at.duration_since(before.at).as_secs_f64()
    }
}

fn arrived(lab: &Lab, guest: &str) -> Result<Arrived> {
    lab.namespace(guest).inside(|| {
        const TABLE: &str = "/proc/thread-self/net/dev";
        let text = fs::read_to_string(TABLE)
            .map_err(|source| Error::Io { what: format!("reading {TABLE}"), source })?;
        let at = Instant::now();
        let rows = text.lines().filter_map(|line| line.split_once(':'));
        let counts = rows.filter(|(device, _)| device.trim() != "lo").map(|(_, counts)| {
            let mut numbers = counts.split_whitespace().map(|n| n.parse::<u64>().unwrap_or(0));
            (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
        });
        let (bytes, packets) = counts.fold((0, 0), |sum, row| (sum.0 + row.0, sum.1 + row.1));
        Ok(Arrived { at, packets, bytes })
    })
}

/// What arrives of each transfer while so many bytes of all arrive, once each has brought a part of that.
fn measure(lab: &Lab, transfers: &[&Transfer], bytes: u64) -> Result<Vec<(Arrived, Arrived)>> {
    let all = || transfers.iter().map(|transfer| transfer.arrived(lab)).collect::<Result<Vec<_>>>();
    let warm = bytes / 10 / transfers.len() as u64;
    let start = all()?;
    let before = wait_for(LATER, "the transfers to be under way", || {
        let now = all()?;
        let each = now.iter().zip(&start).all(|(now, start)| now.bytes - start.bytes >= warm);
        Ok(each.then_some(now))
    })?;
    wait_for(LATER, "the transfers to bring enough", || {
        let now = all()?;
        let brought: u64 = now.iter().zip(&before).map(|(now, before)| now.bytes - before.bytes).sum();
        Ok((brought >= bytes).then(|| before.iter().copied().zip(now).collect()))
    })
}
