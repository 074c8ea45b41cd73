//! One level of the tree: nodes with their bounds, whose turn it is among siblings, and who waits for a bound to open.
//!
//! A node that wants to send is in turn while its gate is open, and in the wheel else. Those in turn form a ring, which
//! is served by deficit round robin with surplus (Shreedhar and Varghese 1995; the surplus of Floyd and Jacobson 1995):
//! a node is served while its deficit is positive, so that no packet's size need be known before it leaves. Those of
//! them that are within their assured rate are in a second ring, which is served first; they keep their place in the
//! first one meanwhile, so that what is assured takes nothing from their share of the rest.

use std::sync::Arc;

use super::list::{self, ASSURED, BITS, NIL, Node, OUT, PACKETS, PROMISED, TURN};
use super::wheel::Wheel;
use crate::ids::Tick;
use crate::qos::{Bucket, Credit, Gate, Pool, Pools, Share};

/// What the smallest weight may send in a round, in bytes: an Ethernet frame with all that it costs.
pub(super) const FRAME: u32 = 1538;
/// Frames that the largest weight may send in a round, unless others wait too long for theirs then: 24 kB.
const FRAMES: u32 = 16;
/// Rounds at most that the smallest weight waits for its frame.
const PARTS: u32 = 8;
/// How many siblings are looked at for one packet. Only packets far larger than a frame need many: the one that comes
/// last is then served out of turn, and pays in later rounds.
const VISITS: usize = 64;

/// The bounds of a node, of which those count that its [`state`](Node::state) names. Two cache lines, of which the
/// processor brings in both.
#[derive(Debug, Default)]
#[repr(C, align(128))]
pub(super) struct Bounds {
    /// What it may send first; unbound where nothing is assured.
    assured: Credit,
    /// What it may send at most.
    gate: Gate,
}

impl Bounds {
    /// Brings it up to `now`. Returns whether its gate is open.
    #[inline(always)]
    pub(super) fn refill(&mut self, state: u8, now: Tick) -> bool {
        if state & PROMISED != 0 {
            self.assured.refill(now);
        }
        let bits = state & BITS == 0 || self.gate.bits.refill(now);
        let packets = state & PACKETS == 0 || self.gate.packets.refill(now);
        bits && packets
    }

    /// Whether it is within its assured rate.
    #[inline]
    pub(super) const fn is_assured(&self, state: u8) -> bool {
        state & PROMISED != 0 && self.assured.is_open()
    }

    /// Whether it is promised a rate that it has used up.
    #[inline]
    const fn is_beyond(&self, state: u8) -> bool {
        state & PROMISED != 0 && !self.assured.is_open()
    }

    /// Charges packets that pass without waiting, of so many bytes in all.
    #[inline(always)]
    pub(super) fn take(&mut self, state: u8, packets: u32, bytes: u64) {
        self.take_as(state, self.is_assured(state), packets, bytes);
    }

    /// Charges packets, as assured or not.
    #[inline(always)]
    fn take_as(&mut self, state: u8, assured: bool, packets: u32, bytes: u64) {
        if assured {
            self.assured.take(bytes * 8);
        }
        if state & BITS != 0 {
            self.gate.bits.take(bytes * 8);
        }
        if state & PACKETS != 0 {
            self.gate.packets.take(u64::from(packets));
        }
    }

    /// What may pass until something closes, as of the last [`refill`](Self::refill), in billionths: of bits, and of
    /// packets.
    #[inline]
    pub(super) fn left(&self, state: u8) -> [i64; 2] {
        let of = |credit: &Credit, counts: bool| if counts { credit.left() } else { i64::MAX };
        let assured = of(&self.assured, self.is_assured(state));
        [of(&self.gate.bits, state & BITS != 0).min(assured), of(&self.gate.packets, state & PACKETS != 0)]
    }

