//! The same packets are meant as by `tcpdump`, where it has the word.

use std::io::Write;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use pcap_file::pcap::{PcapPacket, PcapReader, PcapWriter};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::*;

/// Few addresses, ports and MACs, so that tests find what they ask for.
const V4: [&str; 4] = ["10.1.0.1", "10.1.0.2", "10.1.1.1", "10.2.0.1"];
const V6: [&str; 3] = ["fd00:1::1", "fd00:1::2", "fd00:2::1"];
const PORTS: [u16; 4] = [22, 80, 443, 8080];
const MACS: [[u8; 6]; 4] = [[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2], [0xff; 6], [1, 0, 0x5e, 0, 0, 1]];

fn packet() -> impl Strategy<Value = Vec<u8>> {
    let macs = (select(&MACS[..]), select(&MACS[..2])).prop_map(|(to, from)| [to, from].concat());
    let rest = prop_oneof![8 => ipv4(), 6 => ipv6(), 2 => arp(), 1 => other()];
    (macs, rest).prop_map(|(macs, rest)| [macs, rest].concat())
}

fn transport() -> impl Strategy<Value = Vec<u8>> {
    let ports = (select(&PORTS[..]), select(&PORTS[..]));
    (ports, 4..40_usize).prop_map(|((from, to), len)| {
        [&from.to_be_bytes()[..], &to.to_be_bytes(), &vec![0; len + 16]].concat()
    })
}

fn ipv4() -> impl Strategy<Value = Vec<u8>> {
    let ends = (select(&V4[..]), select(&V4[..]));
    let fragment = prop_oneof![4 => Just(0_u16), 1 => Just(0x2000), 1 => Just(0x2005), 1 => Just(7)];
    let protocol = select(&[1_u8, 6, 6, 17, 17, 47, 58, 132][..]);
    (ends, fragment, protocol, 5..9_u8, transport()).prop_map(
        |((from, to), fragment, protocol, words, data)| {
            let mut header = vec![0x40 | words, 0];
            header.extend((u16::from(words) * 4 + data.len() as u16).to_be_bytes());
            header.extend([0, 0]);
            header.extend(fragment.to_be_bytes());
            header.extend([64, protocol, 0, 0]);
            for ip in [from, to] {
                header.extend(ip.parse::<std::net::Ipv4Addr>().unwrap().octets());
            }
            header.resize(usize::from(words) * 4, 1);
            [&[8, 0][..], &header, &data].concat()
        },
    )
}

fn ipv6() -> impl Strategy<Value = Vec<u8>> {
    let ends = (select(&V6[..]), select(&V6[..]));
    let first = select(&[6_u8, 17, 58, 132, 44, 44, 0][..]);
    (ends, first, select(&[6_u8, 17, 58][..]), transport()).prop_map(|((from, to), first, second, data)| {
        let mut header = vec![0x60, 0, 0, 0];
        header.extend((data.len() as u16 + 8).to_be_bytes());
        header.extend([first, 64]);
        for ip in [from, to] {
            header.extend(ip.parse::<std::net::Ipv6Addr>().unwrap().octets());
        }
        if matches!(first, 44 | 0) {
            header.extend([second, 0, 0, 0, 0, 0, 0, 0]);
        }
        [&[0x86, 0xdd][..], &header, &data].concat()
    })
}

fn arp() -> impl Strategy<Value = Vec<u8>> {
    (select(&[[8_u8, 6], [0x80, 0x35]][..]), select(&V4[..]), select(&V4[..])).prop_map(|(kind, from, to)| {
        let ip = |ip: &str| ip.parse::<std::net::Ipv4Addr>().unwrap().octets();
        [&kind[..], &[0, 1, 8, 0, 6, 4, 0, 1], &MACS[0], &ip(from), &[0; 6], &ip(to), &[0; 18]].concat()
    })
}

/// A tag with IPv4 behind it, and what has no name.
fn other() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        ipv4().prop_map(|ip| [&[0x81, 0, 0, 5][..], &ip].concat()),
        Just([&[0x88, 0xb5][..], &[0; 60]].concat())
    ]
}

/// A test of the words that `tcpdump` has too.
fn test() -> impl Strategy<Value = String> {
    let end = || select(&["", "src ", "dst "][..]);
    let address = || select([&V4[..], &V6[..]].concat());
    let net =
        select(&["10.1.0.0/24", "10.0.0.0/8", "10.1.0.2/32", "fd00:1::/32", "fd00::/16", "0.0.0.0/0"][..]);
    let carrier = || select(&["", "ip ", "arp "][..]);
    prop_oneof![
        (carrier(), end(), select(&V4[..])).prop_map(|(by, end, ip)| format!("{by}{end}host {ip}")),
        (end(), address()).prop_map(|(end, ip)| format!("{end}host {ip}")),
        address().prop_map(|ip| format!("src {ip}")),
        (end(), net).prop_map(|(end, net)| format!("{end}net {net}")),
        (select(&["", "tcp ", "udp ", "sctp "][..]), end(), select(&PORTS[..]))
            .prop_map(|(of, end, port)| format!("{of}{end}port {port}")),
        (end(), select(&PORTS[..])).prop_map(|(end, port)| format!("{end}portrange 80-{}", port.max(80))),
        select(&["tcp", "udp", "sctp", "icmp", "icmp6", "ip", "ip6", "arp"][..]).prop_map(str::to_owned),
        (select(&["proto", "ip proto", "ip6 proto"][..]), select(&["47", "17", "58", "132"][..]))
            .prop_map(|(of, number)| format!("{of} {number}")),
        (end(), select(&["host", "host"][..]))
            .prop_map(|(end, host)| format!("ether {end}{host} 02:00:00:00:00:01")),
        select(&["ether broadcast", "broadcast", "multicast", "ether multicast"][..]).prop_map(str::to_owned),
        (select(&["less", "greater"][..]), 60..90).prop_map(|(word, len)| format!("{word} {len}")),
    ]
}

