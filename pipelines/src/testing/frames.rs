//! Whole frames between endpoints and hosts of the default [`Lab`](super::Lab), by their numbers.

use super::lab::{self, VXLAN_PORT, ipv4, ipv6, mac, vtep};
use super::packets::{self, Ends, frame};
use crate::wire::Mac;
use crate::wire::ipv4::protocol;

/// The IPv4 addresses of two endpoints.
pub fn ends4(from: u8, to: u8) -> Ends {
    (ipv4(from).into(), ipv4(to).into())
}

/// The IPv6 addresses of two endpoints.
pub fn ends6(from: u8, to: u8) -> Ends {
    (ipv6(from).into(), ipv6(to).into())
}

/// A UDP datagram over IPv4.
pub fn udp4(from: u8, to: u8, data: &[u8]) -> Vec<u8> {
    udp4_to(mac(to), from, to, data)
}

/// A UDP datagram over IPv4, to any MAC.
pub fn udp4_to(destination: Mac, from: u8, to: u8, data: &[u8]) -> Vec<u8> {
    let ends = ends4(from, to);
    frame(destination, mac(from), ends, protocol::UDP, &packets::udp(ends, 5000, 7, data))
}

/// A UDP datagram over IPv6.
pub fn udp6(from: u8, to: u8, data: &[u8]) -> Vec<u8> {
    let ends = ends6(from, to);
    frame(mac(to), mac(from), ends, protocol::UDP, &packets::udp(ends, 5000, 7, data))
}

/// `count` conversations over UDP and IPv4, told apart by their source ports: a datagram of `bytes` each.
pub fn flows(from: u8, to: u8, count: u16, bytes: usize) -> Vec<Vec<u8>> {
    let ends = ends4(from, to);
    let datagram = |n| packets::udp(ends, 10_000 + n, 7, &vec![0; bytes]);
    (0..count).map(|n| frame(mac(to), mac(from), ends, protocol::UDP, &datagram(n))).collect()
}

/// A TCP segment over IPv4.
pub fn tcp4(from: u8, to: u8, data: &[u8]) -> Vec<u8> {
    let ends = ends4(from, to);
    frame(mac(to), mac(from), ends, protocol::TCP, &packets::tcp(ends, 5000, 80, 0x18, data))
}

/// An ICMPv6 message over IPv6 between any two addresses, to any MAC.
pub fn icmp6(destination: Mac, from: u8, ends: Ends, kind: u8, rest: &[u8]) -> Vec<u8> {
    frame(destination, mac(from), ends, protocol::ICMPV6, &packets::icmpv6(ends, kind, rest))
}

/// `inner` from host `index` to `hv-a`, in the segment with `vni`.
pub fn from_fabric(index: usize, vni: u32, inner: &[u8]) -> Vec<u8> {
    Outer::new(index).around(&packets::vxlan(8, vni, inner))
}

/// Outer headers, of which each part can be made wrong.
#[derive(Clone, Debug)]
pub struct Outer {
    /// The destination's MAC.
    pub to: Mac,
    /// The source's MAC.
    pub from: Mac,
    /// The addresses.
    pub ends: Ends,
    /// The UDP destination port.
    pub port: u16,
    /// IPv4 options and fragment bits.
    pub shape: packets::Shape<'static>,
}

impl Outer {
    /// Those of a packet from host `index` to `hv-a`.
    pub fn new(index: usize) -> Self {
        let (from, to) = (vtep(index as u8), vtep(lab::host::HV_A as u8));
        Self {
            to: to.1,
            from: from.1,
            ends: (from.0.into(), to.0.into()),
            port: VXLAN_PORT,
            shape: packets::Shape::default(),
        }
    }

    /// `data` in a UDP datagram with these headers.
    pub fn around(&self, data: &[u8]) -> Vec<u8> {
        let datagram = packets::udp(self.ends, 50_000, self.port, data);
        self.before(protocol::UDP, &datagram)
    }

    /// `payload`, which is of `protocol`, with these headers.
    pub fn before(&self, protocol: u8, payload: &[u8]) -> Vec<u8> {
        let (core::net::IpAddr::V4(source), core::net::IpAddr::V4(destination)) = self.ends else {
            return packets::frame(self.to, self.from, self.ends, protocol, payload);
        };
        let packet = packets::ipv4_with(source, destination, protocol, payload, self.shape);
        packets::ethernet(self.to, self.from, 0x0800, &packet)
    }
}
