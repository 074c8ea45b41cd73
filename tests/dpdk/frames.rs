//! Packets that can be told from each other, and their exchange.

use std::time::{Duration, Instant};

use weft::dpdk::{BURST, Burst, Mbuf, Mempool, RxQueue, TxQueue, free_bulk};
use weft_pipelines::frame::Frame;

/// How long anything may take.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Polls until `done`, and fails after a while.
#[track_caller]
pub fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::yield_now();
    }
}

/// The content of packet `number`, of 60 to 1,514 bytes.
pub fn content(number: u64) -> Vec<u8> {
    let len = 60 + usize::try_from(number * 131 % 1455).unwrap();
    let mut bytes = vec![0xff; 6];
    bytes.extend([0x02, 0, 0, 0, 0, 1, 0x88, 0xb5]);
    bytes.extend(number.to_be_bytes());
    while bytes.len() < len {
        let next = bytes.len() as u64 * 7 + number;
        bytes.push(next.to_le_bytes()[0]);
    }
    bytes
}

/// Packet `number` in a buffer of `pool`.
pub fn packet(pool: &Mempool, number: u64) -> Mbuf {
    let mut mbuf = pool.alloc().expect("a free buffer");
    assert!(mbuf.extend_from_slice(&content(number)));
    mbuf
}

/// Sends packets 0 to `count`, and checks that they come out at `rx`, in order.
pub fn exchange(pool: &Mempool, tx: &mut TxQueue, rx: &mut RxQueue, count: u64) {
    let (mut sent, mut received) = (0, 0);
    let (mut out, mut back) = (Burst::new(), Burst::new());
    let deadline = Instant::now() + PATIENCE;
    while received < count {
        assert!(Instant::now() < deadline, "{sent} sent, {received} received of {count}");
        while out.len() < BURST && sent < count {
            out.push(packet(pool, sent));
            sent += 1;
        }
        tx.burst(&mut out);
        rx.burst(&mut back, BURST);
        for mbuf in &back {
            assert!(mbuf.is_linear());
            assert_eq!(mbuf.data(), content(received), "packet {received}");
            received += 1;
        }
        free_bulk(&mut back);
    }
    assert!(out.is_empty());
}

/// Waits until packets sent to `tx` come out at `rx`: both ends are ready, and nothing is under way.
///
/// A guest's driver may reset its rings while it starts, and lose what is in them.
pub fn wait_until_through(pool: &Mempool, tx: &mut TxQueue, rx: &mut RxQueue) {
    const LAST: u64 = 1_000_000;

    let (mut out, mut back) = (Burst::new(), Burst::new());
    wait_for("the first packet", || {
        if out.is_empty() {
            out.push(packet(pool, 0));
        }
        tx.burst(&mut out);
        rx.burst(&mut back, BURST) > 0
    });
    out.clear();
    out.push(packet(pool, LAST));
    wait_for("the last packet", || {
        tx.burst(&mut out);
        let arrived = back.iter().any(|mbuf| mbuf.data() == content(LAST));
        free_bulk(&mut back);
        rx.burst(&mut back, BURST);
        arrived
    });
    assert!(back.is_empty());
}
