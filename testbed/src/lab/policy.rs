//! What a tenant of a lab lets pass, in the document's words.

/// A tenant's policy: what happens to what no rule matches, and the rules, the first of which that matches decides.
///
/// ```
/// # use testbed::PolicySpec;
/// let policy = PolicySpec::deny_all()
///     .deny("no-telnet", "any", "any", &["tcp/23"])
///     .allow("web-to-db", "web", "db", &["tcp/5432", "icmp/8"]);
/// ```
#[derive(Clone, Debug)]
pub struct PolicySpec {
    default: &'static str,
    audit: bool,
    rules: Vec<RuleSpec>,
}

#[derive(Clone, Debug)]
struct RuleSpec {
    name: String,
    from: String,
    to: String,
    verdict: &'static str,
    services: Vec<String>,
    audit: bool,
}

impl PolicySpec {
    /// What no rule allows is dropped.
    pub fn deny_all() -> Self {
        Self { default: "deny", audit: false, rules: Vec::new() }
    }

    /// What no rule denies passes.
    pub fn allow_all() -> Self {
        Self { default: "allow", ..Self::deny_all() }
    }

    /// One more rule, below those given before: lets `services` of `from` to `to` pass.
    pub fn allow(self, name: &str, from: &str, to: &str, services: &[&str]) -> Self {
        self.rule(name, from, to, "allow", services)
    }

    /// One more rule, below those given before: drops `services` of `from` to `to`.
    pub fn deny(self, name: &str, from: &str, to: &str, services: &[&str]) -> Self {
        self.rule(name, from, to, "deny", services)
    }

    /// Verdicts are counted, and not carried out.
    pub fn audit(mut self) -> Self {
        self.audit = true;
        self
    }

    /// The rule given last is counted, and not carried out.
    pub fn audit_rule(mut self) -> Self {
        if let Some(rule) = self.rules.last_mut() {
            rule.audit = true;
        }
        self
    }

    fn rule(mut self, name: &str, from: &str, to: &str, verdict: &'static str, services: &[&str]) -> Self {
        let (name, from, to) = (name.into(), from.into(), to.into());
        let services = services.iter().map(|service| (*service).into()).collect();
        self.rules.push(RuleSpec { name, from, to, verdict, services, audit: false });
        self
    }

    /// The document's lines, without indentation.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines = vec!["policy:".to_owned()];
        if self.audit {
            lines.push("  mode: audit".into());
        }
        lines.push(format!("  default: {}", self.default));
        if !self.rules.is_empty() {
            lines.push("  rules:".into());
        }
        lines.extend(self.rules.iter().map(RuleSpec::line));
        lines
    }
}

impl RuleSpec {
    fn line(&self) -> String {
        let Self { name, from, to, verdict, services, audit } = self;
        let services = services.join(", ");
        let mode = if *audit { ", mode: audit" } else { "" };
        format!("    - {{ name: {name}, from: {from}, to: {to}, {verdict}: [{services}]{mode} }}")
    }
}
