//! The IPv4 header (RFC 791).

use core::net::Ipv4Addr;

use super::{Malformed, checksum};

/// Bytes of a header without options.
pub const LEN: usize = 20;

/// An IPv4 header, without its options.
#[derive(Clone, Copy, Debug)]
pub struct Ipv4<'a>(&'a [u8; LEN]);

impl<'a> Ipv4<'a> {
    /// The header at the start of `packet` and its payload, without the padding a short frame has behind it.
    pub fn split(packet: &'a [u8]) -> Result<(Self, &'a [u8]), Malformed> {
        let header = Self::first(packet)?;
        packet.get(header.header_len()..header.total_len()).map(|payload| (header, payload)).ok_or(Malformed)
    }

    /// The header at the start of a packet of which the end may be missing, and the payload that is there.
    pub fn split_cut(packet: &'a [u8]) -> Result<(Self, &'a [u8]), Malformed> {
        let header = Self::first(packet)?;
        let end = header.total_len().min(packet.len());
        packet.get(header.header_len()..end).map(|payload| (header, payload)).ok_or(Malformed)
    }

    fn first(packet: &'a [u8]) -> Result<Self, Malformed> {
        let header = Self(packet.first_chunk().ok_or(Malformed)?);
        let version = header.0[0] >> 4;
        let (header_len, total_len) = (header.header_len(), header.total_len());
        if version != 4 || header_len < LEN || total_len < header_len { Err(Malformed) } else { Ok(header) }
    }

    /// Bytes of the header with its options.
    pub const fn header_len(self) -> usize {
        (self.0[0] & 0xf) as usize * 4
    }

    /// DSCP and ECN.
    pub const fn tos(self) -> u8 {
        self.0[1]
    }

    /// Bytes of header and payload.
    pub const fn total_len(self) -> usize {
        u16::from_be_bytes([self.0[2], self.0[3]]) as usize
    }

    /// The identification that fragments of one packet share.
    pub const fn identification(self) -> u16 {
        u16::from_be_bytes([self.0[4], self.0[5]])
    }

    /// Where the payload stands in the packet that was fragmented, in bytes.
    pub const fn fragment_offset(self) -> usize {
        (u16::from_be_bytes([self.0[6], self.0[7]]) & 0x1fff) as usize * 8
    }

    /// Whether more fragments follow.
    pub const fn more_fragments(self) -> bool {
        self.0[6] & 0x20 != 0
    }

    /// Whether it is one of several fragments.
    pub const fn is_fragment(self) -> bool {
        u16::from_be_bytes([self.0[6], self.0[7]]) & 0x3fff != 0
    }

    /// Time to live.
    pub const fn ttl(self) -> u8 {
        self.0[8]
    }

    /// What the payload is (IANA protocol number).
    pub const fn protocol(self) -> u8 {
        self.0[9]
    }

    /// The source.
    pub const fn source(self) -> Ipv4Addr {
        Ipv4Addr::new(self.0[12], self.0[13], self.0[14], self.0[15])
    }

    /// The destination.
    pub const fn destination(self) -> Ipv4Addr {
        Ipv4Addr::new(self.0[16], self.0[17], self.0[18], self.0[19])
    }

    /// Whether the checksum fits a header without options.
    pub fn checksum_holds(self) -> bool {
        checksum::holds(self.0)
    }
}

/// Makes a packet's header that of an answer to it: the addresses change places, and it lives for `ttl` from here.
pub fn turn_round(header: &mut [u8; LEN], ttl: u8) {
    // The checksum does not notice the order of the addresses.
    header[12..20].rotate_left(4);
    let old = u16::from_be_bytes([header[8], header[9]]);
    header[8] = ttl;
    let new = u16::from_be_bytes([header[8], header[9]]);
    let checksum = checksum::update(u16::from_be_bytes([header[10], header[11]]), old, new);
    header[10..12].copy_from_slice(&checksum.to_be_bytes());
}

/// IANA protocol numbers.
pub mod protocol {
    /// ICMP.
    pub const ICMP: u8 = 1;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// ICMPv6.
    pub const ICMPV6: u8 = 58;
    /// SCTP.
    pub const SCTP: u8 = 132;
}
