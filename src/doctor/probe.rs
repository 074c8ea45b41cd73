//! Looking at a machine through the files in which it shows itself.

use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

/// Looks at the machine whose files are below a root: `/`, or a folder that a test made.
#[derive(Clone, Debug)]
pub struct Probe {
    /// The root.
    pub root: PathBuf,
}

impl Probe {
    /// Looks at this machine.
    pub fn of_this_machine() -> Self {
        Self { root: "/".into() }
    }

    /// Where `path` of the machine is.
    pub(super) fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// The text of a file, without the space around it; none where it cannot be read.
    pub(super) fn text(&self, path: impl AsRef<Path>) -> Option<String> {
        std::fs::read_to_string(self.path(path)).ok().map(|text| text.trim().to_owned())
    }

    /// The number that a file holds.
    pub(super) fn number(&self, path: impl AsRef<Path>) -> Option<u64> {
        self.text(path)?.parse().ok()
    }

    /// The processors that a file lists, as `0-3,8`.
    pub(super) fn cpus(&self, path: impl AsRef<Path>) -> Vec<u32> {
        self.text(path).map(|text| cpu_list(&text)).unwrap_or_default()
    }

    /// The rest of the line of a file that begins with `key`, without the space around it.
    pub(super) fn line(&self, path: impl AsRef<Path>, key: &str) -> Option<String> {
        let text = self.text(path)?;
        let rest = text.lines().find_map(|line| line.strip_prefix(key))?;
        Some(rest.trim_start_matches([' ', '\t', ':']).trim_end().to_owned())
    }

    /// The names in a folder, sorted; none where there is no such folder.
    pub(super) fn names(&self, path: impl AsRef<Path>) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.path(path)) else { return Vec::new() };
        let mut names: Vec<String> =
            entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        names
    }

    /// The name of what a link points to.
    pub(super) fn link(&self, path: impl AsRef<Path>) -> Option<String> {
        let target = std::fs::read_link(self.path(path)).ok()?;
        Some(target.file_name()?.to_str()?.to_owned())
    }

    /// Whether something is there.
    pub(super) fn exists(&self, path: impl AsRef<Path>) -> bool {
        self.path(path).exists()
    }

    /// Whether this user may read and write a file.
    pub(super) fn may_write(&self, path: impl AsRef<Path>) -> bool {
        access(self.path(path), Access::READ_OK | Access::WRITE_OK).is_ok()
    }

    /// Whether this user may make files in a folder, or make the folder itself.
    pub(super) fn may_make_files(&self, folder: &Path) -> bool {
        let Some(there) = folder.ancestors().map(|folder| self.path(folder)).find(|folder| folder.exists())
        else {
            return false;
        };
        there.is_dir() && access(&there, Access::WRITE_OK | Access::EXEC_OK).is_ok()
    }

    /// Whether this process has a capability, by its number in `linux/capability.h`.
    pub(super) fn has_capability(&self, number: u32) -> bool {
        let mask = self.line("/proc/self/status", "CapEff:");
        mask.and_then(|mask| u64::from_str_radix(&mask, 16).ok()).is_some_and(|mask| mask >> number & 1 == 1)
    }
}

/// Reads a list of processors as the kernel writes them: `0-3,8`. What is not understood is left out.
pub(super) fn cpu_list(text: &str) -> Vec<u32> {
    /// No machine has as many; a bound for files that are not what they should be.
    const MOST: u32 = 1 << 16;
    let number = |text: &str| text.trim().parse::<u32>().ok().filter(|number| *number < MOST);
    let part = |part: &str| match part.split_once('-') {
        Some((first, last)) => Some(number(first)?..=number(last)?),
        None => number(part).map(|only| only..=only),
    };
    text.split(',').filter_map(part).flatten().collect()
}

/// A list of processors, for people and for the kernel's command line: `0-3,8`.
pub(super) fn cpu_text(cpus: &[u32]) -> String {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for &cpu in cpus {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == cpu => *last = cpu,
            _ => runs.push((cpu, cpu)),
        }
    }
    let texts: Vec<String> = runs
        .iter()
        .map(|(first, last)| if first == last { first.to_string() } else { format!("{first}-{last}") })
        .collect();
    texts.join(",")
}

/// Bytes in the largest unit that leaves no fraction, or in MiB.
pub(super) fn size_text(bytes: u64) -> String {
    match bytes {
        _ if bytes > 0 && bytes.is_multiple_of(1 << 30) => format!("{} GiB", bytes >> 30),
        _ if bytes < 1 << 20 => format!("{} KiB", bytes >> 10),
        _ => format!("{} MiB", bytes >> 20),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_processors_are_read_and_written() {
        assert_eq!(cpu_list("0-3,8"), [0, 1, 2, 3, 8]);
        assert!(cpu_list("").is_empty());
        assert_eq!(cpu_list("x,2,5-y,3-1,0-4000000000"), [2]);
        assert_eq!(cpu_text(&[0, 1, 2, 3, 8]), "0-3,8");
    }

    #[test]
    fn sizes_are_short() {
        assert_eq!(size_text(2 << 30), "2 GiB");
        assert_eq!(size_text(1536 << 20), "1536 MiB");
        assert_eq!(size_text(64 << 10), "64 KiB");
        assert_eq!(size_text(0), "0 KiB");
    }
}
