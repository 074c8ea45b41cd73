//! Sessions: which connections there are, what state they are in, and when they end.

pub mod hash;
pub mod key;
pub mod session;
pub mod settings;
pub mod side;
pub mod state;
pub mod table;

pub use hash::{Hash, Secret};
pub use key::{Key, Key4, Key6, Toward};
pub use session::{Flags, Opening, Session, Windows};
pub use settings::{Limits, Settings, Tracking};
pub use side::Side;
pub use state::{State, Timeouts};
pub use table::{Refused, Slot, Table};
