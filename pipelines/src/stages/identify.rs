//! Tells which flow a packet belongs to.

use core::net::{Ipv4Addr, Ipv6Addr};

use crate::flow::{Key, Key4, Key6, Toward};
use crate::stages::parse::{Fragment, Headers, Network};
use crate::wire::ipv4::protocol;
use crate::wire::{Icmp, Icmpv6, Ipv6, Quoted, Vni, ethernet, icmp, icmpv6, ipv4};

/// What a packet is to its flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Part {
    /// It has none: ARP, neighbour discovery, or another worker's to look at.
    #[default]
    None,
    /// Of the flow, which it may open.
    Opens,
    /// An answer to a query: it opens nothing.
    Answers,
    /// An ICMP error about a packet of the flow.
    About,
    /// A later fragment, which does not tell its flow.
    Later,
    /// An ICMP error that quotes no packet that its receiver could have sent.
    Astray,
}

/// A key of one of two families, which way its packet goes, and what the packet is to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// IPv4.
    V4(Key4, Toward, Part),
    /// IPv6.
    V6(Key6, Toward, Part),
    /// The packet has no key.
    None(Part),
}

/// The key of a packet that is [`Plain`](super::parse::Plain) over IPv4, which its headers tell alone. It opens its flow, or is of
/// it.
#[inline(always)]
pub fn plain(headers: &Headers, vni: Vni) -> (Key4, Toward) {
    Key4::of_ends(vni, headers.protocol, headers.source, headers.destination)
}

/// The same over IPv6.
#[inline]
pub fn plain_v6(frame: &[u8], headers: &Headers, vni: Vni) -> Option<(Key6, Toward)> {
    let bytes = frame.get(ethernet::LEN + 8..)?.first_chunk::<36>()?;
    let address = |at: usize| Some(Ipv6Addr::from_bits(u128::from_be_bytes(*bytes[at..].first_chunk()?)));
    let half = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
    Some(Key6::new(vni, headers.protocol, (address(0)?, half(32)), (address(16)?, half(34))))
}

/// The flow that the packet in `frame`, whose headers are known, belongs to in segment `vni`.
pub fn identify(frame: &[u8], headers: &Headers, vni: Vni) -> Identity {
    match (headers.network, headers.fragment) {
        (Network::Arp, _) => Identity::None(Part::None),
        (_, Fragment::Later) => Identity::None(Part::Later),
        (Network::Ipv4, _) => identify_v4(frame, headers, vni).unwrap_or(Identity::None(Part::Astray)),
        (Network::Ipv6, _) => identify_v6(frame, headers, vni).unwrap_or(Identity::None(Part::Astray)),
    }
}

/// The bytes from the transport header on.
fn transport<'a>(frame: &'a [u8], headers: &Headers) -> &'a [u8] {
    frame.get(usize::from(headers.transport)..).unwrap_or_default()
}

fn identify_v4(frame: &[u8], headers: &Headers, vni: Vni) -> Option<Identity> {
    let addresses = frame.get(ethernet::LEN..)?.first_chunk::<{ ipv4::LEN }>()?;
    let [.., a, b, c, d, e, f, g, h] = *addresses;
    let (from, to) = (Ipv4Addr::new(a, b, c, d), Ipv4Addr::new(e, f, g, h));
    let rest = transport(frame, headers);
    if headers.protocol == protocol::ICMP {
        return identify_icmp(rest, from, to, vni);
    }
    let (key, toward) = keyed::<Key4>(vni, headers.protocol, from, to, rest);
    Some(Identity::V4(key, toward, Part::Opens))
}

fn identify_v6(frame: &[u8], headers: &Headers, vni: Vni) -> Option<Identity> {
    let (ip, _) = Ipv6::split(frame.get(ethernet::LEN..)?).ok()?;
    let (from, to) = (ip.source(), ip.destination());
    let rest = transport(frame, headers);
    if headers.protocol == protocol::ICMPV6 {
        return identify_icmpv6(rest, headers.fragment, from, to, vni);
    }
    let (key, toward) = keyed::<Key6>(vni, headers.protocol, from, to, rest);
    Some(Identity::V6(key, toward, Part::Opens))
}

/// The key of a packet other than ICMP, of which `rest` is the transport header.
fn keyed<K: Key>(vni: Vni, protocol: u8, from: K::Address, to: K::Address, rest: &[u8]) -> (K, Toward) {
    match (has_ports(protocol), rest) {
        (true, [a, b, c, d, ..]) => {
            let (source, destination) = (u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d]));
            K::new(vni, protocol, (from, source), (to, destination))
        }
        _ => K::by_address(vni, protocol, from, to, (0, 0)),
    }
}

/// Whether a protocol's header begins with a source and a destination port.
pub const fn has_ports(protocol: u8) -> bool {
    matches!(protocol, protocol::TCP | protocol::UDP | protocol::SCTP)
}

/// The key of an ICMP message from one address to another.
///
/// A query and its answer have one, which also tells who asks: two ends may ask each other with one identifier. Other
/// messages have one for each type and code, and are never answered.
fn said_by<K: Key>(
    vni: Vni,
    protocol: u8,
    (from, to): (K::Address, K::Address),
    (kind, code, identifier): (u8, u8, u16),
    query: Option<(u8, bool)>,
) -> (K, Toward, Part) {
    let Some((query, answers)) = query else {
        let (key, toward) = K::by_address(vni, protocol, from, to, (0, u16::from_be_bytes([kind, code])));
        return (key, toward, Part::Opens);
    };
    let asked_by_high = (from > to) != answers;
    let code = code & !ASKED_BY_HIGH | if asked_by_high { ASKED_BY_HIGH } else { 0 };
    let (key, toward) =
        K::by_address(vni, protocol, from, to, (identifier, u16::from_be_bytes([query, code])));
    (key, toward, if answers { Part::Answers } else { Part::Opens })
}

