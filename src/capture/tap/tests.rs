use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use weft_pipelines::testing::entry::{guest_frames, underlay_frames, with_policies};
use weft_pipelines::testing::frames::{from_fabric, udp4, udp4_to};
use weft_pipelines::testing::generators::{changed, changes};
use weft_pipelines::testing::lab::endpoint::{DB1, WEB1, WEB2};
use weft_pipelines::testing::lab::{BLUE, Lab, host, port};
use weft_pipelines::testing::{Bed, packets};
use weft_pipelines::{Mac, Snapshot};

use super::*;

/// All packets whole, both ways, by all ports.
fn all(snapshot: &Snapshot) -> Wanted {
    let vni = |port| Some(snapshot.segment(snapshot.guest(PortId(port))?.segment).vni);
    Wanted {
        ports: None,
        inward: true,
        outward: true,
        filter: Filter::default(),
        snap: 2048,
        vnis: (0..snapshot.ports.len() as u16).map(vni).collect(),
        vxlan_port: snapshot.vxlan_port,
    }
}

/// Opens the eyes of all workers of `bed`.
fn watch(bed: &mut Bed, wanted: Wanted, room: usize) -> Vec<Tray> {
    let (wanted, ports) = (Arc::new(wanted), bed.snapshot.ports.len());
    let open = bed.sinks.iter_mut().map(|sink| {
        let (tap, tray) = tap(wanted.clone(), room, ports);
        assert!(sink.eyes.open(1, Box::new(tap)).is_ok());
        tray
    });
    open.collect()
}

/// Closes them, and takes what came out.
fn packets_of(bed: &mut Bed, trays: &mut [Tray]) -> Vec<Packet> {
    bed.sinks.iter_mut().for_each(|sink| drop(sink.eyes.close(1)));
    trays.iter_mut().flat_map(|tray| std::iter::from_fn(|| tray.take())).collect()
}

fn bed(workers: u16) -> Bed {
    let (ours, theirs) = (weft_pipelines::testing::lab::vtep(0), weft_pipelines::testing::lab::vtep(2));
    let mut bed = Bed::new(&Lab::on_workers(workers), host::HV_A);
    let reply = packets::arp(packets::Operation::Reply, (theirs.1, theirs.0), (ours.1, ours.0));
    bed.receive(port::UPLINK, &[reply]);
    bed
}

#[test]
fn a_packet_is_told_as_it_came_in_and_as_it_left() {
    let mut bed = bed(1);
    let wanted = all(&bed.snapshot);
    let mut trays = watch(&mut bed, wanted, 1 << 20);
    let (near, far) = (udp4(WEB1, WEB2, b"near"), udp4(WEB1, DB1, b"far"));
    let sent = bed.receive(port::BLUE_WEB1, &[near.clone(), far.clone()]);
    let came = from_fabric(host::HV_B, BLUE, &udp4(DB1, WEB1, b"back"));
    let delivered = bed.receive(port::UPLINK, std::slice::from_ref(&came));
    let told = packets_of(&mut bed, &mut trays);
    let of = |direction| {
        let told = told.iter().filter(move |packet| packet.direction == direction);
        told.map(|packet| (packet.port, packet.data.clone())).collect::<Vec<_>>()
    };
    let inward = [(port::BLUE_WEB1, near), (port::BLUE_WEB1, far), (port::UPLINK, came)];
    assert_eq!(of(Direction::In), inward);
    // The far one waits for its next hop, which is asked.
    assert_eq!(of(Direction::Out), [sent, delivered].concat());
    assert!(told.iter().all(|packet| packet.dropped.is_none() && packet.len as usize == packet.data.len()));
}

#[test]
fn a_drop_is_told_with_its_reason_and_its_rule() {
    let [_, held] = with_policies(1);
    let mut bed = Bed::new(&held, host::HV_A);
    let wanted = all(&bed.snapshot);
    let mut trays = watch(&mut bed, wanted, 1 << 20);
    let spoofed = udp4(WEB2, DB1, b"spoofed");
    let refused = udp4(WEB1, WEB2, b"refused");
    bed.receive(port::BLUE_WEB1, &[spoofed.clone(), refused.clone()]);
    let told = packets_of(&mut bed, &mut trays);
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!((&told[0].data, told[0].dropped, told[0].refusal), (&spoofed, Some(Reason::SpoofedMac), None));
    assert_eq!((&told[1].data, told[1].dropped), (&refused, Some(Reason::PolicyDenied)));
    let refusal = told[1].refusal.expect("policy says by which rule");
    assert_eq!((bed.snapshot.segment(refusal.segment).vni.value(), refusal.rule), (BLUE, Some(0)));
}

#[test]
fn the_filter_is_asked_of_the_packet_as_it_came_with_what_became_of_it() {
    for (filter, wanted) in [
        ("", 3),
        ("drop", 1),
        ("drop spoofed_mac", 1),
        ("drop spoofed_ip", 0),
        ("not drop", 2),
        ("udp and not drop", 2),
        ("tcp", 0),
        ("ether src 02:00:00:00:00:99 and drop", 0),
        ("vni 1001", 3),
        ("vni 77", 0),
    ] {
        let mut bed = bed(1);
        let filter: Filter = filter.replace("1001", &BLUE.to_string()).parse().unwrap();
        let wanted_of = Wanted { filter, ..all(&bed.snapshot) };
        let mut trays = watch(&mut bed, wanted_of, 1 << 20);
        bed.receive(port::BLUE_WEB1, &[udp4(WEB2, DB1, b"spoofed"), udp4(WEB1, WEB2, b"passes")]);
        let told = packets_of(&mut bed, &mut trays);
        assert_eq!(told.len(), wanted, "{told:?}");
        let counted = trays[0].counted().nth(port::BLUE_WEB1.index()).unwrap();
        assert_eq!((counted.seen, counted.lost), (2, 0));
    }
}

