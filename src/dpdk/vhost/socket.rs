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
        self.open_as(eal, options, None)
    }

    /// The same of a port that stands for a device: it has an address of its own, the same whenever it is opened.
    pub fn open_as_device(&self, eal: &Eal, options: &PortOptions) -> Result<Port, Error> {
        self.open_as(eal, options, Some(mac_of(&self.path)))
    }

    fn open_as(&self, eal: &Eal, options: &PortOptions, mac: Option<[u8; 6]>) -> Result<Port, Error> {
        let path = self.checked_path()?;
        if self.mode == VhostMode::Server {
            remove_stale(&self.path)?;
            writable_folder(&self.path)?;
        }
        let guest = Guest::open(eal, path, self.mode == VhostMode::Client, self.queues)?;
        Ok(Port::of_guest(guest, self.queues, &options.mempool, mac))
    }

    /// The socket of a device string of DPDK's `net_vhost`, if it asks for no more than a socket, who makes it, and
    /// queues: such a device is served here, for half the cycles of DPDK's driver.
    pub fn of_device(device: &str) -> Option<Self> {
        let mut arguments = device.split(',');
        arguments.next()?.strip_prefix("net_vhost")?;
        let mut socket = Self { path: PathBuf::new(), mode: VhostMode::Server, queues: 1 };
        for argument in arguments {
            match argument.split_once('=')? {
                ("iface", path) => socket.path = path.into(),
                ("client", "0") => socket.mode = VhostMode::Server,
                ("client", "1") => socket.mode = VhostMode::Client,
                ("queues", queues) => socket.queues = queues.parse().ok().filter(|queues| *queues > 0)?,
                _ => return None,
            }
        }
        (!socket.path.as_os_str().is_empty()).then_some(socket)
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

/// A locally administered address for a socket, under the prefix of DPDK's `net_vhost`.
fn mac_of(path: &Path) -> [u8; 6] {
    // FNV-1a (draft-eastlake-fnv), which stays as it is from one build to the next.
    let hash = path.as_os_str().as_encoded_bytes().iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let [a, b, c, d, ..] = hash.to_be_bytes();
    [0x56, 0x48, a, b, c, d]
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

    #[test]
    fn a_net_vhost_device_is_a_socket_unless_it_asks_for_more() {
        let of = |device: &str| VhostUser::of_device(device);
        let socket = |path: &str, mode, queues| Some(VhostUser { path: path.into(), mode, queues });
        assert_eq!(of("net_vhost0,iface=/run/a.sock"), socket("/run/a.sock", VhostMode::Server, 1));
        let client = of("net_vhost_up0,iface=/run/a.sock,client=1,queues=4");
        assert_eq!(client, socket("/run/a.sock", VhostMode::Client, 4));
        for other in [
            "net_vhost0",
            "net_vhost0,iface=",
            "net_vhost0,iface=/run/a.sock,tso=1",
            "net_vhost0,iface=/run/a.sock,queues=0",
            "net_vhost0,iface=/run/a.sock,client=2",
            "net_virtio_user0,path=/run/a.sock",
            "0000:3b:00.0",
        ] {
            assert_eq!(of(other), None, "{other}");
        }
        // Its address is one machine's own, and the same when it is opened again.
        let (one, other) = (mac_of(Path::new("/run/a.sock")), mac_of(Path::new("/run/b.sock")));
        assert!(one != other && one == mac_of(Path::new("/run/a.sock")));
        assert_eq!(one[0] & 3, 2, "unicast, locally administered");
    }
}
