//! What others do does not take from a guest what it is promised.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, ipproto, sendto, socket_with};
use testbed::{GuestKind, GuestSpec, HostSpec, Lab, LabSpec, PolicySpec, Result, Underlay, wait_for};

use super::{LATER, Transfer, at_best, guest, measure};
use crate::policy::traffic::on;
use crate::{run, settle};

/// What the victim is promised, and receives.
const RATE: &str = "{ rate: 20Mbit }";
/// On the victim's host.
const MALLORY: &str = "10.1.0.66";
/// On the other one.
const FAR: &str = "10.1.0.67";
/// On the victim's host, and asleep.
const ASLEEP: &str = "10.1.0.68";
const ASLEEP_MAC: &str = "02:00:00:00:00:99";

pub fn the_victim_s_throughput() -> Result<()> {
    let lab = Lab::up(spec())?;
    let mac = run(lab.guest("red/far"), "cat /sys/class/net/eth0/address")?;
    for (other, mac) in [(FAR, mac.trim()), (ASLEEP, ASLEEP_MAC)] {
        run(lab.guest("red/mallory"), &format!("ip neigh replace {other} lladdr {mac} dev eth0"))?;
    }
    // What it is sent it does not answer.
    run(lab.guest("red/far"), &format!("ip route add blackhole {MALLORY}/32"))?;
    lab.smol().pause();

    let transfer = Transfer::start(&lab, "blue/b", ("blue/a", "10.1.0.11"), "")?;
    let rate = || measure(&lab, &[&transfer], 6_000_000).map(|seen| seen[0].1.rate_since(&seen[0].0, 24));
    let alone = rate()?;
    for (name, to, packet) in [
        ("small packets", FAR, Packet::Small),
        ("nothing but SYNs", FAR, Packet::Syn),
        ("tiny fragments", FAR, Packet::Fragment),
        ("to a guest that takes nothing", ASLEEP, Packet::Small),
    ] {
        let flood = Flood::start(&lab, "red/mallory", (MALLORY, to), packet)?;
        let beside = at_best(rate, |beside| *beside >= alone * 0.95)?;
        let sent = flood.end()?;
        println!("{name}: {:.1} % beside {sent} packets", beside / alone * 100.0);
        assert!(beside >= alone * 0.95, "{name}: {beside:.0} bit/s, {alone:.0} alone");
    }
    drop(transfer);
    lab.smol().resume();
    let ledgers = settle(&lab)?;
    let here = &ledgers["hv-a"];
    // All of it has come to the switch, and nothing of it has taken from the victim.
    assert!(here.ports["red/mallory"].rx > 20_000 && here.drops("session_rate") > 1_000, "{here:?}");
    let asleep: u64 = here.ports["red/asleep"].drops.values().sum();
    assert!(asleep > 1_000, "{here:?}");
    assert_eq!(here.ports["blue/a"].drops.values().sum::<u64>(), 0, "{here:?}");
    Ok(())
}

fn spec() -> LabSpec {
    let asleep = GuestSpec::new("red/asleep", "front", "hv-a", ASLEEP, GuestKind::Smol);
    LabSpec::new(Underlay::Veth)
        .host(HostSpec::new("hv-a", "198.51.100.1"))
        .host(HostSpec::new("hv-b", "198.51.100.2"))
        .segment("blue", "front", 1001, "10.1.0.0/24")
        .segment("red", "front", 1002, "10.1.0.0/24")
        .policy("blue", PolicySpec::allow_all())
        .policy("red", PolicySpec::deny_all().allow("floods", "any", "any", &["udp/5000", "tcp/5000"]))
        .document("red", "sessions: { rate: 2000/s }")
        .with(guest("blue/a", "hv-a", "10.1.0.11"))
        .with(guest("blue/b", "hv-b", "10.1.0.12").qos(RATE))
        .with(guest("red/mallory", "hv-a", MALLORY))
        .with(guest("red/far", "hv-b", FAR))
        .with(asleep.mac(ASLEEP_MAC))
}

