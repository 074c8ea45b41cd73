//! Rings of random bytes: what a guest can write at worst.

use std::cell::Cell;
use std::sync::atomic::Ordering;

use proptest::prelude::*;

use super::driver::{BASE, Guest};
use super::{Burst, Packet, Plain, Plenty, content, receive, transmit};
use crate::dpdk::BURST;
use crate::dpdk::vhost::ring::Ring;

/// A descriptor that is not far from one that could be.
fn descriptor(guest: &Guest, seed: u64) -> [u8; 16] {
    let pick = |shift: u32| (seed >> shift) as u32;
    let addr = match pick(0) % 8 {
        0 => seed,
        1 => BASE + guest.len() as u64 - u64::from(pick(8) % 128),
        2 => BASE.wrapping_sub(u64::from(pick(8) % 128)),
        3 => BASE + u64::from(pick(8) % 4096),
        _ => BASE + u64::from(pick(8)) % guest.len() as u64,
    };
    let len = match pick(3) % 6 {
        0 => pick(20),
        1 => 12,
        2 => pick(20) % 16,
        _ => pick(20) % 3000,
    };
    let flags = match pick(6) % 4 {
        0 => (pick(40) & 0xffff) as u16,
        _ => (pick(40) & 3) as u16,
    };
    let next = if pick(9) % 8 == 0 { pick(30) as u16 } else { pick(30) as u16 % guest.size };
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&addr.to_ne_bytes());
    bytes[8..12].copy_from_slice(&len.to_ne_bytes());
    bytes[12..14].copy_from_slice(&flags.to_ne_bytes());
    bytes[14..].copy_from_slice(&next.to_ne_bytes());
    bytes
}

/// Fills table and available ring, and says that `ahead` of it are there.
fn fill(guest: &Guest, ring: &Ring, descriptors: &[u64], heads: &[u16], ahead: u16) {
    for (index, seed) in descriptors.iter().cycle().take(guest.size.into()).enumerate() {
        guest.write(16 * index, &descriptor(guest, seed.wrapping_mul(0x9e37_79b9_7f4a_7c15 ^ index as u64)));
    }
    for (slot, head) in heads.iter().cycle().take(guest.size.into()).enumerate() {
        guest.word(guest.available() + 4 + 2 * slot).store(*head, Ordering::Relaxed);
    }
    let (next, _) = ring.position();
    guest.word(guest.available() + 2).store(next.wrapping_add(ahead), Ordering::Relaxed);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Nothing is written beyond the guest's memory, nothing is taken twice, and everything comes to an end.
    #[test]
    fn a_guest_harms_nobody_but_itself(
        descriptors in prop::collection::vec(any::<u64>(), 1..64),
        heads in prop::collection::vec(prop_oneof![9 => 0u16..32, 1 => any::<u16>()], 1..32),
        ahead in prop_oneof![9 => 0u16..=32, 1 => any::<u16>()],
        start in any::<u16>(),
        mergeable in any::<bool>(),
        buffers in 0usize..200,
    ) {
        let guest = Guest::starting(32, start);
        let mut ring = guest.ring(mergeable, true);
        fill(&guest, &ring, &descriptors, &heads, ahead);
        let source = Plenty { room: 700, left: Cell::new(buffers) };
        let mut taken = 0;
        loop {
            let mut burst = Burst::new();
            let n = receive(&mut ring, &source, &mut burst, BURST);
            prop_assert_eq!(n, burst.len());
            prop_assert!(burst.iter().all(|packet| packet.len() <= 65_536));
            taken += n;
            if n == 0 {
                break;
            }
        }
        prop_assert!(taken <= 32);
        prop_assert!(guest.is_guarded());

        let mut ring = guest.ring(mergeable, true);
        fill(&guest, &ring, &descriptors, &heads, ahead);
        let mut sent = 0;
        loop {
            let burst: Burst = (0..8).map(|n| Plain::of(&content(n * 300, n as u8), 1000)).collect();
            let n = transmit(&mut ring, &burst);
            prop_assert!(n <= burst.len());
            sent += n;
            if n == 0 {
                break;
            }
        }
        prop_assert!(sent <= 32);
        prop_assert!(guest.is_guarded());
    }

    /// So it is when the rings and all else are any bytes, the rings' own among the buffers.
    #[test]
    fn any_bytes_will_do(seed in any::<u64>(), ahead in 0u16..=32) {
        let guest = Guest::new(32);
        let mut ring = guest.ring(true, false);
        let mut state = seed;
        let mut rounds = 0;
        while ring.fault().is_none() && rounds < 50 {
            // The table and the rings, and what they are about, change under the device's hands.
            let noise: Vec<u64> = (0..32).map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                state ^ (state >> 29)
            }).collect();
            let heads: Vec<u16> = noise.iter().map(|word| (*word >> 7) as u16 % 32).collect();
            fill(&guest, &ring, &noise, &heads, ahead);
            let mut burst = Burst::new();
            receive(&mut ring, &Plenty::of(2048), &mut burst, BURST);
            transmit(&mut ring, &burst);
            prop_assert!(guest.is_guarded());
            rounds += 1;
        }
    }
}

/// A guest that rewrites its ring as fast as it can, on another thread.
#[test]
fn a_ring_may_change_at_any_moment() {
    struct Shared<'a>(&'a Guest);
    // SAFETY: both sides reach the memory as a device and a driver do, each word at once.
    unsafe impl Sync for Shared<'_> {}

    let guest = Guest::new(32);
    let mut ring = guest.ring(true, false);
    let stop = std::sync::atomic::AtomicBool::new(false);
    let shared = Shared(&guest);
    std::thread::scope(|scope| {
        let (shared, stop) = (&shared, &stop);
        scope.spawn(move || {
            let Shared(guest) = shared;
            let mut seed = 1u64;
            while !stop.load(Ordering::Relaxed) {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let bytes = descriptor(guest, seed);
                let index = (seed >> 40) as usize % 32;
                for (n, word) in bytes.chunks_exact(2).enumerate() {
                    guest
                        .word(16 * index + 2 * n)
                        .store(u16::from_ne_bytes([word[0], word[1]]), Ordering::Relaxed);
                }
                guest
                    .word(guest.available() + 4 + 2 * index)
                    .store((seed >> 33) as u16 % 32, Ordering::Relaxed);
            }
        });
        for _ in 0..20_000 {
            let (next, _) = ring.position();
            guest.word(guest.available() + 2).store(next.wrapping_add(32), Ordering::Relaxed);
            let mut burst = Burst::new();
            receive(&mut ring, &Plenty::of(2048), &mut burst, BURST);
            transmit(&mut ring, &burst);
            if ring.fault().is_some() {
                let (next, _) = ring.position();
                guest.word(guest.used() + 2).store(next, Ordering::Relaxed);
                ring = guest.ring(true, false);
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(guest.is_guarded());
}
