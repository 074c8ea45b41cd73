//! DPDK's environment: memory, logs and the devices of the process.

use std::collections::HashSet;
use std::ffi::{CStr, CString, c_char};
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;

use super::error::Reason;
use super::{Error, Hugepages, log, usable_cores};

/// How the environment is started.
#[derive(Clone, Debug)]
pub struct EalOptions {
    /// Name of the instance: letters, digits, `-`, `_` and `.`. Processes beside each other have different ones.
    pub name: String,
    /// Bytes for packet buffers and what the drivers need besides.
    pub memory_bytes: u64,
    /// Where that memory comes from.
    pub hugepages: Hugepages,
    /// PCI addresses that may be opened. Without one, DPDK does not touch PCI at all.
    pub pci: Vec<String>,
    /// Cores for DPDK's own threads (interrupts, the vhost protocol): those of the control thread, not of
    /// the workers. Empty: all that the calling thread may use.
    pub cores: Vec<usize>,
    /// What DPDK logs.
    pub log_level: LogLevel,
    /// Where DPDK's own folder `dpdk/NAME` is made, which has to be there; DPDK's choice if `None`.
    ///
    /// It is removed at the end. What a killed process leaves is empty, and used again by one of the same name.
    pub runtime_dir: Option<PathBuf>,
}

impl Default for EalOptions {
    fn default() -> Self {
        Self {
            name: "weft".into(),
            memory_bytes: 256 << 20,
            hugepages: Hugepages::Auto,
            pci: Vec::new(),
            cores: Vec::new(),
            log_level: LogLevel::default(),
            runtime_dir: None,
        }
    }
}

/// The least urgent messages of DPDK that are logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogLevel {
    /// Errors only.
    Error,
    /// What somebody may have to look at.
    #[default]
    Warning,
    /// Every port that comes and goes, and more.
    Info,
    /// Everything.
    Debug,
}

/// The running environment. Copies are handles of the same one.
///
/// It is cleaned up when the last handle, pool, port, queue and worker guard is gone. Should packet
/// buffers still be out then, it is left as it is: they stay valid until the process ends.
#[derive(Clone)]
pub struct Eal {
    inner: Arc<Inner>,
}

struct Inner {
    hugepages: bool,
    virtual_addresses: bool,
    pools: Mutex<Pools>,
    devices: Mutex<HashSet<String>>,
    main: Option<(mpsc::Sender<End>, JoinHandle<()>)>,
}

/// What decides when a pool's memory can be given back.
#[derive(Default)]
struct Pools {
    /// Threads that have buffer caches of their own.
    workers: usize,
    /// Pools without an owner, perhaps with buffers still out.
    retired: Vec<RetiredPool>,
}

struct RetiredPool(NonNull<dpdk_sys::rte_mempool>);

// SAFETY: a mempool's functions may be called on any thread.
unsafe impl Send for RetiredPool {}

enum End {
    Cleanup,
    Leave,
}

