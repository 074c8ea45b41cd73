//! Differentiated services code points (RFC 2474): the mark of a packet that says how it is to be treated.

use std::fmt;
use std::str::FromStr;

use super::scalar::number;
use super::suggest::{among, quoted};

/// The code points that have names: RFC 2474 (cs), RFC 2597 (af), RFC 3246 (ef), RFC 5865 (va), RFC 8622 (le). `be` and
/// `df`, the default forwarding of RFC 4594, is that of packets that nobody has marked.
const NAMES: [(&str, u8); 26] = [
    ("be", 0),
    ("df", 0),
    ("cs0", 0),
    ("le", 1),
    ("cs1", 8),
    ("af11", 10),
    ("af12", 12),
    ("af13", 14),
    ("cs2", 16),
    ("af21", 18),
    ("af22", 20),
    ("af23", 22),
    ("cs3", 24),
    ("af31", 26),
    ("af32", 28),
    ("af33", 30),
    ("cs4", 32),
    ("af41", 34),
    ("af42", 36),
    ("af43", 38),
    ("cs5", 40),
    ("va", 44),
    ("ef", 46),
    ("cs6", 48),
    ("nc", 48),
    ("cs7", 56),
];

/// The largest: a code point has six bits.
const MAX: u8 = 63;

/// A code point, 0 to 63.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Codepoint(pub u8);

impl FromStr for Codepoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = NAMES.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
        let value = named.or_else(|| number::<u8>(text)).filter(|value| *value <= MAX);
        value.map(Self).ok_or_else(|| {
            let hint = if text.starts_with(|c: char| c.is_ascii_alphabetic()) {
                among(text, NAMES.iter().map(|(name, _)| *name))
            } else {
                "expected a name, as ef or af41, or a number from 0 to 63".to_owned()
            };
            format!("{} is not a DSCP; {hint}", quoted(text))
        })
    }
}

/// As the document writes it: by its name, if it has one.
impl fmt::Display for Codepoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(_, value)| *value == self.0) {
            Some((name, _)) => f.pad(name),
            None => write!(f, "{}", self.0),
        }
    }
}

/// Code points from a first to a last, both included: `ef`, `10`, `8-15`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Codepoints {
    first: u8,
    last: u8,
}

impl Codepoints {
    /// Each of them.
    pub fn iter(self) -> impl Iterator<Item = Codepoint> {
        (self.first..=self.last).map(Codepoint)
    }
}

impl FromStr for Codepoints {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((first, last)) = text.split_once('-') else {
            let Codepoint(only) = text.parse()?;
            return Ok(Self { first: only, last: only });
        };
        let end = |digits: &str| {
            number::<u8>(digits).filter(|value| *value <= MAX).ok_or_else(|| {
                format!(
                    "{}: {} is not a number from 0 to 63, as a range of DSCPs has at its ends",
                    quoted(text),
                    quoted(digits)
                )
            })
        };
        let (first, last) = (end(first)?, end(last)?);
        if first > last {
            return Err(format!("{}: the range runs backwards; write {last}-{first}", quoted(text)));
        }
        Ok(Self { first, last })
    }
}

/// Some of the 64 code points.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CodepointSet(u64);

impl CodepointSet {
    /// Adds one. Returns whether it is new.
    pub fn insert(&mut self, Codepoint(value): Codepoint) -> bool {
        let before = self.0;
        self.0 |= 1 << (value & MAX);
        self.0 != before
    }

    /// Whether it has this one.
    pub const fn contains(self, Codepoint(value): Codepoint) -> bool {
        self.0 >> (value & MAX) & 1 == 1
    }

    /// Those that are in either.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Those that are not in it.
    #[must_use]
    pub const fn complement(self) -> Self {
        Self(!self.0)
    }

    /// Those that are in it, in order.
    pub fn iter(self) -> impl Iterator<Item = Codepoint> {
        (0..=MAX).map(Codepoint).filter(move |codepoint| self.contains(*codepoint))
    }
}

/// `ef, 9, 16-23`: three and more in a row as a range.
impl fmt::Display for CodepointSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut next = 0;
        let mut separator = "";
        while let Some(Codepoint(first)) = (next..=MAX).map(Codepoint).find(|it| self.contains(*it)) {
            let last = (first..=MAX).take_while(|value| self.contains(Codepoint(*value))).last();
            let last = last.unwrap_or(first);
            if last - first >= 2 {
                write!(f, "{separator}{first}-{last}")?;
                next = last + 1;
            } else {
                write!(f, "{separator}{}", Codepoint(first))?;
                next = first + 1;
            }
            separator = ", ";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_those_of_the_rfcs() {
        let value = |text: &str| text.parse::<Codepoint>().unwrap().0;
        assert_eq!(["be", "df", "le", "ef", "va", "nc"].map(value), [0, 0, 1, 46, 44, 48]);
        for class in 0..8 {
            assert_eq!(value(&format!("cs{class}")), class * 8);
        }
        // RFC 2597, section 6: a class and a drop precedence.
        for (class, precedence) in (1..=4).flat_map(|class| (1..=3).map(move |drop| (class, drop))) {
            assert_eq!(value(&format!("af{class}{precedence}")), class * 8 + precedence * 2);
        }
        for text in ["", "EF", "af44", "af51", "64", "-1", "0x2e", "cs8", "8-9", "256"] {
            assert!(text.parse::<Codepoint>().is_err(), "{text}");
        }
    }

    #[test]
    fn ranges_are_of_numbers() {
        let range = |text: &str| text.parse::<Codepoints>().map(|it| it.iter().map(|it| it.0).collect());
        assert_eq!(range("8-10"), Ok(vec![8, 9, 10]));
        assert_eq!((range("63-63"), range("af41")), (Ok(vec![63]), Ok(vec![34])));
        for text in ["9-8", "60-64", "cs1-cs2", "1-2-3", "-", "5-"] {
            assert!(range(text).is_err(), "{text}");
        }
    }

    proptest! {
        /// A set is written so that it is read as the same.
        #[test]
        fn sets_are_read_as_they_are_written(bits: u64) {
            let mut read = CodepointSet::default();
            for part in CodepointSet(bits).to_string().split(", ").filter(|part| !part.is_empty()) {
                prop_assert!(part.parse::<Codepoints>().unwrap().iter().all(|it| read.insert(it)));
            }
            prop_assert_eq!(read, CodepointSet(bits));
            prop_assert_eq!(read.union(read.complement()).iter().count(), 64);
        }
    }
}
