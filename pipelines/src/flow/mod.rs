//! Sessions: which connections there are, what state they are in, and when they end.

pub mod fragments;
pub mod key;
pub mod settings;
pub mod side;
pub mod state;
pub mod tcp;

pub use key::{Key, Key4, Key6, Toward};
pub use settings::{Limits, Settings, Tracking};
pub use side::Side;
pub use state::{State, Timeouts};
