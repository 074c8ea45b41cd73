//! What a replay has no device for: the uplinks' MACs, and the neighbours that would answer ARP.

use std::net::Ipv4Addr;
use std::time::Duration;

use weft_pipelines::wire::ethernet::EtherType;
use weft_pipelines::wire::{Arp, Ethernet};
use weft_pipelines::{HopId, Mac, Plane, Snapshot, TestFrame, Tick};

use super::recording::{RecordingError, Source};
use crate::config::checked::{Host, Uplink};

/// How often assumed neighbours are confirmed: well before the packet logic would ask them.
const CONFIRM: Duration = Duration::from_secs(10);

/// The MAC that stands for the interface with `ip` where nothing tells its real one: `02:00`, which no
/// manufacturer has (IEEE 802, 8.4: locally administered), and the address.
pub fn derived_mac(ip: Ipv4Addr) -> Mac {
    let [a, b, c, d] = ip.octets();
    Mac([2, 0, a, b, c, d])
}

/// The MAC that stands for `uplink`: made of the VTEP where that is one of its addresses, else of its first.
pub(crate) fn uplink_mac(host: &Host, uplink: &Uplink) -> Mac {
    let mut addresses = uplink.addresses.iter().map(|net| net.addr());
    let has_vtep = addresses.clone().any(|ip| ip == host.vtep);
    derived_mac(addresses.next().filter(|_| !has_vtep).unwrap_or(host.vtep))
}

/// The uplink's MAC, as the first frame of `source` that tells it does; `None` if no frame does.
///
/// # Errors
///
/// When the recording can't be opened. Where it is damaged, the search ends.
pub(super) fn recorded_mac(
    source: &Source,
    host: &Host,
    uplink: &Uplink,
) -> Result<Option<Mac>, RecordingError> {
    let ours = |ip: Ipv4Addr| ip == host.vtep || uplink.addresses.iter().any(|net| net.addr() == ip);
    let mut recording = source.open()?;
    while let Ok(Some(packet)) = recording.next_packet() {
        if let Some(mac) = told_by(&packet.data, ours) {
            return Ok(Some(mac));
        }
    }
    Ok(None)
}

/// The MAC of the interface whose addresses are `ours`, if `frame` tells it: to whom it is sent where it is
/// unicast IPv4 or an ARP reply to our address; who sends it where it is ARP from our address.
fn told_by(frame: &[u8], ours: impl Fn(Ipv4Addr) -> bool) -> Option<Mac> {
    let (header, packet) = Ethernet::split(frame)?;
    let to = header.destination();
    let found = match header.ethertype() {
        EtherType::IPV4 => {
            // As much of the header as is needed: the recording may have kept little more.
            let destination: [u8; 4] = *packet.get(16..)?.first_chunk()?;
            ours(destination.into()).then_some(to)
        }
        EtherType::ARP => {
            let arp = Arp::parse(packet).ok()?;
            let from_us = ours(arp.sender_ip()).then(|| arp.sender_mac());
            from_us.or_else(|| ours(arp.target_ip()).then_some(to))
        }
        _ => None,
    };
    found.filter(|mac| mac.is_unicast())
}

/// Neighbours that are taken to be there without being asked.
#[derive(Debug, Default)]
pub(crate) struct Assumed {
    confirmed: Option<Tick>,
}

impl Assumed {
    /// Keeps every next hop's MAC fresh: the latest that ARP told, or the derived one.
    pub(crate) fn keep(&mut self, plane: &mut Plane<TestFrame>, snapshot: &Snapshot, now: Tick) {
        if self.confirmed.is_some_and(|last| now.since(last) < CONFIRM) {
            return;
        }
        self.confirmed = Some(now);
        for (hop, id) in snapshot.hops.iter().zip((0..).map(HopId)) {
            let mac = plane.neighbors.mac(id).unwrap_or_else(|| derived_mac(hop.ip));
            let waited = plane.neighbors.learn(id, mac, now);
            debug_assert!(waited.is_empty(), "nothing waits for a hop that was never unknown");
        }
    }
}

#[cfg(test)]
mod tests {
    use weft_pipelines::wire::arp::{self, Operation};
    use weft_pipelines::wire::ethernet;

    use super::*;

    const OURS: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
    const THEIRS: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 2);
    const OUR_MAC: Mac = Mac([0x0c, 0xc4, 0x7a, 0, 0, 1]);
    const THEIR_MAC: Mac = Mac([0x0c, 0xc4, 0x7a, 0, 0, 2]);

    fn told(frame: &[u8]) -> Option<Mac> {
        told_by(frame, |ip| ip == OURS)
    }

    fn frame(to: Mac, from: Mac, ethertype: EtherType, packet: &[u8]) -> Vec<u8> {
        let mut header = [0; ethernet::LEN];
        ethernet::write(&mut header, to, from, ethertype);
        [&header, packet].concat()
    }

    fn arp(to: Mac, operation: Operation, sender: (Mac, Ipv4Addr), target: (Mac, Ipv4Addr)) -> Vec<u8> {
        let mut packet = [0; arp::LEN];
        arp::write(&mut packet, operation, sender, target);
        frame(to, sender.0, EtherType::ARP, &packet)
    }

    #[test]
    fn a_recording_tells_the_uplinks_mac() {
        let ip = |to: Ipv4Addr| [&[0x45; 16][..], &to.octets()].concat();
        assert_eq!(told(&frame(OUR_MAC, THEIR_MAC, EtherType::IPV4, &ip(OURS))), Some(OUR_MAC));
        assert_eq!(told(&frame(OUR_MAC, THEIR_MAC, EtherType::IPV4, &ip(THEIRS))), None);
        assert_eq!(told(&frame(Mac::BROADCAST, THEIR_MAC, EtherType::IPV4, &ip(OURS))), None);
        assert_eq!(told(&frame(OUR_MAC, THEIR_MAC, EtherType::IPV4, &ip(OURS)[..19])), None);
        let (us, them) = ((OUR_MAC, OURS), (THEIR_MAC, THEIRS));
        assert_eq!(told(&arp(Mac::BROADCAST, Operation::Request, us, (Mac::ZERO, THEIRS))), Some(OUR_MAC));
        assert_eq!(told(&arp(Mac::BROADCAST, Operation::Request, them, (Mac::ZERO, OURS))), None);
        assert_eq!(told(&arp(OUR_MAC, Operation::Reply, them, us)), Some(OUR_MAC));
        assert_eq!(told(&[]), None);
    }
}
