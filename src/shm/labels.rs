//! Names of what the numbers in the file stand for.
//!
//! The section has a page of words of its own and two buffers. The first word is the generation; its lowest bit tells
//! which buffer counts, and the two words after it how many bytes are in each. New labels are written into the other
//! buffer. A reader takes the generation, copies the buffer, and takes the generation again: if it is another one, the
//! writer may have come round to the buffer that was copied.
//!
//! A label is four numbers of 32 bits, kind, id, parent, and length of its text, and the text in UTF-8, filled up with
//! zeros to a multiple of 8 bytes.

use std::collections::BTreeMap;

use thiserror::Error;
use weft_pipelines::Reason;

use super::field::codes;
use super::layout::SECTIONS;
use super::word::{Load, Store};

codes! {
    /// What a label names.
    What {
        /// A port; the id is its row.
        Port = 1 "port",
        /// A tenant; the id is its row.
        Tenant = 2 "tenant",
        /// A rule, or a tenant's default; the id is its row, the parent the tenant.
        Rule = 3 "rule",
        /// A drop reason; the id is its column.
        Reason = 4 "reason",
        /// What a drop reason means, in a sentence.
        ReasonHelp = 5 "reason-help",
        /// A tunnel, by the host at its other end; the id is its row.
        Tunnel = 6 "tunnel",
        /// A segment; the id is its VNI, the parent the tenant.
        Segment = 7 "segment",
        /// A group; the parent is the tenant.
        Group = 8 "group",
        /// A set of groups, as records have it: their names, with commas between; the parent is the tenant.
        Class = 9 "class",
        /// A worker; the id is its instance in each section.
        Worker = 10 "worker",
        /// A code or a bit of a field; the id is its value, the parent the field's place in the table of fields.
        Code = 11 "code",
        /// The host; the id is 0.
        Host = 12 "host",
        /// The version of the switch; the id is 0.
        Version = 13 "version",
        /// An address of an endpoint, on whatever host, and its name: `10.1.0.11 blue/web1`; the parent is the VNI.
        Endpoint = 14 "endpoint",
        /// A pair of groups, the client's and the server's with a blank between; `-` is no group, `* *` any other pair. The id is
        /// its row in the sections `service` and `service_*`, the parent the tenant.
        Service = 15 "service",
    }
}

/// A name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Label {
    /// What it names.
    pub what: What,
    /// The number that it is for.
    pub id: u32,
    /// What the number belongs to; 0 where it stands alone.
    pub parent: u32,
    /// The name.
    pub text: String,
}

impl Label {
    /// The name of something that stands alone.
    pub fn new(what: What, id: u32, text: impl Into<String>) -> Self {
        Self { what, id, parent: 0, text: text.into() }
    }

    /// The same, of `parent`.
    #[must_use]
    pub fn of(self, parent: u32) -> Self {
        Self { parent, ..self }
    }

    /// Those that every file has: the drop reasons, and the codes of all fields.
    pub fn fixed() -> impl Iterator<Item = Self> {
        let reasons = Reason::ALL.iter().flat_map(|reason| {
            let (id, help) = (*reason as u32, reason.help());
            [Self::new(What::Reason, id, reason.name()), Self::new(What::ReasonHelp, id, help)]
        });
        let fields = SECTIONS.iter().flat_map(|section| section.fields);
        let codes = fields.zip(0..).flat_map(|(field, place)| {
            let label =
                move |(code, name): &(u64, &str)| Self::new(What::Code, *code as u32, *name).of(place);
            field.codes.iter().map(label)
        });
        reasons.chain(codes)
    }
}

/// Bytes of a label before its text.
const HEAD: usize = 16;

/// The labels do not fit into the file.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error(
    "the names of all ports, tenants, rules and groups take {needed} bytes, and the statistics file has room for \
    {capacity}; give it more room"
)]
pub struct TooMany {
    /// Bytes that they take.
    pub needed: usize,
    /// Bytes that there is room for.
    pub capacity: usize,
}

/// The labels as words, as they stand in a buffer.
pub fn encode(labels: impl IntoIterator<Item = Label>) -> Vec<u64> {
    let mut bytes = Vec::new();
    for Label { what, id, parent, text } in labels {
        // Longer names than 4 GiB there are none; a length that is wrong would make all that follow unreadable.
        let len = u32::try_from(text.len()).unwrap_or(0);
        for number in [what.code() as u32, id, parent, len] {
            bytes.extend(number.to_ne_bytes());
        }
        bytes.extend(&text.as_bytes()[..len as usize]);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
    }
    bytes.as_chunks::<8>().0.iter().map(|word| u64::from_ne_bytes(*word)).collect()
}

