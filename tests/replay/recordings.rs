//! Recordings: their formats, their order in time, and what is wrong with them.

use pcap_file::{DataLink, Endianness, TsResolution};
use weft::replay::recording::{Packet, Recording, RecordingError};
use weft::replay::{Options, Replay, SetupError};

use crate::lab::*;

fn read(bytes: &[u8]) -> Result<Vec<Packet>, RecordingError> {
    let mut recording = Recording::new(bytes)?;
    let mut packets = Vec::new();
    while let Some(packet) = recording.next_packet()? {
        packets.push(packet);
    }
    Ok(packets)
}

fn plain(stamp: u64, data: &[u8]) -> Packet {
    Packet { stamp: Some(stamp), data: data.to_vec(), is_snapped: false }
}

/// A block of pcapng, little-endian.
fn block(kind: u32, body: &[u8]) -> Vec<u8> {
    let len = (12 + body.len().next_multiple_of(4)) as u32;
    let padding = vec![0; body.len().next_multiple_of(4) - body.len()];
    [&kind.to_le_bytes(), &len.to_le_bytes(), body, &padding, &len.to_le_bytes()].concat()
}

fn section() -> Vec<u8> {
    let body = [0x1a2b_3c4du32.to_le_bytes(), [1, 0, 0, 0], [0xff; 4], [0xff; 4]].concat();
    block(0x0a0d_0d0a, &body)
}

fn interface(link: u16, options: &[u8]) -> Vec<u8> {
    block(1, &[&link.to_le_bytes()[..], &[0, 0], &0u32.to_le_bytes(), options].concat())
}

fn enhanced(interface: u32, units: u64, original: u32, data: &[u8]) -> Vec<u8> {
    let words = [interface, (units >> 32) as u32, units as u32, data.len() as u32, original];
    block(6, &[words.map(u32::to_le_bytes).concat(), data.to_vec()].concat())
}

#[test]
fn pcap_of_both_byte_orders_and_resolutions() {
    let packets = [(START + 1_234_567_000, vec![1, 2, 3]), (START + 2 * SECOND, vec![])];
    for resolution in [TsResolution::MicroSecond, TsResolution::NanoSecond] {
        for endianness in [Endianness::Big, Endianness::Little] {
            let bytes = pcap_as(resolution, endianness, DataLink::ETHERNET, &packets);
            let expected = packets.clone().map(|(stamp, data)| plain(stamp, &data));
            assert_eq!(read(&bytes).unwrap(), expected, "{resolution:?} {endianness:?}");
        }
    }
}

#[test]
fn pcap_with_the_frame_check_sequence_is_read_without_it() {
    let mut bytes = pcap(&[(START, vec![1, 2, 3, 4, 5, 6, 0xf, 0xc, 0x5, 0])]);
    bytes[20..24].copy_from_slice(&0x2400_0001u32.to_le_bytes());
    assert_eq!(read(&bytes).unwrap(), [plain(START, &[1, 2, 3, 4, 5, 6])]);
}

#[test]
fn pcapng_of_every_kind_of_packet() {
    let nano = [9, 0, 1, 0, 9, 0, 0, 0];
    // A time zone, 2^-10 s, an offset of 100 s, and no end of the options.
    let zone = [10, 0, 4, 0, 1, 2, 3, 4];
    let offset = [&[9, 0, 1, 0, 0x8a, 0, 0, 0, 14, 0, 8, 0][..], &100i64.to_le_bytes()].concat();
    let old = [&[1, 0, 0xff, 0xff][..], &[0, 1500, 2, 3].map(u32::to_le_bytes).concat(), &[7, 7]].concat();
    let simple = [&2u32.to_le_bytes()[..], &[8, 8]].concat();
    let bytes = [
        section(),
        interface(1, &[]),
        interface(1, &[&nano[..], &[0; 4]].concat()),
        interface(1, &[&zone[..], &offset].concat()),
        block(0xbad, b"whatever"),
        enhanced(0, START / 1000, 3, &[1, 2, 3]),
        enhanced(1, START + 1, 9, &[4]),
        enhanced(2, 1024 + 512, 1, &[5]),
        block(2, &old),
        block(3, &simple),
        section(),
        interface(1, &[]),
        enhanced(0, 1, 1, &[6]),
    ]
    .concat();
    let snapped = |stamp, data| Packet { is_snapped: true, ..plain(stamp, data) };
    let expected = [
        plain(START, &[1, 2, 3]),
        snapped(START + 1, &[4]),
        plain(101 * SECOND + SECOND / 2, &[5]),
        snapped(1500, &[7, 7]),
        Packet { stamp: None, ..plain(0, &[8, 8]) },
        plain(1000, &[6]),
    ];
    assert_eq!(read(&bytes).unwrap(), expected);
}

