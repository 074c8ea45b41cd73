//! The raw document to the checked fabric.
//!
//! Each function notes all that it finds and returns what it checked, if that is whole. A value that could not be
//! read was noted by the reader and is `None` here; what would only repeat that is left unsaid.

mod hosts;
mod policy;
mod qos;
mod sessions;
mod tenants;

use std::collections::HashMap;
use std::fmt::Display;
use std::hash::Hash;
use std::ops::Deref;

use super::checked::Fabric;
use super::diagnostic::{Diagnostics, Location, Notes};
use super::raw::{Document, List};
use super::read::Located;
use super::suggest;

/// The port of RFC 7348.
const VXLAN_PORT: u16 = 4789;

/// The fabric that `document` describes. If there is none, `notes` says why; if there is one, it may do so too.
pub(super) fn check(document: &Document, notes: &Notes) -> Option<Fabric> {
    let host_names = Names::of("host", None, &document.hosts, |item| &item.name, notes);
    let hosts = hosts::check(&document.hosts, notes);
    let tenants = tenants::check(document, &host_names, notes);
    let fabric = document.fabric.value.as_ref()?;
    let vxlan = value_of(&fabric.vxlan);
    let port = match vxlan.and_then(|vxlan| vxlan.port.as_ref()) {
        Some(Located { at, value: Some(0) }) => {
            notes.error(*at, format!("vxlan port 0 is no port; the standard one is {VXLAN_PORT}"));
            return None;
        }
        Some(port) => port.value?,
        None => VXLAN_PORT,
    };
    let charge = qos::charge(value_of(&fabric.qos), notes);
    let (hosts, tenants) = (hosts?, tenants?);
    let dscp = vxlan.and_then(|vxlan| value_of(&vxlan.dscp)).copied().unwrap_or_default();
    qos::marks(dscp, &tenants, notes);
    qos::oversubscription(&hosts, &tenants, notes);
    Some(Fabric {
        name: fabric.name.value.clone()?,
        vxlan_port: port,
        vxlan_dscp: dscp,
        charge,
        sessions: sessions::settings(value_of(&fabric.sessions)),
        hosts,
        tenants,
        warnings: Diagnostics::default(),
    })
}

/// The value of a key that may be left out.
fn value_of<T>(field: &Option<Located<T>>) -> Option<&T> {
    field.as_ref().and_then(|located| located.value.as_ref())
}

/// A thing as messages call it: "endpoint blue/web1".
fn label<N: Display>(kind: &str, parent: Option<&str>, name: &Located<N>) -> String {
    let name = name.value.as_ref().map_or_else(|| "(unnamed)".to_owned(), N::to_string);
    match parent {
        Some(parent) => format!("{kind} {parent}/{name}"),
        None => format!("{kind} {name}"),
    }
}

/// Where each of some values that must differ was seen first.
struct Seen<K>(HashMap<K, Location>);

impl<K: Eq + Hash> Seen<K> {
    fn new() -> Self {
        Self(HashMap::new())
    }

    /// Where `key` was before, if it was.
    fn before(&mut self, key: K, at: Location) -> Option<Location> {
        match self.0.entry(key) {
            std::collections::hash_map::Entry::Occupied(entry) => Some(*entry.get()),
            std::collections::hash_map::Entry::Vacant(entry) => {
                entry.insert(at);
                None
            }
        }
    }
}

/// The names of a list's items, to find these by.
struct Names<'a> {
    kind: &'static str,
    places: HashMap<&'a str, usize>,
    order: Vec<&'a str>,
    /// Whether the name of each was read; an unknown name may be one that was not.
    all_known: bool,
}

impl<'a> Names<'a> {
    /// The names of things of some `kind` within `parent`. One that two things have is noted.
    fn of<T, N>(
        kind: &'static str,
        parent: Option<&str>,
        list: &'a List<T>,
        name: impl Fn(&'a T) -> &'a Located<N>,
        notes: &Notes,
    ) -> Self
    where
        N: Deref<Target = str> + Display + 'a,
    {
        let mut names =
            Self { kind, places: HashMap::new(), order: Vec::new(), all_known: list.value.is_some() };
        let mut seen = Seen::new();
        for (index, item) in list.iter().enumerate() {
            let Some((located, name)) =
                item.value.as_ref().map(&name).and_then(|located| Some((located, located.value.as_ref()?)))
            else {
                names.all_known = false;
                continue;
            };
            match seen.before(&**name, located.at) {
                Some(first) => {
                    let line = first.line;
                    let label = label(kind, parent, located);
                    notes.error(
                        located.at,
                        format!("{label}: duplicate name: line {line} has it already; give another"),
                    );
                }
                None => {
                    names.places.insert(name, index);
                    names.order.push(name);
                }
            }
        }
        names
    }

    /// The place of the thing that `owner` names; if there is none, that is noted.
    fn find<N: Deref<Target = str>>(&self, name: &Located<N>, owner: &str, notes: &Notes) -> Option<usize> {
        let text: &str = name.value.as_ref()?;
        let found = self.places.get(text).copied();
        if found.is_none() && self.all_known {
            let hint = suggest::among(text, self.order.iter().copied());
            notes.error(name.at, format!("{owner}: unknown {} `{text}`; {hint}", self.kind));
        }
        found
    }
}
