//! No buffer is lost, none is freed twice.

use std::sync::mpsc;

use weft::dpdk::{BURST, Burst, Mbuf, Mempool, free_bulk, pin_and_register};
use weft_pipelines::frame::Frame;

use crate::Lab;
use crate::frames::{content, packet};

pub fn conserved(lab: &Lab) {
    let pool = Mempool::new(&lab.eal, "small", 255, 512, None).unwrap();
    let all: Vec<Mbuf> = std::iter::from_fn(|| pool.alloc()).collect();
    assert_eq!((all.len(), pool.in_use(), pool.available()), (255, 255, 0));
    assert!(!pool.alloc_bulk(&mut Burst::new(), 1));
    drop(all);
    assert_eq!((pool.in_use(), pool.available()), (0, 255));

    let mut burst = Burst::new();
    assert!(pool.alloc_bulk(&mut burst, 20));
    assert!(!pool.alloc_bulk(&mut burst, BURST - 19), "more than the burst has room for");
    assert!(pool.alloc_bulk(&mut burst, BURST - 20));
    assert_eq!((burst.len(), pool.in_use()), (BURST, 32));
    burst.truncate(10);
    assert_eq!(pool.in_use(), 10);
    free_bulk(&mut burst);
    free_bulk(&mut burst);
    assert_eq!((burst.len(), pool.in_use()), (0, 0));
    assert!(Mempool::new(&lab.eal, "huge", 1 << 22, 2048, None).is_err());
    assert!(Mempool::new(&lab.eal, "wide", 15, 65_408, None).is_err());
}

pub fn grow_shrink_copy(lab: &Lab) {
    let pool = Mempool::new(&lab.eal, "frames", 2, 512, None).unwrap();
    let mut mbuf = pool.alloc().unwrap();
    assert_eq!((mbuf.headroom(), mbuf.tailroom(), mbuf.data().len()), (128, 512, 0));
    assert!(!mbuf.extend_from_slice(&[0; 513]));
    assert!(mbuf.extend_from_slice(b"abcdef"));
    assert!(!mbuf.prepend(129));
    assert!(mbuf.prepend(128));
    assert_eq!((mbuf.packet_len(), mbuf.headroom()), (134, 0));
    assert!(mbuf.trim_front(130)); // the headroom, and two of the packet's bytes
    mbuf.truncate(3);
    mbuf.truncate(30);
    assert_eq!(mbuf.data(), b"cde");
    let copy = mbuf.duplicate().unwrap();
    assert!(mbuf.duplicate().is_none(), "the pool has two buffers");
    mbuf.data_mut()[0] = b'x';
    assert_eq!((copy.data(), copy.headroom(), mbuf.data()), (b"cde".as_slice(), 128, b"xde".as_slice()));
    assert!(!mbuf.trim_front(4));
    drop((mbuf, copy));
    assert_eq!(pool.in_use(), 0);
}

pub fn cross_threads(lab: &Lab) {
    let pool = lab.pool();
    let (give, take) = mpsc::sync_channel::<Burst>(64);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let _lcore = pin_and_register(&lab.eal, 0).unwrap();
            assert!(pin_and_register(&lab.eal, 0).is_err(), "registered twice");
            let give = give;
            for number in 0..2000 {
                let burst: Burst = (0..BURST as u64).map(|i| packet(&pool, number + i)).collect();
                give.send(burst).unwrap();
            }
        });
        scope.spawn(|| {
            let _lcore = pin_and_register(&lab.eal, 1).unwrap();
            for (number, mut burst) in take.into_iter().enumerate() {
                assert_eq!(burst[3].data(), content(number as u64 + 3));
                burst.truncate(16);
                free_bulk(&mut burst);
            }
        });
    });
    assert_eq!(pool.in_use(), 0);
    // The workers' caches went back: every buffer can be had by this thread.
    let all: Vec<Mbuf> = std::iter::from_fn(|| pool.alloc()).collect();
    assert_eq!(all.len(), pool.count() as usize);
}

pub fn outlive_their_pool(lab: &Lab) {
    let pool = lab.pool();
    let kept = packet(&pool, 7);
    drop(pool);
    // The environment's memory suffices for a dozen such pools at a time: those without buffers out are freed.
    for _ in 0..40 {
        drop(lab.pool());
    }
    assert_eq!(kept.data(), content(7));
    assert_eq!(kept.duplicate().unwrap().data(), content(7));
}
