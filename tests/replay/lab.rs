//! A fabric, frames of its guests, and pcaps of frames.

use std::net::Ipv4Addr;
use std::time::Duration;

use pcap_file::pcap::{PcapHeader, PcapPacket, PcapReader, PcapWriter};
use pcap_file::{DataLink, Endianness, TsResolution};
use weft::config::{self, Fabric};
use weft::replay::recording::Source;
use weft::replay::{Input, NeighborMode, Options, Outcome, Replay};
use weft_pipelines::Mac;
use weft_pipelines::wire::arp::{self, Operation};
use weft_pipelines::wire::checksum;
use weft_pipelines::wire::ethernet::{self, EtherType};

/// Two hosts; two tenants with the same MACs and addresses.
pub const FABRIC: &str = r#"
fabric: { name: lab }
hosts:
  - name: hv-a
    vtep: 198.51.100.1
    uplinks: [{ name: up0, device: "net_null0", address: [198.51.100.1/24], mtu: 1600 }]
  - name: hv-b
    vtep: 198.51.100.2
    uplinks: [{ name: up0, device: "net_null0", address: [198.51.100.2/24], mtu: 1600 }]
tenants:
  - name: blue
    segments: [{ name: front, vni: 1001, subnet: [10.1.0.0/24] }]
    endpoints:
      - { name: web1, host: hv-a, attach: { device: net_null1 }, segment: front, mac: "02:00:00:00:01:01", ip: [10.1.0.11] }
      - { name: web2, host: hv-a, attach: { device: net_null2 }, segment: front, mac: "02:00:00:00:01:02", ip: [10.1.0.12] }
      - { name: db1, host: hv-b, attach: { device: net_null1 }, segment: front, mac: "02:00:00:00:01:03", ip: [10.1.0.13] }
    policy: { default: allow }
  - name: red
    segments: [{ name: front, vni: 2001, subnet: [10.1.0.0/24] }]
    endpoints:
      - { name: web1, host: hv-a, attach: { device: net_null3 }, segment: front, mac: "02:00:00:00:01:01", ip: [10.1.0.11] }
      - { name: db1, host: hv-b, attach: { device: net_null2 }, segment: front, mac: "02:00:00:00:01:03", ip: [10.1.0.13] }
    policy: { default: allow }
"#;

pub const WEB1: Guest = Guest { mac: Mac([2, 0, 0, 0, 1, 1]), ip: Ipv4Addr::new(10, 1, 0, 11) };
pub const WEB2: Guest = Guest { mac: Mac([2, 0, 0, 0, 1, 2]), ip: Ipv4Addr::new(10, 1, 0, 12) };
pub const DB1: Guest = Guest { mac: Mac([2, 0, 0, 0, 1, 3]), ip: Ipv4Addr::new(10, 1, 0, 13) };

/// Outer headers in front of a guest's frame.
pub const OUTER: usize = 50;
pub const SECOND: u64 = 1_000_000_000;
/// When the recordings of the tests start, in nanoseconds since 1970.
pub const START: u64 = 1_700_000_000 * SECOND;

#[derive(Clone, Copy)]
pub struct Guest {
    pub mac: Mac,
    pub ip: Ipv4Addr,
}

/// A packet with its stamp, in nanoseconds since 1970.
pub type Stamped = (u64, Vec<u8>);

pub fn fabric() -> Fabric {
    config::parse("lab", FABRIC).unwrap()
}

/// A UDP packet to the discard port, which nobody decodes further, in its frame.
pub fn udp(from: Guest, to: Guest, payload: &[u8]) -> Vec<u8> {
    let mut udp = [0; 8];
    udp[..2].copy_from_slice(&40000u16.to_be_bytes());
    udp[2..4].copy_from_slice(&9u16.to_be_bytes());
    udp[4..6].copy_from_slice(&(8 + payload.len() as u16).to_be_bytes());
    let mut ip = [0; 20];
    (ip[0], ip[8], ip[9]) = (0x45, 64, 17);
    ip[2..4].copy_from_slice(&(28 + payload.len() as u16).to_be_bytes());
    ip[12..16].copy_from_slice(&from.ip.octets());
    ip[16..].copy_from_slice(&to.ip.octets());
    let sum = checksum::fold(checksum::sum(&ip));
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    framed(to.mac, from.mac, EtherType::IPV4, &[&ip[..], &udp, payload].concat())
}

