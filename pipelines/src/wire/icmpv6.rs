//! ICMPv6 (RFC 4443) and, of it, neighbour discovery (RFC 4861).

use core::net::Ipv6Addr;

use super::{Mac, Malformed};

/// Bytes of the header.
pub const LEN: usize = 4;

/// Message types.
pub mod kind {
    /// Echo request.
    pub const ECHO_REQUEST: u8 = 128;
    /// Echo reply.
    pub const ECHO_REPLY: u8 = 129;
    /// Router solicitation.
    pub const ROUTER_SOLICITATION: u8 = 133;
    /// Router advertisement.
    pub const ROUTER_ADVERTISEMENT: u8 = 134;
    /// Neighbour solicitation.
    pub const NEIGHBOR_SOLICITATION: u8 = 135;
    /// Neighbour advertisement.
    pub const NEIGHBOR_ADVERTISEMENT: u8 = 136;
    /// Redirect.
    pub const REDIRECT: u8 = 137;
}

/// An ICMPv6 header.
#[derive(Clone, Copy, Debug)]
pub struct Icmpv6<'a>(&'a [u8; LEN]);

impl<'a> Icmpv6<'a> {
    /// The header at the start of `payload`, and what follows it.
    pub fn split(payload: &'a [u8]) -> Option<(Self, &'a [u8])> {
        payload.split_first_chunk().map(|(header, rest)| (Self(header), rest))
    }

    /// The message's type.
    pub const fn kind(self) -> u8 {
        self.0[0]
    }

    /// The message's code.
    pub const fn code(self) -> u8 {
        self.0[1]
    }
}

/// A neighbour solicitation or advertisement, or a router solicitation: what it claims of its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Discovery {
    /// The address asked for (solicitation) or claimed (advertisement); none in a router solicitation.
    pub target: Option<Ipv6Addr>,
    /// The link-layer address it says is the sender's, if it says one.
    pub link_layer: Option<Mac>,
}

/// Options read before a message is called malformed; a well-formed one of these kinds carries one.
const MAX_OPTIONS: usize = 8;

impl Discovery {
    /// Reads the message of type `kind`, whose body `rest` starts behind the ICMPv6 header.
    pub fn parse(kind: u8, rest: &[u8]) -> Result<Self, Malformed> {
        // Both carry a word of flags or reserved bits before what comes next.
        let rest = rest.get(4..).ok_or(Malformed)?;
        let (target, mut options) = if kind == kind::ROUTER_SOLICITATION {
            (None, rest)
        } else {
            let (target, options) = rest.split_first_chunk::<16>().ok_or(Malformed)?;
            (Some(Ipv6Addr::from(*target)), options)
        };
        let mut link_layer = None;
        for _ in 0..MAX_OPTIONS {
            let [option, length, ..] = *options else {
                // RFC 4861, section 7.1: options fill the message to its end.
                return if options.is_empty() { Ok(Self { target, link_layer }) } else { Err(Malformed) };
            };
            let (body, next) = match usize::from(length) * 8 {
                0 => return Err(Malformed),
                length => options.split_at_checked(length).ok_or(Malformed)?,
            };
            // Source (1) and target (2) link-layer address: both are the sender's own.
            if let (1 | 2, [_, _, a, b, c, d, e, f]) = (option, body) {
                link_layer = Some(Mac([*a, *b, *c, *d, *e, *f]));
            }
            options = next;
        }
        if options.is_empty() { Ok(Self { target, link_layer }) } else { Err(Malformed) }
    }
}
