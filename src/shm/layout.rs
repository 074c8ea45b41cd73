//! Where everything is in the file.
//!
//! ```text
//! 0         the header: words of 64 bits, those of HEADER
//! 256       the table of sections, 128 bytes each
//!           the table of fields, 128 bytes each; a section's fields stand together
//! ..        the sections, each from a multiple of 4096 bytes:
//!             an instance for each worker (or one in all), each `stride` bytes
//!               `lead` bytes of the section's own
//!               `capacity` rows of `row_len` bytes
//! ```
//!
//! All numbers are in the byte order of the machine, which the header tells. A file's own tables say where things are;
//! what is here is how this version makes them. [`HASH`] stands for all that a program may have compiled in: names,
//! kinds, lengths of rows, and each field's place, width and meaning. The number of rows and of drop reasons is not in
//! it.

use std::borrow::Cow;
use std::ops::Range;

use weft_pipelines::Reason;
use weft_pipelines::counters::Sizes;

use super::field::{Field, Merge, Spec, Type, Unit, codes};
use super::labels::What;
use super::{record, rows};

/// The first word: `WEFTSTAT`.
pub const MAGIC: u64 = u64::from_ne_bytes(*b"WEFTSTAT");
/// The second word, as the writer's machine has it.
pub const BYTE_ORDER: u64 = 0x0102_0304_0506_0708;
/// Counted up when something moves or changes its meaning: older readers cannot read it.
pub const MAJOR: u64 = 1;
/// Counted up when something is added where nothing was: older readers do not see it.
pub const MINOR: u64 = 1;
/// The hash of this version's layout, see [`hash`].
pub const HASH: u64 = 0xe3ee_b156_a2b1_60cc;

/// Bytes of the header before its tables.
pub const HEADER: usize = 256;
/// Bytes of an entry of either table.
pub const ENTRY: usize = 128;
/// Bytes of a name, zeros at its end included.
pub const NAME: usize = 32;
/// What sections and their instances are aligned to: a page.
const PAGE: usize = 4096;
/// Bytes before the slots of a ring: its count has a line of its own, and the line that is fetched along with it.
const RING_LEAD: usize = 128;
/// Bytes before the buffers of the labels.
const LABELS_LEAD: usize = PAGE;

