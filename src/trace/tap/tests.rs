use std::collections::BTreeMap;

use weft_pipelines::testing::entry::{guest_frames, underlay_frames, with_policies};
use weft_pipelines::testing::frames::{from_fabric, udp4, udp4_to};
use weft_pipelines::testing::lab::endpoint::{DB1, WEB1, WEB2};
use weft_pipelines::testing::lab::{BLUE, Lab, host, port};
use weft_pipelines::testing::{Bed, packets};
use weft_pipelines::{Mac, Snapshot};

use super::*;

fn wanted(snapshot: &Snapshot, filter: &str, count: u64) -> Arc<Wanted> {
    let vni = |port| Some(snapshot.segment(snapshot.guest(PortId(port))?.segment).vni);
    Arc::new(Wanted {
        ports: None,
        filter: filter.parse().unwrap(),
        vnis: (0..snapshot.ports.len() as u16).map(vni).collect(),
        vxlan_port: snapshot.vxlan_port,
        left: AtomicU64::new(count),
    })
}

/// Lets all workers of `bed` follow such packets.
fn follow(bed: &mut Bed, filter: &str, count: u64) -> Vec<Tray> {
    let (taps, trays) = taps(&wanted(&bed.snapshot, filter, count), bed.sinks.len());
    for (sink, tap) in bed.sinks.iter_mut().zip(taps) {
        assert!(sink.eyes.open(1, Box::new(tap)).is_ok());
    }
    trays
}

/// What came of it, by packet, in its order.
fn told(bed: &mut Bed, trays: &mut [Tray]) -> BTreeMap<u64, Vec<Event>> {
    bed.sinks.iter_mut().for_each(|sink| drop(sink.eyes.close(1)));
    let mut all = BTreeMap::<_, Vec<_>>::new();
    for event in trays.iter_mut().flat_map(|tray| std::iter::from_fn(|| tray.take())) {
        all.entry(event.packet).or_default().push(event);
    }
    all.values_mut().for_each(|events| events.sort_by_key(|event| event.order));
    all
}

/// What happened, in short.
fn short(events: &[Event]) -> Vec<String> {
    let short = |event: &Event| match &event.what {
        What::Came(port, _) => format!("came {}", port.0),
        What::Saw(glimpse) => match glimpse.verdict {
            Verdict::Drop(reason) => format!("{} {}", glimpse.stage, reason.name()),
            _ => glimpse.stage.to_owned(),
        },
        What::Handed(worker) => format!("handed {}", worker.0),
        What::Parted => "parted".to_owned(),
        What::Sent(port, _) => format!("sent {}", port.0),
        What::Lost(_, reason) => format!("lost {}", reason.name()),
        What::OutOfSight => "out of sight".to_owned(),
        What::Over { whole } => format!("over {whole}"),
    };
    events.iter().map(short).collect()
}

fn bed(workers: u16) -> Bed {
    let (ours, theirs) = (weft_pipelines::testing::lab::vtep(0), weft_pipelines::testing::lab::vtep(1));
    let mut bed = Bed::new(&Lab::on_workers(workers), host::HV_A);
    let reply = packets::arp(packets::Operation::Reply, (theirs.1, theirs.0), (ours.1, ours.0));
    bed.receive(port::UPLINK, &[reply]);
    bed
}

#[test]
fn a_packet_is_followed_from_port_to_port() {
    let mut bed = bed(1);
    let mut trays = follow(&mut bed, "", 10);
    bed.receive(port::BLUE_WEB1, &[udp4(WEB1, WEB2, b"near"), udp4(WEB1, DB1, b"far")]);
    bed.receive(port::UPLINK, &[from_fabric(host::HV_B, BLUE, &udp4(DB1, WEB1, b"back"))]);
    let told = told(&mut bed, &mut trays).into_values().map(|events| short(&events).join(", "));
    let (web1, web2, uplink) = (port::BLUE_WEB1.0, port::BLUE_WEB2.0, port::UPLINK.0);
    let guest = format!("came {web1}, parse, spoof_check, forward, lookup_flow, check_policy, meter");
    let fabric = format!("came {uplink}, decap, parse, carry_marks, forward, lookup_flow, check_policy");
    assert_eq!(
        told.collect::<Vec<_>>(),
        [
            format!("{guest}, sent {web2}, over true"),
            format!("{guest}, encap, sent {uplink}, over true"),
            format!("{fabric}, sent {web1}, over true"),
        ]
    );
}