#[test]
fn pcapng_as_another_writes_it() {
    use pcap_file::pcapng::PcapNgWriter;
    use pcap_file::pcapng::blocks::Block;
    use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketBlock;
    use pcap_file::pcapng::blocks::interface_description::InterfaceDescriptionBlock;
    for endianness in [Endianness::Big, Endianness::Little] {
        let mut writer = PcapNgWriter::with_endianness(Vec::new(), endianness).unwrap();
        let interface = InterfaceDescriptionBlock::new(DataLink::ETHERNET, 0);
        writer.write_block(&Block::InterfaceDescription(interface)).unwrap();
        let packet = EnhancedPacketBlock {
            interface_id: 0,
            // In the interface's unit, whatever the type says.
            timestamp: std::time::Duration::from_nanos(START / 1000),
            original_len: 5,
            data: (&[1, 2, 3, 4, 5][..]).into(),
            options: vec![],
        };
        writer.write_block(&Block::EnhancedPacket(packet)).unwrap();
        assert_eq!(read(&writer.into_inner()).unwrap(), [plain(START, &[1, 2, 3, 4, 5])], "{endianness:?}");
    }
}

#[test]
fn what_is_no_recording_of_an_ethernet_is_refused() {
    let said = |bytes: &[u8]| read(bytes).unwrap_err().to_string();
    assert_eq!(said(b""), "not a pcap or pcapng file: it is empty");
    assert_eq!(said(&pcap(&[])[..20]), "not a pcap or pcapng file: it ends in its header");
    assert_eq!(said(b"fabric: { name: lab }"), "not a pcap or pcapng file: it does not start as one does");
    assert!(said(&[0x1f, 0x8b, 8, 0]).contains("gzip"));
    let raw = pcap_as(TsResolution::MicroSecond, Endianness::Big, DataLink::RAW, &[]);
    assert!(said(&raw).starts_with("its link type is 101, not 1 (Ethernet)"));

    let raw = [section(), interface(101, &[]), enhanced(0, 1, 1, &[1])].concat();
    let refused = Replay::new(&fabric(), "hv-a", &[input("up0", raw)], &Options::default());
    let Err(SetupError::Recording { source: RecordingError::LinkType(101), .. }) = refused else {
        panic!("taken")
    };
}

#[test]
fn a_recording_that_is_cut_off_is_replayed_up_to_there() {
    let sent = paced([udp(WEB1, WEB2, b"one"), udp(WEB1, WEB2, b"two")]);
    let whole = pcap(&sent);
    let first_ends = 24 + 16 + sent[0].1.len();
    for cut in [whole.len() - 1, first_ends + 16, first_ends + 1] {
        let cut_off = input("blue/web1", whole[..cut].to_vec());
        let replayed = replayed("hv-a", &[cut_off], &Options::default());
        assert_eq!(replayed.packets("blue/web2"), sent[..1]);
        let [summary] = &replayed.0.inputs[..] else { panic!("one input") };
        assert_eq!(summary.packets, 1);
        assert_eq!(
            summary.trouble.as_ref().unwrap().to_string(),
            format!("cut off at byte {cut}, in packet 2, which starts at byte {first_ends}")
        );
    }
}

