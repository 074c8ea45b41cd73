//! Packets that wait for their turn to leave: a tree of a root, groups (tenants), leaves (endpoints) and each leaf's
//! four queues (traffic classes).
//!
//! At each level those go first that are within their assured rate; what is left they share by weight, and none goes
//! beyond its ceiling. What a tenant's endpoint leaves is its siblings' before it is other tenants'. As long as a packet
//! may leave by the ceilings on its way, one does.
//!
//! Each packet costs the same however many leaves there are. All memory is there from when it is set up; nothing is
//! known of a packet but what it costs.

mod codel;
mod level;
mod list;
mod queues;
mod run;
#[cfg(test)]
mod tests;
mod wheel;

use self::codel::{Codel, Target};
use self::level::{Level, Siblings};
use self::list::{STALLED, UNKNOWN};
use self::queues::{Next, Queues, Slab};
use self::run::Run;
use super::{Bucket, Class, Classes, Colour, Pools, Settings, Share};
use crate::ids::Tick;

/// Nodes that one [`Shaper::advance`] looks at, at most, of each level.
const AT_ONCE: usize = 256;

/// A tree of packets of type `T` that wait.
#[derive(Debug)]
pub struct Shaper<T> {
    /// When time was told last.
    now: Tick,
    /// Packets that may wait in all.
    room: usize,
    /// Packets that may wait in one queue.
    queue: u32,
    slab: Slab<T>,
    root: Bucket,
    /// What passes, and is yet to be charged.
    run: Run,
    /// The groups, as the root's children.
    top: Siblings,
    groups: Level,
    /// By group.
    inner: Vec<Group>,
    leaves: Level,
    /// By leaf.
    queues: Vec<Queues>,
    /// By leaf and class.
    codels: Vec<[Codel; Class::MAX]>,
}

/// What a group knows of its leaves.
#[derive(Debug)]
struct Group {
    siblings: Siblings,
    /// Packets of all of them.
    waiting: usize,
}

/// A packet that was not taken in.
#[derive(Debug)]
pub struct Refused<T> {
    /// The packet.
    pub item: T,
    /// Why not.
    pub why: Refusal,
}

/// Why a packet was not taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no room.
    Full,
    /// There is room, but not for what is beyond its sender's assured rate.
    Early,
}

/// A packet that has left.
#[derive(Debug)]
pub struct Left<T> {
    /// Where it waited.
    pub leaf: usize,
    /// The packet.
    pub item: T,
    /// What it cost.
    pub cost: u32,
    /// How long it waited, in nanoseconds.
    pub waited: u64,
    /// How.
    pub fate: Fate,
}

/// How a packet leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// As it came.
    Sent,
    /// With a mark of congestion.
    Marked,
    /// It is to be dropped, because packets wait too long; it has been charged nowhere.
    Dropped,
}

impl<T> Shaper<T> {
    /// Room for [`Settings::backlog`] packets in all, [`Settings::queue`] in one traffic class of a leaf; nothing is
    /// bounded yet.
    pub fn new(settings: &Settings) -> Self {
        let mut shaper = Self {
            now: Tick(0),
            room: 0,
            queue: 0,
            slab: Slab::new(),
            root: Bucket::default(),
            run: Run::new(),
            top: Siblings::new(),
            groups: Level::new(),
            inner: Vec::new(),
            leaves: Level::new(),
            queues: Vec::new(),
            codels: Vec::new(),
        };
        shaper.resize(settings);
        shaper
    }

    /// Takes other settings. What waits stays; where there is less room, nothing more is taken in until it fits.
    pub fn resize(&mut self, settings: &Settings) {
        (self.room, self.queue) = (settings.backlog as usize, settings.queue);
        self.slab.grow(self.room);
    }

    /// Bounds the root to `rate` bits a second, and `burst` bytes at once after silence; a rate of 0: no bound.
    pub fn root(&mut self, rate: u64, burst: u64, now: Tick) {
        self.settle();
        self.root = self.root.with(rate, burst.saturating_mul(8), now);
        self.root.refill(now);
    }

    /// Sets up or changes a group (a tenant); `pools` are what it leases its credit from, if not all is its own.
    ///
    /// What it has taken, what it owes and what waits stays. A number beyond 65,535 is nobody's.
    pub fn group(&mut self, group: usize, share: &Share, pools: Option<&Pools>, now: Tick) {
        self.settle();
        if group > usize::from(u16::MAX) {
            return;
        }
        self.grow_groups(group + 1);
        self.groups.part(&mut self.top, group, |_| true);
        self.groups.join(&mut self.top, group, share.weight);
        self.groups.set(group, share, pools, now);
        if !self.inner[group].siblings.is_idle() {
            self.groups.place(&mut self.top, group, now);
        }
    }

