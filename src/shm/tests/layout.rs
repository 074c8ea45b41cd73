//! The layout is a promise to programs that are built elsewhere.

use std::collections::BTreeSet;

use weft_pipelines::counters::Sizes;

use crate::shm::field::{Field, Spec};
use crate::shm::layout::{
    self, Capacity, ENTRY, HEADER, HEADER_WORDS, Kind, Layout, NAME, SECTION_WORDS, SECTIONS,
};
use crate::shm::layout::{FIELD_WORDS, section};
use crate::shm::{record, rows};

#[test]
fn the_hash_is_that_of_the_layout() {
    let hash = layout::hash();
    assert_eq!(
        layout::HASH,
        hash,
        "the layout of the statistics file has changed. In src/shm/layout.rs count up MINOR if something was added \
        where nothing was, or MAJOR if something moved, went or changed its meaning (then MINOR is 0); set HASH to \
        what this test then says (now {hash:#018x}), and make weft_stats.h anew"
    );
}

#[test]
fn fields_are_aligned_and_do_not_overlap() {
    for section in SECTIONS {
        let mut end = 8;
        for field in section.fields {
            let Spec { name, offset, width, count, .. } = *field;
            assert!(offset.is_multiple_of(width.min(8)), "{name} of {} is not aligned", section.name);
            assert!(offset >= end, "{name} of {} overlaps what is before it", section.name);
            end = offset + width * count.max(1);
            assert!(name.len() < NAME && !field.help.is_empty(), "{name}");
        }
        assert!(section.row_len == 0 || end <= section.row_len, "a row of {} is too short", section.name);
        assert!(section.row_len.is_multiple_of(64) && section.name.len() < NAME, "{}", section.name);
        let names: BTreeSet<_> = section.fields.iter().map(|field| field.name).collect();
        assert_eq!(names.len(), section.fields.len(), "two fields of {} have one name", section.name);
    }
    let words: BTreeSet<_> = HEADER_WORDS.iter().map(|(word, ..)| word).collect();
    assert_eq!(words.len(), HEADER_WORDS.len());
    assert!(words.iter().all(|word| **word < HEADER / 8));
    assert!(NAME + 8 * SECTION_WORDS.len().max(FIELD_WORDS.len()) <= ENTRY);
}

#[test]
fn sections_stand_where_their_numbers_say() {
    let name = |index: usize| SECTIONS[index].name;
    let counters =
        [section::WORKERS, section::PORTS, section::PORT_DROPS, section::TENANTS, section::TENANT_DROPS];
    assert_eq!(counters.map(name), ["workers", "ports", "port_drops", "tenants", "tenant_drops"]);
    let others = [section::TUNNELS, section::RULES, section::RECORDS, section::LABELS, section::LATENCY];
    assert_eq!(others.map(name), ["tunnels", "rules", "records", "labels", "latency"]);
    let times: Vec<_> = (section::SERVICE..section::LATENCY).map(name).collect();
    let wanted = ["", "_connect", "_client_rtt", "_server_rtt", "_response", "_dns"];
    assert_eq!(times, wanted.map(|time| format!("service{time}")));
    let len = |index: usize| SECTIONS[index].fields.iter().map(|field| field.count.max(1)).sum::<usize>();
    assert_eq!(
        counters.map(len),
        [
            rows::worker::LEN,
            rows::port::LEN,
            rows::drops::FIELDS.len(),
            rows::tenant::LEN,
            rows::drops::FIELDS.len()
        ]
    );
    assert_eq!(SECTIONS[section::RECORDS].row_len, record::SLOT);
}

#[test]
fn instances_have_room_and_pages_of_their_own() {
    for (workers, ports, rules) in [(1, 0, 0), (3, 5, 70), (16, 1_000, 100_000)] {
        let sizes = Sizes { ports, rules, tenants: 7, tunnels: 9, pairs: 40 };
        let layout = Layout::new(workers, &Capacity::of(sizes));
        let mut end = layout.header_len();
        for section in &layout.sections {
            assert!(section.offset >= end && section.offset.is_multiple_of(4096), "{}", section.name);
            assert!(section.instance(0).len() <= section.stride, "{}", section.name);
            assert_eq!(section.instances, if section.kind == Kind::Labels { 1 } else { workers });
            end = section.range().end;
            assert!(
                section
                    .fields
                    .iter()
                    .all(|Field { offset, width, count, .. }| { offset + width * count <= section.row_len })
            );
        }
        assert_eq!(layout.file_len(), end);
        assert_eq!(layout.tables().len() * 8, layout.header_len() - HEADER);
    }
}

#[test]
fn room_is_for_a_quarter_more() {
    let capacity = Capacity::of(Sizes { ports: 100, tenants: 1, tunnels: 0, rules: 1000, pairs: 4 });
    assert_eq!(capacity.sizes, Sizes { ports: 125, tenants: 17, tunnels: 16, rules: 1250, pairs: 20 });
    assert!(capacity.fits(capacity.sizes));
    assert!(!capacity.fits(Sizes { rules: 1251, ..capacity.sizes }));
}
