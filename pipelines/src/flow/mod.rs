//! Sessions: which connections there are, what state they are in, and when they end.

pub mod dns;
pub mod fragments;
pub mod hash;
pub mod key;
pub mod notes;
pub mod rate;
pub mod record;
pub mod session;
pub mod sessions;
pub mod settings;
pub mod side;
pub mod state;
pub mod table;
pub mod tcp;

pub use dns::Dns;
pub use fragments::Fragments;
pub use hash::{Hash, Secret};
pub use key::{Key, Key4, Key6, Toward};
pub use notes::{Connect, End, Event, Notes};
pub use record::FlowRecord;
pub use session::{Flags, Opening, Session};
pub use sessions::{Family, Sessions};
pub use settings::{Limits, Settings, Tracking};
pub use side::Side;
pub use state::{State, Timeouts};
pub use table::{Lookup, Refused, Slot, Table};
