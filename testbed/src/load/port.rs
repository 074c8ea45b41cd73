//! A virtio-net device as its driver sees it: a queue each way, and the vhost-user messages that make a switch serve it.

use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use vhost::vhost_user::message::{VhostUserHeaderFlag, VhostUserProtocolFeatures, VhostUserVirtioFeatures};
use vhost::vhost_user::{Frontend, VhostUserFrontend};
use vhost::{VhostBackend, VhostUserMemoryRegionInfo, VringConfigData};
use vmm_sys_util::eventfd::EventFd;

use super::frames::LONGEST;
use super::ring::{LINE, Place, Ring, Way};
use super::shared::{Pages, Region};
use crate::error::Doing;
use crate::scope::wait_for;
use crate::{Error, Result};

/// Which side makes the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The switch; the driver connects.
    Client,
    /// The driver, as QEMU with `server=on`; the switch connects.
    Server,
}

/// How a device is made.
#[derive(Clone, Copy, Debug)]
pub struct PortOptions {
    /// Who makes the socket.
    pub role: Role,
    /// Descriptors of each queue: a power of two, at most 32,768.
    pub queue: u16,
    /// What its memory is made of.
    pub pages: Pages,
}

impl Default for PortOptions {
    fn default() -> Self {
        Self { role: Role::Client, queue: 1024, pages: Pages::Small }
    }
}

/// A device whose switch may still be absent.
#[derive(Debug)]
pub struct Waiting {
    path: PathBuf,
    options: PortOptions,
    listener: Option<UnixListener>,
}

impl Waiting {
    /// Makes the socket if that is the driver's part; from then on the switch may be started.
    pub fn new(path: &Path, options: PortOptions) -> Result<Self> {
        let listen = || -> Result<UnixListener> {
            let listener = UnixListener::bind(path).doing(|| format!("listening at {}", path.display()))?;
            listener.set_nonblocking(true).doing(|| format!("listening at {}", path.display()))?;
            Ok(listener)
        };
        let listener = (options.role == Role::Server).then(listen).transpose()?;
        Ok(Self { path: path.to_owned(), options, listener })
    }

    /// Meets the switch and agrees with it on the device.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`] if there is none; [`Error::Failed`] if it does not do what the driver needs.
    pub fn meet(self, deadline: Duration) -> Result<Port> {
        let name = self.path.display().to_string();
        let stream = wait_for(deadline, format!("a switch at {name}"), || match &self.listener {
            Some(listener) => Ok(listener.accept().ok().map(|(stream, _)| stream)),
            None => Ok(UnixStream::connect(&self.path).ok()),
        })?;
        stream.set_nonblocking(false).doing(|| format!("the socket {name}"))?;
        // A switch that does not answer is an error and no hang.
        stream.set_read_timeout(Some(deadline)).doing(|| format!("the socket {name}"))?;
        Port::negotiate(name, stream, self.options, self.listener)
    }
}

/// A device that a switch serves, until it is dropped.
pub struct Port {
    name: String,
    pub(super) region: Arc<Region>,
    /// What the switch fills.
    pub(super) receive: Ring,
    /// What the switch empties.
    pub(super) transmit: Ring,
    kick: [EventFd; 2],
    /// The switch leaves the device when this is closed.
    _frontend: Frontend,
    _call: [EventFd; 2],
    _listener: Option<UnixListener>,
}

impl std::fmt::Debug for Port {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Port").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Port {
    fn negotiate(
        name: String,
        stream: UnixStream,
        options: PortOptions,
        listener: Option<UnixListener>,
    ) -> Result<Self> {
        let refused = |what: &'static str| {
            let name = name.clone();
            move |error: vhost::Error| Error::failed(format!("{name}: {what}: {error}"), "")
        };
        let mut frontend = Frontend::from_stream(stream, QUEUES as u64);
        frontend.set_owner().map_err(refused("taking the device"))?;
        let offered = frontend.get_features().map_err(refused("asking for its features"))?;
        if offered & NEEDED != NEEDED {
            let missing =
                format!("offers features {offered:#x}, of which {:#x} are missing", NEEDED & !offered);
            return Err(Error::failed(format!("{name}: the switch {missing}"), ""));
        }
        frontend.set_features(offered & (NEEDED | WANTED)).map_err(refused("setting features"))?;
        let user = |error| Error::failed(format!("{name}: protocol features: {error}"), "");
        let protocol = frontend.get_protocol_features().map_err(user)?;
        frontend.set_protocol_features(protocol & VhostUserProtocolFeatures::REPLY_ACK).map_err(user)?;
        if protocol.contains(VhostUserProtocolFeatures::REPLY_ACK) {
            frontend.set_hdr_flags(VhostUserHeaderFlag::NEED_REPLY);
        }

