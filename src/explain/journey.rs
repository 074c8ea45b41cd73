//! A packet's way over all hosts, stage by stage.

use std::collections::{BTreeMap, VecDeque};
use std::net::Ipv4Addr;

use weft_pipelines::overlay::{Template, template};
use weft_pipelines::wire::tos;
use weft_pipelines::{PortId, Reason, Vni};

use super::host::Switch;
use super::words::{Step, Teller};
use crate::config::checked::{Fabric, Host, HostIndex};
use crate::control::compile::TooMany;
use crate::replay::{derived_mac, uplink_mac};

/// A packet's way.
#[derive(Clone, Debug, Default)]
pub struct Way {
    /// Its steps.
    pub steps: Vec<Step>,
    /// The endpoints that it was sent to, `tenant/endpoint`.
    pub reached: Vec<String>,
    /// The other hosts that it was sent to and not followed to.
    pub left_to: Vec<String>,
}

/// Where a packet begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// An endpoint of this host sends it: the tenant's and the endpoint's places in the document.
    Endpoint(HostIndex, usize, usize),
    /// It comes to `host` from `peer`, in this segment.
    Fabric { host: HostIndex, peer: HostIndex, vni: Vni },
}

/// All hosts that packets came by so far.
pub struct Journey<'a> {
    fabric: &'a Fabric,
    switches: BTreeMap<HostIndex, Switch>,
}

/// A frame on its way to a port.
struct Arriving {
    host: HostIndex,
    port: PortId,
    frame: Vec<u8>,
}

impl<'a> Journey<'a> {
    /// A journey in `fabric`.
    pub fn new(fabric: &'a Fabric) -> Self {
        Self { fabric, switches: BTreeMap::new() }
    }

    /// Takes `frame` all the way; to other hosts only if it is to be followed, and if they have uplinks in the document.
    ///
    /// # Errors
    ///
    /// When a host of the document can't be compiled.
    pub fn take(&mut self, entry: Entry, frame: &[u8], follow: bool) -> Result<Way, TooMany> {
        let mut way = Way::default();
        let mut underway = VecDeque::from([self.arriving(entry, frame)?]);
        while let Some(Arriving { host, port, frame }) = underway.pop_front() {
            let switch = self.switch(host)?;
            let passage = switch.receive(port, &frame);
            let teller = self.teller(host, port);
            let mut steps = teller.steps(&passage.glimpses);
            // Behind the last stage that shows its burst.
            let said =
                |reason: &Reason| steps.iter().any(|step| step.dropped.as_deref() == Some(reason.name()));
            let behind: Vec<_> = passage.dropped.iter().filter(|reason| !said(reason)).copied().collect();
            steps.extend(behind.into_iter().map(|reason| teller.lost(port, reason)));
            way.steps.append(&mut steps);
            for (port, frame) in passage.sent {
                match self.sent(&mut way.steps, host, port, &frame) {
                    Sent::Endpoint(name) => way.reached.push(name),
                    Sent::Host(next) if follow && !self.fabric.hosts[next.0].uplinks.is_empty() => {
                        underway.push_back(self.across(next, frame)?);
                    }
                    Sent::Host(next) => way.left_to.push(self.fabric.hosts[next.0].name.to_string()),
                    Sent::Nowhere => {}
                }
            }
        }
        Ok(way)
    }

    fn switch(&mut self, host: HostIndex) -> Result<&mut Switch, TooMany> {
        use std::collections::btree_map::Entry;
        match self.switches.entry(host) {
            Entry::Occupied(switch) => Ok(switch.into_mut()),
            Entry::Vacant(place) => Ok(place.insert(Switch::new(self.fabric, host)?)),
        }
    }

    fn arriving(&mut self, entry: Entry, frame: &[u8]) -> Result<Arriving, TooMany> {
        match entry {
            Entry::Endpoint(host, tenant, endpoint) => {
                let tenant = &self.fabric.tenants[tenant];
                let name = super::ends::full_name(tenant, &tenant.endpoints[endpoint]);
                let labels = &self.switch(host)?.compiled.labels;
                let port = labels.ports.iter().position(|port| port.name == name).unwrap_or_default();
                Ok(Arriving { host, port: PortId(port as u16), frame: frame.to_vec() })
            }
            Entry::Fabric { host, peer, vni } => {
                let mut headers = [0; template::LEN];
                let (from, to) = (self.fabric.hosts[peer.0].vtep, self.fabric.hosts[host.0].vtep);
                Template::new(derived_mac(from), from, to, self.fabric.vxlan_port).write(
                    &mut headers,
                    vni,
                    frame.len() as u16,
                    tos::of(frame).unwrap_or_default(),
                    0,
                );
                self.across(host, [&headers[..], frame].concat())
            }
        }
    }

    /// Brings a frame over the underlay to the uplink of `host` that has its VTEP: what routers are between rewrites
    /// the MACs.
    fn across(&mut self, host: HostIndex, mut frame: Vec<u8>) -> Result<Arriving, TooMany> {
        let described = &self.fabric.hosts[host.0];
        let uplink = receiving_uplink(described);
        if let Some(header) = frame.first_chunk_mut::<6>() {
            *header = uplink_mac(described, &described.uplinks[uplink]).0;
        }
        // A host's first ports are its uplinks'.
        let port = self.switch(host)?.compiled.ports[uplink];
        Ok(Arriving { host, port, frame })
    }

    /// Says where a frame went that a switch sent.
    fn sent(&self, steps: &mut Vec<Step>, host: HostIndex, port: PortId, frame: &[u8]) -> Sent {
        let teller = self.teller(host, port);
        let left = teller.sent(port, frame, |vtep| self.assumed(host, vtep));
        let Some((step, to)) = left else { return Sent::Nowhere };
        steps.push(step);
        match to {
            None => Sent::Endpoint(teller.port_name(port).to_owned()),
            Some(vtep) => {
                let next = self.fabric.hosts.iter().position(|host| host.vtep == vtep);
                next.map_or(Sent::Nowhere, |next| Sent::Host(HostIndex(next)))
            }
        }
    }

    /// Tells of a packet that `host` received from `port`.
    fn teller(&self, host: HostIndex, port: PortId) -> Teller<'_> {
        Teller { fabric: self.fabric, compiled: &self.switches[&host].compiled, port }
    }

    /// What to say of a next hop's MAC that the document does not give.
    fn assumed(&self, host: HostIndex, vtep: Ipv4Addr) -> &'static str {
        let snapshot = self.switches[&host].snapshot();
        let tunnel = snapshot.tunnels.iter().find(|tunnel| tunnel.vtep == vtep);
        match tunnel.and_then(|tunnel| snapshot.hop(tunnel.hop).fixed) {
            Some(_) => "",
            None => " (made up; in the running switch ARP tells it)",
        }
    }
}

/// Where a switch sent a frame.
enum Sent {
    Endpoint(String),
    Host(HostIndex),
    Nowhere,
}

/// The place of the uplink that has the host's VTEP.
fn receiving_uplink(host: &Host) -> usize {
    let has_vtep =
        host.uplinks.iter().position(|uplink| uplink.addresses.iter().any(|net| net.addr() == host.vtep));
    has_vtep.unwrap_or_default()
}
