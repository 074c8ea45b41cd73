//! One or two switches and a process of guests, from a list of guests; and how it all is settled at the end.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use testbed::guest::smol::{SmolGuest, SmolGuests, SmolSpec};
use testbed::host::{HostOptions, Ledger};
use testbed::underlay::{UPLINK_MTU, Wiring};
use testbed::{Error, Host, Result, Underlay, WorkDir, wait_for};

/// A guest: `tenant/name`, the number of its host, and the last byte of its MAC and of its addresses.
pub struct Place(pub &'static str, pub usize, pub u8);

/// Switches and guests; dropped guests first.
pub struct Fabric {
    pub guests: SmolGuests,
    pub hosts: Vec<Host>,
    /// What they were started with.
    pub document: PathBuf,
    wiring: Wiring,
    places: Vec<(String, usize)>,
}

impl Fabric {
    /// Brings it up: when this returns, every host is ready and every guest connected.
    pub fn up(places: &[Place]) -> Result<Self> {
        let dir = Arc::new(WorkDir::new()?);
        let names = &["hv-a", "hv-b"][..=places.iter().map(|place| place.1).max().unwrap_or_default()];
        let underlay = if names.len() > 1 { Underlay::Vhost } else { Underlay::None };
        let wiring = underlay.join(&dir, names)?;
        let document = dir.join("fabric.yaml");
        fs::write(&document, write_document(names, places, &wiring)).expect("a directory of our own");
        let start = |name: &&str| {
            let (name, fabric) = ((*name).to_owned(), document.clone());
            Host::start(&dir, HostOptions { name, fabric, namespace: None, user: None, binary: None })
        };
        let hosts: Vec<Host> = names.iter().map(start).collect::<Result<_>>()?;
        hosts.iter().try_for_each(|host| host.wait_ready(SOON))?;
        let spec = SmolSpec { guests: places.iter().map(|place| guest(place, places, &hosts)).collect() };
        let guests = SmolGuests::start(&dir, "guests", spec)?;
        let places = places.iter().map(|place| (place.0.to_owned(), place.1)).collect();
        let fabric = Self { guests, hosts, document, wiring, places };
        fabric.wait_up()?;
        Ok(fabric)
    }

    /// Waits until guests and switches agree that they are connected.
    pub fn wait_up(&self) -> Result<()> {
        self.guests.wait_up(SOON)?;
        for host in &self.hosts {
            wait_for(SOON, format!("the links of {}", host.name()), || {
                let ports = host.show("ports")?;
                let are_up =
                    ports.as_array().is_some_and(|ports| ports.iter().all(|port| port["link_up"] == true));
                Ok(are_up.then_some(()))
            })?;
        }
        Ok(())
    }

    /// Kills a switch outright and starts it anew.
    pub fn restart_host(&mut self, index: usize) -> Result<()> {
        let host = &mut self.hosts[index];
        host.kill9()?;
        self.wiring.uplink(host.name()).into_iter().for_each(|uplink| uplink.clear());
        host.restart()?;
        host.wait_ready(SOON)
    }

    /// How often the port of a guest counted each reason, right now.
    pub fn drops(&self, guest: &str) -> Result<BTreeMap<String, u64>> {
        let ports = self.hosts[self.host_of(guest)].show("ports")?;
        let port = ports.as_array().into_iter().flatten().find(|port| port["name"] == guest);
        let drops = port.and_then(|port| serde_json::from_value(port["drops"].clone()).ok());
        Ok(drops.unwrap_or_default())
    }

    /// Waits until the port of a guest has counted `reason` this often.
    pub fn wait_for_drops(&self, guest: &str, reason: &str, count: u64) -> Result<()> {
        let what = format!("{count} drops by {reason} at {guest}");
        wait_for(SOON, what, || Ok((self.drops(guest)?.get(reason) == Some(&count)).then_some(())))
    }

    /// Whether each running switch says that every packet is accounted for.
    pub fn assert_conserved(&self) -> Result<()> {
        for host in &self.hosts {
            let text = host.command(&["show", "ports"])?.success("show ports")?;
            assert!(text.contains("every packet is accounted for"), "{}: {text}", host.name());
        }
        Ok(())
    }

    /// No guest was sent what is not its own.
    pub fn assert_no_leaks(&self) -> Result<()> {
        for (guest, _) in &self.places {
            let stats = self.guests.stats(guest)?;
            assert_eq!(stats.leaks(), 0, "{guest}: {stats:?}");
        }
        Ok(())
    }

    /// For guests that were never restarted: what they sent their ports received, and the other way about. Then as
    /// [`Fabric::settle`].
    pub fn settle_exactly(self) -> Result<BTreeMap<String, Ledger>> {
        for (guest, host) in &self.places {
            let host = &self.hosts[*host];
            let mut last = String::new();
            let counted = wait_for(SOON, format!("{guest} and its port to agree"), || {
                let (ports, stats) = (host.show("ports")?, self.guests.stats(guest)?);
                let port = ports.as_array().into_iter().flatten().find(|port| port["name"] == guest.as_str());
                let Some(port) = port else { return Ok(None) };
                last = format!("{port} against {stats:?}");
                Ok((port["rx"] == stats.tx && port["tx"] == stats.rx && stats.tx_lost == 0).then_some(()))
            });
            if let Err(error) = counted {
                return Err(Error::failed(error.to_string(), last));
            }
        }
        self.settle()
    }

    /// Stops the hosts; each accounts for every packet.
    pub fn settle(self) -> Result<BTreeMap<String, Ledger>> {
        self.assert_conserved()?;
        // The last started first: its neighbour goes on taking what it still sends.
        let stop = |host: &Host| Ok((host.name().to_owned(), host.stop(SOON)?));
        let ledgers: BTreeMap<String, Ledger> = self.hosts.iter().rev().map(stop).collect::<Result<_>>()?;
        for (host, ledger) in &ledgers {
            assert!(ledger.conserved && ledger.adds_up(), "{host}: {ledger:?}");
        }
        Ok(ledgers)
    }

    fn host_of(&self, guest: &str) -> usize {
        let place = self.places.iter().find(|place| place.0 == guest);
        place.unwrap_or_else(|| panic!("the fabric has no guest {guest}")).1
    }
}

/// The IPv4 address of the guest of this number.
pub fn v4(number: u8) -> IpAddr {
    IpAddr::from([10, 1, 0, number])
}

/// Its IPv6 address.
pub fn v6(number: u8) -> IpAddr {
    IpAddr::from([0xfd00, 1, 0, 0, 0, 0, 0, u16::from(number)])
}

/// Its MAC address.
pub fn mac(number: u8) -> [u8; 6] {
    [2, 0, 0, 0, 1, number]
}

fn mac_text(number: u8) -> String {
    mac(number).map(|byte| format!("{byte:02x}")).join(":")
}

fn tenant(place: &Place) -> &'static str {
    place.0.split('/').next().unwrap_or_default()
}

