//! The fabric's document: read, checked whole, and handed on as a [`Fabric`] that needs no further checks.
//!
//! Text becomes a tree with places (`tree`), the tree becomes the [`raw`] structs (`read`), and those become the
//! [`checked`] ones (`check`). Each step notes all that is wrong rather than the first of it, so a document is
//! put right in one go. The [`schema`] says the same of the form as the raw structs, being made from them.

mod check;
pub mod checked;
mod device;
mod diagnostic;
mod dscp;
pub mod raw;
mod read;
pub mod scalar;
mod schema;
pub(crate) mod suggest;
mod tree;

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::Value;

pub use checked::Fabric;
pub use device::pci_address;
pub use diagnostic::{At, Diagnostic, Diagnostics, Location, Severity};
pub use read::Located;
pub(crate) use read::OneOrMore;
pub use scalar::{HostName, Name};
pub use schema::schema;

pub(crate) use diagnostic::Notes;

/// The fabric that the file at `path` describes.
///
/// # Errors
///
/// All that is wrong with the file or the document, in the document's order.
pub fn load(path: &Path) -> Result<Fabric, Diagnostics> {
    load_with_text(path).map(|(_, fabric)| fabric)
}

/// The same, with the text that it was read from.
///
/// # Errors
///
/// Those of [`load`].
pub fn load_with_text(path: &Path) -> Result<(String, Fabric), Diagnostics> {
    let (name, text) = named_text(path)?;
    let fabric = parse(&name, &text)?;
    Ok((text, fabric))
}

/// The fabric that `text` describes; `name` is what messages call it.
///
/// # Errors
///
/// All that is wrong with the document, in its order.
pub fn parse(name: &str, text: &str) -> Result<Fabric, Diagnostics> {
    let (fabric, warnings) = parse_as(name, text, schema(), check::check)?;
    Ok(Fabric { warnings, ..fabric })
}

/// What the file at `path`, which is a `T` with this schema, is to `check`; and what may not have been meant.
///
/// # Errors
///
/// All that is wrong with the file, in its order.
pub(crate) fn load_as<T: DeserializeOwned, C>(
    path: &Path,
    schema: &Value,
    check: impl FnOnce(&T, &Notes) -> Option<C>,
) -> Result<(C, Diagnostics), Diagnostics> {
    let (name, text) = named_text(path)?;
    parse_as(&name, &text, schema, check)
}

fn parse_as<T: DeserializeOwned, C>(
    name: &str,
    text: &str,
    schema: &Value,
    check: impl FnOnce(&T, &Notes) -> Option<C>,
) -> Result<(C, Diagnostics), Diagnostics> {
    let notes = Notes::default();
    let checked = tree::parse(text, &notes)
        .and_then(|root| read::read::<T>(&root, schema, &notes))
        .and_then(|raw| check(&raw, &notes));
    let found = notes.finish(name);
    match checked {
        Some(checked) if !found.has_errors() => Ok((checked, found)),
        _ if found.has_errors() => Err(found),
        _ => Err(Diagnostics::whole(name, "cannot be used, for a reason that Weft does not know")),
    }
}

/// The file at `path`, with what messages call it.
fn named_text(path: &Path) -> Result<(String, String), Diagnostics> {
    let name = path.display().to_string();
    let text = text_of(path).map_err(|message| Diagnostics::whole(&name, message))?;
    let text =
        String::from_utf8(text).map_err(|e| not_text(&name, e.as_bytes(), e.utf8_error().valid_up_to()))?;
    Ok((name, text))
}

fn text_of(path: &Path) -> Result<Vec<u8>, String> {
    let file = File::open(path).map_err(|e| format!("cannot be opened: {e}"))?;
    if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
        return Err("is a directory; the document is one file".to_owned());
    }
    let mut bytes = Vec::new();
    file.take(tree::MAX_BYTES as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| format!("cannot be read: {e}"))?;
    if bytes.len() > tree::MAX_BYTES {
        return Err(format!("is larger than {} MiB, the most that is read", tree::MAX_BYTES >> 20));
    }
    Ok(bytes)
}

/// What is said of a file whose first `good` bytes are UTF-8.
fn not_text(name: &str, bytes: &[u8], good: usize) -> Diagnostics {
    let before = String::from_utf8_lossy(&bytes[..good]);
    let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let line = small(before.matches('\n').count() + 1);
    let column = small(before.rsplit('\n').next().map_or(0, |last| last.chars().count()) + 1);
    let notes = Notes::default();
    notes.error(Location { line, column }, "not UTF-8 text; save the document as UTF-8");
    notes.finish(name)
}
