//! What tells sessions apart: segment, protocol, and two ends, put in order so that both directions have one key.

use core::fmt::Debug;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::wire::{End4, Vni};

/// The key of a session, of either family.
pub trait Key: Copy + Eq + Default + Debug {
    /// An address.
    type Address: Copy + Ord + Debug + Into<IpAddr>;

    /// The key of a packet from one end to another, and which way it goes.
    ///
    /// Of protocols with ports the lower end is that with the lower address, and of equal addresses that with the
    /// lower port. Of others (see [`by_address`](Self::by_address)) both numbers stay in their order.
    fn new(vni: Vni, protocol: u8, from: (Self::Address, u16), to: (Self::Address, u16)) -> (Self, Toward);

    /// The key of a packet without ports: two numbers that are the same in both directions tell apart what the
    /// addresses do not.
    fn by_address(
        vni: Vni,
        protocol: u8,
        from: Self::Address,
        to: Self::Address,
        numbers: (u16, u16),
    ) -> (Self, Toward);

    /// The segment.
    fn vni(&self) -> Vni;
    /// The protocol (IANA number).
    fn protocol(&self) -> u8;
    /// The lower end, or the first of two numbers with the lower address.
    fn low(&self) -> (Self::Address, u16);
    /// The higher end, or the second of two numbers with the higher address.
    fn high(&self) -> (Self::Address, u16);
    /// The key as words to be hashed; unused ones are 0.
    fn words(&self) -> [u64; 5];
}

/// Which way a packet goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Toward {
    /// From the lower end to the higher.
    #[default]
    High,
    /// From the higher end to the lower.
    Low,
}

impl Toward {
    /// The other way.
    pub const fn other(self) -> Self {
        match self {
            Self::High => Self::Low,
            Self::Low => Self::High,
        }
    }
}

/// 16 bytes of IPv4: two words, as they are hashed and compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Key4 {
    /// The lower address in the high half, the higher in the low.
    addresses: u64,
    /// From the highest bit: the lower end's port, the higher's, 24 bits of VNI, the protocol.
    rest: u64,
}

/// 40 bytes of IPv6.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct Key6 {
    low: [u64; 2],
    high: [u64; 2],
    ports: u32,
    vni_protocol: u32,
}

const fn pair(first: u16, second: u16) -> u32 {
    (first as u32) << 16 | second as u32
}

const fn vni_of(vni_protocol: u32) -> Vni {
    match Vni::new(vni_protocol >> 8) {
        Some(vni) => vni,
        // Only of a key that was never made: the default.
        None => Vni::LOWEST,
    }
}

impl Key4 {
    /// The key of a packet with ports, see [`Key::new`].
    #[inline]
    pub fn of_ends(vni: Vni, protocol: u8, from: End4, to: End4) -> (Self, Toward) {
        let toward = if from <= to { Toward::High } else { Toward::Low };
        let (low, high) = (from.word().min(to.word()), from.word().max(to.word()));
        let key = Self {
            addresses: (low >> 16) << 32 | high >> 16,
            rest: low << 48 | (high & 0xffff) << 32 | u64::from(vni.value() << 8 | u32::from(protocol)),
        };
        (key, toward)
    }
}

impl Key for Key4 {
    type Address = Ipv4Addr;

    fn new(vni: Vni, protocol: u8, from: (Ipv4Addr, u16), to: (Ipv4Addr, u16)) -> (Self, Toward) {
        let end = |(address, port): (Ipv4Addr, u16)| End4::new(address.to_bits(), port);
        Self::of_ends(vni, protocol, end(from), end(to))
    }

    fn by_address(
        vni: Vni,
        protocol: u8,
        from: Ipv4Addr,
        to: Ipv4Addr,
        numbers: (u16, u16),
    ) -> (Self, Toward) {
        let (a, b, ports) = (from.to_bits(), to.to_bits(), pair(numbers.0, numbers.1));
        let toward = if a <= b { Toward::High } else { Toward::Low };
        let addresses = u64::from(a.min(b)) << 32 | u64::from(a.max(b));
        let rest = u64::from(ports) << 32 | u64::from(vni.value() << 8 | u32::from(protocol));
        (Self { addresses, rest }, toward)
    }

    fn vni(&self) -> Vni {
        vni_of(self.rest as u32)
    }

