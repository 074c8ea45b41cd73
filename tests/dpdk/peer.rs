//! The other side: this binary, started again in a role.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use weft::dpdk::{BURST, Burst, Eal, EalOptions, Hugepages, Mempool, Port, PortOptions};

use crate::frames::{exchange, wait_for, wait_until_through};

const ROLE: &str = "WEFT_TEST_ROLE";
const PLACE: &str = "WEFT_TEST_PLACE";

/// A running peer, killed when dropped.
pub struct Peer(Child);

impl Peer {
    /// Starts a peer in `role` at the socket `place`.
    pub fn start(role: &str, place: &Path) -> Self {
        Self::spawn(Command::new(std::env::current_exe().unwrap()), role, place)
    }

    /// The same, with no privilege whatsoever and `place` as its runtime directory.
    pub fn start_as_nobody(role: &str, place: &Path) -> Self {
        let mut command = Command::new("setpriv");
        command.args([
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            "--bounding-set=-all",
            "--no-new-privs",
        ]);
        // What builds this may live where nobody else may look.
        let binary = place.join("peer");
        std::fs::copy(std::env::current_exe().unwrap(), &binary).unwrap();
        command.arg(binary).env("XDG_RUNTIME_DIR", place);
        Self::spawn(command, role, place)
    }

    fn spawn(mut command: Command, role: &str, place: &Path) -> Self {
        // Its input ends with this process, and so does the peer, should this one be killed.
        let child = command.env(ROLE, role).env(PLACE, place).stdin(Stdio::piped()).spawn();
        Self(child.unwrap())
    }

    /// Kills it, as with `kill -9`.
    pub fn kill(self) {
        drop(self);
    }

    /// Waits for its good end.
    pub fn succeeds(mut self) {
        // `wait` would close its input, which tells it to end.
        let input = self.0.stdin.take();
        assert!(self.0.wait().unwrap().success());
        drop(input);
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
        // All that a killed process leaves is an empty directory.
        let _ = std::fs::remove_dir(runtime_directory(&peer_name(self.0.id())));
    }
}

/// Where DPDK keeps what instances tell each other: nothing, here.
pub fn runtime_directory(name: &str) -> PathBuf {
    let parent = match std::env::var_os("XDG_RUNTIME_DIR") {
        Some(user) if !rustix::process::geteuid().is_root() => PathBuf::from(user),
        None if !rustix::process::geteuid().is_root() => "/tmp".into(),
        _ => "/var/run".into(),
    };
    parent.join("dpdk").join(name)
}

fn peer_name(process: u32) -> String {
    format!("weft-peer-{process}")
}

/// The role that this process was started in.
pub fn role() -> Option<String> {
    std::env::var(ROLE).ok()
}

/// Plays it, for `echo` and `memif` until killed.
pub fn play(role: String) {
    end_with_the_parent();
    let place = PathBuf::from(std::env::var_os(PLACE).unwrap());
    let options = EalOptions {
        name: peer_name(std::process::id()),
        memory_bytes: 64 << 20,
        hugepages: Hugepages::Off,
        ..EalOptions::default()
    };
    let eal = Eal::init(&options).unwrap();
    let pool = Mempool::new(&eal, "peer", 4095, 2048, None).unwrap();
    let path = place.display();
    match role.as_str() {
        "echo" => echo(&eal, &pool, &format!("net_virtio_user0,mac=02:00:00:00:00:01,path={path}")),
        "echo-server" => {
            echo(&eal, &pool, &format!("net_virtio_user0,mac=02:00:00:00:00:01,server=1,path={path}"))
        }
        "memif" => echo(&eal, &pool, &format!("net_memif0,role=client,socket-abstract=no,socket={path}")),
        "switch" => switch(&eal, &pool, &place),
        _ => panic!("no role {role}"),
    }
}

/// Sends back what comes, in order.
fn echo(eal: &Eal, pool: &Mempool, device: &str) {
    let mut port = Port::open(eal, device, &PortOptions::new(pool)).unwrap();
    let (mut rx, mut tx) = (port.take_rx(0).unwrap(), port.take_tx(0).unwrap());
    let mut burst = Burst::new();
    loop {
        rx.burst(&mut burst, BURST);
        tx.burst(&mut burst);
        if burst.is_empty() {
            std::thread::yield_now();
        }
    }
}

/// A switch and its guest in another process, both without privilege.
fn switch(eal: &Eal, pool: &Mempool, dir: &Path) {
    use weft::dpdk::{VhostMode, VhostUser};

    assert!(!rustix::process::geteuid().is_root());
    // The copy that runs is of no more use.
    let path = dir.join("guest.sock");
    let vhost = VhostUser { path: path.clone(), mode: VhostMode::Server, queues: 1 };
    let mut port = vhost.open(eal, &PortOptions::new(pool)).unwrap();
    let (mut rx, mut tx) = (port.take_rx(0).unwrap(), port.take_tx(0).unwrap());
    let guest = Peer::start("echo", &path);
    wait_for("the guest", || port.link_up());
    wait_until_through(pool, &mut tx, &mut rx);
    exchange(pool, &mut tx, &mut rx, 10_000);
    guest.kill();
    wait_for("the guest's end", || !port.link_up());
    drop((port, rx, tx));

    let memif = dir.join("memif.sock");
    let device = format!("net_memif0,role=server,socket-abstract=no,socket={}", memif.display());
    let mut port = Port::open(eal, &device, &PortOptions::new(pool)).unwrap();
    let (mut rx, mut tx) = (port.take_rx(0).unwrap(), port.take_tx(0).unwrap());
    let guest = Peer::start("memif", &memif);
    wait_for("the peer", || port.link_up());
    wait_until_through(pool, &mut tx, &mut rx);
    exchange(pool, &mut tx, &mut rx, 10_000);
    guest.kill();
    drop((port, rx, tx));
    assert_eq!(pool.in_use(), 0);
    std::fs::remove_file(dir.join("peer")).unwrap();
}

/// Peers may be waiting for packets when their parent dies.
fn end_with_the_parent() {
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(1);
    });
}
