//! Exact bytes, and what a collector gets.

use std::io::Read;
use std::net::{TcpListener, UdpSocket};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use weft_pipelines::counters::Sizes;
use weft_pipelines::{Epoch, Tick};

use super::encode::{HEADER, templates};
use super::*;
use crate::shm::record::{NOT_HERE, TcpFlags, mapped};
use crate::shm::{Capacity, FILE, Label, Settings as FileSettings, StatsFile, WorkerStats};

/// 2023-11-14 22:13:20 UTC.
const START: u64 = 1_700_000_000_000_000_000;

fn record(flow: u64, packets: u64) -> Record {
    Record {
        flow,
        kind: Kind::Update,
        end: End::Open,
        started: Tick(1_000_000),
        last: Tick(3_000_000),
        family: 4,
        protocol: 6,
        tenant: 2,
        vni: 1001,
        initiator: mapped([10, 1, 0, 11].into()),
        responder: mapped([10, 1, 0, 12].into()),
        initiator_l4: 40_000,
        responder_l4: 443,
        initiator_port: 1,
        responder_port: NOT_HERE,
        initiator_packets: packets,
        initiator_bytes: packets * 100,
        responder_packets: 1,
        responder_bytes: 60,
        initiator_tcp_flags: TcpFlags(0x1a),
        responder_tcp_flags: TcpFlags(0x12),
        ..Record::default()
    }
}

fn hex(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    digits
        .as_bytes()
        .chunks(2)
        .map(|two| u8::from_str_radix(str::from_utf8(two).unwrap(), 16).unwrap())
        .collect()
}

