//! Ports: any device that DPDK drives, and guests' sockets, opened and closed while others run.

use std::mem;
use std::sync::Arc;

use super::device::Device;
use super::vhost::{Guest, Receiver, Transmitter};
use super::{Burst, Eal, Error, Fault, Mempool};

/// How a port is set up.
#[derive(Clone)]
pub struct PortOptions {
    /// Receive queues.
    pub rx_queues: u16,
    /// Send queues.
    pub tx_queues: u16,
    /// Descriptors of a receive queue; adjusted to what the device can do.
    pub rx_descriptors: u16,
    /// Descriptors of a send queue; adjusted likewise.
    pub tx_descriptors: u16,
    /// Where received packets are put.
    pub mempool: Mempool,
    /// The largest packet without its Ethernet header; the device's default if `None`.
    pub mtu: Option<u16>,
    /// Whether packets to any MAC address are received.
    pub promiscuous: bool,
}

impl PortOptions {
    /// One queue each way of 1,024 descriptors, promiscuous, with the device's MTU.
    pub fn new(mempool: &Mempool) -> Self {
        Self {
            rx_queues: 1,
            tx_queues: 1,
            rx_descriptors: 1024,
            tx_descriptors: 1024,
            mempool: mempool.clone(),
            mtu: None,
            promiscuous: true,
        }
    }
}

/// An open port, started.
///
/// The device is stopped, closed and detached when the port and all its queues are dropped, by whoever drops
/// the last of them. That waits for the device: send queues back from the workers rather than drop them there.
pub struct Port {
    kind: Kind,
    rx: Vec<bool>,
    tx: Vec<bool>,
}

enum Kind {
    Device(Arc<Device>),
    /// With the address that it goes by, if it is no guest's but the switch's own.
    Guest(Arc<Guest>, Mempool, Option<[u8; 6]>),
}

impl Port {
    /// Opens `device`: a PCI address among those of [`EalOptions::pci`](super::EalOptions::pci), or what DPDK
    /// calls a vdev: a driver's name with a number, and arguments, as in `net_tap0,iface=blue`.
    ///
    /// The devices of a process are limited by how DPDK was built: 32 in Debian's.
    pub fn open(eal: &Eal, device: &str, options: &PortOptions) -> Result<Self, Error> {
        let mut devices = eal.devices();
        let probed = Device::probe(eal, device, &mut devices, &options.mempool)?;
        let started = probed.start(options);
        // Unlocked first: should the start have failed, dropping the device locks them again.
        drop(devices);
        started?;
        Ok(Self {
            kind: Kind::Device(Arc::new(probed)),
            rx: vec![false; options.rx_queues.into()],
            tx: vec![false; options.tx_queues.into()],
        })
    }

    /// A guest's port, with so many queues each way; or one that stands for a device, with this address.
    pub(super) fn of_guest(guest: Guest, queues: u16, pool: &Mempool, mac: Option<[u8; 6]>) -> Self {
        let free = || vec![false; queues.into()];
        Self { kind: Kind::Guest(Arc::new(guest), pool.clone(), mac), rx: free(), tx: free() }
    }

    /// The device's name: its PCI address, or the vdev's name without arguments; a guest's socket.
    pub fn name(&self) -> &str {
        match &self.kind {
            Kind::Device(device) => &device.name,
            Kind::Guest(guest, ..) => &guest.name,
        }
    }

    /// The driver's name; `vhost-user` for a guest's port.
    pub fn driver(&self) -> &str {
        match &self.kind {
            Kind::Device(device) => &device.driver,
            Kind::Guest(..) => "vhost-user",
        }
    }

    /// Whether it is on a device, not on a guest's socket.
    pub fn is_device(&self) -> bool {
        matches!(self.kind, Kind::Device(_))
    }

