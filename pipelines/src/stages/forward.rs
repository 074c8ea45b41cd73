//! Finds where a packet goes: the destination MAC in its segment.

use crate::batch::Batch;
use crate::frame::Frame;
use crate::ids::{PortId, SegmentId, TunnelId};
use crate::snapshot::{Place, Snapshot};
use crate::verdict::Reason;
use crate::wire::{Ethernet, Mac};

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
    for i in batch.passing() {
        batch.segments[i] = segment;
        match destination(snapshot, segment, batch.frame(i).data()) {
            Ok(Destination::Port(to)) if to == port => batch.drop(i, Reason::Hairpin),
            Ok(to) => batch.destinations[i] = to,
            Err(reason) => batch.drop(i, reason),
        }
    }
}

/// Finds the port of every passing packet that came through the fabric, and that the sender is where it should be.
///
/// What comes from the fabric never goes back into it (split horizon), so that hosts can't make loops.
pub fn from_fabric<F: Frame>(batch: &mut Batch<F>, snapshot: &Snapshot) {
    for i in batch.passing() {
        let (segment, frame) = (batch.segments[i], batch.frame(i).data());
        let source =
            Ethernet::split(frame).and_then(|(header, _)| snapshot.endpoints.find(segment, header.source()));
        if source.is_some_and(|place| place != Place::There(batch.tunnels[i])) {
            batch.drop(i, Reason::SpoofedFabric);
            continue;
        }
        match destination(snapshot, segment, frame) {
            Ok(Destination::Tunnel(_)) | Err(Reason::NoUplink) => batch.drop(i, Reason::NotHere),
            Ok(to) => batch.destinations[i] = to,
            Err(reason) => batch.drop(i, reason),
        }
    }
}

fn destination(snapshot: &Snapshot, segment: SegmentId, frame: &[u8]) -> Result<Destination, Reason> {
    let (header, _) = Ethernet::split(frame).ok_or(Reason::Truncated)?;
    let mac = header.destination();
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
