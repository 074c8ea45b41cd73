//! The frames of a load: a template for each kind, laid into a buffer once, of which only what tells flows apart is
//! rewritten from packet to packet.

use std::io;
use std::net::Ipv4Addr;
use std::sync::atomic::Ordering;

use super::shared::{Pages, Region};

/// The longest frame that a buffer holds, in bytes: an MTU of 1,500 in a tunnel, and some to spare.
pub const LONGEST: usize = 1600;

/// What VXLAN over IPv4 adds to a frame (RFC 7348, section 5), in bytes.
pub const TUNNEL: usize = 50;

/// The kind of packets of a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// UDP, without a checksum.
    Udp,
    /// TCP: what opens a connection, from who opens it.
    Syn,
    /// TCP: the answer, from the other end.
    SynAck,
    /// TCP: what confirms the answer.
    Ack,
    /// TCP: bytes of an open connection, always the same ones, so that they are inside any window.
    Data,
}

/// Who sends to whom, and by how many flows.
#[derive(Clone, Copy, Debug)]
pub struct Traffic {
    /// The MACs: the sender's, the receiver's.
    pub macs: [[u8; 6]; 2],
    /// The first address of who opens flows, and of the other end.
    pub addresses: [Ipv4Addr; 2],
    /// How many addresses each end has: powers of two, consecutive from the first.
    pub hosts: [u16; 2],
    /// The first port at which the other end is reached.
    pub service: u16,
    /// How many such ports there are: a power of two, consecutive.
    pub services: u16,
    /// Whether the packets are answers: from the other end, to who opened the flow.
    pub answers: bool,
    /// The kind of packets.
    pub kind: Kind,
    /// The tunnel that all of it comes by.
    pub tunnel: Option<Tunnel>,
}

/// A VXLAN tunnel over IPv4.
#[derive(Clone, Copy, Debug)]
pub struct Tunnel {
    /// The outer MACs: the sender's, the receiver's.
    pub macs: [[u8; 6]; 2],
    /// The tunnel's ends: the sender's, the receiver's.
    pub vteps: [Ipv4Addr; 2],
    /// The segment, 24 bits.
    pub vni: u32,
}

/// The source ports of flows begin here, and there are [`PORTS`] of them.
const FIRST_PORT: u32 = 2048;
/// How many source ports there are.
const PORTS: u32 = 60_000;

impl Traffic {
    /// What the other end answers.
    pub fn answered(self) -> Self {
        let [from, to] = self.macs;
        Self { macs: [to, from], answers: !self.answers, ..self }
    }

    /// How many flows can be told apart.
    pub fn most_flows(&self) -> u32 {
        (u32::from(self.hosts[0]) * u32::from(self.hosts[1]) * u32::from(self.services)).saturating_mul(PORTS)
    }

    /// The two hosts and two ports of a flow: of who opened it and of the other end, hosts counted from the first.
    #[inline]
    fn flow(&self, flow: u32) -> ([u16; 2], [u16; 2]) {
        // All but the source port are powers of two: shifts and masks.
        let [one, other] = self.hosts.map(u32::from);
        let (opener, rest) = (flow & (one - 1), flow >> one.trailing_zeros());
        let (host, rest) = (rest & (other - 1), rest >> other.trailing_zeros());
        let services = u32::from(self.services);
        let (service, rest) = (rest & (services - 1), rest >> services.trailing_zeros());
        let port = (FIRST_PORT + rest) as u16;
        ([opener as u16, host as u16], [port, self.service + service as u16])
    }

    /// A frame of this many bytes, of no flow yet.
    pub fn frame(&self, bytes: usize) -> Template {
        let inner = self.inner(bytes);
        let Some(tunnel) = &self.tunnel else { return Template::new(self, inner, 0) };
        let mut frame = ethernet(tunnel.macs);
        let datagram = inner.len() + 16;
        frame.extend(ipv4(tunnel.vteps.map(|vtep| vtep.octets()), 17, datagram));
        frame.extend(udp([0, 4789], datagram));
        frame.extend([8, 0, 0, 0]);
        frame.extend((tunnel.vni << 8).to_be_bytes());
        seal(&mut frame[14..34]);
        frame.extend(inner);
        Template::new(self, frame, TUNNEL)
    }

    /// A frame of this many bytes, a tunnel not counted, of each of these flows.
    ///
    /// # Errors
    ///
    /// When the system has no memory for them.
    pub fn packets(&self, bytes: usize, flows: impl IntoIterator<Item = u32>) -> io::Result<Vec<Vec<u8>>> {
        let template = self.frame(bytes);
        let region = Region::new(template.bytes.len(), Pages::Small)?;
        region.write(0, &template.bytes);
        let packet = |flow| {
            template.patch.apply(&region, 0, flow);
            let mut frame = vec![0; template.bytes.len()];
            region.read(0, &mut frame);
            frame
        };
        Ok(flows.into_iter().map(packet).collect())
    }

