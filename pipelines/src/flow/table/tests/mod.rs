mod model;

use core::net::{Ipv4Addr, Ipv6Addr};

use super::super::key::{Key, Key4, Key6};
use crate::wire::Vni;

/// Keys by number.
trait Numbered: Key {
    fn numbered(n: u32) -> Self;
}

impl Numbered for Key4 {
    fn numbered(n: u32) -> Self {
        let (client, port) = (0x0a00_0000 | n >> 14, n as u16 & 0x3fff | 0x8000);
        Self::new(
            Vni::LOWEST,
            6,
            (Ipv4Addr::from_bits(client), port),
            (Ipv4Addr::from_bits(0x0b00_0001), 443),
        )
        .0
    }
}

impl Numbered for Key6 {
    fn numbered(n: u32) -> Self {
        let (client, port) = (0x2001_0db8 << 96 | u128::from(n >> 14), n as u16 & 0x3fff | 0x8000);
        Self::new(Vni::LOWEST, 6, (Ipv6Addr::from_bits(client), port), (Ipv6Addr::LOCALHOST, 443)).0
    }
}