#[test]
fn what_finds_no_room_is_counted_and_the_rest_is_whole() {
    let mut bed = bed(1);
    let wanted = Wanted { ports: Some(vec![port::BLUE_WEB2]), snap: 50, ..all(&bed.snapshot) };
    let mut trays = watch(&mut bed, wanted, 1000);
    let frames: Vec<_> = (0..100).map(|n| udp4(WEB1, WEB2, &[n; 60])).collect();
    bed.receive(port::BLUE_WEB1, &frames);
    let told = packets_of(&mut bed, &mut trays);
    assert_eq!(told.len(), 1000 / (HEAD + 50));
    for (packet, frame) in told.iter().zip(&frames) {
        assert_eq!((&packet.data[..], packet.len as usize), (&frame[..50], frame.len()));
    }
    let counted: Vec<_> = trays[0].counted().collect();
    let lost = 100 - told.len() as u64;
    assert_eq!(counted[port::BLUE_WEB2.index()], Counted { seen: 100, meant: 100, lost });
    assert_eq!(counted[port::BLUE_WEB1.index()], Counted::default());
    assert!(trays[0].is_abandoned() && trays[0].take().is_none());
}

#[test]
fn what_a_port_does_not_take_is_told_when_it_leaves() {
    let mut bed = bed(1);
    let wanted = Wanted { ports: Some(vec![port::BLUE_WEB2]), ..all(&bed.snapshot) };
    let mut trays = watch(&mut bed, wanted, 1 << 20);
    bed.sinks[0].room = vec![(port::BLUE_WEB2, 5)];
    let frames: Vec<_> = (0..20).map(|n| udp4(WEB1, WEB2, &[n])).collect();
    bed.receive(port::BLUE_WEB1, &frames);
    bed.wait(Duration::from_secs(1));
    bed.sinks[0].room.clear();
    bed.wait(Duration::from_secs(1));
    let told = packets_of(&mut bed, &mut trays);
    let told: Vec<_> = told.into_iter().map(|packet| packet.data).collect();
    assert_eq!(told, frames);
}

#[test]
fn a_flood_is_told_once_as_it_came_in_and_for_each_that_it_leaves_by() {
    let mut bed = bed(1);
    let wanted = all(&bed.snapshot);
    let mut trays = watch(&mut bed, wanted, 1 << 20);
    let sent = bed.receive(port::BLUE_WEB1, &[udp4_to(Mac::BROADCAST, WEB1, WEB2, b"all")]);
    let told = packets_of(&mut bed, &mut trays);
    let out = told.iter().filter(|packet| packet.direction == Direction::Out).count();
    assert_eq!((told.len() - out, out), (1, sent.len()));
}

/// By port: what came in, what left, and why how many were dropped.
type Books = BTreeMap<u16, (u64, u64, BTreeMap<Reason, u64>)>;

/// Every packet that is counted is told, with its reason, at the port that it is counted at.
fn assert_all_told(bed: &mut Bed, trays: &mut [Tray]) {
    let mut books = Books::new();
    for packet in packets_of(bed, trays) {
        let (rx, tx, drops) = books.entry(packet.port.0).or_default();
        match (packet.direction, packet.dropped) {
            (Direction::In, _) if !packet.is_copy => *rx += 1,
            (Direction::Out, None) => *tx += 1,
            _ => {}
        }
        if let Some(reason) = packet.dropped {
            *drops.entry(reason).or_default() += 1;
        }
    }
    let mut counted = Books::new();
    for (port, counters) in (0..).zip(&bed.counters().ports) {
        let drops = Reason::ALL.iter().map(|reason| (*reason, counters.drops.count(*reason)));
        // A copy that was never made has no bytes.
        let drops = drops.filter(|(reason, count)| *count > 0 && *reason != Reason::PoolEmpty).collect();
        let row = (counters.rx.packets, counters.tx.packets, drops);
        if row != Default::default() {
            counted.insert(port, row);
        }
    }
    books.retain(|_, row| *row != Default::default());
    assert_eq!(books, counted);
}

proptest! {
    #[test]
    fn whatever_is_counted_is_told(
        picks in prop::collection::vec((any::<prop::sample::Index>(), changes(), 0..40usize), 1..60),
        workers in 1..3u16,
        policy: bool,
        headroom in prop_oneof![Just(128usize), Just(20)],
    ) {
        let guests = guest_frames().into_iter().map(|frame| (port::BLUE_WEB1, frame));
        let underlay = underlay_frames().into_iter().map(|frame| (port::UPLINK, frame));
        let kinds: Vec<_> = guests.chain(underlay).collect();
        let [held, _] = with_policies(workers);
        let mut bed = if policy { Bed::new(&held, host::HV_A) } else { Bed::new(&Lab::on_workers(workers), host::HV_A) };
        bed.headroom = headroom;
        bed.sinks[0].room = vec![(port::BLUE_WEB2, 40)];
        let wanted = all(&bed.snapshot);
        let mut trays = watch(&mut bed, wanted, 32 << 20);
        for (pick, changes, times) in picks {
            let (port, frame) = pick.get(&kinds);
            let changed = changed(frame.clone(), &changes);
            // Several in a burst, good ones among them.
            let burst: Vec<_> = std::iter::once(changed).chain(std::iter::repeat_n(frame.clone(), times)).collect();
            bed.receive(*port, &burst);
        }
        bed.wait(Duration::from_secs(5));
        bed.stop();
        assert_all_told(&mut bed, &mut trays);
    }
}