    /// Sets up or changes a leaf (an endpoint) of `group`.
    ///
    /// What it has taken, what it owes and what waits stays. A number beyond 65,535 is nobody's.
    pub fn leaf(&mut self, leaf: usize, group: usize, share: &Share, classes: &Classes, now: Tick) {
        self.settle();
        if leaf.max(group) > usize::from(u16::MAX) {
            return;
        }
        self.grow_groups(group + 1);
        while self.queues.len() <= leaf {
            self.leaves.grow();
            self.queues.push(Queues::new());
            self.codels.push(Default::default());
        }
        self.part(leaf);
        let node = &mut self.leaves.nodes[leaf];
        (node.parent, node.state) = (group as u16, node.state & !UNKNOWN);
        let waiting = self.queues[leaf].waiting as usize;
        self.inner[group].waiting += waiting;
        self.leaves.join(&mut self.inner[group].siblings, leaf, share.weight);
        self.leaves.set(leaf, share, None, now);
        self.queues[leaf].set(classes);
        self.queues[leaf].target = Target::of(share);
        self.place(leaf, now);
    }

    /// Charges a packet that may go at once: nothing waits before it, and every bound on its way is open.
    ///
    /// Returns whether it may; if not, nothing has changed.
    #[inline]
    pub fn pass(&mut self, leaf: usize, cost: u32, now: Tick) -> bool {
        self.run.takes(leaf, cost, now) || self.pass_alone(leaf, cost, now)
    }

    /// As [`pass`](Self::pass), where the packet is not one more of a run.
    #[inline(never)]
    fn pass_alone(&mut self, leaf: usize, cost: u32, now: Tick) -> bool {
        self.settle();
        let Some(node) = self.leaves.nodes.get(leaf) else { return false };
        let group = usize::from(node.parent);
        let Some(above) = self.groups.nodes.get(group) else { return false };
        if node.busy != 0 || node.is_out() {
            return false;
        }
        // Where there is not enough for all, nobody goes before those whose turn it is.
        if above.is_bound() && !self.inner[group].siblings.is_idle() {
            return false;
        }
        if self.root.is_bound() {
            self.root.refill(now);
            if !(self.top.is_idle() && self.root.is_open()) {
                return false;
            }
        }
        let (state, above_state) = (node.state, above.state);
        let mut bounds = node.has_buckets().then(|| &mut self.leaves.bounds[leaf]);
        let mut above = above.has_buckets().then(|| &mut self.groups.bounds[group]);
        if bounds.as_mut().is_some_and(|bounds| !bounds.refill(state, now))
            || above.as_mut().is_some_and(|above| !above.refill(above_state, now))
        {
            return false;
        }
        if self.run.follows(leaf, now) {
            let left = [bounds.map(|it| it.left(state)), above.map(|it| it.left(above_state))];
            self.run.start(left.into_iter().flatten().chain([[self.root.left(), i64::MAX]]));
            return self.run.takes(leaf, cost, now);
        }
        if let Some(bounds) = bounds {
            bounds.take(state, 1, u64::from(cost));
        }
        if let Some(above) = above {
            above.take(above_state, 1, u64::from(cost));
        }
        self.root.take(u64::from(cost) * 8);
        true
    }

    /// Charges what has passed in a run, which ends.
    #[inline]
    fn settle(&mut self) {
        if self.run.is_on() {
            self.charge_run();
        }
    }

    #[cold]
    fn charge_run(&mut self) {
        let (leaf, packets, cost) = self.run.end();
        let group = usize::from(self.leaves.nodes[leaf].parent);
        self.leaves.bounds[leaf].take(self.leaves.nodes[leaf].state, packets, cost);
        self.groups.bounds[group].take(self.groups.nodes[group].state, packets, cost);
        self.root.take(cost * 8);
    }

    /// Takes a packet in, to wait for its turn, or gives it back.
    ///
    /// No leaf may have more waiting than there is room left for others, and no group more than four times that: so
    /// few do not keep out the rest (the dynamic thresholds of Choudhury and Hahne, 1998).
    pub fn enqueue(
        &mut self,
        leaf: usize,
        class: Class,
        colour: Colour,
        cost: u32,
        item: T,
        now: Tick,
    ) -> Result<(), Refused<T>> {
        self.settle();
        let node = self.leaves.nodes.get_mut(leaf).filter(|node| node.state & UNKNOWN == 0);
        let (Some(node), Some(queues)) = (node, self.queues.get_mut(leaf)) else {
            return Err(Refused { item, why: Refusal::Full });
        };
        let group = &mut self.inner[usize::from(node.parent)];
        let (used, len) = (self.slab.used, queues.len(class.index()));
        let free = self.room.saturating_sub(used);
        if len >= self.queue || queues.waiting as usize >= free || group.waiting >= free.saturating_mul(4) {
            return Err(Refused { item, why: Refusal::Full });
        }
        if colour == Colour::Yellow && (len > self.queue / 2 || used > self.room / 2) {
            return Err(Refused { item, why: Refusal::Early });
        }
        let queued = queues.push(&mut self.slab, class.index(), cost, item, now);
        queued.map_err(|item| Refused { item, why: Refusal::Full })?;
        group.waiting += 1;
        let was = node.busy;
        node.busy |= 1 << class.index();
        if was == 0 {
            self.advance(now);
            self.place(leaf, now);
        }
        Ok(())
    }

