//! An ethdev from its probing to its removal.

use std::collections::HashSet;
use std::ffi::{CStr, CString};
use std::mem;
use std::ptr;

use dpdk_sys::{rte_device, rte_eth_conf, rte_eth_dev_info};

use super::error::Reason;
use super::{Eal, Error, Mempool, PortOptions, log};

/// A device that is attached, and closed and detached when dropped.
///
/// Whoever changes it holds [`Eal::devices`] locked: DPDK's control functions are not made for several threads.
pub(super) struct Device {
    pub(super) name: String,
    pub(super) driver: String,
    pub(super) port: u16,
    /// What the port was made on: found by its port only while that is open.
    device: *mut rte_device,
    /// Its receive queues take buffers from there.
    _pool: Mempool,
    eal: Eal,
}

// SAFETY: the pointer is used for removing the device only, on one thread, and points to no thread's own data.
unsafe impl Send for Device {}
// SAFETY: nothing is done with it by reference but asking DPDK, by port number.
unsafe impl Sync for Device {}

/// The Toeplitz key that gives both directions of a flow one hash, repeated to any length.
///
/// Woo and Park, "Scalable TCP Session Monitoring with Symmetric Receive-side Scaling" (2012).
const SYMMETRIC_KEY: [u8; 64] = {
    let mut key = [0x6d; 64];
    let mut i = 1;
    while i < key.len() {
        key[i] = 0x5a;
        i += 2;
    }
    key
};

impl Device {
    /// Attaches the device that `text` names, unless it is, and adds it to those in use.
    pub(super) fn probe(
        eal: &Eal,
        text: &str,
        devices: &mut HashSet<String>,
        pool: &Mempool,
    ) -> Result<Self, Error> {
        let name = text.split(',').next().unwrap_or_default();
        let text_nul = c_string(text)?;
        let name_nul = c_string(name)?;
        if devices.contains(name) {
            return Err(Error::InUse(name.to_owned()));
        }
        log::forget();
        // A PCI device is there from the start, unless a port on it was closed before.
        let mut port = find(&name_nul);
        if port.is_none() {
            // SAFETY: the environment runs, and DPDK copies the text.
            let ret = unsafe { dpdk_sys::rte_dev_probe(text_nul.as_ptr()) };
            port = find(&name_nul);
            if port.is_none() && is_pci(name) {
                return Err(Error::NotAllowed(name.to_owned()));
            }
            if ret == -rustix::io::Errno::FAULT.raw_os_error() && port.is_none() {
                // What the bus says whose drivers all were asked whether they know the name.
                return Err(Error::NoDriver(name.to_owned()));
            }
            if ret < 0 && port.is_none() {
                return Err(failed(text, "attach it")(Reason::returned(ret)));
            }
        }
        let port = port.ok_or_else(|| failed(text, "find its port")(Reason::last()))?;
        let info = info(port).map_err(failed(text, "ask what it can do"))?;
        let driver = if info.driver_name.is_null() {
            String::new()
        } else {
            // SAFETY: a string of the driver's, which stays loaded.
            unsafe { CStr::from_ptr(info.driver_name) }.to_string_lossy().into_owned()
        };
        devices.insert(name.to_owned());
        Ok(Self {
            name: name.to_owned(),
            driver,
            port,
            device: info.device.cast(),
            _pool: pool.clone(),
            eal: eal.clone(),
        })
    }

