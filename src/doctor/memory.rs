//! Hugepages, and memory at all.

use super::probe::size_text;
use super::{Case, Finding, Hugepages};

const SIZES: &str = "/sys/kernel/mm/hugepages";
const NODES: &str = "/sys/devices/system/node";

pub(super) fn check(case: &Case) -> Vec<Finding> {
    let pools = pools(case);
    let mut findings = vec![hugepages(case, &pools), mount(case)];
    if let Some((why, wanted)) = case.wants().too_little_memory {
        findings.push(Finding::error("buffers", why, format!("memory: {{ size: {wanted}MiB }}")));
    }
    findings.extend(available(case, &pools));
    findings.push(nodes(case));
    findings
}

/// The hugepages of one size.
struct Pool {
    page_bytes: u64,
    configured: u64,
    free: u64,
}

impl Pool {
    fn free_bytes(&self) -> u64 {
        self.page_bytes.saturating_mul(self.free)
    }
}

fn pools(case: &Case) -> Vec<Pool> {
    let pool = |name: String| {
        let kib: u64 = name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?;
        let count = |file: &str| case.probe.number(format!("{SIZES}/{name}/{file}")).unwrap_or(0);
        Some(Pool {
            page_bytes: kib.checked_mul(1024)?,
            configured: count("nr_hugepages"),
            free: count("free_hugepages"),
        })
    };
    let mut pools: Vec<Pool> = case.probe.names(SIZES).into_iter().filter_map(pool).collect();
    pools.sort_by_key(|pool| pool.page_bytes);
    pools
}

fn hugepages(case: &Case, pools: &[Pool]) -> Finding {
    let texts: Vec<String> = pools
        .iter()
        .map(|pool| {
            format!("{}: {} configured, {} free", size_text(pool.page_bytes), pool.configured, pool.free)
        })
        .collect();
    let seen = if texts.is_empty() { "the kernel has none".into() } else { texts.join("; ") };
    let wants = case.wants();
    let asked = case.wants.is_some();
    if wants.hugepages == Hugepages::Off {
        return Finding::note("hugepages", format!("{seen}; the document wants none"));
    }
    if enough(pools, wants.memory_bytes.max(1)) {
        return Finding::ok("hugepages", seen);
    }
    let pages = wants.memory_bytes.max(512 << 20).div_ceil(2 << 20);
    let in_use = pools
        .iter()
        .find(|pool| pool.page_bytes == 2 << 20)
        .map_or(0, |pool| pool.configured - pool.free.min(pool.configured));
    let mend = format!("sysctl -w vm.nr_hugepages={}", pages + in_use);
    let wanted = size_text(wants.memory_bytes);
    match wants.hugepages {
        Hugepages::Required => {
            Finding::error("hugepages", format!("{seen}; the document requires {wanted} of them"), mend)
        }
        _ if asked => {
            let seen = format!("{seen}; {wanted} are wanted, so it runs on small pages, which are slower");
            Finding::warning("hugepages", seen, mend)
        }
        _ => Finding::warning("hugepages", format!("{seen}; without them a switch is slower"), mend),
    }
}

/// Whether the free pages hold so many bytes. DPDK takes pages of several sizes where it must.
fn enough(pools: &[Pool], bytes: u64) -> bool {
    pools.iter().fold(0u64, |sum, pool| sum.saturating_add(pool.free_bytes())) >= bytes
}

/// A mount is not needed: the switch takes its hugepages from the kernel without a file.
fn mount(case: &Case) -> Finding {
    let mounts = case.probe.text("/proc/self/mounts").unwrap_or_default();
    let point = mounts.lines().find_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let point = fields.next()?;
        (fields.next()? == "hugetlbfs").then(|| point.to_owned())
    });
    match point {
        Some(point) => Finding::ok("hugetlbfs", format!("mounted at {point}")),
        None => {
            Finding::note("hugetlbfs", "not mounted; weft needs no mount, but QEMU guests on hugepages do")
        }
    }
}

/// Whether memory that is not of hugepages suffices, where it has to.
fn available(case: &Case, pools: &[Pool]) -> Option<Finding> {
    let wants = case.wants.as_ref()?;
    let in_hugepages = match wants.hugepages {
        Hugepages::Required => true,
        Hugepages::Auto => enough(pools, wants.memory_bytes),
        Hugepages::Off => false,
    };
    if in_hugepages {
        return None;
    }
    let bytes = |key: &str| {
        let text = case.probe.line("/proc/meminfo", key)?;
        text.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib.saturating_mul(1024))
    };
    let limit = case.probe.number("/sys/fs/cgroup/memory.max").unwrap_or(u64::MAX);
    let total = bytes("MemTotal:")?.min(limit);
    let free = bytes("MemAvailable:")?.min(limit);
    let seen = format!(
        "{} are wanted, {} of {} are available",
        size_text(wants.memory_bytes),
        size_text(free),
        size_text(total)
    );
    let mend = "lower `memory: { size: … }`, or stop what uses the memory";
    Some(match wants.memory_bytes {
        wanted if wanted > total => Finding::error("memory", seen, mend),
        wanted if wanted > free => Finding::warning("memory", seen, mend),
        _ => Finding::ok("memory", seen),
    })
}