/// Declares the header's words: constant, place, name, help.
macro_rules! header {
    ($($constant:ident $word:literal $name:literal $help:literal;)*) => {
        /// The places of the header's words.
        pub mod head {
            $(#[doc = $help] pub const $constant: usize = $word;)*
        }

        /// The header's words: place, name, and what it is.
        pub const HEADER_WORDS: &[(usize, &str, &str)] = &[$(($word, $name, $help)),*];
    };
}

header! {
    MAGIC 0 "magic" "The bytes WEFTSTAT.";
    BYTE_ORDER 1 "byte_order" "0x0102030405060708 as the writer's machine has it.";
    MAJOR 2 "major" "The version: counted up when something moves or changes its meaning.";
    MINOR 3 "minor" "The version: counted up when something is added.";
    HASH 4 "layout_hash" "Stands for all names, places, widths and meanings.";
    HEADER_LEN 5 "header_len" "Bytes of the header with its tables.";
    FILE_LEN 6 "file_len" "Bytes of the file.";
    SECTIONS_AT 7 "sections_at" "Where the table of sections is.";
    SECTIONS 8 "sections" "How many sections there are.";
    SECTION_LEN 9 "section_len" "Bytes of an entry of that table.";
    FIELDS_AT 10 "fields_at" "Where the table of fields is.";
    FIELDS 11 "fields" "How many fields there are.";
    FIELD_LEN 12 "field_len" "Bytes of an entry of that table.";
    WORKERS 13 "workers" "How many workers there are.";
    PID 14 "pid" "The process that writes.";
    INSTANCE 15 "instance" "A number that no other run of a switch has.";
    CYCLES 16 "cycles_per_second" "The rate of the counter that cycles are counted by.";
    STATE 24 "state" "1: being written; 2: superseded by another file of this name; 3: ended.";
    HEARTBEAT 25 "heartbeat" "When the writer last was seen to live: nanoseconds since its start, as all ticks.";
    EPOCH 26 "epoch" "The number of the configuration that is in force.";
    WALL_CLOCK 27 "wall_clock" "Nanoseconds of UNIX time at tick 0; it follows the clock as that is set.";
}

codes! {
    /// How the writer of a file stands.
    State {
        /// It writes.
        Running = 1 "running",
        /// There is another file of this name, in which it goes on.
        Superseded = 2 "superseded",
        /// It has ended, and said so.
        Ended = 3 "ended",
    }
}

codes! {
    /// What a section's rows are.
    Kind {
        /// Counters, each row with a sequence of its own; one instance for each worker.
        Counters = 1 "counters",
        /// Records in a ring; one instance for each worker. The first word counts those that were written.
        Records = 2 "records",
        /// Names: two buffers, of which the first word's lowest bit tells which one counts.
        Labels = 3 "labels",
    }
}

/// A section as this version makes it.
#[derive(Clone, Copy, Debug)]
pub struct SectionSpec {
    /// Its name.
    pub name: &'static str,
    /// What its rows are.
    pub kind: Kind,
    /// Bytes before the rows.
    pub lead: usize,
    /// Bytes of a row; 0 where it depends.
    pub row_len: usize,
    /// The fields of a row.
    pub fields: &'static [Spec],
    /// What it is.
    pub help: &'static str,
}

/// The place in [`SECTIONS`] of each section.
pub mod section {
    /// What workers did.
    pub const WORKERS: usize = 0;
    /// What ports did.
    pub const PORTS: usize = 1;
    /// Drops by port and reason.
    pub const PORT_DROPS: usize = 2;
    /// What tenants did.
    pub const TENANTS: usize = 3;
    /// Drops by tenant and reason.
    pub const TENANT_DROPS: usize = 4;
    /// What went through tunnels.
    pub const TUNNELS: usize = 5;
    /// What rules decided.
    pub const RULES: usize = 6;
    /// Flows.
    pub const RECORDS: usize = 7;
    /// Names.
    pub const LABELS: usize = 8;
    /// What came of attempts, by pair of groups.
    pub const SERVICE: usize = 9;
    /// Times, by pair of groups: the first of as many sections as there are kinds of times, in the order of
    /// [`Time`](weft_pipelines::service::Time).
    pub const SERVICE_TIMES: usize = 10;
    /// How long packets take in the switch.
    pub const LATENCY: usize = SERVICE_TIMES + weft_pipelines::service::Time::ALL.len();
}

/// The sections of this version.
pub const SECTIONS: &[SectionSpec] = &[
    counters("workers", 192, rows::worker::FIELDS, "What each worker did: one row in each instance."),
    counters("ports", 256, rows::port::FIELDS, "What each port did."),
    counters("port_drops", 0, rows::drops::FIELDS, "Drops at each port, by reason."),
    counters("tenants", 64, rows::tenant::FIELDS, "What each tenant's guests did."),
    counters("tenant_drops", 0, rows::drops::FIELDS, "Drops of each tenant, by reason."),
    counters("tunnels", 64, rows::tunnel::FIELDS, "What went through the tunnel to each other host."),
    counters("rules", 64, rows::rule::FIELDS, "What each rule and each tenant's default decided."),
    SectionSpec {
        name: "records",
        kind: Kind::Records,
        lead: RING_LEAD,
        row_len: record::SLOT,
        fields: record::FIELDS,
        help: "Flows, the newest records of each worker.",
    },
    SectionSpec {
        name: "labels",
        kind: Kind::Labels,
        lead: LABELS_LEAD,
        row_len: 0,
        fields: &[],
        help: "Names of what the numbers stand for.",
    },
    counters(
        "service",
        128,
        rows::service::FIELDS,
        "What came of connections and DNS queries, by pair of groups.",
    ),
    times("service_connect", "How long TCP took to connect, by pair of groups."),
    times(
        "service_client_rtt",
        "Round trips of TCP between here and the client, by pair of groups; 4.29 s at most.",
    ),
    times(
        "service_server_rtt",
        "Round trips of TCP between here and the server, by pair of groups; 4.29 s at most.",
    ),
    times("service_response", "From a client's first data to the server's first, of TCP, by pair of groups."),
    times("service_dns", "From a DNS query to its response, by pair of groups."),
    times("latency", "How long bursts were in the switch, one of 16: one row in each instance."),
];

const fn counters(
    name: &'static str,
    row_len: usize,
    fields: &'static [Spec],
    help: &'static str,
) -> SectionSpec {
    SectionSpec { name, kind: Kind::Counters, lead: 0, row_len, fields, help }
}

const fn times(name: &'static str, help: &'static str) -> SectionSpec {
    counters(name, rows::times::ROW, rows::times::FIELDS, help)
}

/// For how many of each a file has room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Ports, tenants, tunnels, and rules with defaults.
    pub sizes: Sizes,
    /// Records of each worker: a power of two.
    pub records: usize,
    /// Bytes of all labels.
    pub labels: usize,
}