    /// Configures the device and its queues, and starts it.
    pub(super) fn start(&self, options: &PortOptions) -> Result<(), Error> {
        log::forget();
        let step = |step| failed(&self.name, step);
        let info = info(self.port).map_err(step("ask what it can do"))?;
        if options.rx_queues > info.max_rx_queues || options.tx_queues > info.max_tx_queues {
            let (rx, tx) = (info.max_rx_queues, info.max_tx_queues);
            return Err(Error::Queues { device: self.name.clone(), rx, tx });
        }
        let options = &PortOptions { mtu: self.believed_mtu(&info, options.mtu), ..options.clone() };
        let conf = configuration(&info, options);
        // SAFETY: here and below, the port is attached, and stopped until it is started; DPDK copies what it is given.
        let ret = unsafe {
            dpdk_sys::rte_eth_dev_configure(self.port, options.rx_queues, options.tx_queues, &raw const conf)
        };
        check(ret).map_err(step("configure it"))?;
        let (mut rx, mut tx) = (options.rx_descriptors, options.tx_descriptors);
        // SAFETY: as above.
        let ret = unsafe { dpdk_sys::rte_eth_dev_adjust_nb_rx_tx_desc(self.port, &raw mut rx, &raw mut tx) };
        check(ret).map_err(step("choose the number of descriptors"))?;
        self.set_mtu(options)?;
        // SAFETY: as above; -1, for any socket, is the same number unsigned.
        let socket = unsafe { dpdk_sys::rte_eth_dev_socket_id(self.port) }.cast_unsigned();
        for queue in 0..options.rx_queues {
            let pool = options.mempool.as_ptr();
            // SAFETY: as above; the device keeps the pool's handle.
            let ret =
                unsafe { dpdk_sys::rte_eth_rx_queue_setup(self.port, queue, rx, socket, ptr::null(), pool) };
            check(ret).map_err(step("set up a receive queue"))?;
        }
        for queue in 0..options.tx_queues {
            // SAFETY: as above.
            let ret = unsafe { dpdk_sys::rte_eth_tx_queue_setup(self.port, queue, tx, socket, ptr::null()) };
            check(ret).map_err(step("set up a send queue"))?;
        }
        // SAFETY: as above.
        check(unsafe { dpdk_sys::rte_eth_dev_start(self.port) }).map_err(step("start it"))?;
        if options.promiscuous {
            // SAFETY: as above. A device that cannot be told receives everything: the software ones.
            unsafe { dpdk_sys::rte_eth_promiscuous_enable(self.port) };
        }
        Ok(())
    }

    /// The MTU to configure: none where a software device says that it carries less.
    ///
    /// net_memif and net_af_packet say 1,518 bytes and carry what fits their buffers; DPDK 22.11 refuses to
    /// configure them for more. A NIC's word is believed, and leads to an error.
    fn believed_mtu(&self, info: &rte_eth_dev_info, mtu: Option<u16>) -> Option<u16> {
        const ETHERNET: u32 = 14;
        let says = info.max_rx_pktlen;
        let small = |mtu: &u16| says != 0 && u32::from(*mtu) + ETHERNET > says && !is_pci(&self.name);
        if let Some(mtu) = mtu.filter(small) {
            tracing::info!(device = self.name, says, mtu, "says that it carries less, and is not believed");
            return None;
        }
        mtu
    }

    /// Tells the device, where it can be told: `configure` sets what DPDK thinks of it only.
    fn set_mtu(&self, options: &PortOptions) -> Result<(), Error> {
        let Some(mtu) = options.mtu else { return Ok(()) };
        // SAFETY: the port is attached and configured.
        let ret = unsafe { dpdk_sys::rte_eth_dev_set_mtu(self.port, mtu) };
        if ret == -rustix::io::Errno::OPNOTSUPP.raw_os_error() {
            return Ok(());
        }
        check(ret).map_err(failed(&self.name, "set its MTU"))
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        let mut devices = self.eal.devices();
        // SAFETY: no queue of the port is left, and no other thread changes devices. Closing and removing
        // a device that was not started is fine; errors leave nothing that could be done.
        unsafe {
            dpdk_sys::rte_eth_dev_stop(self.port);
            dpdk_sys::rte_eth_dev_close(self.port);
            dpdk_sys::rte_dev_remove(self.device);
        }
        devices.remove(&self.name);
    }
}