    /// The device's MAC address. A guest's port has none: the guest has.
    pub fn mac(&self) -> Option<[u8; 6]> {
        let device = match &self.kind {
            Kind::Device(device) => device,
            Kind::Guest(_, _, mac) => return *mac,
        };
        let mut mac = dpdk_sys::rte_ether_addr { addr_bytes: [0; 6] };
        // SAFETY: the port is open. A device without an address leaves zeros.
        unsafe { dpdk_sys::rte_eth_macaddr_get(device.port, &raw mut mac) };
        Some(mac.addr_bytes)
    }

    /// The largest packet without its Ethernet header, in bytes. A vhost-user guest can change it by connecting.
    pub fn mtu(&self) -> u16 {
        match &self.kind {
            Kind::Device(device) => {
                let mut mtu = 0;
                // SAFETY: the port is open.
                unsafe { dpdk_sys::rte_eth_dev_get_mtu(device.port, &raw mut mtu) };
                mtu
            }
            Kind::Guest(guest, ..) => guest.mtu(),
        }
    }

    /// Whether the link is up, without waiting for it to settle. On a vhost-user port: whether a guest is there, with
    /// rings that make sense.
    pub fn link_up(&self) -> bool {
        match &self.kind {
            // SAFETY: the port is open. A device without a link says no.
            Kind::Device(device) => unsafe { dpdk_sys::dpdk_sys_link_up(device.port) == 1 },
            Kind::Guest(guest, ..) => guest.link_up(),
        }
    }

    /// What a guest's rings were found to be broken by since it was last asked, with the virtqueues' numbers.
    pub fn take_faults(&self) -> Vec<(usize, Fault)> {
        match &self.kind {
            Kind::Device(_) => Vec::new(),
            Kind::Guest(guest, ..) => guest.take_faults(),
        }
    }

    /// The device's own counters; of a guest's port the packets.
    pub fn stats(&self) -> PortStats {
        let device = match &self.kind {
            Kind::Device(device) => device,
            Kind::Guest(guest, ..) => {
                let (rx_packets, tx_packets) = guest.packets();
                return PortStats { rx_packets, tx_packets, ..PortStats::default() };
            }
        };
        // SAFETY: integers may be zero.
        let mut stats: dpdk_sys::rte_eth_stats = unsafe { mem::zeroed() };
        // SAFETY: the port is open. A device without counters leaves zeros.
        unsafe { dpdk_sys::rte_eth_stats_get(device.port, &raw mut stats) };
        PortStats {
            rx_packets: stats.ipackets,
            tx_packets: stats.opackets,
            rx_bytes: stats.ibytes,
            tx_bytes: stats.obytes,
            rx_missed: stats.imissed,
            rx_errors: stats.ierrors,
            tx_errors: stats.oerrors,
            rx_no_mbuf: stats.rx_nombuf,
        }
    }

    /// Receive queue `queue`, once; `None` if it was taken or there is none.
    pub fn take_rx(&mut self, queue: u16) -> Option<RxQueue> {
        take(&mut self.rx, queue)?;
        Some(RxQueue(match &self.kind {
            Kind::Device(device) => Receive::Device(DeviceQueue::new(device, queue)),
            Kind::Guest(guest, pool, _) => Receive::Guest(Receiver::new(guest.clone(), queue, pool.clone())),
        }))
    }

    /// Send queue `queue`, once; `None` if it was taken or there is none.
    pub fn take_tx(&mut self, queue: u16) -> Option<TxQueue> {
        take(&mut self.tx, queue)?;
        Some(TxQueue(match &self.kind {
            Kind::Device(device) => Transmit::Device(DeviceQueue::new(device, queue)),
            Kind::Guest(guest, ..) => Transmit::Guest(Transmitter::new(guest.clone(), queue)),
        }))
    }
}

fn take(taken: &mut [bool], queue: u16) -> Option<()> {
    let taken = taken.get_mut(usize::from(queue))?;
    (!mem::replace(taken, true)).then_some(())
}

