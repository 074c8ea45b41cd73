//! The underlay's neighbours: ARP (RFC 826) for the next hops of the tunnels, and nobody else's.
//!
//! The table has one row for each next hop of the snapshot, so nothing on the wire can make it grow. A hop
//! without an answer is asked again a few times while a bounded number of packets wait for it; one with an
//! answer is asked again before the answer is too old, so that steady traffic never waits.

use core::time::Duration;

use arrayvec::ArrayVec;

use crate::ids::{HopId, Tick};
use crate::wire::Mac;

/// Packets that wait for one hop (RFC 1122 section 2.3.2.2 asks for at least the latest one).
pub const HELD: usize = 16;
/// Time between two questions.
const RETRY: Duration = Duration::from_secs(1);
/// Questions before what waits is dropped.
const TRIES: u8 = 3;
/// Age at which a used answer is confirmed by asking its owner again.
const CONFIRM: Duration = Duration::from_secs(30);
/// Age at which an answer is no longer used (RFC 1122 section 2.3.2.1: on the order of a minute).
const EXPIRE: Duration = Duration::from_secs(60);

/// What is known of a hop, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The document gives its MAC.
    Static,
    /// It has answered, lately.
    Reachable,
    /// It has answered, a while ago.
    Stale,
    /// It is being asked.
    Incomplete,
    /// It was never needed, or did not answer.
    Unresolved,
}

/// A question to send: an ARP request for `hop`, to `mac` if it is only to confirm what was known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The hop asked for.
    pub hop: HopId,
    /// Its last known MAC, or broadcast.
    pub mac: Mac,
}

/// The neighbours of the uplinks that one worker owns, with the frames that wait for them.
#[derive(Debug)]
pub struct Neighbors<F> {
    rows: Vec<Row<F>>,
    /// Nothing is due before; so that a worker with nothing to do reads one number.
    due: Tick,
}

#[derive(Debug)]
struct Row<F> {
    entry: Entry,
    held: ArrayVec<F, HELD>,
}

#[derive(Clone, Copy, Debug)]
enum Entry {
    Static(Mac),
    Unresolved,
    /// Asked `tries` times; if there is no answer, the next step is at `next`.
    Incomplete {
        tries: u8,
        next: Tick,
    },
    /// Answered at `since`. `asked` to confirm, if it was used when that was due.
    Known {
        mac: Mac,
        since: Tick,
        asked: Option<Tick>,
    },
}

/// What is to be done for a hop.
#[derive(Debug)]
pub enum Due<F> {
    /// Nothing.
    Nothing,
    /// To ask again.
    Ask(Ask),
    /// To drop what waited, for it did not answer.
    GiveUp(ArrayVec<F, HELD>),
}

impl<F> Neighbors<F> {
    /// Rows for the hops, each with its MAC where the document gives one.
    pub fn new(hops: impl IntoIterator<Item = Option<Mac>>) -> Self {
        let mut neighbors = Self { rows: Vec::new(), due: Tick(u64::MAX) };
        neighbors.grow(hops);
        neighbors
    }

    /// Adds rows for those of the hops that there are none for; the others stay as they are.
    pub fn grow(&mut self, hops: impl IntoIterator<Item = Option<Mac>>) {
        let row = |fixed: Option<Mac>| Row {
            entry: fixed.map_or(Entry::Unresolved, Entry::Static),
            held: ArrayVec::new(),
        };
        self.rows.extend(hops.into_iter().skip(self.rows.len()).map(row));
    }

    /// The MAC of `hop`, to send a packet to now; the second value is whether to ask it again meanwhile: see
    /// [`confirm`](Self::confirm). `None` if packets have to wait: [`hold`](Self::hold).
    #[inline]
    pub fn find(&self, hop: HopId, now: Tick) -> Option<(Mac, bool)> {
        match self.rows[hop.index()].entry {
            Entry::Static(mac) => Some((mac, false)),
            Entry::Known { mac, since, asked } if now.since(since) < EXPIRE => {
                let confirm = now.since(since) >= CONFIRM && asked.is_none_or(|at| now.since(at) >= RETRY);
                Some((mac, confirm))
            }
            _ => None,
        }
    }

    /// The question that confirms what is known of `hop`.
    pub fn confirm(&mut self, hop: HopId, now: Tick) -> Option<Ask> {
        let Entry::Known { mac, asked, .. } = &mut self.rows[hop.index()].entry else { return None };
        *asked = Some(now);
        Some(Ask { hop, mac: *mac })
    }

