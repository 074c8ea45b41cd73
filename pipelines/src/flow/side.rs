//! The two sides of a session.

/// Who sent a packet of a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Side {
    /// Who sent the first.
    #[default]
    Initiator,
    /// The other.
    Responder,
}

impl Side {
    /// Its place in a pair.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The other side.
    pub const fn other(self) -> Self {
        match self {
            Self::Initiator => Self::Responder,
            Self::Responder => Self::Initiator,
        }
    }
}
