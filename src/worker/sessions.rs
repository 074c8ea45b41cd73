//! A worker's sessions, written down a page at a time.

use weft_pipelines::flow::sessions::Family;
use weft_pipelines::flow::{Flags, Key4, Key6, Sessions, Side, Toward};
use weft_pipelines::policy::{Action, Decision};
use weft_pipelines::stages::check_policy::question;
use weft_pipelines::{Snapshot, Tick};

use super::mail::{SessionCursor, SessionPage, SessionRecord};

/// Looks at as many sessions as `page` has room for, from its cursor on.
pub(super) fn write(sessions: &mut Sessions, snapshot: &Snapshot, now: Tick, page: &mut SessionPage) {
    page.cursor = match page.cursor {
        SessionCursor::V4(mut place) => {
            let over = some::<Key4>(sessions, snapshot, now, &mut place, &mut page.records);
            if over { SessionCursor::V6(0) } else { SessionCursor::V4(place) }
        }
        SessionCursor::V6(mut place) => {
            let over = some::<Key6>(sessions, snapshot, now, &mut place, &mut page.records);
            if over { SessionCursor::End } else { SessionCursor::V6(place) }
        }
        SessionCursor::End => SessionCursor::End,
    };
}

/// Of one family. Returns whether it has come to the end.
fn some<K: Family>(
    sessions: &mut Sessions,
    snapshot: &Snapshot,
    now: Tick,
    place: &mut u32,
    records: &mut Vec<SessionRecord>,
) -> bool {
    let room = records.capacity() - records.len();
    let epoch = snapshot.epoch.0 as u32;
    K::table_mut(sessions).visit(place, room, |_, session, _| {
        let key = session.key();
        let asked = question(key, session.first_toward());
        // A session of a segment that has left this host is about to end.
        let Some(segment) = snapshot.vnis.find(u64::from(asked.vni.value())) else { return true };
        let policy = snapshot.policy(snapshot.segment(segment).tenant);
        let (rule, would_rule, would_deny) = if session.epoch == epoch {
            (session.rule, session.would_rule, session.flags.has(Flags::WOULD_DENY))
        } else {
            let Decision { rule, would_rule, would, .. } = policy.decide(&asked);
            (policy.slot(rule), policy.slot(would_rule), would == Action::Deny)
        };
        let first = match session.first_toward() {
            // Of a protocol without ports the first number is the identifier, whoever opened it.
            Toward::Low if weft_pipelines::stages::identify::has_ports(asked.protocol) => key.high().1,
            _ => key.low().1,
        };
        records.push(SessionRecord {
            vni: asked.vni,
            protocol: asked.protocol,
            from: (asked.from, first),
            to: asked.to,
            service: asked.port,
            port: session.port(),
            state: session.state,
            rule,
            would_rule,
            would_deny,
            traffic: [*session.traffic(Side::Initiator), *session.traffic(Side::Responder)],
            opened: session.start(),
            last: session.last,
            now,
        });
        true
    })
}
