//! Brings a packet to several: a copy for each but the last, which gets the packet itself.

use crate::context::Context;
use crate::frame::Frame;
use crate::ids::{PortId, SegmentId};
use crate::sink::Sink;
use crate::stages::account;
use crate::verdict::Reason;
use crate::witness::Direction;

/// Calls `send` for each of `targets` with a copy of `frame`, or with `frame`; it came from `from` and is in `segment`.
pub fn replicate<F: Frame, S: Sink<F>, T: Copy>(
    context: &mut Context<'_, F, S>,
    (from, segment): (PortId, SegmentId),
    frame: F,
    mut targets: impl Iterator<Item = T>,
    mut send: impl FnMut(&mut Context<'_, F, S>, T, F),
) {
    let tenant = account::tenant_of(context, segment);
    let Some(mut target) = targets.next() else {
        context.sink.eyes().lose(from, Direction::In, Reason::NoDestination, &frame);
        return account::dropped(context, from, tenant, Reason::NoDestination, frame);
    };
    for next in targets {
        context.counters.replicated += 1;
        match frame.duplicate() {
            Some(copy) => {
                context.sink.eyes().copy(&frame, &copy);
                send(context, target, copy);
            }
            None => account::not_copied(context, from, tenant),
        }
        target = next;
    }
    send(context, target, frame);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::frames::{from_fabric, udp4_to};
    use crate::testing::lab::endpoint::{DB1, WEB1};
    use crate::testing::lab::{BLUE, Endpoint, host, port};
    use crate::testing::{Bed, Lab};
    use crate::wire::Mac;

    fn flood() -> Vec<u8> {
        udp4_to(Mac::BROADCAST, WEB1, DB1, b"x")
    }

    #[test]
    fn to_none_one_and_many() {
        for (others, copies) in [(0, 0), (1, 0), (2, 1), (40, 39)] {
            let endpoints = (0..=others).map(|n| Endpoint::numbered(host::HV_A, 0, 1 + n)).collect();
            let lab = Lab { endpoints, ..Lab::default() };
            let mut bed = Bed::new(&lab, host::HV_A);
            match bed.receive_one(port::BLUE_WEB1, &flood()) {
                Err(reason) => assert_eq!((reason, others), (Reason::NoDestination, 0)),
                Ok(sent) => {
                    let ports: Vec<_> = sent.iter().map(|(port, _)| port.0).collect();
                    assert_eq!(ports, (1..=u16::from(others)).collect::<Vec<_>>());
                    assert!(sent.iter().all(|(_, frame)| *frame == flood()));
                }
            }
            assert_eq!(bed.counters().replicated, copies);
        }
    }

    #[test]
    fn to_more_tunnels_than_a_batch_holds() {
        let mut lab = Lab::default();
        let peer = |n: u8| crate::testing::lab::Host {
            vtep: core::net::Ipv4Addr::new(198, 51, 100, n),
            mac: Mac([6, 0, 0, 0, 1, n]),
            ..lab.hosts[host::HV_B]
        };
        lab.hosts = [lab.hosts[0]].into_iter().chain((2..82).map(peer)).collect();
        lab.endpoints = (0..81).map(|n| Endpoint::numbered(n, 0, 1 + n as u8)).collect();
        let mut bed = Bed::new(&lab, host::HV_A);
        let sent = bed.receive(crate::ids::PortId(0), &[flood(), flood()]);
        assert_eq!(sent.len(), 160);
        let to = |frame: &[u8]| frame[33];
        assert!(sent.iter().map(|(_, frame)| to(frame)).eq((2..82).chain(2..82)));
    }

    #[test]
    fn an_empty_pool_costs_copies_and_not_the_packet() {
        let mut bed = Bed::new(&Lab::default(), host::HV_A);
        bed.pool.limit(Some(0));
        let inner = udp4_to(Mac::BROADCAST, DB1, WEB1, b"x");
        let sent = bed.receive(port::UPLINK, &[from_fabric(host::HV_B, BLUE, &inner)]);
        assert_eq!(sent, [(port::BLUE_WEB2, inner)]);
        let counters = bed.counters();
        assert_eq!((counters.replicated, bed.drops(port::UPLINK, Reason::PoolEmpty)), (1, 1));
        assert_eq!(counters.tenants[0].drops.count(Reason::PoolEmpty), 1);
    }
}
