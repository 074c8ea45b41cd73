//! Finds where a packet goes: the destination MAC in its segment.

use crate::batch::{BURST, Batch};
use crate::frame::Frame;
use crate::ids::{PortId, SegmentId, TunnelId};
use crate::snapshot::{Place, Snapshot};
use crate::stages::parse::Link;
use crate::verdict::Reason;
use crate::wire::Mac;

/// Where a packet goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Destination {
    /// To one endpoint of this host.
    Port(PortId),
    /// To one of another host.
    Tunnel(TunnelId),
    /// To all in the segment, but the one it came from.
    #[default]
    Everyone,
}

/// Finds the destination of every passing packet that `port`, a guest's in `segment`, sent.
pub fn from_vm<F: Frame>(batch: &mut Batch<F>, snapshot: &Snapshot, port: PortId, segment: SegmentId) {
    batch.segments = [segment; BURST];
    // Packets that follow each other mostly have one destination: it is looked up when it changes.
    let mut last = (u64::MAX, Destination::Everyone);
    for i in batch.passing() {
        let mac = batch.links[i].destination;
        if mac != last.0 {
            match destination(snapshot, segment, Mac::from_bits(mac)) {
                Ok(Destination::Port(to)) if to == port => {
                    batch.drop(i, Reason::Hairpin);
                    continue;
                }
                Ok(to) => last = (mac, to),
                Err(reason) => {
                    batch.drop(i, reason);
                    continue;
                }
            }
        }
        batch.destinations[i] = last.1;
    }
}

/// Finds the port of every passing packet that came through the fabric, and that the sender is where it should be.
///
/// What comes from the fabric never goes back into it (split horizon), so that hosts can't make loops.
pub fn from_fabric<F: Frame>(batch: &mut Batch<F>, snapshot: &Snapshot) {
    // As above; here the sender matters too.
    let nobody = Link { destination: u64::MAX, source: u64::MAX };
    let mut last = ((nobody, SegmentId::NONE, TunnelId::default()), Destination::Everyone);
    for i in batch.passing() {
        let ends = (batch.links[i], batch.segments[i], batch.tunnels[i]);
        if ends != last.0 {
            match place(snapshot, ends) {
                Ok(to) => last = (ends, to),
                Err(reason) => {
                    batch.drop(i, reason);
                    continue;
                }
            }
        }
        batch.destinations[i] = last.1;
    }
}

/// Where a packet goes that came through `tunnel`, if its sender is there.
fn place(
    snapshot: &Snapshot,
    (link, segment, tunnel): (Link, SegmentId, TunnelId),
) -> Result<Destination, Reason> {
    let source = snapshot.endpoints.find(segment, Mac::from_bits(link.source));
    if source.is_some_and(|place| place != Place::There(tunnel)) {
        return Err(Reason::SpoofedFabric);
    }
    match destination(snapshot, segment, Mac::from_bits(link.destination)) {
        Ok(Destination::Tunnel(_)) | Err(Reason::NoUplink) => Err(Reason::NotHere),
        found => found,
    }
}

#[inline(never)]
fn destination(snapshot: &Snapshot, segment: SegmentId, mac: Mac) -> Result<Destination, Reason> {
    if mac.is_multicast() {
        return if is_link_local(mac) { Err(Reason::LinkLocalMulticast) } else { Ok(Destination::Everyone) };
    }
    match snapshot.endpoints.find(segment, mac) {
        Some(Place::Here(port)) => Ok(Destination::Port(port)),
        Some(Place::There(tunnel)) => Ok(Destination::Tunnel(tunnel)),
        Some(Place::Unreachable) => Err(Reason::NoUplink),
        None => Ok(Destination::Everyone),
    }
}