/// What a device counted since it was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortStats {
    /// Packets received.
    pub rx_packets: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Bytes received, without FCS.
    pub rx_bytes: u64,
    /// Bytes sent, without FCS.
    pub tx_bytes: u64,
    /// Packets that the device dropped because a receive queue was full.
    pub rx_missed: u64,
    /// Packets that arrived broken.
    pub rx_errors: u64,
    /// Packets that could not be sent.
    pub tx_errors: u64,
    /// Receptions put off because the pool was empty.
    pub rx_no_mbuf: u64,
}

/// A queue of a device, one way or the other.
struct DeviceQueue {
    port: u16,
    queue: u16,
    _device: Arc<Device>,
}

impl DeviceQueue {
    fn new(device: &Arc<Device>, queue: u16) -> Self {
        Self { port: device.port, queue, _device: device.clone() }
    }
}

/// A receive queue, for one thread at a time.
pub struct RxQueue(Receive);

enum Receive {
    Device(DeviceQueue),
    Guest(Receiver),
}

impl RxQueue {
    /// Appends packets to `burst`, up to `limit` (about: four at least) and to its free capacity; returns how many.
    ///
    /// Ask with an empty burst: the vector code of some NIC drivers gives none where there is room for less than four.
    #[inline]
    pub fn burst(&mut self, burst: &mut Burst, limit: usize) -> usize {
        let DeviceQueue { port, queue, .. } = match &mut self.0 {
            Receive::Device(queue) => queue,
            Receive::Guest(receiver) => return receiver.burst(burst, limit),
        };
        let len = burst.len();
        let room = burst.remaining_capacity().min(limit.max(LEAST)) as u16;
        // SAFETY: the burst has room for that many pointers after its `len`, a buffer is one pointer, and the
        // port is started as long as its device lives. `&mut self`: no other thread uses the queue.
        unsafe {
            let free = burst.as_mut_ptr().add(len).cast();
            let received = usize::from(dpdk_sys::rte_eth_rx_burst(*port, *queue, free, room));
            burst.set_len(len + received);
            received
        }
    }
}

/// Frames that are asked for at least: drivers with vector instructions give none to who asks for fewer.
const LEAST: usize = 4;

/// A send queue, for one thread at a time.
pub struct TxQueue(Transmit);

enum Transmit {
    Device(DeviceQueue),
    Guest(Transmitter),
}

impl TxQueue {
    /// Whether the port's link is up: on a vhost-user port, whether a guest is there.
    pub fn link_up(&self) -> bool {
        match &self.0 {
            // SAFETY: the port is open as long as its device lives.
            Transmit::Device(queue) => unsafe { dpdk_sys::dpdk_sys_link_up(queue.port) == 1 },
            Transmit::Guest(transmitter) => transmitter.link_up(),
        }
    }

    /// Sends packets from the front of `burst` and removes them; returns how many.
    ///
    /// What is left did not fit, or the other side is gone: it is the caller's to send again, or to count
    /// and free.
    #[inline]
    pub fn burst(&mut self, burst: &mut Burst) -> usize {
        let DeviceQueue { port, queue, .. } = match &mut self.0 {
            Transmit::Device(queue) => queue,
            Transmit::Guest(transmitter) => return transmitter.burst(burst),
        };
        let len = burst.len();
        let first = burst.as_mut_ptr();
        // SAFETY: the burst owns `len` buffers, laid out as pointers. Those sent belong to the device, so the
        // others are moved over them without dropping. The port and the queue are as in `RxQueue::burst`.
        unsafe {
            let sent = dpdk_sys::rte_eth_tx_burst(*port, *queue, first.cast(), len as u16);
            let sent = usize::from(sent).min(len);
            if sent > 0 {
                std::ptr::copy(first.add(sent), first, len - sent);
                burst.set_len(len - sent);
            }
            sent
        }
    }
}