    /// Brings those back into turn whose bounds have opened. The work is bounded; it is to be called often.
    #[inline]
    pub fn advance(&mut self, now: Tick) {
        self.settle();
        self.now = now;
        if !(self.leaves.is_done(now) && self.groups.is_done(now)) {
            self.bring_back(now);
        }
    }

    #[inline(never)]
    fn bring_back(&mut self, now: Tick) {
        for _ in 0..AT_ONCE {
            let Some(leaf) = self.leaves.pop(now) else { break };
            self.place(leaf, now);
        }
        for _ in 0..AT_ONCE {
            let Some(group) = self.groups.pop(now) else { break };
            if !self.inner[group].siblings.is_idle() {
                self.groups.place(&mut self.top, group, now);
            }
        }
    }

    /// The next packet whose turn it is; `None` if none may leave now.
    ///
    /// `mark` marks congestion on a packet, and says whether it could: what cannot be marked is dropped.
    pub fn dequeue(&mut self, now: Tick, mark: impl FnMut(&mut T) -> bool) -> Option<Left<T>> {
        self.advance(now);
        self.root.refill(now);
        if !self.root.is_open() {
            return None;
        }
        loop {
            let Some((group, above)) = self.groups.pick(&mut self.top, now) else {
                if self.groups.is_done(now) && self.leaves.is_done(now) {
                    return None;
                }
                self.advance(now);
                continue;
            };
            if let Some((leaf, assured)) = self.leaves.pick(&mut self.inner[group].siblings, now) {
                return self.serve(Turn { group, above, leaf, assured }, now, mark);
            }
            self.groups.leave(&mut self.top, group);
        }
    }

    /// A leaf's output has no room: nothing leaves it, and nothing passes.
    pub fn stall(&mut self, leaf: usize) {
        self.settle();
        if let Some(node) = self.leaves.nodes.get_mut(leaf) {
            node.state |= STALLED;
            self.leave(leaf);
        }
    }

    /// A leaf's output has room again.
    pub fn resume(&mut self, leaf: usize) {
        self.settle();
        if let Some(node) = self.leaves.nodes.get_mut(leaf)
            && node.state & STALLED != 0
        {
            node.state &= !STALLED;
            self.place(leaf, self.now);
        }
    }

    /// Whether a leaf's output has no room.
    #[inline]
    pub fn is_stalled(&self, leaf: usize) -> bool {
        self.leaves.nodes.get(leaf).is_some_and(|node| node.state & STALLED != 0)
    }

    /// Takes a packet out that waits in a leaf, whatever its bounds; `None` when nothing is left.
    ///
    /// For a port that is gone, and for the end. It is charged nowhere.
    pub fn drain(&mut self, leaf: usize) -> Option<T> {
        let busy = self.leaves.nodes.get(leaf)?.busy;
        let next = self.queues.get_mut(leaf)?.next(&self.slab, busy)?;
        let (item, last) = self.queues[leaf].pop(&mut self.slab, next)?;
        let node = &mut self.leaves.nodes[leaf];
        node.busy &= !(u8::from(last) << next.class);
        self.inner[usize::from(node.parent)].waiting -= 1;
        if node.busy == 0 {
            self.leave(leaf);
        }
        Some(item)
    }

    /// How many packets wait in all.
    #[inline]
    pub const fn waiting(&self) -> usize {
        self.slab.used
    }

    /// How many packets wait in a leaf.
    #[inline]
    pub fn waiting_of(&self, leaf: usize) -> usize {
        self.queues.get(leaf).map_or(0, |queues| queues.waiting as usize)
    }

    /// Nothing that waits can leave before then, as far as bounds tell; [`Tick`]`(u64::MAX)` if nothing waits.
    pub fn due(&self) -> Tick {
        match [self.groups.due(), self.leaves.due()].into_iter().flatten().min() {
            _ if self.slab.used == 0 => Tick(u64::MAX),
            _ if !self.top.is_idle() => self.root.opens(),
            next => next.unwrap_or(Tick(u64::MAX)),
        }
    }

    /// How many leaves have a number.
    #[inline]
    pub fn leaves(&self) -> usize {
        self.queues.len()
    }

