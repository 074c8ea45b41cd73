//! What a load is: streams of packets, each from one port to another.

use std::time::Duration;

use super::frames::Traffic;

/// Packets from one port to another. A port takes part in at most one stream each way.
#[derive(Clone, Copy, Debug)]
pub struct Stream {
    /// The port that they are sent by, and the one where they are to come out.
    pub ports: [usize; 2],
    /// What they are.
    pub traffic: Traffic,
    /// How long.
    pub size: Size,
    /// Which flow each is of.
    pub flows: Flows,
    /// How fast they are sent.
    pub pace: Pace,
    /// By how many bytes they are longer than `size` when they come out: what a tunnel adds that they did not bring.
    pub growth: i32,
}

/// How long frames are, in bytes, without the FCS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Size {
    /// All the same: a multiple of 4, at least 64.
    Fixed(u16),
    /// Of twelve frames seven have 64 bytes, four 592, one 1500: 364 on average.
    Imix,
}

impl Size {
    /// Of the frame in this buffer.
    pub(super) fn of(self, buffer: u16) -> usize {
        match self {
            Self::Fixed(bytes) => bytes.into(),
            Self::Imix => match buffer % 12 {
                5 => 1500,
                1 | 4 | 7 | 10 => 592,
                _ => 64,
            },
        }
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Fixed(bytes) => write!(f, "{bytes}"),
            Self::Imix => f.write_str("IMIX"),
        }
    }
}

/// Which flow the next packet is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flows {
    /// One after the other, so many from a first one, again and again.
    InTurn {
        /// The first.
        first: u32,
        /// How many.
        count: u32,
    },
    /// Each time any of the first so many, equally likely.
    AtRandom(u32),
}

impl Flows {
    /// What gives their numbers.
    pub(super) fn begin(self) -> Sequence {
        Sequence { flows: self, next: 0, state: 0x9e37_79b9_7f4a_7c15 }
    }
}

/// The numbers of flows, one after the other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sequence {
    flows: Flows,
    next: u32,
    state: u64,
}

impl Sequence {
    /// The next packet's flow.
    #[inline]
    pub(super) fn next(&mut self) -> u32 {
        match self.flows {
            Flows::InTurn { first, count } => {
                let flow = first + self.next;
                self.next = if self.next + 1 == count { 0 } else { self.next + 1 };
                flow
            }
            Flows::AtRandom(count) => {
                // xorshift64 (Marsaglia, "Xorshift RNGs", 2003); its upper half, scaled to the range.
                self.state ^= self.state << 13;
                self.state ^= self.state >> 7;
                self.state ^= self.state << 17;
                (((self.state >> 32) * u64::from(count)) >> 32) as u32
            }
        }
    }
}

/// How fast packets are sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// As fast as the switch takes them.
    Flood,
    /// So many a second.
    Rate(f64),
    /// So many on their way at most: those that arrived make room for others.
    Window(u32),
}

/// How long a load goes on.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How many packets have to arrive before it counts.
    pub warm: u64,
    /// For how long it counts then.
    pub measure: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imix_is_seven_to_four_to_one() {
        let sizes: Vec<_> = (0..12).map(|buffer| Size::Imix.of(buffer)).collect();
        let count = |size| sizes.iter().filter(|of| **of == size).count();
        assert_eq!((count(64), count(592), count(1500)), (7, 4, 1));
        assert_eq!(sizes.iter().sum::<usize>() / 12, 359);
    }

    #[test]
    fn flows_in_turn_come_round_and_at_random_all_come() {
        let mut turn = Flows::InTurn { first: 7, count: 3 }.begin();
        assert_eq!([(); 5].map(|()| turn.next()), [7, 8, 9, 7, 8]);
        let mut random = Flows::AtRandom(10).begin();
        let mut seen = [0; 10];
        (0..10_000).for_each(|_| seen[random.next() as usize] += 1);
        assert!(seen.iter().all(|count| (900..1100).contains(count)), "{seen:?}");
    }
}
