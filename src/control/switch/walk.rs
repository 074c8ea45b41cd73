//! What is asked of the workers by pages: their sessions, and what their rules decided.

use weft_pipelines::counters::RuleCounters;

use super::{PATIENCE, Silent, Switch};
use crate::control::sessions::{self, View};
use crate::report::{Document, RuleReport, SessionFilter, Sessions};
use crate::worker::{Mail, Reply, RulePage, SessionCursor, SessionPage, SessionRecord};

/// Sessions that a worker is asked for at once. It tells of them between two bursts, while packets wait.
const SESSIONS: usize = 512;
/// Rules likewise; to copy these takes less.
const RULES: usize = 4096;

impl Switch {
    /// The document in force.
    pub fn document(&self) -> Document {
        Document {
            host: self.compiled.labels.host.clone(),
            epoch: self.compiled.snapshot.epoch.0,
            text: self.text.clone(),
        }
    }

    /// The sessions that `filter` means.
    ///
    /// # Errors
    ///
    /// When a worker does not answer.
    pub async fn sessions(&self, filter: &SessionFilter) -> Result<Sessions, Silent> {
        let mut found = Sessions::default();
        let limit = if filter.limit == 0 { u64::MAX } else { filter.limit };
        let mut view = View::new(&self.fabric, &self.compiled);
        self.walk(|worker, record| {
            found.total += 1;
            if let Some(session) = view.report(record, worker, filter) {
                found.matched += 1;
                if found.matched <= limit {
                    found.sessions.push(session);
                }
            }
        })
        .await?;
        Ok(found)
    }

    /// Tells `each` of all sessions, with the workers that have them.
    pub(super) async fn walk(&self, mut each: impl FnMut(usize, &SessionRecord)) -> Result<(), Silent> {
        for worker in 0..self.workers.len() {
            let mut cursor = SessionCursor::START;
            while cursor != SessionCursor::End {
                let page = self.page(worker, cursor).await?;
                page.records.iter().for_each(|record| each(worker, record));
                cursor = page.cursor;
            }
        }
        Ok(())
    }

    async fn page(&self, worker: usize, cursor: SessionCursor) -> Result<Box<SessionPage>, Silent> {
        let asked = self.ask();
        let page = SessionPage { asked, cursor, records: Vec::with_capacity(SESSIONS) };
        self.send(worker, Mail::Sessions(Box::new(page)))?;
        let page = self.answer(worker, PATIENCE, |reply| match reply {
            Reply::Sessions(page) if page.asked == asked => Some(page),
            _ => None,
        });
        page.await
    }

    /// The rules of `tenant`, or of all where it is empty, with what they decided.
    ///
    /// # Errors
    ///
    /// When a worker does not answer.
    pub async fn rules(&self, tenant: &str) -> Result<Vec<RuleReport>, Silent> {
        let mut sum = vec![RuleCounters::default(); self.compiled.snapshot.slots];
        for worker in 0..self.workers.len() {
            for from in (0..sum.len()).step_by(RULES) {
                let (asked, len) = (self.ask(), RULES.min(sum.len() - from));
                let page = RulePage { asked, from, counters: vec![RuleCounters::default(); len] };
                self.send(worker, Mail::Rules(Box::new(page)))?;
                let page = self.answer(worker, PATIENCE, |reply| match reply {
                    Reply::Rules(page) if page.asked == asked => Some(page),
                    _ => None,
                });
                let page = page.await?;
                sum[from..].iter_mut().zip(&page.counters).for_each(|(sum, counted)| *sum += *counted);
            }
        }
        let now = self.clock.tick(self.clock.cycles());
        Ok(sessions::rules(&self.fabric, &self.compiled, tenant, &sum, now))
    }
}