#[test]
fn a_packet_is_followed_from_worker_to_worker() {
    let mut bed = bed(2);
    let mut trays = follow(&mut bed, "udp", 10);
    // web2 and the uplink are the other worker's.
    bed.receive(port::BLUE_WEB1, &[udp4(WEB1, WEB2, b"near"), udp4(WEB1, DB1, b"far")]);
    assert!(bed.handed_over() >= 2);
    let told = told(&mut bed, &mut trays);
    assert_eq!(told.len(), 2);
    for (events, end) in told.values().zip([port::BLUE_WEB2, port::UPLINK]) {
        let short = short(events);
        let handed = short.iter().position(|what| what.starts_with("handed")).unwrap();
        assert_eq!(
            short[handed + 1..].iter().filter(|what| what.starts_with("sent")).count(),
            1,
            "{short:?}"
        );
        assert_eq!(short[short.len() - 2..], [format!("sent {}", end.0), "over true".to_owned()]);
        assert!(events.iter().map(|event| event.order).eq(0..events.len() as u16), "{short:?}");
    }
    let near = short(told.values().next().unwrap());
    assert_eq!(near.iter().filter(|what| *what == "check_policy").count(), 2, "{near:?}");
}

#[test]
fn copies_are_the_packets_own() {
    for workers in [1, 2] {
        let mut bed = bed(workers);
        let mut trays = follow(&mut bed, "ether broadcast", 10);
        let sent = bed.receive(port::BLUE_WEB1, &[udp4_to(Mac::BROADCAST, WEB1, DB1, b"x")]);
        let told = told(&mut bed, &mut trays);
        assert_eq!(told.len(), 1);
        let short = short(told.values().next().unwrap());
        // The tunnel to a host that has not answered yet keeps its copy.
        let out = |port: &PortId| short.iter().filter(|what| **what == format!("sent {}", port.0)).count();
        assert_eq!(out(&port::BLUE_WEB2), 1, "{short:?}");
        let vxlan = sent.iter().filter(|(port, frame)| *port == port::UPLINK && frame.len() > 60).count();
        assert_eq!(out(&port::UPLINK), vxlan, "{short:?}");
    }
}

#[test]
fn the_filter_and_the_count_are_kept_to() {
    for (filter, count, packets) in [
        ("", 10, 3),
        ("", 2, 2),
        ("drop", 10, 1),
        ("not drop", 10, 2),
        ("drop spoofed_ip", 10, 0),
        ("tcp", 10, 0),
    ] {
        let mut bed = bed(1);
        let mut trays = follow(&mut bed, filter, count);
        let frames = [udp4(WEB2, DB1, b"spoofed"), udp4(WEB1, WEB2, b"a"), udp4(WEB1, WEB2, b"b")];
        bed.receive(port::BLUE_WEB1, &frames);
        let told = told(&mut bed, &mut trays);
        assert_eq!(told.len(), packets, "{filter}");
        if filter == "drop" {
            let short = short(told.values().next().unwrap());
            assert_eq!(short[1..], ["parse", "spoof_check spoofed_mac", "over true"]);
        }
        assert_eq!(trays[0].lost(), 0);
    }
}

#[test]
fn all_that_comes_is_told_to_its_end() {
    for workers in [1, 2, 3] {
        for lab in with_policies(workers) {
            let mut bed = Bed::new(&lab, host::HV_A);
            for (port, frames) in [(port::BLUE_WEB1, guest_frames()), (port::UPLINK, underlay_frames())] {
                for part in frames.chunks(8) {
                    let mut trays = follow(&mut bed, "", 1000);
                    bed.receive(port, part);
                    bed.stop();
                    let told = told(&mut bed, &mut trays);
                    assert_eq!(told.len(), part.len());
                    for events in told.values() {
                        let short = short(events);
                        let count = |what| short.iter().filter(|of| **of == what).count();
                        assert_eq!(count("over true"), 1, "{short:?}");
                        assert_eq!(count("over false"), count("parted"), "{short:?}");
                        assert_eq!(count("out of sight"), 0, "{short:?}");
                    }
                    assert_eq!(trays.iter().map(Tray::lost).sum::<u64>(), 0);
                }
            }
        }
    }
}

#[test]
fn what_finds_no_room_is_counted_and_the_rest_is_whole() {
    let mut bed = bed(1);
    let mut trays = follow(&mut bed, "", 1_000_000);
    let burst: Vec<_> = (0..32_u8).map(|n| udp4(WEB1, WEB2, &[n])).collect();
    (0..20).for_each(|_| drop(bed.receive(port::BLUE_WEB1, &burst)));
    let told = told(&mut bed, &mut trays);
    assert!(told.len() > 100 && told.len() < 20 * 32, "{}", told.len());
    assert_eq!(told.len() as u64 + trays[0].lost(), 20 * 32);
    for events in told.values() {
        assert_eq!(short(events).last().map(String::as_str), Some("over true"));
    }
}
