//! Cases: what a policy is expected to decide, written down and held against it.
//!
//! A file of cases is a YAML list. Each says from where to where, for which services, and what is expected. An end is an
//! endpoint (`tenant/endpoint`), a group (`tenant:group`) or an IP address; one of the two has to be of a tenant. A
//! service is written as in a rule, or `proto/NUMBER`.
//!
//! A case is about all that it names: each pair of members of two groups, each port of a range, each address of a
//! network. All have to be decided as expected. Not all of them are asked one by one: see [`points`].

mod points;
mod raw;

use std::fmt;
use std::path::Path;

use weft_pipelines::policy::{Action, Decision, Question};

use crate::config::checked::{Fabric, Tenant, Verdict};
use crate::config::suggest::{among, quoted};
use crate::config::{Diagnostics, Located, Location, Notes};
use crate::control::compile::TenantPolicy;
use crate::explain::ends::{self, Found};
use crate::explain::{Purpose, Ruling, Written};
use points::Point;
use raw::List;

/// What a rule's name in a case stands for where no rule has it: the default.
const DEFAULT: &str = "default";

/// A case.
#[derive(Debug)]
pub struct Case {
    /// Where it stands in its file.
    pub at: Location,
    /// What it is called.
    pub name: Option<String>,
    /// Whose policy decides: the tenant's place in the document.
    pub tenant: usize,
    from: Vec<Point>,
    to: Vec<Point>,
    purposes: Vec<Purpose>,
    expected: Expected,
}

/// What is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Expected {
    action: Action,
    /// If what is under audit were enforced.
    would: Option<Action>,
    /// The rule that decides; `Some(None)` is the default.
    rule: Option<Option<u32>>,
}

/// The cases in the file at `path`, which are about `fabric`.
///
/// # Errors
///
/// All that is wrong with the file, in its order.
pub fn load(path: &Path, fabric: &Fabric) -> Result<Vec<Case>, Diagnostics> {
    let check = |raw: &List<raw::Case>, notes: &Notes| Some(check(raw, fabric, notes));
    crate::config::load_as(path, raw::schema(), check).map(|(cases, _)| cases)
}

fn check(raw: &List<raw::Case>, fabric: &Fabric, notes: &Notes) -> Vec<Case> {
    let whole = raw.iter().filter_map(|located| Some((located.at, located.value.as_ref()?)));
    whole.filter_map(|(at, raw)| case(at, raw, fabric, notes)).collect()
}

fn case(at: Location, raw: &raw::Case, fabric: &Fabric, notes: &Notes) -> Option<Case> {
    let (from, to) = (end(&raw.from, fabric, notes), end(&raw.to, fabric, notes));
    let services = services(raw, notes);
    let (from, to) = (from?, to?);
    let tenant = match (from.tenant(), to.tenant()) {
        (Some(one), Some(other)) if one != other => {
            let name = |tenant: usize| &fabric.tenants[tenant].name;
            let (one, other) = (name(one), name(other));
            notes.error(
                raw.to.at,
                format!("tenants {one} and {other} are separate worlds: no policy is about both"),
            );
            return None;
        }
        (Some(tenant), _) | (None, Some(tenant)) => tenant,
        (None, None) => {
            let message =
                "both ends are addresses, which several tenants may have; write one as tenant/endpoint";
            notes.error(raw.to.at, message);
            return None;
        }
    };
    let of = &fabric.tenants[tenant];
    let rule = match &raw.rule {
        None => None,
        Some(located) => Some(rule(located, of, notes)?),
    };
    let purposes = points::purposes(of, &services?);
    let case = Case {
        at,
        name: raw.name.as_ref().and_then(|name| name.value.clone()),
        tenant,
        from: points::of(fabric, from),
        to: points::of(fabric, to),
        purposes,
        expected: Expected {
            action: action(raw.expect.value?),
            would: match &raw.audit {
                None => None,
                Some(audit) => Some(action(audit.value?)),
            },
            rule,
        },
    };
    if case.questions(of).next().is_none() {
        let message = "nothing goes there from `from` by these services: no pair of them shares a segment and a family \
                       of addresses";
        notes.error(raw.to.at, message);
        return None;
    }
    Some(case)
}

fn end(raw: &Located<String>, fabric: &Fabric, notes: &Notes) -> Option<Found> {
    let Ok(written) = raw.value.as_ref()?.parse::<Written>();
    ends::find(fabric, &written).map_err(|message| notes.error(raw.at, message)).ok()
}