    fn protocol(&self) -> u8 {
        self.rest as u8
    }

    fn low(&self) -> (Ipv4Addr, u16) {
        (Ipv4Addr::from_bits((self.addresses >> 32) as u32), (self.rest >> 48) as u16)
    }

    fn high(&self) -> (Ipv4Addr, u16) {
        (Ipv4Addr::from_bits(self.addresses as u32), (self.rest >> 32) as u16)
    }

    #[inline]
    fn words(&self) -> [u64; 5] {
        [self.addresses, self.rest, 0, 0, 0]
    }
}

impl Key for Key6 {
    type Address = Ipv6Addr;

    fn new(vni: Vni, protocol: u8, from: (Ipv6Addr, u16), to: (Ipv6Addr, u16)) -> (Self, Toward) {
        let vni_protocol = vni.value() << 8 | u32::from(protocol);
        let (a, b) = ((halves(from.0), from.1), (halves(to.0), to.1));
        let key = |low: ([u64; 2], u16), high: ([u64; 2], u16)| Self {
            low: low.0,
            high: high.0,
            ports: pair(low.1, high.1),
            vni_protocol,
        };
        if a <= b { (key(a, b), Toward::High) } else { (key(b, a), Toward::Low) }
    }

    fn by_address(
        vni: Vni,
        protocol: u8,
        from: Ipv6Addr,
        to: Ipv6Addr,
        numbers: (u16, u16),
    ) -> (Self, Toward) {
        let vni_protocol = vni.value() << 8 | u32::from(protocol);
        let (a, b, ports) = (halves(from), halves(to), pair(numbers.0, numbers.1));
        if a <= b {
            (Self { low: a, high: b, ports, vni_protocol }, Toward::High)
        } else {
            (Self { low: b, high: a, ports, vni_protocol }, Toward::Low)
        }
    }

    fn vni(&self) -> Vni {
        vni_of(self.vni_protocol)
    }

    fn protocol(&self) -> u8 {
        self.vni_protocol as u8
    }

    fn low(&self) -> (Ipv6Addr, u16) {
        (address(self.low), (self.ports >> 16) as u16)
    }

    fn high(&self) -> (Ipv6Addr, u16) {
        (address(self.high), self.ports as u16)
    }

    fn words(&self) -> [u64; 5] {
        let [a, b] = self.low;
        let [c, d] = self.high;
        [a, b, c, d, u64::from(self.ports) << 32 | u64::from(self.vni_protocol)]
    }
}

const fn halves(address: Ipv6Addr) -> [u64; 2] {
    let bits = address.to_bits();
    [(bits >> 64) as u64, bits as u64]
}

const fn address(halves: [u64; 2]) -> Ipv6Addr {
    Ipv6Addr::from_bits((halves[0] as u128) << 64 | halves[1] as u128)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn both_ways<K: Key>(from: (K::Address, u16), to: (K::Address, u16), protocol: u8) {
        let vni = Vni::LOWEST;
        let (there, way) = K::new(vni, protocol, from, to);
        let (back, other) = K::new(vni, protocol, to, from);
        assert_eq!(there, back);
        assert_eq!(way == other, from == to);
        assert_eq!((there.vni(), there.protocol()), (vni, protocol));
        let ends = (there.low(), there.high());
        assert_eq!(ends, if way == Toward::High { (from, to) } else { (to, from) });
        let numbers = (from.1, to.1);
        let (there, _) = K::by_address(vni, protocol, from.0, to.0, numbers);
        let (back, _) = K::by_address(vni, protocol, to.0, from.0, numbers);
        assert_eq!(there, back);
        assert_eq!((there.low().1, there.high().1), numbers);
    }

    proptest! {
        #[test]
        fn both_directions_have_one_key(
            a: u32, b: u32, c: u128, d: u128, ports: (u16, u16), protocol: u8,
        ) {
            both_ways::<Key4>((a.into(), ports.0), (b.into(), ports.1), protocol);
            both_ways::<Key4>((a.into(), ports.0), (a.into(), ports.1), protocol);
            both_ways::<Key6>((c.into(), ports.0), (d.into(), ports.1), protocol);
        }
    }

    #[test]
    fn keys_are_small() {
        assert_eq!((size_of::<Key4>(), size_of::<Key6>()), (16, 40));
    }
}
