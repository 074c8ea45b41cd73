//! The control side of vhost-user ports, on the thread of DPDK's vhost library.
//!
//! The library keeps the socket, the negotiation and the guest's memory; the workers read and write the rings. It tells
//! of every message of the front-end before it deals with it and after. Before, the workers lose the rings: from then on
//! the library may unmap memory and close files. After, they get those that the guest has enabled, as they are now.

use std::collections::HashMap;
use std::ffi::{CStr, CString, c_int, c_void};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU16, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use arrayvec::ArrayVec;
use rustix::fd::BorrowedFd;

use super::memory::{Log, Memory, REGIONS, Region};
use super::ring::{Agreed, Fault, Layout, Ring};
use crate::dpdk::error::Reason;
use crate::dpdk::{Eal, Error, log};

/// Features of a device, by bit: of the network device (5.1.3), of rings and devices (6), and of vhost-user.
mod feature {
    pub const MTU: u64 = 1 << 3;
    pub const MERGEABLE_BUFFERS: u64 = 1 << 15;
    pub const CONTROL_QUEUE: u64 = 1 << 17;
    pub const CONTROL_RECEPTION: u64 = 1 << 18;
    pub const ANNOUNCE: u64 = 1 << 21;
    pub const MULTI_QUEUE: u64 = 1 << 22;
    pub const LOG_ALL: u64 = 1 << 26;
    pub const ANY_LAYOUT: u64 = 1 << 27;
    pub const EVENT_INDEX: u64 = 1 << 29;
    pub const PROTOCOL_FEATURES: u64 = 1 << 30;
    pub const VERSION_1: u64 = 1 << 32;

    /// What is offered, as far as the library knows it. The control queue is the front-end's, which asks for the bits.
    pub const OFFERED: u64 = MTU
        | MERGEABLE_BUFFERS
        | CONTROL_QUEUE
        | CONTROL_RECEPTION
        | ANNOUNCE
        | MULTI_QUEUE
        | LOG_ALL
        | ANY_LAYOUT
        | EVENT_INDEX
        | PROTOCOL_FEATURES
        | VERSION_1;
}

/// `VHOST_USER_SET_MEM_TABLE`.
const SET_MEM_TABLE: u32 = 5;
/// What a guest's frames have room for until it says otherwise.
const ETHERNET_MTU: u16 = 1500;

/// A port: what the workers and the library's thread share of it.
#[derive(Debug)]
pub(super) struct Shared {
    /// Rings by number: of each pair of queues the one that is sent to, and the one that is received from.
    pub rings: Vec<Slot>,
    /// Whether a guest is there.
    up: AtomicBool,
    mtu: AtomicU16,
}

/// Where a worker finds a ring.
///
/// The worker holds it for a burst and does not wait for it; the library's thread waits for the worker.
#[derive(Debug, Default)]
pub(super) struct Slot {
    pub state: Mutex<State>,
    /// The [`Fault`] that the log does not know of yet; 0 for none.
    untold: AtomicU8,
    /// Whether the ring is broken.
    broken: AtomicBool,
}

/// A ring, while there is one, and what has gone through it and those before it.
#[derive(Debug, Default)]
pub(super) struct State {
    pub ring: Option<Ring>,
    pub packets: u64,
}

impl Slot {
    /// Makes known that the ring broke, which is told once.
    #[cold]
    pub(super) fn report(&self, fault: Fault) {
        if !self.broken.swap(true, Ordering::Relaxed) {
            self.untold.store(fault as u8, Ordering::Relaxed);
        }
    }

    /// Whether the ring is broken.
    pub(super) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    /// Whether a guest is there, and its rings are whole.
    pub(super) fn is_up(&self) -> bool {
        self.up.load(Ordering::Relaxed) && !self.rings.iter().any(Slot::is_broken)
    }
}

/// A vhost-user socket, served until it is dropped.
pub(in crate::dpdk) struct Guest {
    pub(in crate::dpdk) name: String,
    path: CString,
    pub(super) shared: Arc<Shared>,
    _eal: Eal,
}