pub fn arp(to: Mac, operation: Operation, sender: (Mac, Ipv4Addr), target: (Mac, Ipv4Addr)) -> Vec<u8> {
    let mut packet = [0; arp::LEN];
    arp::write(&mut packet, operation, sender, target);
    framed(to, sender.0, EtherType::ARP, &packet)
}

pub fn framed(to: Mac, from: Mac, ethertype: EtherType, packet: &[u8]) -> Vec<u8> {
    let mut header = [0; ethernet::LEN];
    ethernet::write(&mut header, to, from, ethertype);
    [&header[..], packet].concat()
}

/// The packets one millisecond apart.
pub fn paced(frames: impl IntoIterator<Item = Vec<u8>>) -> Vec<Stamped> {
    (0..).map(|n| START + n * 1_000_000).zip(frames).collect()
}

pub fn pcap(packets: &[Stamped]) -> Vec<u8> {
    pcap_as(TsResolution::NanoSecond, Endianness::Little, DataLink::ETHERNET, packets)
}

pub fn pcap_as(
    ts_resolution: TsResolution,
    endianness: Endianness,
    datalink: DataLink,
    packets: &[Stamped],
) -> Vec<u8> {
    let header = PcapHeader { ts_resolution, endianness, datalink, ..PcapHeader::default() };
    let mut writer = PcapWriter::with_header(Vec::new(), header).unwrap();
    for (stamp, data) in packets {
        let packet = PcapPacket::new(Duration::from_nanos(*stamp), data.len() as u32, data);
        writer.write_packet(&packet).unwrap();
    }
    writer.into_writer()
}

/// What a pcap holds.
pub fn packets(pcap: &[u8]) -> Vec<Stamped> {
    let mut reader = PcapReader::new(pcap).unwrap();
    assert_eq!(reader.header().ts_resolution, TsResolution::NanoSecond);
    assert_eq!(reader.header().datalink, DataLink::ETHERNET);
    let mut packets = Vec::new();
    while let Some(packet) = reader.next_packet() {
        let packet = packet.unwrap();
        packets.push((packet.timestamp.as_nanos() as u64, packet.data.into_owned()));
    }
    packets
}

pub fn frames(pcap: &[u8]) -> Vec<Vec<u8>> {
    packets(pcap).into_iter().map(|(_, frame)| frame).collect()
}

pub fn input(port: &str, bytes: Vec<u8>) -> Input {
    let source = Source::Memory { name: format!("recording of {port}"), bytes: bytes.into() };
    Input { port: port.to_owned(), source }
}

pub fn arp_mode() -> Options {
    Options { neighbors: NeighborMode::Arp, ..Options::default() }
}

/// A replay on `host`, of which every packet is accounted for.
pub fn replayed(host: &str, inputs: &[Input], options: &Options) -> Replayed {
    let outcome = Replay::new(&fabric(), host, inputs, options).unwrap().run_in_memory();
    assert!(outcome.report.totals.conserved, "{:?}", outcome.report.totals);
    assert_eq!(outcome.report.totals.held, 0);
    Replayed(outcome)
}

pub struct Replayed(pub Outcome<Vec<u8>>);

impl Replayed {
    /// The pcap that `port` sent.
    pub fn pcap(&self, port: &str) -> &[u8] {
        let output = self.0.outputs.iter().find(|output| output.port == port);
        &output.unwrap_or_else(|| panic!("no output of {port}")).writer
    }

    pub fn frames(&self, port: &str) -> Vec<Vec<u8>> {
        frames(self.pcap(port))
    }

    pub fn packets(&self, port: &str) -> Vec<Stamped> {
        packets(self.pcap(port))
    }

    /// The drops of `port` that were counted, by reason.
    pub fn drops(&self, port: &str) -> Vec<(&str, u64)> {
        let port = self.0.report.ports.iter().find(|report| report.name == port).unwrap();
        port.drops.iter().map(|(reason, packets)| (reason.as_str(), *packets)).collect()
    }

    pub fn mac(&self, port: &str) -> String {
        self.0.report.ports.iter().find(|report| report.name == port).unwrap().mac.clone()
    }
}
