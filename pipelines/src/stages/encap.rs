//! Puts the outer headers in front of a frame.

use crate::batch::Batch;
use crate::frame::Frame;
use crate::overlay::template;
use crate::snapshot::Snapshot;
use crate::verdict::Reason;

/// Encapsulates every passing frame for its tunnel; only the outer destination MAC stays to be filled in.
pub fn encap<F: Frame>(batch: &mut Batch<F>, snapshot: &Snapshot) {
    for i in batch.passing() {
        let (vni, hash) = (snapshot.segment(batch.segments[i]).vni, batch.headers[i].hash);
        let tunnel = snapshot.tunnel(batch.tunnels[i]);
        let frame = batch.frame_mut(i);
        let inner = frame.data().len();
        if inner > usize::from(tunnel.max_inner) {
            batch.drop(i, Reason::ExceedsUnderlayMtu);
        } else if !frame.prepend(template::LEN) {
            batch.drop(i, Reason::NoHeadroom);
        } else if let Some(headers) = frame.data_mut().first_chunk_mut() {
            tunnel.template.write(headers, vni, inner as u16, hash);
        }
    }
}