/// Set in the code of a query's key when its higher address asks. Queries have no codes but 0.
const ASKED_BY_HIGH: u8 = 0x80;

fn identify_icmp(message: &[u8], from: Ipv4Addr, to: Ipv4Addr, vni: Vni) -> Option<Identity> {
    let (icmp, _) = Icmp::split(message)?;
    if icmp::is_error(icmp.kind()) {
        let quoted = Quoted::by_icmp(message).ok()?;
        // Who is told of a packet's fate is who sent it.
        if quoted.source != to || quoted.is_later_fragment {
            return None;
        }
        let (key, toward) = if quoted.protocol == protocol::ICMP {
            let (inner, _) = Icmp::split(quoted.transport)?;
            let said = (inner.kind(), inner.code(), inner.identifier());
            let (key, toward, _) = said_by::<Key4>(
                vni,
                protocol::ICMP,
                (quoted.source, quoted.destination),
                said,
                icmp::query_of(inner.kind()),
            );
            (key, toward)
        } else {
            keyed::<Key4>(vni, quoted.protocol, quoted.source, quoted.destination, quoted.transport)
        };
        return Some(Identity::V4(key, toward, Part::About));
    }
    let said = (icmp.kind(), icmp.code(), icmp.identifier());
    let (key, toward, part) =
        said_by::<Key4>(vni, protocol::ICMP, (from, to), said, icmp::query_of(icmp.kind()));
    Some(Identity::V4(key, toward, part))
}

fn identify_icmpv6(
    message: &[u8],
    fragment: Fragment,
    from: Ipv6Addr,
    to: Ipv6Addr,
    vni: Vni,
) -> Option<Identity> {
    let (icmp, body) = Icmpv6::split(message)?;
    if icmpv6::is_error(icmp.kind()) {
        let quoted = Quoted::by_icmpv6(message).ok()?;
        if quoted.source != to || quoted.is_later_fragment {
            return None;
        }
        let (key, toward) = if quoted.protocol == protocol::ICMPV6 {
            let (inner, body) = Icmpv6::split(quoted.transport)?;
            let said = (inner.kind(), inner.code(), icmpv6::identifier(body).unwrap_or_default());
            let (key, toward, _) = said_by::<Key6>(
                vni,
                protocol::ICMPV6,
                (quoted.source, quoted.destination),
                said,
                icmpv6::query_of(inner.kind()),
            );
            (key, toward)
        } else {
            keyed::<Key6>(vni, quoted.protocol, quoted.source, quoted.destination, quoted.transport)
        };
        return Some(Identity::V6(key, toward, Part::About));
    }
    // Without neighbour discovery there are no neighbours: as ARP, it is held to the endpoint and not to policy.
    if icmpv6::is_discovery(icmp.kind()) && fragment == Fragment::Whole {
        return Some(Identity::None(Part::None));
    }
    let said = (icmp.kind(), icmp.code(), icmpv6::identifier(body).unwrap_or_default());
    let (key, toward, part) =
        said_by::<Key6>(vni, protocol::ICMPV6, (from, to), said, icmpv6::query_of(icmp.kind()));
    Some(Identity::V6(key, toward, part))
}

/// The destination port that a policy is asked about; of ICMP the query's type and code; 0 of other protocols.
pub fn service<K: Key>(key: &K, toward: Toward) -> u16 {
    let protocol = key.protocol();
    if has_ports(protocol) {
        match toward {
            Toward::High => key.high().1,
            Toward::Low => key.low().1,
        }
    } else {
        let [kind, code] = key.high().1.to_be_bytes();
        let is_query = match protocol {
            protocol::ICMP => icmp::query_of(kind).is_some(),
            protocol::ICMPV6 => icmpv6::query_of(kind).is_some(),
            // Their keys have no numbers.
            _ => return 0,
        };
        u16::from_be_bytes([kind, if is_query { code & !ASKED_BY_HIGH } else { code }])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::parse;
    use crate::testing::entry::guest_frames;
    use crate::testing::generators::{changed, changes};
    use proptest::prelude::*;
    use proptest::sample::select;

    /// What the short ways tell of a packet has to be what is found when it is looked at closely.
    fn agree(frame: &[u8]) -> bool {
        let Ok(headers) = parse::headers(frame) else { return false };
        let vni = Vni::LOWEST;
        let is_whole =
            headers.fragment == Fragment::Whole && matches!(headers.protocol, protocol::TCP | protocol::UDP);
        let found = match (headers.network, usize::from(headers.transport)) {
            (Network::Ipv4, _) if is_whole => {
                let (key, toward) = plain(&headers, vni);
                Some(Identity::V4(key, toward, Part::Opens))
            }
            (Network::Ipv6, 54) if is_whole => {
                plain_v6(frame, &headers, vni).map(|(key, toward)| Identity::V6(key, toward, Part::Opens))
            }
            _ => return false,
        };
        assert_eq!(found, Some(identify(frame, &headers, vni)));
        true
    }

    #[test]
    fn most_is_told_at_a_glance() {
        let frames = guest_frames();
        let of = |network: u8| move |frame: &&Vec<u8>| frame.get(12) == Some(&network) && agree(frame);
        assert!(frames.iter().any(|frame| of(0x08)(&frame)) && frames.iter().any(|frame| of(0x86)(&frame)));
    }

    proptest! {
        #[test]
        fn a_glance_and_a_close_look_agree(frame in select(guest_frames()), changes in changes()) {
            agree(&changed(frame, &changes));
        }
    }
}
