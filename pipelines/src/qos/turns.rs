//! Whose turn it is to be received from, by the cycles that each has cost: deficit round robin (Shreedhar and Varghese,
//! 1995) over ports, with cycles in place of bytes.
//!
//! What a packet costs differs: one that opens a connection costs several times one of a known connection, and a small
//! one as much as a large one. In cycles all are alike, and whoever sends what is dear gets fewer turns.
//!
//! Whose bursts are dear also gets smaller ones while others have packets too: these wait for a burst to end, and one of
//! 32 first packets of connections would take several times as long as theirs.

use crate::batch::BURST;

/// Cycles that whoever weighs most gets in a round: less than a burst costs, so that turns tell.
const QUANTUM: i64 = 500;

/// Cycles that a burst may take while others wait: a full one of established traffic takes less.
const LONG: u64 = 16_000;
/// The fewest packets that a burst is cut down to: fewer would cost much more each.
const LEAST: u8 = 4;

/// The turns of one worker's receive queues.
#[derive(Debug, Default)]
pub struct Turns {
    turns: Vec<Turn>,
    /// The queues that a round concerns: those with packets, or without all of their cycles. Of hundreds that are few.
    concerned: Vec<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Turn {
    /// Cycles that it gets in a round.
    quantum: i64,
    /// Cycles that it has; less than none is debt.
    deficit: i64,
    /// Packets of this round.
    packets: usize,
    /// The most packets that it may have in a burst while others have some too.
    burst: u8,
    /// Whether it had packets when it was asked last.
    wants: bool,
    /// Whether it is among those that a round concerns.
    is_concerned: bool,
}

impl Turns {
    /// One turn for each of these weights, which may be any positive numbers.
    pub fn set(&mut self, weights: impl IntoIterator<Item = u64>) {
        let weights: Vec<u64> = weights.into_iter().map(|weight| weight.max(1)).collect();
        let most = weights.iter().copied().max().unwrap_or(1);
        let (quantum, burst) = (1, BURST as u8);
        let new = Turn { quantum, deficit: 0, packets: 0, burst, wants: false, is_concerned: true };
        self.turns.resize(weights.len(), new);
        for (turn, weight) in self.turns.iter_mut().zip(weights) {
            turn.quantum = ((QUANTUM as u128 * u128::from(weight) / u128::from(most)) as i64).max(1);
            turn.deficit = turn.deficit.min(turn.quantum);
            turn.is_concerned = true;
        }
        self.concerned = (0..self.turns.len() as u32).collect();
    }

    /// Whether it is a queue's turn.
    #[inline]
    pub fn is_due(&self, queue: usize) -> bool {
        self.turns.get(queue).is_none_or(|turn| turn.deficit >= 0)
    }

    /// The most packets that a queue may have now.
    #[inline]
    pub fn burst(&self, queue: usize) -> usize {
        match self.turns.get(queue) {
            Some(turn) if self.concerned.len() > 1 => usize::from(turn.burst),
            _ => BURST,
        }
    }

    /// A queue had so many packets, on which so many cycles were spent; or it is left alone now, as if it had none.
    #[inline]
    pub fn spend(&mut self, queue: usize, packets: usize, cycles: u64) {
        if let Some(turn) = self.turns.get_mut(queue) {
            (turn.packets, turn.wants) = (packets, packets > 0);
            // To look whether there is something costs nobody.
            if turn.wants {
                turn.deficit = turn.deficit.saturating_sub(cycles as i64);
                if cycles > LONG {
                    turn.burst = (turn.burst / 2).max(LEAST);
                } else if cycles < LONG / 2 && packets >= usize::from(turn.burst) {
                    turn.burst = (turn.burst * 2).min(BURST as u8);
                }
                if !turn.is_concerned {
                    turn.is_concerned = true;
                    // There is room for all.
                    self.concerned.push(queue as u32);
                }
            }
        }
    }

