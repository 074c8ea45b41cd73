//! Shared-memory interfaces between processes.

use weft::dpdk::{Port, PortOptions};

use crate::Lab;
use crate::frames::{exchange, wait_for, wait_until_through};
use crate::peer::Peer;

pub fn between_processes(lab: &Lab) {
    let pool = lab.pool();
    let path = lab.socket("memif");
    let device = format!("net_memif0,role=server,socket-abstract=no,socket={}", path.display());
    let mut port = Port::open(&lab.eal, &device, &PortOptions::new(&pool)).unwrap();
    let (mut rx, mut tx) = (port.take_rx(0).unwrap(), port.take_tx(0).unwrap());
    for _ in 0..2 {
        let peer = Peer::start("memif", &path);
        wait_for("the peer", || port.link_up());
        wait_until_through(&pool, &mut tx, &mut rx);
        exchange(&pool, &mut tx, &mut rx, 10_000);
        peer.kill();
        wait_for("the peer's end", || !port.link_up());
    }
    drop((port, rx, tx));
    assert_eq!(pool.in_use(), 0);
}
