//! Where running switches keep their sockets: a folder per host instance under one root.
//!
//! ```text
//! /run/weft/            or $XDG_RUNTIME_DIR/weft, or --runtime-dir
//!   hv-a/               mode 0700
//!     lock              held by the switch as long as it runs
//!     api.sock          the API
//!     web1.sock         the endpoints' sockets
//! ```

use std::fs::{DirBuilder, File};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use rustix::process::geteuid;
use thiserror::Error;

use crate::shm;

use crate::tenancy::{Tenancy, tenancy};

/// The API's socket in an instance's folder.
const API_SOCKET: &str = "api.sock";
/// The lock in an instance's folder.
const LOCK: &str = "lock";
/// Whoever may write the folder's entries, its owner aside: group and others.
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// The folder of all instances.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuntimeDir {
    root: PathBuf,
}

impl RuntimeDir {
    /// The folder `chosen`, or the default one: `$XDG_RUNTIME_DIR/weft`, or where that is not set `/run/weft`.
    pub fn new(chosen: Option<&Path>) -> Self {
        Self::choose(chosen, std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from))
    }

    fn choose(chosen: Option<&Path>, xdg: Option<PathBuf>) -> Self {
        let root = match (chosen, xdg) {
            (Some(chosen), _) => chosen.into(),
            (None, Some(xdg)) if xdg.is_absolute() => xdg.join("weft"),
            (None, _) => "/run/weft".into(),
        };
        Self { root }
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of `host`'s instance.
    ///
    /// # Errors
    ///
    /// When the name cannot be that of a folder.
    pub fn instance_dir(&self, host: &str) -> Result<PathBuf, RuntimeDirError> {
        if host.is_empty() || host == "." || host == ".." || host.contains(['/', '\0']) {
            return Err(RuntimeDirError::BadName { host: host.into() });
        }
        Ok(self.root.join(host))
    }

    /// Takes `host`'s folder for this process: makes it, with mode 0700, and locks it.
    ///
    /// # Errors
    ///
    /// When another switch holds it, when others than this user may write to it, and when the system refuses.
    pub fn claim(&self, host: &str) -> Result<Instance, RuntimeDirError> {
        let dir = self.instance_dir(host)?;
        let failed = |path: &Path| {
            let path = path.to_path_buf();
            move |source| RuntimeDirError::Io { path, source }
        };
        DirBuilder::new().recursive(true).mode(0o700).create(&dir).map_err(failed(&dir))?;
        let meta = std::fs::metadata(&dir).map_err(failed(&dir))?;
        if meta.uid() != geteuid().as_raw() || meta.mode() & WRITABLE_BY_OTHERS != 0 {
            return Err(RuntimeDirError::Unsafe { path: dir });
        }
        let path = dir.join(LOCK);
        let mut options = File::options();
        let options = options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut lock = options.open(&path).map_err(failed(&path))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(running(host, dir, &mut lock)),
            Err(errno) => return Err(failed(&path)(errno.into())),
        }
        write_owner(&mut lock).map_err(failed(&path))?;
        Ok(Instance { dir, _lock: lock })
    }

    /// The hosts whose switches run here, by name.
    ///
    /// # Errors
    ///
    /// When the folder cannot be read; one that does not exist has no instances.
    pub fn live(&self) -> Result<Vec<String>, RuntimeDirError> {
        let failed = |source| RuntimeDirError::Io { path: self.root.clone(), source };
        let entries = match std::fs::read_dir(&self.root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(failed)?,
        };
        let mut hosts = Vec::new();
        for entry in entries {
            let entry = entry.map_err(failed)?;
            // What cannot be looked into is another user's, and not ours to speak to.
            if tenancy(&entry.path().join(API_SOCKET)).is_ok_and(|who| who == Tenancy::Live) {
                hosts.extend(entry.file_name().into_string());
            }
        }
        hosts.sort();
        Ok(hosts)
    }

    /// The API's socket of `host`'s switch; without `host`, of the only one that runs here.
    ///
    /// # Errors
    ///
    /// When no host is named and none or several run.
    pub fn api_socket(&self, host: Option<&str>) -> Result<PathBuf, RuntimeDirError> {
        Ok(self.the_only(host)?.join(API_SOCKET))
    }

    /// The statistics file of `host`'s switch; without `host`, of the only one that runs here.
    ///
    /// # Errors
    ///
    /// When no host is named and none or several run.
    pub fn stats(&self, host: Option<&str>) -> Result<PathBuf, RuntimeDirError> {
        Ok(self.the_only(host)?.join(shm::FILE))
    }

    /// The folder of `host`, or of the only one whose switch runs here.
    fn the_only(&self, host: Option<&str>) -> Result<PathBuf, RuntimeDirError> {
        if let Some(host) = host {
            return self.instance_dir(host);
        }
        let hosts = self.live()?;
        match hosts.as_slice() {
            [only] => self.instance_dir(only),
            [] => Err(RuntimeDirError::NoneRuns { root: self.root.clone() }),
            _ => Err(RuntimeDirError::SeveralRun { root: self.root.clone(), hosts }),
        }
    }
}

/// A host's folder, held by this process until it is dropped.
#[derive(Debug)]
pub struct Instance {
    dir: PathBuf,
    _lock: File,
}

impl Instance {
    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where the API listens.
    pub fn api_socket(&self) -> PathBuf {
        self.dir.join(API_SOCKET)
    }

    /// Where the statistics file is.
    pub fn stats(&self) -> PathBuf {
        self.dir.join(shm::FILE)
    }

    /// Where the socket `path` of an endpoint is: in the folder, unless it is absolute.
    pub fn socket(&self, path: &Path) -> PathBuf {
        self.dir.join(path)
    }
}

