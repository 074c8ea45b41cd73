//! The packets that an explanation sends: the first of a connection, and the one that answers it.

use std::net::IpAddr;

use weft_pipelines::Mac;
use weft_pipelines::wire::ethernet::{self, EtherType};
use weft_pipelines::wire::ipv4::protocol;
use weft_pipelines::wire::{checksum, icmp, icmpv6, ipv4, ipv6, sctp, tcp, tos, udp};

use super::purpose::Purpose;
use crate::config::scalar::Codepoint;

/// One side of a connection on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Side {
    /// Its MAC.
    pub mac: Mac,
    /// Its address.
    pub address: IpAddr,
}

/// A connection between two sides, whose addresses are of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Who opens it.
    pub from: Side,
    /// Who it is opened to.
    pub to: Side,
    /// What for.
    pub purpose: Purpose,
    /// The port that it is opened from; the identifier of ICMP queries.
    pub source: u16,
    /// The DSCP of its packets.
    pub dscp: Codepoint,
}

/// Sequence numbers that the two sides of a TCP connection begin with.
const FIRST: [u32; 2] = [1000, 5000];
/// What follows a header that nobody looks behind.
const DATA: [u8; 8] = [0; 8];

impl Connection {
    /// The packet that opens it.
    pub fn first(&self) -> Vec<u8> {
        let [kind, code] = self.purpose.message();
        let ports = (self.source, self.purpose.port);
        let payload = match self.purpose.protocol {
            protocol::TCP => tcp_segment(ports, (FIRST[0], 0), tcp::flag::SYN),
            protocol::UDP => datagram(ports),
            protocol::SCTP => sctp_packet(ports, 1),
            protocol::ICMP | protocol::ICMPV6 => message(kind, code, self.source),
            _ => DATA.to_vec(),
        };
        self.marked(frame(self.from, self.to, self.purpose.protocol, payload))
    }

    /// The packet that answers it; `None` where nothing is ever answered.
    pub fn answer(&self) -> Option<Vec<u8>> {
        let [kind, _] = self.purpose.message();
        let ports = (self.purpose.port, self.source);
        let payload = match self.purpose.protocol {
            protocol::TCP => tcp_segment(ports, (FIRST[1], FIRST[0] + 1), tcp::flag::SYN | tcp::flag::ACK),
            protocol::UDP => datagram(ports),
            protocol::SCTP => sctp_packet(ports, 2),
            protocol::ICMP => message(answer_to(kind, icmp::query_of)?, 0, self.source),
            protocol::ICMPV6 => message(answer_to(kind, icmpv6::query_of)?, 0, self.source),
            _ => DATA.to_vec(),
        };
        Some(self.marked(frame(self.to, self.from, self.purpose.protocol, payload)))
    }

    fn marked(&self, mut frame: Vec<u8>) -> Vec<u8> {
        tos::set(&mut frame, self.dscp.0 << 2);
        frame
    }
}

/// The type of message that answers a query of type `kind`.
fn answer_to(kind: u8, query_of: impl Fn(u8) -> Option<(u8, bool)>) -> Option<u8> {
    (0..=u8::MAX).find(|answer| query_of(*answer) == Some((kind, true)))
}

fn tcp_segment(ports: (u16, u16), numbers: (u32, u32), flags: u8) -> Vec<u8> {
    let mut segment = [ports.0, ports.1].map(u16::to_be_bytes).concat();
    segment.extend([numbers.0, numbers.1].map(u32::to_be_bytes).concat());
    // A header without options, a full window, no checksum yet and no urgent data.
    segment.extend([(tcp::LEN as u8 / 4) << 4, flags, 0xff, 0xff, 0, 0, 0, 0]);
    segment
}

fn datagram(ports: (u16, u16)) -> Vec<u8> {
    let length = (udp::LEN + DATA.len()) as u16;
    let header = [ports.0, ports.1, length, 0].map(u16::to_be_bytes).concat();
    [&header[..], &DATA].concat()
}

/// With one chunk: INIT is 1, its acknowledgement 2 (RFC 9260, section 3.3).
fn sctp_packet(ports: (u16, u16), chunk: u8) -> Vec<u8> {
    const CHUNK: u8 = 20;
    let mut packet = [ports.0, ports.1].map(u16::to_be_bytes).concat();
    packet.resize(sctp::LEN, 0);
    packet.extend([chunk, 0, 0, CHUNK]);
    packet.resize(sctp::LEN + usize::from(CHUNK), 0);
    packet
}

/// With an identifier, a sequence number, and some data.
fn message(kind: u8, code: u8, identifier: u16) -> Vec<u8> {
    let [high, low] = identifier.to_be_bytes();
    [&[kind, code, 0, 0, high, low, 0, 1], &DATA[..]].concat()
}

