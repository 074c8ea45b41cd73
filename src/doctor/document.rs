//! What a document wants of the machine.

use std::path::{Path, PathBuf};

use super::Finding;
use super::Hugepages;

/// Reads the document at a path for a host: what it wants of the machine, or all that is wrong with it.
pub type CheckDocument = fn(&Path, &str) -> Result<Wants, Vec<String>>;

/// What a host's part of a document wants of the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wants {
    /// The workers' cores.
    pub cores: Vec<u32>,
    /// Memory for packets and sessions, in bytes.
    pub memory_bytes: u64,
    /// Whether that is of hugepages.
    pub hugepages: Hugepages,
    /// PCI addresses, as `0000:3b:00.0`.
    pub pci_devices: Vec<String>,
    /// DPDK's virtual devices with their arguments, as `net_tap0,iface=db1`.
    pub vdevs: Vec<String>,
    /// Why the memory is too little for the host's ports, and what would be enough, in MiB.
    pub too_little_memory: Option<(String, u64)>,
    /// Endpoints' vhost-user sockets that the switch makes; relative ones are in the instance's folder.
    pub socket_paths: Vec<PathBuf>,
    /// Endpoints' vhost-user sockets that their guests make.
    pub guest_sockets: Vec<PathBuf>,
}

impl Wants {
    /// Adds a DPDK device string to the PCI devices or to the virtual ones, by its form.
    pub fn add_device(&mut self, device: &str) {
        match crate::config::pci_address(device) {
            Some(address) => self.pci_devices.push(address),
            None => self.vdevs.push(device.into()),
        }
    }
}

/// What is wrong with a document, each thing a finding.
pub fn document_findings(path: &Path, host: &str, checked: &Result<Wants, Vec<String>>) -> Vec<Finding> {
    match checked {
        Ok(_) => vec![Finding::ok("document", format!("{} is good for host {host}", path.display()))],
        Err(errors) => {
            let mend = format!("edit {}", path.display());
            errors.iter().map(|error| Finding::error("document", error, &mend)).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_told_apart_by_their_form() {
        let mut wants = Wants::default();
        for device in ["0000:3b:00.0", "3B:0.1,queues=2", "net_tap0,iface=db1", "net_pcap0,rx_pcap=/a/b.pcap"]
        {
            wants.add_device(device);
        }
        assert_eq!(wants.pci_devices, ["0000:3b:00.0", "0000:3b:00.1"]);
        assert_eq!(wants.vdevs, ["net_tap0,iface=db1", "net_pcap0,rx_pcap=/a/b.pcap"]);
    }

    #[test]
    fn each_error_of_a_document_is_a_finding() {
        let checked = Err(vec!["line 3: no".to_string(), "line 9: no".to_string()]);
        let findings = document_findings(Path::new("fabric.yaml"), "hv-a", &checked);
        assert_eq!(findings[1], Finding::error("document", "line 9: no", "edit fabric.yaml"));
        assert_eq!(findings.len(), 2);
    }
}
