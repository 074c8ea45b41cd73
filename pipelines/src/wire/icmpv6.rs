//! ICMPv6 (RFC 4443) and, of it, neighbour discovery (RFC 4861).

use core::net::Ipv6Addr;

use super::{Mac, Malformed};

/// Bytes of the header.
pub const LEN: usize = 4;

/// Message types.
pub mod kind {
    /// Destination unreachable.
    pub const UNREACHABLE: u8 = 1;
    /// Packet too big.
    pub const TOO_BIG: u8 = 2;
    /// Time exceeded.
    pub const TIME_EXCEEDED: u8 = 3;
    /// Parameter problem.
    pub const PARAMETER_PROBLEM: u8 = 4;
    /// Echo request.
    pub const ECHO_REQUEST: u8 = 128;
    /// Echo reply.
    pub const ECHO_REPLY: u8 = 129;
    /// Multicast listener query (RFC 2710, RFC 3810).
    pub const MLD_QUERY: u8 = 130;
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

/// Whether messages of type `kind` tell of a packet that was not delivered, and quote it.
///
/// Types below 128 that nobody knows are errors too (RFC 4443, section 2.1), but what they quote, and where, is
/// not known either.
pub const fn is_error(kind: u8) -> bool {
    matches!(kind, kind::UNREACHABLE | kind::TOO_BIG | kind::TIME_EXCEEDED | kind::PARAMETER_PROBLEM)
}

/// The type of the query that a message of type `kind` is or answers, and whether it is the answer.
pub const fn query_of(kind: u8) -> Option<(u8, bool)> {
    match kind {
        kind::ECHO_REQUEST => Some((kind, false)),
        kind::ECHO_REPLY => Some((kind::ECHO_REQUEST, true)),
        _ => None,
    }
}

/// Whether a message of type `kind` keeps the link itself going: neighbour discovery and multicast listeners.
///
/// Policy is not asked about them: without them there is no link to have a policy for (RFC 4890, section
/// 4.4.1).
pub const fn is_discovery(kind: u8) -> bool {
    matches!(kind, kind::MLD_QUERY..=kind::REDIRECT | kind::MLD_REPORT_V2)
}

/// The identifier of an echo request or reply, of which `rest` is what follows the header.
pub fn identifier(rest: &[u8]) -> Option<u16> {
    rest.first_chunk().map(|identifier| u16::from_be_bytes(*identifier))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_an_error_a_query_discovery_or_none() {
        let of = |holds: fn(u8) -> bool| (0..=255).filter(|kind| holds(*kind)).collect::<Vec<u8>>();
        assert_eq!(of(is_error), [1, 2, 3, 4]);
        assert_eq!(of(|kind| query_of(kind) == Some((128, false))), [128]);
        assert_eq!(of(|kind| query_of(kind) == Some((128, true))), [129]);
        assert_eq!(of(|kind| query_of(kind).is_some()), [128, 129]);
        assert_eq!(of(is_discovery), [130, 131, 132, 133, 134, 135, 136, 137, 143]);
        assert_eq!(identifier(&[1, 2, 3]), Some(0x0102));
        assert_eq!(identifier(&[1]), None);
    }
}
