//! Who is there, whatever switches between them: guests with a few addresses each, and a host across the fabric.

use std::net::Ipv4Addr;

use crate::load::{Kind, Traffic, Tunnel};

/// Addresses of a guest: consecutive, from [`Guest::first`].
pub const HOSTS: u16 = 16;
/// The ports that guests are reached at: consecutive, from [`SERVICE`].
pub const SERVICES: u16 = 4;
/// The first of them.
pub const SERVICE: u16 = 8000;
/// The segment of all guests.
pub const VNI: u32 = 1001;
/// The tunnel's ends: the switch's own, the other host's.
pub const VTEPS: [Ipv4Addr; 2] = [Ipv4Addr::new(198, 51, 100, 1), Ipv4Addr::new(198, 51, 100, 2)];
/// The MACs on the underlay: the switch's own, the other host's.
pub const UNDERLAY_MACS: [[u8; 6]; 2] = [[2, 0, 0, 0, 0xff, 1], [2, 0, 0, 0, 0xff, 2]];
/// The underlay's MTU.
pub const UNDERLAY_MTU: u16 = 1600;

/// An interface of a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guest {
    /// Its name.
    pub name: &'static str,
    /// Its MAC.
    pub mac: [u8; 6],
    /// The first of its addresses.
    pub first: Ipv4Addr,
}

impl Guest {
    /// All its addresses.
    pub fn addresses(&self) -> impl Iterator<Item = Ipv4Addr> {
        let first = u32::from(self.first);
        (0..u32::from(HOSTS)).map(move |n| Ipv4Addr::from(first + n))
    }
}

/// Who opens connections.
pub const CLIENT: Guest =
    Guest { name: "client", mac: [2, 0, 0, 0, 1, 1], first: Ipv4Addr::new(10, 1, 1, 16) };
/// Whom connections are opened to: beside the client, or on the other host.
pub const SERVER: Guest =
    Guest { name: "server", mac: [2, 0, 0, 0, 1, 2], first: Ipv4Addr::new(10, 1, 2, 16) };
/// Who sends all that it can.
pub const NEIGHBOUR: Guest =
    Guest { name: "neighbour", mac: [2, 0, 0, 0, 1, 3], first: Ipv4Addr::new(10, 1, 3, 16) };

/// UDP from one guest to another.
pub fn traffic(from: Guest, to: Guest) -> Traffic {
    Traffic {
        macs: [from.mac, to.mac],
        addresses: [from.first, to.first],
        hosts: [HOSTS, HOSTS],
        service: SERVICE,
        services: SERVICES,
        answers: false,
        kind: Kind::Udp,
        tunnel: None,
    }
}

/// The tunnel from the other host to the switch.
pub fn tunnel() -> Tunnel {
    let ([own, other], [own_mac, other_mac]) = (VTEPS, UNDERLAY_MACS);
    Tunnel { macs: [other_mac, own_mac], vteps: [other, own], vni: VNI }
}

/// A MAC as text.
pub fn mac(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}
