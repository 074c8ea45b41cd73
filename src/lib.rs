//! Weft.

pub mod cli {
    //! The commands.
    pub mod check;
    pub mod schema;
}
pub mod config;