impl Guest {
    /// Makes the socket, or begins to look for it, and serves it with so many pairs of queues.
    pub(super) fn open(eal: &Eal, path: &str, is_client: bool, queues: u16) -> Result<Self, Error> {
        let option = |problem| Error::Option { option: "socket", value: path.to_owned(), problem };
        let c_path = CString::new(path).map_err(|_| option("holds a NUL"))?;
        let failed = |step| {
            let device = path.to_owned();
            move |reason| Error::Device { device, step, reason }
        };
        let shared = Arc::new(Shared {
            rings: (0..2 * queues).map(|_| Slot::default()).collect(),
            up: AtomicBool::new(false),
            mtu: AtomicU16::new(ETHERNET_MTU),
        });
        log::forget();
        let flags = if is_client { u64::from(dpdk_sys::RTE_VHOST_USER_CLIENT) } else { 0 };
        // SAFETY: the environment runs, and the library copies the path.
        let ret = unsafe { dpdk_sys::rte_vhost_driver_register(c_path.as_ptr(), flags) };
        check(ret).map_err(failed("make its socket"))?;
        let guest = Self { name: path.to_owned(), path: c_path, shared: shared.clone(), _eal: eal.clone() };
        registry().ports.insert(guest.path.clone(), PortEntry { shared, published: None });
        let path = guest.path.as_ptr();
        let refused = if queues > 1 { !feature::OFFERED } else { !feature::OFFERED | feature::MULTI_QUEUE };
        // SAFETY: the socket is registered; the callbacks are there as long as the process.
        unsafe {
            check(dpdk_sys::rte_vhost_driver_disable_features(path, refused))
                .map_err(failed("choose what to offer guests"))?;
            check(dpdk_sys::rte_vhost_driver_callback_register(path, &raw const OPERATIONS.0))
                .map_err(failed("serve its socket"))?;
            check(dpdk_sys::rte_vhost_driver_start(path)).map_err(failed("serve its socket"))?;
        }
        Ok(guest)
    }

    /// Whether a guest is there, and its rings are whole.
    pub(in crate::dpdk) fn link_up(&self) -> bool {
        self.shared.is_up()
    }

    /// The MTU that the front-end told, or Ethernet's.
    pub(in crate::dpdk) fn mtu(&self) -> u16 {
        self.shared.mtu.load(Ordering::Relaxed)
    }

    /// Rings that broke since it was last asked, by their number.
    pub(in crate::dpdk) fn take_faults(&self) -> Vec<(usize, Fault)> {
        let fault = |slot: &Slot| Fault::from_number(slot.untold.swap(0, Ordering::Relaxed));
        self.shared
            .rings
            .iter()
            .map(fault)
            .enumerate()
            .filter_map(|(ring, fault)| Some((ring, fault?)))
            .collect()
    }

    /// Packets that came and went.
    pub(in crate::dpdk) fn packets(&self) -> (u64, u64) {
        let sum =
            |first| self.shared.rings.iter().skip(first).step_by(2).map(|slot| slot.state().packets).sum();
        (sum(1), sum(0))
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // SAFETY: the socket is registered. A guest that is there is taken from the workers by the callback.
        unsafe { dpdk_sys::rte_vhost_driver_unregister(self.path.as_ptr()) };
        let mut registry = registry();
        registry.ports.remove(&self.path);
        // The library says nothing of connections that it ends with their socket.
        registry.connections.retain(|_, connection| connection.path != self.path);
    }
}

fn check(ret: c_int) -> Result<(), Reason> {
    if ret < 0 { Err(Reason::returned(ret)) } else { Ok(()) }
}

/// All ports, and all front-ends. Whoever holds it calls nothing of the library's that waits for anything.
#[derive(Default)]
struct Registry {
    ports: HashMap<CString, PortEntry>,
    connections: HashMap<c_int, Connection>,
    /// Counts connections.
    age: u64,
}

struct PortEntry {
    shared: Arc<Shared>,
    /// Whose rings the workers have.
    published: Option<c_int>,
}

/// A front-end.
struct Connection {
    path: CString,
    age: u64,
    is_running: bool,
    /// Whether the library has the memory that it was told of last: it says nothing of a failure.
    has_memory: bool,
    /// By ring: whether the guest uses it.
    enabled: Vec<bool>,
}

