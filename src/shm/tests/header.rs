//! `weft_stats.h`, made from the tables.

use std::fmt::Write;
use std::path::Path;

use crate::shm::field::{Spec, Type};
use crate::shm::labels::What;
use crate::shm::layout::{self, ENTRY, FIELD_WORDS, HEADER, HEADER_WORDS, NAME, SECTION_WORDS, SECTIONS};
use crate::shm::record;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/shm/weft_stats.h");

#[test]
fn the_c_header_is_that_of_the_tables() {
    let made = header();
    if std::env::var_os("WEFT_MAKE_HEADER").is_some() {
        std::fs::write(PATH, &made).unwrap();
    }
    let there = std::fs::read_to_string(Path::new(PATH)).unwrap_or_default();
    assert!(
        there == made,
        "{PATH} is not what the tables say; make it anew with \
        `WEFT_MAKE_HEADER=1 cargo test -p weft --no-default-features --lib the_c_header`"
    );
}

fn header() -> String {
    let mut text = String::new();
    let out = &mut text;
    out.push_str(
        "/* The statistics file of a Weft switch, as C sees it.\n *\n * Made from src/shm by the test `the_c_header_is_that_of_the_tables`; \
        do not edit it.\n * Where sections are, the file's own table says; see src/shm/layout.rs. What this header has\n * compiled in is \
        that of the hash: compare it before anything else is read.\n */\n#ifndef WEFT_STATS_H\n#define WEFT_STATS_H\n\n\
        #include <stddef.h>\n#include <stdint.h>\n\n",
    );
    writeln!(out, "#define WEFT_STATS_MAGIC \"WEFTSTAT\"").unwrap();
    writeln!(out, "#define WEFT_STATS_BYTE_ORDER UINT64_C({:#018x})", layout::BYTE_ORDER).unwrap();
    writeln!(out, "#define WEFT_STATS_MAJOR {}", layout::MAJOR).unwrap();
    writeln!(out, "#define WEFT_STATS_MINOR {}", layout::MINOR).unwrap();
    writeln!(out, "#define WEFT_STATS_HASH UINT64_C({:#018x})", layout::HASH).unwrap();
    writeln!(out, "#define WEFT_NOT_HERE UINT32_MAX /* of a port: not of this host */").unwrap();
    writeln!(out, "#define WEFT_ANY UINT32_MAX /* of a label: whatever its parent */\n").unwrap();
    head(out);
    entry(out, "section", "A row of the table of sections.", SECTION_WORDS);
    entry(out, "field", "A row of the table of fields.", FIELD_WORDS);
    codes(out);
    for section in SECTIONS.iter().filter(|section| !section.fields.is_empty()) {
        let name =
            if section.name == "records" { "record".to_owned() } else { format!("{}_row", section.name) };
        row(out, &name, section.help, section.row_len, section.fields);
    }
    out.push_str(include_str!("header_tail.h"));
    text
}

fn head(out: &mut String) {
    out.push_str("/* The first bytes of the file. */\nstruct weft_header {\n");
    let mut next = 0;
    for (word, name, help) in HEADER_WORDS {
        pad(out, next, *word);
        writeln!(out, "\tuint64_t {name}; /* {help} */").unwrap();
        next = word + 1;
    }
    pad(out, next, HEADER / 8);
    out.push_str("};\n");
    for (word, name, _) in HEADER_WORDS {
        assert_offset(out, "header", name, 8 * word);
    }
    assert_size(out, "header", HEADER);
}

fn pad(out: &mut String, from: usize, to: usize) {
    if to > from {
        writeln!(out, "\tuint64_t reserved_{from}[{}];", to - from).unwrap();
    }
}

fn entry(out: &mut String, name: &str, help: &str, words: &[(&str, &str)]) {
    writeln!(out, "/* {help} */\nstruct weft_{name} {{\n\tchar name[{NAME}]; /* Ends with a zero. */")
        .unwrap();
    for (name, help) in words {
        writeln!(out, "\tuint64_t {name}; /* {help} */").unwrap();
    }
    pad(out, NAME / 8 + words.len(), ENTRY / 8);
    out.push_str("};\n");
    assert_size(out, name, ENTRY);
}

fn codes(out: &mut String) {
    let list = |out: &mut String, name: &str, codes: &[(u64, &str)]| {
        writeln!(out, "enum weft_{name}_code {{").unwrap();
        for (code, text) in codes {
            let text = text.to_uppercase().replace('-', "_");
            writeln!(out, "\tWEFT_{}_{text} = {code},", name.to_uppercase()).unwrap();
        }
        out.push_str("};\n\n");
    };
    let all =
        |codes: &[layout::State]| codes.iter().map(|code| (code.code(), code.name())).collect::<Vec<_>>();
    list(out, "writer", &all(layout::State::ALL));
    let kinds: Vec<_> = layout::Kind::ALL.iter().map(|kind| (kind.code(), kind.name())).collect();
    list(out, "section_kind", &kinds);
    let labels: Vec<_> = What::ALL.iter().map(|what| (what.code(), what.name())).collect();
    list(out, "label", &labels);
    for field in record::FIELDS.iter().filter(|field| !field.codes.is_empty()) {
        let name = field.name.strip_prefix("initiator_").unwrap_or(field.name);
        if !field.name.starts_with("responder_") {
            list(out, name, field.codes);
        }
    }
    let sections: Vec<_> = (0..).zip(SECTIONS).map(|(index, section)| (index, section.name)).collect();
    list(out, "section", &sections);
}

fn row(out: &mut String, name: &str, help: &str, len: usize, fields: &[Spec]) {
    writeln!(
        out,
        "/* {help} */\nstruct weft_{name} {{\n\tuint64_t sequence; /* Even when the row is whole. */"
    )
    .unwrap();
    let mut end = 8;
    for Spec { name, offset, width, count, kind, help, .. } in fields {
        assert_eq!(end, *offset, "a gap before {name}");
        let (kind, array) = match (kind, width, count) {
            (Type::Address, ..) => ("uint8_t".into(), "[16]".to_owned()),
            (_, _, 0) => (format!("uint{}_t", 8 * width), "[]".to_owned()),
            (_, _, 1) => (format!("uint{}_t", 8 * width), String::new()),
            _ => (format!("uint{}_t", 8 * width), format!("[{count}]")),
        };
        writeln!(out, "\t{kind} {name}{array}; /* {help} */").unwrap();
        end = offset + width * count;
    }
    if len > end {
        writeln!(out, "\tuint8_t reserved_{end}[{}];", len - end).unwrap();
    }
    out.push_str("};\n");
    for Spec { name: field, offset, .. } in fields {
        assert_offset(out, name, field, *offset);
    }
    if len > 0 {
        assert_size(out, name, len);
    } else {
        out.push('\n');
    }
}

fn assert_offset(out: &mut String, name: &str, field: &str, offset: usize) {
    writeln!(out, "_Static_assert(offsetof(struct weft_{name}, {field}) == {offset}, \"{name}.{field}\");")
        .unwrap();
}

fn assert_size(out: &mut String, name: &str, size: usize) {
    writeln!(out, "_Static_assert(sizeof(struct weft_{name}) == {size}, \"{name}\");\n").unwrap();
}
