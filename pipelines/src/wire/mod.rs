//! Header views: a length is checked once, when a view is made; its accessors cannot fail.

mod mac;
mod vni;

pub use mac::{Mac, NotAMac};
pub use vni::Vni;
