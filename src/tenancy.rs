//! Who is at the path of a unix socket.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

/// Who is at the path of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tenancy {
    /// Nothing is there.
    Vacant,
    /// A process listens.
    Live,
    /// A socket is there, and no process listens.
    Stale,
    /// Something is there that is no socket.
    Foreign,
}

/// Tells who is at `path`, without blocking.
///
/// # Errors
///
/// When the path cannot be looked at, for want of permission say.
pub fn tenancy(path: &Path) -> io::Result<Tenancy> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Tenancy::Vacant),
        Err(error) => return Err(error),
        Ok(meta) if !meta.file_type().is_socket() => return Ok(Tenancy::Foreign),
        Ok(_) => {}
    }
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let fd: OwnedFd = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    match connect(&fd, &SocketAddrUnix::new(path)?) {
        // EAGAIN: somebody listens, and too many wait already.
        Ok(()) | Err(Errno::AGAIN) => Ok(Tenancy::Live),
        Err(Errno::CONNREFUSED) => Ok(Tenancy::Stale),
        Err(Errno::NOENT) => Ok(Tenancy::Vacant),
        Err(errno) => Err(errno.into()),
    }
}
