//! What most packets need: they are of a session that is as it was, and pass without more ado.

use super::seen::{see_dns, segment};
use crate::flow::session::Flags;
use crate::flow::sessions::Family;
use crate::flow::table::Slot;
use crate::flow::{Side, Table, Toward, tcp};
use crate::frame::Frame;
use crate::ids::Tick;
use crate::service::Service;
use crate::snapshot::Snapshot;
use crate::stages::parse::Headers;
use crate::wire::ipv4::protocol;

/// What became of a packet.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Became {
    /// Nothing yet, and nothing has changed.
    Unclear,
    /// It passes, and counts for its session.
    InFlow,
    /// It does, and its session is to be told of some time.
    Due,
    /// It does, and its session is over, which is to be told.
    Over,
    /// It passes, and counts for no session.
    OfNoFlow,
    /// It goes no further.
    Dropped,
}

/// Lets a packet pass of a session that lives, is of this configuration, and takes the packet without more ado.
#[inline(always)]
pub(super) fn quick<K: Family, F: Frame>(
    (table, service): (&mut Table<K>, &mut Service),
    snapshot: &Snapshot,
    now: Tick,
    (slot, key): (Slot, &K),
    toward: Toward,
    (frame, bytes, headers): (&F, usize, &Headers),
) -> Became {
    let session = table.session_mut(slot);
    if session.key() != key
        || session.epoch != snapshot.epoch.0 as u32
        || session.deadline(&snapshot.sessions.timeouts) <= now
    {
        return Became::Unclear;
    }
    if headers.protocol == protocol::TCP {
        return quick_tcp((table, service), snapshot, now, slot, toward, (frame.data(), headers));
    }
    let side = session.side(toward);
    if side == Side::Responder && session.state.is_embryonic() {
        return Became::Unclear;
    }
    let before = core::mem::replace(&mut session.last, now);
    session.traffic[side.index()].add(bytes);
    if session.flags.has(Flags::DNS) {
        quick_dns((table, service), slot, (frame.data(), headers), side, now);
    }
    if slot.is_due(before, now) { Became::Due } else { Became::InFlow }
}

/// What there is to see of DNS in a packet that passes.
#[inline(never)]
fn quick_dns<K: Family>(
    (table, service): (&mut Table<K>, &mut Service),
    slot: Slot,
    packet: (&[u8], &Headers),
    side: Side,
    now: Tick,
) {
    let (_, notes) = table.noted_mut(slot);
    see_dns(notes, packet, side, now, service);
}

/// The same of TCP, where the session is known to live and to be of this configuration.
#[inline(never)]
fn quick_tcp<K: Family>(
    (table, service): (&mut Table<K>, &mut Service),
    snapshot: &Snapshot,
    now: Tick,
    slot: Slot,
    toward: Toward,
    (frame, headers): (&[u8], &Headers),
) -> Became {
    let Some(segment) = segment(frame, headers) else { return Became::Unclear };
    let (session, notes) = table.noted_mut(slot);
    let (before, side) = (session.state, session.side(toward));
    let glance = session.tcp.glance(before, side, &segment);
    let step = session.tcp.step(before, side, &segment);
    let passed = match step.verdict {
        tcp::Verdict::InWindow => {
            session.state = step.state;
            let before = core::mem::replace(&mut session.last, now);
            if slot.is_due(before, now) { Became::Due } else { Became::InFlow }
        }
        tcp::Verdict::Inert => Became::InFlow,
        // These have changed nothing.
        tcp::Verdict::OutOfWindow | tcp::Verdict::BadFlags | tcp::Verdict::Reopen => return Became::Unclear,
    };
    session.traffic[side.index()].add(frame.len());
    let changed = step.verdict == tcp::Verdict::InWindow && step.state != before;
    // What it acknowledges came before what it says.
    if changed {
        notes.changed((before, step.state), side, now, service);
    }
    notes.see(glance, side, &segment, now, service);
    if changed {
        table.changed(slot, before, &snapshot.sessions.timeouts);
        return if step.state.is_over() { Became::Over } else { passed };
    }
    passed
}
