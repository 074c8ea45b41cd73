//! What policy decided, for whoever reads the log: at a bounded rate, and with what was left out counted.

use std::sync::Arc;

use crossbeam::queue::ArrayQueue;
use weft_pipelines::flow::rate::Rate;
use weft_pipelines::sink::Decided;

/// Decisions a second that a worker tells, and at once after silence.
const RATE: (u32, u32) = (100, 100);
/// Decisions that wait for the control thread, which looks ten times a second.
const WAITING: usize = 128;

/// Where the control thread finds a worker's decisions.
pub type Decisions = Arc<ArrayQueue<Decided>>;

/// A worker's end of its log.
#[derive(Debug)]
pub struct Log {
    decisions: Decisions,
    rate: Rate,
    /// Decisions that were to be told and were not: there were too many.
    pub lost: u64,
}

impl Default for Log {
    fn default() -> Self {
        let decisions = Arc::new(ArrayQueue::new(WAITING));
        Self { decisions, rate: Rate::new(RATE.0, RATE.1), lost: 0 }
    }
}

impl Log {
    /// The other end.
    pub fn decisions(&self) -> Decisions {
        self.decisions.clone()
    }

    /// Tells of `decided`, unless there was too much to tell lately.
    pub fn tell(&mut self, decided: &Decided) {
        if !self.rate.take(decided.at) || self.decisions.push(*decided).is_err() {
            self.lost += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use weft_pipelines::policy::{Action, Decision, Question};
    use weft_pipelines::{PortId, TenantId, Tick, Vni};

    use super::*;

    fn decided(at: u64) -> Decided {
        let address = Ipv4Addr::LOCALHOST.into();
        let question = Question { vni: Vni::LOWEST, from: address, to: address, protocol: 6, port: 22 };
        let (action, rule) = (Action::Deny, None);
        Decided {
            at: Tick(at),
            tenant: TenantId(0),
            port: PortId(0),
            question,
            source: 1,
            decision: Decision { action, rule, would: action, would_rule: rule },
        }
    }

    #[test]
    fn what_is_too_much_is_counted() {
        let mut log = Log::default();
        let decisions = log.decisions();
        (0..1000).for_each(|_| log.tell(&decided(0)));
        assert_eq!((decisions.len() as u64, log.lost), (100, 900));
        // Nobody reads for a second: there is no room, though the rate allows it.
        (0..1000).for_each(|_| log.tell(&decided(1_000_000_000)));
        assert_eq!((decisions.len() as u64, log.lost), (128, 1872));
        while decisions.pop().is_some() {}
        (0..10).for_each(|_| log.tell(&decided(2_000_000_000)));
        assert_eq!((decisions.len() as u64, log.lost), (10, 1872));
    }
}