#[test]
fn a_recording_that_is_damaged_is_replayed_up_to_there() {
    let sent = paced([udp(WEB1, WEB2, b"one"), udp(WEB1, WEB2, b"two")]);
    let mut bytes = pcap(&sent);
    let second = 24 + 16 + sent[0].1.len();
    bytes[second + 11] = 0x7f;
    let replayed = replayed("hv-a", &[input("blue/web1", bytes)], &Options::default());
    assert_eq!(replayed.packets("blue/web2"), sent[..1]);
    assert!(matches!(
        replayed.0.inputs[0].trouble,
        Some(RecordingError::Damaged { packet: 2, offset, .. }) if offset == second as u64
    ));
}

#[test]
fn inputs_are_merged_by_time_and_then_by_their_order() {
    let one = [
        (START, udp(WEB1, DB1, b"1")),
        (START + 20, udp(WEB1, DB1, b"4")),
        (START + 30, udp(WEB1, DB1, b"6")),
    ];
    let two = [
        (START + 10, udp(WEB2, DB1, b"2")),
        (START + 20, udp(WEB2, DB1, b"5")),
        (START + 40, udp(WEB2, DB1, b"7")),
    ];
    let more = [(START + 10, udp(WEB1, DB1, b"3"))];
    let inputs =
        [input("blue/web1", pcap(&one)), input("blue/web2", pcap(&two)), input("blue/web1", pcap(&more))];
    let left = |inputs: &[_]| {
        let packets = replayed("hv-a", inputs, &Options::default()).packets("up0");
        let last = |(stamp, frame): &Stamped| (stamp - START, char::from(*frame.last().unwrap()));
        packets.iter().map(last).collect::<Vec<_>>()
    };
    let expected = [(0, '1'), (10, '2'), (10, '3'), (20, '4'), (20, '5'), (30, '6'), (40, '7')];
    assert_eq!(left(&inputs), expected);
    let mut turned = inputs.clone();
    turned.reverse();
    let expected = [(0, '1'), (10, '3'), (10, '2'), (20, '5'), (20, '4'), (30, '6'), (40, '7')];
    assert_eq!(left(&turned), expected);
}

#[test]
fn time_never_goes_back() {
    let frame = |n: u8| udp(WEB1, WEB2, &[n]);
    let sent = [(START + 5, frame(0)), (START, frame(1)), (START + 4, frame(2)), (START + 6, frame(3))];
    let replayed = replayed("hv-a", &[input("blue/web1", pcap(&sent))], &Options::default());
    let expected =
        [(START + 5, frame(0)), (START + 5, frame(1)), (START + 5, frame(2)), (START + 6, frame(3))];
    assert_eq!(replayed.packets("blue/web2"), expected);
    assert_eq!(replayed.0.inputs[0].back_in_time, 2);
}

#[test]
fn the_end_of_time_is_reached_and_not_passed() {
    use weft::replay::recording::LATEST;
    let sent = [(0, udp(WEB1, DB1, b"first")), (LATEST, udp(WEB1, DB1, b"last"))];
    let replayed = replayed("hv-a", &[input("blue/web1", pcap(&sent))], &arp_mode());
    assert_eq!(replayed.drops("up0"), [("neighbor_unresolved", 2)]);
    assert_eq!(replayed.packets("up0").last().unwrap().0, LATEST);
}

#[test]
fn packets_of_which_only_the_start_was_recorded_are_counted() {
    let mut bytes = pcap(&paced([udp(WEB1, WEB2, b"whole"), udp(WEB1, WEB2, b"snapped")]));
    let second = 24 + 16 + udp(WEB1, WEB2, b"whole").len();
    bytes[second + 12..second + 16].copy_from_slice(&1500u32.to_le_bytes());
    let replayed = replayed("hv-a", &[input("blue/web1", bytes)], &Options::default());
    assert_eq!((replayed.0.inputs[0].packets, replayed.0.inputs[0].snapped), (2, 1));
}
