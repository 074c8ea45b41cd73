//! What policy decided of the connections of a replay.

use std::collections::HashSet;
use std::net::IpAddr;

use weft_pipelines::Vni;
use weft_pipelines::sink::Decided;

/// The first decision of each connection, in the order in which they were taken.
#[derive(Debug, Default)]
pub(super) struct Decisions {
    seen: HashSet<Key>,
    list: Vec<Decided>,
}

/// A connection, whoever opened it: in mid-stream the packet that is seen first may be of either side.
pub(super) type Key = (Vni, u8, [(IpAddr, u16); 2]);

/// The connection that was decided.
pub(super) fn key(decided: &Decided) -> Key {
    let question = &decided.question;
    let mut ends = [(question.from, decided.source), (question.to, question.port)];
    ends.sort_unstable();
    (question.vni, question.protocol, ends)
}

impl Decisions {
    /// Takes in a decision, unless the connection has one.
    pub(super) fn add(&mut self, decided: &Decided) {
        if self.seen.insert(key(decided)) {
            self.list.push(*decided);
        }
    }

    pub(super) fn finish(self) -> Vec<Decided> {
        self.list
    }
}