impl Eal {
    /// Starts the environment, once in a process.
    ///
    /// It gets a thread of its own, which becomes DPDK's main thread and sleeps: the calling thread's
    /// affinity stays as it is, and it needs no privilege.
    pub fn init(options: &EalOptions) -> Result<Self, Error> {
        static STARTED: AtomicBool = AtomicBool::new(false);

        let pci_devices = Path::new("/sys/bus/pci/devices");
        let hugepages = options.hugepages.decide(options.memory_bytes)?;
        if let Some(absent) = options.pci.iter().find(|address| !pci_devices.join(address).exists()) {
            return Err(Error::NoPci(absent.clone()));
        }
        let cores = if options.cores.is_empty() { usable_cores() } else { options.cores.clone() };
        let arguments = arguments(options, hugepages, &cores)?;
        if STARTED.swap(true, Ordering::SeqCst) {
            return Err(Error::AlreadyStarted);
        }
        if let Some(folder) = &options.runtime_dir {
            name_runtime_dir(folder)?;
        }
        let (started, start) = mpsc::channel();
        let (end, ended) = mpsc::channel();
        let own_place = options.runtime_dir.is_some();
        let thread = std::thread::Builder::new()
            .name("weft-eal".into())
            .spawn(move || main_thread(arguments, own_place, &started, &ended))
            .map_err(Error::Thread)?;
        match start.recv() {
            Ok(Ok(())) => {}
            Ok(Err(reason)) => return Err(Error::Start(reason)),
            Err(_) => return Err(Error::Start(Reason::last())),
        }
        let inner = Inner {
            hugepages,
            virtual_addresses: options.pci.is_empty(),
            pools: Mutex::default(),
            devices: Mutex::default(),
            main: Some((end, thread)),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Whether the packet memory lies in hugepages.
    pub fn hugepages_used(&self) -> bool {
        self.inner.hugepages
    }

    /// Whether all devices are software that knows virtual addresses: there is no PCI.
    pub(super) fn virtual_addresses(&self) -> bool {
        self.inner.virtual_addresses
    }

    /// DPDK's version, as in `DPDK 22.11.4`.
    pub fn version() -> String {
        // SAFETY: returns a string that lives as long as the library.
        unsafe { CStr::from_ptr(dpdk_sys::rte_version()) }.to_string_lossy().into_owned()
    }

    /// The devices that ports are open on; whoever adds or removes a device holds it locked meanwhile.
    pub(super) fn devices(&self) -> MutexGuard<'_, HashSet<String>> {
        self.inner.devices.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does what makes or ends a worker's buffer caches.
    pub(super) fn change_workers<R>(&self, change: impl FnOnce(&mut usize) -> R) -> R {
        let mut pools = self.inner.pools();
        let result = change(&mut pools.workers);
        pools.free_idle();
        result
    }

    /// Takes a pool whose owner is gone, to free it when its buffers are back.
    pub(super) fn retire(&self, pool: NonNull<dpdk_sys::rte_mempool>) {
        let mut pools = self.inner.pools();
        pools.retired.push(RetiredPool(pool));
        pools.free_idle();
    }
}

impl Inner {
    fn pools(&self) -> MutexGuard<'_, Pools> {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pools {
    /// Frees the retired pools that have all their buffers back.
    ///
    /// Only where no worker has a cache: while one moves buffers between its cache and the pool they
    /// count twice, so the count of those that are out could be too low.
    fn free_idle(&mut self) {
        if self.workers > 0 {
            return;
        }
        self.retired.retain(|RetiredPool(pool)| {
            // SAFETY: the pool is live until it is freed below, and leaves the list with that.
            let in_use = unsafe { dpdk_sys::rte_mempool_in_use_count(pool.as_ptr()) };
            if in_use == 0 {
                // SAFETY: no handle of the pool and no buffer is left that could refer to it.
                unsafe { dpdk_sys::rte_mempool_free(pool.as_ptr()) };
            }
            in_use > 0
        });
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let idle = {
            let mut pools = self.pools();
            pools.free_idle();
            pools.retired.is_empty()
        };
        let Some((end, thread)) = self.main.take() else { return };
        if idle {
            if end.send(End::Cleanup).is_ok() {
                let _ = thread.join();
            }
        } else {
            tracing::warn!("packet buffers are still out: DPDK's memory is kept until the process ends");
            let _ = end.send(End::Leave);
        }
    }
}

/// What DPDK's main thread does: start, wait, clean up.
fn main_thread(
    arguments: Vec<CString>,
    own_place: bool,
    started: &mpsc::Sender<Result<(), Reason>>,
    ended: &mpsc::Receiver<End>,
) {
    log::capture();
    let mut argv: Vec<*mut c_char> = arguments.iter().map(|argument| argument.as_ptr().cast_mut()).collect();
    argv.push(std::ptr::null_mut());
    let argc = i32::try_from(arguments.len()).unwrap_or(i32::MAX);
    // SAFETY: argv holds argc strings and a null; DPDK copies what it keeps and permutes the rest.
    // This is the process's one call, see `STARTED`.
    if unsafe { dpdk_sys::rte_eal_init(argc, argv.as_mut_ptr()) } < 0 {
        let _ = started.send(Err(Reason::last()));
        return;
    }
    // SAFETY: the environment runs; the string lives as long as the library.
    let directory = unsafe { CStr::from_ptr(dpdk_sys::rte_eal_get_runtime_dir()) };
    let directory = PathBuf::from(directory.to_string_lossy().into_owned());
    let _ = started.send(Ok(()));
    if matches!(ended.recv(), Ok(End::Cleanup)) {
        // SAFETY: nothing is left that uses the environment: all that does holds an `Eal`.
        unsafe { dpdk_sys::rte_eal_cleanup() };
        // Only if empty, which it is: nothing is shared with other processes.
        let _ = std::fs::remove_dir(&directory);
        if own_place {
            let _ = directory.parent().map(std::fs::remove_dir);
        }
    }
}

/// Tells DPDK where to make its folder: by the variable that systemd sets for its services, and in no other way.
fn name_runtime_dir(folder: &Path) -> Result<(), Error> {
    // Of the threads that there are only this one could start others, so what is counted stays true.
    let alone = std::fs::read_dir("/proc/self/task").is_ok_and(|threads| threads.count() == 1);
    if !alone {
        return Err(Error::Threads);
    }
    // SAFETY: no other thread is there to read or write the environment meanwhile.
    unsafe { std::env::set_var("RUNTIME_DIRECTORY", folder) };
    Ok(())
}

/// The command line that says all of this to DPDK.
fn arguments(options: &EalOptions, hugepages: bool, cores: &[usize]) -> Result<Vec<CString>, Error> {
    let fit = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if options.name.is_empty() || options.name.starts_with('.') || !options.name.chars().all(fit) {
        let problem = "an instance's name is made of letters, digits, '-', '_' and '.'";
        return Err(Error::Option { option: "name", value: options.name.clone(), problem });
    }
    let cores: Vec<String> = cores.iter().map(usize::to_string).collect();
    let mut arguments = vec![
        "weft".to_owned(),
        format!("--file-prefix={}", options.name),
        // One logical core, the sleeping main thread's, which may float over all of `cores`.
        format!("--lcores=0@({})", cores.join(",")),
        format!("-m{}", options.memory_bytes.div_ceil(1 << 20)),
        "--no-telemetry".to_owned(),
        // A vhost-user peer takes at most eight regions of memory: one file is one region.
        "--single-file-segments".to_owned(),
    ];
    // Either way no file is shared with other processes or left behind.
    if hugepages {
        arguments.push("--in-memory".to_owned());
    } else {
        arguments.extend(["--no-huge", "--no-shconf"].map(str::to_owned));
    }
    if options.pci.is_empty() {
        // Physical addresses need privilege, and only PCI could need them.
        arguments.extend(["--no-pci", "--iova-mode=va"].map(str::to_owned));
    }
    for address in &options.pci {
        arguments.extend(["-a".to_owned(), address.clone()]);
    }
    arguments.push(format!("--log-level={}", options.log_level.name()));
    if options.log_level == LogLevel::Debug {
        arguments.push("--log-level=*:debug".to_owned());
    }
    arguments
        .into_iter()
        .map(|argument| {
            CString::new(argument).map_err(|error| Error::Option {
                option: "pci",
                value: String::from_utf8_lossy(&error.into_vec()).into_owned(),
                problem: "holds a NUL",
            })
        })
        .collect()
}

impl LogLevel {
    fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }
}
