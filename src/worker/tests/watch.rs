//! Who looks at packets of running workers.

use weft_pipelines::flow::Sessions;
use weft_pipelines::witness::WITNESSES;
use weft_pipelines::{Batch, Direction, Witness};

use super::*;
use crate::capture::filter::Filter;
use crate::capture::tap::{Packet, Tap, Tray, Wanted, tap};
use crate::trace::tap as trace;

/// All packets, both ways, by all ports, of one worker.
fn all(host: &Host) -> (Tap, Tray) {
    let wanted = Wanted {
        ports: None,
        inward: true,
        outward: true,
        filter: Filter::default(),
        snap: 2048,
        vnis: Vec::new(),
        vxlan_port: 4789,
    };
    tap(Arc::new(wanted), 1 << 20, host.snapshot.ports.len())
}

/// Lets each worker show packets to a tap.
fn watch(host: &Host) -> Vec<Tray> {
    let watch = |mailbox: &Arc<Mailbox<TestFrame>>| {
        let (tap, tray) = all(host);
        post(mailbox, Mail::Watch(7, Box::new(tap)));
        until("the worker to look", || matches!(mailbox.reply(), Some(Reply::Watching(7))).then_some(()));
        tray
    };
    host.mailboxes.iter().map(watch).collect()
}

fn take(trays: &mut [Tray]) -> Vec<Packet> {
    trays.iter_mut().flat_map(|tray| std::iter::from_fn(|| tray.take())).collect()
}

/// The numbers of what went this way by a port.
fn told(packets: &[Packet], port: u16, direction: Direction) -> Vec<u32> {
    let told = packets.iter().filter(|packet| packet.port.0 == port && packet.direction == direction);
    told.map(|packet| u32::from_be_bytes(*packet.data.last_chunk().unwrap())).collect()
}

#[test]
fn what_goes_from_worker_to_worker_is_told_by_both() {
    let host = Host::start(2);
    (0..50).for_each(|number| host.send(1, 2, number));
    until("what is not looked at", || (host.wires[2].count() == 50).then_some(()));
    let mut trays = watch(&host);
    (50..150).for_each(|number| host.send(1, 2, number));
    (150..200).for_each(|number| host.send(1, 4, number));
    until("all to arrive", || (host.wires[2].count() == 150 && host.wires[0].count() == 50).then_some(()));
    for mailbox in &host.mailboxes {
        post(mailbox, Mail::Unwatch(7));
        let gone = until("the witness", || match mailbox.reply() {
            Some(Reply::Unwatched(7, witness)) => Some(witness),
            _ => None,
        });
        assert!(gone.is_some());
    }
    assert!(trays.iter().all(Tray::is_abandoned));
    (200..250).for_each(|number| host.send(1, 2, number));
    until("the rest", || (host.wires[2].count() == 200).then_some(()));
    let packets = take(&mut trays);
    assert_eq!(told(&packets, 1, Direction::In), (50..200).collect::<Vec<_>>());
    assert_eq!(told(&packets, 2, Direction::Out), (50..150).collect::<Vec<_>>());
    assert_eq!(told(&packets, 0, Direction::Out), (150..200).collect::<Vec<_>>());
    assert_eq!(packets.len(), 150 + 100 + 50);
    host.end(250);
}

#[test]
fn what_waits_when_the_worker_ends_is_told_with_its_reason() {
    let host = Host::start(1);
    *host.wires[2].room.lock().unwrap() = 10;
    let mut trays = watch(&host);
    (0..100).for_each(|number| host.send(1, 2, number));
    host.end(100);
    assert!(trays[0].is_abandoned());
    let packets = take(&mut trays);
    let stopping = packets.iter().filter(|packet| packet.dropped == Some(Reason::Stopping));
    assert_eq!((told(&packets, 1, Direction::In).len(), stopping.count()), (100, 90));
    assert_eq!(told(&packets, 2, Direction::Out), (0..100).collect::<Vec<_>>());
}

#[test]
fn a_ring_that_is_full_is_told_of() {
    let Compiled { snapshot, .. } = compiled(2);
    let (outgoing, _incoming) = rings::<TestFrame>(2).remove(1);
    let queues = vec![None, Some(Box::new(End(Wire::default())) as Box<dyn Transmit<_>>), None, None];
    let mut outputs = Outputs::new(snapshot, queues, outgoing, Box::new(Heap));
    let host = Host::start(1);
    let (tap, mut tray) = all(&host);
    assert!(outputs.eyes.open(1, Box::new(tap)).is_ok());
    for _ in 0..1_500 {
        let frame = TestFrame::new(&frame(1, 2, 0));
        let handed = Handed::Deliver(PortId(2), Tag::default(), frame);
        weft_pipelines::Sink::hand_over(&mut outputs, WorkerId(0), handed);
    }
    outputs.flush();
    drop(outputs.eyes.close(1));
    let told: Vec<_> =
        std::iter::from_fn(|| tray.take()).map(|packet| (packet.port.0, packet.dropped)).collect();
    assert_eq!(told, vec![(2, Some(Reason::HandOverFull)); 1_500 - 1_024]);
    host.end(0);
}

/// Looks at nothing.
struct Blind;

impl Witness<TestFrame> for Blind {
    fn saw(&mut self, _: &'static str, _: &Batch<TestFrame>, _: &Sessions) {}
}

#[test]
fn as_many_look_as_may() {
    let host = Host::start(1);
    let mailbox = &host.mailboxes[0];
    for id in 0..=WITNESSES as u64 {
        post(mailbox, Mail::Watch(id, Box::new(Blind)));
        let full = until("an answer", || match mailbox.reply() {
            Some(Reply::Watching(of)) => Some(of != id),
            Some(Reply::Unwatched(of, Some(_))) => Some(of == id),
            _ => None,
        });
        assert_eq!(full, id == WITNESSES as u64);
    }
    // One that is not there is nobody's loss.
    post(mailbox, Mail::Unwatch(99));
    until("an answer", || matches!(mailbox.reply(), Some(Reply::Unwatched(99, None))).then_some(()));
    host.end(0);
}

#[test]
fn a_trace_follows_packets_from_worker_to_worker() {
    let host = Host::start(2);
    let wanted = Arc::new(trace::Wanted {
        ports: None,
        filter: Filter::default(),
        vnis: Vec::new(),
        vxlan_port: 4789,
        left: 100.into(),
    });
    let (taps, mut trays) = trace::taps(&wanted, host.mailboxes.len());
    for (mailbox, tap) in host.mailboxes.iter().zip(taps) {
        post(mailbox, Mail::Watch(7, Box::new(tap)));
        until("the worker to look", || matches!(mailbox.reply(), Some(Reply::Watching(7))).then_some(()));
    }
    let (mut sent, mut over) = (0, 0);
    (0..100).for_each(|number| host.send(1, 2, number));
    until("all to be told", || {
        for event in trays.iter_mut().flat_map(|tray| std::iter::from_fn(|| tray.take())) {
            sent += u32::from(matches!(event.what, trace::What::Sent(PortId(2), _)));
            over += u32::from(matches!(event.what, trace::What::Over { whole: true }));
        }
        (over as u64 + trays.iter().map(trace::Tray::lost).sum::<u64>() == 100).then_some(())
    });
    assert_eq!((sent, over), (100, 100));
    host.end(100);
}
