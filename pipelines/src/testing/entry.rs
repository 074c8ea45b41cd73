//! What the fuzzers call: any bytes, taken as a script of what a host of the lab receives.
//!
//! A script is a byte of settings, then frames: a byte of flags, two of length, and so many bytes. What panics, or
//! leaves the books of [`Bed`] unbalanced, is a finding.

use core::time::Duration;

use super::frames::{self, udp4};
use super::lab::endpoint::{DB1, DB2, WEB1};
use super::lab::{BLUE, Lab, host, mac, port, vtep};
use super::policies::{self, DB, WEB, rule};
use super::{Bed, packets};
use crate::flow::{Limits, Settings};
use crate::ids::PortId;
use crate::policy::{Action, Rule, Service, Side};
use crate::snapshot::PortKind;
use crate::wire::tcp::flag::{ACK, FIN, RST, SYN};

/// Bits of a script's first byte.
mod setting {
    /// Two workers.
    pub const TWO_WORKERS: u8 = 1;
    /// No buffers for copies.
    pub const POOL_EMPTY: u8 = 2;
    /// Too little headroom for the outer headers.
    pub const NO_HEADROOM: u8 = 4;
    /// The guests of blue have a policy, and little room for sessions.
    pub const POLICY: u8 = 8;
}

/// Bits of the byte before a frame.
mod flag {
    /// Leave the frame as it is: otherwise addresses and checksums that must hold are put in.
    pub const RAW: u8 = 1;
    /// Let a second pass before.
    pub const WAIT: u8 = 2;
    /// To or from the second of the ports or hosts in question.
    pub const SECOND: u8 = 4;
    /// Take up the other of two configurations before.
    pub const ADOPT: u8 = 8;
}