fn registry() -> MutexGuard<'static, Registry> {
    static REGISTRY: LazyLock<Mutex<Registry>> = LazyLock::new(Mutex::default);
    REGISTRY.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Registry {
    /// A front-end has connected.
    fn connect(&mut self, device: c_int, path: CString) -> bool {
        let Some(port) = self.ports.get(&path) else { return false };
        let enabled = vec![false; port.shared.rings.len()];
        let (age, is_running, has_memory) = (self.age, false, false);
        self.age += 1;
        self.connections.insert(device, Connection { path, age, is_running, has_memory, enabled });
        true
    }

    /// Changes what is known of a connection, and then gives the workers what they may have of it.
    fn change(&mut self, device: c_int, change: impl FnOnce(&mut Connection)) {
        let Some(connection) = self.connections.get_mut(&device) else { return };
        change(connection);
        let path = connection.path.clone();
        self.publish(&path);
    }

    /// Gives the workers the rings of the front-end that came last of those that run.
    ///
    /// A restarted one can be there before the library has seen its predecessor's end.
    fn publish(&mut self, path: &CStr) {
        let Some(port) = self.ports.get_mut(path) else { return };
        let running = self.connections.iter().filter(|(_, at)| at.is_running && at.path.as_c_str() == path);
        let newest = running.max_by_key(|(_, connection)| connection.age);
        let device = newest.map(|(device, _)| *device);
        if let Some(before) = port.published.filter(|before| Some(*before) != device) {
            withdraw(&port.shared, before);
        }
        port.published = device;
        port.shared.up.store(device.is_some(), Ordering::Relaxed);
        let Some((device, connection)) = newest else { return };
        for (number, slot) in port.shared.rings.iter().enumerate() {
            let usable = connection.has_memory && connection.enabled[number];
            let mut state = slot.state();
            match (&state.ring, usable) {
                (None, true) => {
                    state.ring = ring(*device, number as u16);
                    slot.broken.store(false, Ordering::Relaxed);
                }
                (Some(_), false) => take_back(&mut state, *device, number),
                _ => {}
            }
        }
    }

    /// Takes the rings from the workers, if they have them of this front-end.
    fn withdraw(&mut self, device: c_int) {
        let Some(connection) = self.connections.get(&device) else { return };
        let port = self.ports.get(&connection.path).filter(|port| port.published == Some(device));
        if let Some(port) = port {
            withdraw(&port.shared, device);
        }
    }
}

fn withdraw(shared: &Shared, device: c_int) {
    for (number, slot) in shared.rings.iter().enumerate() {
        take_back(&mut slot.state(), device, number);
    }
}

/// Takes a ring from its worker, who is not in the midst of a burst, and tells the library how far it has come.
fn take_back(state: &mut State, device: c_int, number: usize) {
    if let Some(ring) = state.ring.take() {
        let (available, used) = ring.position();
        // SAFETY: sets two numbers of the device's, which is there: the library is speaking of it.
        unsafe { dpdk_sys::rte_vhost_set_vring_base(device, number as u16, available, used) };
    }
}

/// The ring as the library has it, if it has all of it.
fn ring(device: c_int, number: u16) -> Option<Ring> {
    // SAFETY: numbers and pointers may be zero.
    let mut vring: dpdk_sys::rte_vhost_vring = unsafe { std::mem::zeroed() };
    let (mut features, mut next_available, mut next_used) = (0, 0, 0);
    // SAFETY: the library writes what it knows of the device, which is there, to these.
    let known = unsafe {
        dpdk_sys::rte_vhost_get_negotiated_features(device, &raw mut features) == 0
            && dpdk_sys::rte_vhost_get_vhost_vring(device, number, &raw mut vring) == 0
            && dpdk_sys::rte_vhost_get_vring_base(device, number, &raw mut next_available, &raw mut next_used)
                == 0
    };
    // SAFETY: the ring is split, as packed ones are not offered, so these are the pointers that were written; any bytes
    // are pointers besides.
    let (descriptors, available, used) =
        unsafe { (vring.__bindgen_anon_1.desc, vring.__bindgen_anon_2.avail, vring.__bindgen_anon_3.used) };
    if !known || descriptors.is_null() || available.is_null() || used.is_null() {
        return None;
    }
    let agreed = Agreed {
        // 5.1.6.1: the number of buffers is part of the header where one of these is agreed.
        header: if features & (feature::VERSION_1 | feature::MERGEABLE_BUFFERS) == 0 { 10 } else { 12 },
        mergeable: features & feature::MERGEABLE_BUFFERS != 0,
        event_index: features & feature::EVENT_INDEX != 0,
    };
    let layout = Layout {
        descriptors: descriptors as u64,
        available: available as u64,
        used: used as u64,
        used_guest: vring.log_guest_addr,
        size: vring.size,
        next_available,
        next_used,
    };
    let memory = memory(device, features)?;
    let call = (vring.callfd >= 0).then(|| {
        // SAFETY: the library closes the file no sooner than it has withdrawn the ring, which the descriptor goes with.
        unsafe { BorrowedFd::borrow_raw(vring.callfd) }
    });
    if let Some(call) = call {
        // A worker waits for nobody. The file is an eventfd, and front-ends make theirs so.
        let flags = rustix::fs::fcntl_getfl(call).ok()?;
        rustix::fs::fcntl_setfl(call, flags | rustix::fs::OFlags::NONBLOCK).ok()?;
    }
    // SAFETY: as above.
    unsafe { Ring::new(&layout, agreed, memory, call) }
}

