//! The header of a file that may be anything: what is true of it, or why it is not read.

use std::borrow::Cow;

use thiserror::Error;

use super::field::{Field, Merge, Type, Unit};
use super::layout::{self, ENTRY, Kind, Layout, NAME, Section, head};
use super::word::Load;

/// Bytes of a word.
const WORD: usize = 8;
/// Sections that a file has at most: one with more is damaged.
const MAX_SECTIONS: usize = 64;
/// Fields that a file has at most.
const MAX_FIELDS: usize = 4096;

/// Why the file cannot be read.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Malformed {
    /// It begins with other bytes.
    #[error("not a statistics file of Weft")]
    NotWeft,
    /// It is of a machine with another byte order.
    #[error("written on a machine with another byte order")]
    ByteOrder,
    /// It is of a version whose layout is not known here.
    #[error(
        "version {major}.{minor} of the statistics file; this program knows {}.{}: use the one that belongs to the \
        switch",
        layout::MAJOR,
        layout::MINOR
    )]
    Version {
        /// Its version.
        major: u64,
        /// The part that stands for additions.
        minor: u64,
    },
    /// It says that it is of this version, and has another layout.
    #[error(
        "version {}.{} of the statistics file with another layout ({hash:#018x}, not {:#018x})",
        layout::MAJOR,
        layout::MINOR,
        layout::HASH
    )]
    Layout {
        /// The hash of its layout.
        hash: u64,
    },
    /// It is shorter than it says.
    #[error("cut short: {len} bytes of {needed}")]
    Truncated {
        /// Its bytes.
        len: usize,
        /// The bytes that it should have.
        needed: usize,
    },
    /// A number in it cannot be.
    #[error("damaged: {what} cannot be")]
    Damaged {
        /// What is wrong.
        what: &'static str,
    },
}

/// What there is in a file whose first words are these.
///
/// # Errors
///
/// When it cannot be read.
pub(super) fn layout<W: Load>(words: &[W]) -> Result<Layout, Malformed> {
    let len = words.len() * WORD;
    let word = |at: usize| words.get(at).map(Load::load);
    if word(head::MAGIC) != Some(layout::MAGIC) {
        return Err(Malformed::NotWeft);
    }
    if len < layout::HEADER {
        return Err(Malformed::Truncated { len, needed: layout::HEADER });
    }
    match word(head::BYTE_ORDER) {
        Some(layout::BYTE_ORDER) => {}
        Some(order) if order == layout::BYTE_ORDER.swap_bytes() => return Err(Malformed::ByteOrder),
        _ => return Err(Malformed::NotWeft),
    }
    let number = |at: usize| word(at).unwrap_or_default();
    let (major, minor, hash) = (number(head::MAJOR), number(head::MINOR), number(head::HASH));
    if major != layout::MAJOR {
        return Err(Malformed::Version { major, minor });
    }
    if minor == layout::MINOR && hash != layout::HASH {
        return Err(Malformed::Layout { hash });
    }
    let needed = size(number(head::FILE_LEN), "its length")?;
    if needed > len {
        return Err(Malformed::Truncated { len, needed });
    }
    let fields = table(words, [head::FIELDS_AT, head::FIELDS, head::FIELD_LEN], MAX_FIELDS)?;
    let sections = table(words, [head::SECTIONS_AT, head::SECTIONS, head::SECTION_LEN], MAX_SECTIONS)?;
    let workers = size(number(head::WORKERS), "the number of workers")?;
    let sections: Result<_, _> = sections
        .iter()
        .map(|entry| section(entry, &fields, len).and_then(|section| check(section, workers)))
        .collect();
    Ok(Layout { sections: sections? })
}

/// An entry of a table: its name, and the words behind it.
struct Entry {
    /// The first word behind the name, in the file.
    at: usize,
    name: String,
    words: Vec<u64>,
}

impl Entry {
    fn size(&self, at: usize, what: &'static str) -> Result<usize, Malformed> {
        size(self.words.get(at).copied().unwrap_or_default(), what)
    }
}