/// A way's name, and what plays a script on it.
pub type Way = (&'static str, fn(&[u8]));

/// The three ways.
pub const WAYS: [Way; 3] =
    [("vm_to_vm", vm_to_vm), ("vm_to_fabric", vm_to_fabric), ("fabric_to_vm", fabric_to_vm)];

/// Frames that guests send to anyone.
pub fn vm_to_vm(script: &[u8]) {
    play(script, |frame, flags| {
        let port = if flags & flag::SECOND == 0 { port::BLUE_WEB1 } else { port::RED_WEB1 };
        if flags & flag::RAW == 0 {
            put(frame, 6, &mac(WEB1).0);
        }
        port
    });
}

/// Frames that a guest sends to other hosts.
pub fn vm_to_fabric(script: &[u8]) {
    play(script, |frame, flags| {
        if flags & flag::RAW == 0 {
            put(frame, 0, &mac(if flags & flag::SECOND == 0 { DB1 } else { DB2 }).0);
            put(frame, 6, &mac(WEB1).0);
        }
        port::BLUE_WEB1
    });
}

/// Frames from the underlay.
pub fn fabric_to_vm(script: &[u8]) {
    play(script, |frame, flags| {
        if flags & flag::RAW == 0 {
            let peer = vtep(if flags & flag::SECOND == 0 { host::HV_B } else { host::HV_C } as u8);
            if frame.first() != Some(&0xff) {
                put(frame, 0, &vtep(0).1.0);
            }
            if frame.get(12..14) == Some(&[8, 0]) {
                put(frame, 26, &peer.0.octets());
                put(frame, 30, &vtep(0).0.octets());
                packets::mend_ipv4(frame);
            }
        }
        port::UPLINK
    });
}

/// Whole frames of every kind that a guest, blue's or red's web1, sends.
pub fn guest_frames() -> Vec<Vec<u8>> {
    use packets::{Operation, extended, extension, fragment};

    let (ends4, ends6) = (frames::ends4(WEB1, DB1), frames::ends6(WEB1, DB1));
    let (ours, theirs) = ((mac(WEB1), super::lab::ipv4(WEB1)), (mac(DB1), super::lab::ipv4(DB1)));
    let between =
        |ends, protocol, payload: &[u8]| packets::frame(mac(DB1), mac(WEB1), ends, protocol, payload);
    let discovery = |kind, options: &[u8]| {
        let body = packets::discovery(super::lab::ipv6(WEB1), options);
        frames::icmp6(mac(DB1), WEB1, ends6, kind, &body)
    };
    let datagram = packets::udp(ends6, 1, 2, b"extended");
    let options = extended(17, &datagram);
    let shape = packets::Shape { options: &[7, 7, 4, 0, 0, 0, 0, 0], ..Default::default() };
    let with_options =
        packets::ipv4_with(ours.1, theirs.1, 17, &packets::udp(ends4, 1, 2, b"options"), shape);
    let tcp = |seq, flags| between(ends4, 6, &packets::tcp_at(ends4, (9, 80), (seq, 0), flags, b""));
    let first = packets::Shape { more: true, ..Default::default() };
    let later = packets::Shape { offset: 2, ..Default::default() };
    let part = |shape| packets::ipv4_with(ours.1, theirs.1, 17, &packets::udp(ends4, 1, 2, &[0; 8]), shape);
    let ipv4 = |packet: &[u8]| packets::ethernet(mac(DB1), mac(WEB1), 0x0800, packet);
    vec![
        udp4(WEB1, DB1, b"udp"),
        frames::udp6(WEB1, DB1, b"udp"),
        frames::tcp4(WEB1, DB1, b"tcp"),
        between(ends6, 6, &packets::tcp(ends6, 1, 2, 2, b"")),
        between(ends4, 1, &packets::icmp(8, 0, b"echo")),
        frames::icmp6(mac(DB1), WEB1, ends6, 128, b"echo"),
        discovery(135, &packets::link_layer(1, mac(WEB1))),
        discovery(136, &packets::link_layer(2, mac(WEB1))),
        frames::icmp6(mac(DB1), WEB1, ends6, 133, &[0; 4]),
        packets::arp(Operation::Request, ours, theirs),
        packets::arp(Operation::Reply, ours, theirs),
        packets::tagged(&udp4(WEB1, DB1, b"tagged"), 0x8100, 0xa000),
        packets::tagged(&udp4(WEB1, DB1, b"tagged"), 0x88a8, 3),
        ipv4(&with_options),
        ipv4(&part(first)),
        ipv4(&part(later)),
        between(ends6, extension::HOP_BY_HOP, &extended(extension::DESTINATION, &options)),
        between(ends6, extension::ROUTING, &options),
        between(ends6, extension::AUTHENTICATION, &options),
        between(ends6, extension::FRAGMENT, &fragment(17, 0, true, &datagram)),
        between(ends6, extension::FRAGMENT, &fragment(17, 3, false, &datagram)),
        between(ends4, 47, b"gre"),
        between(ends4, 132, &[&[0, 9, 0, 10], &[7; 8][..]].concat()),
        tcp(1, SYN),
        tcp(1, SYN | ACK),
        tcp(2, ACK),
        tcp(2, FIN | ACK),
        tcp(2, RST),
        tcp(2, SYN | FIN),
        between(ends4, 1, &packets::icmp(0, 0, b"reply")),
        between(ends4, 1, &packets::icmp(3, 1, &[&[0; 4], &udp4(DB1, WEB1, b"quoted")[14..]].concat())),
        frames::icmp6(
            mac(DB1),
            WEB1,
            ends6,
            1,
            &[&[0; 4], &frames::udp6(DB1, WEB1, b"quoted")[14..]].concat(),
        ),
    ]
}

/// Whole frames of every kind that the uplink receives.
pub fn underlay_frames() -> Vec<Vec<u8>> {
    use packets::Operation;

    let outer = frames::Outer::new(host::HV_B);
    let ((ours, our_mac), (theirs, their_mac)) = (vtep(0), vtep(1));
    let (us, them) = ((our_mac, ours), (their_mac, theirs));
    // A guest's frames the other way round: from db1 to web1.
    let inner = guest_frames().into_iter().map(|mut frame| {
        put(&mut frame, 0, &mac(WEB1).0);
        put(&mut frame, 6, &mac(DB1).0);
        frames::from_fabric(host::HV_B, BLUE, &frame)
    });
    let options = packets::Shape { options: &[1; 4], ..Default::default() };
    let more = packets::Shape { more: true, ..Default::default() };
    let shaped = |shape| frames::Outer { shape, ..outer.clone() };
    let data = packets::vxlan(8, BLUE, &udp4(DB1, WEB1, b"shaped"));
    inner
        .chain([
            packets::padded(packets::arp(Operation::Request, them, us)),
            packets::arp(Operation::Reply, them, us),
            outer.before(1, &packets::icmp(8, 0, b"echo")),
            outer.before(6, b"neither"),
            shaped(options).around(&data),
            shaped(more).around(&data),
            outer.around(&packets::vxlan(0x88, BLUE, b"policy")),
        ])
        .collect()
}

/// Scripts to start from, for the way called `way`: each frame alone, then all of them.
pub fn seeds(way: &str) -> Vec<Vec<u8>> {
    let frames = if way == "fabric_to_vm" { underlay_frames() } else { guest_frames() };
    let line =
        |frame: &Vec<u8>, flags: u8| [&[flags], &(frame.len() as u16).to_be_bytes()[..], frame].concat();
    let alone = frames.iter().map(|frame| [vec![0], line(frame, 0)].concat());
    let flags = [0, flag::RAW, flag::SECOND, flag::WAIT, flag::ADOPT].into_iter().cycle();
    let all: Vec<u8> = frames.iter().zip(flags).flat_map(|(frame, flags)| line(frame, flags)).collect();
    let together = (0..16).map(|settings: u8| [&[settings], &all[..]].concat());
    alone.chain(together).collect()
}

/// Two labs in which the guests of blue have policies that differ, with room for few sessions.
pub fn with_policies(workers: u16) -> [Lab; 2] {
    let all = || rule(Side::Any, Side::Any, Action::Allow, Service::Any);
    let audited = || Rule { audit: true, ..rule(WEB, DB, Action::Deny, Service::Tcp(80..=80)) };
    let rules =
        [vec![audited(), all()], vec![rule(Side::Any, WEB, Action::Deny, Service::Udp(0..=9)), audited()]];
    rules.map(|rules| {
        let lab = policies::lab(policies::policy(Action::Deny, rules));
        let limits = Limits { sessions: 24, embryonic: 12, rate: 1_000, burst: 100 };
        Lab { workers, limits, sessions: Settings { capacity: 32, ..lab.sessions.clone() }, ..lab }
    })
}

/// Plays `script`: `aim` says which port receives a frame, and may change it before.
fn play(script: &[u8], aim: impl Fn(&mut Vec<u8>, u8) -> PortId) {
    let Some((settings, mut rest)) = script.split_first() else { return };
    let workers = 1 + u16::from(settings & setting::TWO_WORKERS);
    let with_policy = settings & setting::POLICY != 0;
    let labs = if with_policy {
        with_policies(workers)
    } else {
        [Lab::on_workers(workers), Lab::on_workers(workers)]
    };
    let mut bed = Bed::new(&labs[0], host::HV_A);
    if settings & setting::POOL_EMPTY != 0 {
        bed.pool.limit(Some(0));
    }
    if settings & setting::NO_HEADROOM != 0 {
        bed.headroom = 49;
    }
    while let Some(([flags, high, low], bytes)) = rest.split_first_chunk() {
        let (frame, next) = bytes.split_at(bytes.len().min(usize::from(u16::from_be_bytes([*high, *low]))));
        let mut frame = frame.to_vec();
        let port = aim(&mut frame, *flags);
        if flags & flag::ADOPT != 0 {
            let mut next = labs[(bed.snapshot.epoch.0 % 2) as usize].snapshot(host::HV_A);
            next.epoch.0 = bed.snapshot.epoch.0 + 1;
            bed.adopt(next);
        }
        if flags & flag::WAIT != 0 {
            bed.wait(Duration::from_secs(1));
        }
        for (to, sent) in bed.receive(port, &[&frame]) {
            assert_kept_apart(&bed, port, to, &sent);
        }
        rest = next;
    }
    bed.stop();
}

/// What one tenant's guest sends never reaches another's, and no guest gets a frame that has no header.
fn assert_kept_apart(bed: &Bed, from: PortId, to: PortId, sent: &[u8]) {
    assert!(sent.len() >= 14, "a frame without a header left by port {to:?}");
    let (from, to) = (&bed.snapshot.port(from).kind, &bed.snapshot.port(to).kind);
    if let (PortKind::Guest(from), PortKind::Guest(to)) = (from, to) {
        assert_eq!((from.tenant, from.segment), (to.tenant, to.segment));
        assert_eq!(sent[6..12], from.mac.0);
    }
}

/// Writes `bytes` at `at`, if they fit.
fn put(frame: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = frame.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}
