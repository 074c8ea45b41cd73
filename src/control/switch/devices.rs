//! The running switch's devices: DPDK's environment, the ports in it, and how they are closed.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use tracing::{info, warn};
use weft_pipelines::Mac;

use super::StartError;
use crate::config::checked::{self, Attach};
use crate::config::pci_address;
use crate::control::buffers::DESCRIPTORS;
use crate::control::compile::PortPlan;
use crate::control::runtime_dir::Instance;
use crate::dpdk::{self, Eal, EalOptions, Mempool, Port, PortOptions, VhostUser};

/// The ports of a switch that has stopped.
pub struct Ports {
    pub(super) ports: Vec<Option<Port>>,
    pub(super) mempool: Mempool,
}

impl Ports {
    /// Closes them, and looks whether all packet buffers came back.
    pub fn close(self) {
        drop(self.ports);
        let in_use = self.mempool.in_use();
        if in_use > 0 {
            warn!(in_use, "packet buffers were not given back");
        }
    }
}

/// What DPDK is to be started with.
pub(super) fn environment(
    host: &checked::Host,
    plans: &[PortPlan<'_>],
    instance: &Instance,
    cores: Vec<usize>,
) -> EalOptions {
    let devices = plans.iter().filter_map(|plan| match plan {
        PortPlan::Uplink(uplink) => Some(&uplink.device),
        PortPlan::Guest { endpoint, .. } => match &endpoint.attach {
            Attach::Device(device) => Some(device),
            Attach::VhostUser { .. } => None,
        },
    });
    EalOptions {
        name: format!("weft-{}", host.name),
        memory_bytes: host.memory.size,
        hugepages: match host.memory.hugepages {
            checked::Hugepages::Auto => dpdk::Hugepages::Auto,
            checked::Hugepages::Required => dpdk::Hugepages::Required,
            checked::Hugepages::Off => dpdk::Hugepages::Off,
        },
        pci: devices.filter_map(|device| pci_address(device)).collect(),
        cores,
        // The instance's own, so that what a killed switch leaves is used again and not added to.
        runtime_dir: Some(instance.dir().to_owned()),
        ..EalOptions::default()
    }
}

/// The cores of `usable` that no worker has to itself; all of them where none is left.
pub(super) fn off_the_workers(usable: &[usize], workers: &[usize]) -> Vec<usize> {
    let left: Vec<usize> = usable.iter().copied().filter(|core| !workers.contains(core)).collect();
    if left.is_empty() { usable.to_vec() } else { left }
}

/// Opens a port.
pub(super) fn open(
    eal: &Eal,
    mempool: &Mempool,
    instance: &Instance,
    plan: &PortPlan<'_>,
) -> Result<Port, StartError> {
    let options =
        PortOptions { rx_descriptors: DESCRIPTORS, tx_descriptors: DESCRIPTORS, ..PortOptions::new(mempool) };
    let opened = match plan {
        PortPlan::Uplink(uplink) => {
            let options = PortOptions { mtu: Some(uplink.mtu), ..options };
            open_device(eal, &uplink.device, &options)
        }
        PortPlan::Guest { endpoint, .. } => match &endpoint.attach {
            Attach::Device(device) => open_device(eal, device, &options),
            Attach::VhostUser { path, mode, queues } => {
                let mode = match mode {
                    checked::VhostMode::Server => dpdk::VhostMode::Server,
                    checked::VhostMode::Client => dpdk::VhostMode::Client,
                };
                let path = instance.socket(path);
                make_folder(instance, &path).map_err(|(folder, source)| StartError::Folder {
                    port: plan.name(),
                    folder,
                    source,
                })?;
                VhostUser { path, mode, queues: *queues }.open(eal, &options)
            }
        },
    };
    let port = opened.map_err(|source| StartError::Port {
        port: plan.name(),
        attach: plan.attach(),
        source: Box::new(source),
    })?;
    let mac = port.mac().map(|mac| tracing::field::display(Mac(mac)));
    info!(port = plan.name(), device = port.name(), driver = port.driver(), mac, "opened");
    Ok(port)
}

/// Opens what a device string names.
fn open_device(eal: &Eal, device: &str, options: &PortOptions) -> Result<Port, dpdk::Error> {
    match VhostUser::of_device(device) {
        Some(socket) => socket.open_as_device(eal, options),
        None => Port::open(eal, device, options),
    }
}

/// Makes the folder of a socket, where that is in the instance's own; others have to be there.
fn make_folder(instance: &Instance, socket: &Path) -> Result<(), (PathBuf, io::Error)> {
    let Some(folder) = socket.parent().filter(|folder| folder.starts_with(instance.dir())) else {
        return Ok(());
    };
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|source| (folder.to_owned(), source))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_control_thread_leaves_the_workers_their_cores() {
        assert_eq!(off_the_workers(&[0, 1, 2], &[1]), [0, 2]);
        assert_eq!(off_the_workers(&[0, 1], &[]), [0, 1]);
        assert_eq!(off_the_workers(&[0, 1], &[1, 0]), [0, 1]);
    }
}
