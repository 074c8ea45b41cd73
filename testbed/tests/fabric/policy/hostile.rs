//! A guest that floods and scans: others of the same switch go on, what was dropped has names, and sessions stay within
//! their bounds.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, ipproto, sendto, socket_with};
use testbed::{GuestKind, GuestSpec, HostSpec, Lab, LabSpec, PolicySpec, Result, Underlay, wait_for};

use super::streams::Stream;
use super::traffic::{at, exchange, listener, on, pair};
use super::{drops, sessions};
use crate::{SOON, run, settle};

const WEB: (&str, &str) = ("blue/web", "10.1.0.11");
/// On the other host.
const FAR: (&str, &str) = ("blue/far", "10.1.0.12");
/// On the same host.
const NEAR: (&str, &str) = ("blue/near", "10.1.0.13");
/// Who floods, on the same host as well.
const MALLORY: (&str, &str) = ("blue/mallory", "10.1.0.66");

/// Sessions that nobody has answered which each guest may have.
const OPENING: u64 = 100;

pub fn floods_and_scans() -> Result<()> {
    let lab = Lab::up(spec())?;
    let listening = |(name, address): (&str, &str)| listener(&lab, name, at(address, 5000));
    let listeners = [listening(FAR)?, listening(NEAR)?];
    let open = |which: usize| pair(&lab, WEB.0, at([FAR, NEAR][which].1, 5000), &listeners[which]);
    let [client, server] = open(0)?;
    let stream = Stream::start(client, server, 1)?;
    // It never answers the flood, so that what was begun stays so.
    run(lab.guest(FAR.0), &format!("ip route add blackhole {}", MALLORY.1))?;
    let mac = run(lab.guest(FAR.0), "cat /sys/class/net/eth0/address")?;
    run(lab.guest(MALLORY.0), &format!("ip neigh replace {} lladdr {} dev eth0", FAR.1, mac.trim()))?;

    let flood = Flood::start(&lab, |number| (10_000 + number % 50_000, 5000))?;
    wait_for(SOON, "a flood to be held back", || Ok((denied(&lab, "session_rate")? > 5_000).then_some(())))?;
    for round in 0..5 {
        exchange(&open(0)?, 200_000, round)?;
        exchange(&open(1)?, 200_000, round)?;
        stream.wait_for_more()?;
        // Besides the flood's, there are the stream's and those that were closed a moment ago.
        let (here, there) = (sessions(&lab, "hv-a")?, sessions(&lab, "hv-b")?);
        assert!(here <= OPENING + 11 && there <= OPENING + 6, "{here} and {there} sessions");
    }
    flood.end()?;

    let scan = Flood::start(&lab, |number| (40_000, 1 + number % 4_000))?;
    wait_for(SOON, "a scan to be denied", || Ok((denied(&lab, "policy_denied")? > 300).then_some(())))?;
    stream.wait_for_more()?;
    exchange(&open(0)?, 200_000, 9)?;
    scan.end()?;

    assert!(stream.finish()? > 100_000);
    let ledgers = settle(&lab)?;
    for (host, port) in [("hv-a", WEB.0), ("hv-a", NEAR.0), ("hv-b", FAR.0)] {
        for reason in
            ["policy_denied", "session_rate", "session_quota", "tcp_out_of_window", "tcp_no_session"]
        {
            assert_eq!(ledgers[host].ports[port].drops.get(reason), None, "{port}: {ledgers:?}");
        }
    }
    Ok(())
}

fn spec() -> LabSpec {
    let guest = |(name, address): (&str, &str), host, group| {
        GuestSpec::new(name, "front", host, address, GuestKind::Netns).groups(&[group])
    };
    let policy = PolicySpec::deny_all().allow("web-to-db", "web", "db", &["tcp/5000-5999"]).allow(
        "other-to-db",
        "other",
        "db",
        &["tcp/5000-5999"],
    );
    LabSpec::new(Underlay::Veth)
        .host(HostSpec::new("hv-a", "198.51.100.1"))
        .host(HostSpec::new("hv-b", "198.51.100.2"))
        .segment("blue", "front", 1001, "10.1.0.0/24")
        .policy("blue", policy)
        .document("blue", &format!("sessions: {{ max: 1000, opening: {OPENING}, rate: 2000/s }}"))
        .with(guest(WEB, "hv-a", "web"))
        .with(guest(FAR, "hv-b", "db"))
        .with(guest(NEAR, "hv-a", "db"))
        .with(guest(MALLORY, "hv-a", "other").sessions("{ rate: 500/s }"))
}

/// What was dropped of what the guest that floods sent.
fn denied(lab: &Lab, reason: &str) -> Result<u64> {
    drops(lab, "hv-a", Some(MALLORY.0), reason)
}

/// SYNs of the guest that floods, to [`FAR`], until it is ended.
struct Flood {
    enough: Arc<AtomicBool>,
    work: Option<JoinHandle<Result<()>>>,
}

impl Flood {
    /// `ports` are the source and the destination of the n-th.
    fn start(lab: &Lab, ports: impl Fn(u16) -> (u16, u16) + Send + 'static) -> Result<Self> {
        let tcp = Some(ipproto::TCP);
        let socket = lab.namespace(MALLORY.0).inside(|| {
            on("a raw socket", socket_with(AddressFamily::INET, SocketType::RAW, SocketFlags::CLOEXEC, tcp))
        })?;
        let enough = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&enough);
        let work = thread::spawn(move || flood(&socket, ports, &ended));
        Ok(Self { enough, work: Some(work) })
    }

    fn end(mut self) -> Result<()> {
        self.enough.store(true, Ordering::Relaxed);
        self.work.take().map_or(Ok(()), |work| work.join().expect("no panic"))
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.enough.store(true, Ordering::Relaxed);
    }
}

fn flood(socket: &OwnedFd, ports: impl Fn(u16) -> (u16, u16), enough: &AtomicBool) -> Result<()> {
    let address = |text: &str| text.parse().unwrap_or(Ipv4Addr::UNSPECIFIED);
    let (from, to) = (address(MALLORY.1), address(FAR.1));
    for number in (0..u16::MAX).cycle() {
        if enough.load(Ordering::Relaxed) {
            break;
        }
        let segment = syn(from, to, ports(number));
        on("flooding", sendto(socket, &segment, SendFlags::empty(), &SocketAddrV4::new(to, 0)))?;
        if number % 64 == 0 {
            // There are others on these processors.
            thread::sleep(Duration::from_micros(200));
        }
    }
    Ok(())
}

/// A SYN without options, with its checksum.
fn syn(from: Ipv4Addr, to: Ipv4Addr, (source, destination): (u16, u16)) -> [u8; 20] {
    let mut segment = [0; 20];
    segment[..2].copy_from_slice(&source.to_be_bytes());
    segment[2..4].copy_from_slice(&destination.to_be_bytes());
    // Five words of header, SYN, a window.
    segment[12..16].copy_from_slice(&[0x50, 0x02, 0x40, 0x00]);
    let pseudo = [&from.octets()[..], &to.octets(), &[0, 6, 0, 20], &segment].concat();
    let words = pseudo.chunks_exact(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    segment[16..18].copy_from_slice(&(!(folded as u16)).to_be_bytes());
    segment
}
