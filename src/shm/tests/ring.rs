//! Records and cursors against plain models.

use core::sync::atomic::AtomicU64;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;
use weft_pipelines::Tick;

use crate::shm::field::{Type, shift};
use crate::shm::record::{self, End, FIELDS, Flags, Kind, PAYLOAD, Record, Ruling, State, TcpFlags};
use crate::shm::ring::{Cursor, Next, Ring};

fn words() -> impl Strategy<Value = [u64; PAYLOAD]> {
    proptest::collection::vec(any::<u64>(), PAYLOAD).prop_map(|words| words.try_into().unwrap())
}

/// A record of any words: codes that there are not become unknown.
fn records() -> impl Strategy<Value = Record> {
    words().prop_map(|words| Record::decode(&words))
}

proptest! {
    #[test]
    fn a_record_is_decoded_as_it_was_encoded(record in records()) {
        prop_assert_eq!(Record::decode(&record.encode()), record);
    }

    #[test]
    fn each_field_stands_where_the_table_says(record in records()) {
        let words = record.encode();
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        for field in FIELDS {
            let at = field.offset - 8;
            let bytes = &bytes[at..at + field.width];
            if field.kind == Type::Address {
                let address = if field.name == "initiator" { record.initiator } else { record.responder };
                prop_assert_eq!(bytes, address.octets());
                continue;
            }
            let mask = u64::MAX >> (64 - 8 * field.width);
            let number = words[at / 8] >> shift(at, field.width) & mask;
            let mut word = [0; 8];
            let start = if cfg!(target_endian = "little") { 0 } else { 8 - field.width };
            word[start..start + field.width].copy_from_slice(bytes);
            prop_assert_eq!(u64::from_ne_bytes(word), number, "{}", field.name);
        }
    }

    /// Writes and reads in any order; the model is the list of all that was written.
    #[test]
    fn a_cursor_accounts_for_each_record(
        capacity in 1..6u32,
        steps in proptest::collection::vec((any::<bool>(), 1..40u64), 1..60),
    ) {
        let capacity = 1usize << capacity;
        let memory: Vec<AtomicU64> = (0..1 + 3 * capacity).map(|_| AtomicU64::new(0)).collect();
        let ring = Ring::new(&memory, 1, 3, capacity).unwrap();
        let (mut written, mut cursor, mut accounted) = (0u64, Cursor::default(), 0);
        for (write, count) in steps {
            for _ in 0..count {
                if write {
                    ring.write(written, &[written, written * 3]);
                    written += 1;
                    continue;
                }
                let mut record = [0; 2];
                match cursor.next(&ring, &mut record) {
                    Next::Record(()) => {
                        prop_assert_eq!(record, [accounted, accounted * 3]);
                        accounted += 1;
                    }
                    Next::Lost(lost) => {
                        // Only where the oldest one is gone, and never what is sure to stay.
                        prop_assert!(written - accounted > capacity as u64);
                        accounted += lost;
                        prop_assert!(written - accounted >= capacity as u64 - capacity as u64 / 8);
                    }
                    Next::Nothing => prop_assert_eq!(accounted, written),
                }
                prop_assert_eq!(cursor.position(), accounted);
                prop_assert_eq!(cursor.read() + cursor.lost(), accounted);
            }
        }
    }

    /// Whatever stands in a ring, reading it ends and accounts for what it says.
    #[test]
    fn a_ring_of_any_words_is_read_without_a_panic(
        words in proptest::collection::vec(prop_oneof![0..9u64, any::<u64>(), Just(u64::MAX)], 13),
        start in prop_oneof![0..9u64, any::<u64>(), Just(u64::MAX)],
    ) {
        let memory: Vec<AtomicU64> = words.into_iter().map(AtomicU64::new).collect();
        let ring = Ring::new(&memory, 1, 3, 4).unwrap();
        let mut cursor = Cursor::at(start);
        for _ in 0..20 {
            let before = cursor.position();
            match cursor.next(&ring, &mut [0; 2]) {
                Next::Nothing => prop_assert_eq!(cursor.position(), before),
                _ => prop_assert!(cursor.position() > before),
            }
            prop_assert_eq!(cursor.read().saturating_add(cursor.lost()), cursor.position() - start);
        }
    }
}

#[test]
fn counts_near_the_end_of_64_bits_do_not_wrap_into_others() {
    let memory: Vec<AtomicU64> = (0..7).map(|_| AtomicU64::new(0)).collect();
    let ring = Ring::new(&memory, 1, 3, 2).unwrap();
    let start = (1 << 63) - 3;
    let mut cursor = Cursor::at(start);
    for number in start..start + 5 {
        ring.write(number, &[number, 1]);
        let mut record = [0; 2];
        assert_eq!((cursor.next(&ring, &mut record), record), (Next::Record(()), [number, 1]));
    }
}

#[test]
fn a_ring_has_to_fit() {
    let memory: Vec<AtomicU64> = (0..13).map(|_| AtomicU64::new(0)).collect();
    let fits = |lead, slot, capacity| Ring::new(&memory, lead, slot, capacity).is_some();
    assert!(fits(1, 3, 4) && fits(0, 3, 4) && fits(5, 2, 4));
    for (lead, slot, capacity) in
        [(2, 3, 4), (1, 3, 3), (1, 3, 0), (1, 0, 4), (1, 1, 4), (1, usize::MAX, 2), (14, 2, 1)]
    {
        assert!(!fits(lead, slot, capacity), "{lead} {slot} {capacity}");
    }
}

#[test]
fn addresses_are_shown_as_what_they_are() {
    let v4 = IpAddr::V4(Ipv4Addr::new(10, 1, 0, 11));
    let initiator = record::mapped(v4);
    let responder = Ipv6Addr::LOCALHOST;
    let shown = |family| {
        let record = Record { initiator, responder, family, ..Record::default() };
        (record.initiator_ip(), record.responder_ip())
    };
    assert_eq!(shown(4).0, v4);
    assert_eq!(shown(6), (IpAddr::V6(initiator), IpAddr::V6(responder)));
}

#[test]
fn codes_are_known_by_their_numbers() {
    assert_eq!(Kind::from_code(Kind::End.code()), Kind::End);
    assert_eq!(End::from_code(200), End::Unknown);
    assert_eq!(State::from(weft_pipelines::flow::State::TcpClosed), State::TcpClosed);
    let names: Vec<_> = weft_pipelines::flow::State::ALL.iter().map(|state| state.name()).collect();
    assert_eq!(names, State::ALL.iter().map(|state| state.name()).collect::<Vec<_>>());
    let record = Record {
        started: Tick(7),
        ruling: Ruling::WouldDeny,
        flags: Flags::LOG.with(Flags::PICKED_UP),
        responder_tcp_flags: TcpFlags(0x12),
        ..Record::default()
    };
    assert_eq!(Record::decode(&record.encode()), record);
    assert!(record.flags.has(Flags::LOG) && !record.flags.has(Flags::INITIATOR_HERE));
}
