//! Which fragments belong together, without keeping any of them.
//!
//! Only the first fragment of a packet has ports, so the others share its verdict. Here it is kept, as a
//! handle of the caller's, with what was seen of the packet: a fragment that overlaps another may change what
//! a receiver makes of the ports, so no more of that packet passes (RFC 5722, RFC 1858). A fragment that
//! comes before the first is refused: senders send it first, and to wait for it takes memory that others can
//! fill.
//!
//! The table has a fixed size. A packet has a place among the eight of a bucket that a keyed hash chooses.
//! When the bucket is full, what has expired gives way, then the oldest of the same segment, and nothing of
//! another; a segment has no more than half of a bucket, so that two must flood before a third is refused.

mod seen;

use core::net::{Ipv4Addr, Ipv6Addr};
use core::time::Duration;

use crate::ids::Tick;
use crate::wire::Vni;
use seen::{Piece, Seen};

/// How long a packet may take from its first fragment to its last.
///
/// RFC 8200 lets a receiver wait for 60 s, but the senders of IPv4 may need an identification again sooner
/// than that (RFC 6864, section 3.3); Linux waits for 30 s too.
pub const TIMEOUT: Duration = Duration::from_secs(30);
/// Runs of fragments of one size that are kept of a packet; fragments that come in order are one run, and the
/// last one is another.
pub const RUNS: usize = 16;
/// Places of a bucket.
pub const WAYS: usize = 8;
/// Places of a bucket that one segment may have.
const SHARE: usize = WAYS / 2;

/// What fragments of one packet have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    source: u128,
    destination: u128,
    vni: Vni,
    identification: u32,
    /// The protocol, or [`IPV6`](Self::IPV6).
    protocol: u16,
}

impl Key {
    /// No protocol of IPv4. In IPv6 the protocol tells nothing apart (RFC 8200, section 4.5).
    const IPV6: u16 = 0x100;

    /// Of IPv4 (RFC 791, section 3.2).
    pub fn ipv4(
        vni: Vni,
        (source, destination): (Ipv4Addr, Ipv4Addr),
        protocol: u8,
        identification: u16,
    ) -> Self {
        let (source, destination) = (u32::from(source).into(), u32::from(destination).into());
        Self { source, destination, vni, identification: identification.into(), protocol: protocol.into() }
    }

    /// Of IPv6.
    pub fn ipv6(vni: Vni, (source, destination): (Ipv6Addr, Ipv6Addr), identification: u32) -> Self {
        let (source, destination) = (source.into(), destination.into());
        Self { source, destination, vni, identification, protocol: Self::IPV6 }
    }

    /// A hash that nobody can foresee who does not know `secret`.
    fn hash(&self, secret: u64) -> u64 {
        let tail = u64::from(self.vni.value()) << 32 | u64::from(self.identification);
        let words = [
            self.source as u64,
            (self.source >> 64) as u64,
            self.destination as u64,
            (self.destination >> 64) as u64,
            tail,
            u64::from(self.protocol),
        ];
        // Each word is multiplied with what is secret of those before it.
        words.iter().fold(fold(secret, 0x9e37_79b9_7f4a_7c15), |hash, word| fold(hash ^ word, secret))
    }
}

/// The halves of a product of 128 bits, xored; the constant keeps a zero from swallowing the other.
const fn fold(a: u64, b: u64) -> u64 {
    let product = (a ^ 0xa076_1d64_78bd_642f) as u128 * (b ^ 0xe703_7ed1_a0b4_28db) as u128;
    product as u64 ^ (product >> 64) as u64
}

/// Why a fragment does not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The first fragment was not seen, or too long ago.
    Orphan,
    /// It overlaps another of its packet, or one did before.
    Overlap,
    /// Its packet came in more pieces, and in more disorder, than is kept track of.
    TooMany,
    /// There is no place for another packet.
    Full,
    /// It is empty; it is no multiple of 8 bytes long, and not the last; or it ends beyond the packet's known
    /// end, or beyond what a packet can hold.
    BadLength,
}

/// Packets of which fragments pass, with a handle of what became of the first.
#[derive(Debug)]
pub struct Fragments<H> {
    /// A power of two of buckets.
    buckets: Box<[[Option<Entry<H>>; WAYS]]>,
    secret: u64,
}

