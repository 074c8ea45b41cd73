//! The socket that the API listens on.

use std::ffi::OsStr;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, fchmod};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with};
use thiserror::Error;

use crate::tenancy::{Tenancy, tenancy};

/// How many clients may wait to be taken.
const BACKLOG: i32 = 64;

/// A listening unix socket of mode 0600. Its file goes when it is dropped.
#[derive(Debug)]
pub struct Socket {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode of the file, so that the file of a successor is left alone.
    identity: (u64, u64),
}

impl Socket {
    /// Listens at `path`. A socket that a dead process left there is removed first.
    ///
    /// Two processes that bind one path at one moment are not told apart here: the lock of
    /// [`Instance`](crate::control::runtime_dir::Instance) does that.
    ///
    /// # Errors
    ///
    /// When somebody listens there, when the path is taken by something that is no socket, when it is too
    /// long for a socket, and when the system refuses.
    pub fn bind(path: &Path) -> Result<Self, SocketError> {
        let failed = |errno: Errno| SocketError::Io { path: path.into(), source: errno.into() };
        let address = SocketAddrUnix::new(path).map_err(|_| SocketError::TooLong { path: path.into() })?;
        clear(path)?;
        let fd = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
            .map_err(failed)?;
        // On Linux the file takes the mode of the unbound socket, so it is never open to others, not even briefly.
        fchmod(&fd, Mode::RUSR | Mode::WUSR).map_err(failed)?;
        bind(&fd, &address).map_err(failed)?;
        listen(&fd, BACKLOG).map_err(failed)?;
        let identity = identity(path).map_err(|source| SocketError::Io { path: path.into(), source })?;
        Ok(Self { listener: UnixListener::from(fd), path: path.into(), identity })
    }

    /// Where it listens.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Another handle on the listener, set not to block.
    pub(super) fn listener(&self) -> io::Result<UnixListener> {
        let listener = self.listener.try_clone()?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|found| found == self.identity) {
            // Nothing can be done about a failure; the next start finds a stale socket and removes it.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Makes `path` free to bind, or says why it is not.
fn clear(path: &Path) -> Result<(), SocketError> {
    let failed = |source| SocketError::Io { path: path.into(), source };
    match tenancy(path).map_err(failed)? {
        Tenancy::Vacant => Ok(()),
        Tenancy::Stale => std::fs::remove_file(path).map_err(failed),
        Tenancy::Live => Err(SocketError::InUse { path: path.into() }),
        Tenancy::Foreign => Err(SocketError::NotASocket { path: path.into() }),
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    std::fs::symlink_metadata(path).map(|meta| (meta.dev(), meta.ino()))
}

/// Why there is no socket to listen on.
#[derive(Debug, Error)]
pub enum SocketError {
    /// A process listens there.
    #[error("a switch already runs here: {path} is in use; stop it, or give this one another --runtime-dir",
        path = path.display())]
    InUse {
        /// The socket's path.
        path: PathBuf,
    },
    /// The path is taken by something else.
    #[error("{path} is not a socket; move it away, or give another --runtime-dir", path = path.display())]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// A unix socket's path has at most 107 bytes.
    #[error("{path} is {length} bytes long, and a socket's path may be 107; give a shorter --runtime-dir",
        path = path.display(), length = AsRef::<OsStr>::as_ref(path).len())]
    TooLong {
        /// The path.
        path: PathBuf,
    },
    /// The system refused.
    #[error("no socket at {path}: {source}", path = path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn only_its_owner_may_open_it_and_it_goes_when_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("api.sock");
        assert_eq!(tenancy(&path).unwrap(), Tenancy::Vacant);
        let socket = Socket::bind(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(tenancy(&path).unwrap(), Tenancy::Live);
        drop(socket);
        assert_eq!(tenancy(&path).unwrap(), Tenancy::Vacant);
    }

    #[test]
    fn a_live_socket_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("api.sock");
        let _first = Socket::bind(&path).unwrap();
        let error = Socket::bind(&path).unwrap_err();
        assert!(matches!(error, SocketError::InUse { .. }));
        assert!(error.to_string().starts_with("a switch already runs here"), "{error}");
        assert_eq!(tenancy(&path).unwrap(), Tenancy::Live);
    }

    #[test]
    fn a_dead_process_leaves_a_socket_that_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("api.sock");
        drop(UnixListener::bind(&path).unwrap());
        assert_eq!(tenancy(&path).unwrap(), Tenancy::Stale);
        let _socket = Socket::bind(&path).unwrap();
        assert_eq!(tenancy(&path).unwrap(), Tenancy::Live);
    }

    #[test]
    fn a_file_is_never_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("api.sock");
        std::fs::write(&path, "precious").unwrap();
        assert!(matches!(Socket::bind(&path), Err(SocketError::NotASocket { .. })));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    }

    #[test]
    fn the_socket_of_a_successor_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("api.sock");
        let old = Socket::bind(&path).unwrap();
        std::fs::rename(&path, dir.path().join("old.sock")).unwrap();
        let _new = Socket::bind(&path).unwrap();
        drop(old);
        assert_eq!(tenancy(&path).unwrap(), Tenancy::Live);
    }

    #[test]
    fn a_path_too_long_for_a_socket_is_said_so() {
        let error = Socket::bind(&Path::new("/tmp").join("x".repeat(110))).unwrap_err();
        assert!(matches!(error, SocketError::TooLong { .. }), "{error}");
    }
}
