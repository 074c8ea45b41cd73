//! Traces.

use weft_pipelines::policy::Action;

use super::{all, v1};
use crate::explain::ruling::word;
use crate::explain::{Audit, Decider, Ruling, Step};
use crate::trace::{Chunk, End, Spec, Traced};

impl From<Spec> for v1::TraceRequest {
    fn from(Spec { ports, filter, count, duration_ns }: Spec) -> Self {
        Self { ports, filter, count, duration_ns }
    }
}

impl From<v1::TraceRequest> for Spec {
    fn from(v1::TraceRequest { ports, filter, count, duration_ns }: v1::TraceRequest) -> Self {
        Self { ports, filter, count, duration_ns }
    }
}

impl From<Chunk> for v1::TraceResponse {
    fn from(Chunk { id, packets, end }: Chunk) -> Self {
        Self { id, packets: all(packets), end: end.map(Into::into) }
    }
}

impl From<v1::TraceResponse> for Chunk {
    fn from(v1::TraceResponse { id, packets, end }: v1::TraceResponse) -> Self {
        Self { id, packets: all(packets), end: end.map(Into::into) }
    }
}

impl From<Traced> for v1::TracedPacket {
    fn from(Traced { unix_ns, port, packet, len, steps }: Traced) -> Self {
        Self { unix_ns, port, packet, len, steps: all(steps) }
    }
}

impl From<v1::TracedPacket> for Traced {
    fn from(v1::TracedPacket { unix_ns, port, packet, len, steps }: v1::TracedPacket) -> Self {
        Self { unix_ns, port, packet, len, steps: all(steps) }
    }
}

impl From<Step> for v1::TraceStep {
    fn from(Step { host, stage, says, dropped, ruling }: Step) -> Self {
        let dropped = dropped.map(Into::into);
        Self { host, stage: stage.into(), says, dropped, ruling: ruling.map(Into::into) }
    }
}

impl From<v1::TraceStep> for Step {
    fn from(v1::TraceStep { host, stage, says, dropped, ruling }: v1::TraceStep) -> Self {
        let dropped = dropped.map(Into::into);
        Self { host, stage: stage.into(), says, dropped, ruling: ruling.map(Into::into) }
    }
}

impl From<Ruling> for v1::Ruling {
    fn from(Ruling { action, by, audit }: Ruling) -> Self {
        let audit = audit.map(|Audit { action, by }| decision(action, by));
        Self { decision: Some(decision(action, by)), audit }
    }
}

impl From<v1::Ruling> for Ruling {
    fn from(v1::Ruling { decision, audit }: v1::Ruling) -> Self {
        let (action, by) = decided(decision.unwrap_or_default());
        let audit = audit.map(decided).map(|(action, by)| Audit { action, by });
        Self { action, by, audit }
    }
}

fn decision(action: &str, Decider { rule, line }: Decider) -> v1::Decision {
    v1::Decision { allow: action == word(Action::Allow), rule, line }
}

fn decided(v1::Decision { allow, rule, line }: v1::Decision) -> (&'static str, Decider) {
    (word(if allow { Action::Allow } else { Action::Deny }), Decider { rule, line })
}

impl From<End> for v1::TraceEnd {
    fn from(End { why, lost }: End) -> Self {
        Self { why, lost }
    }
}

impl From<v1::TraceEnd> for End {
    fn from(v1::TraceEnd { why, lost }: v1::TraceEnd) -> Self {
        Self { why, lost }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_comes_back_as_it_went() {
        let by = |rule: Option<&str>, line| Decider { rule: rule.map(str::to_owned), line };
        let ruling = Ruling {
            action: "deny",
            by: by(Some("no-web"), Some(31)),
            audit: Some(Audit { action: "allow", by: by(None, None) }),
        };
        let step = |dropped: Option<&'static str>, ruling| Step {
            host: "hv-a".into(),
            stage: "check_policy".into(),
            says: "denied".into(),
            dropped: dropped.map(Into::into),
            ruling,
        };
        let packet = Traced {
            unix_ns: 7,
            port: "blue/web1".into(),
            packet: "a to b".into(),
            len: 60,
            steps: vec![step(Some("policy_denied"), Some(ruling)), step(None, None)],
        };
        let chunk = Chunk {
            id: Some(3),
            packets: vec![packet],
            end: Some(End { why: "the switch stops".into(), lost: 2 }),
        };
        assert_eq!(Chunk::from(v1::TraceResponse::from(chunk.clone())), chunk);
    }
}