/// 01:80:c2:00:00:00 to 0f.
fn is_link_local(mac: Mac) -> bool {
    mac.to_bits() & !0xf == 0x0180_c200_0000
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::frames::{from_fabric, udp4, udp4_to};
    use crate::testing::lab::endpoint::{DB1, DB2, LOST, WEB1, WEB2};
    use crate::testing::lab::{BLUE, RED, host, mac, port};
    use crate::testing::{Bed, Lab};

    const GROUP: Mac = Mac([0x01, 0, 0x5e, 0, 0, 0xfb]);

    fn bed() -> Bed {
        Bed::new(&Lab::default(), host::HV_A)
    }

    fn ports(sent: Result<Vec<(PortId, Vec<u8>)>, Reason>) -> Result<Vec<PortId>, Reason> {
        sent.map(|sent| sent.into_iter().map(|(port, _)| port).collect())
    }

    #[test]
    fn from_a_vm_by_the_destination() {
        let [web2, uplink] = [port::BLUE_WEB2, port::UPLINK];
        for (destination, expected) in [
            (mac(WEB2), Ok(vec![web2])),
            (mac(DB1), Ok(vec![uplink])),
            // Waits for the next hop, which is asked for.
            (mac(DB2), Ok(vec![uplink])),
            (mac(WEB1), Err(Reason::Hairpin)),
            (mac(LOST), Err(Reason::NoUplink)),
            // All others: hv-b at once, hv-c when it has answered.
            (Mac::BROADCAST, Ok(vec![web2, uplink, uplink])),
            (GROUP, Ok(vec![web2, uplink, uplink])),
            (mac(99), Ok(vec![web2, uplink, uplink])),
            (Mac([0x01, 0x80, 0xc2, 0, 0, 0]), Err(Reason::LinkLocalMulticast)),
            (Mac([0x01, 0x80, 0xc2, 0, 0, 0x0f]), Err(Reason::LinkLocalMulticast)),
            (Mac([0x01, 0x80, 0xc2, 0, 0, 0x10]), Ok(vec![web2, uplink, uplink])),
        ] {
            let sent = bed().receive_one(port::BLUE_WEB1, &udp4_to(destination, WEB1, WEB2, b"x"));
            assert_eq!(ports(sent), expected, "{destination}");
        }
    }

    #[test]
    fn from_the_fabric_by_the_destination_and_never_back() {
        let both = || Ok(vec![port::BLUE_WEB1, port::BLUE_WEB2]);
        for (destination, expected) in [
            (mac(WEB1), Ok(vec![port::BLUE_WEB1])),
            (mac(WEB2), Ok(vec![port::BLUE_WEB2])),
            (mac(DB1), Err(Reason::NotHere)),
            (mac(DB2), Err(Reason::NotHere)),
            (mac(LOST), Err(Reason::NotHere)),
            (Mac::BROADCAST, both()),
            (GROUP, both()),
            (mac(99), both()),
            (Mac([0x01, 0x80, 0xc2, 0, 0, 0x0e]), Err(Reason::LinkLocalMulticast)),
        ] {
            let inner = udp4_to(destination, DB1, WEB1, b"x");
            let sent = bed().receive_one(port::UPLINK, &from_fabric(host::HV_B, BLUE, &inner));
            assert_eq!(ports(sent), expected, "{destination}");
        }
    }

    #[test]
    fn from_the_fabric_only_the_sender_s_own_host_speaks_for_it() {
        for (from, sender, expected) in [
            (host::HV_B, DB1, Ok(vec![port::BLUE_WEB1])),
            (host::HV_C, DB2, Ok(vec![port::BLUE_WEB1])),
            (host::HV_C, DB1, Err(Reason::SpoofedFabric)),
            (host::HV_B, WEB2, Err(Reason::SpoofedFabric)),
            (host::HV_B, LOST, Err(Reason::SpoofedFabric)),
            (host::HV_B, 99, Ok(vec![port::BLUE_WEB1])),
        ] {
            let inner = udp4(sender, WEB1, b"x");
            let sent = bed().receive_one(port::UPLINK, &from_fabric(from, BLUE, &inner));
            assert_eq!(ports(sent), expected, "{sender} from {from}");
        }
    }

    #[test]
    fn tenants_with_equal_addresses_never_see_each_other() {
        let mut bed = bed();
        for frame in [udp4(WEB1, WEB2, b"x"), udp4_to(Mac::BROADCAST, WEB1, WEB2, b"x")] {
            for to in bed.receive(port::BLUE_WEB1, std::slice::from_ref(&frame)) {
                assert_ne!(to.0, port::RED_WEB1);
            }
            // WEB2 is nobody in red: all others there are on hv-b.
            let sent = bed.receive_one(port::RED_WEB1, &frame).unwrap();
            assert!(sent.iter().all(|(to, frame)| *to == port::UPLINK && frame[46..49] == [0, 0x07, 0xd1]));
        }
        let inner = udp4(DB1, WEB1, b"x");
        for (vni, expected) in [(BLUE, port::BLUE_WEB1), (RED, port::RED_WEB1)] {
            let sent = bed.receive_one(port::UPLINK, &from_fabric(host::HV_B, vni, &inner));
            assert_eq!(ports(sent), Ok(vec![expected]));
        }
        let flood = udp4_to(Mac::BROADCAST, DB1, WEB1, b"x");
        let sent = bed.receive_one(port::UPLINK, &from_fabric(host::HV_B, RED, &flood));
        assert_eq!(ports(sent), Ok(vec![port::RED_WEB1]));
    }
}
