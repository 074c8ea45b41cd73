//! Worker threads as DPDK knows them, and the time stamp counter.

use std::ffi::c_void;
use std::marker::PhantomData;
use std::ptr;

use super::error::Reason;
use super::{Eal, Error, log};

/// Pins the calling thread to `core` and makes it known to DPDK.
///
/// From then on the thread has a cache of free buffers for each pool, which makes taking and giving them
/// several times cheaper. At most 127 threads can be registered at a time.
pub fn pin_and_register(eal: &Eal, core: usize) -> Result<LcoreGuard, Error> {
    // core_affinity panics beyond the set's end.
    let known = core < rustix::thread::CpuSet::MAX_CPU;
    if !known || !core_affinity::set_for_current(core_affinity::CoreId { id: core }) {
        return Err(Error::Pin(core));
    }
    register(eal)
}

/// Makes the calling thread known to DPDK, as [`pin_and_register`] does, and leaves it on the cores it may use.
pub fn register(eal: &Eal) -> Result<LcoreGuard, Error> {
    eal.change_workers(|workers| {
        log::forget();
        // SAFETY: the environment runs.
        if lcore_id() != dpdk_sys::DPDK_SYS_LCORE_ANY || unsafe { dpdk_sys::rte_thread_register() } < 0 {
            return Err(Error::Register(Reason::last()));
        }
        *workers += 1;
        Ok(LcoreGuard { eal: eal.clone(), this_thread: PhantomData })
    })
}

/// A registered worker thread; dropping it gives the thread's cached buffers back and ends the registration.
///
/// A pinned thread stays pinned.
pub struct LcoreGuard {
    eal: Eal,
    /// It belongs to the thread that it was made on.
    this_thread: PhantomData<*const ()>,
}

impl Drop for LcoreGuard {
    fn drop(&mut self) {
        let lcore = lcore_id();
        self.eal.change_workers(|workers| {
            // SAFETY: the pools walked are live while the walk holds their list. The caches are this
            // thread's alone, and it uses none of them meanwhile.
            unsafe {
                dpdk_sys::rte_mempool_walk(Some(flush_cache), ptr::from_ref(&lcore).cast_mut().cast());
                dpdk_sys::rte_thread_unregister();
            }
            *workers -= 1;
        });
    }
}

unsafe extern "C" fn flush_cache(pool: *mut dpdk_sys::rte_mempool, lcore: *mut c_void) {
    // SAFETY: called by the walk above, with its argument and on its thread.
    unsafe {
        let cache = dpdk_sys::rte_mempool_default_cache(pool, *lcore.cast::<u32>());
        if !cache.is_null() {
            dpdk_sys::rte_mempool_cache_flush(cache, pool);
        }
    }
}

/// The cores that the calling thread may use.
pub fn usable_cores() -> Vec<usize> {
    match rustix::thread::sched_getaffinity(None) {
        Ok(set) => (0..rustix::thread::CpuSet::MAX_CPU).filter(|&core| set.is_set(core)).collect(),
        Err(_) => vec![0],
    }
}

/// Keeps the calling thread, and those it starts from now on, to `cores`.
pub fn keep_to(cores: &[usize]) -> std::io::Result<()> {
    let mut set = rustix::thread::CpuSet::new();
    cores.iter().filter(|core| **core < rustix::thread::CpuSet::MAX_CPU).for_each(|core| set.set(*core));
    Ok(rustix::thread::sched_setaffinity(None, &set)?)
}

fn lcore_id() -> u32 {
    // SAFETY: reads a thread-local variable.
    unsafe { dpdk_sys::rte_lcore_id() }
}

/// The time stamp counter, in cycles of [`tsc_hz`]. Neither it nor what stands around it waits for the other.
#[inline]
pub fn tsc() -> u64 {
    #[cfg(target_arch = "x86_64")]
    {
        // SAFETY: every x86-64 processor has the instruction.
        unsafe { std::arch::x86_64::_rdtsc() }
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        // SAFETY: reads a counter.
        unsafe { dpdk_sys::rte_rdtsc() }
    }
}

/// Cycles a second of [`tsc`], as measured or asked of the processor when the environment started.
pub fn tsc_hz(_: &Eal) -> u64 {
    // SAFETY: reads a variable that was set when the environment started.
    unsafe { dpdk_sys::rte_get_tsc_hz() }
}
