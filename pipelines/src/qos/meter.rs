//! A two-rate three-colour meter (RFC 4115, colour-blind) that never says red: who is beyond both rates is not received
//! from until a bucket is open again, so what has been received passes, if need be on credit.

use std::sync::Arc;

use super::bucket::Bucket;
use super::lease::{Credit, Pool};
use super::settings::{Colour, Pools, Share};
use crate::ids::Tick;

/// The meter of a tenant or an endpoint, of what is received from its guests.
#[derive(Clone, Debug, Default)]
pub struct Meter {
    kind: Kind,
    /// Bits of the committed rate; of the only one, if there is one.
    committed: Credit,
    /// Bits beyond it.
    excess: Credit,
    packets: Credit,
}

/// Which rates there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Kind {
    /// None.
    #[default]
    Free,
    /// One: what is within it is all that passes.
    One,
    /// Two: what is beyond the first is yellow.
    Two,
}

impl Meter {
    /// Takes other bounds; what was taken and is owed stays. `pools` are what several workers take in common.
    pub fn set(&mut self, share: &Share, pools: Option<&Pools>, now: Tick) {
        let burst = share.burst.saturating_mul(8);
        let kind = match (share.rate, share.ceil) {
            (0, 0) => Kind::Free,
            (rate, ceil) if rate == 0 || rate == ceil => Kind::One,
            _ => Kind::Two,
        };
        let (committed, excess) = match kind {
            Kind::Free => (0, 0),
            Kind::One => (share.ceil, 0),
            // Without a ceiling there is no end to what is beyond.
            Kind::Two => (share.rate, share.ceil.saturating_sub(share.rate)),
        };
        let pool = |of: fn(&Pools) -> &Option<Arc<Pool>>| pools.map(|pools| of(pools).as_ref());
        let first = if kind == Kind::One { pool(|pools| &pools.ceil) } else { pool(|pools| &pools.assured) };
        renew(&mut self.committed, (committed, burst), first, now);
        renew(&mut self.excess, (excess, burst), pool(|pools| &pools.excess), now);
        renew(&mut self.packets, (share.pps, share.packet_burst), pool(|pools| &pools.packets), now);
        self.kind = kind;
    }

    /// Whether it bounds or colours anything.
    pub const fn is_bound(&self) -> bool {
        !matches!(self.kind, Kind::Free) || self.packets.is_bound()
    }

    /// Brings it up to `now`. Returns how many bytes and packets may be received before it owes; `None` if nothing may.
    pub fn refill(&mut self, now: Tick) -> Option<(u64, u64)> {
        let packets = self.packets.refill(now);
        let committed = self.committed.refill(now);
        let bits = match self.kind {
            Kind::Free => u64::MAX,
            Kind::One if committed => self.committed.units(),
            Kind::One => return None,
            Kind::Two => {
                let excess = self.excess.refill(now);
                if !committed && !excess {
                    return None;
                }
                self.committed.units().saturating_add(self.excess.units())
            }
        };
        packets.then(|| (bits / 8, self.packets.units()))
    }

    /// Whether packets of so many bytes together are all within the committed rate.
    #[inline]
    pub const fn is_green(&self, bytes: u64) -> bool {
        !matches!(self.kind, Kind::Two) || self.committed.units() >= bytes * 8
    }

    /// Charges packets that are green together: the same as to [`take`](Self::take) one after the other.
    #[inline]
    pub fn take_green(&mut self, packets: u64, bytes: u64) {
        self.packets.take(packets);
        if self.kind != Kind::Free {
            self.committed.take(bytes * 8);
        }
    }

    /// Charges a packet of so many bytes.
    #[inline]
    pub fn take(&mut self, bytes: u64) -> Colour {
        self.packets.take(1);
        match self.kind {
            Kind::Free => Colour::Green,
            Kind::One => {
                self.committed.take(bytes * 8);
                Colour::Green
            }
            Kind::Two if self.committed.is_open() => {
                self.committed.take(bytes * 8);
                Colour::Green
            }
            Kind::Two => {
                self.excess.take(bytes * 8);
                Colour::Yellow
            }
        }
    }

