//! What another document changes, or has changed.

use serde::{Deserialize, Serialize};

/// What a document would change on a running switch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The host.
    pub host: String,
    /// The number of the configuration in force.
    pub epoch: u64,
    /// What differs from the document in force.
    pub changes: Vec<Change>,
    /// What of that takes effect only when the host's switch is started anew: such a document is refused.
    pub restart: Vec<Detail>,
    /// What becomes of the sessions that there are now.
    pub sessions: SessionChanges,
}

/// A document was put in force.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Applied {
    /// The host.
    pub host: String,
    /// The number of the configuration in force now.
    pub epoch: u64,
    /// What changed.
    pub changes: Vec<Change>,
    /// How long it took.
    pub times: Times,
}

/// How long a change took, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Times {
    /// To read and check the document.
    pub read_ns: u64,
    /// To compile it.
    pub compile_ns: u64,
    /// To open new ports.
    pub open_ns: u64,
    /// Until the last worker had taken it up.
    pub publish_ns: u64,
}

impl Times {
    /// From the document that was read to the last worker that has taken it up.
    pub fn live_ns(&self) -> u64 {
        self.compile_ns + self.open_ns + self.publish_ns
    }
}

/// A thing of the document that is new, gone or different.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Which of these.
    pub kind: ChangeKind,
    /// What it is: `rule`, `endpoint` and the like.
    pub what: String,
    /// Its name: `blue/web-to-db`.
    pub name: String,
    /// What differs.
    pub details: Vec<Detail>,
}

/// How a thing has changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// It is different.
    #[default]
    Changed,
}

/// A key's value before and after.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detail {
    /// The key; empty of what the thing itself says.
    pub key: String,
    /// What it was, if it was.
    pub old: Option<String>,
    /// What it is, if it is.
    pub new: Option<String>,
}

/// What becomes of the sessions that there are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SessionChanges {
    /// How many were looked at; none if nothing changes for any.
    pub examined: u64,
    /// Those that pass now and would be denied.
    pub denied: u64,
    /// Those that go on, by another rule's leave.
    pub other_rule: u64,
    /// Those that end because their endpoint goes.
    pub ended: u64,
    /// Some of them, those denied first.
    pub examples: Vec<SessionChange>,
}

/// What becomes of a session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionChange {
    /// Its tenant.
    pub tenant: String,
    /// Its protocol: `tcp`, or a number.
    pub protocol: String,
    /// Who opened it, with the port where the protocol has such.
    pub from: String,
    /// Who it was opened to.
    pub to: String,
    /// Its state.
    pub state: String,
    /// What lets it pass, as `rule web-to-db` or `the default`.
    pub old: String,
    /// What would become of it, as `denied by rule no-telnet`.
    pub new: String,
}

/// The document in force.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// The host.
    pub host: String,
    /// The number of the configuration that was made from it.
    pub epoch: u64,
    /// Its text.
    pub text: String,
}
