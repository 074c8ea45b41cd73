//! Lets a packet pass that is of a session, or that policy lets open one; keeps the session's state.

mod elsewhere;
mod quick;
mod seen;

use elsewhere::{has_address, is_elsewhere};
use quick::{Became, quick};
use seen::{see_dns, segment};

use core::net::Ipv4Addr;

use crate::batch::{Batch, Passing};
use crate::context::Context;
use crate::counters::Traffic;
use crate::flow::notes::{End, Event, Notes};
use crate::flow::session::{Flags, Opening, Session};
use crate::flow::sessions::{Family, Followed};
use crate::flow::table::{Refused, Slot};
use crate::flow::{Hash, Key4, Key6, Side, State, Toward, Tracking, tcp};
use crate::frame::Frame;
use crate::ids::{PortId, SegmentId, TenantId, Tick};
use crate::policy::{Action, Decision, Policy, Question};
use crate::sink::{Decided, Sink};
use crate::snapshot::{Segment, Snapshot};
use crate::stages::follow;
use crate::stages::forward::Destination;
use crate::stages::identify::{self, Part};
use crate::stages::parse::{Fragment, Headers, Network};
use crate::stages::tell::{self, tell, tell_denied, tell_of};
use crate::verdict::Reason;
use crate::wire::ipv4::protocol;
use crate::wire::{Vni, dns};

/// What became of a packet here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outcome {
    /// It has no session: ARP, neighbour discovery, another worker's to look at; or its tenant has no policy and it
    /// was not worth one.
    #[default]
    Untracked,
    /// It is of a session, or about one.
    Known,
    /// It opened one.
    Opened(Decision),
    /// Policy refused it.
    Refused(Decision),
}

/// Who may open sessions with a burst's packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opener {
    /// The guest of this port, which sent the packets.
    Guest(PortId),
    /// Somebody behind this port, or of another worker: a session counts for the port that it is opened to, and
    /// for this one if there are several.
    Other(PortId),
}

/// Checks every passing packet of the burst. Those that have no flow, see [`Part::None`], pass.
pub fn check_policy<F: Frame, S: Sink<F>>(
    context: &mut Context<'_, F, S>,
    batch: &mut Batch<F>,
    opener: Opener,
) {
    let (snapshot, now) = (context.snapshot, context.now);
    let opened_before = context.sessions.opened();
    // Where the packet before was from, whether anything may pass there, and whom it went to.
    let (mut segment, mut is_open) = (SegmentId::NONE, false);
    let mut there: Option<(PortId, Ipv4Addr)> = None;
    let (mut in_flows, mut of_no_flow) = (Traffic::default(), Traffic::default());
    let (mut due, mut over) = (0u32, 0u32);
    // What is more than that is said where it is found.
    batch.outcomes.fill(Outcome::Known);
    for i in batch.passing() {
        if batch.segments[i] != segment {
            segment = batch.segments[i];
            is_open = snapshot.policy(snapshot.segment(segment).tenant).is_open();
        }
        let (headers, bytes) = (&batch.headers[i], batch.frame(i).size());
        // Most packets are of a session that is as it was. The loop is theirs, and calls for all else.
        let mut became = Became::Unclear;
        if let Some(slot) = batch.flows.plain(i)
            && (is_open
                || match batch.destinations[i] {
                    Destination::Port(to) => {
                        let address = headers.destination.address();
                        there == Some((to, address)) || {
                            there = has_address(context, to, address).then_some((to, address));
                            there.is_some()
                        }
                    }
                    Destination::Tunnel(_) | Destination::Everyone => true,
                })
        {
            let Context { sessions, counters, .. } = &mut *context;
            let tables = (&mut sessions.v4, &mut counters.service);
            let (key, toward) = (&batch.flows.keys4[i], batch.flows.towards[i]);
            became = quick(tables, snapshot, now, (slot, key), toward, (batch.frame(i), bytes, headers));
        }
        if became == Became::Unclear {
            became = look_closely(context, batch, i, opener, opened_before);
        }
        if became == Became::InFlow {
            in_flows.add(bytes);
            continue;
        }
        match became {
            Became::Due => {
                in_flows.add(bytes);
                due |= 1 << i;
            }
            Became::Over => {
                in_flows.add(bytes);
                over |= 1 << i;
            }
            Became::OfNoFlow => of_no_flow.add(bytes),
            Became::InFlow | Became::Dropped | Became::Unclear => {}
        }
    }
    context.counters.in_flows += in_flows;
    context.counters.of_no_flow += of_no_flow;
    for i in Passing::of(due) {
        let Some(slot) = batch.flows.candidates[i] else { continue };
        let again = &mut context.sessions.again;
        let is_full = match batch.headers[i].network {
            Network::Ipv6 => again.enter(slot, batch.flows.keys6[i], now),
            _ => again.enter(slot, batch.flows.keys4[i], now),
        };
        if is_full {
            let Context { sessions, sink, counters, .. } = &mut *context;
            tell::again(sessions, *sink, (snapshot, *counters), now);
        }
    }
    for i in Passing::of(over) {
        let Some(slot) = batch.flows.candidates[i] else { continue };
        // A later packet of the burst may have ended it, which was told then.
        if batch.headers[i].network == Network::Ipv6 {
            if context.sessions.v6.is(slot, &batch.flows.keys6[i]) {
                tell_again::<Key6, F, S>(context, slot, Event::Active);
            }
        } else if context.sessions.v4.is(slot, &batch.flows.keys4[i]) {
            tell_again::<Key4, F, S>(context, slot, Event::Active);
        }
    }
}

