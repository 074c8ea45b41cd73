//! Cases as they are written. The comments here are the schema's descriptions.

use std::sync::LazyLock;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Deserialize;
use serde_json::Value;

use crate::config::checked::Verdict;
pub use crate::config::raw::List;
use crate::config::{Located, OneOrMore};

/// What is expected of connections.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What the case is called where it fails.
    pub name: Option<Located<String>>,
    /// Who opens the connections: tenant/endpoint, tenant:group, or an IP address.
    pub from: Located<String>,
    /// Who they are opened to: tenant/endpoint, tenant:group, or an IP address.
    pub to: Located<String>,
    /// What for: one service as in a rule, or several in a list; or proto/NUMBER.
    pub service: Located<OneOrMore<String>>,
    /// What happens.
    pub expect: Located<Verdict>,
    /// What would happen if what is under audit were enforced.
    pub audit: Option<Located<Verdict>>,
    /// The rule that decides; `default` for none.
    pub rule: Option<Located<String>>,
}

/// The form of a file of cases.
pub fn schema() -> &'static Value {
    static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
        SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<List<Case>>().to_value()
    });
    &SCHEMA
}
