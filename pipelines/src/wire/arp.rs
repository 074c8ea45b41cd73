//! ARP for IPv4 over Ethernet (RFC 826).

use core::net::Ipv4Addr;

use super::{Mac, Malformed};

/// Bytes of an ARP packet for IPv4 over Ethernet.
pub const LEN: usize = 28;

/// What an ARP packet says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Who has the target's address?
    Request,
    /// The sender has the sender's address.
    Reply,
}

/// An ARP packet.
#[derive(Clone, Copy, Debug)]
pub struct Arp<'a>(&'a [u8; LEN]);

impl<'a> Arp<'a> {
    /// The packet at the start of `data`: of IPv4 over Ethernet, a request or a reply.
    pub fn parse(data: &'a [u8]) -> Result<Self, Malformed> {
        let bytes = data.first_chunk::<LEN>().ok_or(Malformed)?;
        let hardware_and_protocol = [0x00, 0x01, 0x08, 0x00, 6, 4];
        let operation = u16::from_be_bytes([bytes[6], bytes[7]]);
        if bytes[..6] == hardware_and_protocol && matches!(operation, 1 | 2) {
            Ok(Self(bytes))
        } else {
            Err(Malformed)
        }
    }

    /// Request or reply.
    pub const fn operation(self) -> Operation {
        if self.0[7] == 1 { Operation::Request } else { Operation::Reply }
    }

    /// The sender's MAC.
    pub const fn sender_mac(self) -> Mac {
        let b = self.0;
        Mac([b[8], b[9], b[10], b[11], b[12], b[13]])
    }

    /// The sender's address; unspecified in a probe (RFC 5227).
    pub const fn sender_ip(self) -> Ipv4Addr {
        Ipv4Addr::new(self.0[14], self.0[15], self.0[16], self.0[17])
    }

    /// The address asked for, or the one who asked.
    pub const fn target_ip(self) -> Ipv4Addr {
        Ipv4Addr::new(self.0[24], self.0[25], self.0[26], self.0[27])
    }
}

/// Writes a packet.
pub fn write(
    packet: &mut [u8; LEN],
    operation: Operation,
    (sender_mac, sender_ip): (Mac, Ipv4Addr),
    (target_mac, target_ip): (Mac, Ipv4Addr),
) {
    let code = if operation == Operation::Request { 1 } else { 2 };
    packet[..8].copy_from_slice(&[0x00, 0x01, 0x08, 0x00, 6, 4, 0, code]);
    packet[8..14].copy_from_slice(&sender_mac.0);
    packet[14..18].copy_from_slice(&sender_ip.octets());
    packet[18..24].copy_from_slice(&target_mac.0);
    packet[24..28].copy_from_slice(&target_ip.octets());
}
