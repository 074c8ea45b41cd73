//! Tells of flows: when they begin, when they end, when policy decides anew, and from time to time as long as they go on.

use core::net::IpAddr;

use crate::counters::{Counters, Traffic};
use crate::flow::notes::{Connect, End, Event, Notes};
use crate::flow::record::FlowRecord;
use crate::flow::sessions::Family;
use crate::flow::tcp::Quality;
use crate::flow::{Dns, Flags, Key4, Key6, Session, Sessions, Side, State, Toward};
use crate::frame::Frame;
use crate::ids::Tick;
use crate::policy::{Action, Policy};
use crate::sink::{Decided, Sink};
use crate::snapshot::Snapshot;
use crate::stages::identify;

/// Tells of a session, and counts how it ended.
#[inline]
pub fn tell<K: Family, F: Frame, S: Sink<F>>(
    sink: &mut S,
    configured: (&Snapshot, &mut Counters),
    session: (&Session<K>, &mut Notes),
    event: Event,
    now: Tick,
) {
    tell_of(sink, configured, session, None, event, now);
}

/// The same of a session whose ends' classes are known, those of its initiator and its responder.
#[inline(never)]
pub fn tell_of<K: Family, F: Frame, S: Sink<F>>(
    sink: &mut S,
    (snapshot, counters): (&Snapshot, &mut Counters),
    (session, notes): (&Session<K>, &mut Notes),
    classes: Option<[u32; 2]>,
    event: Event,
    now: Tick,
) {
    if let Event::Ended(end) = event {
        notes.ended(end, &mut counters.service);
    }
    let key = session.key();
    let (initiator, responder) = ends(key, session.first_toward());
    let segment = snapshot.vnis.find(u64::from(key.vni().value()));
    let tenant = segment.map(|segment| snapshot.segment(segment).tenant);
    let addresses = [initiator.0, responder.0];
    let look_up = |tenant| snapshot.policy(tenant).classes_of(key.vni(), addresses);
    let classes = classes.or_else(|| tenant.map(look_up));
    sink.flow(&FlowRecord {
        event,
        serial: notes.serial,
        told: notes.told,
        started: notes.started,
        last: session.last,
        at: now,
        tenant,
        vni: key.vni(),
        ports: snapshot.residents(segment, addresses),
        classes,
        protocol: key.protocol(),
        initiator,
        responder,
        traffic: [*session.traffic(Side::Initiator), *session.traffic(Side::Responder)],
        tcp_flags: notes.quality.flags,
        connect: notes.connect,
        connected: notes.connected(),
        first_response: notes.first_response(),
        quality: notes.quality,
        dns: notes.dns,
        state: session.state,
        flags: session.flags,
        epoch: session.epoch,
        rule: session.rule,
        would_rule: session.would_rule,
    });
    notes.told = notes.told.saturating_add(1);
}

/// Tells of the sessions that are to be told of again and still live.
#[inline(never)]
pub fn again<F: Frame, S: Sink<F>>(
    sessions: &mut Sessions,
    sink: &mut S,
    (snapshot, counters): (&Snapshot, &mut Counters),
    now: Tick,
) {
    again_of::<Key4, F, S>(sessions, sink, (snapshot, counters), now);
    again_of::<Key6, F, S>(sessions, sink, (snapshot, counters), now);
}

fn again_of<K: Family, F: Frame, S: Sink<F>>(
    sessions: &mut Sessions,
    sink: &mut S,
    (snapshot, counters): (&Snapshot, &mut Counters),
    now: Tick,
) {
    let batch = sessions.again.take::<K>();
    let table = K::table_mut(sessions);
    batch.iter().for_each(|(slot, _)| table.prefetch_all(*slot));
    for (slot, key) in batch {
        if table.is(slot, &key) {
            let (session, notes) = table.noted_mut(slot);
            tell(sink, (snapshot, &mut *counters), (session, notes), Event::Active, now);
        }
    }
}

/// Sessions that ageing looks at in one go, of each family.
const AGED: usize = 64;

