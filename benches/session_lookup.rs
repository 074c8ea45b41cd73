//! What does it cost to find a packet's session, among few and among many, and to open and close one?
#![allow(missing_docs)]

mod cycles;

use core::hint::black_box;
use core::net::{Ipv4Addr, Ipv6Addr};

use criterion::measurement::Measurement;
use criterion::{Criterion, Throughput};
use weft_pipelines::flow::{
    Hash, Key, Key4, Key6, Limits, Opening, Secret, Slot, State, Table, Timeouts, Toward,
};
use weft_pipelines::{BURST, PortId, Tick, Vni};

/// Bytes of each packet.
const BYTES: usize = 64;
/// Sessions, chosen uniformly.
const COUNTS: [(u32, &str); 4] = [
    (1000, "1k sessions"),
    (100_000, "100k sessions"),
    (1_000_000, "1M sessions"),
    (8_000_000, "8M sessions"),
];

fn main() {
    cycles::run(bench, bench);
}

fn bench<M: Measurement>(criterion: &mut Criterion<M>, unit: &str) {
    family::<Key4, M>(criterion, "IPv4", unit);
    family::<Key6, M>(criterion, "IPv6", unit);
}

fn family<K: Numbered, M: Measurement>(criterion: &mut Criterion<M>, family: &str, unit: &str) {
    let mut group = criterion.benchmark_group(format!("{family} lookup{unit}"));
    group.throughput(Throughput::Elements(BURST as u64));
    group.bench_function("the keys alone", |bencher| {
        let mut keys = Keys::<K>::new(0, COUNTS[0].0);
        bencher.iter(|| black_box(keys.burst()).len());
    });
    for (count, name) in COUNTS {
        // Made only if it is asked for.
        let mut bed = None;
        group.bench_function(name, |bencher| {
            let bed = bed.get_or_insert_with(|| Bed::<K>::new(count, count));
            assert_eq!(bed.lookup(), BURST);
            bencher.iter(|| bed.lookup());
        });
    }
    group.finish();
    let mut group = criterion.benchmark_group(format!("{family} open and close{unit}"));
    group.throughput(Throughput::Elements(BURST as u64));
    for (count, name) in COUNTS {
        let mut bed = None;
        group.bench_function(name, |bencher| {
            let bed = bed.get_or_insert_with(|| Bed::<K>::new(count, count + BURST as u32));
            bencher.iter(|| bed.open_and_close());
        });
    }
    group.finish();
}

/// A table and those who ask it.
struct Bed<K> {
    table: Table<K>,
    timeouts: Timeouts,
    /// Of sessions that there are.
    known: Keys<K>,
    /// Of others.
    fresh: Keys<K>,
    now: Tick,
}

impl<K: Numbered> Bed<K> {
    /// A table for `capacity` sessions with `count` in it.
    fn new(count: u32, capacity: u32) -> Self {
        let mut table = Table::new(capacity, &Secret::from_seed(1));
        table.set_ports(&[Limits::default()]);
        let timeouts = Timeouts::default();
        for n in 0..count {
            let (key, _) = K::numbered(n);
            let hash = table.hash(&key);
            open(&mut table, hash, &key, State::TcpEstablished, Tick(0), &timeouts);
        }
        assert_eq!(table.len(), count as usize);
        let (known, fresh) = (Keys::new(0, count), Keys::new(count, 1 << 22));
        Self { table, timeouts, known, fresh, now: Tick(0) }
    }

    /// Finds the sessions of a burst and counts its packets, as the stages do. How many it found.
    fn lookup(&mut self) -> usize {
        let Self { table, known, now, .. } = self;
        now.0 += 1000;
        let keys = known.burst();
        let (hashes, candidates) = candidates(table, keys);
        let mut found = 0;
        for (packet, (key, toward)) in keys.iter().enumerate() {
            let Some(slot) = settle(table, hashes[packet], candidates[packet], key) else { continue };
            let session = table.session_mut(slot);
            session.last = *now;
            let side = session.side(*toward);
            session.traffic[side.index()].add(BYTES);
            // Where TCP stands is in the second line; so is this.
            session.rule = session.rule.wrapping_add(1);
            found += 1;
        }
        found
    }

