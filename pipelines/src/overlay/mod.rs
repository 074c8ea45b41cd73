//! The overlay: which endpoint is where, how to reach the other hosts, and the underlay's neighbours.

pub mod hash;
pub mod neighbor;
pub mod table;
pub mod template;

pub use neighbor::Neighbors;
pub use table::Table;
pub use template::Template;
