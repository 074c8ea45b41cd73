//! Which receive queues a worker looks at in a round.
//!
//! A look at a guest's ring that is empty costs some hundred cycles, most of them for lines of memory that are not this
//! core's. With hundreds of guests of which few send, that would be most of what a worker does. So a queue that had
//! nothing for a while is looked at only every so many rounds: the more of those there are, the more rounds, so that a round
//! costs about the same.

/// Rounds in a row without packets after which a queue is quiet.
const QUIET: u8 = 255;
/// Quiet queues that a round looks at, about.
const LOOKS: u32 = 16;
/// Queues of a word.
const WORD: usize = u64::BITS as usize;

/// Which queues are looked at.
#[derive(Debug, Default)]
pub struct Rota {
    /// Those that are not quiet: a bit each.
    busy: Vec<u64>,
    /// By queue: rounds without packets.
    empty: Vec<u8>,
    quiet: u32,
    round: u32,
}

/// How far a round has come.
#[derive(Debug)]
pub struct Look {
    /// The quiet ones of this round, in each word.
    turn: u64,
    /// The next word.
    word: usize,
    /// The queues before it that are still to be looked at.
    bits: u64,
}

impl Rota {
    /// So many queues, none of them quiet.
    pub fn set(&mut self, queues: usize) {
        *self =
            Self { busy: vec![u64::MAX; queues.div_ceil(WORD)], empty: vec![0; queues], ..Self::default() };
        if let Some(last) = self.busy.last_mut() {
            *last >>= (WORD - queues % WORD) % WORD;
        }
    }

    /// Begins a round; `all` are looked at, after a pause that was long itself.
    #[inline]
    pub fn begin(&mut self, all: bool) -> Look {
        self.round = self.round.wrapping_add(1);
        let rounds = (self.quiet / LOOKS).next_power_of_two().min(u64::BITS);
        let turn = if all || rounds == 1 {
            u64::MAX
        } else {
            EVERY[rounds.ilog2() as usize] << (self.round % rounds)
        };
        Look { turn, word: 0, bits: 0 }
    }

    /// The next queue of this round.
    #[inline]
    pub fn next(&self, look: &mut Look) -> Option<usize> {
        while look.bits == 0 {
            look.bits = self.busy.get(look.word)? | look.turn;
            look.word += 1;
        }
        let queue = (look.word - 1) * WORD + look.bits.trailing_zeros() as usize;
        look.bits &= look.bits - 1;
        // Behind the last there are only places of quiet ones.
        (queue < self.empty.len()).then_some(queue)
    }

    /// Takes whether `queue` had packets in this round, or is not to be called quiet whatever it had.
    #[inline]
    pub fn found(&mut self, queue: usize, any: bool) {
        let (Some(empty), Some(busy)) = (self.empty.get_mut(queue), self.busy.get_mut(queue / WORD)) else {
            return;
        };
        let bit = 1 << (queue % WORD);
        if any {
            *empty = 0;
            self.quiet -= u32::from(*busy & bit == 0);
            *busy |= bit;
        } else if *empty < QUIET {
            *empty += 1;
            if *empty == QUIET {
                *busy &= !bit;
                self.quiet += 1;
            }
        }
    }
}

/// Every so many bits, by the logarithm of how many.
const EVERY: [u64; 7] = {
    let mut every = [u64::MAX; 7];
    let mut log = 0;
    while log < every.len() {
        let (mut word, mut bit) = (0, 0);
        while bit < u64::BITS {
            word |= 1 << bit;
            bit += 1 << log;
        }
        every[log] = word;
        log += 1;
    }
    every
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Rounds in which queues have packets as `has` says. Returns how often each was looked at.
    fn run(rota: &mut Rota, queues: usize, rounds: usize, has: impl Fn(usize, usize) -> bool) -> Vec<usize> {
        let mut looks = vec![0; queues];
        for round in 0..rounds {
            let mut look = rota.begin(false);
            while let Some(queue) = rota.next(&mut look) {
                looks[queue] += 1;
                rota.found(queue, has(round, queue));
            }
        }
        looks
    }

    #[test]
    fn who_sends_is_looked_at_in_each_round() {
        let (queues, rounds) = (500, 4096);
        let mut rota = Rota::default();
        rota.set(queues);
        run(&mut rota, queues, 255, |_, queue| queue % 100 == 7);
        let looks = run(&mut rota, queues, rounds, |_, queue| queue % 100 == 7);
        for (queue, looks) in looks.iter().enumerate() {
            // 495 quiet: every 32nd round.
            assert_eq!(*looks, if queue % 100 == 7 { rounds } else { rounds / 32 }, "{queue}");
        }
        // After a pause, all.
        let mut look = rota.begin(true);
        assert!(
            (0..queues).all(|queue| rota.next(&mut look) == Some(queue)) && rota.next(&mut look).is_none()
        );
        // One that sends again is looked at again in each round.
        let looks = run(&mut rota, queues, rounds, |_, queue| queue % 100 == 8);
        assert!(looks[8] > rounds - 64, "{}", looks[8]);
    }

    #[test]
    fn a_few_quiet_ones_are_looked_at_as_if_they_were_not() {
        let mut rota = Rota::default();
        rota.set(20);
        run(&mut rota, 20, 1000, |_, _| false);
        assert_eq!(run(&mut rota, 20, 100, |_, _| false), [100; 20]);
    }

    proptest! {
        #[test]
        fn nobody_is_forgotten(queues in 0usize..700, seed: u64) {
            let mut rota = Rota::default();
            rota.set(queues);
            let has = |round: usize, queue: usize| {
                let mixed = ((round as u64 / 300) ^ queue as u64 ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                mixed >> 60 == 0
            };
            run(&mut rota, queues, 2000, has);
            let quiet = (0..queues).filter(|queue| rota.empty[*queue] == QUIET).count();
            prop_assert_eq!(quiet, rota.quiet as usize);
            // Nobody waits for more than 64 rounds.
            prop_assert!(run(&mut rota, queues, 64, |_, _| false).iter().all(|looks| *looks > 0));
        }
    }
}