fn socket(place: &Place) -> String {
    format!("{}.sock", place.0.replace('/', "-"))
}

fn guest(place: &Place, all: &[Place], hosts: &[Host]) -> SmolGuest {
    let peers: Vec<String> = all
        .iter()
        .filter(|other| tenant(other) == tenant(place) && other.0 != place.0)
        .map(|other| mac_text(other.2))
        .collect();
    let addresses = [format!("{}/24", v4(place.2)), format!("{}/64", v6(place.2))];
    SmolGuest::new(
        place.0,
        hosts[place.1].socket(&socket(place)),
        &mac_text(place.2),
        &addresses.each_ref().map(String::as_str),
    )
    .mark(tenant(place))
    .mtu(UPLINK_MTU - 50)
    .peers(&peers.iter().map(String::as_str).collect::<Vec<_>>())
}

fn write_document(hosts: &[&str], places: &[Place], wiring: &Wiring) -> String {
    let mut text = String::from("fabric: { name: lab }\nhosts:\n");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    for (index, host) in hosts.iter().enumerate() {
        let (vtep, core) = (format!("198.51.100.{}", index + 1), index % cores);
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "  - name: {host}\n    vtep: {vtep}\n    workers: {{ cores: [{core}], poll: adaptive }}\n\
             \x20   memory: {{ size: {}MiB, hugepages: off }}\n",
            if places.len() > 8 { 384 } else { 128 }
        );
        if let Some(uplink) = wiring.uplink(host) {
            let device = &uplink.device;
            let _ = writeln!(
                text,
                "    uplinks: [{{ name: up0, device: \"{device}\", address: [{vtep}/24], mtu: {UPLINK_MTU} }}]"
            );
        }
    }
    text += "tenants:\n";
    let mut tenants: Vec<&str> = places.iter().map(tenant).collect();
    tenants.dedup();
    for (index, name) in tenants.iter().enumerate() {
        let vni = 1001 + index;
        let _ = write!(
            text,
            "  - name: {name}\n    segments: [{{ name: front, vni: {vni}, subnet: [10.1.0.0/24, \"fd00:1::/64\"] }}]\n\
             \x20   endpoints:\n"
        );
        for place in places.iter().filter(|place| tenant(place) == *name) {
            let (own, host, number) =
                (place.0.rsplit('/').next().unwrap_or_default(), hosts[place.1], place.2);
            let _ = writeln!(
                text,
                "      - {{ name: {own}, host: {host}, attach: {{ vhost-user: {} }}, segment: front, mac: \"{}\", \
                 ip: [{}, \"{}\"] }}",
                socket(place),
                mac_text(number),
                v4(number),
                v6(number)
            );
        }
    }
    text
}

/// The longest that anything here takes that goes well.
pub const SOON: Duration = Duration::from_secs(30);