        let (receive, end) = Place::at(0, options.queue, STRIDE);
        let (transmit, end) = Place::at(end, options.queue, STRIDE);
        let region = Region::new(end, options.pages).doing(|| format!("memory for {name}"))?;
        let region = Arc::new(region);
        let mut port = Self {
            receive: Ring::new(Arc::clone(&region), receive, Way::FromDevice),
            transmit: Ring::new(Arc::clone(&region), transmit, Way::ToDevice),
            kick: event_pair(&name)?,
            _call: event_pair(&name)?,
            _listener: listener,
            region,
            name: name.clone(),
            _frontend: frontend,
        };
        port.serve().map_err(|error| Error::failed(format!("{name}: setting up its queues: {error}"), ""))?;
        for id in 0..options.queue {
            port.receive.add(id);
        }
        port.publish();
        Ok(port)
    }

    /// Hands memory and queues to the switch.
    fn serve(&mut self) -> Result<(), Box<dyn std::error::Error>> {
        let Self { region, _frontend: frontend, receive, transmit, kick, _call: call, .. } = self;
        let base = region.address();
        frontend.set_mem_table(&[VhostUserMemoryRegionInfo {
            // Descriptors speak of the driver's own addresses, as virtio-user does.
            guest_phys_addr: base,
            memory_size: region.len() as u64,
            userspace_addr: base,
            mmap_offset: 0,
            mmap_handle: region.file().as_raw_fd(),
        }])?;
        for (index, ring) in [receive, transmit].into_iter().enumerate() {
            let place = ring.place();
            frontend.set_vring_num(index, place.size)?;
            frontend.set_vring_base(index, 0)?;
            let config = VringConfigData {
                queue_max_size: place.size,
                queue_size: place.size,
                flags: 0,
                desc_table_addr: base + place.descriptors as u64,
                used_ring_addr: base + place.used as u64,
                avail_ring_addr: base + place.available as u64,
                log_addr: None,
            };
            frontend.set_vring_addr(index, &config)?;
            frontend.set_vring_call(index, &call[index])?;
            frontend.set_vring_kick(index, &kick[index])?;
        }
        for index in 0..QUEUES {
            frontend.set_vring_enable(index, true)?;
        }
        Ok(())
    }

    /// Its socket's path.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Lets the switch see what was added to either queue, and wakes it where it asks for that.
    #[inline]
    pub(super) fn publish(&mut self) {
        for (index, ring) in [&mut self.receive, &mut self.transmit].into_iter().enumerate() {
            if ring.publish() {
                // A counter that is full wakes as well.
                let _ = self.kick[index].write(1);
            }
        }
    }
}

fn event_pair(name: &str) -> Result<[EventFd; 2]> {
    let one = || EventFd::new(libc_nonblock()).doing(|| format!("an event for {name}"));
    Ok([one()?, one()?])
}

/// `EFD_NONBLOCK`, which the kernel defines as `O_NONBLOCK`.
fn libc_nonblock() -> i32 {
    rustix::event::EventfdFlags::NONBLOCK.bits() as i32
}

/// One queue each way: 0 is what the driver receives from, 1 what it sends by (virtio 1.2, section 5.1.2).
const QUEUES: usize = 2;

/// `VIRTIO_F_VERSION_1` (virtio 1.2, section 6), and the vhost-user protocol's own bit.
const NEEDED: u64 = (1 << 32) | VhostUserVirtioFeatures::PROTOCOL_FEATURES.bits();
/// `VIRTIO_NET_F_MRG_RXBUF`, which Linux guests take; frames here fit one buffer.
const WANTED: u64 = 1 << 15;

/// Bytes of `virtio_net_hdr` of a device that is no legacy one (section 5.1.6).
pub(super) const HEADER: usize = 12;

/// From one buffer to the next. An odd number of lines, for with a power of two they would be in few sets of the cache.
const STRIDE: usize = {
    let lines = (HEADER + LONGEST).div_ceil(LINE);
    (lines + 1 - lines % 2) * LINE
};
