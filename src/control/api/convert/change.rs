//! Plans, changes, sessions and rules.

use super::{Malformed, Number, all, try_all, v1};
use crate::report::{
    Applied, Change, ChangeKind, Detail, Document, Plan, RuleReport, SessionChange, SessionChanges,
    SessionFilter, SessionReport, Sessions, Times,
};

impl From<Plan> for v1::PlanResponse {
    fn from(Plan { host, epoch, changes, restart, sessions }: Plan) -> Self {
        let (changes, restart) = (all(changes), all(restart));
        Self { host, epoch, changes, restart, sessions: Some(sessions.into()) }
    }
}

impl TryFrom<v1::PlanResponse> for Plan {
    type Error = Malformed;

    fn try_from(response: v1::PlanResponse) -> Result<Self, Malformed> {
        let v1::PlanResponse { host, epoch, changes, restart, sessions } = response;
        let sessions = sessions.ok_or(Malformed::Missing("sessions"))?.into();
        Ok(Self { host, epoch, changes: try_all(changes)?, restart: all(restart), sessions })
    }
}

impl From<Applied> for v1::ApplyResponse {
    fn from(Applied { host, epoch, changes, times }: Applied) -> Self {
        Self { host, epoch, changes: all(changes), times: Some(times.into()) }
    }
}

impl TryFrom<v1::ApplyResponse> for Applied {
    type Error = Malformed;

    fn try_from(
        v1::ApplyResponse { host, epoch, changes, times }: v1::ApplyResponse,
    ) -> Result<Self, Malformed> {
        let times = times.ok_or(Malformed::Missing("times"))?.into();
        Ok(Self { host, epoch, changes: try_all(changes)?, times })
    }
}

impl From<Change> for v1::Change {
    fn from(Change { kind, what, name, details }: Change) -> Self {
        Self { kind: v1::ChangeKind::from(kind).into(), what, name, details: all(details) }
    }
}

impl TryFrom<v1::Change> for Change {
    type Error = Malformed;

    fn try_from(v1::Change { kind, what, name, details }: v1::Change) -> Result<Self, Malformed> {
        Ok(Self { kind: ChangeKind::try_from(Number(kind))?, what, name, details: all(details) })
    }
}

impl From<SessionChanges> for v1::SessionChanges {
    fn from(SessionChanges { examined, denied, other_rule, ended, examples }: SessionChanges) -> Self {
        Self { examined, denied, other_rule, ended, examples: all(examples) }
    }
}

impl From<v1::SessionChanges> for SessionChanges {
    fn from(changes: v1::SessionChanges) -> Self {
        let v1::SessionChanges { examined, denied, other_rule, ended, examples } = changes;
        Self { examined, denied, other_rule, ended, examples: all(examples) }
    }
}

impl From<Sessions> for v1::SessionsResponse {
    fn from(Sessions { total, matched, sessions }: Sessions) -> Self {
        Self { total, matched, sessions: all(sessions) }
    }
}

impl From<v1::SessionsResponse> for Sessions {
    fn from(v1::SessionsResponse { total, matched, sessions }: v1::SessionsResponse) -> Self {
        Self { total, matched, sessions: all(sessions) }
    }
}

same_fields!(Document, DocumentResponse, host, epoch, text);
same_fields!(Times, Times, read_ns, compile_ns, open_ns, publish_ns);
same_fields!(Detail, Detail, key, old, new);
same_fields!(SessionChange, SessionChange, tenant, protocol, from, to, state, old, new);
same_fields!(SessionFilter, SessionsRequest, tenant, endpoint, address, protocol, state, rule, limit);
same_fields!(
    SessionReport,
    Session,
    tenant,
    vni,
    protocol,
    from,
    from_port,
    to,
    to_port,
    state,
    endpoint,
    worker,
    rule,
    would_rule,
    would_deny,
    packets,
    bytes,
    reply_packets,
    reply_bytes,
    age_ns,
    idle_ns
);
same_fields!(RuleReport, Rule, tenant, name, place, rule, hits, denied, would_deny, last_hit_ns);

same_variants!(ChangeKind, "kind of change", Added, Removed, Changed);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples;

    #[test]
    fn what_is_missing_or_unknown_is_said() {
        let empty = v1::PlanResponse::default();
        assert_eq!(Plan::try_from(empty), Err(Malformed::Missing("sessions")));
        let empty = v1::ApplyResponse::default();
        assert_eq!(Applied::try_from(empty), Err(Malformed::Missing("times")));
        let mut response = v1::PlanResponse::from(samples::plan());
        response.changes[0].kind = 0;
        let unknown = Malformed::Unknown { what: "kind of change", value: 0 };
        assert_eq!(Plan::try_from(response), Err(unknown));
    }
}