/// What a guest floods another with.
#[derive(Clone, Copy)]
enum Packet {
    /// A datagram of one flow.
    Small,
    /// The first of a connection, each of another.
    Syn,
    /// The first eight bytes of a datagram, each of another.
    Fragment,
}

impl Packet {
    /// The n-th, with its IPv4 header, of which the kernel writes length and checksum.
    fn bytes(self, from: Ipv4Addr, to: Ipv4Addr, n: u64) -> Vec<u8> {
        let scattered = (n as u32).wrapping_mul(0x9e37_79b9);
        let (protocol, fragment, ports) = match self {
            Self::Small => (17, 0, [40_000, 5000]),
            Self::Syn => (6, 0, [scattered as u16 | 1024, 5000]),
            Self::Fragment => (17, 1 << 13, [40_000, 5000]),
        };
        let mut packet = vec![0x45, 0, 0, 0];
        packet.extend((scattered as u16).to_be_bytes());
        packet.extend(u16::to_be_bytes(fragment));
        packet.extend([64, protocol, 0, 0]);
        packet.extend(from.octets().into_iter().chain(to.octets()));
        packet.extend(ports.into_iter().flat_map(u16::to_be_bytes));
        match self {
            // A datagram of 8 bytes, of which nothing more is to come; or the first 8 of 1,000.
            Self::Small => packet.extend([0, 8, 0, 0]),
            Self::Fragment => packet.extend([3, 232, 0, 0]),
            Self::Syn => packet.extend([0, 0, 0, 0, 0, 0, 0, 0, 0x50, 2, 32, 0, 0, 0, 0, 0]),
        }
        packet
    }
}

/// Packets of one guest to another, as many as it can, until it is ended.
struct Flood {
    state: Arc<State>,
    work: Option<JoinHandle<Result<()>>>,
}

#[derive(Default)]
struct State {
    enough: AtomicBool,
    sent: AtomicU64,
}

impl Flood {
    /// Begins it, and waits until it is under way.
    fn start(lab: &Lab, at: &str, (from, to): (&str, &str), packet: Packet) -> Result<Self> {
        let protocol = Some(ipproto::RAW);
        let socket = lab.namespace(at).inside(|| {
            let flags = SocketFlags::CLOEXEC;
            on("a raw socket", socket_with(AddressFamily::INET, SocketType::RAW, flags, protocol))
        })?;
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        let address = |text: &str| text.parse().unwrap_or(Ipv4Addr::UNSPECIFIED);
        let ends = (address(from), address(to));
        let work = thread::spawn(move || flood(&socket, ends, packet, &shared));
        let flood = Self { state, work: Some(work) };
        wait_for(LATER, "a flood to be under way", || {
            Ok((flood.state.sent.load(Ordering::Relaxed) > 10_000).then_some(()))
        })?;
        Ok(flood)
    }

    /// Ends it. Returns how many packets were sent.
    fn end(mut self) -> Result<u64> {
        self.state.enough.store(true, Ordering::Relaxed);
        self.work.take().map_or(Ok(()), |work| work.join().expect("no panic"))?;
        Ok(self.state.sent.load(Ordering::Relaxed))
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.state.enough.store(true, Ordering::Relaxed);
    }
}

fn flood(socket: &OwnedFd, (from, to): (Ipv4Addr, Ipv4Addr), packet: Packet, state: &State) -> Result<()> {
    for n in 0.. {
        if state.enough.load(Ordering::Relaxed) {
            break;
        }
        let bytes = packet.bytes(from, to, n);
        match sendto(socket, &bytes, SendFlags::empty(), &SocketAddrV4::new(to, 0)) {
            // Its device's queue is full: it goes on.
            Err(rustix::io::Errno::NOBUFS) => {}
            result => on("flooding", result).map(drop)?,
        }
        state.sent.store(n, Ordering::Relaxed);
    }
    Ok(())
}
