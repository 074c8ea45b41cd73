//! A tree into the raw structs, by serde, without stopping at the first error.
//!
//! Serde stops where a value fails. Here a [`Located`] value is where it goes on: the finding is noted, the
//! value is left out, and the rest is read. So each key and each list item of the raw structs is `Located`.
//! Which keys a mapping must have is asked of the JSON schema, so it and this reader cannot differ.

use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::{StrDeserializer, U32Deserializer};
use serde::de::{self, DeserializeOwned, DeserializeSeed, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::diagnostic::{Location, Notes};
use super::scalar::HostName;
use super::suggest;
use super::tree::{Kind, Node};

/// The document under `root` as a `T`, whose JSON schema is `schema`. What is wrong goes to `notes`.
pub(super) fn read<T: DeserializeOwned>(root: &Node, schema: &Value, notes: &Notes) -> Option<T> {
    let step = Step { parent: None, key: "", index: None, node: root };
    let reader = Reader { node: Some(root), step: &step, schema, notes };
    match T::deserialize(reader) {
        Ok(document) => Some(document),
        Err(error) => {
            reader.note(root.at, error);
            None
        }
    }
}

/// A value, where it stands, and nothing if it could not be read (which was noted then).
#[derive(Clone, Debug)]
pub struct Located<T> {
    /// Where it starts.
    pub at: Location,
    /// What stands there.
    pub value: Option<T>,
}

impl<T> Located<Vec<Located<T>>> {
    /// Its items, as far as it was read.
    pub fn iter(&self) -> std::slice::Iter<'_, Located<T>> {
        self.value.as_deref().unwrap_or_default().iter()
    }

    /// The item at `index`, if it was read.
    pub fn item(&self, index: usize) -> Option<&T> {
        self.value.as_ref()?.get(index)?.value.as_ref()
    }

    /// Whether it was read and has no items.
    pub fn is_empty(&self) -> bool {
        self.value.as_ref().is_some_and(Vec::is_empty)
    }
}

impl<'a, T> IntoIterator for &'a Located<Vec<Located<T>>> {
    type Item = &'a Located<T>;
    type IntoIter = std::slice::Iter<'a, Located<T>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// What a list is that may be left out and is.
impl<T> Default for Located<Vec<Located<T>>> {
    fn default() -> Self {
        Self { at: Location::default(), value: Some(Vec::new()) }
    }
}

/// A value, or a list of values: `tcp/22`, or `[tcp/22, udp/53]`.
#[derive(Clone, Debug)]
pub(crate) struct OneOrMore<T>(pub Vec<Located<T>>);

/// How [`Located`] asks the reader for a place along with the value.
const LOCATED: &str = "weft::Located";
/// How [`OneOrMore`] tells the reader that a list may be left out round a single value.
const ONE_OR_MORE: &str = "weft::OneOrMore";

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMore<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Values<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Values<T> {
            type Value = OneOrMore<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value or a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<OneOrMore<T>, A::Error> {
                let mut list = Vec::new();
                while let Some(value) = values.next_element()? {
                    list.push(value);
                }
                Ok(OneOrMore(list))
            }
        }

        deserializer.deserialize_newtype_struct(ONE_OR_MORE, Values(PhantomData))
    }
}

impl<T: JsonSchema> JsonSchema for OneOrMore<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("OneOrMore_{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<T>();
        json_schema!({ "anyOf": [one, { "type": "array", "items": one }] })
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Located<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Parts<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Parts<T> {
            type Value = Located<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Located<T>, A::Error> {
                let line = parts.next_element()?.unwrap_or_default();
                let column = parts.next_element()?.unwrap_or_default();
                Ok(Located { at: Location { line, column }, value: parts.next_element()? })
            }
        }

        deserializer.deserialize_newtype_struct(LOCATED, Parts(PhantomData))
    }
}