impl Capacity {
    /// Records of each worker, if nothing else is said: 16 MiB.
    pub const RECORDS: usize = 1 << 16;
    /// Bytes of all labels, if nothing else is said. What is not used takes no memory.
    pub const LABELS: usize = 64 << 20;

    /// Room for `sizes`, and for a quarter more, so that not each change takes another file.
    pub fn of(sizes: Sizes) -> Self {
        let spare = |count: usize| count + (count / 4).max(16);
        let sizes = Sizes {
            ports: spare(sizes.ports),
            tenants: spare(sizes.tenants),
            tunnels: spare(sizes.tunnels),
            rules: spare(sizes.rules),
            pairs: spare(sizes.pairs),
        };
        Self { sizes, records: Self::RECORDS, labels: Self::LABELS }
    }

    /// Whether `sizes` fit.
    pub const fn fits(&self, sizes: Sizes) -> bool {
        let mine = &self.sizes;
        sizes.ports <= mine.ports
            && sizes.tenants <= mine.tenants
            && sizes.tunnels <= mine.tunnels
            && sizes.rules <= mine.rules
            && sizes.pairs <= mine.pairs
    }
}

/// A section of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// Its name.
    pub name: Cow<'static, str>,
    /// What its rows are.
    pub kind: Kind,
    /// Bytes from the start of the file to the first instance.
    pub offset: usize,
    /// Bytes from an instance to the next.
    pub stride: usize,
    /// How many instances there are.
    pub instances: usize,
    /// Bytes of an instance before its rows.
    pub lead: usize,
    /// Bytes of a row.
    pub row_len: usize,
    /// How many rows there is room for.
    pub capacity: usize,
    /// The word of the file that tells how many rows are in use.
    pub rows_at: usize,
    /// What is in a row.
    pub fields: Vec<Field>,
}

impl Section {
    /// The bytes of an instance.
    pub const fn instance(&self, index: usize) -> Range<usize> {
        let start = self.offset + index * self.stride;
        start..start + self.lead + self.capacity * self.row_len
    }

    /// The bytes of all instances.
    pub const fn range(&self) -> Range<usize> {
        self.offset..self.offset + self.instances * self.stride
    }
}

/// A file's sections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// In the order of the table.
    pub sections: Vec<Section>,
}

