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
            Self::Off => Ok(false),
            Self::Auto => Ok(free >= wanted),
            Self::Required if free >= wanted => Ok(true),
            Self::Required => Err(Error::Hugepages { wanted_mib: wanted >> 20, free_mib: free >> 20 }),
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
        let wanted = u64::MAX;
        assert!(!Hugepages::Auto.decide(wanted).unwrap());
        assert!(!Hugepages::Off.decide(0).unwrap());
        let error = Hugepages::Required.decide(wanted).unwrap_err();
        assert!(error.to_string().contains("nr_hugepages"), "{error}");
    }
}
