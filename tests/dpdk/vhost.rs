//! vhost-user ports and their guests.

use std::os::unix::net::UnixListener;

use weft::dpdk::{BURST, Burst, Error, Mempool, Port, PortOptions, VhostMode, VhostUser, free_bulk};
use weft_pipelines::frame::Frame;

use crate::Lab;
use crate::frames::{exchange, packet, wait_for, wait_until_through};
use crate::peer::Peer;

/// A vhost-user port and DPDK's virtio driver as its guest, in this process.
pub fn pair(lab: &Lab, pool: &Mempool, name: &str) -> (Port, Port) {
    let switch = server(lab, pool, name);
    let device = format!("net_virtio_user_{name},mac=02:00:00:00:00:01,path={}", lab.socket(name).display());
    let guest = Port::open(&lab.eal, &device, &PortOptions::new(pool)).unwrap();
    wait_for("the guest", || switch.link_up());
    (switch, guest)
}

fn server(lab: &Lab, pool: &Mempool, name: &str) -> Port {
    let port = VhostUser { path: lab.socket(name), mode: VhostMode::Server, queues: 1 };
    port.open(&lab.eal, &PortOptions::new(pool)).unwrap()
}

pub fn exchange_in_one_process(lab: &Lab) {
    let pool = lab.pool();
    let (mut switch, mut guest) = pair(lab, &pool, "one");
    assert_eq!(switch.driver(), "vhost-user");
    let (mut rx, mut tx) = (switch.take_rx(0).unwrap(), switch.take_tx(0).unwrap());
    let (mut guest_rx, mut guest_tx) = (guest.take_rx(0).unwrap(), guest.take_tx(0).unwrap());
    exchange(&pool, &mut tx, &mut guest_rx, 10_000);
    exchange(&pool, &mut guest_tx, &mut rx, 10_000);
    assert_eq!((switch.stats().rx_packets, switch.stats().tx_packets), (10_000, 10_000));
    drop((guest, guest_rx, guest_tx));
    wait_for("the guest's end", || !switch.link_up());
    drop((switch, rx, tx));
    assert_eq!(pool.in_use(), 0);
}

/// Whatever else a driver asks for, it gets rings that work.
pub fn drivers_of_many_minds(lab: &Lab) {
    let pool = lab.pool();
    let minds = [
        ",mrg_rxbuf=0",
        ",in_order=0",
        ",mrg_rxbuf=0,in_order=0",
        ",packed_vq=1",
        ",queue_size=1024",
        ",vectorized=1",
    ];
    for (n, mind) in minds.iter().enumerate() {
        let name = format!("mind{n}");
        let mut switch = server(lab, &pool, &name);
        let path = lab.socket(&name);
        let device = format!("net_virtio_user_{name},mac=02:00:00:00:00:01,path={}{mind}", path.display());
        let mut guest = Port::open(&lab.eal, &device, &PortOptions::new(&pool)).unwrap();
        wait_for("the guest", || switch.link_up());
        let (mut rx, mut tx) = (switch.take_rx(0).unwrap(), switch.take_tx(0).unwrap());
        let (mut guest_rx, mut guest_tx) = (guest.take_rx(0).unwrap(), guest.take_tx(0).unwrap());
        exchange(&pool, &mut tx, &mut guest_rx, 5_000);
        exchange(&pool, &mut guest_tx, &mut rx, 5_000);
        assert!(switch.take_faults().is_empty());
    }
    assert_eq!(pool.in_use(), 0);
}

pub fn several_queues(lab: &Lab) {
    let pool = lab.pool();
    let port = VhostUser { path: lab.socket("queues"), mode: VhostMode::Server, queues: 3 };
    let mut switch = port.open(&lab.eal, &PortOptions::new(&pool)).unwrap();
    let path = lab.socket("queues");
    let device = format!("net_virtio_user_queues,mac=02:00:00:00:00:01,queues=3,path={}", path.display());
    let options = PortOptions { rx_queues: 3, tx_queues: 3, ..PortOptions::new(&pool) };
    let mut guest = Port::open(&lab.eal, &device, &options).unwrap();
    wait_for("the guest", || switch.link_up());
    for queue in 0..3 {
        let (mut rx, mut tx) = (switch.take_rx(queue).unwrap(), switch.take_tx(queue).unwrap());
        let (mut guest_rx, mut guest_tx) = (guest.take_rx(queue).unwrap(), guest.take_tx(queue).unwrap());
        exchange(&pool, &mut tx, &mut guest_rx, 3_000);
        exchange(&pool, &mut guest_tx, &mut rx, 3_000);
    }
    assert!(switch.take_rx(3).is_none());
    drop((guest, switch));
    assert_eq!(pool.in_use(), 0);
}

