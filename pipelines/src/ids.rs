//! Small numbers that stand for the things of a snapshot, and the time.

use core::ops::Add;
use core::time::Duration;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub u16);

        impl $name {
            /// Its place in the snapshot's list.
            pub const fn index(self) -> usize {
                self.0 as usize
            }
        }
    )*};
}

ids! {
    /// A port of this host: a guest's or an uplink.
    PortId;
    /// A tenant.
    TenantId;
    /// A segment: one broadcast domain with its VNI.
    SegmentId;
    /// The way to another host's VTEP.
    TunnelId;
    /// A neighbour on the underlay: a VTEP on the link, or a gateway towards some.
    HopId;
    /// A worker thread.
    WorkerId;
}

impl SegmentId {
    /// No segment: that of a packet from the fabric before decap.
    pub const NONE: Self = Self(u16::MAX);
}

/// The number of a configuration, counted up with every one that is published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Epoch(pub u64);

/// A moment: nanoseconds from a start that the caller chose. It never goes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tick(pub u64);

impl Tick {
    /// The time from `earlier` until now; none if that is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Tick {
    type Output = Self;

    fn add(self, time: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)))
    }
}