    /// Whether its gate is open, as of the last [`refill`](Self::refill).
    #[inline]
    const fn is_open(&self, state: u8) -> bool {
        (state & BITS == 0 || self.gate.bits.is_open())
            && (state & PACKETS == 0 || self.gate.packets.is_open())
    }

    /// Which bounds there are, as bits of [`Node::state`].
    fn state(&self) -> u8 {
        let bounds = [(&self.gate.bits, BITS), (&self.gate.packets, PACKETS), (&self.assured, PROMISED)];
        bounds.iter().map(|(credit, bit)| if credit.is_bound() { *bit } else { 0 }).sum()
    }
}

/// Siblings: what a parent knows of its children.
#[derive(Clone, Debug)]
pub(super) struct Siblings {
    /// Those in turn.
    turn: u32,
    /// Those of them that go first.
    assured: u32,
    /// Bytes that a weight of one may send in a round, in 65536ths.
    unit: u32,
    /// The smallest weight, and how many have it.
    least: (u16, u32),
    /// The largest, likewise.
    most: (u16, u32),
}

impl Siblings {
    pub(super) const fn new() -> Self {
        Self { turn: NIL, assured: NIL, unit: FRAME << 16, least: (u16::MAX, 0), most: (0, 0) }
    }

    /// Whether none is in turn.
    #[inline]
    pub(super) const fn is_idle(&self) -> bool {
        self.turn == NIL
    }

    /// What this weight may send in a round, in bytes.
    #[inline]
    fn quantum(&self, weight: u16) -> i32 {
        ((u64::from(weight) * u64::from(self.unit)) >> 16) as i32
    }

    /// One more has `weight`.
    fn add(&mut self, weight: u16) {
        let count = |(known, count): (u16, u32), beyond: bool| match known {
            _ if beyond => (weight, 1),
            known if known == weight => (known, count + 1),
            known => (known, count),
        };
        self.least = count(self.least, weight < self.least.0);
        self.most = count(self.most, weight > self.most.0);
        self.set_unit();
    }

    /// One less has `weight`. Returns whether the extremes are to be found anew.
    fn sub(&mut self, weight: u16) -> bool {
        for extreme in [&mut self.least, &mut self.most] {
            if extreme.0 == weight {
                extreme.1 = extreme.1.saturating_sub(1);
            }
        }
        self.least.1 == 0 || self.most.1 == 0
    }

    /// A round is a frame of the smallest weight, and a burst of the largest. Where the one is far from the other, the
    /// smallest waits some rounds for its frame, lest the largest make all wait.
    fn set_unit(&mut self) {
        let unit = |bytes: u32, weight: u16| (bytes << 16) / u32::from(weight.max(1));
        let (frame, part) = (unit(FRAME, self.least.0), unit(FRAME / PARTS, self.least.0));
        self.unit = frame.min(unit(FRAME * FRAMES, self.most.0)).max(part);
    }
}

/// A level.
#[derive(Debug)]
pub(super) struct Level {
    pub(super) nodes: Vec<Node>,
    /// By node.
    pub(super) bounds: Vec<Bounds>,
    wheel: Wheel,
}

impl Level {
    pub(super) fn new() -> Self {
        Self { nodes: Vec::new(), bounds: Vec::new(), wheel: Wheel::new() }
    }

    /// One node more: its number is the next.
    pub(super) fn grow(&mut self) {
        self.nodes.push(Node::new());
        self.bounds.push(Bounds::default());
    }

    /// Sets what `i` is promised and may take; what it has taken stays. Whether it is still in turn is to be seen:
    /// [`place`](Self::place).
    pub(super) fn set(&mut self, i: usize, share: &Share, pools: Option<&Pools>, now: Tick) {
        let (node, bounds) = (&mut self.nodes[i], &mut self.bounds[i]);
        let renew = |credit: &mut Credit, rate, burst, pool: fn(&Pools) -> &Option<Arc<Pool>>| {
            let old = std::mem::take(credit);
            *credit = match pools.map(|pools| pool(pools).as_ref()) {
                None => own(old, rate, burst, now),
                Some(None) => Credit::default(),
                Some(Some(pool)) => leased(old, pool),
            };
        };
        let burst = share.burst.saturating_mul(8);
        renew(&mut bounds.assured, share.rate, burst, |pools| &pools.assured);
        renew(&mut bounds.gate.bits, share.ceil, burst, |pools| &pools.ceil);
        renew(&mut bounds.gate.packets, share.pps, share.packet_burst, |pools| &pools.packets);
        node.state = node.state & OUT | bounds.state();
        bounds.refill(node.state, now);
    }

