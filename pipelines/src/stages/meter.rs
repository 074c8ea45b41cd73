//! Charges what a guest sends to its meters, and tags each packet with what its meters say.

use crate::batch::{BURST, Batch};
use crate::context::Context;
use crate::counters::Traffic;
use crate::frame::Frame;
use crate::ids::PortId;
use crate::overlay::template;
use crate::qos::{Colour, Tag};
use crate::sink::Sink;
use crate::snapshot::Guest;
use crate::stages::forward::Destination;

/// Charges every passing packet of the burst that `port` received, which is `guest`'s, as on the wire: a packet to
/// several once for each.
pub fn meter<F: Frame, S: Sink<F>>(
    context: &mut Context<'_, F, S>,
    port: PortId,
    guest: &Guest,
    batch: &mut Batch<F>,
) {
    if !context.meters.is_bound(port) {
        for i in batch.passing() {
            batch.tags[i] = Tag { from: port, tos: batch.headers[i].tos, colour: Colour::Green };
        }
        return;
    }
    let (snapshot, charge) = (context.snapshot, context.snapshot.qos.charge);
    let (mut costs, mut all) = ([0; BURST], Traffic::default());
    for i in batch.passing() {
        let bytes = batch.frame(i).size();
        costs[i] = match batch.destinations[i] {
            Destination::Port(_) => charge.of(bytes, 0),
            Destination::Tunnel(_) => charge.of(bytes, template::LEN),
            Destination::Everyone => {
                let segment = snapshot.segment(guest.segment);
                let here = segment.ports.len().saturating_sub(1) as u32 * charge.of(bytes, 0);
                here + segment.tunnels.len() as u32 * charge.of(bytes, template::LEN)
            }
        };
        all.add(costs[i] as usize);
        batch.tags[i] = Tag { from: port, tos: batch.headers[i].tos, colour: Colour::Green };
    }
    let metered = &mut context.counters.port(port).metered;
    metered.passed += all;
    if context.meters.take_green(port, all.packets, all.bytes) {
        return;
    }
    for i in batch.passing() {
        let colour = context.meters.take(port, costs[i]);
        metered.yellow += u64::from(colour == Colour::Yellow);
        batch.tags[i].colour = colour;
    }
}
