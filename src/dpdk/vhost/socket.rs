//! A vhost-user port's socket: what its path may be, and what may be there already.

use std::fs;
use std::path::{Path, PathBuf};

use super::Guest;
use crate::dpdk::{Eal, Error, Port, PortOptions};
use crate::tenancy::{Tenancy, tenancy};

/// Where a vhost-user port meets its guest.
///
/// [`Port::link_up`] says whether a guest is there. Sending to a port without one sends nothing; guests may
/// come and go as they like, and be killed. No offload is offered to them: they compute their checksums, and
/// segment what they send. A packet too long for one buffer comes in several segments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VhostUser {
    /// The unix socket.
    pub path: PathBuf,
    /// Who makes the socket.
    pub mode: VhostMode,
    /// Pairs of queues that the guest may use.
    pub queues: u16,
}

/// Which side of a vhost-user socket makes and listens on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VhostMode {
    /// The switch listens; its guests reconnect when it comes back.
    #[default]
    Server,
    /// The guest (QEMU with `server=on`) listens; the switch connects, and again when the guest comes back.
    Client,
}

impl VhostUser {
    /// Opens the port, with as many queues each way as `queues` says whatever `options` do.
    ///
    /// As a server it removes a socket that a killed switch left behind, and refuses one that is served. The
    /// socket is removed with the port. It gets the permissions that the process's umask leaves.
    pub fn open(&self, eal: &Eal, options: &PortOptions) -> Result<Port, Error> {
        let path = self.checked_path()?;
        if self.mode == VhostMode::Server {
            remove_stale(&self.path)?;
            writable_folder(&self.path)?;
        }
        let guest = Guest::open(eal, path, self.mode == VhostMode::Client, self.queues)?;
        Ok(Port::of_guest(guest, self.queues, &options.mempool))
    }

    /// The path as a document can carry it beside device arguments.
    fn checked_path(&self) -> Result<&str, Error> {
        let refused =
            |problem| Error::Option { option: "socket", value: self.path.display().to_string(), problem };
        let path = self.path.to_str().ok_or_else(|| refused("is not UTF-8"))?;
        if path.is_empty() || path.contains([',', '[', ']', '"', '\'', '\0', ' ']) {
            return Err(refused("a socket's path has no blank, comma, bracket, quote or NUL in it"));
        }
        // sockaddr_un holds 108 bytes with the NUL.
        if path.len() > 107 {
            return Err(refused("a socket's path has 107 bytes at most"));
        }
        Ok(path)
    }
}

/// Looks whether the socket can be made: DPDK says nothing of use when it cannot.
fn writable_folder(path: &Path) -> Result<(), Error> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let access = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
    rustix::fs::access(folder, access)
        .map_err(|errno| Error::SocketFolder { path: path.to_owned(), source: errno.into() })
}

/// Removes the socket at `path` if nobody listens on it.
fn remove_stale(path: &Path) -> Result<(), Error> {
    let socket = |source| Error::Socket { path: path.to_owned(), source };
    match tenancy(path).map_err(socket)? {
        Tenancy::Vacant => Ok(()),
        Tenancy::Stale => fs::remove_file(path).map_err(socket),
        Tenancy::Live => Err(Error::SocketServed(path.to_owned())),
        Tenancy::Foreign => Err(Error::NoSocket(path.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_stale_socket_is_removed_and_a_served_one_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("guest.sock");
        assert!(remove_stale(&path).is_ok());
        let listener = UnixListener::bind(&path).unwrap();
        assert!(matches!(remove_stale(&path), Err(Error::SocketServed(_))));
        drop(listener);
        assert!(path.exists());
        assert!(remove_stale(&path).is_ok());
        assert!(!path.exists());
    }

    #[test]
    fn what_is_no_socket_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("guest.sock");
        fs::write(&path, "precious").unwrap();
        assert!(matches!(remove_stale(&path), Err(Error::NoSocket(_))));
        assert!(path.exists());
    }

    #[test]
    fn paths_that_a_device_argument_cannot_carry_are_refused() {
        for path in ["", "/tmp/a,b", "/tmp/a b", &format!("/{}", "x".repeat(107))] {
            let port = VhostUser { path: path.into(), mode: VhostMode::Server, queues: 1 };
            assert!(matches!(port.checked_path(), Err(Error::Option { .. })), "{path:?}");
        }
    }
}