/// Memory and devices of another node are far away.
fn nodes(case: &Case) -> Finding {
    let nodes: Vec<String> = case
        .probe
        .names(NODES)
        .into_iter()
        .filter(|name| name.strip_prefix("node").is_some_and(|number| number.parse::<u32>().is_ok()))
        .collect();
    if nodes.len() < 2 {
        return Finding::ok("numa", "one node");
    }
    let free = |node: &String| {
        let pages = case.probe.number(format!("{NODES}/{node}/hugepages/hugepages-2048kB/free_hugepages"));
        let cpus = case.probe.text(format!("{NODES}/{node}/cpulist")).unwrap_or_default();
        format!("{node}: cores {cpus}, {} hugepages of 2 MiB free", pages.unwrap_or(0))
    };
    let texts: Vec<String> = nodes.iter().map(free).collect();
    Finding::note("numa", texts.join("; "))
}

#[cfg(test)]
mod tests {
    use super::super::fake::{Fake, case, only};
    use super::super::{Level, Wants};
    use super::*;

    const TWO_MIB: &str = "/sys/kernel/mm/hugepages/hugepages-2048kB";

    fn few_pages() -> Fake {
        Fake::healthy()
            .file(format!("{TWO_MIB}/nr_hugepages"), "20\n")
            .file(format!("{TWO_MIB}/free_hugepages"), "8\n")
    }

    fn found(fake: &Fake, hugepages: Hugepages, check_name: &str) -> Finding {
        only(check(&case(fake, Some(Wants { hugepages, ..fake.wants() }))), check_name)
    }

    #[test]
    fn too_few_hugepages_are_a_warning_unless_they_are_required() {
        let warning = found(&few_pages(), Hugepages::Auto, "hugepages");
        assert_eq!(warning.level, Level::Warning);
        assert!(
            warning.seen.starts_with("2 MiB: 20 configured, 8 free; 512 MiB are wanted"),
            "{}",
            warning.seen
        );
        assert_eq!(warning.mend.as_deref(), Some("sysctl -w vm.nr_hugepages=268"));
        let error = found(&few_pages(), Hugepages::Required, "hugepages");
        assert_eq!((error.level, error.mend), (Level::Error, warning.mend));
        assert_eq!(found(&few_pages(), Hugepages::Off, "hugepages").level, Level::Note);
    }

    #[test]
    fn pages_of_all_sizes_count() {
        let giant = "/sys/kernel/mm/hugepages/hugepages-1048576kB";
        let fake = few_pages()
            .file(format!("{giant}/nr_hugepages"), "1\n")
            .file(format!("{giant}/free_hugepages"), "1\n");
        let finding = found(&fake, Hugepages::Required, "hugepages");
        assert_eq!(finding.seen, "2 MiB: 20 configured, 8 free; 1 GiB: 1 configured, 1 free");
    }

    #[test]
    fn memory_that_the_machine_does_not_have_is_an_error() {
        let memory = |total: u64, free: u64| format!("MemTotal: {total} kB\nMemAvailable: {free} kB\n");
        let fake = Fake::healthy().file("/proc/meminfo", &memory(400 << 10, 300 << 10));
        assert_eq!(found(&fake, Hugepages::Off, "memory").level, Level::Error);
        let fake = Fake::healthy().file("/proc/meminfo", &memory(800 << 10, 300 << 10));
        let finding = found(&fake, Hugepages::Off, "memory");
        assert_eq!(finding.level, Level::Warning);
        assert_eq!(finding.seen, "512 MiB are wanted, 300 MiB of 800 MiB are available");
    }

    #[test]
    fn a_container_has_the_memory_of_its_group() {
        let fake = Fake::healthy().file("/sys/fs/cgroup/memory.max", "104857600\n");
        assert_eq!(found(&fake, Hugepages::Off, "memory").level, Level::Error);
    }

    #[test]
    fn a_missing_mount_is_only_noted() {
        let fake = Fake::healthy().file("/proc/self/mounts", "proc /proc proc rw 0 0\n");
        assert_eq!(found(&fake, Hugepages::Required, "hugetlbfs").level, Level::Note);
        assert_eq!(found(&Fake::healthy(), Hugepages::Auto, "hugetlbfs").seen, "mounted at /dev/hugepages");
    }

    #[test]
    fn nodes_are_listed_where_there_are_several() {
        let fake = Fake::healthy()
            .file("/sys/devices/system/node/node1/cpulist", "2-3\n")
            .file("/sys/devices/system/node/node1/hugepages/hugepages-2048kB/free_hugepages", "5\n");
        let finding = found(&fake, Hugepages::Auto, "numa");
        assert!(finding.seen.ends_with("node1: cores 2-3, 5 hugepages of 2 MiB free"), "{}", finding.seen);
    }
}
