//! Which bursts are timed on their way through a worker.
//!
//! The moments are read for the ports' turns of cycles anyway, so what is not timed costs a counter and a branch.

/// One burst of so many is timed.
pub const SAMPLED: u32 = 16;

/// Picks bursts, and keeps when the one was received that is on its way.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sampler {
    bursts: u32,
    received: Option<u64>,
}

impl Sampler {
    /// Takes a burst that was received when the counter read `cycles`. Of a round's the first one picked is timed.
    #[inline]
    pub fn received(&mut self, cycles: u64) {
        self.bursts = self.bursts.wrapping_add(1);
        if self.bursts.is_multiple_of(SAMPLED) && self.received.is_none() {
            self.received = Some(cycles);
        }
    }

    /// All that was received has been sent: when the burst that is timed was received, if one is.
    #[inline]
    pub const fn sent(&mut self) -> Option<u64> {
        self.received.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_burst_of_sixteen_is_timed_and_one_of_a_round() {
        let mut sampler = Sampler::default();
        let mut timed = Vec::new();
        for burst in 1..=160 {
            sampler.received(burst);
            timed.extend(sampler.sent());
        }
        assert_eq!(timed, (1..=10).map(|n| n * u64::from(SAMPLED)).collect::<Vec<_>>());
        (1..=32).for_each(|burst| sampler.received(burst));
        assert_eq!((sampler.sent(), sampler.sent()), (Some(16), None));
    }
}