#[test]
fn a_flow_is_these_bytes() {
    let mut batch = Batch::new(LEAST);
    let record = record(7, 3);
    let delta = Deltas::new(1).take(&record, false).unwrap();
    assert!(batch.push(&record, &delta, START));
    let wanted = hex("000a 0074 65540000 00000005 00000009
         0100 0064
         0000018bcfe56801 0000018bcfe56803
         0a01000b 0a01000c 9c40 01bb 06 02 05 01
         00000002 00000000 00000002 01000000000003e9
         0000000000000007
         0000000000000003 000000000000012c 001a
         0000000000000001 000000000000003c 0012");
    let message = batch.message(0x6554_0000, 5, 9);
    assert_eq!(message.len(), wanted.len());
    assert_eq!(message, wanted);
}

#[test]
fn templates_are_these_bytes() {
    let [message, icmp] = templates(0x6554_0000, 5, 9);
    let head = hex("000a 01bc 65540000 00000005 00000009 0002");
    let v4 = hex("0100 0015
         0098 0008 0099 0008 0008 0004 000c 0004 0007 0002 000b 0002 0004 0001 0088 0001 00e9 0001 00ef 0001
         000a 0004 000e 0004 00ea 0004 015f 0008 0094 0008 0002 0008 0001 0008 0006 0002
         8002 0008 00007279 8001 0008 00007279 8006 0002 00007279
         0101 0015");
    assert_eq!((message[..2].to_vec(), &message[4..18]), (head[..2].to_vec(), &head[4..]));
    assert_eq!(u16::from_be_bytes([message[2], message[3]]) as usize, message.len());
    assert_eq!(message[20..20 + v4.len()], v4);
    let options = hex("0003 0020 0104 0002 0001 00ea 0004 00ec ffff 0105 0002 0001 000a 0004 0052 ffff");
    assert!(message.ends_with(&options), "{message:02x?}");
    // The first of ICMP: the same with type and code.
    let of_v4 =
        hex("0002 0164 0106 0016 0098 0008 0099 0008 0008 0004 000c 0004 0020 0002 0007 0002 000b 0002");
    assert_eq!(icmp[16..16 + of_v4.len()], of_v4);
    // In the smallest packet that `--ipfix-mtu` takes.
    assert!([message, icmp].iter().all(|message| message.len() <= 576 - 48));
}

#[test]
fn icmp_has_a_type_and_a_code_and_no_ports() {
    let mut batch = Batch::new(LEAST);
    let echo = Record { protocol: 1, initiator_l4: 0xb670, responder_l4: 0x0800, ..record(7, 3) };
    assert!(batch.push(&echo, &Delta::of_denied(&echo), START));
    let v6 = Record { family: 6, protocol: 58, responder_l4: 0x8000, end: End::Denied, ..echo };
    assert!(batch.push(&v6, &Delta::of_denied(&v6), START));
    // That of the other family is a protocol as any other.
    let strange = Record { protocol: 58, ..echo };
    assert!(batch.push(&strange, &Delta::of_denied(&strange), START));
    let message = batch.message(0, 0, 1);
    assert_eq!(message[16..20], hex("0106 0066"));
    assert_eq!(message[36..51], hex("0a01000b 0a01000c 0800 0000 0800 01"));
    let rest = &message[16 + 0x66..];
    assert_eq!((&rest[..2], &rest[52..59]), (&hex("0109")[..], &hex("8000 0000 8000 3a")[..]));
    let rest = &rest[usize::from(u16::from_be_bytes([rest[2], rest[3]]))..];
    assert_eq!((&rest[..2], &rest[28..33]), (&hex("0100")[..], &hex("b670 0800 3a")[..]));
}

#[test]
fn what_is_denied_has_dropped_packets_and_names_their_lengths() {
    let mut batch = Batch::of_len(200);
    let denied = Record { kind: Kind::End, end: End::Denied, family: 6, ..record(0, 1) };
    assert!(batch.push(&denied, &Delta::of_denied(&denied), START));
    assert!(!batch.push(&denied, &Delta::of_denied(&denied), START), "it would be too long");
    assert!(batch.push_name(&Name::Port(0, "up0")));
    let message = batch.message(0, 0, 1);
    assert_eq!(message[HEADER..HEADER + 4], hex("0103 0060"), "{message:02x?}");
    assert!(message.ends_with(&hex("0000000000000001 0000000000000064 0105 000c 00000001 03 757030")));
    assert_eq!(batch.records(), 2);
}

#[test]
fn reasons_are_those_of_the_registry() {
    let of = |kind, end| {
        let record = Record { kind, end, ..record(1, 1) };
        (end_reason(&record), firewall_event(&record))
    };
    assert_eq!(of(Kind::Start, End::Open), (2, 1));
    assert_eq!(of(Kind::Update, End::Open), (2, 5));
    assert_eq!(of(Kind::End, End::TimedOut), (1, 2));
    assert_eq!(of(Kind::End, End::Closed), (3, 2));
    assert_eq!(of(Kind::End, End::Evicted), (5, 2));
    assert_eq!(of(Kind::End, End::Denied), (4, 3));
    assert_eq!(of(Kind::End, End::Stopped), (4, 2));
}

#[test]
fn a_collector_is_a_transport_a_host_and_a_port() {
    for good in ["udp:198.51.100.9:4739", "tcp:collector.example:4739", "udp:[2001:db8::9]:4739"] {
        assert_eq!(good.parse::<Collector>().unwrap().to_string(), good);
    }
    for bad in ["", "udp", "udp:host", "udp:host:0", "udp::4739", "sctp:host:1", "udp:2001:db8::9:4739"] {
        assert_eq!(bad.parse::<Collector>(), Err(ParseError), "{bad}");
    }
}

fn file(dir: &Path) -> (StatsFile, Vec<WorkerStats>) {
    let sizes = Sizes { ports: 2, tenants: 1, tunnels: 0, rules: 0, pairs: 0 };
    let settings = FileSettings {
        workers: NonZeroUsize::MIN,
        capacity: Capacity { records: 1024, ..Capacity::of(sizes) },
        instance: unix(),
        cycles_per_second: 1,
        epoch: Epoch(1),
        sizes,
        now: Tick(0),
        unix: START,
    };
    let (mut file, workers) = StatsFile::create(&dir.join(FILE), &settings).unwrap();
    file.labels([Label::new(What::Tenant, 2, "blue"), Label::new(What::Port, 1, "blue/web")]).unwrap();
    (file, workers)
}

/// Initiators' packets in the records of a message that are of IPv4, how many records it has, and its sequence number.
fn read(message: &[u8]) -> (u64, u32, u32) {
    let sequence = u32::from_be_bytes(message[8..12].try_into().unwrap());
    let (mut at, mut packets, mut records) = (HEADER, 0, 0);
    while at < message.len() {
        let number = |at: usize| u16::from_be_bytes([message[at], message[at + 1]]);
        let (set, len) = (number(at), usize::from(number(at + 2)));
        let mut row = at + 4;
        while set == 256 && row < at + len {
            packets += u64::from_be_bytes(message[row + 60..row + 68].try_into().unwrap());
            (row, records) = (row + 96, records + 1);
        }
        while set > 259 && row < at + len {
            (row, records) = (row + 5 + usize::from(message[row + 4]), records + 1);
        }
        at += len;
    }
    (packets, records, sequence)
}

fn settings(collector: &str) -> Settings {
    Settings { collector: collector.parse().unwrap(), domain: 1, mtu: 600, all: true }
}

/// Runs an exporter until `act` is through.
fn exporting(path: &Path, settings: Settings, act: impl FnOnce(&Progress)) {
    let (progress, stop) = (Arc::new(Progress::new("ipfix")), Arc::new(AtomicBool::new(false)));
    std::thread::scope(|scope| {
        let ends = stop.clone();
        let of = progress.clone();
        scope.spawn(move || run(path, settings, &of, &ends));
        let acted = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| act(&progress)));
        stop.store(true, Ordering::Relaxed);
        acted.unwrap();
    });
}