impl Layout {
    /// That of a file for `workers` workers.
    pub fn new(workers: usize, capacity: &Capacity) -> Self {
        let mut end = header_len(SECTIONS.len(), fields_of(SECTIONS));
        let place = |(index, spec): (usize, &SectionSpec)| {
            let (rows, row_len) = extent(index, spec, capacity);
            let instances = if spec.kind == Kind::Labels { 1 } else { workers };
            let stride = (spec.lead + rows * row_len).next_multiple_of(PAGE);
            let offset = end.next_multiple_of(PAGE);
            end = offset + instances * stride;
            let fields = spec.fields.iter().map(|field| Field::new(field, Reason::COUNT)).collect();
            Section {
                name: Cow::Borrowed(spec.name),
                kind: spec.kind,
                offset,
                stride,
                instances,
                lead: spec.lead,
                row_len,
                capacity: rows,
                rows_at: (HEADER + index * ENTRY + NAME) / 8 + entry::ROWS,
                fields,
            }
        };
        Self { sections: SECTIONS.iter().enumerate().map(place).collect() }
    }

    /// Bytes of the whole file.
    pub fn file_len(&self) -> usize {
        self.sections.iter().map(|section| section.range().end).max().unwrap_or(HEADER)
    }

    /// Bytes of the header with its tables.
    pub fn header_len(&self) -> usize {
        header_len(self.sections.len(), self.sections.iter().map(|section| section.fields.len()).sum())
    }

    /// The tables, as they stand behind the header's words.
    pub fn tables(&self) -> Vec<u64> {
        let (mut sections, mut fields) = (Vec::new(), Vec::new());
        for (index, section) in self.sections.iter().enumerate() {
            let first = fields.len() * 8 / ENTRY;
            let words = [
                section.kind.code(),
                section.offset as u64,
                section.stride as u64,
                section.instances as u64,
                section.lead as u64,
                0,
                section.row_len as u64,
                section.capacity as u64,
                first as u64,
                section.fields.len() as u64,
            ];
            push_entry(&mut sections, &section.name, &words);
            for field in &section.fields {
                push_entry(&mut fields, &field.name, &field_words(index, field));
            }
        }
        sections.append(&mut fields);
        sections
    }
}

/// The places of words in an entry of the table of sections, behind the name.
pub mod entry {
    /// How many rows are in use; this changes while the file lives.
    pub const ROWS: usize = 5;
}

/// The words of an entry of the table of sections, behind the name.
pub const SECTION_WORDS: &[(&str, &str)] = &[
    ("kind", "1: counters, 2: records, 3: labels."),
    ("offset", "Bytes from the start of the file to the first instance."),
    ("stride", "Bytes from an instance to the next."),
    ("instances", "One for each worker, or one."),
    ("lead", "Bytes of an instance before its rows."),
    ("rows", "Rows in use; this changes while the file lives."),
    ("row_len", "Bytes of a row."),
    ("capacity", "Rows that there is room for."),
    ("first_field", "The first of its fields in the table of fields."),
    ("fields", "How many fields it has."),
];

/// The words of an entry of the table of fields, behind the name.
pub const FIELD_WORDS: &[(&str, &str)] = &[
    ("section", "The section's place in the table of sections."),
    ("offset", "Bytes from the start of the row."),
    ("width", "Bytes of one value."),
    ("count", "How many values follow each other."),
    ("type", "1: number, 2: IPv6 address in network order, 3: code with a label, 4: bits with labels."),
    ("unit", "1: none, 2: packets, 3: bytes, 4: nanoseconds, 5: tick, 6: cycles, 7: events."),
    ("merge", "How several workers' are made one: 1: added, 2: the largest, 3: not at all."),
    ("element", "The IPFIX information element that it is closest to; 0 if none."),
    ("enterprise", "The element's enterprise: 0 for IANA's, 29305 for the opposite direction."),
];

/// A field's words in the table, behind its name.
fn field_words(section: usize, field: &Field) -> [u64; 9] {
    [
        section as u64,
        field.offset as u64,
        field.width as u64,
        field.count as u64,
        field.kind.code(),
        field.unit.code(),
        field.merge.code(),
        field.element.into(),
        field.enterprise.into(),
    ]
}