    /// Keeps a packet until `hop` has answered; gives it back if too many wait. The second value is a question to send
    /// now.
    pub fn hold(&mut self, hop: HopId, frame: F, now: Tick) -> (Result<(), F>, Option<Ask>) {
        let row = &mut self.rows[hop.index()];
        let ask = match row.entry {
            Entry::Incomplete { .. } => None,
            _ => {
                let next = now + RETRY;
                row.entry = Entry::Incomplete { tries: 1, next };
                self.due = self.due.min(next);
                Some(Ask { hop, mac: Mac::BROADCAST })
            }
        };
        (row.held.try_push(frame).map_err(|full| full.element()), ask)
    }

    /// Takes the answer that `hop` has `mac`, and hands out what waited for it, in order.
    ///
    /// Answers for static hops are ignored: the document knows better than the wire.
    pub fn learn(&mut self, hop: HopId, mac: Mac, now: Tick) -> ArrayVec<F, HELD> {
        let row = &mut self.rows[hop.index()];
        if let Entry::Static(_) = row.entry {
            return ArrayVec::new();
        }
        row.entry = Entry::Known { mac, since: now, asked: None };
        core::mem::take(&mut row.held)
    }

    /// The MAC of `hop`, if it is known.
    pub fn mac(&self, hop: HopId) -> Option<Mac> {
        match self.rows[hop.index()].entry {
            Entry::Static(mac) | Entry::Known { mac, .. } => Some(mac),
            Entry::Unresolved | Entry::Incomplete { .. } => None,
        }
    }

    /// What is to be done at `now` for `hop`. Asked for every hop in turn once [`due`](Self::due) has come.
    pub fn due_at(&mut self, hop: HopId, now: Tick) -> Due<F> {
        if hop == HopId(0) {
            self.due = Tick(u64::MAX);
        }
        let row = &mut self.rows[hop.index()];
        let Entry::Incomplete { tries, next } = row.entry else { return Due::Nothing };
        if now < next {
            self.due = self.due.min(next);
            return Due::Nothing;
        }
        if tries < TRIES {
            let next = now + RETRY;
            row.entry = Entry::Incomplete { tries: tries + 1, next };
            self.due = self.due.min(next);
            return Due::Ask(Ask { hop, mac: Mac::BROADCAST });
        }
        row.entry = Entry::Unresolved;
        Due::GiveUp(core::mem::take(&mut row.held))
    }

    /// When something is to be done next.
    pub fn due(&self) -> Tick {
        self.due
    }

    /// Takes out every packet that waits for `hop`.
    pub fn drain(&mut self, hop: HopId) -> ArrayVec<F, HELD> {
        self.rows.get_mut(hop.index()).map(|row| core::mem::take(&mut row.held)).unwrap_or_default()
    }

    /// How many packets wait for `hop`.
    pub fn held(&self, hop: HopId) -> usize {
        self.rows[hop.index()].held.len()
    }

    /// What is known of `hop` at `now`.
    pub fn state(&self, hop: HopId, now: Tick) -> State {
        match self.rows[hop.index()].entry {
            Entry::Static(_) => State::Static,
            Entry::Unresolved => State::Unresolved,
            Entry::Incomplete { .. } => State::Incomplete,
            Entry::Known { since, .. } if now.since(since) < CONFIRM => State::Reachable,
            Entry::Known { since, .. } if now.since(since) < EXPIRE => State::Stale,
            Entry::Known { .. } => State::Unresolved,
        }
    }

    /// How many hops there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOP: HopId = HopId(0);
    const MAC: Mac = Mac([2, 0, 0, 0, 0, 9]);
    const SECOND: u64 = 1_000_000_000;

    /// What becomes of a packet for a hop.
    #[derive(Debug, PartialEq, Eq)]
    enum Resolution {
        Send(u32, Mac),
        Held,
        Full(u32),
    }

    fn resolve(table: &mut Neighbors<u32>, hop: HopId, packet: u32, now: Tick) -> (Resolution, Option<Ask>) {
        if let Some((mac, confirm)) = table.find(hop, now) {
            let ask = if confirm { table.confirm(hop, now) } else { None };
            return (Resolution::Send(packet, mac), ask);
        }
        let (held, ask) = table.hold(hop, packet, now);
        (held.map_or_else(Resolution::Full, |()| Resolution::Held), ask)
    }

