//! `weft top`: a running switch as a table that renews itself.
//!
//! All that it knows it reads from the statistics file; the switch is asked nothing. [`Source`] looks at the file and
//! makes a [`Sample`](sample::Sample) of it, with rates ([`meter`]) and flows ([`flows`]); [`views`] says what stands in
//! which column; [`Top`] is what a person does with it: which view, sorted and filtered by what. None of these knows of
//! a terminal: [`screen`] draws, and the command reads the keys.

pub mod flows;
pub mod history;
pub mod meter;
pub mod page;
pub mod sample;
pub mod screen;
pub mod source;
pub mod state;
pub mod text;
pub mod views;

pub use source::Source;
pub use state::{Key, Top};

#[cfg(test)]
mod tests;