/// `payload`, whose checksum is still 0, in a frame from one side to the other.
fn frame(from: Side, to: Side, protocol: u8, mut payload: Vec<u8>) -> Vec<u8> {
    let length = payload.len() as u16;
    let (ethertype, header, pseudo) = match (from.address, to.address) {
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let mut header = vec![0x60, 0, 0, 0];
            header.extend(length.to_be_bytes());
            header.extend([protocol, HOPS]);
            header.extend([from.octets(), to.octets()].concat());
            debug_assert_eq!(header.len(), ipv6::LEN);
            let pseudo = checksum::pseudo_header(&from.octets(), &to.octets(), protocol, length);
            (EtherType::IPV6, header, pseudo)
        }
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let mut header = vec![0x45, 0];
            header.extend((ipv4::LEN as u16 + length).to_be_bytes());
            header.extend([0, 0, 0, 0, HOPS, protocol, 0, 0]);
            header.extend([from.octets(), to.octets()].concat());
            let sum = checksum::fold(checksum::sum(&header));
            header[10..12].copy_from_slice(&sum.to_be_bytes());
            let pseudo = checksum::pseudo_header(&from.octets(), &to.octets(), protocol, length);
            (EtherType::IPV4, header, pseudo)
        }
        _ => unreachable!("the sides of a connection are of one family"),
    };
    let field = match protocol {
        protocol::TCP => Some((16, pseudo)),
        protocol::UDP => Some((6, pseudo)),
        protocol::ICMPV6 => Some((2, pseudo)),
        protocol::ICMP => Some((2, 0)),
        _ => None,
    };
    if let Some((field, pseudo)) = field {
        let sum = checksum::fold(pseudo + checksum::sum(&payload));
        // Zero in UDP says that there is no checksum (RFC 768).
        let sum = if sum == 0 && protocol == protocol::UDP { u16::MAX } else { sum };
        payload[field..field + 2].copy_from_slice(&sum.to_be_bytes());
    }
    let mut start = [0; ethernet::LEN];
    ethernet::write(&mut start, to.mac, from.mac, ethertype);
    [&start[..], &header, &payload].concat()
}

/// The TTL and hop limit that hosts send with.
const HOPS: u8 = 64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use weft_pipelines::Vni;
    use weft_pipelines::flow::Toward;
    use weft_pipelines::stages::check_policy::question;
    use weft_pipelines::stages::identify::{Identity, Part, identify};
    use weft_pipelines::stages::parse;
    use weft_pipelines::wire::Ipv4;

    use super::*;

    fn side(address: &str, last: u8) -> Side {
        Side { mac: Mac([2, 0, 0, 0, 0, last]), address: address.parse().unwrap() }
    }

    fn connection(is_v6: bool, purpose: &str) -> Connection {
        let (from, to) = if is_v6 { ("fd00::1", "fd00::2") } else { ("10.1.0.1", "10.1.0.2") };
        let purpose = purpose.parse().unwrap();
        Connection { from: side(from, 1), to: side(to, 2), purpose, source: 40_000, dscp: Codepoint(46) }
    }

    /// The question that a packet poses, its way, and what it is to its flow.
    fn asked(frame: &[u8]) -> (weft_pipelines::policy::Question, Toward, Part) {
        let headers = parse::headers(frame).unwrap();
        match identify(frame, &headers, Vni::LOWEST) {
            Identity::V4(key, toward, part) => (question(&key, toward), toward, part),
            Identity::V6(key, toward, part) => (question(&key, toward), toward, part),
            Identity::None(part) => panic!("{part:?}"),
        }
    }

    fn poses_its_question(connection: &Connection) {
        let (question, toward, part) = asked(&connection.first());
        assert_eq!(part, Part::Opens);
        let Connection { from, to, purpose, .. } = *connection;
        assert_eq!((question.from, question.to), (from.address, to.address));
        assert_eq!((question.protocol, question.port), (purpose.protocol, purpose.port));
        if let Some(answer) = connection.answer() {
            let (_, back, part) = asked(&answer);
            assert_eq!(back, toward.other());
            let is_icmp = purpose.is_ipv6().is_some();
            assert_eq!(part, if is_icmp { Part::Answers } else { Part::Opens });
        }
    }

    #[test]
    fn packets_pose_the_question_that_they_are_built_for() {
        for is_v6 in [false, true] {
            for purpose in ["tcp/5432", "udp/53", "sctp/3868", "proto/47", "proto/255"] {
                poses_its_question(&connection(is_v6, purpose));
                assert!(connection(is_v6, purpose).answer().is_some());
            }
        }
        for purpose in ["icmp/8", "icmp/13", "icmp/5/1"] {
            poses_its_question(&connection(false, purpose));
        }
        poses_its_question(&connection(true, "icmpv6/128"));
        assert!(connection(false, "icmp/8").answer().is_some());
        assert_eq!(connection(false, "icmp/5/1").answer(), None);
    }

    proptest! {
        #[test]
        fn checksums_are_right(is_v6: bool, port in 1..u16::MAX, source: u16, kind in 0..4usize) {
            let purpose = ["tcp/1", "udp/1", "icmp/8", "icmpv6/128"][kind];
            let mut connection = connection(if kind > 1 { kind == 3 } else { is_v6 }, purpose);
            connection.source = source;
            if kind < 2 {
                connection.purpose.port = port;
            }
            for frame in [Some(connection.first()), connection.answer()].into_iter().flatten() {
                let headers = parse::headers(&frame).unwrap();
                let message = &frame[usize::from(headers.transport)..];
                let length = message.len() as u16;
                let pseudo = match (connection.from.address, connection.to.address, headers.protocol) {
                    (.., protocol::ICMP) => 0,
                    (IpAddr::V4(a), IpAddr::V4(b), protocol) => {
                        checksum::pseudo_header(&a.octets(), &b.octets(), protocol, length)
                    }
                    (IpAddr::V6(a), IpAddr::V6(b), protocol) => {
                        checksum::pseudo_header(&a.octets(), &b.octets(), protocol, length)
                    }
                    _ => unreachable!(),
                };
                prop_assert_eq!(checksum::fold(pseudo + checksum::sum(message)), 0);
                prop_assert_eq!(headers.tos, 46 << 2);
                if let Ok((header, _)) = Ipv4::split(&frame[ethernet::LEN..]) {
                    prop_assert!(header.checksum_holds());
                }
            }
        }
    }
}
