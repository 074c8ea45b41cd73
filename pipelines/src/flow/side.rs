//! The two sides of a session.

/// One of the two sides of a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Side {
    /// The one whose packet opened it.
    #[default]
    Initiator,
    /// The other.
    Responder,
}

impl Side {
    /// The other one.
    pub const fn other(self) -> Self {
        match self {
            Self::Initiator => Self::Responder,
            Self::Responder => Self::Initiator,
        }
    }

    /// Its place in an array of two.
    pub const fn index(self) -> usize {
        self as usize
    }
}
