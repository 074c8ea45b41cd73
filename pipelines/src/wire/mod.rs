//! Header views: a length is checked once, when a view is made; its accessors cannot fail.
//!
//! A view borrows the header's bytes where they lie. What writes a header writes it into a slice of the
//! header's size, so that too is checked once.

pub mod arp;
pub mod checksum;
pub mod dns;
mod end;
pub mod ethernet;
pub mod icmp;
pub mod icmpv6;
pub mod ipv4;
pub mod ipv6;
mod mac;
pub mod quoted;
pub mod sctp;
pub mod tcp;
pub mod tos;
pub mod udp;
pub mod vlan;
mod vni;
pub mod vxlan;

pub use arp::Arp;
pub use dns::Dns;
pub use end::End4;
pub use ethernet::Ethernet;
pub use icmp::Icmp;
pub use icmpv6::Icmpv6;
pub use ipv4::Ipv4;
pub use ipv6::Ipv6;
pub use mac::{Mac, NotAMac};
pub use quoted::Quoted;
pub use sctp::Sctp;
pub use tcp::Tcp;
pub use udp::Udp;
pub use vlan::Vlan;
pub use vni::Vni;
pub use vxlan::Vxlan;

/// The header contradicts itself or the bytes that are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;