    /// Ends a round, in which `cycles` were spent on the packets of all together. Calls `spent` with each queue's part
    /// of them.
    ///
    /// If all that have packets are in debt, as many rounds go by as the first of them needs: nobody waits for those
    /// that have nothing.
    pub fn end(&mut self, cycles: u64, mut spent: impl FnMut(usize, u64)) {
        let Self { turns, concerned } = self;
        let packets: u64 = concerned.iter().map(|queue| turns[*queue as usize].packets as u64).sum();
        let mut rounds = None;
        for queue in concerned.iter().map(|queue| *queue as usize) {
            let turn = &mut turns[queue];
            if turn.packets > 0 {
                let part = cycles * turn.packets as u64 / packets;
                turn.deficit = turn.deficit.saturating_sub(part as i64);
                spent(queue, part);
            }
            if turn.wants {
                let debt = turn.deficit.min(0).unsigned_abs();
                let needs = debt.div_ceil(turn.quantum.unsigned_abs());
                rounds = Some(rounds.map_or(needs, |rounds: u64| rounds.min(needs)));
            }
        }
        let rounds = i64::try_from(rounds.unwrap_or(1).max(1)).unwrap_or(i64::MAX);
        concerned.retain(|queue| {
            let turn = &mut turns[*queue as usize];
            let brought = turn.quantum.saturating_mul(rounds);
            turn.deficit = turn.deficit.saturating_add(brought).min(turn.quantum);
            turn.packets = 0;
            turn.is_concerned = turn.wants || turn.deficit < turn.quantum;
            turn.is_concerned
        });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a queue's bursts cost; `None` of one that never has any.
    type Cost = Option<fn(u64) -> u64>;

    /// Plays rounds until so many cycles are spent on queues that always have a burst of these costs, `None` if they
    /// never have any. Returns the cycles of each.
    fn play(weights: &[u64], costs: &[Cost], until: u64) -> Vec<u64> {
        let mut turns = Turns::default();
        turns.set(weights.iter().copied());
        let (mut spent, mut all, mut round) = (vec![0; costs.len()], 0, 0);
        while all < until {
            let mut served = false;
            for (queue, cost) in costs.iter().enumerate() {
                if !turns.is_due(queue) {
                    continue;
                }
                match cost {
                    Some(cost) => {
                        let cost = cost(round * 31 + queue as u64);
                        turns.spend(queue, 32, cost);
                        (spent[queue], all, served) = (spent[queue] + cost, all + cost, true);
                    }
                    None => turns.spend(queue, 0, 40),
                }
            }
            turns.end(320, |queue, part| (spent[queue], all) = (spent[queue] + part, all + part));
            assert!(served, "a round went by for nothing");
            round += 1;
        }
        spent
    }

    /// Jain's index of shares (Jain, Chiu and Hawe, 1984).
    fn jain(spent: &[u64], weights: &[u64]) -> f64 {
        let shares: Vec<f64> = spent.iter().zip(weights).map(|(s, w)| *s as f64 / *w as f64).collect();
        let sum: f64 = shares.iter().sum();
        sum * sum / (shares.len() as f64 * shares.iter().map(|share| share * share).sum::<f64>())
    }

    #[test]
    fn cycles_are_shared_by_weight_whatever_bursts_cost() {
        let costs: [Cost; 4] =
            [Some(|_| 3_500), Some(|_| 15_000), Some(|n| 500 + n * 7_919 % 30_000), Some(|_| 900)];
        for weights in [[1, 1, 1, 1], [1, 2, 3, 4], [100, 1, 7, 7]] {
            let spent = play(&weights, &costs, 200_000_000);
            let index = jain(&spent, &weights);
            assert!(index >= 0.99, "{weights:?}: {spent:?} {index}");
        }
    }

    #[test]
    fn who_has_nothing_keeps_nobody_waiting_and_gains_nothing() {
        let spent = play(&[1_000, 1, 1], &[None, Some(|_| 40_000), Some(|_| 2_000)], 50_000_000);
        assert!(spent[1].abs_diff(spent[2]) <= 50_000, "{spent:?}");
        let mut turns = Turns::default();
        turns.set([1, 1]);
        for _ in 0..1_000 {
            turns.spend(0, 32, 4_000);
            turns.spend(1, 0, 30);
            turns.end(0, |_, _| {});
        }
        // After a long silence one burst comes before the other's next, and not a thousand.
        turns.spend(0, 32, 4_000);
        turns.spend(1, 32, 40_000);
        turns.end(0, |_, _| {});
        assert!(turns.is_due(0) && !turns.is_due(1));
    }

    /// Plays rounds of two queues that always have packets of these costs each, `None` if they never have any. Returns how
    /// many packets they may have in a burst then, and the cycles of the longest burst.
    fn play_two(turns: &mut Turns, costs: [Option<u64>; 2]) -> ([usize; 2], u64) {
        let mut longest = 0;
        for _ in 0..1_000 {
            for (queue, cost) in costs.iter().enumerate() {
                let packets = if cost.is_some() { turns.burst(queue) } else { 0 };
                let cycles = packets as u64 * cost.unwrap_or_default();
                if turns.is_due(queue) {
                    longest = longest.max(cycles);
                    turns.spend(queue, packets, cycles);
                }
            }
            turns.end(300, |_, _| {});
        }
        ([turns.burst(0), turns.burst(1)], longest)
    }

    #[test]
    fn whose_packets_are_dear_gets_small_bursts_while_others_wait() {
        let mut turns = Turns::default();
        turns.set([1, 1]);
        assert_eq!(play_two(&mut turns, [Some(250), Some(300)]).0, [32, 32]);
        // One begins to flood with what is dear; then with what is dearer than anything.
        assert_eq!(play_two(&mut turns, [Some(250), Some(1_300)]).0, [32, 8]);
        let (_, longest) = play_two(&mut turns, [Some(250), Some(1_300)]);
        assert!(longest <= LONG, "{longest}");
        assert_eq!(play_two(&mut turns, [Some(250), Some(50_000)]).0, [32, 4]);
        // It goes on as it was; or it is alone.
        assert_eq!(play_two(&mut turns, [Some(250), Some(300)]).0, [32, 32]);
        play_two(&mut turns, [Some(250), Some(1_300)]);
        assert_eq!(play_two(&mut turns, [None, Some(1_300)]).0, [32, 32]);
    }

    proptest! {
        #[test]
        fn any_weights_and_costs_are_fine(
            weights in prop::collection::vec(any::<u64>(), 0..6),
            spent in prop::collection::vec((0..6usize, 0..33usize, any::<u64>()), 0..50),
        ) {
            let mut turns = Turns::default();
            turns.set(weights);
            for (queue, packets, cycles) in spent {
                if turns.is_due(queue) {
                    turns.spend(queue, packets, cycles);
                }
                turns.end(cycles % 1_000, |_, _| {});
            }
        }
    }
}
