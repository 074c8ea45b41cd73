//! What policy decided, with the names and lines of the document.

use std::fmt;

use serde::Serialize;
use weft_pipelines::policy::{Action, Decision};

use crate::config::checked::Tenant;

/// A decision of a tenant's policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ruling {
    /// `allow` or `deny`.
    pub action: &'static str,
    /// Who decided.
    #[serde(flatten)]
    pub by: Decider,
    /// What would be decided if what is under audit were enforced, where that is something else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audit: Option<Audit>,
}

/// What would be decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Audit {
    /// `allow` or `deny`.
    pub action: &'static str,
    /// Who would decide.
    #[serde(flatten)]
    pub by: Decider,
}

/// A rule, or the default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Decider {
    /// The rule's name; `None` is the default.
    pub rule: Option<String>,
    /// Its line in the document; `None` is a default that the document does not give.
    pub line: Option<u32>,
}

impl Ruling {
    /// The decision, of which the rules are `tenant`'s.
    pub fn of(tenant: &Tenant, decision: &Decision) -> Self {
        let audit = Audit { action: word(decision.would), by: Decider::of(tenant, decision.would_rule) };
        Self {
            action: word(decision.action),
            by: Decider::of(tenant, decision.rule),
            audit: (decision.would != decision.action).then_some(audit),
        }
    }

    /// Whether it lets pass.
    pub fn allows(&self) -> bool {
        self.action == word(Action::Allow)
    }
}

impl Decider {
    /// The rule at this place among `tenant`'s, or the default.
    pub fn of(tenant: &Tenant, rule: Option<u32>) -> Self {
        match rule.and_then(|rule| tenant.policy.rules.get(rule as usize)) {
            Some(rule) => Self { rule: Some(rule.name.to_string()), line: Some(rule.at.0.line) },
            None => Self { rule: None, line: Some(tenant.policy.default_at.0.line).filter(|line| *line > 0) },
        }
    }
}

/// `allow` or `deny`.
pub const fn word(action: Action) -> &'static str {
    match action {
        Action::Allow => "allow",
        Action::Deny => "deny",
    }
}

/// `allowed by rule web-to-db (line 31)`, with what would be decided otherwise.
impl fmt::Display for Ruling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let action = if self.allows() { "allowed" } else { "denied" };
        write!(f, "{action} by {}", self.by)?;
        match &self.audit {
            Some(Audit { action, by }) => {
                write!(f, "; were all enforced that is under audit, {by} would {action} it")
            }
            None => Ok(()),
        }
    }
}

/// `rule web-to-db (line 31)`, or `the default (line 28)`.
impl fmt::Display for Decider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.rule {
            Some(rule) => write!(f, "rule {rule}")?,
            None => f.write_str("the default")?,
        }
        match self.line {
            Some(line) => write!(f, " (line {line})"),
            None => f.write_str(" (there is no policy)"),
        }
    }
}
