//! YAML text to a tree whose every node knows its place.

use std::collections::HashMap;
use std::rc::Rc;

use granit_parser::{Event, Marker, Options, Parser, ScalarStyle};

use super::diagnostic::{Location, Notes};

/// A document larger than this is refused, in bytes.
pub(super) const MAX_BYTES: usize = 32 << 20;
/// Nodes of a document, those that aliases repeat counted each time. 100,000 rules have some 1.5 million.
const MAX_NODES: usize = 4 << 20;
/// Nesting, aliases followed. The form needs ten.
const MAX_DEPTH: usize = 32;

/// A value, and where it starts.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) at: Location,
    pub(super) kind: Kind,
    /// Nodes from here down, this one included, with aliases followed.
    size: usize,
    depth: usize,
}

/// What a value is.
#[derive(Debug)]
pub(super) enum Kind {
    /// Text without or with quotes; a plain text may mean a number, a boolean or null.
    Scalar { text: String, plain: bool },
    /// A list.
    List(Vec<Rc<Node>>),
    /// Keys and values, in the document's order; no key twice.
    Map(Vec<(Key, Rc<Node>)>),
}

/// A mapping's key.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) at: Location,
    pub(super) text: String,
}

/// The tree of `text`; `None` when it is no YAML of a kind that a document can be, with the reason in `notes`.
pub(super) fn parse(text: &str, notes: &Notes) -> Option<Rc<Node>> {
    let whole = Location { line: 1, column: 1 };
    if text.len() > MAX_BYTES {
        notes.error(whole, format!("the document has {} bytes; at most {MAX_BYTES} are read", text.len()));
        return None;
    }
    let mut options = Options::default();
    options.flow_nesting_limit = MAX_DEPTH;
    options.block_nesting_limit = MAX_DEPTH;
    options.emit_comments = false;
    let mut builder = Builder { notes, open: Vec::new(), anchors: HashMap::new(), root: None };
    for item in Parser::new_from_str_with_options(text, options) {
        let (event, span) = match item {
            Ok(item) => item,
            Err(e) => {
                notes.error(location(e.marker()), format!("not YAML: {}", e.info()));
                return None;
            }
        };
        if let Err(message) = builder.take(event, location(&span.start)) {
            notes.error(location(&span.start), message);
            return None;
        }
    }
    if builder.root.is_none() {
        notes.error(whole, "the document is empty");
    }
    builder.root
}

fn location(marker: &Marker) -> Location {
    let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Location { line: small(marker.line()).max(1), column: small(marker.col()).saturating_add(1) }
}

/// Puts a tree together from the parser's events.
struct Builder<'a> {
    notes: &'a Notes,
    open: Vec<Open>,
    anchors: HashMap<usize, Rc<Node>>,
    root: Option<Rc<Node>>,
}

/// A list or mapping whose end has not come.
struct Open {
    at: Location,
    anchor: usize,
    size: usize,
    depth: usize,
    content: Content,
}

enum Content {
    List(Vec<Rc<Node>>),
    Map { entries: Vec<(Key, Rc<Node>)>, lines: HashMap<String, u32>, key: Option<Key> },
}

impl Builder<'_> {
    fn take(&mut self, event: Event<'_>, at: Location) -> Result<(), String> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                refuse_tag(tag.is_some())?;
                let kind = Kind::Scalar { text: text.into_owned(), plain: style == ScalarStyle::Plain };
                self.close(Node { at, kind, size: 1, depth: 1 }, anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                refuse_tag(tag.is_some())?;
                self.push(at, anchor, Content::List(Vec::new()))
            }
            Event::MappingStart(_, anchor, tag) => {
                refuse_tag(tag.is_some())?;
                self.push(at, anchor, Content::Map { entries: Vec::new(), lines: HashMap::new(), key: None })
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(Open { at, anchor, size, depth, content }) = self.open.pop() else { return Ok(()) };
                let kind = match content {
                    Content::List(items) => Kind::List(items),
                    Content::Map { entries, .. } => Kind::Map(entries),
                };
                self.close(Node { at, kind, size: size + 1, depth: depth + 1 }, anchor)
            }
            Event::Alias(anchor) => {
                let target = self.anchors.get(&anchor).cloned();
                self.add(target.ok_or("an alias within what it stands for")?)
            }
            Event::DocumentStart(..) if self.root.is_some() => {
                Err("a second document in the file; one document describes the whole fabric".to_owned())
            }
            _ => Ok(()),
        }
    }

    fn push(&mut self, at: Location, anchor: usize, content: Content) -> Result<(), String> {
        if self.open.len() >= MAX_DEPTH {
            return Err(format!("nested more than {MAX_DEPTH} deep"));
        }
        self.open.push(Open { at, anchor, size: 0, depth: 0, content });
        Ok(())
    }

    fn close(&mut self, node: Node, anchor: usize) -> Result<(), String> {
        let node = Rc::new(node);
        if anchor != 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        self.add(node)
    }

    fn add(&mut self, node: Rc<Node>) -> Result<(), String> {
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        open.size += node.size;
        open.depth = open.depth.max(node.depth);
        if open.size > MAX_NODES {
            return Err(format!("more than {MAX_NODES} values, aliases followed"));
        }
        if open.depth >= MAX_DEPTH {
            return Err(format!("nested more than {MAX_DEPTH} deep, aliases followed"));
        }
        match &mut open.content {
            Content::List(items) => items.push(node),
            Content::Map { entries, lines, key } => match key.take() {
                None => {
                    let Kind::Scalar { text, .. } = &node.kind else {
                        return Err("a list or mapping as a key; keys are plain words".to_owned());
                    };
                    *key = Some(Key { at: node.at, text: text.clone() });
                }
                Some(key) => match lines.get(&key.text) {
                    Some(line) => {
                        let message =
                            format!("duplicate key `{}`: it stands at line {line} already", key.text);
                        self.notes.error(key.at, message);
                    }
                    None => {
                        lines.insert(key.text.clone(), key.at.line);
                        entries.push((key, node));
                    }
                },
            },
        }
        Ok(())
    }
}

fn refuse_tag(tagged: bool) -> Result<(), String> {
    if tagged { Err("a YAML tag (`!...`); the document has none".to_owned()) } else { Ok(()) }
}
