//! What policy decided, for whoever reads the log: at a bounded rate, and with what was left out counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam::queue::ArrayQueue;
use weft_pipelines::flow::rate::Rate;
use weft_pipelines::sink::Decided;

/// Decisions a second that a worker tells, and at once after silence.
const RATE: (u32, u32) = (100, 100);
/// Decisions that wait for the control thread, which looks ten times a second.
const WAITING: usize = 128;

/// Where the control thread finds a worker's decisions.
#[derive(Debug)]
pub struct Decisions {
    waiting: ArrayQueue<Decided>,
    lost: AtomicU64,
}

impl Decisions {
    /// The next one.
    pub fn take(&self) -> Option<Decided> {
        self.waiting.pop()
    }

    /// How many were to be told and were not, for there were too many.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

/// A worker's end of its log.
#[derive(Debug)]
pub struct Log {
    decisions: Arc<Decisions>,
    rate: Rate,
}

impl Default for Log {
    fn default() -> Self {
        let decisions = Decisions { waiting: ArrayQueue::new(WAITING), lost: AtomicU64::new(0) };
        Self { decisions: Arc::new(decisions), rate: Rate::new(RATE.0, RATE.1) }
    }
}

impl Log {
    /// The other end.
    pub fn decisions(&self) -> Arc<Decisions> {
        self.decisions.clone()
    }

    /// Tells of `decided`, unless there was too much to tell lately.
    pub fn tell(&mut self, decided: &Decided) {
        if !self.rate.take(decided.at) || self.decisions.waiting.push(*decided).is_err() {
            // This worker is the only one that counts.
            self.decisions.lost.store(self.decisions.lost() + 1, Ordering::Relaxed);
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
        assert_eq!((decisions.waiting.len(), decisions.lost()), (100, 900));
        // Nobody reads for a second: there is no room, though the rate allows it.
        (0..1000).for_each(|_| log.tell(&decided(1_000_000_000)));
        assert_eq!((decisions.waiting.len(), decisions.lost()), (128, 1872));
        while decisions.take().is_some() {}
        (0..10).for_each(|_| log.tell(&decided(2_000_000_000)));
        assert_eq!((decisions.waiting.len(), decisions.lost()), (10, 1872));
    }
}