/// Checks a packet that is not, or may not be, simply one more of its session.
#[inline(never)]
fn look_closely<F: Frame, S: Sink<F>>(
    context: &mut Context<'_, F, S>,
    batch: &mut Batch<F>,
    i: usize,
    opener: Opener,
    opened_before: u64,
) -> Became {
    let Segment { vni, tenant, .. } = *context.snapshot.segment(batch.segments[i]);
    let policy = context.snapshot.policy(tenant);
    let is_open = policy.is_open();
    let (part, headers, frame) = (batch.flows.parts[i], &batch.headers[i], batch.frame(i));
    if part == Part::None {
        batch.outcomes[i] = Outcome::Untracked;
        return Became::OfNoFlow;
    }
    if !is_open && is_elsewhere(context, batch.destinations[i], frame, headers) {
        batch.drop(i, Reason::WrongAddress);
        return Became::Dropped;
    }
    let (toward, hash, candidate) =
        (batch.flows.towards[i], batch.flows.hashes[i], batch.flows.candidates[i]);
    if matches!(part, Part::Opens | Part::Answers)
        && headers.fragment == Fragment::Whole
        && let Some(slot) = candidate
    {
        let (packet, now) = ((frame, frame.size(), headers), context.now);
        let Context { sessions, counters, snapshot, .. } = &mut *context;
        let service = &mut counters.service;
        let became = match headers.network {
            Network::Ipv6 => {
                let key = &batch.flows.keys6[i];
                quick((&mut sessions.v6, service), snapshot, now, (slot, key), toward, packet)
            }
            _ => {
                let key = &batch.flows.keys4[i];
                quick((&mut sessions.v4, service), snapshot, now, (slot, key), toward, packet)
            }
        };
        if became != Became::Unclear {
            return became;
        }
    }
    let (port, out) = match (opener, batch.destinations[i]) {
        (Opener::Guest(port), _) => (port, true),
        (_, Destination::Port(port)) | (Opener::Other(port), _) => (port, false),
    };
    // As long as the burst has opened no session, there is none where there was no candidate.
    let is_new = candidate.is_none() && context.sessions.opened() == opened_before;
    // What is beyond the rate goes no further: a flood is to cost no more than what passes.
    if is_new && part == Part::Opens && !is_open && context.sessions.is_used_up(port, out, context.now) {
        batch.drop(i, Reason::SessionRate);
        return Became::Dropped;
    }
    let frame = frame.data();
    let about =
        About { frame, headers, vni, tenant, policy, toward, part, hash, candidate, is_new, port, out };
    let checked = match (part, headers.network) {
        (Part::Astray, _) => Err(Reason::IcmpUnrelated.into()),
        (Part::Later, _) if is_open => Ok(Outcome::Untracked),
        (Part::Later, _) => follow::later(context, &about),
        (_, Network::Ipv6) => check(context, &about, &batch.flows.keys6[i]),
        _ => check(context, &about, &batch.flows.keys4[i]),
    };
    match checked {
        Ok(outcome) => {
            batch.outcomes[i] = outcome;
            let is_of_one = outcome != Outcome::Untracked && part != Part::About;
            if is_of_one { Became::InFlow } else { Became::OfNoFlow }
        }
        // Without a policy there is nothing to hold a packet to.
        Err(_) if is_open => {
            batch.outcomes[i] = Outcome::Untracked;
            Became::OfNoFlow
        }
        Err(Refusal::Policy(decision)) => {
            batch.outcomes[i] = Outcome::Refused(decision);
            batch.drop(i, Reason::PolicyDenied);
            Became::Dropped
        }
        Err(Refusal::State(reason)) => {
            batch.drop(i, reason);
            Became::Dropped
        }
    }
}

