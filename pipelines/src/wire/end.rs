//! One end of an IPv4 packet.

use core::net::Ipv4Addr;

/// The end of an IPv4 packet: its address and, where the packet tells it, its port; in one word, for it is compared
/// and hashed as one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct End4(u64);

impl End4 {
    /// The end with this address and port; without ports 0.
    #[inline]
    pub const fn new(address: u32, port: u16) -> Self {
        Self((address as u64) << 16 | port as u64)
    }

    /// Its address.
    #[inline]
    pub const fn address(self) -> Ipv4Addr {
        Ipv4Addr::from_bits((self.0 >> 16) as u32)
    }

    /// Its port.
    #[inline]
    pub const fn port(self) -> u16 {
        self.0 as u16
    }

    /// Both, the address above the 16 bits of the port.
    #[inline]
    pub const fn word(self) -> u64 {
        self.0
    }
}