/// The error that names the process that holds the lock.
fn running(host: &str, dir: PathBuf, lock: &mut File) -> RuntimeDirError {
    let mut text = String::new();
    // The owner writes its number right after it locked; until then there is nothing to read.
    let pid = lock.read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
    RuntimeDirError::Running { host: host.into(), dir, pid }
}

fn write_owner(lock: &mut File) -> io::Result<()> {
    lock.set_len(0)?;
    lock.rewind()?;
    writeln!(lock, "{}", std::process::id())
}

/// Why there is no folder, or no instance in it.
#[derive(Debug, Error)]
pub enum RuntimeDirError {
    /// The host's name cannot be that of a folder.
    #[error("{host:?} cannot be the name of a host: it has to be the name of a folder")]
    BadName {
        /// The name.
        host: String,
    },
    /// Another switch has the folder.
    #[error("a switch of host {host} already runs in {dir}{by}; stop it, or give this one another --runtime-dir",
        dir = dir.display(), by = pid.map(|pid| format!(" (process {pid})")).unwrap_or_default())]
    Running {
        /// The host.
        host: String,
        /// Its folder.
        dir: PathBuf,
        /// The process that runs it, where known.
        pid: Option<u32>,
    },
    /// Others could put sockets of theirs in place of ours.
    #[error("{path} is not safe: it has to be this user's, and nobody else may write to it; \
        mend it with `chown {uid} {path} && chmod go-w {path}`", path = path.display(), uid = geteuid().as_raw())]
    Unsafe {
        /// The folder.
        path: PathBuf,
    },
    /// No host was named, and none runs.
    #[error("no switch runs in {root}; start one with `weft run FABRIC --host NAME`, or say where with --runtime-dir",
        root = root.display())]
    NoneRuns {
        /// The folder of all instances.
        root: PathBuf,
    },
    /// No host was named, and several run.
    #[error("several switches run in {root}: {list}; say which with --host", root = root.display(),
        list = hosts.join(", "))]
    SeveralRun {
        /// The folder of all instances.
        root: PathBuf,
        /// The hosts whose switches run there.
        hosts: Vec<String>,
    },
    /// The system refused.
    #[error("{path}: {source}; make it this user's, or give another folder with --runtime-dir", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixListener;

    use super::*;

    fn fresh() -> (tempfile::TempDir, RuntimeDir) {
        let temp = tempfile::tempdir().unwrap();
        let dir = RuntimeDir::new(Some(&temp.path().join("weft")));
        (temp, dir)
    }

    #[test]
    fn the_default_is_the_session_s_folder_or_the_system_s() {
        let root_of = |xdg: Option<&str>| RuntimeDir::choose(None, xdg.map(PathBuf::from)).root;
        assert_eq!(root_of(Some("/run/user/1000")), Path::new("/run/user/1000/weft"));
        assert_eq!(root_of(None), Path::new("/run/weft"));
        assert_eq!(root_of(Some("relative")), Path::new("/run/weft"));
    }

    #[test]
    fn an_instance_has_a_folder_of_its_own() {
        let (_temp, dir) = fresh();
        let instance = dir.claim("hv-a").unwrap();
        assert_eq!(instance.dir(), dir.root().join("hv-a"));
        assert_eq!(std::fs::metadata(instance.dir()).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(instance.api_socket(), dir.root().join("hv-a/api.sock"));
        assert_eq!(instance.socket(Path::new("web1.sock")), dir.root().join("hv-a/web1.sock"));
        assert_eq!(instance.socket(Path::new("/srv/web1.sock")), Path::new("/srv/web1.sock"));
    }

    #[test]
    fn two_switches_of_one_host_refuse_each_other() {
        let (_temp, dir) = fresh();
        let first = dir.claim("hv-a").unwrap();
        let error = dir.claim("hv-a").unwrap_err().to_string();
        let wanted = format!("a switch of host hv-a already runs in {}", first.dir().display());
        assert!(error.starts_with(&wanted), "{error}");
        assert!(error.contains(&format!("(process {})", std::process::id())), "{error}");
        let _other = dir.claim("hv-b").unwrap();
        drop(first);
        dir.claim("hv-a").unwrap();
    }

    #[test]
    fn a_folder_that_others_may_write_is_refused() {
        let (_temp, dir) = fresh();
        drop(dir.claim("hv-a").unwrap());
        let path = dir.instance_dir("hv-a").unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o777)).unwrap();
        assert!(matches!(dir.claim("hv-a"), Err(RuntimeDirError::Unsafe { .. })));
    }

    #[test]
    fn names_that_are_no_folders_are_refused() {
        let (_temp, dir) = fresh();
        for name in ["", ".", "..", "a/b", "a\0"] {
            assert!(matches!(dir.claim(name), Err(RuntimeDirError::BadName { .. })), "{name:?}");
        }
    }

    #[test]
    fn the_only_live_instance_is_taken() {
        let (_temp, dir) = fresh();
        assert!(matches!(dir.api_socket(None), Err(RuntimeDirError::NoneRuns { .. })));
        let listen = |host: &str| {
            let instance = dir.claim(host).unwrap();
            (UnixListener::bind(instance.api_socket()).unwrap(), instance)
        };
        let first = listen("hv-b");
        drop(listen("hv-dead"));
        assert_eq!(dir.live().unwrap(), ["hv-b"]);
        assert_eq!(dir.api_socket(None).unwrap(), first.1.api_socket());
        let _second = listen("hv-a");
        let error = dir.api_socket(None).unwrap_err().to_string();
        assert!(error.contains("hv-a, hv-b; say which with --host"), "{error}");
        assert_eq!(dir.api_socket(Some("hv-a")).unwrap(), dir.root().join("hv-a/api.sock"));
    }
}