    fn inner(&self, bytes: usize) -> Vec<u8> {
        let mut addresses = self.addresses.map(|address| address.octets());
        if self.answers {
            addresses.reverse();
        }
        let mut frame = ethernet(self.macs);
        let payload = |headers| bytes.saturating_sub(headers);
        match self.kind {
            Kind::Udp => {
                frame.extend(ipv4(addresses, 17, 8 + payload(42)));
                frame.extend(udp([0, 0], 8 + payload(42)));
            }
            kind => {
                let payload = if kind == Kind::Data { payload(54) } else { 0 };
                frame.extend(ipv4(addresses, 6, 20 + payload));
                frame.extend(tcp(kind));
            }
        }
        // Where there is no payload these bytes are padding.
        frame.resize(bytes, 0);
        frame
    }
}

/// A frame, and where it is rewritten.
#[derive(Clone, Debug)]
pub struct Template {
    bytes: Vec<u8>,
    patch: Patch,
}

/// What of a frame depends on the flow; places are offsets from the frame's first byte.
#[derive(Clone, Copy, Debug)]
pub struct Patch {
    traffic: Traffic,
    /// Where the inner IP header begins.
    ip: usize,
    /// The lower halves of the first addresses, source and destination.
    first: [u16; 2],
    /// The sums that the checksums are of, without what is rewritten: of the IP header, and of TCP.
    sums: [u32; 2],
}

impl Template {
    fn new(traffic: &Traffic, mut bytes: Vec<u8>, tunnel: usize) -> Self {
        let ip = tunnel + 14;
        let word = |bytes: &[u8], at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
        let first = [word(&bytes, ip + 14), word(&bytes, ip + 18)];
        bytes[ip + 14..ip + 16].fill(0);
        bytes[ip + 18..ip + 20].fill(0);
        let total = usize::from(word(&bytes, ip + 2));
        let header = sum(&bytes[ip..ip + 20]);
        // The pseudo header (RFC 9293, section 3.1): addresses, protocol, length.
        let pseudo = sum(&bytes[ip + 12..ip + 20]) + u32::from(bytes[ip + 9]) + total as u32 - 20;
        let segment = pseudo + sum(&bytes[ip + 20..ip + total]);
        Self { bytes, patch: Patch { traffic: *traffic, ip, first, sums: [header, segment] } }
    }

    /// Its bytes, with what depends on the flow zero.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What makes it a packet of a flow.
    pub fn patch(&self) -> Patch {
        self.patch
    }
}

impl Patch {
    /// Makes the frame at this even offset a packet of this flow.
    #[inline]
    pub fn apply(&self, region: &Region, frame: usize, flow: u32) {
        let (mut hosts, mut ports) = self.traffic.flow(flow);
        if self.traffic.answers {
            hosts.reverse();
            ports.reverse();
        }
        let addresses = [self.first[0].wrapping_add(hosts[0]), self.first[1].wrapping_add(hosts[1])];
        let put = |at: usize, word: u16| region.u16(frame + at).store(word.to_be(), Ordering::Relaxed);
        let both = u32::from(addresses[0]) + u32::from(addresses[1]);
        let (ip, l4) = (self.ip, self.ip + 20);
        put(ip + 10, fold(self.sums[0] + both));
        put(ip + 14, addresses[0]);
        put(ip + 18, addresses[1]);
        put(l4, ports[0]);
        put(l4 + 2, ports[1]);
        if self.traffic.kind != Kind::Udp {
            put(l4 + 16, fold(self.sums[1] + both + u32::from(ports[0]) + u32::from(ports[1])));
        }
        if self.traffic.tunnel.is_some() {
            // The outer source port is made of the flow (RFC 7348, section 5): 49152 to 65535.
            put(34, 0xc000 | (flow.wrapping_mul(0x9e37_79b1) >> 18) as u16);
        }
    }
}

fn ethernet([source, destination]: [[u8; 6]; 2]) -> Vec<u8> {
    [&destination[..], &source, &[0x08, 0x00]].concat()
}

/// A header for so many bytes of payload; without its checksum.
fn ipv4([source, destination]: [[u8; 4]; 2], protocol: u8, payload: usize) -> Vec<u8> {
    let length = (20 + payload as u16).to_be_bytes();
    // Don't fragment; 64 hops.
    [&[0x45, 0], &length[..], &[0, 0, 0x40, 0, 64, protocol, 0, 0], &source, &destination].concat()
}

fn udp(ports: [u16; 2], length: usize) -> Vec<u8> {
    let [source, destination] = ports.map(u16::to_be_bytes);
    [source, destination, (length as u16).to_be_bytes(), [0, 0]].concat()
}

/// The initial sequence numbers of the two ends.
const BEGIN: [u32; 2] = [1_000, 500_000];

