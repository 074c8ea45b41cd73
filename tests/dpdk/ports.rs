//! Ports on software devices.

use std::sync::atomic::{AtomicBool, Ordering};

use weft::dpdk::{BURST, Burst, Error, Mbuf, Port, PortOptions, free_bulk};
use weft_pipelines::frame::Frame;

use crate::Lab;
use crate::frames::{content, exchange, packet, wait_until_through};
use crate::vhost::pair;

pub fn null(lab: &Lab) {
    let pool = lab.pool();
    let mut port = Port::open(&lab.eal, "net_null0,size=100", &PortOptions::new(&pool)).unwrap();
    assert_eq!((port.name(), port.driver(), port.mtu()), ("net_null0", "net_null", 1500));
    assert!(port.link_up());
    let mut rx = port.take_rx(0).unwrap();
    let mut tx = port.take_tx(0).unwrap();
    assert!(port.take_rx(0).is_none() && port.take_tx(1).is_none());

    let mut burst: Burst = (0..5).map(|i| packet(&pool, i)).collect();
    assert_eq!((rx.burst(&mut burst, BURST), burst.len()), (BURST - 5, BURST));
    assert_eq!(rx.burst(&mut burst, BURST), 0);
    assert_eq!((burst[4].data(), burst[5].data().len()), (content(4).as_slice(), 100));
    assert_eq!((tx.burst(&mut burst), burst.len()), (BURST, 0));
    assert_eq!((port.stats().rx_packets, port.stats().tx_packets), (27, 32));

    // The queues keep the device.
    drop(port);
    assert!(matches!(Port::open(&lab.eal, "net_null0", &PortOptions::new(&pool)), Err(Error::InUse(_))));
    assert_eq!(rx.burst(&mut burst, BURST), BURST);
    drop((rx, tx));
    free_bulk(&mut burst);
    drop(Port::open(&lab.eal, "net_null0", &PortOptions::new(&pool)).unwrap());
    assert_eq!(pool.in_use(), 0);
}

pub fn ring(lab: &Lab) {
    let pool = lab.pool();
    let mut port = Port::open(&lab.eal, "net_ring0", &PortOptions::new(&pool)).unwrap();
    let (mut rx, mut tx) = (port.take_rx(0).unwrap(), port.take_tx(0).unwrap());
    exchange(&pool, &mut tx, &mut rx, 2000);

    // What does not fit stays with the caller, in order.
    let mut sent = 0;
    let mut out = Burst::new();
    loop {
        out.extend((out.len()..BURST).map(|i| packet(&pool, sent + i as u64)));
        let n = tx.burst(&mut out);
        sent += n as u64;
        if n == 0 {
            break;
        }
    }
    assert!(out.iter().enumerate().all(|(i, mbuf)| mbuf.data() == content(sent + i as u64)));
    let mut back = Burst::new();
    let mut received = 0;
    while rx.burst(&mut back, BURST) > 0 {
        for mbuf in back.drain(..) {
            assert_eq!(mbuf.data(), content(received));
            received += 1;
        }
    }
    assert_eq!(received, sent);
    drop((port, rx, tx));
    let unsent: Vec<Mbuf> = out.into_iter().collect();
    assert_eq!(pool.in_use() as usize, unsent.len());
    drop(unsent);
    assert_eq!(pool.in_use(), 0);
}

pub fn refusals(lab: &Lab) {
    let pool = lab.pool();
    let options = PortOptions::new(&pool);
    let refused = |device: &str, options: &PortOptions| match Port::open(&lab.eal, device, options) {
        Ok(port) => panic!("{} opened", port.name()),
        Err(error) => error,
    };
    assert!(matches!(refused("", &options), Error::Option { .. }));
    assert!(matches!(refused("0000:3b:00.0", &options), Error::NotAllowed(_)));
    assert!(matches!(refused("net_nonsense0", &options), Error::NoDriver(name) if name == "net_nonsense0"));
    assert!(matches!(
        refused("net_ring7", &PortOptions { rx_queues: 200, ..options.clone() }),
        Error::Queues { .. }
    ));
    assert!(
        refused("net_null7", &PortOptions { mtu: Some(20), ..options.clone() })
            .to_string()
            .contains("cannot configure it")
    );
    // Neither is left attached.
    drop(Port::open(&lab.eal, "net_ring7", &options).unwrap());
    drop(Port::open(&lab.eal, "net_null7", &options).unwrap());
    assert_eq!(pool.in_use(), 0);
}

pub fn come_and_go_beside_others(lab: &Lab) {
    let pool = lab.pool();
    let (mut switch, mut guest) = pair(lab, &pool, "steady");
    let mut up = (switch.take_tx(0).unwrap(), guest.take_rx(0).unwrap());
    wait_until_through(&pool, &mut up.0, &mut up.1);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let rounds = scope.spawn(|| {
            let mut rounds = 0;
            while !stop.load(Ordering::Relaxed) {
                exchange(&pool, &mut up.0, &mut up.1, 500);
                rounds += 1;
            }
            rounds
        });
        // DPDK's vhost thread takes up to a second to notice a new socket.
        for _ in 0..6 {
            let null = Port::open(&lab.eal, "net_null1", &PortOptions::new(&pool)).unwrap();
            let (a, b) = pair(lab, &pool, "passing");
            drop(null);
            // The guest goes first, as one that is shut down.
            drop(b);
            drop(a);
        }
        stop.store(true, Ordering::Relaxed);
        assert!(rounds.join().unwrap() > 0);
    });
    drop((guest, up));
    drop(switch);
    assert_eq!(pool.in_use(), 0);
}