    /// When it is open again, as of the last [`refill`](Self::refill).
    pub fn opens(&self) -> Tick {
        let of = |credit: &Credit| if credit.is_open() { Tick(0) } else { credit.opens() };
        let bits = match self.kind {
            Kind::Free => Tick(0),
            Kind::One => of(&self.committed),
            Kind::Two => of(&self.committed).min(of(&self.excess)),
        };
        bits.max(of(&self.packets))
    }
}

/// Takes another bound, with the history of the one before. `pool`: `None` if it is all its own, else what it leases
/// from, if anything is bound.
pub(super) fn renew(
    credit: &mut Credit,
    (rate, burst): (u64, u64),
    pool: Option<Option<&Arc<Pool>>>,
    now: Tick,
) {
    *credit = match (core::mem::take(credit), pool) {
        (_, Some(None)) => Credit::default(),
        (Credit::Own(bucket), None) => Credit::Own(bucket.with(rate, burst, now)),
        (Credit::Leased { tokens, .. }, None) => {
            let mut bucket = Bucket::new(rate, burst, now);
            bucket.take(bucket.units().min(Bucket::MAX_BURST));
            bucket.take(tokens.min(0).unsigned_abs() / 1_000_000_000);
            Credit::Own(bucket)
        }
        (Credit::Own(bucket), Some(Some(pool))) => {
            let mut leased = Credit::leased(pool.clone());
            // What it owes is in billionths, and no more than some bursts.
            leased.take(bucket.debt().div_ceil(1_000_000_000));
            leased
        }
        (Credit::Leased { pool: before, tokens, next }, Some(Some(pool))) => {
            if Arc::ptr_eq(&before, pool) {
                Credit::Leased { pool: before, tokens, next }
            } else {
                let most = i64::try_from(pool.lease()).unwrap_or(i64::MAX).saturating_mul(1_000_000_000);
                Credit::Leased { pool: pool.clone(), tokens: tokens.min(most), next: Tick(0) }
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn share(rate: u64, ceil: u64, burst: u64) -> Share {
        Share { rate, ceil, burst, ..Share::default() }
    }

    fn meter(share: &Share) -> Meter {
        let mut meter = Meter::default();
        meter.set(share, None, Tick(0));
        meter
    }

    /// RFC 4115, section 3, with numbers that are not rounded: tokens of both buckets in bits, times a billion.
    struct Plain {
        rates: [i128; 2],
        burst: i128,
        tokens: [i128; 2],
        at: u64,
    }

    impl Plain {
        fn refill(&mut self, now: u64) {
            for (tokens, rate) in self.tokens.iter_mut().zip(self.rates) {
                *tokens = (*tokens + rate * i128::from(now - self.at)).min(self.burst);
            }
            self.at = now;
        }

        /// The colour: `None` is red. What is left is owed, as of a bucket that takes a packet whole.
        fn take(&mut self, bits: i128) -> Option<Colour> {
            let colours = [Colour::Green, Colour::Yellow];
            let open = self.tokens.iter().position(|tokens| *tokens >= 0)?;
            self.tokens[open] -= bits * 1_000_000_000;
            Some(colours[open])
        }
    }

    proptest! {
        #[test]
        fn colours_as_rfc_4115_does(
            rate in 64_000..100_000_000_000u64,
            more in 1..100_000_000_000u64,
            burst in 1_600..1_000_000u64,
            packets in prop::collection::vec((0..200_000u64, 64..9_001u64), 1..200),
        ) {
            let mut meter = meter(&share(rate, rate + more, burst));
            let full = i128::from(burst) * 8_000_000_000;
            let rates = [rate.into(), more.into()];
            let mut plain = Plain { rates, burst: full, tokens: [full; 2], at: 0 };
            let mut now = 0;
            for (wait, bytes) in packets {
                now += wait;
                plain.refill(now);
                let said = meter.refill(Tick(now)).map(|_| meter.take(bytes));
                prop_assert_eq!(said, plain.take(i128::from(bytes) * 8));
            }
        }
    }

    #[test]
    fn rates_are_held_over_a_tenth_of_a_second() {
        for rate in [64_000, 1_000_000, 999_999_937, 10_000_000_000, 100_000_000_000] {
            for bytes in [64, 1_500, 9_000] {
                let mut meter = meter(&share(0, rate, 3_000));
                // Often enough that a step brings less than the burst.
                let (mut passed, step) = (0, if rate < 1_000_000_000 { 997 } else { 197 });
                for now in (0..100_000_000).step_by(step) {
                    while meter.refill(Tick(now)).is_some() {
                        assert_eq!(meter.take(bytes), Colour::Green);
                        passed += bytes;
                    }
                }
                // The burst, the rate, one packet on credit; and what the last step would have brought.
                let due = 3_000 + rate / 80;
                let step = rate * step as u64 / 8_000_000_000 + 1;
                assert!((due - step..=due + bytes).contains(&passed), "{rate} {bytes}: {passed} of {due}");
            }
        }
    }

    #[test]
    fn packets_are_bound_too() {
        let mut meter = meter(&Share { pps: 1_000, packet_burst: 10, ..Share::default() });
        let passes = |meter: &mut Meter, now| {
            (0..1_000)
                .take_while(|_| {
                    let open = meter.refill(Tick(now)).is_some();
                    if open {
                        meter.take(64);
                    }
                    open
                })
                .count()
        };
        assert_eq!(passes(&mut meter, 0), 11);
        assert_eq!(meter.opens(), Tick(1_000_000));
        assert_eq!(passes(&mut meter, 999_999), 0);
        assert_eq!(passes(&mut meter, 5_000_000), 5);
        // A pause, or a clock that jumps, brings no more than the burst.
        assert_eq!(passes(&mut meter, u64::MAX / 2), 11);
        assert_eq!(passes(&mut meter, 0), 0);
    }

    #[test]
    fn another_bound_forgives_no_debt() {
        let mut meter = meter(&share(0, 1_000_000, 3_000));
        meter.take(100_000);
        meter.set(&share(500_000, 1_000_000, 3_000), None, Tick(0));
        meter.set(&share(0, 1_000_000, 1_000_000), None, Tick(0));
        assert!(meter.refill(Tick(0)).is_none());
    }

    #[test]
    fn workers_have_one_bound_in_common() {
        let share = Share { pps: 100_000, packet_burst: 100, ..share(40_000_000, 100_000_000, 65_536) };
        let tenant = super::super::TenantShare::new(share, 3, None);
        let mut meters = vec![Meter::default(); 3];
        let start = 1_000_000_000;
        meters.iter_mut().for_each(|meter| meter.set(&share, tenant.sent.as_deref(), Tick(start)));
        let (mut passed, mut green) = (0, 0);
        for now in (0..100_000_000).step_by(3_001) {
            for meter in &mut meters {
                while meter.refill(Tick(start + now)).is_some() {
                    let colour = meter.take(1_500);
                    passed += 1_500;
                    green += u64::from(colour == Colour::Green) * 1_500;
                }
            }
        }
        // Of both buckets the burst, what the rate brings, and of each worker no more than a lease unused or a packet
        // on credit.
        for (passed, rate, buckets) in [(passed, 100_000_000, 2), (green, 40_000_000, 1)] {
            let due: u64 = rate / 80 + buckets * 65_536;
            assert!(passed.abs_diff(due) <= 3 * buckets * (Pools::LEASE + 1_500), "{passed} of {due}");
        }
    }
}