fn tcp(kind: Kind) -> Vec<u8> {
    const SYN: u8 = 2;
    const PSH: u8 = 8;
    const ACK: u8 = 16;
    let [one, other] = BEGIN;
    let (sequence, acknowledged, flags) = match kind {
        Kind::Udp | Kind::Syn => (one, 0, SYN),
        Kind::SynAck => (other, one + 1, SYN | ACK),
        Kind::Ack => (one + 1, other + 1, ACK),
        Kind::Data => (one + 1, other + 1, PSH | ACK),
    };
    let mut header = vec![0; 4];
    header.extend(u32::to_be_bytes(sequence));
    header.extend(u32::to_be_bytes(acknowledged));
    header.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    header
}

/// Writes an IPv4 header's checksum.
fn seal(header: &mut [u8]) {
    let checksum = fold(sum(header)).to_be_bytes();
    header[10..12].copy_from_slice(&checksum);
}

/// The sum of the words (RFC 1071), unfolded: of not more than 2^16 of them.
fn sum(bytes: &[u8]) -> u32 {
    let word = |pair: &[u8]| u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
    bytes.chunks(2).map(word).sum()
}

/// The checksum of such a sum.
#[inline]
fn fold(sum: u32) -> u16 {
    let sum = (sum & 0xffff) + (sum >> 16);
    !((sum & 0xffff) + (sum >> 16)) as u16
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn traffic(kind: Kind) -> Traffic {
        Traffic {
            macs: [[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]],
            addresses: [[10, 0, 255, 250], [10, 1, 0, 1]].map(Ipv4Addr::from),
            hosts: [4, 16],
            service: 8000,
            services: 4,
            answers: false,
            kind,
            tunnel: None,
        }
    }

    fn packet(traffic: &Traffic, bytes: usize, flow: u32) -> Vec<u8> {
        traffic.packets(bytes, [flow]).unwrap().remove(0)
    }

    /// Whether the checksums hold, by the plain definition: the sum of all with the checksum is all ones.
    fn holds(frame: &[u8], ip: usize) -> bool {
        let total = usize::from(u16::from_be_bytes([frame[ip + 2], frame[ip + 3]]));
        let segment = &frame[ip + 20..ip + total];
        let pseudo = sum(&frame[ip + 12..ip + 20]) + u32::from(frame[ip + 9]) + segment.len() as u32;
        let tcp = frame[ip + 9] != 6 || fold(pseudo + sum(segment)) == 0;
        fold(sum(&frame[ip..ip + 20])) == 0 && tcp
    }

    #[test]
    fn checksums_hold_for_every_flow_and_kind() {
        for kind in [Kind::Udp, Kind::Syn, Kind::SynAck, Kind::Ack, Kind::Data] {
            for flow in (0..2_000).chain([999_999]) {
                let traffic = Traffic { answers: kind == Kind::SynAck, ..traffic(kind) };
                let frame = packet(&traffic, 66, flow);
                assert!(holds(&frame, 14), "{kind:?} of flow {flow}: {frame:02x?}");
            }
        }
    }

    #[test]
    fn flows_differ_and_answers_mirror_them() {
        let ends = |frame: &[u8]| {
            (frame[26..30].to_vec(), frame[30..34].to_vec(), frame[34..36].to_vec(), frame[36..38].to_vec())
        };
        let opened = traffic(Kind::Udp);
        let answered = Traffic { answers: true, ..opened };
        let mut seen = HashSet::new();
        for flow in 0..10_000 {
            let (from, to, source, destination) = ends(&packet(&opened, 64, flow));
            let back = ends(&packet(&answered, 64, flow));
            assert_eq!(back, (to.clone(), from.clone(), destination.clone(), source.clone()));
            assert!(seen.insert((from, to, source, destination)), "flow {flow} is another one again");
        }
        assert_eq!(opened.most_flows(), 4 * 16 * 4 * 60_000);
    }

    #[test]
    fn a_tunnel_is_around_the_same_frame() {
        let tunnel = Tunnel {
            macs: [[2, 0, 0, 0, 1, 1], [2, 0, 0, 0, 1, 2]],
            vteps: [[198, 51, 100, 1], [198, 51, 100, 2]].map(Ipv4Addr::from),
            vni: 0x0a_0b0c,
        };
        let inner = packet(&traffic(Kind::Udp), 64, 77);
        let outer = packet(&Traffic { tunnel: Some(tunnel), ..traffic(Kind::Udp) }, 64, 77);
        assert_eq!(outer[TUNNEL..], inner);
        assert!(holds(&outer, 14) && holds(&outer, TUNNEL + 14));
        assert_eq!(outer[16..18], (100_u16).to_be_bytes(), "the outer length: 20 + 8 + 8 + 64");
        assert_eq!(outer[36..38], 4789_u16.to_be_bytes());
        assert_eq!(outer[46..50], [0x0a, 0x0b, 0x0c, 0]);
        assert!(u16::from_be_bytes([outer[34], outer[35]]) >= 49152);
    }
}
