//! What there is to see of a packet's transport: the TCP segment, the message of DNS.

use crate::flow::notes::Notes;
use crate::flow::{Side, tcp};
use crate::ids::Tick;
use crate::service::Service;
use crate::stages::parse::{Fragment, Headers, Network};
use crate::wire::{Dns, Malformed, Tcp, Udp, ethernet, ipv6};

/// Takes a packet to or from a DNS server.
#[inline(never)]
pub(super) fn see_dns(
    notes: &mut Notes,
    (frame, headers): (&[u8], &Headers),
    side: Side,
    now: Tick,
    service: &mut Service,
) {
    let (start, end) = transport(frame, headers);
    let datagram = frame.get(start..end).ok_or(Malformed).and_then(Udp::split);
    // What is no message of DNS is none that could be counted.
    if let Ok(message) = datagram.and_then(|(_, data)| Dns::new(data)) {
        notes.see_dns(message, side, now, service);
    }
}

/// The TCP segment in a packet.
#[inline]
pub(super) fn segment(frame: &[u8], headers: &Headers) -> Option<tcp::Segment> {
    let (start, end) = transport(frame, headers);
    let (header, data) = Tcp::split(frame.get(start..end)?).ok()?;
    let whole = headers.fragment == Fragment::Whole;
    Some(if whole { tcp::Segment::new(header, data) } else { tcp::Segment::cut(header, data) })
}

/// From where to where the transport header and its data stand in the frame.
fn transport(frame: &[u8], headers: &Headers) -> (usize, usize) {
    let length =
        |at: usize| frame.get(at..at + 2).map_or(0, |b| usize::from(u16::from_be_bytes([b[0], b[1]])));
    let end = match headers.network {
        Network::Ipv6 => ethernet::LEN + ipv6::LEN + length(ethernet::LEN + 4),
        _ => ethernet::LEN + length(ethernet::LEN + 2),
    };
    (usize::from(headers.transport), end)
}
