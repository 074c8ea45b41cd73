//! DPDK's own test program as the simplest switch: whatever comes in at one port goes out at the other.

use std::time::Duration;

use testbed::{Namespace, Process, Result, Spawn, WorkDir};

/// Two ports, cross-connected.
pub struct Testpmd {
    devices: [String; 2],
    namespace: Option<String>,
    name: &'static str,
}

impl Testpmd {
    /// Between two devices.
    pub fn between(devices: [String; 2]) -> Self {
        Self { devices, namespace: None, name: "testpmd" }
    }

    /// Inside a namespace.
    pub fn inside(mut self, namespace: &Namespace) -> Self {
        self.namespace = Some(namespace.name().to_owned());
        self
    }

    /// Under another name, where there are several.
    pub fn named(mut self, name: &'static str) -> Self {
        self.name = name;
        self
    }

    /// Starts it, and waits until it forwards.
    pub fn start(&self, dir: &WorkDir) -> Result<Process> {
        let [one, two] = &self.devices;
        let lab = dir.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
        let prefix = format!("{lab}-{}", self.name);
        let spawn = Spawn::new("dpdk-testpmd")
            .named(self.name)
            .args([
                "-l",
                "0-1",
                "--no-huge",
                "-m",
                "128",
                "--no-pci",
                "--file-prefix",
                &prefix,
                "--vdev",
                one,
                "--vdev",
                two,
            ])
            .args(["--", "--forward-mode=io", "--auto-start", "--no-mlockall", "--total-num-mbufs=16384"])
            .args(["--stats-period=60"])
            // What DPDK would leave in /var/run when it is killed goes with the lab.
            .env("RUNTIME_DIRECTORY", dir.path());
        let spawn = match &self.namespace {
            Some(namespace) => spawn.namespace(namespace),
            None => spawn,
        };
        let process = spawn.start_in(dir)?;
        process.wait_for_log("Port statistics", Duration::from_secs(20))?;
        Ok(process)
    }
}