/// Tells of the session at `slot`.
#[inline(never)]
fn tell_again<K: Family, F: Frame, S: Sink<F>>(context: &mut Context<'_, F, S>, slot: Slot, event: Event) {
    let Context { snapshot, counters, sessions, sink, now, .. } = context;
    let (session, notes) = K::table_mut(sessions).noted_mut(slot);
    tell(*sink, (*snapshot, *counters), (session, notes), event, *now);
}

/// Tells of the session at `slot`, and ends it.
fn end<K: Family, F: Frame, S: Sink<F>>(context: &mut Context<'_, F, S>, slot: Slot, end: End) {
    tell_again::<K, F, S>(context, slot, Event::Ended(end));
    K::table_mut(context.sessions).close(slot);
}

/// A packet, with all that is known of it.
#[derive(Debug)]
pub(super) struct About<'a> {
    pub frame: &'a [u8],
    pub headers: &'a Headers,
    pub vni: Vni,
    pub tenant: TenantId,
    pub policy: &'a Policy,
    pub toward: Toward,
    pub part: Part,
    pub hash: Hash,
    pub candidate: Option<Slot>,
    /// Whether it is certain that it has no session.
    pub is_new: bool,
    /// Whom a session that it opens counts for.
    pub port: PortId,
    /// Whether that is who sent it.
    pub out: bool,
}

/// Why a packet may not pass.
#[derive(Clone, Copy, Debug)]
pub(super) enum Refusal {
    Policy(Decision),
    State(Reason),
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Self::State(reason)
    }
}

fn check<K: Family, F: Frame, S: Sink<F>>(
    context: &mut Context<'_, F, S>,
    about: &About<'_>,
    key: &K,
) -> Result<Outcome, Refusal> {
    let table = K::table(context.sessions);
    let found = match about.candidate {
        Some(slot) if table.is(slot, key) => Some(slot),
        _ if about.is_new => None,
        // The wrong session had the right tag, or an earlier packet of the burst has changed things.
        _ => table.find(about.hash, key),
    };
    let known = match found {
        Some(slot) => known::<K, F, S>(context, about, slot)?,
        None => None,
    };
    let (slot, outcome) = match known {
        Some(slot) => (slot, Outcome::Known),
        None => open(context, about, key)?,
    };
    if about.headers.fragment == Fragment::First && about.part != Part::About {
        let session = K::table(context.sessions).session(slot);
        let followed = Followed { slot, start: session.start(), side: session.side(about.toward) };
        if let Err(refused) = follow::first(context, about, followed) {
            // It has been counted, and does not pass.
            let session = K::table_mut(context.sessions).session_mut(slot);
            session.traffic[followed.side.index()].take(about.frame.len());
            return Err(refused);
        }
    }
    Ok(outcome)
}

