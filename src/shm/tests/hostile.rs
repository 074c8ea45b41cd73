//! The file is input: whatever is in it, it is read or refused.

use core::num::NonZeroUsize;
use std::path::Path;

use proptest::prelude::*;
use weft_pipelines::counters::Sizes;

use super::settings;
use crate::shm::parse::Malformed;
use crate::shm::{
    Capacity, FILE, Label, Labels, Next, ReadError, Reader, Record, Settings, StatsFile, What, layout,
};

/// A small file with something in it.
fn file() -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE);
    let sizes = Sizes { ports: 1, tenants: 1, tunnels: 1, rules: 1, pairs: 1 };
    let capacity = Capacity { sizes, records: 4, labels: 24 << 10 };
    let settings = Settings { workers: NonZeroUsize::MIN, capacity, sizes, ..settings(1, 4) };
    let (mut file, mut workers) = StatsFile::create(&path, &settings).unwrap();
    file.labels([Label::new(What::Port, 0, "blue/web1")]).unwrap();
    for flow in 0..7 {
        workers[0].record(&Record { flow, ..Record::default() });
    }
    std::fs::read(path).unwrap()
}

fn open(bytes: &[u8]) -> Result<Reader, Malformed> {
    Reader::of_bytes(Path::new("made/up"), bytes).map_err(|error| match error {
        ReadError::Malformed { why, .. } => why,
        error => panic!("{error}"),
    })
}

/// Reads all that there is.
fn use_up(reader: &Reader) {
    for section in &reader.layout().sections {
        let Ok(table) = reader.counters(&section.name) else { continue };
        for field in table.iter().flat_map(|table| table.fields()) {
            let _ = table.as_ref().and_then(|table| table.values(0, &field.name));
        }
        let _ = reader.counters_of(&section.name, 1);
    }
    let _ = reader.labels();
    let (_, _, _) = (reader.alive(), reader.replaced(), reader.unix(reader.heartbeat()));
    for mut records in [reader.records(), reader.new_records()] {
        // What is read and what is lost of a few slots is told soon.
        for _ in 0..64 {
            if records.next() == Next::Nothing {
                break;
            }
        }
        let _ = (records.written(), records.lost());
    }
}

#[test]
fn each_byte_of_the_header_may_be_wrong() {
    let mut bytes = file();
    let header = open(&bytes).unwrap().layout().header_len();
    let mut opened = 0;
    for at in 0..header {
        for wrong in [bytes[at] ^ 0x01, bytes[at] ^ 0x80, !bytes[at]] {
            let right = core::mem::replace(&mut bytes[at], wrong);
            if let Ok(reader) = open(&bytes) {
                opened += 1;
                // What names and units say does not matter to the reader: most of the bytes. Some have to do.
                if at < layout::HEADER + 9 * layout::ENTRY || at.is_multiple_of(7) {
                    use_up(&reader);
                }
            }
            bytes[at] = right;
        }
    }
    assert!(opened > header, "{opened}");
}

#[test]
fn what_is_wrong_is_said() {
    let bytes = file();
    let with = |word: usize, value: u64| {
        let mut bytes = bytes.clone();
        bytes[8 * word..8 * word + 8].copy_from_slice(&value.to_ne_bytes());
        open(&bytes).unwrap_err()
    };
    use layout::head;
    assert_eq!(with(head::MAGIC, 0), Malformed::NotWeft);
    assert_eq!(with(head::BYTE_ORDER, layout::BYTE_ORDER.swap_bytes()), Malformed::ByteOrder);
    assert_eq!(with(head::MAJOR, 9), Malformed::Version { major: 9, minor: layout::MINOR });
    assert_eq!(with(head::HASH, 9), Malformed::Layout { hash: 9 });
    let len = bytes.len();
    assert_eq!(with(head::FILE_LEN, len as u64 + 8), Malformed::Truncated { len, needed: len + 8 });
    assert_eq!(with(head::SECTIONS_AT, len as u64), Malformed::Damaged { what: "the place of a table" });
    assert_eq!(open(&bytes[..100]).unwrap_err(), Malformed::Truncated { len: 96, needed: layout::HEADER });
    assert_eq!(open(&bytes[..len - 8]).unwrap_err(), Malformed::Truncated { len: len - 8, needed: len });
    assert_eq!(open(b"").unwrap_err(), Malformed::NotWeft);
    let said = with(head::MAJOR, 9).to_string();
    assert!(said.starts_with("version 9.1 of the statistics file; this program knows 1.1"), "{said}");
}

