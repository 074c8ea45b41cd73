//! Network interfaces on PCI, and what DPDK needs to drive them: VFIO and an IOMMU.

use super::probe::cpu_text;
use super::{Case, Finding};

const DEVICES: &str = "/sys/bus/pci/devices";
/// The class of network controllers (PCI code and ID assignment specification, 1.3).
const NETWORK_CLASS: &str = "0x02";
/// Drivers beside which DPDK drives a device: it stays bound to them.
const SHARED_DRIVERS: [&str; 2] = ["mlx4_core", "mlx5_core"];
/// Drivers that give DPDK a device without an IOMMU.
const UIO_DRIVERS: [&str; 2] = ["uio_pci_generic", "igb_uio"];

pub(super) fn check(case: &Case) -> Vec<Finding> {
    let wanted = case.wants().pci_devices;
    let by_vfio: Vec<&String> = wanted.iter().filter(|address| needs_vfio(case, address)).collect();
    let mut findings = vec![interfaces(case)];
    findings.extend(iommu(case, !by_vfio.is_empty()));
    findings.extend(vfio(case, !by_vfio.is_empty()));
    for address in &wanted {
        findings.push(device(case, address));
        findings.extend(distance(case, address));
    }
    findings
}

fn driver(case: &Case, address: &str) -> Option<String> {
    case.probe.link(format!("{DEVICES}/{address}/driver"))
}

/// Whether a device is there that DPDK gets through VFIO.
fn needs_vfio(case: &Case, address: &str) -> bool {
    if !case.probe.exists(format!("{DEVICES}/{address}")) {
        return false;
    }
    let driver = driver(case, address).unwrap_or_default();
    !SHARED_DRIVERS.contains(&driver.as_str()) && !UIO_DRIVERS.contains(&driver.as_str())
}

/// All network interfaces on PCI.
fn interfaces(case: &Case) -> Finding {
    let is_network = |address: &String| {
        let class = case.probe.text(format!("{DEVICES}/{address}/class"));
        class.is_some_and(|class| class.starts_with(NETWORK_CLASS))
    };
    let describe = |address: &String| {
        let id = |file: &str| {
            let id = case.probe.text(format!("{DEVICES}/{address}/{file}")).unwrap_or_default();
            id.trim_start_matches("0x").to_owned()
        };
        let driver = driver(case, address).unwrap_or_else(|| "no driver".into());
        let names = case.probe.names(format!("{DEVICES}/{address}/net"));
        let names = if names.is_empty() { String::new() } else { format!(" ({})", names.join(", ")) };
        format!("{address} {}:{} {driver}{names}", id("vendor"), id("device"))
    };
    let found: Vec<String> =
        case.probe.names(DEVICES).iter().filter(|address| is_network(address)).map(describe).collect();
    let seen = if found.is_empty() { "none on PCI".into() } else { found.join("; ") };
    Finding::note("interfaces", seen)
}

fn iommu(case: &Case, needed: bool) -> Option<Finding> {
    let groups = case.probe.names("/sys/kernel/iommu_groups").len();
    let without = case.probe.text("/sys/module/vfio/parameters/enable_unsafe_noiommu_mode");
    if groups > 0 {
        return Some(Finding::ok("iommu", format!("{groups} groups")));
    }
    if !needed {
        return Some(Finding::note("iommu", "none; only devices on PCI need one"));
    }
    if without.is_some_and(|mode| mode == "Y") {
        let seen = "none; VFIO runs without, so a device may write to all of the memory";
        return Some(Finding::warning("iommu", seen, "boot with intel_iommu=on iommu=pt (AMD: iommu=pt)"));
    }
    Some(Finding::error(
        "iommu",
        "none: the kernel gives no device to a process without one",
        "boot with intel_iommu=on iommu=pt (AMD: iommu=pt); \
         or, unsafe: echo 1 > /sys/module/vfio/parameters/enable_unsafe_noiommu_mode",
    ))
}

fn vfio(case: &Case, needed: bool) -> Option<Finding> {
    let loaded = case.probe.exists("/sys/module/vfio_pci");
    match (loaded, needed) {
        (false, false) => Some(Finding::note("vfio", "vfio-pci is not loaded; only devices on PCI need it")),
        (false, true) => Some(Finding::error("vfio", "vfio-pci is not loaded", "modprobe vfio-pci")),
        (true, true) if !case.probe.may_write("/dev/vfio/vfio") => {
            Some(Finding::error("vfio", "/dev/vfio/vfio may not be opened", "chmod 666 /dev/vfio/vfio"))
        }
        (true, _) => Some(Finding::ok("vfio", "vfio-pci is loaded")),
    }
}

/// Whether DPDK can have a device that the document names.
fn device(case: &Case, address: &str) -> Finding {
    if !case.probe.exists(format!("{DEVICES}/{address}")) {
        let seen = format!("there is no {address} on PCI");
        return Finding::error("device", seen, "lspci -D | grep -i net   # shows those that are there");
    }
    let bind = format!("dpdk-devbind.py --bind=vfio-pci {address}");
    match driver(case, address).as_deref() {
        None => Finding::error("device", format!("{address} has no driver"), bind),
        Some("vfio-pci") => group(case, address),
        Some(driver) if SHARED_DRIVERS.contains(&driver) || UIO_DRIVERS.contains(&driver) => {
            Finding::ok("device", format!("{address} is bound to {driver}"))
        }
        Some(driver) => {
            let names = case.probe.names(format!("{DEVICES}/{address}/net"));
            let lost =
                names.first().map(|name| format!(" as {name}, which goes away when it is bound to vfio-pci"));
            let seen = format!("{address} is the kernel's (driver {driver}){}", lost.unwrap_or_default());
            Finding::error("device", seen, bind)
        }
    }
}

