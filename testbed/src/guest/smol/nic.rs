//! A guest's network card: smoltcp's device over DPDK's virtio driver, connected to a vhost-user socket.

use std::collections::VecDeque;
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::wire::EthernetAddress;
use weft::dpdk::{Burst, Eal, Mempool, Port, PortOptions, RxQueue, TxQueue};
use weft_pipelines::BURST;
use weft_pipelines::frame::Frame;

use super::watch::Watch;

/// Descriptors of a queue: more than the frames of one window, so that a sender alone overruns no receiver.
pub(super) const DESCRIPTORS: u16 = 1024;

/// An Ethernet header's bytes.
pub(super) const HEADER: usize = 14;

/// The card. Without its switch it receives and sends nothing, and tries again to connect.
pub(super) struct Nic {
    eal: Eal,
    pool: Mempool,
    socket: PathBuf,
    mac: EthernetAddress,
    mtu: u16,
    link: Option<Link>,
    /// When to look after the link again.
    look: Instant,
    received: VecDeque<Mbuf>,
    sending: Burst,
    scratch: Vec<u8>,
    /// All that is received passes here.
    pub(super) watch: Watch,
    /// Frames and bytes sent, frames lost, connections.
    pub(super) sent: Sent,
}

type Mbuf = weft::dpdk::Mbuf;

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sent {
    pub(super) frames: u64,
    pub(super) bytes: u64,
    pub(super) lost: u64,
    pub(super) connects: u64,
}

/// The queues go before the port, which closes with the last of the three.
struct Link {
    rx: RxQueue,
    tx: TxQueue,
    port: Port,
}

impl Nic {
    /// A card that is not connected yet.
    pub(super) fn new(
        eal: &Eal,
        pool: &Mempool,
        socket: &Path,
        mac: EthernetAddress,
        mtu: u16,
        watch: Watch,
    ) -> Self {
        Self {
            eal: eal.clone(),
            pool: pool.clone(),
            socket: socket.to_owned(),
            mac,
            mtu,
            link: None,
            look: Instant::now(),
            received: VecDeque::new(),
            sending: Burst::new(),
            scratch: vec![0; usize::from(mtu) + HEADER],
            watch,
            sent: Sent::default(),
        }
    }

    /// Whether it is connected, as of the last look.
    pub(super) fn is_up(&self) -> bool {
        self.link.is_some()
    }

    /// Finds out from time to time whether the switch is still there, or there again.
    pub(super) fn look_after(&mut self, now: Instant) {
        if now < self.look {
            return;
        }
        match &self.link {
            Some(link) if link.port.link_up() => self.look = now + LOOK,
            Some(_) => {
                self.link = None;
                self.sent.lost += self.sending.len() as u64;
                self.sending.clear();
                self.received.clear();
                self.look = now + RETRY;
            }
            None => {
                self.link = self.connect();
                self.sent.connects += u64::from(self.link.is_some());
                self.look = Instant::now() + if self.link.is_some() { LOOK } else { RETRY };
            }
        }
    }

    /// Sends a frame of any content; `false` when there is no room right now, or no switch.
    pub(super) fn inject(&mut self, frame: &[u8]) -> bool {
        if !self.has_room() {
            return false;
        }
        self.enqueue(frame);
        self.flush();
        true
    }

    /// Hands over what waits to be sent.
    pub(super) fn flush(&mut self) {
        let Some(link) = &mut self.link else { return };
        if !self.sending.is_empty() {
            link.tx.burst(&mut self.sending);
        }
    }

    fn connect(&self) -> Option<Link> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);

        // A path without a socket is not worth DPDK's complaint.
        if !self.socket.exists() {
            return None;
        }
        let (number, path) = (NUMBER.fetch_add(1, Ordering::Relaxed), self.socket.display());
        // With colons: DPDK takes no other form of it, and makes an address up instead.
        let mac = self.mac.0.map(|byte| format!("{byte:02x}")).join(":");
        let device = format!("net_virtio_user{number},path={path},mac={mac},queue_size={DESCRIPTORS}");
        let options = PortOptions {
            rx_descriptors: DESCRIPTORS,
            tx_descriptors: DESCRIPTORS,
            mtu: Some(self.mtu),
            ..PortOptions::new(&self.pool)
        };
        let mut port = Port::open(&self.eal, &device, &options)
            .inspect_err(|error| eprintln!("{path}: {error}"))
            .ok()?;
        Some(Link { rx: port.take_rx(0)?, tx: port.take_tx(0)?, port })
    }

    fn has_room(&mut self) -> bool {
        if self.sending.is_full() {
            self.flush();
        }
        self.link.is_some() && !self.sending.is_full()
    }

    fn enqueue(&mut self, frame: &[u8]) {
        let filled = self.pool.alloc().and_then(|mut mbuf| mbuf.extend_from_slice(frame).then_some(mbuf));
        match filled {
            Some(mbuf) => {
                self.sending.push(mbuf);
                self.sent.frames += 1;
                self.sent.bytes += frame.len() as u64;
            }
            None => self.sent.lost += 1,
        }
    }

    fn next(&mut self) -> Option<Mbuf> {
        if self.received.is_empty() {
            let mut burst = Burst::new();
            self.link.as_mut()?.rx.burst(&mut burst, BURST);
            self.received.extend(burst.drain(..));
        }
        self.received.pop_front()
    }
}

impl Device for Nic {
    type RxToken<'a> = Received;
    type TxToken<'a> = Sender<'a>;

    fn receive(&mut self, _: smoltcp::time::Instant) -> Option<(Received, Sender<'_>)> {
        // The answer to it has to have a place.
        if !self.has_room() {
            return None;
        }
        let mbuf = self.next()?;
        self.watch.see(mbuf.data());
        Some((Received(mbuf), Sender(self)))
    }

    fn transmit(&mut self, _: smoltcp::time::Instant) -> Option<Sender<'_>> {
        self.has_room().then_some(Sender(self))
    }

    /// Checksums are computed and verified by the stack: neither side of the socket is offered to do it.
    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = usize::from(self.mtu) + HEADER;
        capabilities
    }
}

/// A frame that came.
pub(super) struct Received(Mbuf);

impl RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(self.0.data())
    }
}

/// Room for a frame.
pub(super) struct Sender<'a>(&'a mut Nic);

impl TxToken for Sender<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, write: F) -> R {
        let mut scratch = mem::take(&mut self.0.scratch);
        if scratch.len() < len {
            scratch.resize(len, 0);
        }
        let result = write(&mut scratch[..len]);
        self.0.enqueue(&scratch[..len]);
        self.0.scratch = scratch;
        result
    }
}

/// Between two looks at a link that is up: a system call each.
const LOOK: Duration = Duration::from_millis(50);

/// Between two attempts to connect.
const RETRY: Duration = Duration::from_millis(100);