/// In the schema a located value is the value.
impl<T: JsonSchema> JsonSchema for Located<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> std::borrow::Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// A value failed.
#[derive(Debug)]
enum Failure {
    /// It was noted already.
    Noted,
    /// It has to be, with this message.
    Because(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Noted => f.write_str("noted"),
            Self::Because(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for Failure {}

impl de::Error for Failure {
    fn custom<M: fmt::Display>(message: M) -> Self {
        Self::Because(message.to_string())
    }
}

/// Reads one node.
#[derive(Clone, Copy)]
struct Reader<'a> {
    /// `None` stands for a missing key, which was noted.
    node: Option<&'a Node>,
    step: &'a Step<'a>,
    schema: &'a Value,
    notes: &'a Notes,
}

impl Reader<'_> {
    fn note(&self, at: Location, failure: Failure) {
        if let Failure::Because(message) = failure {
            self.notes.error(at, format!("{}{message}", self.step));
        }
    }

    fn scalar(&self, expected: &str) -> Result<(&str, Plain), Failure> {
        match self.node {
            None => Err(Failure::Noted),
            Some(Node { kind: Kind::Scalar { text, plain }, .. }) => {
                Ok((text, if *plain { Plain::of(text) } else { Plain::Text }))
            }
            Some(node) => Err(Failure::Because(format!("expected {expected}, found {}", found(node)))),
        }
    }

    fn number(&self, max: u64) -> Result<u64, Failure> {
        let expected = format!("a whole number from 0 to {max}");
        let (text, plain) = self.scalar(&expected)?;
        match plain {
            Plain::Integer(Some(n)) if n <= max => Ok(n),
            Plain::Null => Err(Failure::Because(nothing())),
            _ => {
                // In quotes a number is text.
                let quotes =
                    if plain == Plain::Text && Plain::of(text) != Plain::Text { " in quotes" } else { "" };
                Err(Failure::Because(format!("expected {expected}, found {}{quotes}", suggest::quoted(text))))
            }
        }
    }

    /// The keys that the schema wants in the struct `name`.
    fn required(&self, name: &str) -> impl Iterator<Item = &str> {
        let schema = self.schema.get("$defs").and_then(|all| all.get(name)).unwrap_or(self.schema);
        schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
    }
}

/// What an unquoted scalar means by YAML 1.2's core schema.
#[derive(Clone, Copy, PartialEq)]
enum Plain {
    Null,
    Bool(bool),
    /// `None` is one that no unsigned 64 bits hold.
    Integer(Option<u64>),
    Text,
}

impl Plain {
    fn of(text: &str) -> Self {
        match text {
            "" | "~" | "null" | "Null" | "NULL" => return Self::Null,
            "true" | "True" | "TRUE" => return Self::Bool(true),
            "false" | "False" | "FALSE" => return Self::Bool(false),
            _ => {}
        }
        let (radix, digits) = match text.get(..2) {
            Some("0x") => (16, &text[2..]),
            Some("0o") => (8, &text[2..]),
            _ => (10, text.strip_prefix(['+', '-']).unwrap_or(text)),
        };
        if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
            return Self::Text;
        }
        let value = u64::from_str_radix(digits, radix).ok();
        Self::Integer(value.filter(|&n| n == 0 || !text.starts_with('-')))
    }
}

fn found(node: &Node) -> String {
    match &node.kind {
        Kind::Map(_) => "a mapping".to_owned(),
        Kind::List(_) => "a list".to_owned(),
        Kind::Scalar { text, plain: true } if Plain::of(text) == Plain::Null => "nothing".to_owned(),
        Kind::Scalar { text, .. } => suggest::quoted(text),
    }
}

fn nothing() -> String {
    "no value is given".to_owned()
}

/// Fits every unsigned integer of serde's; a signed one has no place in the form.
macro_rules! numbers {
    ($($method:ident $visit:ident $ty:ty),*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
            #[allow(clippy::cast_possible_truncation, reason = "bounded by the type's own maximum")]
            self.number(<$ty>::MAX as u64).and_then(|n| visitor.$visit(n as $ty))
        }
    )*};
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = Failure;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Failure> {
        Err(Failure::Because("a value of a kind that the form does not have".to_owned()))
    }

    numbers! { deserialize_u8 visit_u8 u8, deserialize_u16 visit_u16 u16, deserialize_u32 visit_u32 u32, deserialize_u64 visit_u64 u64 }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match self.scalar("true or false")? {
            (_, Plain::Bool(value)) => visitor.visit_bool(value),
            (_, Plain::Null) => Err(Failure::Because(nothing())),
            (text, _) => {
                Err(Failure::Because(format!("expected true or false, found {}", suggest::quoted(text))))
            }
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match self.scalar("text")? {
            (_, Plain::Null) => Err(Failure::Because(nothing())),
            (text, Plain::Bool(_)) => Err(Failure::Because(format!(
                "expected text, found the boolean {text}; put it in quotes if it is meant"
            ))),
            (text, _) => visitor.visit_str(text),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        if name == LOCATED {
            visitor.visit_seq(Parts { reader: self, next: 0 })
        } else if name == ONE_OR_MORE {
            let node = self.node.ok_or(Failure::Noted)?;
            match &node.kind {
                Kind::List(_) => self.deserialize_seq(visitor),
                _ => visitor.visit_seq(Items { reader: self, items: std::iter::once((0, node)) }),
            }
        } else {
            visitor.visit_newtype_struct(self)
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        let node = self.node.ok_or(Failure::Noted)?;
        let Kind::List(items) = &node.kind else {
            let hint = match &node.kind {
                Kind::Scalar { text, plain } if !plain || Plain::of(text) != Plain::Null => {
                    format!("; for a list of one, write [{}]", suggest::printable(text))
                }
                _ => String::new(),
            };
            return Err(Failure::Because(format!("expected a list, found {}{hint}", found(node))));
        };
        visitor.visit_seq(Items { reader: self, items: items.iter().map(AsRef::as_ref).enumerate() })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        let node = self.node.ok_or(Failure::Noted)?;
        let Kind::Map(entries) = &node.kind else {
            return Err(Failure::Because(format!(
                "expected a mapping (`key: value`), found {}",
                found(node)
            )));
        };
        let mut known: Vec<(&'static str, Option<&Node>)> = Vec::with_capacity(fields.len());
        for (key, value) in entries {
            match fields.iter().find(|field| **field == key.text) {
                Some(field) => known.push((field, Some(value))),
                None => {
                    let hint = suggest::among(&key.text, fields.iter().copied());
                    self.note(
                        key.at,
                        Failure::Because(format!("unknown key {}; {hint}", suggest::quoted(&key.text))),
                    );
                }
            }
        }
        for missing in self.required(name) {
            if let Some(field) = fields.iter().find(|field| **field == missing)
                && known.iter().all(|(key, _)| key != field)
            {
                self.note(node.at, Failure::Because(format!("missing key `{field}`")));
                known.push((field, None));
            }
        }
        visitor.visit_map(Entries { reader: self, rest: known.into_iter(), value: None })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        match self.scalar("a word")? {
            (_, Plain::Null) => Err(Failure::Because(nothing())),
            (text, _) if variants.contains(&text) => visitor.visit_enum(text.into_deserializer()),
            (text, _) => {
                let hint = suggest::among(text, variants.iter().copied());
                Err(Failure::Because(format!("unknown value {}; {hint}", suggest::quoted(text))))
            }
        }
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u128 f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct map identifier ignored_any
    }
}

/// A located value's line, column and value.
struct Parts<'a> {
    reader: Reader<'a>,
    next: u8,
}

impl<'de> SeqAccess<'de> for Parts<'_> {
    type Error = Failure;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Failure> {
        let at = self.reader.node.map_or(self.reader.step.node.at, |node| node.at);
        self.next += 1;
        match self.next {
            1 => seed.deserialize(U32Deserializer::new(at.line)).map(Some),
            2 => seed.deserialize(U32Deserializer::new(at.column)).map(Some),
            _ => match seed.deserialize(self.reader) {
                Ok(value) => Ok(Some(value)),
                Err(failure) => {
                    self.reader.note(at, failure);
                    Ok(None)
                }
            },
        }
    }
}