    /// Has `i` count among `siblings` with `weight`.
    pub(super) fn join(&mut self, siblings: &mut Siblings, i: usize, weight: u16) {
        let weight = weight.max(1);
        self.nodes[i].weight = weight;
        siblings.add(weight);
    }

    /// Has `i` count no more among `siblings`, which are all for which `is_sibling` is true.
    pub(super) fn part(&mut self, siblings: &mut Siblings, i: usize, is_sibling: impl Fn(&Node) -> bool) {
        if siblings.sub(self.nodes[i].weight) {
            (siblings.least, siblings.most) = ((u16::MAX, 0), (0, 0));
            for (n, node) in self.nodes.iter().enumerate() {
                if n != i && is_sibling(node) {
                    siblings.add(node.weight);
                }
            }
        }
    }

    /// Puts `i`, which wants to send, where it belongs. Returns whether it is in turn.
    pub(super) fn place(&mut self, siblings: &mut Siblings, i: usize, now: Tick) -> bool {
        let node = &mut self.nodes[i];
        let state = node.state;
        if node.has_buckets() && !self.bounds[i].refill(state, now) {
            self.close(siblings, i);
            return false;
        }
        if !node.is_in::<TURN>() {
            // It comes last, so that whoever comes and goes has no more in a round than others.
            let quantum = siblings.quantum(node.weight);
            node.deficit = node.deficit.saturating_add(quantum).min(quantum);
            list::push::<TURN>(&mut self.nodes, &mut siblings.turn, i as u32);
        }
        self.rank(siblings, i);
        true
    }

    /// Takes `i` out of turn: it does not want to send, or may not.
    pub(super) fn leave(&mut self, siblings: &mut Siblings, i: usize) {
        if self.nodes[i].is_in::<TURN>() {
            list::remove::<TURN>(&mut self.nodes, &mut siblings.turn, i as u32);
        }
        if self.nodes[i].is_in::<ASSURED>() {
            list::remove::<ASSURED>(&mut self.nodes, &mut siblings.assured, i as u32);
        }
    }

    /// Whose turn it is among `siblings`, and whether it is served as assured.
    #[inline(always)]
    pub(super) fn pick(&mut self, siblings: &mut Siblings, now: Tick) -> Option<(usize, bool)> {
        let (assured, turn) = (siblings.assured as usize, siblings.turn as usize);
        // Most often who is next may go on.
        if let (Some(node), Some(bounds)) = (self.nodes.get(assured), self.bounds.get_mut(assured)) {
            if node.assured > 0 && bounds.refill(node.state, now) && bounds.is_assured(node.state) {
                return Some((assured, true));
            }
        } else if let Some(node) = self.nodes.get(turn)
            && node.deficit > 0
        {
            if !node.has_buckets() {
                return Some((turn, false));
            }
            let bounds = &mut self.bounds[turn];
            if bounds.refill(node.state, now) && !bounds.is_assured(node.state) {
                return Some((turn, false));
            }
        }
        self.search(siblings, now)
    }