/// Ends the sessions whose time is over, and tells of each. Bounded; to be called often.
pub fn age<F: Frame, S: Sink<F>>(
    sessions: &mut Sessions,
    sink: &mut S,
    (snapshot, counters): (&Snapshot, &mut Counters),
    now: Tick,
) {
    age_of::<Key4, F, S>(sessions, sink, (snapshot, counters), now);
    age_of::<Key6, F, S>(sessions, sink, (snapshot, counters), now);
}

fn age_of<K: Family, F: Frame, S: Sink<F>>(
    sessions: &mut Sessions,
    sink: &mut S,
    (snapshot, counters): (&Snapshot, &mut Counters),
    now: Tick,
) {
    K::table_mut(sessions).age(now, &snapshot.sessions.timeouts, AGED, |session, notes| {
        tell(sink, (snapshot, &mut *counters), (session, notes), Event::Ended(End::of_time(session)), now);
    });
}

/// Ends all sessions, and tells of each.
pub fn stop<F: Frame, S: Sink<F>>(
    sessions: &mut Sessions,
    sink: &mut S,
    (snapshot, counters): (&Snapshot, &mut Counters),
    now: Tick,
) {
    stop_of::<Key4, F, S>(sessions, sink, (snapshot, counters), now);
    stop_of::<Key6, F, S>(sessions, sink, (snapshot, counters), now);
}

fn stop_of<K: Family, F: Frame, S: Sink<F>>(
    sessions: &mut Sessions,
    sink: &mut S,
    (snapshot, counters): (&Snapshot, &mut Counters),
    now: Tick,
) {
    K::table_mut(sessions).visit(&mut 0, usize::MAX, |_, session, notes| {
        let end = if session.deadline(&snapshot.sessions.timeouts) <= now || session.state.is_over() {
            End::of_time(session)
        } else {
            End::Stopped
        };
        tell(sink, (snapshot, &mut *counters), (session, notes), Event::Ended(end), now);
        false
    });
}

/// Tells of a packet of so many bytes that policy does not let open a session.
pub fn tell_denied<F: Frame, S: Sink<F>>(
    sink: &mut S,
    snapshot: &Snapshot,
    (policy, classes): (&Policy, [u32; 2]),
    decided: &Decided,
    bytes: usize,
) {
    let Decided { at, tenant, ref question, source, ref decision, .. } = *decided;
    let mut sent = Traffic::default();
    sent.add(bytes);
    let segment = snapshot.vnis.find(u64::from(question.vni.value()));
    let addresses = [question.from, question.to];
    sink.flow(&FlowRecord {
        event: Event::Ended(End::Denied),
        serial: 0,
        told: 0,
        started: at,
        last: at,
        at,
        tenant: Some(tenant),
        vni: question.vni,
        ports: snapshot.residents(segment, addresses),
        classes: Some(classes),
        protocol: question.protocol,
        initiator: (question.from, source),
        responder: (question.to, question.port),
        traffic: [sent, Traffic::default()],
        tcp_flags: [0; 2],
        connect: Connect::Unseen,
        connected: [0; 2],
        first_response: 0,
        quality: Quality::default(),
        dns: Dns::default(),
        state: State::first_of(question.protocol),
        flags: would_deny(decision.would == Action::Deny),
        epoch: snapshot.epoch.0 as u32,
        rule: policy.slot(decision.rule),
        would_rule: policy.slot(decision.would_rule),
    });
}

fn would_deny(is_so: bool) -> Flags {
    let mut flags = Flags::default();
    flags.set(Flags::WOULD_DENY, is_so);
    flags
}

/// Who sent the first packet, and to whom.
fn ends<K: Family>(key: &K, first: Toward) -> ((IpAddr, u16), (IpAddr, u16)) {
    let (low, high) = (key.low(), key.high());
    let (from, to) = match first {
        Toward::High => (low, high),
        Toward::Low => (high, low),
    };
    if identify::has_ports(key.protocol()) {
        return ((from.0.into(), from.1), (to.0.into(), to.1));
    }
    // An identifier stands in place of the low end's port, whoever asked.
    ((from.0.into(), low.1), (to.0.into(), identify::service(key, first)))
}
