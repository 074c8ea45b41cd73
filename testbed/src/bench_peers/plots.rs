//! The figures as pictures.

use std::path::Path;

use super::results::Results;
use crate::Result;

/// Draws what is worth a picture.
pub fn draw(_results: &Results, _out: &Path) -> Result<()> {
    Ok(())
}