fn expression() -> impl Strategy<Value = String> {
    test().prop_recursive(4, 16, 4, |inner| {
        let word = select(&["and", "or", "&&", "||"][..]);
        prop_oneof![
            inner.clone().prop_map(|of| format!("not {of}")),
            inner.clone().prop_map(|of| format!("!({of})")),
            (inner.clone(), word.clone(), inner.clone()).prop_map(|(a, word, b)| format!("{a} {word} {b}")),
            (inner.clone(), word, inner).prop_map(|(a, word, b)| format!("({a}) {word} ({b})")),
        ]
    })
}

/// The numbers of the packets that `tcpdump` lets pass.
fn tcpdump(packets: &[Vec<u8>], expression: &str) -> Vec<u64> {
    let mut pcap = PcapWriter::new(Vec::new()).unwrap();
    for (number, data) in packets.iter().enumerate() {
        let packet = PcapPacket::new(Duration::from_secs(number as u64), data.len() as u32, data);
        pcap.write_packet(&packet).unwrap();
    }
    let mut run = Command::new("tcpdump")
        .args(["-n", "-r", "-", "-w", "-", expression])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("tcpdump is installed");
    let (mut stdin, input) = (run.stdin.take().unwrap(), pcap.into_writer());
    // It may end before it has read all, if it does not understand the expression.
    let feeder = thread::spawn(move || drop(stdin.write_all(&input)));
    let output = run.wait_with_output().unwrap();
    feeder.join().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    if said.contains("expression rejects all packets") {
        return Vec::new();
    }
    assert!(output.status.success(), "{expression}: {said}");
    let mut reader = PcapReader::new(&output.stdout[..]).unwrap();
    let mut numbers = Vec::new();
    while let Some(packet) = reader.next_packet() {
        numbers.push(packet.unwrap().timestamp.as_secs());
    }
    numbers
}

#[test]
fn means_what_tcpdump_means() {
    let mut runner = TestRunner::new(ProptestConfig::with_cases(150));
    let (mut some, mut all) = (0, 0);
    let cases = (proptest::collection::vec(packet(), 60), expression());
    let result = runner.run(&cases, |(packets, expression)| {
        let filter: Filter = expression.parse().unwrap();
        let at = |data: &[u8]| Where { len: data.len(), vni: None, vxlan_port: 4789 };
        let is_meant = |data: &Vec<u8>| filter.fates(data, at(data)) == Fates::ALL;
        let ours: Vec<u64> = (0..).zip(&packets).filter(|(_, data)| is_meant(data)).map(|(n, _)| n).collect();
        prop_assert_eq!(&ours, &tcpdump(&packets, &expression), "{}", expression);
        Ok(())
    });
    result.unwrap();
    // The packets are such that single tests find some, and not all.
    let mut runner = TestRunner::deterministic();
    for _ in 0..200 {
        let (data, text) = (packet(), test()).new_tree(&mut runner).unwrap().current();
        let at = Where { len: data.len(), vni: None, vxlan_port: 4789 };
        some += usize::from(text.parse::<Filter>().unwrap().fates(&data, at) == Fates::ALL);
        all += 1;
    }
    assert!(some * 20 > all && some < all, "{some} of {all}");
}

#[test]
fn the_inner_packet_and_its_vni_are_found() {
    let inner = [&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0][..], &v4_udp(53)].concat();
    let vxlan = [&4789_u16.to_be_bytes()[..], &[0, 0, 0, 0, 8, 0, 0, 0, 0, 3, 0xe9, 0], &inner].concat();
    let mut outer =
        [&[2, 0, 0, 0, 9, 1, 2, 0, 0, 0, 9, 2, 8, 0][..], &v4_udp(0)[..20], &[0xc0, 0], &vxlan].concat();
    outer[23] = 17;
    let meant = |text: &str, data: &[u8], port| {
        let at = Where { len: data.len(), vni: None, vxlan_port: port };
        text.parse::<Filter>().unwrap().fates(data, at) == Fates::ALL
    };
    for (text, outside, inside) in [
        ("vni 1001", true, false),
        ("vni 1002", false, false),
        ("udp port 53", false, true),
        ("inner udp port 53", true, false),
        ("vni 1001 and inner (udp and not port 54)", true, false),
        ("inner vni 1001", true, false),
        ("inner inner udp", false, false),
        ("udp port 4789", true, false),
    ] {
        assert_eq!((meant(text, &outer, 4789), meant(text, &inner, 4789)), (outside, inside), "{text}");
        assert!(!text.contains("inner") || !meant(text, &outer, 4790), "{text}");
        // However short it is cut.
        for len in 0..outer.len() {
            let _ = meant(text, &outer[..len], 4789);
        }
    }
}

/// A datagram to this port.
fn v4_udp(port: u16) -> Vec<u8> {
    let mut packet = vec![0x45, 0, 0, 32, 0, 0, 0, 0, 64, 17, 0, 0, 10, 1, 0, 1, 10, 1, 0, 2, 0x30, 0x39];
    packet.extend(port.to_be_bytes());
    packet.extend([0, 12, 0, 0, 1, 2, 3, 4]);
    packet
}