/// Lets a packet of a session pass and keeps the session's state; `None` if the session is over.
fn known<K: Family, F: Frame, S: Sink<F>>(
    context: &mut Context<'_, F, S>,
    about: &About<'_>,
    slot: Slot,
) -> Result<Option<Slot>, Refusal> {
    let (snapshot, now) = (context.snapshot, context.now);
    let table = K::table_mut(context.sessions);
    if table.is_expired(slot, now, &snapshot.sessions.timeouts) {
        let over = End::of_time(table.session(slot));
        end::<K, F, S>(context, slot, over);
        return Ok(None);
    }
    if table.session(slot).epoch != snapshot.epoch.0 as u32 {
        let noted = K::table_mut(context.sessions).noted_mut(slot);
        match decide_again(noted, snapshot, about.policy, about.tenant, now) {
            Ok(Again::Same) => {}
            Ok(Again::Other) => tell_again::<K, F, S>(context, slot, Event::Decided),
            Err(decided) => {
                end::<K, F, S>(context, slot, End::Revoked);
                context.counters.revoked += 1;
                denied(context, about.policy, &decided);
                return Err(Refusal::Policy(decided.decision));
            }
        }
    }
    let service = &mut context.counters.service;
    let table = K::table_mut(context.sessions);
    let is_due = table.is_due(slot, now);
    let (session, notes) = table.noted_mut(slot);
    if about.part == Part::About {
        return Ok(Some(slot));
    }
    let side = session.side(about.toward);
    let before = session.state;
    if about.headers.protocol == protocol::TCP {
        let segment = segment(about.frame, about.headers).ok_or(Reason::MalformedTcp)?;
        let glance = session.tcp.glance(before, side, &segment);
        let step = session.tcp.step(before, side, &segment);
        match step.verdict {
            tcp::Verdict::InWindow => session.state = step.state,
            tcp::Verdict::Inert => {
                notes.see(glance, side, &segment, now, service);
                session.traffic[side.index()].add(about.frame.len());
                return Ok(Some(slot));
            }
            tcp::Verdict::OutOfWindow if snapshot.sessions.tcp == Tracking::Strict => {
                return Err(Reason::TcpOutOfWindow.into());
            }
            tcp::Verdict::OutOfWindow => {
                session.traffic[side.index()].add(about.frame.len());
                return Ok(Some(slot));
            }
            tcp::Verdict::BadFlags => return Err(Reason::TcpFlags.into()),
            tcp::Verdict::Reopen => {
                end::<K, F, S>(context, slot, End::Reused);
                return Ok(None);
            }
        }
        if before != session.state {
            notes.changed((before, session.state), side, now, service);
        }
        notes.see(glance, side, &segment, now, service);
    } else {
        if session.flags.has(Flags::DNS) {
            see_dns(notes, (about.frame, about.headers), side, now, service);
        }
        if side == Side::Responder {
            session.state = before.replied();
        }
    }
    let session = table.session_mut(slot);
    session.last = now;
    session.traffic[side.index()].add(about.frame.len());
    let state = session.state;
    if before != state {
        table.changed(slot, before, &snapshot.sessions.timeouts);
    }
    if is_due || before != state && state.is_over() {
        tell_again::<K, F, S>(context, slot, Event::Active);
    }
    Ok(Some(slot))
}

/// What becomes of a session that is decided again and may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    /// As before.
    Same,
    /// By another rule.
    Other,
}

