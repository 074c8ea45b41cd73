//! Eight readers and a writer that does not care, over mapped memory.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::made;
use crate::shm::{Next, Reader, Record, Records};

const READERS: usize = 8;
/// How many records there are, unless `WEFT_RING_RECORDS` says.
const RECORDS: u64 = 2_000_000;
/// Slots of the ring: few enough that readers are overtaken.
const SLOTS: usize = 1 << 12;

/// A record all of whose words follow from `number`.
fn record(number: u64) -> Record {
    let mixed = |salt: u64| (number ^ salt).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    Record {
        flow: number,
        initiator_packets: mixed(1),
        initiator_bytes: mixed(2),
        responder_packets: mixed(3),
        responder_bytes: mixed(4),
        number: mixed(5) as u32,
        rule: mixed(6) as u32,
        would_rule: mixed(7) as u32,
        initiator_l4: mixed(8) as u16,
        protocol: mixed(9) as u8,
        ..Record::default()
    }
}

/// Reads what there is; how many.
fn read(records: &mut Records, most: u64) -> u64 {
    for count in 0..most {
        match records.next() {
            Next::Record(found) => {
                assert_eq!(found.record, record(found.number), "record {} is torn", found.number);
            }
            Next::Lost(lost) => assert!(lost > 0),
            Next::Nothing => return count,
        }
    }
    most
}

/// A reader of some kind: 0 and 1 read all they can, most pause now and then, the last is stopped for the whole time.
fn run(kind: usize, reader: &Reader, ended: &AtomicBool) -> Records {
    let mut records = reader.records();
    while !ended.load(Ordering::Acquire) {
        match kind {
            0 | 1 => drop(read(&mut records, 10_000)),
            7 => thread::sleep(Duration::from_millis(1)),
            _ => {
                read(&mut records, 500 << kind);
                thread::sleep(Duration::from_micros(50 << kind));
            }
        }
    }
    while read(&mut records, u64::MAX) > 0 {}
    records
}

#[test]
fn no_reader_sees_a_torn_record_or_miscounts() {
    let total = std::env::var("WEFT_RING_RECORDS").map_or(RECORDS, |text| text.parse().unwrap());
    let (_dir, _file, mut workers, reader) = made(1, SLOTS);
    let (ended, lost) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        let readers: Vec<_> = (0..READERS)
            .map(|kind| {
                let (reader, ended) = (&reader, &ended);
                scope.spawn(move || run(kind, reader, ended))
            })
            .collect();
        let start = Instant::now();
        for number in 0..total {
            workers[0].record(&record(number));
        }
        let took = start.elapsed();
        ended.store(true, Ordering::Release);
        println!("{total} records in {took:?}");
        for (kind, reader) in readers.into_iter().enumerate() {
            let records = reader.join().unwrap();
            println!("reader {kind}: {} read, {} lost", records.read(), records.lost());
            assert_eq!((records.written(), records.read() + records.lost()), (total, total), "reader {kind}");
            lost.fetch_add(records.lost(), Ordering::Relaxed);
        }
    });
    assert!(lost.into_inner() > 0, "nobody was overtaken");
}
