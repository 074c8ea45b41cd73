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
    /// Multicast listener report (RFC 2710).
    pub const MLD_REPORT: u8 = 131;
    /// Multicast listener done (RFC 2710).
    pub const MLD_DONE: u8 = 132;
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
    /// Multicast listener report, version 2 (RFC 3810).
    pub const MLD_REPORT_V2: u8 = 143;
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
pub struct Discovery<'a> {
    /// The address asked for (solicitation) or claimed (advertisement); none in a router solicitation.
    pub target: Option<Ipv6Addr>,
    /// Whole options, no more than [`MAX_OPTIONS`].
    options: &'a [u8],
}

/// Options read before a message is called malformed; a well-formed one of these kinds carries one.
const MAX_OPTIONS: usize = 8;

impl<'a> Discovery<'a> {
    /// Reads the message of type `kind`, whose body `rest` starts behind the ICMPv6 header.
    pub fn parse(kind: u8, rest: &'a [u8]) -> Result<Self, Malformed> {
        // Both carry a word of flags or reserved bits before what comes next.
        let rest = rest.get(4..).ok_or(Malformed)?;
        let (target, options) = if kind == kind::ROUTER_SOLICITATION {
            (None, rest)
        } else {
            let (target, options) = rest.split_first_chunk::<16>().ok_or(Malformed)?;
            (Some(Ipv6Addr::from(*target)), options)
        };
        // RFC 4861, section 7.1: options fill the message to its end.
        let whole = Options(options).map(<[u8]>::len).take(MAX_OPTIONS).sum::<usize>() == options.len();
        let sound = |option: &[u8]| !is_link_layer(option) || option.len() == 8;
        if whole && Options(options).all(sound) { Ok(Self { target, options }) } else { Err(Malformed) }
    }

    /// The link-layer addresses it says are the sender's: one for each option that says one.
    ///
    /// Receivers differ in which of several they believe.
    pub fn link_layers(&self) -> impl Iterator<Item = Mac> + 'a {
        Options(self.options).filter(|option| is_link_layer(option)).filter_map(|option| match option {
            [_, _, a, b, c, d, e, f] => Some(Mac([*a, *b, *c, *d, *e, *f])),
            _ => None,
        })
    }
}

/// Source (1) and target (2) link-layer address: in these messages both are the sender's own.
fn is_link_layer(option: &[u8]) -> bool {
    matches!(option, [1 | 2, ..])
}

/// The whole options at the start of the bytes, until one of no length or one that is cut short.
struct Options<'a>(&'a [u8]);

impl<'a> Iterator for Options<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let length = usize::from(*self.0.get(1)?) * 8;
        let (option, rest) = self.0.split_at_checked(length).filter(|_| length > 0)?;
        self.0 = rest;
        Some(option)
    }
}
