//! The ways of replayed packets: between guests, into the fabric, out of it.

use std::net::Ipv4Addr;

use weft::replay::{Options, derived_mac};
use weft_pipelines::Mac;
use weft_pipelines::wire::arp::Operation;
use weft_pipelines::wire::ethernet::EtherType;

use crate::lab::*;

const VTEP_A: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
const VTEP_B: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 2);

#[test]
fn guests_of_one_host_reach_each_other_at_once() {
    let sent = paced([udp(WEB1, WEB2, b"one"), udp(WEB1, WEB2, b"two")]);
    let replayed = replayed("hv-a", &[input("blue/web1", pcap(&sent))], &Options::default());
    assert_eq!(replayed.packets("blue/web2"), sent);
    for silent in ["up0", "blue/web1", "red/web1"] {
        assert_eq!(replayed.packets(silent), [], "{silent}");
    }
    assert_eq!(replayed.0.report.uptime_ns, 1_000_000);
}

#[test]
fn a_chain_of_replays_delivers_the_inner_frames_unchanged() {
    let sent = paced((0..40).map(|n| udp(WEB1, DB1, &[n; 77])));
    let a = replayed("hv-a", &[input("blue/web1", pcap(&sent))], &Options::default());
    let encapsulated = a.packets("up0");
    assert_eq!(encapsulated.len(), 40);
    for ((stamp, outer), (sent_at, inner)) in encapsulated.iter().zip(&sent) {
        assert_eq!((stamp, &outer[OUTER..]), (sent_at, inner.as_slice()));
        assert_eq!(outer[..6], derived_mac(VTEP_B).0);
        assert_eq!(outer[6..12], derived_mac(VTEP_A).0);
    }

    let b = replayed("hv-b", &[input("up0", a.pcap("up0").to_vec())], &Options::default());
    assert_eq!(b.packets("blue/db1"), sent);
    assert_eq!((b.frames("red/db1"), b.frames("up0")), (vec![], vec![]));
}

#[test]
fn tenants_with_the_same_addresses_stay_apart() {
    let (blue, red) = (paced([udp(WEB1, DB1, b"blue")]), paced([udp(WEB1, DB1, b"red")]));
    let inputs = [input("blue/web1", pcap(&blue)), input("red/web1", pcap(&red))];
    let a = replayed("hv-a", &inputs, &Options::default());
    let vnis: Vec<_> = a.frames("up0").iter().map(|outer| outer[46..49].to_vec()).collect();
    assert_eq!(vnis, [[0, 0x03, 0xe9], [0, 0x07, 0xd1]]);
    let b = replayed("hv-b", &[input("up0", a.pcap("up0").to_vec())], &Options::default());
    assert_eq!((b.packets("blue/db1"), b.packets("red/db1")), (blue, red));

    // What red sends to a MAC that only blue has does not reach blue.
    let lost = paced([udp(WEB1, WEB2, b"lost")]);
    let a = replayed("hv-a", &[input("red/web1", pcap(&lost))], &Options::default());
    assert_eq!(a.frames("blue/web2").len() + a.frames("blue/web1").len(), 0);
}

#[test]
fn broadcast_reaches_the_segment_and_its_hosts() {
    let request = arp(Mac::BROADCAST, Operation::Request, (WEB1.mac, WEB1.ip), (Mac::ZERO, DB1.ip));
    let sent = paced([request.clone()]);
    let replayed = replayed("hv-a", &[input("blue/web1", pcap(&sent))], &Options::default());
    assert_eq!(replayed.packets("blue/web2"), sent);
    assert_eq!(replayed.frames("up0")[0][OUTER..], request);
    assert_eq!(replayed.0.report.totals.replicated, 1);
}

#[test]
fn what_is_wrong_is_dropped_by_name() {
    let liar = Guest { mac: WEB2.mac, ..WEB1 };
    let thief = Guest { ip: WEB2.ip, ..WEB1 };
    let whole = udp(WEB1, WEB2, b"good");
    let sent = paced([
        udp(liar, DB1, b""),
        udp(thief, DB1, b""),
        whole[..20].to_vec(),
        whole[..9].to_vec(),
        vec![],
        framed(WEB2.mac, WEB1.mac, EtherType(0x88cc), &[0; 46]),
        udp(WEB1, DB1, &[0; 1600]),
        whole.clone(),
    ]);
    let replayed = replayed("hv-a", &[input("blue/web1", pcap(&sent))], &Options::default());
    assert_eq!(replayed.frames("blue/web2"), [whole]);
    let expected = [
        ("ethertype_unsupported", 1),
        ("exceeds_underlay_mtu", 1),
        ("malformed_ipv4", 1),
        ("spoofed_ip", 1),
        ("spoofed_mac", 1),
        ("truncated", 2),
    ];
    assert_eq!(replayed.drops("blue/web1"), expected);
    assert_eq!(replayed.frames("up0").len(), 0);
}

#[test]
fn what_is_wrong_from_the_fabric_is_dropped_by_name() {
    let sent = paced([udp(WEB1, DB1, b"sent")]);
    let a = replayed("hv-a", &[input("blue/web1", pcap(&sent))], &Options::default());
    let good = a.frames("up0").remove(0);
    let changed = |place: usize, byte: u8| {
        let mut frame = good.clone();
        frame[place] = byte;
        frame
    };
    let frames = [
        good.clone(),
        changed(5, 0xee),
        changed(24, 0xee),
        changed(37, 0xee),
        changed(42, 0xff),
        changed(47, 0xee),
        changed(OUTER + 11, DB1.mac.0[5]),
        good[..60].to_vec(),
    ];
    let b = replayed("hv-b", &[input("up0", pcap(&paced(frames)))], &Options::default());
    assert_eq!(b.packets("blue/db1"), sent);
    let expected = [
        ("spoofed_fabric", 1),
        ("underlay_checksum", 1),
        ("underlay_malformed", 1),
        ("underlay_not_for_us", 1),
        ("underlay_unwanted", 1),
        ("unknown_vni", 1),
        ("vxlan_flags", 1),
    ];
    assert_eq!(b.drops("up0"), expected);
}

