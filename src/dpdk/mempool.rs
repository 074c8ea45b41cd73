//! Pools of packet buffers.

use std::ffi::CString;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use dpdk_sys::{RTE_PKTMBUF_HEADROOM, rte_mempool};

use super::error::Reason;
use super::{Burst, Eal, Error, Mbuf, log};

/// A pool of packet buffers of one size. Copies are handles of the same pool.
///
/// Buffers carry no handle: they may outlive the last one, and stay valid. The pool's memory is given
/// back once all its buffers are, see [`Eal`].
#[derive(Clone)]
pub struct Mempool {
    inner: Arc<Inner>,
}

struct Inner {
    pool: NonNull<rte_mempool>,
    count: u32,
    eal: Eal,
}

// SAFETY: a mempool's functions may be called on any thread, at the same time.
unsafe impl Send for Inner {}
// SAFETY: as above.
unsafe impl Sync for Inner {}

impl Mempool {
    /// Makes a pool of `count` buffers that hold packets of up to `data_room` bytes, after 128 bytes of headroom.
    ///
    /// `socket` is the NUMA node of its memory; `None` leaves it to DPDK. Each registered worker keeps up to
    /// 384 free buffers to itself, so a pool wants more than what the queues hold by that many for each worker.
    pub fn new(
        eal: &Eal,
        name: &str,
        count: u32,
        data_room: usize,
        socket: Option<u32>,
    ) -> Result<Self, Error> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);

        let refused = |reason| Error::Pool { pool: name.to_owned(), count, room: data_room, reason };
        let size = data_room + RTE_PKTMBUF_HEADROOM as usize;
        let Ok(size) = u16::try_from(size) else {
            let problem = "a buffer holds 65,407 bytes at most";
            return Err(Error::Option { option: "data_room", value: data_room.to_string(), problem });
        };
        // A retired pool keeps its name, which has to be short as well: a number makes it unique.
        let short: String = name.chars().filter(char::is_ascii_alphanumeric).take(12).collect();
        let unique = format!("{short}_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let unique = CString::new(unique).unwrap_or_default();
        let socket = socket.map_or(dpdk_sys::SOCKET_ID_ANY, u32::cast_signed);
        let cache = (count / 8).min(256);
        log::forget();
        // Devices that know virtual addresses do not mind a buffer that crosses a page. Without this, and without
        // hugepages, each buffer gets a page of its own; net_af_xdp, which takes a pool to be packed, then
        // hands the kernel only the first part of it and loses the other buffers.
        let flags = if eal.virtual_addresses() { dpdk_sys::DPDK_SYS_MEMPOOL_NO_IOVA_CONTIG } else { 0 };
        // SAFETY: the environment runs, and DPDK copies the name.
        let pool = unsafe {
            dpdk_sys::dpdk_sys_pktmbuf_pool_create(unique.as_ptr(), count, cache, size, socket, flags)
        };
        let pool = NonNull::new(pool).ok_or_else(|| refused(Reason::last()))?;
        Ok(Self { inner: Arc::new(Inner { pool, count, eal: eal.clone() }) })
    }

    /// An empty buffer, or `None` when all are in use.
    #[inline]
    pub fn alloc(&self) -> Option<Mbuf> {
        // SAFETY: the pool is live as long as its handle is.
        let mbuf = NonNull::new(unsafe { dpdk_sys::rte_pktmbuf_alloc(self.as_ptr()) })?;
        // SAFETY: freshly allocated.
        Some(unsafe { Mbuf::from_raw(mbuf) })
    }

    /// Appends `n` empty buffers to `burst`: all, or none when there are not as many or the burst lacks room.
    #[inline]
    #[must_use]
    pub fn alloc_bulk(&self, burst: &mut Burst, n: usize) -> bool {
        if n > burst.remaining_capacity() {
            return false;
        }
        let len = burst.len();
        // SAFETY: the burst has room for `n` pointers after its `len`, and a buffer is one pointer.
        let ret = unsafe {
            let free = burst.as_mut_ptr().add(len);
            dpdk_sys::rte_pktmbuf_alloc_bulk(self.as_ptr(), free.cast(), n as u32)
        };
        if ret == 0 {
            // SAFETY: all `n` were filled in.
            unsafe { burst.set_len(len + n) };
        }
        ret == 0
    }

    /// Buffers that the pool was made with.
    pub fn count(&self) -> u32 {
        self.inner.count
    }

    /// Buffers that can be had. Exact only while no other thread takes or gives any.
    pub fn available(&self) -> u32 {
        // SAFETY: the pool is live as long as its handle is.
        unsafe { dpdk_sys::rte_mempool_avail_count(self.as_ptr()) }
    }

    /// Buffers that are out: in the hands of a thread or a device. As exact as [`available`](Self::available).
    pub fn in_use(&self) -> u32 {
        // SAFETY: the pool is live as long as its handle is.
        unsafe { dpdk_sys::rte_mempool_in_use_count(self.as_ptr()) }
    }

    /// For a device that takes its buffers from the pool; it has to keep the handle.
    pub(super) fn as_ptr(&self) -> *mut rte_mempool {
        self.inner.pool.as_ptr()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.eal.retire(self.pool);
    }
}
