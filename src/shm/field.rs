//! What the file says of each of its fields.

use std::borrow::Cow;

/// The enterprise number of elements of the opposite direction (RFC 5103, section 6.1).
pub const REVERSE: u32 = 29_305;

/// Declares an enumeration whose values stand in the file: its numbers never change.
macro_rules! codes {
    ($(#[$doc:meta])* $name:ident { $($(#[$help:meta])* $variant:ident = $code:literal $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum $name {
            /// A code that this version does not know.
            #[default]
            Unknown = 0,
            $($(#[$help])* $variant = $code,)*
        }

        impl $name {
            /// All that there are, [`Unknown`](Self::Unknown) aside.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// What `code` stands for.
            pub const fn from_code(code: u64) -> Self {
                match code {
                    $($code => Self::$variant,)*
                    _ => Self::Unknown,
                }
            }

            /// The number that stands in the file.
            pub const fn code(self) -> u64 {
                self as u64
            }

            /// Its name in tables and documents.
            pub const fn name(self) -> &'static str {
                match self {
                    Self::Unknown => "unknown",
                    $(Self::$variant => $text,)*
                }
            }
        }
    };
}
pub(super) use codes;

codes! {
    /// How a field's bytes are to be taken; numbers are in the byte order of the file.
    Type {
        /// An unsigned number.
        Number = 1 "number",
        /// An IPv6 address in network order; of IPv4 the mapped one (RFC 4291, section 2.5.5.2).
        Address = 2 "address",
        /// One of a few numbers with names, which are labels of kind `code`.
        Code = 3 "code",
        /// Bits, which have names as codes do: the code is the bit's value.
        Bits = 4 "bits",
    }
}

codes! {
    /// What a field counts.
    Unit {
        /// Nothing: it is a name, a code, or a number of the protocol.
        Bare = 1 "none",
        /// Packets.
        Packets = 2 "packets",
        /// Bytes, from the Ethernet header to the last byte (no FCS), if the field does not say otherwise.
        Bytes = 3 "bytes",
        /// Nanoseconds.
        Nanoseconds = 4 "ns",
        /// A moment: nanoseconds since the start of the instance.
        Tick = 5 "tick",
        /// Cycles of the counter whose rate is in the header.
        Cycles = 6 "cycles",
        /// Times that something happened, or things that there are.
        Events = 7 "events",
    }
}

codes! {
    /// What becomes of a field when the rows of several workers are made one.
    Merge {
        /// They are added.
        Sum = 1 "sum",
        /// The largest one counts.
        Max = 2 "max",
        /// They say nothing together.
        Apart = 3 "apart",
    }
}

/// A field of a row, as it is declared here.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// Its name, not longer than 31 bytes.
    pub name: &'static str,
    /// Bytes from the start of the row.
    pub offset: usize,
    /// Bytes of one value.
    pub width: usize,
    /// How many values follow each other; 0: as many as the file says.
    pub count: usize,
    /// How its bytes are to be taken.
    pub kind: Type,
    /// What it counts.
    pub unit: Unit,
    /// What becomes of several.
    pub merge: Merge,
    /// The IPFIX information element that it is closest to; 0 if none.
    pub element: u32,
    /// The enterprise of the element: 0 for IANA's, [`REVERSE`] for the opposite direction of one of those.
    pub enterprise: u32,
    /// Its codes or bits by name.
    pub codes: &'static [(u64, &'static str)],
    /// What it is.
    pub help: &'static str,
}

/// A field of a row, as a file declares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: Cow<'static, str>,
    /// Bytes from the start of the row.
    pub offset: usize,
    /// Bytes of one value.
    pub width: usize,
    /// How many values follow each other.
    pub count: usize,
    /// How its bytes are to be taken.
    pub kind: Type,
    /// What it counts.
    pub unit: Unit,
    /// What becomes of several workers' values.
    pub merge: Merge,
    /// The IPFIX information element that it is closest to; 0 if none.
    pub element: u32,
    /// The element's enterprise.
    pub enterprise: u32,
}

impl Field {
    /// The field that `spec` declares, `count` times where that leaves it open.
    pub fn new(spec: &Spec, count: usize) -> Self {
        Self {
            name: Cow::Borrowed(spec.name),
            offset: spec.offset,
            width: spec.width,
            count: if spec.count == 0 { count } else { spec.count },
            kind: spec.kind,
            unit: spec.unit,
            merge: spec.merge,
            element: spec.element,
            enterprise: spec.enterprise,
        }
    }
}

/// Bits that value number `offset / width` of a word is to be shifted by.
#[inline]
pub(super) const fn shift(offset: usize, width: usize) -> u32 {
    let bytes = if cfg!(target_endian = "little") { offset % 8 } else { 8 - width - offset % 8 };
    8 * bytes as u32
}
