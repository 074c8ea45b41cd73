//! After a change of the configuration: ends the sessions that policy does not allow any more, also idle ones.
//!
//! A session with traffic is decided again by its next packet (see `check_policy`); this goes over all others, a
//! share at a time.

use core::time::Duration;

use crate::context::Context;
use crate::flow::sessions::Family;
use crate::flow::{End, Event, Key4, Key6};
use crate::frame::Frame;
use crate::ids::Tick;
use crate::sink::Sink;
use crate::snapshot::PortKind;
use crate::stages::check_policy::{self, Again};
use crate::stages::tell::tell;

/// How long it takes to go over all sessions, with rounds as often as they should be.
pub const TIME: Duration = Duration::from_secs(1);
/// Sessions looked at in one round at least, and at most.
const SHARE: core::ops::RangeInclusive<u64> = 32..=4096;

/// How far it has come since the configuration changed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Review {
    /// When the configuration changed; `None` when all sessions have been gone over.
    since: Option<Tick>,
    v4: Walk,
    v6: Walk,
    /// Sessions gone over, as if no place was empty.
    done: u64,
}

/// How far it has come in one table.
#[derive(Clone, Copy, Debug, Default)]
struct Walk {
    next: u32,
    over: bool,
}

impl Review {
    /// Begins anew.
    pub fn begin(now: Tick) -> Self {
        Self { since: Some(now), ..Self::default() }
    }

    /// Whether there is nothing left to go over.
    pub const fn is_over(&self) -> bool {
        self.since.is_none()
    }
}

/// Goes over the share of sessions that is due.
pub fn review<F: Frame, S: Sink<F>>(context: &mut Context<'_, F, S>, review: &mut Review) {
    let Some(since) = review.since else { return };
    let all = (context.sessions.v4.len() + context.sessions.v6.len()) as u64;
    let elapsed = context.now.since(since).as_nanos() as u64;
    let due = (u128::from(all) * u128::from(elapsed) / TIME.as_nanos()) as u64;
    let share = due.saturating_sub(review.done).clamp(*SHARE.start(), *SHARE.end()) as usize;
    review.done += share as u64;
    review.v4.over = review.v4.over || some::<Key4, F, S>(context, &mut review.v4.next, share);
    review.v6.over = review.v6.over || some::<Key6, F, S>(context, &mut review.v6.next, share);
    if review.v4.over && review.v6.over {
        review.since = None;
    }
}

/// Goes over `count` places from `next` on. Returns whether it has come to the end.
fn some<K: Family, F: Frame, S: Sink<F>>(
    context: &mut Context<'_, F, S>,
    next: &mut u32,
    count: usize,
) -> bool {
    let Context { snapshot, counters, sink, now, sessions, .. } = context;
    let epoch = snapshot.epoch.0 as u32;
    K::table_mut(sessions).visit(next, count, |_, session, notes| {
        // An endpoint that has left this host takes its sessions along, also those that the other end keeps alive.
        let port = snapshot.ports.get(session.port().index());
        if port.is_none_or(|port| matches!(port.kind, PortKind::Vacant)) {
            tell::<K, F, S>(*sink, (*snapshot, *counters), (session, notes), Event::Ended(End::Gone), *now);
            return false;
        }
        if session.epoch == epoch {
            return true;
        }
        // A segment that has left this host takes its sessions along.
        let segment = snapshot.vnis.find(u64::from(session.key().vni().value()));
        let Some(tenant) = segment.map(|segment| snapshot.segment(segment).tenant) else {
            tell::<K, F, S>(*sink, (*snapshot, *counters), (session, notes), Event::Ended(End::Gone), *now);
            return false;
        };
        let policy = snapshot.policy(tenant);
        match check_policy::decide_again((session, notes), snapshot, policy, tenant, *now) {
            Ok(Again::Same) => true,
            Ok(Again::Other) => {
                tell::<K, F, S>(*sink, (*snapshot, *counters), (session, notes), Event::Decided, *now);
                true
            }
            Err(decided) => {
                tell::<K, F, S>(
                    *sink,
                    (*snapshot, *counters),
                    (session, notes),
                    Event::Ended(End::Revoked),
                    *now,
                );
                counters.revoked += 1;
                sink.decided(&decided, true);
                false
            }
        }
    })
}