fn configuration(info: &rte_eth_dev_info, options: &PortOptions) -> rte_eth_conf {
    // SAFETY: zeros are DPDK's defaults, and numbers and null pointers all of it.
    let mut conf: rte_eth_conf = unsafe { mem::zeroed() };
    conf.rxmode.mtu = options.mtu.unwrap_or(0).into();
    conf.txmode.offloads = info.tx_offload_capa & dpdk_sys::DPDK_SYS_TX_OFFLOAD_MULTI_SEGS;
    let hashed = info.flow_type_rss_offloads
        & (dpdk_sys::DPDK_SYS_RSS_IP | dpdk_sys::DPDK_SYS_RSS_TCP | dpdk_sys::DPDK_SYS_RSS_UDP);
    if options.rx_queues > 1 && hashed != 0 {
        conf.rxmode.mq_mode = dpdk_sys::RTE_ETH_MQ_RX_RSS;
        let rss = &mut conf.rx_adv_conf.rss_conf;
        rss.rss_hf = hashed;
        if (1..=SYMMETRIC_KEY.len()).contains(&info.hash_key_size.into()) {
            // It is read only, while the device is being configured.
            rss.rss_key = SYMMETRIC_KEY.as_ptr().cast_mut();
            rss.rss_key_len = info.hash_key_size;
        }
    }
    conf
}

fn find(name: &CStr) -> Option<u16> {
    let mut port = 0;
    // SAFETY: the environment runs.
    let ret = unsafe { dpdk_sys::rte_eth_dev_get_port_by_name(name.as_ptr(), &raw mut port) };
    (ret == 0).then_some(port)
}

fn info(port: u16) -> Result<rte_eth_dev_info, Reason> {
    // SAFETY: numbers and pointers may be zero.
    let mut info: rte_eth_dev_info = unsafe { mem::zeroed() };
    // SAFETY: the port is attached.
    check(unsafe { dpdk_sys::rte_eth_dev_info_get(port, &raw mut info) })?;
    Ok(info)
}

fn check(ret: i32) -> Result<(), Reason> {
    if ret < 0 { Err(Reason::returned(ret)) } else { Ok(()) }
}

fn failed(device: &str, step: &'static str) -> impl FnOnce(Reason) -> Error {
    let device = device.to_owned();
    move |reason| Error::Device { device, step, reason }
}

fn c_string(text: &str) -> Result<CString, Error> {
    let refused = |problem| Error::Option { option: "device", value: text.to_owned(), problem };
    if text.is_empty() || text.starts_with(',') {
        return Err(refused("names no device"));
    }
    CString::new(text).map_err(|_| refused("holds a NUL"))
}

/// Whether the name is a PCI address: `0000:3b:00.0`, or without the domain.
fn is_pci(name: &str) -> bool {
    let hex = |part: &str, len: usize| part.len() == len && part.bytes().all(|b| b.is_ascii_hexdigit());
    let Some((address, function)) = name.rsplit_once('.') else { return false };
    let parts: Vec<&str> = address.split(':').collect();
    let address = match parts[..] {
        [domain, bus, device] => hex(domain, 4) && hex(bus, 2) && hex(device, 2),
        [bus, device] => hex(bus, 2) && hex(device, 2),
        _ => false,
    };
    address && matches!(function.as_bytes(), [b'0'..=b'7'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_pci_addresses_from_vdevs() {
        for name in ["0000:3b:00.0", "3b:00.7", "0000:AF:1f.1"] {
            assert!(is_pci(name), "{name}");
        }
        for name in ["net_tap0", "", "0000:3b:00", "3b:00.8", "3b.0", "net_pcap0.1:2"] {
            assert!(!is_pci(name), "{name}");
        }
    }

    #[test]
    fn the_hash_key_is_symmetric() {
        // Both addresses are hashed with the same bits of the key: it repeats every 16 bits.
        assert!(SYMMETRIC_KEY.windows(3).all(|bytes| bytes[0] == bytes[2]));
    }

    #[test]
    fn refuses_what_names_no_device() {
        for text in ["", ",iface=x", "net_tap0\0"] {
            assert!(matches!(c_string(text), Err(Error::Option { .. })), "{text:?}");
        }
    }
}