/// The guest's memory as the library has mapped it. It has: of a device without memory it has no rings.
fn memory(device: c_int, features: u64) -> Option<Memory> {
    let mut table: *mut dpdk_sys::rte_vhost_memory = ptr::null_mut();
    // SAFETY: the device is there and has memory; the library allocates a copy of what it knows of it.
    if unsafe { dpdk_sys::rte_vhost_get_mem_table(device, &raw mut table) } < 0 || table.is_null() {
        return None;
    }
    // SAFETY: the table has as many regions as it says.
    let known = unsafe { (*table).regions.as_slice((*table).nregions as usize) };
    let region = |region: &dpdk_sys::rte_vhost_mem_region| Region {
        guest: region.guest_phys_addr,
        host: region.host_user_addr,
        size: region.size,
    };
    let regions: ArrayVec<Region, REGIONS> = known.iter().map(region).take(REGIONS).collect();
    // SAFETY: it was allocated with malloc, for whoever asked.
    unsafe { dpdk_sys::free(table.cast()) };
    let mut log = None;
    if features & feature::LOG_ALL != 0 {
        let (mut start, mut size) = (0, 0);
        // SAFETY: the device is there; two numbers are written.
        unsafe { dpdk_sys::rte_vhost_get_log_base(device, &raw mut start, &raw mut size) };
        log = NonNull::new(start as *mut u8).map(|start| Log { start, size });
    }
    // SAFETY: the library unmaps none of it before it has withdrawn the rings, which the memory goes with.
    Some(unsafe { Memory::new(regions, log) })
}

/// What the library calls. It copies none of it.
struct Operations(dpdk_sys::rte_vhost_device_ops);

// SAFETY: functions only, and never changed.
unsafe impl Sync for Operations {}

static OPERATIONS: Operations = Operations(dpdk_sys::rte_vhost_device_ops {
    new_device: Some(new_device),
    destroy_device: Some(destroy_device),
    vring_state_changed: Some(vring_state_changed),
    features_changed: None,
    new_connection: Some(new_connection),
    destroy_connection: Some(destroy_connection),
    guest_notified: None,
    reserved: [ptr::null_mut(); 1],
});

static MESSAGES: dpdk_sys::rte_vhost_user_extern_ops = dpdk_sys::rte_vhost_user_extern_ops {
    pre_msg_handle: Some(before_message),
    post_msg_handle: Some(after_message),
};

unsafe extern "C" fn new_connection(device: c_int) -> c_int {
    let mut path = [0u8; 4096];
    // SAFETY: the device is there, and as many bytes can be written. The library copies the two functions.
    let ret = unsafe {
        dpdk_sys::rte_vhost_get_ifname(device, path.as_mut_ptr().cast(), path.len());
        dpdk_sys::rte_vhost_extern_callback_register(device, &raw const MESSAGES, ptr::null_mut())
    };
    let Ok(path) = CStr::from_bytes_until_nul(&path) else { return -1 };
    if ret == 0 && registry().connect(device, path.to_owned()) { 0 } else { -1 }
}

unsafe extern "C" fn destroy_connection(device: c_int) {
    registry().connections.remove(&device);
}

unsafe extern "C" fn new_device(device: c_int) -> c_int {
    let mut mtu = 0;
    // SAFETY: the device is there; a number is written, if the front-end told one.
    let told = unsafe { dpdk_sys::rte_vhost_get_mtu(device, &raw mut mtu) } == 0;
    let mut registry = registry();
    registry.change(device, |connection| connection.is_running = true);
    if told && let Some(port) = registry.ports.values().find(|port| port.published == Some(device)) {
        port.shared.mtu.store(mtu, Ordering::Relaxed);
    }
    0
}

unsafe extern "C" fn destroy_device(device: c_int) {
    let mut registry = registry();
    registry.withdraw(device);
    registry.change(device, |connection| connection.is_running = false);
}

unsafe extern "C" fn vring_state_changed(device: c_int, ring: u16, enable: c_int) -> c_int {
    registry().change(device, |connection| {
        if let Some(enabled) = connection.enabled.get_mut(usize::from(ring)) {
            *enabled = enable != 0;
        }
    });
    0
}

/// Before the library deals with a message.
unsafe extern "C" fn before_message(device: c_int, message: *mut c_void) -> dpdk_sys::rte_vhost_msg_result {
    let mut registry = registry();
    registry.withdraw(device);
    // SAFETY: a message begins with its number.
    let request = unsafe { message.cast::<u32>().read_unaligned() };
    if request == SET_MEM_TABLE
        && let Some(connection) = registry.connections.get_mut(&device)
    {
        connection.has_memory = false;
    }
    dpdk_sys::RTE_VHOST_MSG_RESULT_NOT_HANDLED
}

/// After it did, and had no reason to refuse it.
unsafe extern "C" fn after_message(device: c_int, message: *mut c_void) -> dpdk_sys::rte_vhost_msg_result {
    // SAFETY: as above.
    let request = unsafe { message.cast::<u32>().read_unaligned() };
    registry().change(device, |connection| connection.has_memory |= request == SET_MEM_TABLE);
    dpdk_sys::RTE_VHOST_MSG_RESULT_NOT_HANDLED
}