/// Decides a session of an earlier configuration again.
///
/// # Errors
///
/// With what was decided, when it is not allowed any more: the caller has to end it.
pub(super) fn decide_again<K: Family>(
    (session, notes): (&mut Session<K>, &mut Notes),
    snapshot: &Snapshot,
    policy: &Policy,
    tenant: TenantId,
    now: Tick,
) -> Result<Again, Decided> {
    let (key, toward) = (*session.key(), session.first_toward());
    let question = question(&key, toward);
    let classes = policy.classes_of(question.vni, [question.from, question.to]);
    let decision = policy.decide_between(classes, &question);
    if decision.action == Action::Deny {
        let (port, source) = (session.port(), source(&key, toward));
        return Err(Decided { at: now, tenant, port, question, source, decision });
    }
    session.epoch = snapshot.epoch.0 as u32;
    notes.row = snapshot.service.find(tenant, classes);
    let before = (session.rule, session.would_rule, session.flags);
    (session.rule, session.would_rule) = rules(policy, &decision);
    session.flags.set(Flags::WOULD_DENY, decision.would == Action::Deny);
    let is_same = before == (session.rule, session.would_rule, session.flags);
    Ok(if is_same { Again::Same } else { Again::Other })
}

/// Opens a session, if the packet may and policy allows it.
fn open<K: Family, F: Frame, S: Sink<F>>(
    context: &mut Context<'_, F, S>,
    about: &About<'_>,
    key: &K,
) -> Result<(Slot, Outcome), Refusal> {
    let (snapshot, now, policy) = (context.snapshot, context.now, about.policy);
    if about.part == Part::Opens && context.sessions.is_used_up(about.port, about.out, now) {
        return Err(Reason::SessionRate.into());
    }
    let mut segment = None;
    let (tcp, state, picked_up) = match (about.part, about.headers.protocol) {
        (Part::Answers, _) => return Err(Reason::IcmpUnsolicited.into()),
        (Part::About, _) => return Err(Reason::IcmpUnrelated.into()),
        (_, protocol::TCP) => {
            let segment =
                segment.insert(self::segment(about.frame, about.headers).ok_or(Reason::MalformedTcp)?);
            let opened = tcp::open(segment, snapshot.sessions.pick_up);
            let (tcp, state) = opened.map_err(|invalid| match invalid {
                tcp::Invalid::BadFlags => Reason::TcpFlags,
                tcp::Invalid::NoConnection => Reason::TcpNoSession,
            })?;
            // Also the answer to a SYN that was not seen, or whose session had to make way for others.
            (tcp, state, state != State::TcpSynSent)
        }
        (_, other) => (Default::default(), State::first_of(other), false),
    };
    // Before policy, so that what a flood costs is bounded.
    if !context.sessions.may_open(about.port, about.out, now) {
        return Err(Reason::SessionRate.into());
    }
    let mut toward = about.toward;
    let mut question = self::question(key, toward);
    let mut classes = policy.classes_of(question.vni, [question.from, question.to]);
    let mut decision = policy.decide_between(classes, &question);
    if picked_up && decision.action == Action::Deny {
        // Who speaks first in mid-stream need not be who opened the connection.
        let other = self::question(key, toward.other());
        let turned = [classes[1], classes[0]];
        let otherwise = policy.decide_between(turned, &other);
        if otherwise.action == Action::Allow {
            (toward, question, classes, decision) = (toward.other(), other, turned, otherwise);
        }
    }
    let decided = Decided {
        at: now,
        tenant: about.tenant,
        port: about.port,
        question,
        source: source(key, toward),
        decision,
    };
    if decision.action == Action::Deny {
        if state == State::TcpSynSent {
            let row = snapshot.service.find(about.tenant, classes);
            context.counters.service.count(row, |of| of.denied += 1);
        }
        denied(context, policy, &decided);
        tell_denied(context.sink, snapshot, (policy, classes), &decided, about.frame.len());
        return Err(Refusal::Policy(decision));
    }
    let turned = toward != about.toward;
    let mut flags = Flags::of_first(toward);
    flags.set(Flags::PICKED_UP, picked_up);
    flags.set(Flags::WOULD_DENY, decision.would == Action::Deny);
    flags.set(Flags::LOG, policy.logs(decision.rule));
    let asks_dns = about.headers.protocol == protocol::UDP && question.port == dns::PORT;
    flags.set(Flags::DNS, asks_dns);
    let (rule, would_rule) = rules(policy, &decision);
    let epoch = snapshot.epoch.0 as u32;
    let opening = Opening { port: about.port, state, flags, epoch, rule, would_rule };
    let Context { counters, sessions, sink, .. } = context;
    let table = K::table_mut(sessions);
    let evicted = |session: &Session<K>, notes: &mut Notes| {
        tell(*sink, (snapshot, *counters), (session, notes), Event::Ended(End::Evicted), now);
    };
    let opened = table.open(about.hash, key, &opening, now, &snapshot.sessions.timeouts, evicted);
    let slot = opened.map_err(|refused| match refused {
        Refused::Quota => Reason::SessionQuota,
        Refused::TableFull => Reason::SessionTableFull,
    })?;
    let (session, notes) = table.noted_mut(slot);
    notes.row = snapshot.service.find(about.tenant, classes);
    session.tcp = if turned { tcp.turned() } else { tcp };
    let side = if turned { Side::Responder } else { Side::Initiator };
    session.traffic[side.index()].add(about.frame.len());
    let service = &mut counters.service;
    if let Some(segment) = segment {
        notes.begin(state, side, &segment, now, service);
    } else if asks_dns {
        see_dns(notes, (about.frame, about.headers), side, now, service);
    }
    tell_of(*sink, (snapshot, *counters), (session, notes), Some(classes), Event::Started, now);
    allowed(context, policy, &decided);
    Ok((slot, Outcome::Opened(decision)))
}

