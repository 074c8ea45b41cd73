//! Per-tenant quality of service: what tenants and endpoints are promised, what they may take at most, and in what
//! order packets leave where not all can leave at once.
//!
//! Nothing here knows a packet's bytes: what comes in are numbers and, in a queue, things of any type.

pub mod bucket;
pub mod gate;
pub mod lease;
pub mod meter;
pub mod meters;
pub mod settings;
pub mod shaper;
pub mod turns;

pub use bucket::Bucket;
pub use gate::Gate;
pub use lease::{Credit, Pool};
pub use meter::Meter;
pub use meters::Meters;
pub use settings::{Charge, Class, Classes, Colour, Dscp, Pools, Settings, Share, Tag, TenantShare};
pub use shaper::Shaper;
pub use turns::Turns;