/// Whether the device's IOMMU group may be opened.
fn group(case: &Case, address: &str) -> Finding {
    let Some(group) = case.probe.link(format!("{DEVICES}/{address}/iommu_group")) else {
        // Without an IOMMU there are groups of another name, which are root's; another finding tells of it.
        return Finding::ok("device", format!("{address} is bound to vfio-pci"));
    };
    let node = format!("/dev/vfio/{group}");
    if case.probe.may_write(&node) {
        return Finding::ok("device", format!("{address} is bound to vfio-pci, group {group}"));
    }
    let mend =
        if case.probe.exists(&node) { format!("chown $USER {node}") } else { "modprobe vfio-pci".into() };
    Finding::error("device", format!("{address} is in group {group}, and {node} may not be opened"), mend)
}

/// Whether the workers are on the device's NUMA node.
fn distance(case: &Case, address: &str) -> Option<Finding> {
    let node: u32 = case.probe.text(format!("{DEVICES}/{address}/numa_node"))?.parse().ok()?;
    let near = case.probe.cpus(format!("/sys/devices/system/node/node{node}/cpulist"));
    let far: Vec<u32> = case.wants().cores.into_iter().filter(|core| !near.contains(core)).collect();
    if far.is_empty() || near.is_empty() {
        return None;
    }
    Some(Finding::warning(
        "numa",
        format!("{address} is on node {node}, and the workers on {} are not", cpu_text(&far)),
        format!("choose cores of {} under `workers: {{ cores: … }}`", cpu_text(&near)),
    ))
}

#[cfg(test)]
mod tests {
    use super::super::fake::{Fake, NIC, case, only};
    use super::super::{Level, Wants};
    use super::*;

    fn found(fake: &Fake, name: &str) -> Finding {
        only(check(&case(fake, Some(fake.wants()))), name)
    }

    #[test]
    fn a_device_that_is_the_kernels_has_to_be_bound() {
        let fake = Fake::healthy()
            .link(format!("{DEVICES}/{NIC}/driver"), "../../../bus/pci/drivers/ice")
            .file(format!("{DEVICES}/{NIC}/net/ens1/mtu"), "1500\n");
        let finding = found(&fake, "device");
        assert_eq!(finding.level, Level::Error);
        assert!(
            finding.seen.starts_with("0000:3b:00.0 is the kernel's (driver ice) as ens1"),
            "{}",
            finding.seen
        );
        assert_eq!(finding.mend.unwrap(), "dpdk-devbind.py --bind=vfio-pci 0000:3b:00.0");
        assert_eq!(found(&fake, "interfaces").seen, "0000:3b:00.0 8086:1592 ice (ens1)");
    }

    #[test]
    fn a_device_that_is_not_there_is_an_error_and_the_only_one() {
        let fake = Fake::healthy().without("/sys/module/vfio_pci");
        let wants = Wants { pci_devices: vec!["0000:99:00.0".into()], ..fake.wants() };
        let findings = check(&case(&fake, Some(wants)));
        assert_eq!(findings.iter().filter(|finding| finding.level == Level::Error).count(), 1);
        let finding = only(findings, "device");
        assert_eq!((finding.level, finding.seen.as_str()), (Level::Error, "there is no 0000:99:00.0 on PCI"));
    }

    #[test]
    fn a_device_that_is_shared_with_the_kernel_needs_no_vfio() {
        let fake = Fake::healthy()
            .without("/sys/module/vfio_pci")
            .without("/sys/kernel/iommu_groups")
            .link(format!("{DEVICES}/{NIC}/driver"), "../../../bus/pci/drivers/mlx5_core");
        assert_eq!(found(&fake, "device").level, Level::Ok);
        assert_eq!(found(&fake, "vfio").level, Level::Note);
        assert_eq!(found(&fake, "iommu").level, Level::Note);
    }

    #[test]
    fn a_missing_vfio_is_an_error_where_a_device_needs_it() {
        let finding = found(&Fake::healthy().without("/sys/module/vfio_pci"), "vfio");
        assert_eq!((finding.level, finding.mend.as_deref()), (Level::Error, Some("modprobe vfio-pci")));
        let finding = found(&Fake::healthy().without("/dev/vfio/vfio"), "vfio");
        assert_eq!(
            (finding.level, finding.mend.as_deref()),
            (Level::Error, Some("chmod 666 /dev/vfio/vfio"))
        );
    }

    #[test]
    fn a_missing_iommu_is_an_error_unless_vfio_runs_without() {
        let fake = Fake::healthy().without("/sys/kernel/iommu_groups");
        assert_eq!(found(&fake, "iommu").level, Level::Error);
        let fake = fake.file("/sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "Y\n");
        assert_eq!(found(&fake, "iommu").level, Level::Warning);
    }

    #[test]
    fn a_group_that_may_not_be_opened_is_an_error() {
        let finding = found(&Fake::healthy().without("/dev/vfio/17"), "device");
        assert_eq!(finding.level, Level::Error);
        assert!(
            finding.seen.ends_with("in group 17, and /dev/vfio/17 may not be opened"),
            "{}",
            finding.seen
        );
    }

    #[test]
    fn workers_far_from_the_device_are_warned_of() {
        let fake = Fake::healthy()
            .file(format!("{DEVICES}/{NIC}/numa_node"), "1\n")
            .file("/sys/devices/system/node/node1/cpulist", "8-15\n");
        let finding = found(&fake, "numa");
        assert_eq!(finding.level, Level::Warning);
        assert_eq!(finding.mend.unwrap(), "choose cores of 8-15 under `workers: { cores: … }`");
    }
}