    /// Has the packet leave whose turn it is.
    #[inline(always)]
    fn serve(&mut self, turn: Turn, now: Tick, mark: impl FnMut(&mut T) -> bool) -> Option<Left<T>> {
        let Turn { group, above, leaf, assured } = turn;
        let (node, queues) = (&mut self.leaves.nodes[leaf], &mut self.queues[leaf]);
        let next = queues.next(&self.slab, node.busy)?;
        let waited = now.0.saturating_sub(next.at.0);
        let fate = if queues.is_fine(next.class, waited) {
            Fate::Sent
        } else {
            fate(queues, &mut self.codels[leaf], &mut self.slab, next, waited, now, mark)
        };
        let (item, last) = queues.pop(&mut self.slab, next)?;
        node.busy &= !(u8::from(last) << next.class);
        let wants = node.busy != 0;
        let Group { siblings, waiting } = &mut self.inner[group];
        *waiting -= 1;
        if fate == Fate::Dropped {
            if !wants {
                self.leave(leaf);
            }
        } else {
            self.root.take(u64::from(next.cost) * 8);
            queues.charge(next.class, next.cost);
            self.leaves.charge(siblings, leaf, assured, next.cost, wants);
            self.groups.charge(&mut self.top, group, above, next.cost, !siblings.is_idle());
            self.look_ahead();
        }
        Some(Left { leaf, item, cost: next.cost, waited, fate })
    }

    /// Brings into the cache what the next packets are likely to need: the next one's own line, and of the one after it
    /// the leaf.
    #[inline]
    fn look_ahead(&self) {
        // Few are there anyway.
        if self.queues.len() < 1024 {
            return;
        }
        let Some([group, other]) = self.groups.coming(&self.top) else { return };
        let coming = |group: usize| self.leaves.coming(&self.inner[group].siblings);
        let Some([leaf, mut after]) = coming(group) else { return };
        self.queues[leaf].fetch_next(&self.slab);
        if other != group {
            let Some([first, _]) = coming(other) else { return };
            after = first;
        }
        if after != leaf {
            self.leaves.fetch(after);
            self.queues[after].fetch();
        }
    }

    /// Puts a leaf where it belongs, and its group.
    #[inline]
    fn place(&mut self, leaf: usize, now: Tick) {
        let node = &self.leaves.nodes[leaf];
        if node.busy == 0 || node.is_out() {
            return;
        }
        let group = usize::from(node.parent);
        let inner = &mut self.inner[group].siblings;
        let was = inner.is_idle();
        if self.leaves.place(inner, leaf, now) && was {
            self.groups.place(&mut self.top, group, now);
        }
    }

    /// Takes a leaf out of turn, and its group if it was the last.
    fn leave(&mut self, leaf: usize) {
        let group = usize::from(self.leaves.nodes[leaf].parent);
        let inner = &mut self.inner[group].siblings;
        self.leaves.leave(inner, leaf);
        if inner.is_idle() {
            self.groups.leave(&mut self.top, group);
        }
    }

    /// Takes a leaf that has been set up out of its group, with what waits.
    fn part(&mut self, leaf: usize) {
        if self.leaves.nodes[leaf].state & UNKNOWN != 0 {
            return;
        }
        self.leave(leaf);
        let group = self.leaves.nodes[leaf].parent;
        let inner = &mut self.inner[usize::from(group)];
        inner.waiting -= self.queues[leaf].waiting as usize;
        self.leaves.part(&mut inner.siblings, leaf, |node| node.parent == group && node.state & UNKNOWN == 0);
    }

    fn grow_groups(&mut self, groups: usize) {
        while self.inner.len() < groups {
            self.groups.grow();
            let weight = Share::default().weight;
            self.groups.join(&mut self.top, self.inner.len(), weight);
            self.inner.push(Group { siblings: Siblings::new(), waiting: 0 });
        }
    }
}

/// What becomes of the packet that leaves next, where CoDel is to be asked.
#[inline(never)]
fn fate<T>(
    queues: &mut Queues,
    codels: &mut [Codel; Class::MAX],
    slab: &mut Slab<T>,
    next: Next,
    waited: u64,
    now: Tick,
    mark: impl FnMut(&mut T) -> bool,
) -> Fate {
    let (bit, codel) = (1 << next.class, &mut codels[next.class]);
    let due = codel.is_due(queues.target, waited, next.behind, next.cost, now);
    queues.watched = if codel.is_quiet() { queues.watched & !bit } else { queues.watched | bit };
    if !due {
        Fate::Sent
    } else if queues.first_mut(slab, next.class).is_some_and(mark) {
        Fate::Marked
    } else {
        Fate::Dropped
    }
}

/// Whose turn it is.
#[derive(Clone, Copy, Debug)]
struct Turn {
    group: usize,
    /// Whether the group is served as assured.
    above: bool,
    leaf: usize,
    /// Whether the leaf is.
    assured: bool,
}