#[test]
fn arp_asks_and_what_gets_no_answer_is_dropped_in_its_time() {
    let sent = paced((0..20).map(|n| udp(WEB1, DB1, &[n])));
    let replayed = replayed("hv-a", &[input("blue/web1", pcap(&sent))], &arp_mode());
    let ask = arp(Mac::BROADCAST, Operation::Request, (derived_mac(VTEP_A), VTEP_A), (Mac::ZERO, VTEP_B));
    let asked = replayed.packets("up0");
    let stamps: Vec<_> = asked.iter().map(|(stamp, _)| *stamp).collect();
    assert_eq!(stamps, [START, START + SECOND, START + 2 * SECOND]);
    assert!(asked.iter().all(|(_, frame)| frame[..ask.len()] == ask));
    // As many wait as fit; time runs on until they are given up.
    assert_eq!(replayed.drops("up0"), [("neighbor_queue_full", 4), ("neighbor_unresolved", 16)]);
    assert_eq!(replayed.0.report.uptime_ns, 3 * SECOND);
}

#[test]
fn a_recorded_answer_lets_go_what_waits() {
    let (us, them) = (Mac([0x0c, 0xc4, 0x7a, 0, 0, 1]), Mac([0x0c, 0xc4, 0x7a, 0, 0, 2]));
    let sent = paced([udp(WEB1, DB1, b"first"), udp(WEB1, DB1, b"second")]);
    let answer = (START + SECOND / 2, arp(us, Operation::Reply, (them, VTEP_B), (us, VTEP_A)));
    let inputs = [input("blue/web1", pcap(&sent)), input("up0", pcap(&[answer]))];
    let replayed = replayed("hv-a", &inputs, &arp_mode());
    // The recording told our own MAC too.
    assert_eq!(replayed.mac("up0"), us.to_string());
    let [request, first, second] = &replayed.packets("up0")[..] else { panic!("three packets") };
    assert_eq!((request.0, &request.1[6..12]), (START, &us.0[..]));
    for ((stamp, outer), (_, inner)) in [first, second].into_iter().zip(&sent) {
        assert_eq!((*stamp, &outer[OUTER..]), (START + SECOND / 2, inner.as_slice()));
        assert_eq!((&outer[..6], &outer[6..12]), (&them.0[..], &us.0[..]));
    }
    assert_eq!(replayed.0.report.totals.consumed, 1);
}

#[test]
fn an_assumed_neighbour_is_corrected_by_arp_and_never_forgotten() {
    let (us, them) = (Mac([0x0c, 0xc4, 0x7a, 0, 0, 1]), Mac([0x0c, 0xc4, 0x7a, 0, 0, 2]));
    let at = |seconds: u64| (START + seconds * SECOND, udp(WEB1, DB1, &seconds.to_be_bytes()));
    let sent = [at(0), at(2), at(45), at(500)];
    let reply = (START + SECOND, arp(us, Operation::Reply, (them, VTEP_B), (us, VTEP_A)));
    let inputs = [input("blue/web1", pcap(&sent)), input("up0", pcap(&[reply]))];
    let replayed = replayed("hv-a", &inputs, &Options::default());
    let to: Vec<_> = replayed.frames("up0").iter().map(|outer| outer[..6].to_vec()).collect();
    assert_eq!(to, [derived_mac(VTEP_B).0, them.0, them.0, them.0]);
    assert_eq!(replayed.0.report.totals.originated, 0);
}

#[test]
fn an_uplinks_mac_can_be_told() {
    let sent = paced([udp(WEB1, DB1, b"in")]);
    let a = replayed("hv-a", &[input("blue/web1", pcap(&sent))], &Options::default());
    let mac = Mac([0x0c, 0xc4, 0x7a, 0, 0, 9]);
    let told = Options { uplink_macs: vec![("up0".into(), mac)], ..Options::default() };
    let b = replayed("hv-b", &[input("up0", a.pcap("up0").to_vec())], &told);
    assert_eq!((b.mac("up0"), b.drops("up0")), (mac.to_string(), vec![("underlay_not_for_us", 1)]));
    // A recording that was sent to another MAC than ours is still taken, unless another MAC is told.
    let mut others = a.packets("up0");
    others[0].1[..6].copy_from_slice(&mac.0);
    for options in [told, Options::default()] {
        let b = replayed("hv-b", &[input("up0", pcap(&others))], &options);
        assert_eq!((b.mac("up0"), b.packets("blue/db1")), (mac.to_string(), sent.clone()));
    }
}

#[test]
fn an_uplink_answers_what_is_asked_of_it() {
    let them = derived_mac(VTEP_B);
    let request = arp(Mac::BROADCAST, Operation::Request, (them, VTEP_B), (Mac::ZERO, VTEP_A));
    let replayed = replayed("hv-a", &[input("up0", pcap(&paced([request])))], &Options::default());
    let ours = derived_mac(VTEP_A);
    assert_eq!(replayed.frames("up0"), [arp(them, Operation::Reply, (ours, VTEP_A), (them, VTEP_B))]);
}