/// The section's words, on either side.
#[derive(Debug)]
pub struct Region<'a, W> {
    generation: &'a W,
    lens: &'a [W],
    buffers: [&'a [W]; 2],
}

impl<'a, W> Region<'a, W> {
    /// The section that has its buffers, of `capacity` words each, behind `lead` words; none if they are not there.
    pub fn new(words: &'a [W], lead: usize, capacity: usize) -> Option<Self> {
        let buffers = words.get(lead..)?;
        let (first, rest) = buffers.split_at_checked(capacity)?;
        let second = rest.get(..capacity)?;
        (lead >= 3).then_some(())?;
        Some(Self { generation: words.first()?, lens: words.get(1..3)?, buffers: [first, second] })
    }
}

impl<W: Store> Region<'_, W> {
    /// The buffer that is written next: 0 or 1.
    pub fn next_buffer(&self) -> usize {
        (self.generation.load().wrapping_add(1) % 2) as usize
    }

    /// Puts `labels` in place of those that there are; whether there was room.
    pub fn write(&self, labels: &[u64]) -> bool {
        let next = self.next_buffer();
        if labels.len() > self.buffers[next].len() {
            return false;
        }
        // Whoever sees one of the words that follow, and fences, sees the generation that came before them.
        W::release();
        self.lens[next].store(labels.len() as u64 * 8);
        for (word, label) in self.buffers[next].iter().zip(labels) {
            word.store(*label);
        }
        self.generation.publish(self.generation.load().wrapping_add(1));
        true
    }
}

impl<W: Load> Region<'_, W> {
    /// The generation and a copy of the labels; none while they are being replaced.
    ///
    /// # Errors
    ///
    /// With the length, when that is more than fits.
    pub fn read(&self) -> Result<Option<(u64, Vec<u64>)>, u64> {
        let generation = self.generation.load();
        W::acquire();
        let now = (generation % 2) as usize;
        let len = self.lens[now].load();
        let words = usize::try_from(len / 8).ok().and_then(|words| self.buffers[now].get(..words));
        let copy = words.map(|words| words.iter().map(Load::load).collect());
        W::acquire();
        if self.generation.load() != generation {
            return Ok(None);
        }
        copy.map(|copy| Some((generation, copy))).ok_or(len)
    }
}

/// All labels of a file at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels {
    /// Counted up with each change.
    pub generation: u64,
    texts: BTreeMap<(What, u32, u32), String>,
}

impl Labels {
    /// These, as no file has them.
    pub fn new(labels: impl IntoIterator<Item = Label>) -> Self {
        let texts = labels.into_iter().map(|Label { what, id, parent, text }| ((what, parent, id), text));
        Self { generation: 0, texts: texts.collect() }
    }

    /// Those in `words`.
    ///
    /// # Errors
    ///
    /// With the byte of the label that is not whole, or not UTF-8.
    pub fn decode(generation: u64, words: &[u64]) -> Result<Self, usize> {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let (mut texts, mut at) = (BTreeMap::new(), 0);
        while at < bytes.len() {
            let rest = &bytes[at..];
            let head = rest.first_chunk::<HEAD>().ok_or(at)?;
            let number = |index: usize| {
                let bytes = head.as_chunks::<4>().0[index];
                u32::from_ne_bytes(bytes)
            };
            let len = number(3) as usize;
            let text = rest.get(HEAD..).and_then(|rest| rest.get(..len)).ok_or(at)?;
            let text = core::str::from_utf8(text).map_err(|_| at)?;
            let what = What::from_code(number(0).into());
            texts.insert((what, number(2), number(1)), text.to_owned());
            at += HEAD + len.next_multiple_of(8);
        }
        Ok(Self { generation, texts })
    }

    /// The name of `id`, where that stands alone.
    pub fn name(&self, what: What, id: u32) -> Option<&str> {
        // Of what has a parent, the id alone says which it is, but for codes and groups.
        self.of(what, 0, id)
            .or_else(|| self.iter_of(what).find(|(_, of, _)| *of == id).map(|(_, _, text)| text))
    }

    /// The name of `id` of `parent`.
    pub fn of(&self, what: What, parent: u32, id: u32) -> Option<&str> {
        self.texts.get(&(what, parent, id)).map(String::as_str)
    }

    /// All of a kind: parent, id and name.
    pub fn iter_of(&self, what: What) -> impl Iterator<Item = (u32, u32, &str)> {
        let range = (what, 0, 0)..=(what, u32::MAX, u32::MAX);
        self.texts.range(range).map(|((_, parent, id), text)| (*parent, *id, text.as_str()))
    }
}