fn push_entry(table: &mut Vec<u64>, name: &str, words: &[u64]) {
    let end = table.len() + ENTRY / 8;
    let mut bytes = [0; NAME];
    for (byte, of_name) in bytes[..NAME - 1].iter_mut().zip(name.as_bytes()) {
        *byte = *of_name;
    }
    table.extend(bytes.as_chunks::<8>().0.iter().map(|word| u64::from_ne_bytes(*word)));
    table.extend(words);
    table.resize(end, 0);
}

/// Rows that `spec` has room for, and the bytes of one.
fn extent(index: usize, spec: &SectionSpec, capacity: &Capacity) -> (usize, usize) {
    let Capacity { sizes, records, labels } = capacity;
    let by_reason = ((rows::drops::LEN + 1) * 8).next_multiple_of(64);
    match index {
        section::WORKERS => (1, spec.row_len),
        section::PORTS => (sizes.ports, spec.row_len),
        section::PORT_DROPS => (sizes.ports, by_reason),
        section::TENANTS => (sizes.tenants, spec.row_len),
        section::TENANT_DROPS => (sizes.tenants, by_reason),
        section::TUNNELS => (sizes.tunnels, spec.row_len),
        section::RULES => (sizes.rules, spec.row_len),
        section::SERVICE..section::LATENCY => (sizes.pairs, spec.row_len),
        section::LATENCY => (1, spec.row_len),
        section::RECORDS => (*records, spec.row_len),
        section::LABELS => (2, labels.next_multiple_of(PAGE)),
        _ => (0, spec.row_len),
    }
}

fn fields_of(sections: &[SectionSpec]) -> usize {
    sections.iter().map(|section| section.fields.len()).sum()
}

const fn header_len(sections: usize, fields: usize) -> usize {
    HEADER + (sections + fields) * ENTRY
}

/// All that a program may have compiled in, as text.
pub fn described() -> String {
    use std::fmt::Write;

    let mut text = format!("weft {MAJOR}.{MINOR} header {HEADER} entry {ENTRY} name {NAME}\n");
    // To a string nothing can fail to be written.
    for (word, name, _) in HEADER_WORDS {
        let _ = writeln!(text, "word {word} {name}");
    }
    for (name, _) in SECTION_WORDS.iter().chain(FIELD_WORDS) {
        let _ = writeln!(text, "of an entry {name}");
    }
    for section in SECTIONS {
        let SectionSpec { name, kind, lead, row_len, .. } = section;
        let _ = writeln!(text, "section {name} {} {lead} {row_len}", kind.name());
        for field in section.fields {
            let Spec { name, offset, width, count, kind, unit, merge, element, enterprise, codes, .. } =
                field;
            let (kind, unit, merge) = (kind.name(), unit.name(), merge.name());
            let _ = writeln!(
                text,
                "{name} {offset} {width} {count} {kind} {unit} {merge} {element} {enterprise} {codes:?}"
            );
        }
    }
    for (what, codes) in [
        ("state", State::ALL.iter().map(|code| (code.code(), code.name())).collect::<Vec<_>>()),
        ("section", Kind::ALL.iter().map(|code| (code.code(), code.name())).collect()),
        ("type", Type::ALL.iter().map(|code| (code.code(), code.name())).collect()),
        ("unit", Unit::ALL.iter().map(|code| (code.code(), code.name())).collect()),
        ("label", What::ALL.iter().map(|code| (code.code(), code.name())).collect()),
        ("merge", Merge::ALL.iter().map(|code| (code.code(), code.name())).collect()),
    ] {
        let _ = writeln!(text, "{what} {codes:?}");
    }
    text
}

/// FNV-1a of [`described`], which [`HASH`] is.
pub fn hash() -> u64 {
    described().bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