    /// As [`pick`](Self::pick), whatever there is.
    fn search(&mut self, siblings: &mut Siblings, now: Tick) -> Option<(usize, bool)> {
        let mut visits = VISITS;
        while siblings.assured != NIL {
            let i = siblings.assured as usize;
            let (node, bounds) = (&self.nodes[i], &mut self.bounds[i]);
            // The gate or the bucket may have closed by what passed without waiting, or by other settings.
            if !bounds.refill(node.state, now) {
                self.close(siblings, i);
            } else if !bounds.is_assured(node.state) {
                self.rank(siblings, i);
            } else if node.assured > 0 || visits == 0 {
                return Some((i, true));
            } else {
                visits -= 1;
                self.rotate_assured(siblings, i);
            }
        }
        while siblings.turn != NIL {
            let i = siblings.turn as usize;
            let node = &self.nodes[i];
            if node.deficit <= 0 && visits > 0 {
                visits -= 1;
                self.rotate(siblings, i);
                continue;
            }
            if !node.has_buckets() {
                return Some((i, false));
            }
            let bounds = &mut self.bounds[i];
            if !bounds.refill(node.state, now) {
                self.close(siblings, i);
            } else if bounds.is_assured(node.state) {
                self.rank(siblings, i);
                return Some((i, true));
            } else {
                return Some((i, false));
            }
        }
        None
    }

    /// Charges a packet of the one that was [picked](Self::pick), and puts it where it belongs then; `wants` is whether
    /// it has more to send.
    #[inline(always)]
    pub(super) fn charge(
        &mut self,
        siblings: &mut Siblings,
        i: usize,
        assured: bool,
        cost: u32,
        wants: bool,
    ) {
        let node = &mut self.nodes[i];
        if !node.has_buckets() {
            spend(siblings, node, i, cost);
            if !wants {
                self.leave(siblings, i);
            }
            return;
        }
        let bounds = &mut self.bounds[i];
        bounds.take_as(node.state, assured, 1, u64::from(cost));
        let closes = !bounds.is_open(node.state);
        let ranks = assured && !bounds.is_assured(node.state);
        if assured {
            node.assured = less(node.assured, cost);
            if node.assured <= 0 {
                self.rotate_assured(siblings, i);
            }
        } else {
            node.deficit = less(node.deficit, cost);
            if node.deficit <= 0 {
                self.rotate(siblings, i);
            }
        }
        if !wants {
            self.leave(siblings, i);
        } else if closes {
            self.close(siblings, i);
        } else if ranks {
            self.rank(siblings, i);
        }
    }

    /// Takes a node out of the wheel whose bound should be open by now; it is to be [placed](Self::place).
    #[inline]
    pub(super) fn pop(&mut self, now: Tick) -> Option<usize> {
        if self.wheel.is_done(now) {
            return None;
        }
        let (i, next) = self.wheel.pop(&mut self.nodes, now)?;
        self.fetch(next as usize);
        Some(i as usize)
    }

    /// Who is next, and who after that, as far as can be told.
    #[inline]
    pub(super) fn coming(&self, siblings: &Siblings) -> Option<[usize; 2]> {
        if let Some(node) = self.nodes.get(siblings.assured as usize) {
            return Some([siblings.assured as usize, node.next::<ASSURED>() as usize]);
        }
        let node = self.nodes.get(siblings.turn as usize)?;
        Some([siblings.turn as usize, node.next::<TURN>() as usize])
    }

    /// Brings a node into the cache.
    #[inline]
    pub(super) fn fetch(&self, i: usize) {
        if let (Some(node), Some(bounds)) = (self.nodes.get(i), self.bounds.get(i)) {
            weft_intrinsics::prefetch(node);
            weft_intrinsics::prefetch(bounds);
            weft_intrinsics::prefetch(&bounds.gate.packets);
        }
    }

    /// Whether all have come out of the wheel that are due.
    #[inline]
    pub(super) const fn is_done(&self, now: Tick) -> bool {
        self.wheel.is_done(now)
    }

    /// When the next one comes out of the wheel.
    pub(super) fn due(&self) -> Option<Tick> {
        self.wheel.due()
    }