/// Counts a connection that may be opened, and tells of it where it is to be logged or would be denied.
fn allowed<F: Frame, S: Sink<F>>(context: &mut Context<'_, F, S>, policy: &Policy, decided: &Decided) {
    let decision = &decided.decision;
    let would_deny = decision.would == Action::Deny;
    context.counters.rule(policy.slot(decision.rule), decided.at).hits += 1;
    if would_deny {
        context.counters.rule(policy.slot(decision.would_rule), decided.at).would_deny += 1;
    }
    context.sink.decided(decided, would_deny || policy.logs(decision.rule));
}

/// Counts a packet that may not open a connection, and tells of it.
pub(super) fn denied<F: Frame, S: Sink<F>>(
    context: &mut Context<'_, F, S>,
    policy: &Policy,
    decided: &Decided,
) {
    let rule = context.counters.rule(policy.slot(decided.decision.rule), decided.at);
    rule.hits += 1;
    rule.denied += 1;
    context.sink.decided(decided, true);
}

/// What policy is asked about a session whose first packet went that way.
pub fn question<K: Family>(key: &K, toward: Toward) -> Question {
    let (low, high) = (key.low().0.into(), key.high().0.into());
    let (from, to) = match toward {
        Toward::High => (low, high),
        Toward::Low => (high, low),
    };
    let port = identify::service(key, toward);
    Question { vni: key.vni(), from, to, protocol: key.protocol(), port }
}

/// The rules of a decision, as a session keeps them: by what counts them, which stays from one configuration to the next.
fn rules(policy: &Policy, decision: &Decision) -> (u32, u32) {
    (policy.slot(decision.rule), policy.slot(decision.would_rule))
}

/// The source port, of protocols that have one.
fn source<K: Family>(key: &K, toward: Toward) -> u16 {
    if identify::has_ports(key.protocol()) { identify::service(key, toward.other()) } else { 0 }
}