fn services(raw: &raw::Case, notes: &Notes) -> Option<Vec<points::Services>> {
    let list = raw.service.value.as_ref()?;
    if list.0.is_empty() {
        notes.error(raw.service.at, "is about nothing; name a service, as tcp/443");
        return None;
    }
    let one = |located: &Located<String>| {
        let services = located.value.as_ref()?.parse::<points::Services>();
        services.map_err(|message| notes.error(located.at, message)).ok()
    };
    // All of them are read, that all that is wrong is told.
    let read: Vec<Option<points::Services>> = list.0.iter().map(one).collect();
    read.into_iter().collect()
}

fn rule(raw: &Located<String>, tenant: &Tenant, notes: &Notes) -> Option<Option<u32>> {
    let name = raw.value.as_ref()?;
    let names = tenant.policy.rules.iter().map(|rule| &*rule.name);
    match names.clone().position(|other| other == name) {
        Some(place) => Some(Some(place as u32)),
        None if name == DEFAULT => Some(None),
        None => {
            let known = names.chain([DEFAULT]);
            let message =
                format!("tenant {} has no rule {}; {}", tenant.name, quoted(name), among(name, known));
            notes.error(raw.at, message);
            None
        }
    }
}

const fn action(verdict: Verdict) -> Action {
    match verdict {
        Verdict::Allow => Action::Allow,
        Verdict::Deny => Action::Deny,
    }
}

/// A case that does not hold.
#[derive(Debug)]
pub struct Failure {
    /// How many questions were asked.
    pub asked: usize,
    /// How many of them were not answered as expected.
    pub wrong: usize,
    /// The first of them.
    pub first: Wrong,
}

/// A question that was not answered as expected.
#[derive(Debug)]
pub struct Wrong {
    /// Who opens the connection, to whom, and what for.
    pub connection: String,
    /// What was expected.
    pub expected: String,
    /// What was decided.
    pub ruling: Ruling,
}

/// `blue/web1 to blue/db1, tcp/5432: expected allow; denied by the default (line 54)`.
impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: expected {}; {}", self.connection, self.expected, self.ruling)
    }
}

impl Case {
    /// Holds the case against the tenant's policy. Returns how many questions it asked.
    ///
    /// # Errors
    ///
    /// With what was decided otherwise.
    pub fn hold(&self, fabric: &Fabric, policies: &[TenantPolicy]) -> Result<usize, Box<Failure>> {
        let (tenant, policy) = (&fabric.tenants[self.tenant], &policies[self.tenant].policy);
        let (mut asked, mut wrong, mut first) = (0, 0, None);
        for question in self.questions(tenant) {
            let decision = policy.decide(&question);
            asked += 1;
            if !self.expected.is_met_by(&decision) {
                wrong += 1;
                first.get_or_insert((question, decision));
            }
        }
        match first {
            None => Ok(asked),
            Some((question, decision)) => {
                let purpose = Purpose { protocol: question.protocol, port: question.port };
                let name = |address| ends::name_at(tenant, question.vni, address);
                let first = Wrong {
                    connection: format!("{} to {}, {purpose}", name(question.from), name(question.to)),
                    expected: self.expected.words(tenant),
                    ruling: Ruling::of(tenant, &decision),
                };
                Err(Box::new(Failure { asked, wrong, first }))
            }
        }
    }

    /// All that is to be asked.
    fn questions<'a>(&'a self, tenant: &'a Tenant) -> impl Iterator<Item = Question> + 'a {
        let pairs = self.from.iter().flat_map(|from| self.to.iter().map(move |to| (*from, *to)));
        let pairs = pairs.flat_map(|(from, to)| points::meet(tenant, from, to));
        pairs.flat_map(|(vni, from, to)| {
            let fits = move |purpose: &&Purpose| purpose.is_ipv6().is_none_or(|ipv6| ipv6 == from.is_ipv6());
            self.purposes.iter().filter(fits).map(move |purpose| Question {
                vni,
                from,
                to,
                protocol: purpose.protocol,
                port: purpose.port,
            })
        })
    }
}

impl Expected {
    fn is_met_by(&self, decision: &Decision) -> bool {
        self.action == decision.action
            && self.would.is_none_or(|would| would == decision.would)
            && self.rule.is_none_or(|rule| rule == decision.rule)
    }

    fn words(&self, tenant: &Tenant) -> String {
        use crate::explain::ruling::{Decider, word};
        let mut words = word(self.action).to_owned();
        if let Some(rule) = self.rule {
            words += &format!(" by {}", Decider::of(tenant, rule));
        }
        if let Some(would) = self.would {
            words += &format!(", {} under audit", word(would));
        }
        words
    }
}
