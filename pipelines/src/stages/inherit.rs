//! Gives the inner header what the outer one met on its way.

use crate::batch::Batch;
use crate::frame::Frame;
use crate::qos::Dscp;
use crate::stages::parse::Network;
use crate::verdict::Reason;
use crate::wire::tos;

/// Brings the ECN of every passing packet, and under [`Dscp::Uniform`] its DSCP, from the outer header, that decap
/// remembered, to the inner one, that parse has found (RFC 6040, section 4.2; RFC 2983, section 3).
///
/// ARP has neither and stays as it is.
pub fn inherit<F: Frame>(batch: &mut Batch<F>, dscp: Dscp) {
    // Only ECT(1) and CE, which have this bit, change anything. What earlier bursts left in the lane does no harm.
    let is_marked = batch.outer.iter().fold(0, |all, outer| all | outer) & tos::ECT_1 != 0;
    if !is_marked && dscp == Dscp::Pipe {
        return;
    }
    for i in batch.passing() {
        let outer = batch.outer[i];
        let (frame, headers) = batch.frame_and_headers_mut(i);
        if headers.network == Network::Arp {
            continue;
        }
        let Some(ecn) = tos::decapsulated(headers.tos, outer) else {
            batch.drop(i, Reason::NotEcnCapable);
            continue;
        };
        let of = if dscp == Dscp::Uniform { outer } else { headers.tos };
        let octet = of & !tos::ECN | ecn;
        if octet != headers.tos {
            let is_set = tos::set(frame.data_mut(), octet);
            debug_assert!(is_set, "parse has found an IP header");
            headers.tos = octet;
        }
    }
}