#[derive(Clone, Copy, Debug)]
struct Entry<H> {
    key: Key,
    expires: Tick,
    handle: H,
    seen: Seen,
    /// Nothing more of it passes.
    is_refused: bool,
}

impl<H: Copy + PartialEq> Fragments<H> {
    /// A table for `capacity` packets or a few more. `secret` is a random number.
    pub fn new(capacity: usize, secret: u64) -> Self {
        let buckets = capacity.div_ceil(WAYS).next_power_of_two();
        Self { buckets: vec![[const { None }; WAYS]; buckets].into(), secret }
    }

    /// How many packets it has room for.
    pub fn capacity(&self) -> usize {
        self.buckets.len() * WAYS
    }

    /// Takes the first fragment of a packet, with `len` bytes of the packet's payload.
    ///
    /// A second one is a duplicate if it is as long and has the same handle, and passes (RFC 8200, section 4.5, of
    /// fragments that the network repeats). Of another handle it is an overlap: its ports are others.
    pub fn first(&mut self, key: &Key, len: usize, handle: H, now: Tick) -> Result<(), Refused> {
        let piece = Piece::new(0, len, true)?;
        let bucket = self.bucket(key);
        if let Some(entry) = find(bucket, key, now) {
            if !entry.is_refused && entry.handle == handle && entry.seen.has(piece) {
                return Ok(());
            }
            entry.is_refused = true;
            return Err(Refused::Overlap);
        }
        let place = vacate(bucket, key.vni, now).ok_or(Refused::Full)?;
        let mut seen = Seen::default();
        let _ = seen.add(piece);
        *place = Some(Entry { key: *key, expires: now + TIMEOUT, handle, seen, is_refused: false });
        Ok(())
    }

    /// Takes another fragment, with `len` bytes of its packet's payload from `offset` on, and whether `more`
    /// follow; returns what was kept with the first.
    ///
    /// A duplicate passes as long as the packet is not complete.
    pub fn later(
        &mut self,
        key: &Key,
        offset: usize,
        len: usize,
        more: bool,
        now: Tick,
    ) -> Result<H, Refused> {
        let piece = Piece::new(offset, len, more)?;
        let bucket = self.bucket(key);
        let entry = find(bucket, key, now).ok_or(Refused::Orphan)?;
        if entry.is_refused {
            return Err(Refused::Overlap);
        }
        let handle = entry.handle;
        match entry.seen.add(piece) {
            Ok(false) => Ok(handle),
            Ok(true) => {
                entry.expires = now;
                Ok(handle)
            }
            Err(refused) => {
                entry.is_refused = true;
                Err(refused)
            }
        }
    }

    fn bucket(&mut self, key: &Key) -> &mut [Option<Entry<H>>; WAYS] {
        let index = key.hash(self.secret) as usize & (self.buckets.len() - 1);
        &mut self.buckets[index]
    }
}

fn find<'a, H>(bucket: &'a mut [Option<Entry<H>>; WAYS], key: &Key, now: Tick) -> Option<&'a mut Entry<H>> {
    bucket.iter_mut().flatten().find(|entry| entry.expires > now && entry.key == *key)
}

