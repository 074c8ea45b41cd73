//! Lets the later fragments of a datagram follow the first: only that tells what flow they are of.

use crate::context::Context;
use crate::flow::fragments::{self, Refused};
use crate::flow::sessions::{Family, Followed};
use crate::flow::{Key4, Key6};
use crate::frame::Frame;
use crate::sink::Sink;
use crate::stages::check_policy::{About, Outcome, Refusal};
use crate::stages::parse::Network;
use crate::verdict::Reason;
use crate::wire::{Ipv4, Ipv6, Vni, ethernet, ipv6};

/// Where a fragment belongs.
struct Piece {
    key: fragments::Key,
    offset: usize,
    len: usize,
    more: bool,
}

/// Takes the first fragment, which passes as a packet of the session `followed`.
pub(super) fn first<F: Frame, S: Sink<F>>(
    context: &mut Context<'_, F, S>,
    about: &About<'_>,
    followed: Followed,
) -> Result<(), Refusal> {
    let piece = piece(about)?;
    let taken = context.sessions.fragments.first(&piece.key, piece.len, followed, context.now);
    taken.map_err(|refused| reason(refused).into())
}

/// Takes a later one: it passes if the first did, and counts for the same session.
pub(super) fn later<F: Frame, S: Sink<F>>(
    context: &mut Context<'_, F, S>,
    about: &About<'_>,
) -> Result<Outcome, Refusal> {
    let Piece { key, offset, len, more } = piece(about)?;
    let found = context.sessions.fragments.later(&key, offset, len, more, context.now);
    let followed = found.map_err(reason)?;
    let counted = match about.headers.network {
        Network::Ipv6 => count::<Key6, F, S>(context, about, followed),
        _ => count::<Key4, F, S>(context, about, followed),
    };
    // The session has ended since: what is left of its datagrams is of none.
    if counted { Ok(Outcome::Known) } else { Err(Reason::FragmentOrphan.into()) }
}

/// Counts a fragment for the session that the first opened or was of, if that still lives.
fn count<K: Family, F: Frame, S: Sink<F>>(
    context: &mut Context<'_, F, S>,
    about: &About<'_>,
    followed: Followed,
) -> bool {
    let session = K::table_mut(context.sessions).session_mut(followed.slot);
    let lives = session.is_live() && session.start() == followed.start;
    if lives {
        session.traffic[followed.side.index()].add(about.frame.len());
        session.last = context.now;
    }
    lives
}

fn piece(about: &About<'_>) -> Result<Piece, Reason> {
    let packet = about.frame.get(ethernet::LEN..).unwrap_or_default();
    match about.headers.network {
        Network::Ipv6 => piece_of_ipv6(packet, about.vni),
        _ => piece_of_ipv4(packet, about.vni),
    }
}

fn piece_of_ipv4(packet: &[u8], vni: Vni) -> Result<Piece, Reason> {
    let (ip, payload) = Ipv4::split(packet).map_err(|_| Reason::MalformedIpv4)?;
    let ends = (ip.source(), ip.destination());
    Ok(Piece {
        key: fragments::Key::ipv4(vni, ends, ip.protocol(), ip.identification()),
        offset: ip.fragment_offset(),
        len: payload.len(),
        more: ip.more_fragments(),
    })
}

fn piece_of_ipv6(packet: &[u8], vni: Vni) -> Result<Piece, Reason> {
    let (ip, payload) = Ipv6::split(packet).map_err(|_| Reason::MalformedIpv6)?;
    let upper = ipv6::upper(ip.next_header(), payload).map_err(|_| Reason::MalformedIpv6)?;
    let fragment = upper.fragment.ok_or(Reason::MalformedIpv6)?;
    Ok(Piece {
        key: fragments::Key::ipv6(vni, (ip.source(), ip.destination()), fragment.identification),
        offset: usize::from(fragment.offset),
        len: fragment.len,
        more: fragment.more,
    })
}

const fn reason(refused: Refused) -> Reason {
    match refused {
        Refused::Orphan => Reason::FragmentOrphan,
        Refused::Overlap => Reason::FragmentOverlap,
        Refused::TooMany => Reason::FragmentExcess,
        Refused::Full => Reason::FragmentTableFull,
        Refused::BadLength => Reason::FragmentLength,
    }
}
