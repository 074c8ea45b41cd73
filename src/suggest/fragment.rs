//! A suggestion as YAML that can be pasted into the document.

use std::fmt::Write;

use super::{NewRule, Seen, Suggestion};
use crate::config::checked::{Tenant, Verdict};

/// How far a list is indented below its key, where the document does not show it.
const STEP: usize = 2;

impl Suggestion<'_> {
    /// The rules with the indentation that the tenant's policy has, and what is left as comments.
    pub fn fragment(&self) -> String {
        let Self { tenant, rules, left, allowed } = self;
        let mut text = String::new();
        let flows: u64 = rules.iter().map(|rule| rule.seen.flows).sum();
        let _ = match rules.len() {
            0 => writeln!(text, "# tenant {}: no rule is missing", tenant.name),
            count => writeln!(
                text,
                "# tenant {}: {} for {}; {}",
                tenant.name,
                of(count as u64, "rule"),
                of(flows, "flow"),
                place(tenant)
            ),
        };
        if has_policy(tenant) && tenant.policy.default == Verdict::Allow && !rules.is_empty() {
            let line = tenant.policy.default_at.0.line;
            let _ = writeln!(text, "# all else passes too as long as the default is to allow (line {line})");
        }
        if *allowed > 0 {
            let _ = writeln!(text, "# rules allow {} already", of(*allowed, "other flow"));
        }
        if !rules.is_empty() {
            let indent = open(&mut text, tenant);
            rules.iter().for_each(|rule| item(&mut text, indent, rule));
        }
        if !left.is_empty() {
            text.push_str("# no rule is suggested for:\n");
        }
        for (what, seen) in left {
            let _ = writeln!(text, "#   {what} ({})", words(*seen));
        }
        text
    }
}

/// Where the rules belong: behind all others, none of which means these flows.
fn place(tenant: &Tenant) -> String {
    match tenant.policy.rules.last() {
        Some(last) => {
            format!("add at the end of policy.rules, behind {} (line {})", last.name, last.at.0.line)
        }
        None if has_policy(tenant) => format!("add to its policy (line {})", tenant.policy.at.0.line),
        None => format!("add to the tenant (line {})", tenant.at.0.line),
    }
}

fn has_policy(tenant: &Tenant) -> bool {
    tenant.policy.default_at.0.line > 0
}

/// Opens the keys that the document does not have yet. Returns how far the rules are indented.
fn open(text: &mut String, tenant: &Tenant) -> usize {
    let before = |column: u32| column.saturating_sub(1) as usize;
    if let Some(rule) = tenant.policy.rules.first() {
        // It starts behind its dash and a space.
        return before(rule.at.0.column).saturating_sub(2);
    }
    let policy = match has_policy(tenant) {
        true => before(tenant.policy.at.0.column),
        false => {
            let tenant = before(tenant.at.0.column);
            let _ = writeln!(text, "{:tenant$}policy:", "");
            let _ = writeln!(text, "{:1$}default: deny", "", tenant + STEP);
            tenant + STEP
        }
    };
    let _ = writeln!(text, "{:policy$}rules:", "");
    policy + STEP
}

fn item(text: &mut String, indent: usize, rule: &NewRule) {
    let NewRule { name, from, to, services, seen } = rule;
    let services = services.join(", ");
    let _ = writeln!(
        text,
        "{:indent$}- {{ name: {name}, from: {from}, to: {to}, allow: [{services}] }} # {}",
        "",
        words(*seen)
    );
}

fn words(seen: Seen) -> String {
    format!("{}, {}", of(seen.flows, "flow"), of(seen.packets, "packet"))
}

fn of(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