    fn tick(table: &mut Neighbors<u32>, now: Tick) -> (Vec<Ask>, Vec<u32>) {
        match table.due_at(HOP, now) {
            Due::Nothing => (vec![], vec![]),
            Due::Ask(ask) => (vec![ask], vec![]),
            Due::GiveUp(held) => (vec![], held.into_iter().collect()),
        }
    }

    #[test]
    fn holds_asks_and_releases_in_order() {
        let mut table = Neighbors::new([None]);
        let ask = Ask { hop: HOP, mac: Mac::BROADCAST };
        assert_eq!(resolve(&mut table, HOP, 1, Tick(0)), (Resolution::Held, Some(ask)));
        assert_eq!(resolve(&mut table, HOP, 2, Tick(1)), (Resolution::Held, None));
        assert_eq!(table.state(HOP, Tick(1)), State::Incomplete);
        assert_eq!(table.learn(HOP, MAC, Tick(2)).as_slice(), [1, 2]);
        assert_eq!(resolve(&mut table, HOP, 3, Tick(3)), (Resolution::Send(3, MAC), None));
        assert_eq!(table.held(HOP), 0);
    }

    #[test]
    fn asks_three_times_and_gives_up() {
        let mut table = Neighbors::new([None]);
        let _ = resolve(&mut table, HOP, 1, Tick(0));
        assert_eq!(tick(&mut table, Tick(SECOND - 1)), (vec![], vec![]));
        assert_eq!(tick(&mut table, Tick(SECOND)).0.len(), 1);
        assert_eq!(tick(&mut table, Tick(2 * SECOND)).0.len(), 1);
        assert_eq!(tick(&mut table, Tick(3 * SECOND)), (vec![], vec![1]));
        assert_eq!(table.due(), Tick(u64::MAX));
        // The next packet starts anew.
        assert!(resolve(&mut table, HOP, 2, Tick(4 * SECOND)).1.is_some());
    }

    #[test]
    fn holds_a_bounded_number() {
        let mut table = Neighbors::new([None]);
        for n in 0..HELD as u32 {
            assert_eq!(resolve(&mut table, HOP, n, Tick(0)).0, Resolution::Held);
        }
        assert_eq!(resolve(&mut table, HOP, 99, Tick(0)).0, Resolution::Full(99));
        assert_eq!(table.drain(HOP).len(), HELD);
    }

    #[test]
    fn confirms_before_an_answer_is_too_old() {
        let mut table = Neighbors::new([None]);
        table.learn(HOP, MAC, Tick(0));
        let at = |seconds: u64| Tick(seconds * SECOND);
        assert_eq!(resolve(&mut table, HOP, 1, at(29)).1, None);
        let confirm = Some(Ask { hop: HOP, mac: MAC });
        assert_eq!(resolve(&mut table, HOP, 1, at(30)), (Resolution::Send(1, MAC), confirm));
        assert_eq!(resolve(&mut table, HOP, 1, Tick(30 * SECOND + 1)).1, None);
        assert_eq!(resolve(&mut table, HOP, 1, at(31)).1, confirm);
        assert_eq!(table.state(HOP, at(31)), State::Stale);
        table.learn(HOP, MAC, at(32));
        assert_eq!(table.state(HOP, at(33)), State::Reachable);
        assert_eq!(resolve(&mut table, HOP, 1, at(32 + 60)).0, Resolution::Held);
    }

    #[test]
    fn new_hops_leave_the_others_as_they_are() {
        let mut table = Neighbors::new([None]);
        let _ = resolve(&mut table, HOP, 1, Tick(0));
        table.grow([Some(MAC), Some(MAC)]);
        assert_eq!((table.len(), table.held(HOP)), (2, 1));
        assert_eq!(table.state(HOP, Tick(0)), State::Incomplete);
        assert_eq!(resolve(&mut table, HopId(1), 2, Tick(0)), (Resolution::Send(2, MAC), None));
    }

    #[test]
    fn the_document_knows_better_than_the_wire() {
        let mut table: Neighbors<u32> = Neighbors::new([Some(MAC)]);
        table.learn(HOP, Mac([6; 6]), Tick(0));
        assert_eq!(resolve(&mut table, HOP, 1, Tick(0)), (Resolution::Send(1, MAC), None));
        assert_eq!(table.state(HOP, Tick(0)), State::Static);
    }
}
