//! Ports: any device that DPDK drives, opened and closed while others run.

use std::mem;
use std::sync::Arc;

use super::device::Device;
use super::{Burst, Eal, Error, Mempool};

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
    device: Arc<Device>,
    rx: Vec<bool>,
    tx: Vec<bool>,
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
            device: Arc::new(probed),
            rx: vec![false; options.rx_queues.into()],
            tx: vec![false; options.tx_queues.into()],
        })
    }

    /// The device's name: its PCI address, or the vdev's name without arguments.
    pub fn name(&self) -> &str {
        &self.device.name
    }

    /// The driver's name.
    pub fn driver(&self) -> &str {
        &self.device.driver
    }

    /// The device's MAC address.
    pub fn mac(&self) -> [u8; 6] {
        let mut mac = dpdk_sys::rte_ether_addr { addr_bytes: [0; 6] };
        // SAFETY: the port is open. A device without an address leaves zeros.
        unsafe { dpdk_sys::rte_eth_macaddr_get(self.device.port, &raw mut mac) };
        mac.addr_bytes
    }

    /// The largest packet without its Ethernet header, in bytes. A vhost-user guest can change it by connecting.
    pub fn mtu(&self) -> u16 {
        let mut mtu = 0;
        // SAFETY: the port is open.
        unsafe { dpdk_sys::rte_eth_dev_get_mtu(self.device.port, &raw mut mtu) };
        mtu
    }

    /// Whether the link is up, without waiting for it to settle. On a vhost-user port: whether a guest is there.
    pub fn link_up(&self) -> bool {
        // SAFETY: the port is open. A device without a link says no.
        unsafe { dpdk_sys::dpdk_sys_link_up(self.device.port) == 1 }
    }

    /// The device's own counters.
    pub fn stats(&self) -> PortStats {
        // SAFETY: integers may be zero.
        let mut stats: dpdk_sys::rte_eth_stats = unsafe { mem::zeroed() };
        // SAFETY: the port is open. A device without counters leaves zeros.
        unsafe { dpdk_sys::rte_eth_stats_get(self.device.port, &raw mut stats) };
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
        Some(RxQueue { port: self.device.port, queue, _device: self.device.clone() })
    }

    /// Send queue `queue`, once; `None` if it was taken or there is none.
    pub fn take_tx(&mut self, queue: u16) -> Option<TxQueue> {
        take(&mut self.tx, queue)?;
        Some(TxQueue { port: self.device.port, queue, _device: self.device.clone() })
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

/// A receive queue, for one thread at a time.
pub struct RxQueue {
    port: u16,
    queue: u16,
    _device: Arc<Device>,
}

impl RxQueue {
    /// Appends packets to `burst`, up to `limit` (about: four at least) and to its free capacity; returns how many.
    ///
    /// Ask with an empty burst: the vector code of some NIC drivers gives none where there is room for less than four.
    #[inline]
    pub fn burst(&mut self, burst: &mut Burst, limit: usize) -> usize {
        let len = burst.len();
        let room = burst.remaining_capacity().min(limit.max(LEAST)) as u16;
        // SAFETY: the burst has room for that many pointers after its `len`, a buffer is one pointer, and the
        // port is started as long as its device lives. `&mut self`: no other thread uses the queue.
        unsafe {
            let free = burst.as_mut_ptr().add(len).cast();
            let received = usize::from(dpdk_sys::rte_eth_rx_burst(self.port, self.queue, free, room));
            burst.set_len(len + received);
            received
        }
    }
}

/// Frames that are asked for at least: drivers with vector instructions give none to who asks for fewer.
const LEAST: usize = 4;

/// A send queue, for one thread at a time.
pub struct TxQueue {
    port: u16,
    queue: u16,
    _device: Arc<Device>,
}

impl TxQueue {
    /// Whether the port's link is up: on a vhost-user port, whether a guest is there.
    pub fn link_up(&self) -> bool {
        // SAFETY: the port is open as long as its device lives.
        unsafe { dpdk_sys::dpdk_sys_link_up(self.port) == 1 }
    }

    /// Sends packets from the front of `burst` and removes them; returns how many.
    ///
    /// What is left did not fit, or the other side is gone: it is the caller's to send again, or to count
    /// and free.
    #[inline]
    pub fn burst(&mut self, burst: &mut Burst) -> usize {
        let len = burst.len();
        let first = burst.as_mut_ptr();
        // SAFETY: the burst owns `len` buffers, laid out as pointers. Those sent belong to the device, so the
        // others are moved over them without dropping. The port and the queue are as in `RxQueue::burst`.
        unsafe {
            let sent = dpdk_sys::rte_eth_tx_burst(self.port, self.queue, first.cast(), len as u16);
            let sent = usize::from(sent).min(len);
            if sent > 0 {
                std::ptr::copy(first.add(sent), first, len - sent);
                burst.set_len(len - sent);
            }
            sent
        }
    }
}