/// The table whose place, number of entries and bytes of an entry stand at `at`.
fn table<W: Load>(words: &[W], at: [usize; 3], most: usize) -> Result<Vec<Entry>, Malformed> {
    const WHAT: &str = "the place of a table";
    let damaged = || Malformed::Damaged { what: WHAT };
    let number = |at: usize| words.get(at).map_or(Err(damaged()), |word| size(word.load(), WHAT));
    let (start, count, len) = (number(at[0])?, number(at[1])?, number(at[2])?);
    if count > most
        || len < ENTRY
        || !len.is_multiple_of(WORD)
        || !start.is_multiple_of(WORD)
        || len > 1 << 16
    {
        return Err(damaged());
    }
    let entry = |index: usize| {
        let at = start / WORD + index * (len / WORD);
        let words = words.get(at..)?.get(..len / WORD)?;
        let words: Vec<u64> = words.iter().map(Load::load).collect();
        let (name, words) = words.split_at_checked(NAME / WORD)?;
        let name: Vec<u8> =
            name.iter().flat_map(|word| word.to_ne_bytes()).take_while(|byte| *byte != 0).collect();
        Some(Entry { at: at + NAME / WORD, name: String::from_utf8(name).ok()?, words: words.to_vec() })
    };
    (0..count).map(|index| entry(index).ok_or_else(damaged)).collect()
}

fn section(entry: &Entry, fields: &[Entry], len: usize) -> Result<Section, Malformed> {
    const WHAT: &str = "the place of a section";
    let damaged = || Malformed::Damaged { what: WHAT };
    let number = |at| entry.size(at, WHAT);
    let kind = Kind::from_code(entry.words.first().copied().unwrap_or_default());
    let (first, count) = (number(8)?, number(9)?);
    let row_len = number(6)?;
    let fields = fields.get(first..).and_then(|fields| fields.get(..count)).ok_or_else(damaged)?;
    let fields: Result<_, _> = fields.iter().map(|entry| field(entry, row_len)).collect();
    let section = Section {
        name: Cow::Owned(entry.name.clone()),
        kind,
        offset: number(1)?,
        stride: number(2)?,
        instances: number(3)?,
        lead: number(4)?,
        row_len,
        capacity: number(7)?,
        rows_at: entry.at + layout::entry::ROWS,
        fields: fields?,
    };
    let rows = section.capacity.checked_mul(row_len).and_then(|rows| rows.checked_add(section.lead));
    let all = section.instances.checked_mul(section.stride).and_then(|all| all.checked_add(section.offset));
    let whole =
        [section.offset, section.stride, section.lead, row_len].iter().all(|at| at.is_multiple_of(WORD));
    if !whole || rows.is_none_or(|rows| rows > section.stride) || all.is_none_or(|end| end > len) {
        return Err(damaged());
    }
    Ok(section)
}

/// What is to be true of a section of its kind.
fn check(section: Section, workers: usize) -> Result<Section, Malformed> {
    let bare = section.stride == 0 || section.row_len == 0;
    let good = match section.kind {
        Kind::Counters => section.instances == workers && !bare,
        Kind::Records => {
            section.instances == workers && !bare && section.lead > 0 && section.capacity.is_power_of_two()
        }
        Kind::Labels => section.instances == 1 && section.lead >= 3 * WORD && section.capacity == 2,
        Kind::Unknown => true,
    };
    if good { Ok(section) } else { Err(Malformed::Damaged { what: "the shape of a section" }) }
}

fn field(entry: &Entry, row_len: usize) -> Result<Field, Malformed> {
    const WHAT: &str = "the place of a field";
    let number = |at| entry.size(at, WHAT);
    let code = |at: usize| entry.words.get(at).copied().unwrap_or_default();
    let field = Field {
        name: Cow::Owned(entry.name.clone()),
        offset: number(1)?,
        width: number(2)?,
        count: number(3)?,
        kind: Type::from_code(code(4)),
        unit: Unit::from_code(code(5)),
        merge: Merge::from_code(code(6)),
        element: code(7) as u32,
        enterprise: code(8) as u32,
    };
    let end = field.width.checked_mul(field.count).and_then(|len| len.checked_add(field.offset));
    let aligned =
        matches!(field.width, 1 | 2 | 4 | 8 | 16) && field.offset.is_multiple_of(field.width.min(WORD));
    if !aligned || field.offset < WORD || end.is_none_or(|end| end > row_len) {
        return Err(Malformed::Damaged { what: WHAT });
    }
    Ok(field)
}

/// A number of the file that counts bytes or things.
fn size(number: u64, what: &'static str) -> Result<usize, Malformed> {
    // Nothing of 2^48 bytes can be mapped.
    usize::try_from(number).ok().filter(|number| *number < 1 << 48).ok_or(Malformed::Damaged { what })
}
