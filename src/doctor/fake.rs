//! Machines for tests, made of files in a folder.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{Build, Case, Finding, Hugepages, Probe, Room, Wants};

/// The PCI address of the healthy machine's interface.
pub(super) const NIC: &str = "0000:3b:00.0";

/// A machine that is a folder.
pub(super) struct Fake {
    root: TempDir,
}

impl Fake {
    /// A machine without a file.
    pub(super) fn empty() -> Self {
        Self { root: tempfile::tempdir().unwrap() }
    }

    /// A machine that lacks nothing that [`wants`](Self::wants) wants.
    pub(super) fn healthy() -> Self {
        let nic = format!("/sys/bus/pci/devices/{NIC}");
        let flags = "avx avx2 bmi1 bmi2 f16c fma abm movbe constant_tsc nonstop_tsc";
        Self::empty()
            .file("/proc/cpuinfo", &format!("processor\t: 0\nmodel name\t: Fake 9000\nflags\t\t: {flags}\n"))
            .file("/proc/meminfo", "MemTotal: 8388608 kB\nMemAvailable: 4194304 kB\n")
            .file("/proc/self/mounts", "proc /proc proc rw 0 0\nhugetlbfs /dev/hugepages hugetlbfs rw 0 0\n")
            .file("/proc/self/status", "CapEff:\t000001ffffffffff\nCpus_allowed_list:\t0-3\n")
            .file("/proc/self/limits", "Max open files            4096   4096   files\nMax locked memory         unlimited   unlimited   bytes\n")
            .file("/sys/devices/system/cpu/online", "0-3\n")
            .file("/sys/devices/system/cpu/isolated", "2-3\n")
            .file("/sys/devices/system/cpu/nohz_full", "2-3\n")
            .file("/sys/devices/system/cpu/cpu2/cpufreq/scaling_governor", "performance\n")
            .file("/sys/devices/system/node/node0/cpulist", "0-3\n")
            .file("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "512\n")
            .file("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "512\n")
            .file("/sys/kernel/iommu_groups/17/type", "DMA-FQ\n")
            .dir("/sys/module/vfio_pci")
            .file("/dev/vfio/vfio", "")
            .file("/dev/vfio/17", "")
            .file("/dev/net/tun", "")
            .dir("/sys/class/net/eth0")
            .file(format!("{nic}/class"), "0x020000\n")
            .file(format!("{nic}/vendor"), "0x8086\n")
            .file(format!("{nic}/device"), "0x1592\n")
            .file(format!("{nic}/numa_node"), "0\n")
            .link(format!("{nic}/driver"), "../../../bus/pci/drivers/vfio-pci")
            .link(format!("{nic}/iommu_group"), "../../../kernel/iommu_groups/17")
            .file("/usr/lib/x86_64-linux-gnu/librte_eal.so.23", "")
            .file("/usr/lib/x86_64-linux-gnu/dpdk/pmds-23.0/librte_net_tap.so.23", "")
            .dir("/run")
            .dir("/srv")
    }

    /// With a file.
    pub(super) fn file(self, path: impl AsRef<Path>, text: &str) -> Self {
        let path = self.place(path.as_ref());
        fs::write(path, text).unwrap();
        self
    }

    /// With a folder.
    pub(super) fn dir(self, path: impl AsRef<Path>) -> Self {
        fs::create_dir_all(self.place(path.as_ref())).unwrap();
        self
    }

    /// With a symbolic link, in place of what was there.
    pub(super) fn link(self, path: impl AsRef<Path>, target: &str) -> Self {
        let path = self.place(path.as_ref());
        let _ = fs::remove_file(&path);
        std::os::unix::fs::symlink(target, path).unwrap();
        self
    }

    /// Without a file, or without a folder and all in it.
    pub(super) fn without(self, path: impl AsRef<Path>) -> Self {
        let path = self.place(path.as_ref());
        if path.is_dir() {
            fs::remove_dir_all(path).unwrap()
        } else {
            fs::remove_file(path).unwrap()
        }
        self
    }

    /// What looks at it.
    pub(super) fn probe(&self) -> Probe {
        Probe { root: self.root.path().into() }
    }

    /// One core, 512 MiB, a NIC, a tap and a guest's socket.
    pub(super) fn wants(&self) -> Wants {
        Wants {
            cores: vec![2],
            memory_bytes: 512 << 20,
            hugepages: Hugepages::Auto,
            pci_devices: vec![NIC.into()],
            vdevs: vec!["net_tap0,iface=db1".into()],
            too_little_memory: None,
            socket_paths: vec!["web1.sock".into()],
            guest_sockets: Vec::new(),
        }
    }

    /// Where a path of the machine is; the folders above it are made.
    fn place(&self, path: &Path) -> PathBuf {
        let path = self.probe().path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }
}

/// The switch of `hv-a` about to run on a machine.
pub(super) fn case(fake: &Fake, wants: Option<Wants>) -> Case {
    Case {
        probe: fake.probe(),
        build: Build { dpdk: Some(Room { devices: 32, sockets: 511 }), x86_64_v3: true },
        host: wants.is_some().then(|| "hv-a".into()),
        wants,
        runtime_dir: "/run/weft".into(),
    }
}

/// The one finding of a check, or its gravest.
pub(super) fn only(findings: Vec<Finding>, check: &str) -> Finding {
    let of_check = findings.into_iter().filter(|finding| finding.check == check);
    of_check.max_by_key(|finding| finding.level).unwrap_or_else(|| panic!("no finding on {check}"))
}
