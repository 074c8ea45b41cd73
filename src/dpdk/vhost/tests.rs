//! The rings against a driver, honest and otherwise, in plain memory.

mod driver;
mod hostile;
mod interrupts;

use std::cell::Cell;

use arrayvec::ArrayVec;
use driver::{Driver, Guest, HEADER};
use proptest::prelude::*;

use super::buffer::{Packet, Source};
use super::receive::receive;
use super::ring::Fault;
use super::transmit::transmit;
use crate::dpdk::BURST;

/// A packet in plain buffers.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Plain {
    buffer: Vec<u8>,
    len: usize,
    more: Vec<Plain>,
}

impl Plain {
    fn empty(room: usize) -> Self {
        Self { buffer: vec![0; room], len: 0, more: Vec::new() }
    }

    /// A packet of these bytes, in buffers of `room` bytes.
    fn of(bytes: &[u8], room: usize) -> Self {
        let mut buffers = bytes.chunks(room.max(1)).map(|part| Self {
            buffer: part.to_vec(),
            len: part.len(),
            more: Vec::new(),
        });
        let mut first = buffers.next().unwrap_or_else(|| Self::empty(0));
        buffers.for_each(|more| first.append(more));
        first
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.each_segment(|part| bytes.extend_from_slice(part));
        bytes
    }
}

impl Packet for Plain {
    fn space(&mut self) -> &mut [u8] {
        &mut self.buffer
    }

    fn fill(&mut self, len: usize) {
        assert!(len <= self.buffer.len());
        self.len = len;
    }

    fn append(&mut self, more: Self) {
        self.more.push(more);
    }

    fn len(&self) -> usize {
        self.len + self.more.iter().map(Packet::len).sum::<usize>()
    }

    fn linear(&self) -> Option<&[u8]> {
        self.more.is_empty().then(|| &self.buffer[..self.len])
    }

    fn each_segment(&self, mut take: impl FnMut(&[u8])) {
        take(&self.buffer[..self.len]);
        self.more.iter().for_each(|more| take(&more.buffer[..more.len]));
    }
}

/// Buffers, as long as there are some.
struct Plenty {
    room: usize,
    left: Cell<usize>,
}

impl Plenty {
    fn of(room: usize) -> Self {
        Self { room, left: Cell::new(usize::MAX) }
    }
}

impl Source<Plain> for Plenty {
    fn supply(&self, burst: &mut ArrayVec<Plain, BURST>, n: usize) -> bool {
        let Some(left) = self.left.get().checked_sub(n) else { return false };
        self.left.set(left);
        burst.extend((0..n).map(|_| Plain::empty(self.room)));
        true
    }

    fn supply_one(&self) -> Option<Plain> {
        self.left.set(self.left.get().checked_sub(1)?);
        Some(Plain::empty(self.room))
    }
}

type Burst = ArrayVec<Plain, BURST>;

fn content(len: usize, seed: u8) -> Vec<u8> {
    (0..len).map(|i| (i as u8).wrapping_mul(31).wrapping_add(seed)).collect()
}

#[test]
fn packets_come_in_whatever_way_they_are_laid_out() {
    let guest = Guest::new(64);
    let (mut driver, mut ring) = (Driver::new(&guest), guest.ring(true, false));
    let layouts: [&[usize]; 7] = [
        &[HEADER + 60],
        &[HEADER, 60],
        &[HEADER + 14, 46],
        &[5, 7, 60],
        &[2; (HEADER + 60) / 2],
        &[HEADER, 0, 60, 0],
        &[HEADER - 1, 61],
    ];
    for (seed, layout) in layouts.iter().enumerate() {
        let sent = content(60, seed as u8);
        let head = driver.send(&sent, layout).unwrap();
        let mut burst = Burst::new();
        assert_eq!(receive(&mut ring, &Plenty::of(2048), &mut burst, BURST), 1);
        assert_eq!(burst[0].bytes(), sent, "{layout:?}");
        assert_eq!(driver.reap(), [(head, 0)]);
    }
}