    /// Looks for the sessions of a burst of first packets, opens them and closes them.
    fn open_and_close(&mut self) {
        let Self { table, timeouts, fresh, now, .. } = self;
        now.0 += 1000;
        let keys = fresh.burst();
        let (hashes, candidates) = candidates(table, keys);
        let slots: [Option<Slot>; BURST] = core::array::from_fn(|packet| {
            let (hash, key) = (hashes[packet], &keys[packet].0);
            match settle(table, hash, candidates[packet], key) {
                // One came twice in the burst.
                Some(_) => None,
                None => open(table, hash, key, State::TcpSynSent, *now, timeouts),
            }
        });
        slots.into_iter().flatten().for_each(|slot| table.close(slot));
    }
}

/// Hashes all and asks for the buckets, then looks into these and asks for the sessions.
fn candidates<K: Key>(
    table: &Table<K>,
    keys: &[(K, Toward); BURST],
) -> ([Hash; BURST], [Option<Slot>; BURST]) {
    let lookup = table.lookup();
    let hashes = core::array::from_fn(|packet| lookup.hash(&keys[packet].0));
    (hashes, core::array::from_fn(|packet| lookup.candidate(hashes[packet])))
}

/// The session with `key`: the candidate, unless that is another's or came with the burst.
fn settle<K: Key>(table: &Table<K>, hash: Hash, candidate: Option<Slot>, key: &K) -> Option<Slot> {
    match candidate {
        Some(slot) if table.is(slot, key) => Some(slot),
        _ => table.find(hash, key),
    }
}

fn open<K: Key>(
    table: &mut Table<K>,
    hash: Hash,
    key: &K,
    state: State,
    now: Tick,
    timeouts: &Timeouts,
) -> Option<Slot> {
    let opening = Opening { port: PortId(0), state, ..Opening::default() };
    table.open(hash, key, &opening, now, timeouts, |_, _| {}).ok()
}

/// Keys in random order.
struct Keys<K> {
    first: u32,
    count: u32,
    state: u64,
    burst: [(K, Toward); BURST],
}

impl<K: Numbered> Keys<K> {
    /// `count` keys from number `first` on.
    fn new(first: u32, count: u32) -> Self {
        Self { first, count, state: 1, burst: [(K::default(), Toward::High); BURST] }
    }

    /// The next keys.
    fn burst(&mut self) -> &[(K, Toward); BURST] {
        for key in &mut self.burst {
            // A linear congruential generator (Knuth's MMIX), its high bits scaled to the range.
            self.state =
                self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let n = ((self.state >> 32) * u64::from(self.count)) >> 32;
            *key = K::numbered(self.first + n as u32);
        }
        &self.burst
    }
}

/// Keys by number: 16k ports of many clients to one server.
trait Numbered: Key {
    fn numbered(n: u32) -> (Self, Toward);
}

impl Numbered for Key4 {
    fn numbered(n: u32) -> (Self, Toward) {
        let client = Ipv4Addr::from_bits(0x0a00_0000 | n >> 14);
        Self::new(Vni::LOWEST, 6, (client, port(n)), (Ipv4Addr::new(11, 0, 0, 1), 443))
    }
}

impl Numbered for Key6 {
    fn numbered(n: u32) -> (Self, Toward) {
        let client = Ipv6Addr::from_bits(0x2001_0db8 << 96 | u128::from(n >> 14));
        Self::new(Vni::LOWEST, 6, (client, port(n)), (Ipv6Addr::from_bits(0x2001_0db9 << 96), 443))
    }
}

fn port(n: u32) -> u16 {
    n as u16 & 0x3fff | 0x8000
}
