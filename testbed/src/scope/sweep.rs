//! What a lab that was killed outright left behind, removed by the next one.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Once;

use super::{namespace, workdir};

/// Removes the namespaces and directories of labs whose process is no more, once per process.
///
/// Their children died with them (see [`super::Spawn`]); a grandchild that did not is found in its namespace. What belongs
/// to another user is left alone.
pub fn sweep() {
    static SWEPT: Once = Once::new();
    SWEPT.call_once(|| {
        orphans(Path::new(namespace::DIRECTORY))
            .filter_map(|path| name_of(&path))
            .for_each(|name| namespace::remove(&name));
        orphans(&workdir::root()).for_each(|path| drop(fs::remove_dir_all(path)));
    });
}

/// The entries of `directory` that carry the process id of a lab no longer alive.
fn orphans(directory: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(directory)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| name_of(path).and_then(|name| owner(&name)).is_some_and(|pid| !is_alive(pid)))
}

fn name_of(path: &Path) -> Option<String> {
    Some(path.file_name()?.to_str()?.to_owned())
}

fn owner(name: &str) -> Option<u32> {
    name.strip_prefix(workdir::PREFIX)?.split('-').next()?.parse().ok()
}

fn is_alive(pid: u32) -> bool {
    Path::new("/proc").join(pid.to_string()).exists()
}

#[cfg(test)]
mod tests {
    use super::owner;

    #[test]
    fn names_carry_their_owner() {
        assert_eq!(owner("wt-4711-3"), Some(4711));
        assert_eq!(owner("wt-4711-3-hv-a"), Some(4711));
        assert_eq!(owner("wt-x"), None);
        assert_eq!(owner("other-4711"), None);
    }
}