#[test]
fn what_is_no_packet_comes_without_a_byte() {
    type Send<'a> = &'a dyn Fn(&mut Driver<'_>);

    let guest = Guest::new(16);
    let (mut driver, mut ring) = (Driver::new(&guest), guest.ring(true, false));
    let good = content(60, 1);
    // Shorter than a header; nothing after it; not the guest's; to be written to; indirect; without an end.
    let sends: [(Send<'_>, bool); 8] = [
        (&|driver| driver.send_raw(&[(guest.buffer(0), 5, 0)]), true),
        (&|driver| driver.send_raw(&[(guest.buffer(0), HEADER as u32, 0)]), true),
        (&|driver| driver.send_raw(&[(1 << 40, 72, 0)]), true),
        (&|driver| driver.send_raw(&[(guest.buffer(0), u32::MAX, 0)]), true),
        (&|driver| driver.send_raw(&[(guest.buffer(0), 72, 2)]), true),
        (&|driver| driver.send_raw(&[(guest.buffer(0), 16, 4)]), true),
        (&|driver| driver.send_in_circles(), true),
        (&|driver| assert!(driver.send(&good, &[72]).is_some()), false),
    ];
    for (send, is_bad) in sends {
        send(&mut driver);
        let mut burst = Burst::new();
        assert_eq!(receive(&mut ring, &Plenty::of(2048), &mut burst, BURST), 1);
        assert_eq!(burst[0].bytes(), if is_bad { &[][..] } else { &good });
        assert_eq!(driver.reap().len(), 1);
    }
    assert_eq!(ring.fault(), None);
}

#[test]
fn a_frame_longer_than_any_is_none() {
    let guest = Guest::new(16);
    let (mut driver, mut ring) = (Driver::new(&guest), guest.ring(true, false));
    for (pieces, len) in [(10, 60_000 - HEADER), (11, 0)] {
        // All of them the same 6,000 bytes.
        let part = (guest.buffer(0), 6000, 0);
        driver.send_raw(&vec![part; pieces]);
        let mut burst = Burst::new();
        assert_eq!(receive(&mut ring, &Plenty::of(2048), &mut burst, BURST), 1);
        assert_eq!(burst[0].len(), len);
        driver.reap();
    }
}

#[test]
fn without_buffers_packets_stay_with_the_guest() {
    let guest = Guest::new(16);
    let (mut driver, mut ring) = (Driver::new(&guest), guest.ring(true, false));
    let (short, long) = (content(60, 1), content(1000, 2));
    driver.send(&short, &[72]).unwrap();
    driver.send(&long, &[1012]).unwrap();
    driver.send(&short, &[72]).unwrap();
    let source = Plenty { room: 512, left: Cell::new(2) };
    let mut burst = Burst::new();
    assert_eq!(receive(&mut ring, &source, &mut burst, BURST), 0, "three are needed at once");
    // For the first buffer of each of three, and one of two that the second takes.
    source.left.set(4);
    assert_eq!(receive(&mut ring, &source, &mut burst, BURST), 1);
    source.left.set(usize::MAX);
    assert_eq!(receive(&mut ring, &source, &mut burst, BURST), 2);
    let came: Vec<_> = burst.iter().map(Plain::bytes).collect();
    assert_eq!(came, [short.clone(), long, short]);
    assert_eq!(burst[1].more.len(), 1);
    assert_eq!(driver.reap().len(), 3);
}

#[test]
fn what_cannot_be_breaks_the_ring_and_nothing_else_happens() {
    let plenty = Plenty::of(2048);
    for fault in [Fault::Index, Fault::Descriptor] {
        let guest = Guest::new(16);
        let (mut driver, mut ring) = (Driver::new(&guest), guest.ring(true, false));
        driver.send(&content(60, 0), &[72]).unwrap();
        match fault {
            Fault::Index => driver.claim(17),
            _ => driver.claim_head(16),
        }
        let mut burst = Burst::new();
        // What came before the fault is fine.
        let before = usize::from(fault == Fault::Descriptor);
        assert_eq!(receive(&mut ring, &plenty, &mut burst, BURST), before);
        assert_eq!(ring.fault(), Some(fault));
        assert_eq!(receive(&mut ring, &plenty, &mut burst, BURST), 0);
        assert_eq!(transmit(&mut ring, &burst), 0);
        assert_eq!(driver.reap().len(), before);
    }
    // A buffer to write to that is not the guest's.
    for (addr, len, flags) in [(1 << 40, 2000, 2), (0, u32::MAX, 2), (0, 2000, 0), (0, 16, 6)] {
        let guest = Guest::new(16);
        let (mut driver, mut ring) = (Driver::new(&guest), guest.ring(true, false));
        driver.offer(1, &[2000]).unwrap();
        driver.send_raw(&[(addr, len, flags)]);
        let burst: Burst =
            [Plain::of(&content(60, 0), 2048), Plain::of(&content(60, 1), 2048)].into_iter().collect();
        assert_eq!(transmit(&mut ring, &burst), 1);
        assert_eq!(ring.fault(), Some(Fault::Buffer));
        assert_eq!(transmit(&mut ring, &burst), 0);
    }
}

#[test]
fn a_packet_fills_as_many_buffers_as_it_needs() {
    let guest = Guest::new(64);
    let (mut driver, mut ring) = (Driver::new(&guest), guest.ring(true, false));
    for len in [60, 100, 188, 189, 1000, 1500] {
        driver.offer(10, &[150, 50]).unwrap();
        let sent = content(len, 3);
        let burst: Burst = [Plain::of(&sent, 512)].into_iter().collect();
        let fits = len + HEADER <= 10 * 200;
        assert_eq!(transmit(&mut ring, &burst), usize::from(fits));
        let (packet, buffers) = driver.take_packet().unwrap();
        assert_eq!((packet, buffers), (sent, (len + HEADER).div_ceil(200)));
        driver.forget_offers(&mut ring);
    }
}

#[test]
fn what_never_fits_is_given_back_empty() {
    // Without mergeable buffers a packet has one.
    let guest = Guest::new(16);
    let (mut driver, mut ring) = (Driver::new(&guest), guest.ring(false, false));
    driver.offer(2, &[100]).unwrap();
    let burst: Burst =
        [Plain::of(&content(200, 0), 2048), Plain::of(&content(80, 1), 2048)].into_iter().collect();
    assert_eq!(transmit(&mut ring, &burst), 2);
    assert_eq!(driver.take_packet(), Some((vec![], 1)));
    assert_eq!(driver.take_packet(), Some((content(80, 1), 1)));
    // With them it waits for more, until there can be no more.
    let guest = Guest::new(16);
    let (mut driver, mut ring) = (Driver::new(&guest), guest.ring(true, false));
    let burst: Burst = [Plain::of(&content(2000, 0), 2048)].into_iter().collect();
    driver.offer(15, &[100]).unwrap();
    assert_eq!(transmit(&mut ring, &burst), 0);
    driver.offer(1, &[100]).unwrap();
    assert_eq!(transmit(&mut ring, &burst), 1);
    assert_eq!(driver.take_packet(), Some((vec![], 1)));
}

#[derive(Clone, Debug)]
enum Step {
    Driver(Vec<usize>, usize),
    Device(usize),
    Reap,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (prop::collection::vec(1usize..300, 1..5), 0usize..1500)
            .prop_map(|(parts, len)| Step::Driver(parts, len)),
        (1usize..=BURST).prop_map(Step::Device),
        Just(Step::Reap),
    ];
    prop::collection::vec(step, 1..200)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Whatever the driver sends comes, in order, once; and what it gave comes back to it.
    #[test]
    fn all_that_is_sent_comes(steps in steps(), start in any::<u16>(), room in 64usize..600) {
        let guest = Guest::starting(32, start);
        let (mut driver, mut ring) = (Driver::new(&guest), guest.ring(true, false));
        let source = Plenty::of(room);
        let (mut sent, mut came, mut reaped) = (Vec::new(), Vec::new(), Vec::new());
        let mut heads = Vec::new();
        for (seed, step) in steps.into_iter().enumerate() {
            match step {
                Step::Driver(parts, len) => {
                    let bytes = content(len, seed as u8);
                    // What is left after the parts is one more.
                    let total = len + HEADER;
                    let mut layout = Vec::new();
                    let mut left = total;
                    for part in parts {
                        let part = part.min(left);
                        layout.push(part);
                        left -= part;
                    }
                    layout.push(left);
                    if let Some(head) = driver.send(&bytes, &layout) {
                        heads.push((head, 0));
                        sent.push(bytes);
                    }
                }
                Step::Device(limit) => {
                    let mut burst = Burst::new();
                    let n = receive(&mut ring, &source, &mut burst, limit);
                    prop_assert!(n == burst.len() && n <= limit);
                    came.extend(burst.iter().map(Plain::bytes));
                }
                Step::Reap => reaped.extend(driver.reap()),
            }
        }
        loop {
            let mut burst = Burst::new();
            if receive(&mut ring, &source, &mut burst, BURST) == 0 {
                break;
            }
            came.extend(burst.iter().map(Plain::bytes));
        }
        reaped.extend(driver.reap());
        prop_assert_eq!(came, sent);
        prop_assert_eq!(reaped, heads);
        prop_assert_eq!(ring.fault(), None);
    }

    /// Whatever is sent to the driver it gets, in order, once, in the buffers that it gave.
    #[test]
    fn all_that_is_sent_is_got(steps in steps(), start in any::<u16>(), mergeable in any::<bool>(), room in 64usize..2048) {
        let guest = Guest::starting(32, start);
        let (mut driver, mut ring) = (Driver::new(&guest), guest.ring(mergeable, false));
        let (mut sent, mut got) = (Vec::new(), Vec::new());
        for (seed, step) in steps.into_iter().enumerate() {
            match step {
                Step::Driver(parts, len) => {
                    // A header goes into the first (5.1.6.3.1).
                    let parts = parts.iter().map(|part| part + HEADER).collect();
                    let layout: Vec<usize> = if mergeable { parts } else { vec![HEADER, 1500] };
                    driver.offer(1 + len % 3, &layout);
                }
                Step::Device(count) => {
                    let packets = (0..count).map(|n| content((seed * 37 + n * 211) % 1500, seed as u8));
                    let burst: Burst = packets.map(|bytes| Plain::of(&bytes, room)).collect();
                    let n = transmit(&mut ring, &burst);
                    sent.extend(burst[..n].iter().map(Plain::bytes));
                }
                Step::Reap => got.extend(std::iter::from_fn(|| driver.take_packet())),
            }
        }
        got.extend(std::iter::from_fn(|| driver.take_packet()));
        prop_assert_eq!(ring.fault(), None);
        // A packet for which all of the ring is too little is got without a byte.
        prop_assert_eq!(got.len(), sent.len());
        for ((got, _), sent) in got.iter().zip(&sent) {
            prop_assert!(got == sent || got.is_empty() && mergeable);
        }
    }
}
