//! Whether the packet memory lies in hugepages.

use std::fs;
use std::path::Path;

use super::Error;

/// Where the packet memory comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hugepages {
    /// Hugepages where enough of them are free, ordinary pages otherwise.
    #[default]
    Auto,
    /// Hugepages, or no start.
    Required,
    /// Ordinary pages.
    Off,
}

impl Hugepages {
    /// Whether to use hugepages for `wanted` bytes, after a look at those that the kernel has free.
    pub(super) fn decide(self, wanted: u64) -> Result<bool, Error> {
        let free = free_bytes(Path::new("/sys/kernel/mm/hugepages"));
        match self {
            Self::Auto | Self::Required if free >= wanted => Ok(true),
            Self::Required => Err(Error::Hugepages { wanted_mib: wanted >> 20, free_mib: free >> 20 }),
            // Ordinary pages: what the machine does not have the kernel promises all the same, and ends the process
            // when it is used.
            Self::Off | Self::Auto => match total_bytes(Path::new("/")) {
                Some(total) if total < wanted => {
                    Err(Error::Memory { wanted_mib: wanted >> 20, total_mib: total >> 20 })
                }
                _ => Ok(false),
            },
        }
    }
}

/// Bytes in free hugepages of all sizes. What cannot be read counts as none.
///
/// No hugetlbfs mount is looked for: the memory is anonymous (memfd), which needs none and asks
/// no privilege.
fn free_bytes(sizes: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(sizes) else { return 0 };
    entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let kib: u64 = name.to_str()?.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?;
            let free: u64 =
                fs::read_to_string(entry.path().join("free_hugepages")).ok()?.trim().parse().ok()?;
            Some(kib * 1024 * free)
        })
        .sum()
}

/// All memory that the process could have, in bytes; `None` where the kernel does not tell.
fn total_bytes(root: &Path) -> Option<u64> {
    let text = fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let kib = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let total = kib.trim().trim_end_matches(" kB").parse::<u64>().ok()?.checked_mul(1024)?;
    let limit = fs::read_to_string(root.join("sys/fs/cgroup/memory.max")).ok();
    let limit = limit.and_then(|text| text.trim().parse().ok());
    Some(limit.map_or(total, |limit: u64| limit.min(total)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_all_sizes_and_ignores_what_it_does_not_know() {
        let dir = tempfile::tempdir().unwrap();
        for (name, free) in [("hugepages-2048kB", "3\n"), ("hugepages-1048576kB", "1\n"), ("other", "7\n")] {
            fs::create_dir(dir.path().join(name)).unwrap();
            fs::write(dir.path().join(name).join("free_hugepages"), free).unwrap();
        }
        assert_eq!(free_bytes(dir.path()), 3 * (2 << 20) + (1 << 30));
        assert_eq!(free_bytes(&dir.path().join("absent")), 0);
    }

    #[test]
    fn required_is_refused_where_auto_goes_without() {
        let wanted = total_bytes(Path::new("/")).unwrap();
        assert!(!Hugepages::Auto.decide(wanted).unwrap());
        assert!(!Hugepages::Off.decide(0).unwrap());
        let error = Hugepages::Required.decide(wanted).unwrap_err();
        assert!(error.to_string().contains("nr_hugepages"), "{error}");
    }

    #[test]
    fn more_than_the_machine_has_is_refused() {
        for hugepages in [Hugepages::Auto, Hugepages::Off] {
            assert!(matches!(hugepages.decide(u64::MAX), Err(Error::Memory { .. })));
        }
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(total_bytes(dir.path()), None);
        fs::create_dir(dir.path().join("proc")).unwrap();
        fs::write(dir.path().join("proc/meminfo"), "MemTotal:       2048 kB\nMemFree: 1 kB\n").unwrap();
        assert_eq!(total_bytes(dir.path()), Some(2 << 20));
        fs::create_dir_all(dir.path().join("sys/fs/cgroup")).unwrap();
        for (limit, total) in [("max", 2 << 20), ("1048576", 1 << 20)] {
            fs::write(dir.path().join("sys/fs/cgroup/memory.max"), format!("{limit}\n")).unwrap();
            assert_eq!(total_bytes(dir.path()), Some(total));
        }
    }
}