/// A place for a packet of segment `vni`.
fn vacate<H>(bucket: &mut [Option<Entry<H>>; WAYS], vni: Vni, now: Tick) -> Option<&mut Option<Entry<H>>> {
    let live = |place: &Option<Entry<H>>| place.as_ref().is_some_and(|entry| entry.expires > now);
    let own = |place: &Option<Entry<H>>| place.as_ref().is_some_and(|entry| entry.key.vni == vni);
    let has = bucket.iter().filter(|place| live(place) && own(place)).count();
    if has < SHARE
        && let Some(free) = bucket.iter().position(|place| !live(place))
    {
        return bucket.get_mut(free);
    }
    let oldest = |place: &&mut Option<Entry<H>>| place.as_ref().map(|entry| entry.expires);
    bucket.iter_mut().filter(|place| live(place) && own(place)).min_by_key(oldest)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use proptest::prelude::*;

    const NOW: Tick = Tick(1_000_000_000_000);

    fn vni(number: u32) -> Vni {
        Vni::new(number).unwrap()
    }

    fn key(segment: u32, identification: u16) -> Key {
        Key::ipv4(vni(segment), (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2)), 17, identification)
    }

    fn table() -> Fragments<u32> {
        Fragments::new(64, 0x1234_5678_9abc_def0)
    }

    /// A table that has seen the first 1,480 bytes of a packet.
    fn begun() -> Fragments<u32> {
        let mut table = table();
        table.first(&key(1, 7), 1480, 99, NOW).unwrap();
        table
    }

    #[test]
    fn later_fragments_share_the_verdict_of_the_first() {
        let mut table = begun();
        assert_eq!(table.later(&key(1, 7), 1480, 1480, true, NOW), Ok(99));
        assert_eq!(table.later(&key(1, 7), 2960, 3, false, NOW), Ok(99));
        // It is complete, and forgotten: the identification may be used again.
        assert_eq!(table.later(&key(1, 7), 2960, 3, false, NOW), Err(Refused::Orphan));
        assert_eq!(table.first(&key(1, 7), 1480, 98, NOW), Ok(()));
        assert_eq!(table.later(&key(1, 7), 1480, 1480, true, NOW), Ok(98));
    }

    #[test]
    fn the_last_may_come_before_others() {
        let mut table = begun();
        assert_eq!(table.later(&key(1, 7), 2960, 100, false, NOW), Ok(99));
        assert_eq!(table.later(&key(1, 7), 1480, 1480, true, NOW), Ok(99));
        assert_eq!(table.later(&key(1, 7), 1480, 1480, true, NOW), Err(Refused::Orphan));
    }

    #[test]
    fn packets_are_told_apart() {
        let mut table = begun();
        let ends = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
        let mapped = (Ipv6Addr::from_bits(0x0a00_0001), Ipv6Addr::from_bits(0x0a00_0002));
        for other in [
            key(2, 7),
            key(1, 8),
            Key::ipv4(vni(1), ends, 6, 7),
            Key::ipv4(vni(1), (ends.1, ends.0), 17, 7),
            Key::ipv4(vni(1), (ends.0, ends.0), 17, 7),
            Key::ipv6(vni(1), mapped, 7),
        ] {
            assert_eq!(table.later(&other, 1480, 1480, true, NOW), Err(Refused::Orphan), "{other:?}");
        }
        let wide = Key::ipv6(vni(1), (Ipv6Addr::LOCALHOST, Ipv6Addr::UNSPECIFIED), u32::MAX);
        table.first(&wide, 1448, 5, NOW).unwrap();
        assert_eq!(table.later(&wide, 1448, 1, false, NOW), Ok(5));
    }

    /// RFC 1858: a first fragment of no more than the ports, then one over the flags; or the whole header,
    /// and one that puts another in its place.
    #[test]
    fn an_overlap_ends_the_packet() {
        for (first, offset, len, more) in [
            (24, 8, 16, true),
            (24, 8, 100, false),
            (24, 16, 8, true),
            (24, 0, 24, false),
            (24, 0, 16, true),
            (24, 0, 32, true),
            (8, 0, 8, false),
        ] {
            let mut table = table();
            table.first(&key(1, 7), first, 0, NOW).unwrap();
            let refused = table.later(&key(1, 7), offset, len, more, NOW);
            assert_eq!(refused, Err(Refused::Overlap), "{first} {offset} {len}");
            // Nor does what would have fitted.
            let refused = table.later(&key(1, 7), 1000, 8, true, NOW);
            assert_eq!(refused, Err(Refused::Overlap), "{first} {offset} {len}");
            assert_eq!(table.first(&key(1, 7), 8, 0, NOW), Err(Refused::Overlap));
        }
        for (offset, len) in
            [(8, 1480), (1472, 16), (1488, 8), (1480, 8), (2952, 8), (2952, 16), (1480, 1488)]
        {
            let mut table = begun();
            assert_eq!(table.later(&key(1, 7), 1480, 1480, true, NOW), Ok(99));
            let refused = table.later(&key(1, 7), offset, len, true, NOW);
            assert_eq!(refused, Err(Refused::Overlap), "{offset} {len}");
        }
    }

    #[test]
    fn another_first_fragment_is_an_overlap() {
        // Of another handle, of another length.
        for (len, handle) in [(1480, 98), (1472, 99), (8, 99), (2960, 99)] {
            let mut table = begun();
            assert_eq!(table.first(&key(1, 7), len, handle, NOW), Err(Refused::Overlap));
            assert_eq!(table.later(&key(1, 7), 1480, 1480, true, NOW), Err(Refused::Overlap));
            assert_eq!(table.first(&key(1, 7), 1480, 99, NOW), Err(Refused::Overlap));
        }
    }

    #[test]
    fn the_same_first_fragment_is_a_duplicate() {
        let mut table = begun();
        assert_eq!(table.first(&key(1, 7), 1480, 99, NOW), Ok(()));
        assert_eq!(table.later(&key(1, 7), 1480, 1480, true, NOW), Ok(99));
        assert_eq!(table.first(&key(1, 7), 1480, 99, NOW), Ok(()));
        // The time still runs from the one before, and what was seen since is seen.
        assert_eq!(table.later(&key(1, 7), 2960, 3, false, NOW), Ok(99));
        assert_eq!(table.later(&key(1, 7), 2960, 3, false, NOW), Err(Refused::Orphan));
    }

    #[test]
    fn a_duplicate_passes() {
        let mut table = begun();
        for n in 1..44 {
            for _ in 0..2 {
                assert_eq!(table.later(&key(1, 7), n * 1480, 1480, true, NOW), Ok(99));
            }
        }
        for _ in 0..2 {
            assert_eq!(table.later(&key(1, 7), 1480, 1480, true, NOW), Ok(99));
        }
        // But not as the last of the packet.
        assert_eq!(table.later(&key(1, 7), 43 * 1480, 1480, false, NOW), Err(Refused::Overlap));
    }

    #[test]
    fn lengths_that_cannot_be() {
        for (offset, len, more) in [
            (1480, 0, true),
            (1480, 0, false),
            (1480, 1479, true),
            (1481, 8, true),
            (65_528, 8, false),
            (65_528, 1480, true),
            (usize::MAX, 8, false),
        ] {
            let mut table = begun();
            let refused = table.later(&key(1, 7), offset, len, more, NOW);
            assert_eq!(refused, Err(Refused::BadLength), "{offset} {len} {more}");
            // It says nothing of the packet.
            assert_eq!(table.later(&key(1, 7), 1480, 7, false, NOW), Ok(99));
        }
        for len in [0, 7, 65_536] {
            assert_eq!(table().first(&key(1, 7), len, 0, NOW), Err(Refused::BadLength));
        }
        let mut table = begun();
        assert_eq!(table.later(&key(1, 7), 65_520, 15, false, NOW), Ok(99));
    }

    #[test]
    fn a_packet_ends_once() {
        let end = (2960, 100, false);
        for (steps, refused) in [
            ([end, (4000, 8, true)], Refused::BadLength),
            ([end, (3064, 8, false)], Refused::BadLength),
            ([end, (1480, 8, false)], Refused::BadLength),
            ([end, (2960, 101, false)], Refused::Overlap),
            ([end, (2960, 104, true)], Refused::Overlap),
            ([(4000, 8, true), end], Refused::BadLength),
        ] {
            let mut table = begun();
            let mut take = |(offset, len, more)| table.later(&key(1, 7), offset, len, more, NOW);
            assert_eq!(take(steps[0]), Ok(99));
            assert_eq!(take(steps[1]), Err(refused), "{steps:?}");
            assert_eq!(take((1480, 1480, true)), Err(Refused::Overlap));
        }
    }

    #[test]
    fn what_takes_too_long_is_forgotten() {
        let mut table = begun();
        let late = NOW + TIMEOUT;
        assert_eq!(table.later(&key(1, 7), 1480, 8, true, Tick(late.0 - 1)), Ok(99));
        // The time runs from the first.
        assert_eq!(table.later(&key(1, 7), 1488, 8, true, late), Err(Refused::Orphan));
        assert_eq!(table.first(&key(1, 7), 1480, 98, late), Ok(()));
        assert_eq!(table.later(&key(1, 7), 1480, 8, true, late), Ok(98));
    }

    #[test]
    fn a_packet_has_a_bounded_number_of_runs() {
        let mut table = table();
        table.first(&key(1, 7), 8, 99, NOW).unwrap();
        let each_second = |n: usize| (n * 16, 8, true);
        for n in 1..RUNS {
            let (offset, len, more) = each_second(n);
            assert_eq!(table.later(&key(1, 7), offset, len, more, NOW), Ok(99));
        }
        // What joins two still passes, also with another size.
        assert_eq!(table.later(&key(1, 7), 8, 8, true, NOW), Ok(99));
        assert_eq!(table.later(&key(1, 7), 1000, 8, true, NOW), Ok(99));
        assert_eq!(table.later(&key(1, 7), 1008, 16, true, NOW), Ok(99));
        assert_eq!(table.later(&key(1, 7), 2000, 8, true, NOW), Err(Refused::TooMany));
        assert_eq!(table.later(&key(1, 7), 24, 8, true, NOW), Err(Refused::Overlap));
    }

    #[test]
    fn of_sizes_that_were_put_together_no_duplicate_is_known() {
        for (offset, len, more) in [(1000, 8, true), (1008, 16, true), (1000, 16, true)] {
            let mut table = table();
            table.first(&key(1, 7), 8, 99, NOW).unwrap();
            for n in 1..RUNS - 1 {
                assert_eq!(table.later(&key(1, 7), n * 16, 8, true, NOW), Ok(99));
            }
            assert_eq!(table.later(&key(1, 7), 1000, 8, true, NOW), Ok(99));
            assert_eq!(table.later(&key(1, 7), 1008, 16, true, NOW), Ok(99));
            assert_eq!(table.later(&key(1, 7), offset, len, more, NOW), Err(Refused::Overlap));
        }
    }

    /// One bucket, so that all meet.
    fn bucket() -> Fragments<u32> {
        Fragments::new(WAYS, 3)
    }

    #[test]
    fn a_full_bucket_gives_up_what_has_expired_and_then_the_oldest_of_the_segment() {
        let mut table = bucket();
        assert_eq!(table.capacity(), WAYS);
        let at = |n: u16| Tick(NOW.0 + u64::from(n));
        let alive = |table: &mut Fragments<u32>, segment, n| {
            // Refused as it overlaps, or as it is not there.
            table.has(&key(segment, n), at(100))
        };
        for n in 0..SHARE as u16 {
            table.first(&key(1, n), 8, 0, at(n)).unwrap();
        }
        // One more of the same segment takes the place of its oldest, though others are free.
        table.first(&key(1, 50), 8, 0, at(50)).unwrap();
        assert!(!alive(&mut table, 1, 0) && alive(&mut table, 1, 1) && alive(&mut table, 1, 50));
        for n in 0..SHARE as u16 {
            table.first(&key(2, n), 8, 0, at(n)).unwrap();
        }
        // A third finds no place, and the two only their own.
        assert_eq!(table.first(&key(3, 0), 8, 0, at(60)), Err(Refused::Full));
        table.first(&key(2, 60), 8, 0, at(60)).unwrap();
        assert!(!alive(&mut table, 2, 0) && alive(&mut table, 2, 1) && alive(&mut table, 1, 1));
        // Until something expires, or is complete.
        let expired = at(1) + TIMEOUT;
        table.first(&key(3, 0), 8, 0, expired).unwrap();
        table.later(&key(1, 50), 8, 8, false, at(61)).unwrap();
        table.first(&key(3, 1), 8, 0, at(62)).unwrap();
    }

    #[test]
    fn one_segment_cannot_keep_another_out() {
        let mut table = table();
        for n in 0..10_000 {
            table.first(&key(1, n), 8, 0, NOW).unwrap();
        }
        for n in 0..8 {
            table.first(&key(2, n), 8, 1, NOW).unwrap();
        }
        for n in 10_000..20_000 {
            table.first(&key(1, n), 8, 0, NOW).unwrap();
        }
        for n in 0..8 {
            assert_eq!(table.later(&key(2, n), 8, 8, true, NOW), Ok(1));
        }
    }

    #[test]
    fn buckets_are_chosen_by_the_secret() {
        let bucket = |secret: u64, n: u16| key(1, n).hash(secret) & 63;
        let mut used = [0u32; 64];
        (0..6400).for_each(|n| used[bucket(1, n) as usize] += 1);
        assert!(used.iter().all(|n| (50..200).contains(n)), "{used:?}");
        // Keys that meet under one secret do not under another.
        let together: Vec<u16> = (0..6400).filter(|n| bucket(1, *n) == 0).collect();
        let still = together.iter().filter(|n| bucket(2, **n) == bucket(2, together[0])).count();
        assert!(still < 10, "{still} of {}", together.len());
    }

    impl Fragments<u32> {
        fn has(&mut self, key: &Key, now: Tick) -> bool {
            find(self.bucket(key), key, now).is_some()
        }
    }

    /// All of a packet's fragments, each as it came.
    #[derive(Default)]
    struct Naive {
        pieces: Vec<(usize, usize, bool)>,
        refused: bool,
    }

    impl Naive {
        fn take(&mut self, piece: (usize, usize, bool)) -> Result<bool, Refused> {
            let (offset, len, more) = piece;
            if self.refused {
                return Err(Refused::Overlap);
            }
            if self.pieces.contains(&piece) {
                return Ok(false);
            }
            let units = |offset: usize, len: usize| offset / 8..(offset + len).div_ceil(8);
            let this = units(offset, len);
            let meets = |other: &(usize, usize, bool)| {
                let other = units(other.0, other.1);
                this.clone().any(|unit| other.contains(&unit))
            };
            self.refused = true;
            if self.pieces.iter().any(meets) {
                return Err(Refused::Overlap);
            }
            let last = self.pieces.iter().find(|(_, _, more)| !more).copied();
            let last = match (last, more) {
                (Some(_), false) => return Err(Refused::BadLength),
                (None, false) => Some(piece),
                (last, true) => last,
            };
            self.pieces.push(piece);
            let end = last.map(|(offset, len, _)| units(offset, len).end);
            if end.is_some_and(|end| self.pieces.iter().any(|piece| units(piece.0, piece.1).end > end)) {
                return Err(Refused::BadLength);
            }
            self.refused = false;
            let covered: usize = self.pieces.iter().map(|(offset, len, _)| units(*offset, *len).len()).sum();
            Ok(end == Some(covered))
        }
    }

    proptest! {
        #[test]
        fn agrees_with_a_list_of_all_fragments(
            steps in prop::collection::vec((0..2u16, 0..7usize, 1..25usize, prop::bool::weighted(0.8)), 1..60),
        ) {
            let mut table = table();
            let mut naive: HashMap<u16, Naive> = HashMap::new();
            for (n, unit, len, more) in steps {
                let len = if more { len.div_ceil(8) * 8 } else { len };
                let piece = (unit * 8, len, more);
                if unit == 0 && more {
                    let expected = match naive.get_mut(&n) {
                        Some(packet) if !packet.refused && packet.pieces.contains(&piece) => Ok(()),
                        Some(packet) => {
                            packet.refused = true;
                            Err(Refused::Overlap)
                        }
                        None => {
                            naive.entry(n).or_default().pieces.push(piece);
                            Ok(())
                        }
                    };
                    prop_assert_eq!(table.first(&key(1, n), len, n.into(), NOW), expected);
                    continue;
                }
                let expected = match naive.get_mut(&n).map(|packet| packet.take(piece)) {
                    None => Err(Refused::Orphan),
                    Some(Ok(complete)) => {
                        if complete {
                            naive.remove(&n);
                        }
                        Ok(n.into())
                    }
                    Some(Err(refused)) => Err(refused),
                };
                let taken = table.later(&key(1, n), piece.0, piece.1, more, NOW);
                prop_assert_eq!(taken, expected, "{:?}", piece);
            }
        }

        /// Whatever order the fragments come in, as long as the first is first and the disorder is bounded.
        #[test]
        fn whole_packets_pass(
            len in 9..65_535usize,
            size in 64..9000usize,
            swaps in prop::collection::vec(any::<(prop::sample::Index, prop::sample::Index)>(), 0..7),
        ) {
            let (mut table, size) = (table(), size / 8 * 8);
            prop_assume!(len > size);
            let mut offsets: Vec<usize> = (size..len).step_by(size).collect();
            for (a, b) in swaps {
                let (a, b) = (a.index(offsets.len()), b.index(offsets.len()));
                offsets.swap(a, b);
            }
            table.first(&key(1, 7), size, 5, NOW).unwrap();
            for offset in offsets {
                let size = size.min(len - offset);
                prop_assert_eq!(table.later(&key(1, 7), offset, size, offset + size < len, NOW), Ok(5));
            }
            prop_assert_eq!(table.later(&key(1, 7), size, 8, true, NOW), Err(Refused::Orphan));
        }
    }
}
