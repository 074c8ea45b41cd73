//! The commands.

pub mod check;
pub mod doctor;
pub mod explain;
pub mod replay;
#[cfg(feature = "dpdk")]
pub mod run;
pub mod schema;
pub mod show;

use std::fmt;
use std::io::{self, Write};

use crate::config::{Fabric, checked::Verdict};

/// Says something on standard error, line by line as it is. That nobody reads it is no reason to end.
fn say(what: impl fmt::Display) {
    let _ = write!(io::stderr(), "{what}");
}

/// Prints a command's answer. A reader that has seen enough, `head` say, is no failure.
fn print(text: &str) -> io::Result<()> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        printed => printed,
    }
}

/// What the document says and the switch does not do yet: nobody should believe in a wall that is not there.
fn not_enforced(fabric: &Fabric) -> impl Iterator<Item = String> + '_ {
    fabric.tenants.iter().flat_map(|tenant| {
        let policy = !tenant.policy.rules.is_empty() || tenant.policy.default == Verdict::Deny;
        let qos = tenant.qos.is_some() || tenant.endpoints.iter().any(|endpoint| endpoint.qos.is_some());
        let about = move |what: &str| format!("tenant {}: this version checks {what}", tenant.name);
        [
            policy.then(|| about("policies but does not enforce them: all is allowed")),
            qos.then(|| about("qos but does not apply it: nothing is limited")),
        ]
        .into_iter()
        .flatten()
    })
}
