//! A guest that is a network namespace, on a virtual wire whose other end the switch holds.
//!
//! Facts, each tried with DPDK 22.11: `net_af_xdp`, `net_af_packet` and `net_tap` all carry such a guest. `AF_XDP` is some
//! 2.5 times as quick as `AF_PACKET` here, takes frames of more than 1518 bytes, which that refuses to be configured for, and
//! works again after the switch was killed. A tap survives being moved into the guest's namespace, but goes
//! with the switch. The wires' own checksum and segmentation offloads have to be off for the first two.

use std::net::IpAddr;
use std::time::Duration;

use super::{Job, Output, Station};
use crate::{Error, Namespace, Result, Spawn};

/// A network namespace with an `eth0`.
#[derive(Debug)]
pub struct NetnsGuest {
    name: String,
    address: IpAddr,
    namespace: Namespace,
}

impl NetnsGuest {
    /// Makes a guest whose wire ends in the host's namespace as `wire`, a name of at most 15 bytes; the switch there opens it
    /// as [`NetnsGuest::device`] says. The wire outlives the switch, so a restarted switch finds it as it was.
    pub fn new(
        name: &str,
        host: &Namespace,
        wire: &str,
        mac: &str,
        address: IpAddr,
        prefix: u8,
        mtu: u16,
    ) -> Result<Self> {
        let namespace = Namespace::new(&name.replace('/', "-"))?;
        namespace.join("eth0", host, wire, mtu)?;
        namespace.must(&format!("ip link set eth0 address {mac}"))?;
        namespace.assign("eth0", address, prefix)?;
        Ok(Self::adopt(name, address, namespace))
    }

    /// Makes a guest of a namespace that has its device already.
    pub fn adopt(name: &str, address: IpAddr, namespace: Namespace) -> Self {
        Self { name: name.to_owned(), address, namespace }
    }

    /// What the switch opens to hold the other end of `wire`: the `index`-th such device of its process.
    ///
    /// Not a tap: a wire's two ends can lie in two namespaces from the start and stay there, and the
    /// guest's device is there before and after the switch.
    pub fn device(index: usize, wire: &str) -> String {
        format!("net_af_xdp{index},iface={wire}")
    }

    /// Gives it one more address.
    pub fn assign(&self, address: IpAddr, prefix: u8) -> Result<()> {
        self.namespace.assign("eth0", address, prefix)
    }

    /// Takes it away with its wire, whose name is free at once: a namespace's devices go some time after its name.
    pub fn unplug(self) -> Result<()> {
        self.namespace.must("ip link delete eth0").map(drop)
    }

    /// Where it lives.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }
}

impl Station for NetnsGuest {
    fn name(&self) -> &str {
        &self.name
    }

    fn address(&self) -> IpAddr {
        self.address
    }

    fn run(&self, command: &str, deadline: Duration) -> Result<Output> {
        self.namespace.run(command, deadline)
    }

    fn start(&self, command: &str) -> Result<Job> {
        let process =
            self.namespace.spawn(Spawn::shell(command).named(format!("a command in {}", self.name)))?;
        Ok(Job::Local(Box::new(process)))
    }

    fn finish(&self, job: Job, deadline: Duration) -> Result<Output> {
        match job {
            Job::Local(process) => {
                Ok(Output { status: process.wait(deadline)?.code(), stdout: process.log() })
            }
            Job::Remote(_) => Err(Error::failed(format!("a job that is not of {}", self.name), "")),
        }
    }
}