pub fn long_packets_in_segments(lab: &Lab) {
    let pool = lab.pool();
    let narrow = Mempool::new(&lab.eal, "narrow", 1023, 512, None).unwrap();
    let mut switch = server(lab, &narrow, "long");
    let device = format!("net_virtio_user_long,mac=02:00:00:00:00:01,path={}", lab.socket("long").display());
    let mut guest = Port::open(&lab.eal, &device, &PortOptions::new(&pool)).unwrap();
    let (mut rx, mut tx) = (switch.take_rx(0).unwrap(), guest.take_tx(0).unwrap());
    let mut sent = packet(&pool, 0);
    sent.truncate(0);
    let bytes: Vec<u8> = (0..1400u32).map(|i| i.to_le_bytes()[0]).collect();
    assert!(sent.extend_from_slice(&bytes));
    for len in [1400, 1100, 600, 512, 100, 0] {
        let mut out = Burst::new();
        out.push(sent.duplicate().unwrap());
        let mut back = Burst::new();
        wait_for("the long packet", || {
            tx.burst(&mut out);
            rx.burst(&mut back, BURST) > 0
        });
        let mut long = back.pop().unwrap();
        assert!(!long.is_linear());
        assert_eq!((long.packet_len(), long.data()), (1400, &bytes[..512]));
        assert!(long.duplicate().is_none(), "it fits no buffer of its pool");
        assert!(!long.extend_from_slice(b"x"));
        long.truncate(len);
        assert_eq!((long.packet_len(), long.is_linear()), (len, len <= 512));
        assert_eq!(long.data(), &bytes[..len.min(512)]);
        assert_eq!(narrow.in_use() as usize, len.div_ceil(512).max(1));
        assert_eq!(long.duplicate().is_some(), len <= 512);
    }
    drop((guest, tx, sent));
    drop((switch, rx));
    assert_eq!((pool.in_use(), narrow.in_use()), (0, 0));
}

pub fn guest_killed_and_back(lab: &Lab) {
    let pool = lab.pool();
    let mut switch = server(lab, &pool, "echo");
    let (mut rx, mut tx) = (switch.take_rx(0).unwrap(), switch.take_tx(0).unwrap());
    for _ in 0..3 {
        assert!(!switch.link_up());
        let mut burst: Burst = (0..BURST as u64).map(|i| packet(&pool, i)).collect();
        assert_eq!((tx.burst(&mut burst), rx.burst(&mut Burst::new(), BURST)), (0, 0), "sent to nobody");
        free_bulk(&mut burst);

        let guest = Peer::start("echo", &lab.socket("echo"));
        wait_for("the guest", || switch.link_up());
        wait_until_through(&pool, &mut tx, &mut rx);
        exchange(&pool, &mut tx, &mut rx, 10_000);
        guest.kill();
        // The rings go on being polled, as a worker would, while the guest's memory goes away.
        let mut burst = Burst::new();
        wait_for("the guest's end", || {
            burst.push(packet(&pool, 0));
            tx.burst(&mut burst);
            rx.burst(&mut burst, BURST);
            burst.clear();
            !switch.link_up()
        });
    }
    drop((switch, rx, tx));
    assert_eq!(pool.in_use(), 0);
}

pub fn client_mode(lab: &Lab) {
    let pool = lab.pool();
    let path = lab.socket("client");
    let port = VhostUser { path: path.clone(), mode: VhostMode::Client, queues: 1 };
    let mut switch = port.open(&lab.eal, &PortOptions::new(&pool)).unwrap();
    let (mut rx, mut tx) = (switch.take_rx(0).unwrap(), switch.take_tx(0).unwrap());
    for _ in 0..2 {
        let guest = Peer::start("echo-server", &path);
        wait_for("the guest", || switch.link_up());
        wait_until_through(&pool, &mut tx, &mut rx);
        exchange(&pool, &mut tx, &mut rx, 1000);
        guest.kill();
        wait_for("the guest's end", || !switch.link_up());
        std::fs::remove_file(&path).unwrap();
    }
    drop((switch, rx, tx));
    assert_eq!(pool.in_use(), 0);
}

pub fn sockets(lab: &Lab) {
    let pool = lab.pool();
    let path = lab.socket("kept");
    // As a killed switch leaves it.
    drop(UnixListener::bind(&path).unwrap());
    let first = server(lab, &pool, "kept");
    let port = VhostUser { path: path.clone(), mode: VhostMode::Server, queues: 1 };
    let Err(error) = port.open(&lab.eal, &PortOptions::new(&pool)) else { panic!("served twice") };
    assert!(matches!(error, Error::SocketServed(_)), "{error}");
    assert!(path.exists());
    drop(first);
    assert!(!path.exists());

    let absent = VhostUser { path: lab.socket("absent/x"), mode: VhostMode::Server, queues: 1 };
    let Err(error) = absent.open(&lab.eal, &PortOptions::new(&pool)) else { panic!("no directory") };
    assert!(error.to_string().contains("No such file"), "{error}");
    let many = VhostUser { path, mode: VhostMode::Server, queues: 2 };
    drop(many.open(&lab.eal, &PortOptions::new(&pool)).unwrap());
    assert_eq!(pool.in_use(), 0);
}