#[test]
fn messages_by_udp_fit_and_are_numbered_and_add_up() {
    let dir = tempfile::tempdir().unwrap();
    let (_file, mut workers) = file(dir.path());
    let collector = UdpSocket::bind("127.0.0.1:0").unwrap();
    collector.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let at = format!("udp:{}", collector.local_addr().unwrap());
    for packets in 1..=10 {
        (0..20).for_each(|flow| workers[0].record(&record(flow, packets)));
    }
    exporting(&dir.path().join(FILE), settings(&at), |_| {
        let (mut sum, mut records) = (0, 0);
        while sum < 200 {
            let mut message = [0; 2048];
            let len = collector.recv(&mut message).unwrap();
            assert!(len <= 600 - 48);
            let (packets, more, sequence) = read(&message[..len]);
            assert_eq!(sequence, records);
            (sum, records) = (sum + packets, records + more);
        }
        // Of each flow each step, and the two names.
        assert_eq!((sum, records), (200, 202));
    });
}

#[test]
fn a_collector_that_goes_and_comes_gets_each_packet_once() {
    let dir = tempfile::tempdir().unwrap();
    let (_file, mut workers) = file(dir.path());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    (0..50).for_each(|flow| workers[0].record(&record(flow, 2)));
    exporting(&dir.path().join(FILE), settings(&format!("tcp:{address}")), |progress| {
        let mut sum = 0;
        for (round, wanted) in [(1, 100), (2, 150)] {
            let listener = TcpListener::bind(address).unwrap();
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            let mut numbered = 0;
            while sum < wanted {
                let mut head = [0; 4];
                stream.read_exact(&mut head).unwrap();
                let mut message = vec![0; usize::from(u16::from_be_bytes([head[2], head[3]]))];
                message[..4].copy_from_slice(&head);
                stream.read_exact(&mut message[4..]).unwrap();
                let (packets, more, sequence) = read(&message);
                assert_eq!(sequence, numbered, "it begins anew with each connection");
                (sum, numbered) = (sum + packets, numbered + more);
            }
            assert_eq!(sum, wanted);
            drop((stream, listener));
            if round == 1 {
                (0..50).for_each(|flow| workers[0].record(&record(flow, 3)));
            }
        }
        assert_eq!(progress.lost.load(Ordering::Relaxed), 0);
    });
}
