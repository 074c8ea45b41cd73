//! The 24-bit VXLAN network identifier (RFC 7348, section 5).

use core::fmt;

/// A VXLAN network identifier: 1 to 2^24 - 1. Zero is left out, as it is what an unset field reads as.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Vni(u32);

impl Vni {
    /// The identifier with the lowest number.
    pub const LOWEST: Self = Self(1);
    /// The largest number.
    pub const MAX: u32 = (1 << 24) - 1;

    /// The identifier `value`, if it is in range.
    pub const fn new(value: u32) -> Option<Self> {
        if value == 0 || value > Self::MAX { None } else { Some(Self(value)) }
    }

    /// Its number.
    pub const fn value(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Vni {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Vni {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Vni({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_24_bits_and_no_zero() {
        assert_eq!(Vni::new(0), None);
        assert_eq!(Vni::new(1 << 24), None);
        assert_eq!(Vni::new(Vni::MAX).map(Vni::value), Some(0xff_ffff));
    }
}