#[test]
fn a_newer_minor_version_is_read() {
    let mut bytes = file();
    for (word, value) in [(layout::head::MINOR, layout::MINOR + 1), (layout::head::HASH, 1)] {
        bytes[8 * word..8 * word + 8].copy_from_slice(&value.to_ne_bytes());
    }
    let reader = open(&bytes).unwrap();
    assert_eq!(reader.labels().unwrap().name(What::Port, 0), Some("blue/web1"));
}

#[test]
fn files_that_are_none_are_refused_also_mapped() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE);
    let error = |path: &Path| Reader::open(path).unwrap_err().to_string();
    assert!(error(&path).contains("the switch has to run"));
    for len in [0, 1, 7, 8, 100, 4096] {
        std::fs::write(&path, vec![7; len]).unwrap();
        assert!(error(&path).ends_with("not a statistics file of Weft"), "{len}");
    }
    assert!(error(dir.path()).ends_with("not a statistics file of Weft"));
    let bytes = file();
    for len in (8..bytes.len()).step_by(4093) {
        std::fs::write(&path, &bytes[..len]).unwrap();
        assert!(error(&path).contains("cut short"), "{len}");
    }
    std::fs::write(&path, &bytes).unwrap();
    use_up(&Reader::open(&path).unwrap());
}

#[test]
fn labels_that_do_not_fit_leave_those_that_are_there() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE);
    let mut settings = settings(1, 4);
    settings.capacity.labels = 24 << 10;
    let (mut file, _) = StatsFile::create(&path, &settings).unwrap();
    let reader = Reader::open(&path).unwrap();
    file.labels([Label::new(What::Port, 0, "blue/web1")]).unwrap();
    let error = file.labels([Label::new(What::Port, 0, "x".repeat(30_000))]).unwrap_err().to_string();
    assert!(error.contains("and the statistics file has room for 24576"), "{error}");
    assert_eq!(reader.labels().unwrap().name(What::Port, 0), Some("blue/web1"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn words_anywhere_may_be_wrong(
        wrong in proptest::collection::vec((any::<prop::sample::Index>(), prop_oneof![0..70u64, any::<u64>()]), 1..20),
    ) {
        let mut bytes = FILE_ONCE.clone();
        for (at, value) in wrong {
            // Most of the file is room for labels.
            let at = at.index(bytes.len() / 8 / 2);
            bytes[8 * at..8 * at + 8].copy_from_slice(&value.to_ne_bytes());
        }
        if let Ok(reader) = open(&bytes) {
            use_up(&reader);
        }
    }

    #[test]
    fn labels_of_any_words_are_read_or_refused(words in proptest::collection::vec(prop_oneof![0..20u64, any::<u64>()], 0..20)) {
        let _ = Labels::decode(1, &words);
    }

    #[test]
    fn labels_are_decoded_as_they_were_encoded(texts in proptest::collection::vec(".{0,20}", 0..20)) {
        let label = |(id, text): (u32, &String)| Label::new(What::Rule, id, text.clone()).of(id % 3);
        let words = crate::shm::labels::encode((0..).zip(&texts).map(label));
        let labels = Labels::decode(1, &words).unwrap();
        for (id, text) in (0..).zip(&texts) {
            prop_assert_eq!(labels.of(What::Rule, id % 3, id), Some(text.as_str()));
            prop_assert_eq!(labels.name(What::Rule, id), Some(text.as_str()));
        }
        prop_assert_eq!(labels.iter_of(What::Rule).count(), texts.len());
    }
}

static FILE_ONCE: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(file);
