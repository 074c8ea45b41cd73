//! Brings a packet to its port, or to the worker that owns it.

use crate::context::Context;
use crate::frame::Frame;
use crate::ids::PortId;
use crate::qos::Tag;
use crate::sink::{Handed, Sink};

/// Sends `frame` to the guest of `port`.
pub fn deliver<F: Frame, S: Sink<F>>(context: &mut Context<'_, F, S>, port: PortId, tag: Tag, frame: F) {
    let owner = context.snapshot.port(port).worker;
    if owner == context.worker {
        context.to_guest(port, tag, frame);
    } else {
        context.sink.hand_over(owner, Handed::Deliver(port, tag, frame));
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::frames::{from_fabric, udp4, udp4_to};
    use crate::testing::lab::endpoint::{DB1, WEB1, WEB2};
    use crate::testing::lab::{BLUE, host, port};
    use crate::testing::{Bed, Lab};
    use crate::wire::Mac;

    #[test]
    fn hands_over_to_the_worker_that_owns_the_port() {
        // web1 and red's are worker 0's, web2 and the uplink worker 1's.
        let mut bed = Bed::new(&Lab::on_workers(2), host::HV_A);
        let frames: Vec<_> = (0..40).map(|n| udp4(WEB1, WEB2, &[n])).collect();
        let expected: Vec<_> = frames.iter().map(|frame| (port::BLUE_WEB2, frame.clone())).collect();
        assert_eq!(bed.receive(port::BLUE_WEB1, &frames), expected);
        assert_eq!(bed.handed_over(), 40);
        let inner = udp4_to(Mac::BROADCAST, DB1, WEB1, b"x");
        let sent = bed.receive(port::UPLINK, &[from_fabric(host::HV_B, BLUE, &inner)]);
        assert_eq!(sent.len(), 2);
        assert_eq!(bed.handed_over(), 41);
    }
}