    /// Among the assured or not, as of its last refill.
    fn rank(&mut self, siblings: &mut Siblings, i: usize) {
        let (node, bounds) = (&self.nodes[i], &self.bounds[i]);
        let state = node.state;
        match (node.is_in::<ASSURED>(), bounds.is_assured(state)) {
            (false, true) => list::push::<ASSURED>(&mut self.nodes, &mut siblings.assured, i as u32),
            (true, false) => list::remove::<ASSURED>(&mut self.nodes, &mut siblings.assured, i as u32),
            _ => {}
        }
        if bounds.is_beyond(state) {
            self.wheel.insert(&mut self.nodes, i as u32, bounds.assured.opens());
        }
    }

    /// Out of turn until its gate opens.
    fn close(&mut self, siblings: &mut Siblings, i: usize) {
        self.leave(siblings, i);
        self.wheel.insert(&mut self.nodes, i as u32, self.bounds[i].gate.opens());
    }

    /// The next one's turn.
    #[inline]
    fn rotate(&mut self, siblings: &mut Siblings, i: usize) {
        let node = &mut self.nodes[i];
        let next = node.next::<TURN>();
        let quantum = siblings.quantum(node.weight);
        node.deficit = topped(node.deficit, quantum, next == i as u32);
        siblings.turn = next;
    }

    /// The next one's turn among the assured: all of them have the same.
    #[inline]
    fn rotate_assured(&mut self, siblings: &mut Siblings, i: usize) {
        let node = &mut self.nodes[i];
        let next = node.next::<ASSURED>();
        node.assured = topped(node.assured, FRAME as i32, next == i as u32);
        siblings.assured = next;
    }
}

/// Charges the turn of `i`, whose `node` this is, and the next one's turn it is if nothing is left of it.
///
/// Whether it is, no processor can guess: it chooses between values, not ways.
#[inline(always)]
fn spend(siblings: &mut Siblings, node: &mut Node, i: usize, cost: u32) {
    let deficit = less(node.deficit, cost);
    let next = node.next::<TURN>();
    let is_spent = deficit <= 0;
    let topped = topped(deficit, siblings.quantum(node.weight), next == i as u32);
    node.deficit = core::hint::select_unpredictable(is_spent, topped, deficit);
    siblings.turn = core::hint::select_unpredictable(is_spent, next, i as u32);
}

/// What is left of a deficit after a packet of this cost.
#[inline(always)]
pub(super) fn less(deficit: i32, cost: u32) -> i32 {
    // No deficit is so small that this could overflow.
    (deficit - cost.clamp(1, 1 << 24) as i32).max(i32::MIN / 2)
}

/// What a node may send in its next round. One that is alone owes nobody.
fn topped(deficit: i32, quantum: i32, alone: bool) -> i32 {
    if alone { quantum } else { deficit.saturating_add(quantum) }
}

/// A bound of this worker's own, with the history of the one before.
fn own(old: Credit, rate: u64, burst: u64, now: Tick) -> Credit {
    Credit::Own(match old {
        Credit::Own(bucket) => bucket.with(rate, burst, now),
        Credit::Leased { tokens, .. } => {
            let mut bucket = Bucket::new(rate, burst, now);
            bucket.take(bucket.units().min(Bucket::MAX_BURST));
            bucket.take(tokens.min(0).unsigned_abs() / 1_000_000_000);
            bucket
        }
    })
}

/// A bound that is leased, with the history of the one before.
fn leased(old: Credit, pool: &Arc<Pool>) -> Credit {
    let tokens = match old {
        Credit::Own(bucket) => -i64::try_from(bucket.debt()).unwrap_or(i64::MAX),
        Credit::Leased { pool: before, tokens, next } if Arc::ptr_eq(&before, pool) => {
            return Credit::Leased { pool: before, tokens, next };
        }
        Credit::Leased { tokens, .. } => {
            tokens.min(i64::try_from(pool.lease()).unwrap_or(0).saturating_mul(1_000_000_000))
        }
    };
    Credit::Leased { pool: pool.clone(), tokens, next: Tick(0) }
}
