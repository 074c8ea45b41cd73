//! Whatever a recording holds, the worst that happens is a counted drop or an error that says where.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use weft::replay::{NeighborMode, Options, Replay};

use crate::lab::*;

/// The start of a frame that gets somewhere, then anything.
fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let tunnelled = || {
        let sent = input("blue/web1", pcap(&paced([udp(WEB1, DB1, b"payload")])));
        replayed("hv-a", &[sent], &Options::default()).frames("up0").remove(0)
    };
    let good = [udp(WEB1, WEB2, b"payload"), udp(WEB1, DB1, b"payload"), tunnelled()];
    let mutated =
        (prop::sample::select(good.to_vec()), vec((any::<Index>(), any::<u8>()), 0..4), any::<Index>());
    let mutated = mutated.prop_map(|(mut frame, changes, end)| {
        changes.into_iter().for_each(|(place, byte)| *place.get_mut(&mut frame[..]) = byte);
        frame.truncate(end.index(frame.len() * 4));
        frame
    });
    prop_oneof![mutated, vec(any::<u8>(), 0..200)]
}

fn any_packets() -> impl Strategy<Value = Vec<Stamped>> {
    vec((0..=20 * SECOND, any_frame()), 0..20)
        .prop_map(|packets| packets.into_iter().map(|(after, frame)| (START + after, frame)).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_packets_are_accounted_for(guest in any_packets(), uplink in any_packets(), is_arp: bool, is_b: bool) {
        let neighbors = if is_arp { NeighborMode::Arp } else { NeighborMode::Assume };
        let options = Options { neighbors, ..Options::default() };
        let (host, port) = if is_b { ("hv-b", "blue/db1") } else { ("hv-a", "blue/web1") };
        let inputs = [input(port, pcap(&guest)), input("up0", pcap(&uplink))];
        let first = replayed(host, &inputs, &options);
        prop_assert_eq!(first.0.report.totals.rx, (guest.len() + uplink.len()) as u64);
        let again = replayed(host, &inputs, &options);
        for (one, other) in first.0.outputs.iter().zip(&again.0.outputs) {
            prop_assert_eq!(&one.writer, &other.writer);
        }
        prop_assert_eq!(first.0.report, again.0.report);
    }

    #[test]
    fn any_damage_is_survived(
        packets in any_packets(),
        changes in vec((any::<Index>(), any::<u8>()), 0..8),
        end in any::<Index>(),
        is_ng: bool,
    ) {
        let mut bytes = if is_ng { pcapng(&packets) } else { pcap(&packets) };
        changes.into_iter().for_each(|(place, byte)| *place.get_mut(&mut bytes[..]) = byte);
        bytes.truncate(end.index(bytes.len() * 2));
        survives(bytes)?;
    }

    #[test]
    fn any_bytes_are_survived(magic in 0..3usize, bytes in vec(any::<u8>(), 0..400)) {
        let magics: [&[u8]; 3] = [&[], &[0xd4, 0xc3, 0xb2, 0xa1, 2, 0], &[0x0a, 0x0d, 0x0d, 0x0a]];
        survives([magics[magic], &bytes].concat())?;
    }
}

fn survives(bytes: Vec<u8>) -> Result<(), TestCaseError> {
    for port in ["blue/web1", "up0"] {
        if let Ok(replay) = Replay::new(&fabric(), "hv-a", &[input(port, bytes.clone())], &arp_mode()) {
            let outcome = replay.run_in_memory();
            prop_assert!(outcome.report.totals.conserved);
            prop_assert_eq!(outcome.report.totals.rx, outcome.inputs[0].packets);
        }
    }
    Ok(())
}

fn pcapng(packets: &[Stamped]) -> Vec<u8> {
    use pcap_file::DataLink;
    use pcap_file::pcapng::PcapNgWriter;
    use pcap_file::pcapng::blocks::Block;
    use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketBlock;
    use pcap_file::pcapng::blocks::interface_description::InterfaceDescriptionBlock;
    let mut writer = PcapNgWriter::new(Vec::new()).unwrap();
    let interface = InterfaceDescriptionBlock::new(DataLink::ETHERNET, 0);
    writer.write_block(&Block::InterfaceDescription(interface)).unwrap();
    for (stamp, data) in packets {
        let packet = EnhancedPacketBlock {
            interface_id: 0,
            timestamp: std::time::Duration::from_nanos(stamp / 1000),
            original_len: data.len() as u32,
            data: data.into(),
            options: vec![],
        };
        writer.write_block(&Block::EnhancedPacket(packet)).unwrap();
    }
    writer.into_inner()
}