/// A list's items.
struct Items<'a, I> {
    reader: Reader<'a>,
    items: I,
}

impl<'a, 'de, I: Iterator<Item = (usize, &'a Node)>> SeqAccess<'de> for Items<'a, I> {
    type Error = Failure;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Failure> {
        let Some((index, node)) = self.items.next() else { return Ok(None) };
        let above = self.reader.step;
        let step = Step { parent: Some(above), key: above.key, index: Some(index), node };
        seed.deserialize(Reader { node: Some(node), step: &step, ..self.reader }).map(Some)
    }
}

/// A mapping's known keys with their values, then its missing ones without.
struct Entries<'a, I> {
    reader: Reader<'a>,
    rest: I,
    value: Option<(&'static str, Option<&'a Node>)>,
}

impl<'a, 'de, I: Iterator<Item = (&'static str, Option<&'a Node>)>> MapAccess<'de> for Entries<'a, I> {
    type Error = Failure;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Failure> {
        self.value = self.rest.next();
        self.value.map(|(key, _)| seed.deserialize(StrDeserializer::new(key))).transpose()
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Failure> {
        let (key, node) = self.value.take().ok_or(Failure::Noted)?;
        let above = self.reader.step;
        let step = Step { parent: Some(above), key, index: None, node: node.unwrap_or(above.node) };
        seed.deserialize(Reader { node, step: &step, ..self.reader })
    }
}

/// The way from the root to a node. Displayed, it says whose value it is: `endpoint blue/web1: qos.rate: `.
struct Step<'a> {
    parent: Option<&'a Step<'a>>,
    /// The key that the value has; of a list's item, the key that the list has.
    key: &'a str,
    index: Option<usize>,
    node: &'a Node,
}

impl Step<'_> {
    /// The name of the thing that the node describes.
    fn name(&self) -> Option<&str> {
        let Kind::Map(entries) = &self.node.kind else { return None };
        let (_, value) = entries.iter().find(|(key, _)| key.text == "name")?;
        match &value.kind {
            // What is no name would only confuse a message.
            Kind::Scalar { text, .. } if text.parse::<HostName>().is_ok() => Some(text),
            _ => None,
        }
    }
}

impl fmt::Display for Step<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut way = Vec::new();
        let mut at = Some(self);
        while let Some(step) = at {
            way.push(step);
            at = step.parent;
        }
        let (mut kind, mut names, mut path) = ("", String::new(), String::new());
        for step in way.into_iter().rev() {
            match (step.index, step.name()) {
                (None, _) if step.key.is_empty() => {}
                (None, _) if path.is_empty() => path.push_str(step.key),
                (None, _) => path = format!("{path}.{}", step.key),
                (Some(_), Some(name)) => {
                    kind = match step.key {
                        "classes" => "class",
                        key => key.strip_suffix('s').unwrap_or(key),
                    };
                    names = if names.is_empty() { name.to_owned() } else { format!("{names}/{name}") };
                    path.clear();
                }
                (Some(index), None) => path = format!("{path}[{index}]"),
            }
        }
        if !kind.is_empty() {
            write!(f, "{kind} {names}: ")?;
        }
        if !path.is_empty() {
            write!(f, "{path}: ")?;
        }
        Ok(())
    }
}
