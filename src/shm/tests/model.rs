//! The protocols in all orders that the memory model allows (loom).

use std::panic::catch_unwind;

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, Ordering, fence};
use loom::thread;

use crate::shm::labels::Region;
use crate::shm::ring::{Cursor, Next, Ring};
use crate::shm::seqlock;
use crate::shm::word::{Load, Store};

/// A word of the model. One of the fences may be left out: what the model has to find.
struct Word<const WITHOUT: u8>(AtomicU64);

/// Without the writer's fences, or the readers'.
const RELEASE: u8 = 1;
const ACQUIRE: u8 = 2;

impl<const WITHOUT: u8> Load for Word<WITHOUT> {
    fn load(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn acquire() {
        if WITHOUT != ACQUIRE {
            fence(Ordering::Acquire);
        }
    }
}

impl<const WITHOUT: u8> Store for Word<WITHOUT> {
    fn store(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    fn publish(&self, value: u64) {
        self.0.store(value, Ordering::Release);
    }

    fn release() {
        if WITHOUT != RELEASE {
            fence(Ordering::Release);
        }
    }
}

fn words<const WITHOUT: u8>(count: usize) -> Arc<Vec<Word<WITHOUT>>> {
    Arc::new((0..count).map(|_| Word(AtomicU64::new(0))).collect())
}

/// Explores `run`; with a bound on how often a thread is interrupted, for there are more orders than time.
fn explore(preemptions: usize, run: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(preemptions);
    model.check(run);
}

/// Slots of the ring, and records that come.
const SLOTS: usize = 2;
const RECORDS: u64 = 3;

fn ring<const WITHOUT: u8>(words: &[Word<WITHOUT>]) -> Ring<'_, Word<WITHOUT>> {
    Ring::new(words, 1, 3, SLOTS).unwrap()
}

fn overtaken<const WITHOUT: u8>() {
    let memory = words::<WITHOUT>(1 + 3 * SLOTS);
    let shared = memory.clone();
    let writer = thread::spawn(move || {
        for number in 0..RECORDS {
            ring(&shared).write(number, &[number, !number]);
        }
    });
    let (mut cursor, ring) = (Cursor::default(), ring(&memory));
    for _ in 0..3 {
        next(&mut cursor, &ring);
    }
    writer.join().unwrap();
    while next(&mut cursor, &ring) {}
    assert_eq!((cursor.position(), cursor.read() + cursor.lost()), (RECORDS, RECORDS));
    // What was not overwritten when all was written is never lost.
    assert!(cursor.read() >= 1);
}

fn next<const WITHOUT: u8>(cursor: &mut Cursor, ring: &Ring<'_, Word<WITHOUT>>) -> bool {
    let (mut record, number) = ([0; 2], cursor.position());
    match cursor.next(ring, &mut record) {
        Next::Record(()) => assert_eq!(record, [number, !number]),
        Next::Lost(lost) => assert!(lost > 0 && cursor.position() == number + lost),
        Next::Nothing => return false,
    }
    true
}

fn rewritten<const WITHOUT: u8>() {
    let memory = words::<WITHOUT>(3);
    let shared = memory.clone();
    let writer = thread::spawn(move || {
        for round in 1..=3 {
            seqlock::rewrite(&shared, &[round, !round]);
        }
    });
    let mut before = 0;
    for _ in 0..2 {
        let mut values = [0; 2];
        if let Ok(sequence) = seqlock::read(&memory, &mut values) {
            let round = sequence / 2;
            assert!(round >= before, "it went back");
            assert_eq!(values, if round == 0 { [0, 0] } else { [round, !round] });
            before = round;
        }
    }
    writer.join().unwrap();
}

fn relabelled<const WITHOUT: u8>() {
    let memory = words::<WITHOUT>(3 + 2 * 2);
    let shared = memory.clone();
    let writer = thread::spawn(move || {
        let region = Region::new(&shared, 3, 2).unwrap();
        for round in 1..=3 {
            assert!(region.write(&[round, !round]));
        }
    });
    let region = Region::new(&memory, 3, 2).unwrap();
    for _ in 0..2 {
        if let Some((generation, words)) = region.read().unwrap() {
            let whole = if generation == 0 { vec![] } else { vec![generation, !generation] };
            assert_eq!(words, whole);
        }
    }
    writer.join().unwrap();
}

#[test]
fn no_record_is_torn_and_all_are_counted() {
    explore(3, overtaken::<0>);
    catch_unwind(|| explore(3, overtaken::<RELEASE>)).expect_err("a missing fence is found");
    catch_unwind(|| explore(3, overtaken::<ACQUIRE>)).expect_err("a missing fence is found");
}

#[test]
fn no_row_is_torn() {
    explore(3, rewritten::<0>);
    catch_unwind(|| explore(3, rewritten::<RELEASE>)).expect_err("a missing fence is found");
    catch_unwind(|| explore(3, rewritten::<ACQUIRE>)).expect_err("a missing fence is found");
}

#[test]
fn no_labels_are_mixed() {
    explore(3, relabelled::<0>);
    catch_unwind(|| explore(3, relabelled::<RELEASE>)).expect_err("a missing fence is found");
    catch_unwind(|| explore(3, relabelled::<ACQUIRE>)).expect_err("a missing fence is found");
}
