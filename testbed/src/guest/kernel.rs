//! The kernel and the first file system of the lab's machines, taken from Debian's cloud kernel package.
//!
//! Nothing is installed: the package is downloaded (`apt-get` verifies it), unpacked aside, and what is
//! needed is kept.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::initramfs::Archive;
use crate::error::Doing;
use crate::scope::is_root;
use crate::{Error, Result};

/// What a machine boots.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// The kernel itself.
    pub image: PathBuf,
    /// Busybox, the virtio modules and our `init`.
    pub initramfs: PathBuf,
}

impl Kernel {
    /// From the cache, filled on first use: `target/lab/`, or `$WEFT_LAB_CACHE`. `$WEFT_LAB_KERNEL_DEB`
    /// names a package to take in place of the one from Debian's archive.
    pub fn cached() -> Result<Self> {
        let cache = cache_dir();
        fs::create_dir_all(&cache).doing(|| format!("making {}", cache.display()))?;
        // Two labs that start at once: the second waits for the first one's download.
        let lock_path = cache.join("kernel.lock");
        let lock = File::create(&lock_path).doing(|| format!("making {}", lock_path.display()))?;
        lock.lock().doing(|| format!("locking {}", lock_path.display()))?;
        let unpacked = cache.join("kernel");
        if !unpacked.exists() {
            unpack(&cache, &unpacked)?;
        }
        let image = file_in(&unpacked.join("boot"), "vmlinuz-")?;
        let initramfs = cache.join("initramfs.cpio");
        write_if_new(&initramfs, &build_initramfs(&unpacked)?)?;
        Ok(Self { image, initramfs })
    }
}

/// The modules a virtio network device takes, in the order they depend on each other (linux 6.1 and later).
const MODULES: [&str; 8] = [
    "drivers/virtio/virtio_ring",
    "drivers/virtio/virtio",
    "drivers/virtio/virtio_pci_modern_dev",
    "drivers/virtio/virtio_pci_legacy_dev",
    "drivers/virtio/virtio_pci",
    "net/core/failover",
    "drivers/net/net_failover",
    "drivers/net/virtio_net",
];

fn build_initramfs(unpacked: &Path) -> Result<Vec<u8>> {
    let read = |path: &Path| fs::read(path).doing(|| format!("reading {}", path.display()));
    let modules = file_in(&unpacked.join("lib/modules"), "")?.join("kernel");
    let mut archive = Archive::default();
    ["bin", "dev", "proc", "sys", "tmp", "modules"].iter().for_each(|name| archive.directory(name));
    archive.device("dev/console", 5, 1);
    archive.file("bin/busybox", &read(Path::new("/bin/busybox"))?);
    archive.file("init", include_bytes!("init.sh"));
    let mut order = String::new();
    for module in MODULES {
        let name = module.rsplit('/').next().unwrap_or(module);
        archive.file(&format!("modules/{name}.ko"), &read(&modules.join(format!("{module}.ko")))?);
        order += &format!("{name}\n");
    }
    archive.file("modules/order", order.as_bytes());
    Ok(archive.finish())
}

/// Downloads and unpacks the package, so that `to` appears whole or not at all.
fn unpack(cache: &Path, to: &Path) -> Result<()> {
    let scratch = cache.join("kernel.new");
    drop(fs::remove_dir_all(&scratch));
    fs::create_dir_all(scratch.join("x")).doing(|| format!("making {}", scratch.display()))?;
    let package = match env::var_os("WEFT_LAB_KERNEL_DEB") {
        Some(path) => PathBuf::from(path),
        None => {
            // The lists of packages may be missing, or older than the archive: root brings them up to date.
            download(&scratch).or_else(|error| {
                if !is_root() {
                    return Err(error);
                }
                run_in(&scratch, "apt-get", &["--quiet", "update"])?;
                download(&scratch)
            })?;
            file_in(&scratch, "linux-image-")?
        }
    };
    run_in(&scratch, "dpkg-deb", &["--extract", &package.to_string_lossy(), "x"])?;
    fs::rename(scratch.join("x"), to).doing(|| format!("making {}", to.display()))?;
    drop(fs::remove_dir_all(&scratch));
    Ok(())
}

fn download(to: &Path) -> Result<String> {
    run_in(to, "apt-get", &["--quiet", "download", &package_name()?])
}

/// The package that `linux-image-cloud-amd64`, itself empty, depends on.
fn package_name() -> Result<String> {
    let depends = run_in(Path::new("/"), "apt-cache", &["depends", "linux-image-cloud-amd64"])?;
    let name = depends.lines().find_map(|line| line.trim().strip_prefix("Depends: ")).map(str::to_owned);
    name.ok_or_else(|| Error::failed("apt knows no linux-image-cloud-amd64 (apt-get update?)", depends))
}

fn run_in(dir: &Path, program: &str, args: &[&str]) -> Result<String> {
    let what = || format!("{program} {}", args.join(" "));
    let output = Command::new(program).args(args).current_dir(dir).output().doing(what)?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(Error::failed(what(), String::from_utf8_lossy(&output.stderr)))
    }
}

/// The one entry of the directory whose name begins so.
fn file_in(dir: &Path, prefix: &str) -> Result<PathBuf> {
    let entries = fs::read_dir(dir).doing(|| format!("reading {}", dir.display()))?;
    let named =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix));
    let found = entries.filter_map(|entry| Some(entry.ok()?.path())).find(named);
    found.ok_or_else(|| Error::failed(format!("no {prefix}* in {}", dir.display()), ""))
}

/// Replaces the file by a rename: a machine that boots from the old one keeps it.
fn write_if_new(path: &Path, bytes: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    let fresh = path.with_extension("new");
    fs::write(&fresh, bytes)
        .and_then(|()| fs::rename(&fresh, path))
        .doing(|| format!("writing {}", path.display()))
}

/// `target/lab` beside the running program, if that was built by cargo; the user's cache otherwise.
fn cache_dir() -> PathBuf {
    if let Some(dir) = env::var_os("WEFT_LAB_CACHE") {
        return dir.into();
    }
    let exe = env::current_exe().unwrap_or_default();
    if let Some(target) = exe.ancestors().find(|dir| dir.join("CACHEDIR.TAG").exists()) {
        return target.join("lab");
    }
    let home = || PathBuf::from(env::var_os("HOME").unwrap_or_else(|| "/tmp".into())).join(".cache");
    env::var_os("XDG_CACHE_HOME").map_or_else(home, PathBuf::from).join("weft-lab")
}
