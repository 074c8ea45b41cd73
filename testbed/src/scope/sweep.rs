//! What a lab that was killed outright left behind, removed by the next one.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Once;

use rustix::process::{Pid, Signal, kill_process};

use super::{namespace, workdir};

/// Removes the processes, namespaces and directories of labs that are no more, once per process.
///
/// A lab's children die with it (see [`super::Spawn`]); what is left are children of theirs, known by
/// their environment. What belongs to another user is left alone.
pub fn sweep() {
    static SWEPT: Once = Once::new();
    SWEPT.call_once(|| {
        entries(Path::new("/proc")).filter_map(|path| orphan(&path)).for_each(|pid| {
            let _ = kill_process(pid, Signal::KILL);
        });
        let spaces = entries(Path::new(namespace::DIRECTORY)).filter(|path| is_left_over(path));
        spaces.filter_map(|path| name_of(&path)).for_each(|name| namespace::remove(&name));
        let root = workdir::root();
        let dirs = entries(&root).filter(|path| is_left_over(path));
        dirs.for_each(|path| drop(fs::remove_dir_all(path)));
    });
}

/// The variable that tells the processes of a lab, children of children included, by its process id.
pub(super) const MARK: &str = "WEFT_LAB";

/// The id of a process that carries the mark of a lab no longer alive.
fn orphan(process: &Path) -> Option<Pid> {
    let pid = Pid::from_raw(name_of(process)?.parse().ok()?)?;
    let environment = fs::read(process.join("environ")).ok()?;
    let mark = format!("{MARK}=");
    let owner = environment.split(|byte| *byte == 0).find_map(|pair| pair.strip_prefix(mark.as_bytes()))?;
    let owner: u32 = str::from_utf8(owner).ok()?.parse().ok()?;
    (!is_alive(owner)).then_some(pid)
}

/// Whether the name carries the process id of a lab no longer alive.
fn is_left_over(path: &Path) -> bool {
    name_of(path).and_then(|name| owner(&name)).is_some_and(|pid| !is_alive(pid))
}

fn entries(directory: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(directory).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()))
}

fn name_of(path: &Path) -> Option<String> {
    Some(path.file_name()?.to_str()?.to_owned())
}

fn owner(name: &str) -> Option<u32> {
    name.strip_prefix(workdir::PREFIX)?.split('-').next()?.parse().ok()
}

/// A zombie is dead, however long its parent takes over it.
fn is_alive(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.contains(") Z ") && !stat.contains(") X "))
}

#[cfg(test)]
mod tests {
    use super::{is_alive, owner};

    #[test]
    fn names_carry_their_owner() {
        assert_eq!(owner("wt-4711-3"), Some(4711));
        assert_eq!(owner("wt-4711-3-hv-a"), Some(4711));
        assert_eq!(owner("wt-x"), None);
        assert_eq!(owner("other-4711"), None);
    }

    #[test]
    fn the_living_are_told_from_the_dead() {
        assert!(is_alive(std::process::id()));
        assert!(!is_alive(u32::MAX));
    }
}
