//! The states of a session, and how long each may last without a packet.

use core::time::Duration;

use crate::wire::ipv4::protocol;

/// The state of a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum State {
    /// A packet of a protocol without states, not answered yet.
    #[default]
    New,
    /// One that was answered.
    Replied,
    /// A UDP datagram, not answered yet.
    UdpNew,
    /// UDP in both directions.
    UdpReplied,
    /// An ICMP query, not answered yet.
    IcmpNew,
    /// One that was answered.
    IcmpReplied,
    /// A SYN from the initiator.
    TcpSynSent,
    /// A SYN from both.
    TcpSynReceived,
    /// Both have acknowledged the other's SYN; or taken up in mid-stream.
    TcpEstablished,
    /// One side has sent a FIN.
    TcpFinWait,
    /// Both have sent a FIN.
    TcpClosing,
    /// Both FINs are acknowledged.
    TcpTimeWait,
    /// Ended by an RST.
    TcpClosed,
}

impl State {
    /// All of them, in order.
    pub const ALL: [Self; 13] = [
        Self::New,
        Self::Replied,
        Self::UdpNew,
        Self::UdpReplied,
        Self::IcmpNew,
        Self::IcmpReplied,
        Self::TcpSynSent,
        Self::TcpSynReceived,
        Self::TcpEstablished,
        Self::TcpFinWait,
        Self::TcpClosing,
        Self::TcpTimeWait,
        Self::TcpClosed,
    ];

    /// That of a session that a packet of `protocol` opens, other than TCP.
    pub const fn first_of(protocol: u8) -> Self {
        match protocol {
            protocol::UDP => Self::UdpNew,
            protocol::ICMP | protocol::ICMPV6 => Self::IcmpNew,
            _ => Self::New,
        }
    }

    /// What it becomes when the other side has answered; TCP has rules of its own.
    pub const fn replied(self) -> Self {
        match self {
            Self::New => Self::Replied,
            Self::UdpNew => Self::UdpReplied,
            Self::IcmpNew => Self::IcmpReplied,
            other => other,
        }
    }

    /// Whether the other side has not confirmed the session yet: such sessions give way first.
    pub const fn is_embryonic(self) -> bool {
        matches!(self, Self::New | Self::UdpNew | Self::IcmpNew | Self::TcpSynSent | Self::TcpSynReceived)
    }

    /// Whether nothing more is to come: TCP that both sides have closed, or one has reset.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::TcpTimeWait | Self::TcpClosed)
    }

    /// Its name in tables and documents.
    pub const fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Replied => "replied",
            Self::UdpNew => "udp-new",
            Self::UdpReplied => "udp-replied",
            Self::IcmpNew => "icmp-new",
            Self::IcmpReplied => "icmp-replied",
            Self::TcpSynSent => "syn-sent",
            Self::TcpSynReceived => "syn-received",
            Self::TcpEstablished => "established",
            Self::TcpFinWait => "fin-wait",
            Self::TcpClosing => "closing",
            Self::TcpTimeWait => "time-wait",
            Self::TcpClosed => "closed",
        }
    }
}

/// How long a session may last without a packet, by [`State`]: nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts([u64; State::ALL.len()]);

impl Timeouts {
    /// How long in `state`.
    pub const fn of(&self, state: State) -> Duration {
        Duration::from_nanos(self.nanos(state))
    }

    /// How long in `state`, in nanoseconds.
    #[inline]
    pub const fn nanos(&self, state: State) -> u64 {
        self.0[state as usize]
    }

    /// Sets how long in `state`; 584 years at most.
    pub const fn set(&mut self, state: State, timeout: Duration) {
        let nanos = timeout.as_nanos();
        self.0[state as usize] = if nanos > u64::MAX as u128 { u64::MAX } else { nanos as u64 };
    }
}

impl Default for Timeouts {
    /// An established connection lasts 2 h 4 min (RFC 5382, REQ-5), UDP with replies 3 min and not less than 2
    /// (RFC 4787, REQ-5), an ICMP query 60 s (RFC 5508, REQ-2); the others are what Linux's conntrack has.
    fn default() -> Self {
        let seconds = |state| match state {
            State::New | State::IcmpNew | State::IcmpReplied => 60,
            State::Replied => 600,
            State::UdpNew => 30,
            State::UdpReplied => 180,
            State::TcpSynSent | State::TcpSynReceived => 60,
            State::TcpEstablished => 7440,
            State::TcpFinWait | State::TcpClosing => 120,
            State::TcpTimeWait => 60,
            State::TcpClosed => 10,
        };
        Self(State::ALL.map(|state| seconds(state) * 1_000_000_000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_is_at_its_place_and_has_its_own_name() {
        for (index, state) in State::ALL.into_iter().enumerate() {
            assert_eq!(state as usize, index);
            assert_eq!(State::ALL.iter().filter(|other| other.name() == state.name()).count(), 1);
        }
    }
}
